"""An inverter's view of the wire, written from the protocol document alone: no code of ours."""

from __future__ import annotations


def crc(data: bytes) -> bytes:
    """CRC-16/Modbus bit by bit, low byte first."""
    value = 0xFFFF
    for byte in data:
        value ^= byte
        for _ in range(8):
            value = (value >> 1) ^ 0xA001 if value & 1 else value >> 1
    return value.to_bytes(2, "little")


def sealed(data: bytes) -> bytes:
    return data + crc(data)


def ask(address: int, start: int = 0x1000, count: int = 23) -> bytes:
    head = bytes((address, 4)) + start.to_bytes(2, "big") + count.to_bytes(2, "big")
    return sealed(head)


def ask_who(address: int) -> bytes:
    return sealed(bytes((address, 0x11)))


def disguised(request: bytes) -> bytes:
    """Another battery's good answer that happens to end in this request, CRC and all."""
    body = request[:-2]
    for word in range(65536):
        head = bytes((1, 4, len(body) + 2)) + word.to_bytes(2, "big")
        answer = sealed(head + body)
        if answer.endswith(request):
            return answer
    raise AssertionError("no such answer")


def words(answer: bytes, address: int) -> list[int]:
    """The registers of a 0x04 answer; asserts everything an inverter may check."""
    assert answer[:2] == bytes((address, 4))
    assert len(answer) == 5 + answer[2]
    assert crc(answer[:-2]) == answer[-2:]
    body = answer[3:-2]
    return [body[at] << 8 | body[at + 1] for at in range(0, len(body), 2)]


def signed(word: int) -> int:
    return word - 0x10000 if word & 0x8000 else word


class Row:
    """One battery of the inverter's Li-BMS page, in the register's own units."""

    def __init__(self, answer: bytes, address: int):
        w = words(answer, address)
        assert len(w) == 23
        self.words = w
        self.voltage_10mv = w[0]
        self.current_10ma = signed(w[1])
        self.remaining_10mah = w[2]
        self.temp_mean_dc = signed(w[3])
        self.ambient_dc = signed(w[4])
        self.warnings, self.protections, self.status = w[5], w[6], w[7]
        self.soc_pm, self.soh_pm = w[8], w[9]
        self.capacity_10mah = w[10]
        self.cycles = w[11]
        self.charge_10ma = w[12]
        self.cell_max_mv, self.cell_min_mv = w[13], w[14]
        self.temp_max_dc, self.temp_min_dc = signed(w[16]), signed(w[17])
        self.mosfet_dc = signed(w[18])
        self.cvl_10mv = w[20]
        self.design_10mah = w[21]
        assert (w[15], w[19], w[22]) == (0, 0, 0)
