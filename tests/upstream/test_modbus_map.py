"""A battery by its register table: what is read, what it means, what a wrong table is told."""

import json
import struct
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vbms.aggregate import alarms
from vbms.errors import FrameError
from vbms.upstream import modbus_map, modbus_rows
from vbms.upstream.modbus_map import Codec
from vbms.wire.registers import TYPE_NAMES, bounds, number, number_bytes

OWN = Path(__file__).resolve().parents[1] / "vectors" / "modbus_map" / "by_hand.json"
COLUMNS = modbus_rows.REGISTERS


def row(address: int, quantity: str, **more: Any) -> tuple[Any, ...]:
    given = {"address": address, "quantity": quantity} | more
    blank = {"unknown": ()}
    return tuple(given.get(c.name, blank.get(c.name, c.default)) for c in COLUMNS)


def alarm(
    address: int, name: str, level: str = "protection", bit: int | None = 0, values: Any = ()
) -> tuple[Any, ...]:
    return (address, name, level, bit, values, None)


def permits(
    address: int, what: str, bit: int | None = 0, when: str = "set", values: Any = ()
) -> tuple[Any, ...]:
    return (address, what, bit, when, values, None)


MINIMUM = (
    row(0, "voltage_v", scale=10000),
    row(1, "current_a", type="s16", scale=100000),
    row(2, "soc_percent"),
    row(3, "cell_max_v", scale=1000),
    row(4, "cell_min_v", scale=1000),
    row(5, "temp_max_c", type="s16"),
    row(6, "temp_min_c", type="s16"),
)


def words(*values: int) -> bytes:
    return struct.pack(f">{len(values)}H", *[value & 0xFFFF for value in values])


def test_blocks_are_few_and_hold_everything() -> None:
    rows = (
        *MINIMUM,
        row(20, "cycles"),
        row(7, "soh_percent", every_s=60000),
        row(8, "balancing", function=4),
    )
    assert Codec(registers=rows).reads() == (
        (0, 3, 0, 7),
        (0, 3, 20, 1),
        (0, 4, 8, 1),
        (60000, 3, 7, 1),
    )
    filled = Codec(registers=rows, fill=20).reads()
    assert filled == ((0, 3, 0, 21), (0, 4, 8, 1), (60000, 3, 7, 1))
    small = Codec(registers=MINIMUM, block=3).reads()
    assert small == ((0, 3, 0, 3), (0, 3, 3, 3), (0, 3, 6, 1))
    wide = Codec(registers=(row(0, "cell_v", count=16), row(16, "voltage_v")), block=4).reads()
    assert wide == ((0, 3, 0, 16), (0, 3, 16, 1))  # one row is never cut


def test_extremes_alone_are_enough() -> None:
    snap = Codec(registers=MINIMUM).decode([words(5300, -120, 55, 3330, 3310, 25, -3)], 9)
    assert (snap.taken_ms, snap.voltage_mv, snap.current_ma, snap.soc_permille) == (
        9,
        53000,
        -12000,
        550,
    )
    assert (snap.cell_high_mv, snap.cell_low_mv, snap.cells_mv) == (3330, 3310, None)
    assert snap.temps_mc == (25000, -3000)


