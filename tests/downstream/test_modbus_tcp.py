"""The register map: where everything stands, and that nothing in it is too good to be true."""

import struct
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.downstream.batteries import healthy
from vbms.aggregate import alarms
from vbms.aggregate.virtual import FIELDS, PARTIAL, VirtualBattery
from vbms.downstream import modbus_tcp
from vbms.downstream.modbus_tcp import Codec
from vbms.errors import FrameError, RefusedError

ANY = st.one_of(st.none(), st.integers(-(2**40), 2**40))
NUMBERS = [
    name
    for name in FIELDS
    if name.endswith(("_mv", "_ma", "_mw", "_mah", "_mc", "_permille", "_count"))
]
LIMITS = ("charge_limit_ma", "discharge_limit_ma")


def batteries() -> Any:
    known = {name: ANY for name in NUMBERS if name not in LIMITS}
    known["cvl_mv"] = ANY
    known |= {name: st.integers(0, 2**40) for name in LIMITS}
    return st.fixed_dictionaries(known).map(lambda values: VirtualBattery(**values))


def test_where_everything_stands() -> None:
    """The addresses that docs/modbus_tcp.md gives."""
    battery = healthy(
        state=PARTIAL, taken_ms=12_345, age_ms=900, n_total=2, n_fresh=1, n_hold=1, n_lost=0
    )
    battery.warnings = alarms.CELL_OVERVOLTAGE | alarms.WEAK_CELL
    battery.criticals = alarms.INTERNAL
    battery.current_ma = -12_000
    raw = Codec().registers(battery)
    assert len(raw) == 2 * modbus_tcp.COUNT == 2 * 82

    def at(register: int) -> int:
        return int(struct.unpack_from(">i", raw, 2 * register)[0])

    assert raw[:4] == b"VBMS"
    assert struct.unpack_from(">HH", raw, 4) == (1, 2)
    assert (at(4), at(6)) == (12, 900)
    assert (at(8), at(10), at(14)) == (53_120, -12_000, 500)
    assert (at(18), at(24), at(26), at(28)) == (280_000, 37, 3322, 3318)
    assert (at(30), at(32)) == (25_600, 24_400)
    assert (at(40), at(42), at(44), at(46)) == (100_000, 100_000, 55_200, 46_400)
    assert (at(48), at(50), at(52), at(54)) == (2, 1, 1, 0)
    assert (at(56), at(58), at(60)) == (
        alarms.CELL_OVERVOLTAGE | alarms.WEAK_CELL,
        alarms.INTERNAL,
        alarms.INTERNAL,
    )
    assert raw[2 * 62 : 2 * 70].rstrip(b"\0") == b"VBMS"


def test_unknown_is_no_number() -> None:
    raw = Codec().registers(VirtualBattery())
    said = Codec().values(raw)
    assert said["V"] is None and said["SoC"] is None and said["Age"] is None
    assert said["AChaMax"] == 0  # an unknown limit is no current
    assert raw[16:20] == b"\x80\x00\x00\x00"


@given(batteries())
def test_never_more_permissive_than_the_bank(battery: VirtualBattery) -> None:
    codec = Codec()
    said = codec.values(codec.registers(battery))
    stopped = said["AChaMax"] == said["ADisChaMax"] == 0
    for name, field in (
        ("AChaMax", "charge_limit_ma"),
        ("ADisChaMax", "discharge_limit_ma"),
        ("VMax", "cvl_mv"),
        ("CellVMin", "cell_min_mv"),
        ("TmpMin", "temp_min_mc"),
        ("SoC", "soc_permille"),
    ):
        true, told = getattr(battery, field), said[name]
        assert (told is None) == (true is None)
        assert true is None or told <= true or stopped, name
    for name, field in (
        ("VMin", "dvl_mv"),
        ("CellVMax", "cell_max_mv"),
        ("TmpMax", "temp_max_mc"),
        ("TmpMosMax", "mosfet_max_mc"),
    ):
        true, told = getattr(battery, field), said[name]
        assert (told is None) == (true is None)
        assert true is None or told >= true or stopped, name
    if (
        all(abs(getattr(battery, name) or 0) < 2**31 - 1 for name in NUMBERS)
        and abs(battery.cvl_mv or 0) < 2**31 - 1
    ):
        assert said["AChaMax"] == battery.charge_limit_ma and not codec.saturated
    elif any(abs(getattr(battery, name) or 0) >= 2**31 for name in LIMITS):
        assert codec.saturated


@pytest.mark.parametrize("field", ["cell_max_mv", "temp_max_mc", "dvl_mv"])
def test_what_cannot_be_told_safely_stops_the_current(field: str) -> None:
    codec = Codec()
    said = codec.values(codec.registers(healthy(**{field: 2**33})))
    assert said["AChaMax"] == said["ADisChaMax"] == 0
    assert sum(codec.saturated.values()) == 1


def test_decode_request_answer_and_refusal() -> None:
    codec = Codec()
    asked = struct.pack(">HHHBBHH", 7, 0, 6, 1, 3, 0, modbus_tcp.COUNT)
    assert codec.read(asked) == {
        "transaction": 7,
        "unit": 1,
        "function": 3,
        "register": 0,
        "count": 82,
    }
    body = codec.registers(healthy())
    answer = struct.pack(">HHHBBB", 7, 0, 3 + len(body), 1, 3, len(body)) + body
    assert codec.read(answer)["V"] == 53_120
    part = struct.pack(">HHHBBB", 7, 0, 5, 1, 3, 2) + b"\x00\x07"
    assert codec.read(part)["registers"] == [7]
    with pytest.raises(RefusedError):
        codec.read(struct.pack(">HHHBBB", 7, 0, 3, 1, 0x83, 11))


@given(st.binary(max_size=200))
def test_any_bytes_are_read_or_refused(data: bytes) -> None:
    try:
        Codec().read(data)
    except (FrameError, RefusedError) as error:
        assert str(error)
