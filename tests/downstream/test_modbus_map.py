"""An inverter by its register table: what it reads, and that it is never told too much."""

import struct
from fractions import Fraction
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.downstream.batteries import healthy
from vbms.aggregate import alarms
from vbms.aggregate.virtual import VirtualBattery
from vbms.downstream import modbus_map
from vbms.downstream.modbus_map import BITS, REGISTERS, Codec
from vbms.downstream.safe_side import LESS, MORE, QUANTITIES
from vbms.errors import FrameError, RefusedError
from vbms.wire.crc import crc16_bytes
from vbms.wire.registers import TYPE_NAMES

ALL = (
    "voltage_v", "current_a", "soc_percent", "cell_max_v", "cell_min_v", "temp_max_c", "temp_min_c",
    "mosfet_max_c", "charge_limit_a", "discharge_limit_a", "charge_voltage_v", "discharge_voltage_v",
)  # fmt: skip


def row(address: int, quantity: str, **more: Any) -> tuple[Any, ...]:
    given = {"address": address, "quantity": quantity} | more
    return tuple(given.get(c.name, c.default) for c in REGISTERS)


def bit(address: int, number: int, tells: str, **more: Any) -> tuple[Any, ...]:
    given = {"address": address, "bit": number, "tells": tells} | more
    return tuple(given.get(c.name, c.default) for c in BITS)


def ask(start: int, count: int, unit: int = 1, function: int = 3) -> bytes:
    frame = struct.pack(">BBHH", unit, function, start, count)
    return frame + crc16_bytes(frame)


def registers(codec: Codec, battery: VirtualBattery, start: int, count: int) -> list[int] | None:
    answer = codec.answer(ask(start, count, codec.address), battery)
    if answer is None:
        return None
    assert (
        answer[:3] == bytes((codec.address, 3, 2 * count))
        and crc16_bytes(answer[:-2]) == answer[-2:]
    )
    return list(struct.unpack(f">{count}H", answer[3:-2]))


PLAIN = (
    row(10, "voltage_v", scale=10000),
    row(11, "current_a", type="s16", scale=-100000),
    row(12, "soc_percent", type="u8_high"),
    row(12, "soh_percent", type="u8_low"),
    row(13, "charge_limit_a", scale=100000),
    row(14, "discharge_limit_a", scale=100000),
    row(15, "constant", value=0x1234),
    row(16, "temp_min_c", scale=100000, offset=-40000),
    row(20, "model", count=3),
)


def test_values_where_the_table_says() -> None:
    codec = Codec(registers=PLAIN, model="ACME")
    battery = healthy(current_ma=-12_340, charge_limit_ma=99_990)
    assert registers(codec, battery, 10, 7) == [5312, 123, 50 << 8 | 100, 999, 1000, 0x1234, 644]
    assert registers(codec, battery, 20, 3) == [0x4143, 0x4D45, 0]
    assert registers(codec, battery, 13, 1) == [999]


def test_who_is_answered() -> None:
    codec = Codec(address=1, unit=4, registers=PLAIN)
    assert codec.address == 5
    assert codec.answer(ask(10, 1, 5), healthy()) is not None
    assert codec.answer(ask(10, 1, 4), healthy()) is None
    assert codec.answer(ask(10, 1, 5, 4), healthy()) is not None
    only = Codec(registers=PLAIN, function=4)
    assert only.answer(ask(10, 1), healthy()) is None
    assert codec.answer(ask(10, 1, 5)[:-1] + b"\0", healthy()) is None
    assert codec.asks(ask(10, 126, 5)) is None


@pytest.mark.parametrize(
    ("outside", "expected"), [("silence", None), ("zero", [0, 5312]), ("ffff", [0xFFFF, 5312])]
)
def test_registers_without_a_row(outside: str, expected: Any) -> None:
    assert registers(Codec(registers=PLAIN, outside=outside), healthy(), 9, 2) == expected