@pytest.mark.parametrize("low_first", [False, True])
@pytest.mark.parametrize("kind", TYPE_NAMES)
def test_types_both_ways(kind: str, low_first: bool) -> None:
    low, high = bounds(kind)
    for value in (low, high, 0, 1, low // 3, high // 3):
        raw = number_bytes(value, kind, low_first)
        block = b"\x55\x55" + (b"\x55" + raw if kind.endswith("_low") else raw + b"\x55") + b"\x55"
        assert number(block, 1, kind, low_first) == value


def test_word_order() -> None:
    rows = (row(0, "voltage_v", type="u32", scale=1000),)
    assert Codec(registers=rows).decode([words(1, 2)], 0).voltage_mv == 0x10002
    swapped = Codec(registers=rows, word_order="low_first")
    assert swapped.decode([words(1, 2)], 0).voltage_mv == 0x20001


def test_rounding_is_to_the_safe_side() -> None:
    rows = (
        row(0, "charge_limit_a", scale=300),
        row(1, "cell_max_v", scale=300),
        row(2, "cell_min_v", scale=300),
        row(3, "temp_max_c", scale=300),
        row(4, "temp_min_c", scale=300),
        row(5, "cell_undervoltage_v", scale=300),
    )
    snap = Codec(registers=rows).decode([words(5, 5, 5, 5, 5, 5)], 0)  # 1.5 of each
    assert (snap.ccl_ma, snap.ccl_is_trip) == (1, False)
    assert (snap.cell_high_mv, snap.cell_low_mv) == (2, 1)
    assert snap.temps_mc == (2, 1)
    assert snap.uvp_mv == 2


def test_unknown_is_none() -> None:
    rows = (
        *MINIMUM,
        row(7, "charge_limit_a", unknown=(0xFFFF,)),
        row(8, "cell_v", count=2, scale=1000, unknown=(0,)),
    )
    snap = Codec(registers=rows).decode([words(1, 1, 1, 1, 1, 1, 1, 0xFFFF, 3300, 0)], 0)
    assert snap.ccl_ma is None
    assert snap.cells_mv == [3300, None]
    assert "ccl_ma" in modbus_map.declared({"registers": rows})


@pytest.mark.parametrize(
    ("word", "charge", "discharge"),
    [(0, False, False), (1, True, False), (2, False, True), (3, True, True)],
)
def test_permission_bits(word: int, charge: bool, discharge: bool) -> None:
    rules = (permits(7, "charge", 0), permits(7, "discharge", 1))
    snap = Codec(registers=MINIMUM, permissions=rules).decode([words(1, 1, 1, 1, 1, 1, 1, word)], 0)
    assert (snap.charge_ok, snap.discharge_ok) == (charge, discharge)


def test_every_permission_row_must_permit() -> None:
    rules = (permits(7, "both", None, values=(2, 4)), permits(8, "charge", 3, "clear"))
    codec = Codec(registers=MINIMUM, permissions=rules)

    def may(mode: int, flags: int) -> tuple[bool | None, bool | None]:
        snap = codec.decode([words(1, 1, 1, 1, 1, 1, 1, mode, flags)], 0)
        return snap.charge_ok, snap.discharge_ok

    assert may(2, 0) == (True, True) and may(4, 8) == (False, True)
    assert may(3, 0) == (False, False) and may(0xFFFF, 0) == (False, False)


def test_what_acted_takes_its_direction() -> None:
    rules = (
        alarm(7, "cell_overvoltage", bit=0),
        alarm(7, "discharge_overcurrent", bit=1),
        alarm(7, "short_circuit", "critical", bit=2),
        alarm(7, "imbalance", bit=3),
        alarm(7, "mosfet_overtemperature", "warning", None, (16, 17)),
    )
    codec = Codec(registers=MINIMUM, alarms=rules)

    def told(word: int) -> tuple[Any, ...]:
        snap = codec.decode([words(1, 1, 1, 1, 1, 1, 1, word)], 0)
        return snap.charge_ok, snap.discharge_ok, snap.warnings, snap.protections, snap.criticals

    assert told(0) == (True, True, 0, 0, 0)
    assert told(1) == (False, True, 0, alarms.CELL_OVERVOLTAGE, 0)
    assert told(2) == (True, False, 0, alarms.DISCHARGE_OVERCURRENT, 0)
    assert told(4) == (False, False, 0, 0, alarms.SHORT_CIRCUIT)
    assert told(8) == (True, True, 0, alarms.IMBALANCE, 0)
    assert told(16) == (True, True, alarms.MOSFET_OVERTEMPERATURE, 0, 0)


def test_a_block_of_another_size_is_refused() -> None:
    codec = Codec(registers=MINIMUM)
    for frames in ([], [None], [b""], [words(1, 2, 3)], [words(*range(8))]):
        with pytest.raises(FrameError):
            codec.decode(frames, 0)
    with pytest.raises(FrameError, match="no registers"):
        Codec().decode([b"\0\0"], 0)


@given(st.lists(st.one_of(st.none(), st.binary(max_size=30)), max_size=4))
def test_any_bytes_only_a_frame_error(frames: list[bytes | None]) -> None:
    vector = json.loads(OWN.read_text())
    codec = Codec(**vector["options"])
    padded = [bytes.fromhex(vector["frames"][0])[: len(f)] + f if f else f for f in frames]
    for each in (frames, padded):
        try:
            codec.decode(each, 0)
        except FrameError:
            pass


@given(st.binary(min_size=22, max_size=22), st.binary(min_size=6, max_size=6))
def test_any_values_make_a_snapshot(live: bytes, slow: bytes) -> None:
    snap = Codec(**json.loads(OWN.read_text())["options"]).decode([live, slow], 0)
    assert snap.charge_ok is not None and snap.temps_mc is not None
