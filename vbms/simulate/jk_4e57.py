"""A JK BMS on its GPS port, 115200 8N1: answers "read all" with everything it knows.

    4E 57 | length | 0000 0000 | command | source | type | data | 0000 0000 | 68 | 00 00 | sum16

Tags in ascending order as the maker's table has them. Source: the JK 4E 57 page, sections Frame,
Data and "What an emulator of the device must answer".
"""

import math
import random
import struct

from vbms.simulate.bms import Reading, Settings
from vbms.simulate.device import Answers, Device
from vbms.simulate.pack import Pack

_START = b"NW"
_REQUEST = 21  # bytes
_READS = (3, 6)

_ALARM_BITS = {
    "soc_low": 0x0001,
    "mosfet_hot": 0x0002,
    "charge_hot": 0x0010,
    "discharge_hot": 0x0010,
    "charge_current": 0x0020,
    "discharge_current": 0x0040,
    "charge_cold": 0x0200,
    "discharge_cold": 0x0200,
    "cell_high": 0x0400,
    "cell_low": 0x0800,
}


def settings() -> Settings:
    """As these boards are shipped for LFP, at 100 A."""
    return Settings(charge_a=100.0, discharge_a=100.0, cell_low_v=2.6, cell_low_release_v=2.7)


class Jk4e57(Device):
    """One unit; it has no address, so it is alone on its line.

    `coding` 1 sends C0 = 1 and a sign bit in the current, 0 leaves C0 out and counts from 10000;
    `old` leaves out BA and B9 too, as old firmware does; `asleep`: the first request only wakes it.
    """

    FAULTS = Device.FAULTS - {"wrong_address", "refuse", "overlap"}
    byte_s = 10 / 115200
    delay_s = 0.015

    def __init__(
        self,
        pack: Pack,
        address: int = 0,
        coding: int = 1,
        old: bool = False,
        asleep: bool = False,
        serial: str | None = None,
    ) -> None:
        super().__init__(pack, address)
        self.coding = coding
        self.old = old
        self.asleep = asleep
        if serial is None:
            serial = f"{random.Random(pack.name).randrange(10**8):08d}"
        self.serial = serial

    def frame(self, kind: int = 1) -> bytes:
        """The answer as it stands now (type 1), or an unsolicited report (type 2)."""
        return _framed(6, 0, kind, self._data(self.reading()))

    def _find(self) -> bytes | None:
        found = None
        at = self._heard.find(_START)
        while at >= 0:
            frame = self._heard[at : at + _REQUEST]
            if len(frame) == _REQUEST and frame[2:4] == b"\x00\x13" and _sum_fits(frame):
                if frame[8] in _READS and frame[10] == 0:
                    found = frame
            at = self._heard.find(_START, at + 1)
        self._heard = b"" if found else self._heard[-(_REQUEST - 1) :]
        if found and self.asleep:
            self.asleep = False
            return None
        return found

    def _answer(self, request: bytes) -> Answers:
        honest = self.frame()
        return self._spoil(honest, honest, honest)

    def _data(self, reading: Reading) -> bytes:
        cells = b"".join(
            struct.pack(">BH", number, round(volts * 1000))
            for number, volts in enumerate(reading.cells_v, 1)
        )
        count = len(reading.cells_v)
        at = self.pack.settings
        full_ah = round(reading.design_ah)
        mask = sum(b for b in {_ALARM_BITS.get(n, 0) for n in reading.alarms | reading.protections})
        status = reading.charge_on | reading.discharge_on << 1 | (reading.balance_a != 0) << 2
        rows: list[tuple[int, str, int]] = [
            (0x80, "H", _temperature(reading.mosfet_c)),
            (0x81, "H", _temperature(reading.temps_c[0])),
            (0x82, "H", _temperature(reading.temps_c[1])),
            (0x83, "H", round(reading.voltage_v * 100)),
            (0x84, "H", self._current(reading.current_a)),
            (0x85, "B", round(reading.soc * 100)),
            (0x86, "B", 2),
            (0x87, "H", reading.cycles),
            (0x89, "I", round(reading.throughput_ah)),
            (0x8A, "H", count),
            (0x8B, "H", mask),
            (0x8C, "H", status),
            (0x8E, "H", round(at.cell_high_v * count * 100)),
            (0x8F, "H", round(at.cell_low_v * count * 100)),
            (0x90, "H", round(at.cell_high_v * 1000)),
            (0x91, "H", round(at.cell_high_release_v * 1000)),
            (0x92, "H", 5),
            (0x93, "H", round(at.cell_low_v * 1000)),
            (0x94, "H", round(at.cell_low_release_v * 1000)),
            (0x95, "H", 5),
            (0x96, "H", 300),
            (0x97, "H", round(at.discharge_a)),
            (0x98, "H", 300),
            (0x99, "H", round(at.charge_a)),
            (0x9A, "H", 30),
            (0x9B, "H", round(at.balance_start_v * 1000)),
            (0x9C, "H", round(at.balance_trigger_v * 1000)),
            (0x9D, "B", self.pack.balance_switch),
            (0x9E, "H", round(at.mosfet_hot_c)),
            (0x9F, "H", round(at.mosfet_hot_c) - 20),
            (0xA0, "H", 100),
            (0xA1, "H", 100),
            (0xA2, "H", 20),
            (0xA3, "H", round(at.charge_hot_c)),
            (0xA4, "H", round(at.discharge_hot_c)),
            (0xA5, "h", round(at.charge_cold_c)),
            (0xA6, "h", round(at.charge_cold_c) + 2),
            (0xA7, "h", round(at.discharge_cold_c)),
            (0xA8, "h", round(at.discharge_cold_c) + 2),
            (0xA9, "B", count),
            (0xAA, "I", full_ah),
            (0xAB, "B", self.pack.charge_switch),
            (0xAC, "B", self.pack.discharge_switch),
            (0xAD, "H", 1000),
            (0xAE, "B", 1),
            (0xAF, "B", 0),
            (0xB0, "H", 10),
            (0xB1, "B", 20),
        ]
        data = b"\x79" + bytes((len(cells),)) + cells
        data += b"".join(struct.pack(f">B{letter}", tag, value) for tag, letter, value in rows)
        data += b"\xb2" + b"123456".ljust(10, b"\0") + b"\xb3\x00"
        data += b"\xb4" + self.serial.encode()[:8].ljust(8, b"\0") + b"\xb52306"
        data += struct.pack(">BI", 0xB6, reading.uptime_s // 60)
        data += b"\xb7" + b"11.XW_S11.261__" + b"\xb8\x00"
        if not self.old:
            data += struct.pack(">BI", 0xB9, full_ah)
            data += b"\xba" + b"Input UserdaJK_B1A20S15P".ljust(24, b"\0")
        if self.coding:
            data += b"\xc0\x01"
        return data

    def _current(self, amps: float) -> int:
        if not self.coding:
            return 10000 - round(amps * 100)
        steps = round(amps * 100)
        return steps | 0x8000 if steps > 0 else -steps


def _temperature(celsius: float) -> int:
    whole = math.floor(celsius + 0.5)
    return whole if whole >= 0 else 100 - whole


def _framed(command: int, source: int, kind: int, data: bytes) -> bytes:
    body = b"\0\0\0\0" + bytes((command, source, kind)) + data + b"\0\0\0\0" + b"\x68"
    inner = _START + struct.pack(">H", len(body) + 6) + body
    return inner + b"\0\0" + struct.pack(">H", sum(inner) % 65536)


def _sum_fits(frame: bytes) -> bool:
    return sum(frame[:-4]) % 65536 == int.from_bytes(frame[-2:], "big")