def test_a_refusal_where_the_profile_wants_one() -> None:
    answer = Codec(registers=PLAIN, outside="exception").answer(ask(9, 2), healthy())
    assert answer == b"\x01\x83\x02" + crc16_bytes(b"\x01\x83\x02")
    with pytest.raises(RefusedError):
        Codec().read(answer)


def test_unknown_is_silence_or_what_the_row_says() -> None:
    assert registers(Codec(registers=PLAIN), healthy(temp_min_mc=None), 10, 1) is None
    said = (*PLAIN[:-2], row(16, "temp_min_c", scale=100000, unknown=0xFFFF))
    assert registers(Codec(registers=said), healthy(temp_min_mc=None), 16, 1) == [0xFFFF]
    # A value that would read as unknown is not told as one.
    assert registers(Codec(registers=said), healthy(temp_min_mc=6_553_500), 16, 1) is None


def test_bits() -> None:
    rules = (
        bit(30, 0, "charge_enabled"),
        bit(30, 1, "discharge_enabled", when="clear"),
        bit(30, 2, "discharging"),
        bit(30, 3, "cell_overvoltage", level="warning"),
        bit(30, 4, "cell_overvoltage"),
        bit(30, 4, "pack_overvoltage"),
        bit(31, 15, "any_warning"),
    )
    codec = Codec(registers=PLAIN, bits=rules)
    battery = healthy(current_ma=-5000, discharge_limit_ma=0)
    assert registers(codec, battery, 30, 2) == [0b111, 0]
    warned = healthy(warnings=alarms.CELL_OVERVOLTAGE)
    assert registers(codec, warned, 30, 2) == [0b1001, 0x8000]
    acted = healthy(protections=alarms.PACK_OVERVOLTAGE, charge_limit_ma=0)
    assert registers(codec, acted, 30, 2) == [0b10000, 0x8000]
    # Less than one bit of the limit's register is no permission.
    assert registers(codec, healthy(charge_limit_ma=99), 30, 1) == [0]


def test_a_danger_that_does_not_fit_stops_everything() -> None:
    rows = (
        *PLAIN,
        row(40, "cell_max_v", type="u8_high", scale=100000),
        row(41, "temp_max_c", type="s16"),
    )
    switch = (bit(42, 0, "charge_enabled"), bit(42, 1, "discharge_enabled"))
    codec = Codec(registers=rows, bits=switch)
    assert registers(codec, healthy(cell_max_mv=25_500), 42, 1) == [3]
    high = healthy(cell_max_mv=25_501)
    assert registers(codec, high, 42, 1) == [0]
    assert registers(codec, high, 13, 2) == [0, 0]
    assert codec.saturated == {"cell_max_v": 1}
    # Colder than the register can say: told warmer than it is, so nothing may flow.
    assert registers(codec, healthy(temp_min_mc=-41_000), 13, 2) == [0, 0]
    # A limit beyond its register is told lower than it is, and no harm done.
    assert registers(codec, healthy(charge_limit_ma=10**9), 13, 2) == [65535, 1000]


def test_an_answer_never_mixes_two_batteries() -> None:
    codec = Codec(registers=PLAIN)
    first, second = healthy(voltage_mv=52_000), healthy(voltage_mv=53_000)
    assert registers(codec, first, 10, 1) == [5200]
    assert registers(codec, second, 10, 1) == [5300]
    assert codec.usual() == (ask(10, 1),)


def test_decode_names_what_it_knows() -> None:
    codec = Codec(registers=PLAIN, bits=(bit(30, 0, "charge_enabled"),), outside="zero")
    request = ask(10, 21)
    answer = codec.answer(request, healthy())
    assert answer is not None
    said = codec.read(request + answer)
    assert (said["voltage_mv"], said["charge_limit_ma"], said["charge_enabled"]) == (
        53_120,
        100_000,
        True,
    )
    assert codec.read(request) == {"address": 1, "function": 3, "register": 10, "count": 21}
    assert len(codec.read(answer)["registers"]) == 21  # type: ignore[arg-type]


SCALES = st.integers(-(10**7), 10**7).filter(lambda scale: scale != 0)


@given(
    st.lists(
        st.tuples(st.sampled_from(TYPE_NAMES), SCALES, st.integers(-100_000, 100_000)),
        min_size=len(ALL),
        max_size=len(ALL),
    ),
    st.fixed_dictionaries(
        {
            QUANTITIES[q][0]: st.one_of(st.integers(-500, 5000), st.integers(-(2**40), 2**40))
            for q in ALL
        }
    ),
    st.booleans(),
)
def test_never_more_permissive_than_the_bank(
    shapes: Any, values: dict[str, int], low_first: bool
) -> None:
    """Any map, any value. Read back here by other arithmetic than the codec's."""
    for name in ("charge_limit_ma", "discharge_limit_ma"):
        values[name] = abs(values[name])
    rows = [
        row(4 * at, q, type=t, scale=s, offset=o)
        for at, (q, (t, s, o)) in enumerate(zip(ALL, shapes))
    ]
    order = "low_first" if low_first else "high_first"
    switches = (bit(100, 0, "charge_enabled"), bit(100, 1, "discharge_enabled"))
    codec = Codec(registers=rows, bits=switches, word_order=order, outside="zero")
    words = registers(codec, VirtualBattery(**values), 0, 101)
    if words is None:
        return  # silence permits nothing
    raw_bytes = struct.pack(">101H", *words)
    stopped = words[100] == 0
    for at, (quantity, (kind, scale, offset)) in enumerate(zip(ALL, shapes)):
        place = 8 * at
        size = {"8": 1, "1": 2, "3": 4}[kind[1]]
        raw = raw_bytes[place + (kind.endswith("low")) :][:size]
        if size == 4 and low_first:
            raw = raw[2:] + raw[:2]
        number = int.from_bytes(raw, "big", signed=kind[0] == "s")
        field, per_human, _, danger = QUANTITIES[quantity]
        told = number * Fraction(scale, 10**6) + Fraction(offset, 1000)
        true = Fraction(values[field], per_human)
        if quantity == "charge_limit_a" and not words[100] & 1:
            continue
        if quantity == "discharge_limit_a" and not words[100] & 2:
            continue
        if danger == MORE:
            assert told <= true or stopped, quantity
        elif danger == LESS:
            assert told >= true or stopped, quantity


@given(st.binary(max_size=120))
def test_any_bytes(data: bytes) -> None:
    codec = Codec(registers=PLAIN)
    try:
        codec.read(data)
    except (FrameError, RefusedError) as error:
        assert str(error)
    if len(data) >= 4:
        codec.answer(data, healthy())


@given(st.binary(max_size=12), st.integers(0, 80), st.integers(1, 7))
def test_any_chunking_finds_the_request(noise: bytes, flip: int, size: int) -> None:
    codec = Codec(registers=PLAIN)
    stream = noise + ask(10, 3)
    whole = _frames(codec, [stream])
    assert _frames(codec, [stream[at : at + size] for at in range(0, len(stream), size)]) == whole
    damaged = bytearray(ask(10, 3))
    damaged[flip % 64 // 8] ^= 1 << flip % 8
    assert _frames(codec, [bytes(damaged)]) == []


def _frames(codec: Codec, chunks: list[bytes]) -> list[bytes]:
    found, buffer = [], b""
    for chunk in chunks:
        buffer += chunk
        while buffer:
            used, frame = codec.take(buffer)
            if not used:
                break
            if frame is not None:
                found.append(frame)
            buffer = buffer[used:]
    return found


def test_a_map_that_cannot_say_stop() -> None:
    (fault,) = modbus_map.check({"registers": PLAIN[:5]})
    assert fault[0] == "registers" and "stop to discharge" in fault[1]
    assert not modbus_map.check(
        {"registers": PLAIN[:5], "bits": (bit(50, 0, "discharge_enabled"),)}
    )
    (fault,) = modbus_map.check({"registers": PLAIN, "bits": (bit(10, 0, "charging"),)})
    assert "holds bits and a quantity" in fault[1]
