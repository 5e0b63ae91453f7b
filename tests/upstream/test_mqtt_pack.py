"""Messages of a battery by MQTT: one object, or a topic for each cell."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vbms.aggregate import alarms
from vbms.aggregate.snapshot import Snapshot
from vbms.errors import FrameError
from vbms.upstream.mqtt_pack import LONGEST, Codec, declared
from vbms.wire.receiver import Receiver


def said(thing: dict[str, Any], now_ms: int = 1000, **options: Any) -> Snapshot:
    return Codec("a/b", **options).decode((b"a/b " + json.dumps(thing).encode(),), now_ms)


def cells(*lines: str, count: int = 3, now_ms: int = 0, **options: Any) -> Snapshot:
    codec = Codec("P", shape="pack", cells=count, **options)
    frames: list[bytes | None] = [None] * len(codec.requests())
    for line in lines:
        slot = codec.slot(line.encode())
        assert slot is not None
        frames[slot] = line.encode()
    return codec.decode(frames, now_ms)


def test_an_old_value_stays_old() -> None:
    assert said({"voltage_mv": 50000, "age_ms": 700}).taken_ms == 300
    assert said({"voltage_mv": 50000, "taken_ms": 5}).taken_ms == 1000
    with pytest.raises(FrameError, match="age_ms"):
        said({"voltage_mv": 50000, "age_ms": -1})


def test_alarms_by_name_and_by_bit() -> None:
    snap = said(
        {
            "voltage_mv": 50000,
            "warnings": alarms.IMBALANCE | 1 << 29,
            "alarms": {"cell_overvoltage": 2, "comms": 0, "meteorite": 3, "imbalance": 1},
        }
    )
    assert snap.warnings == alarms.IMBALANCE
    assert snap.protections == alarms.CELL_OVERVOLTAGE
    assert snap.criticals == alarms.INTERNAL
    with pytest.raises(FrameError, match="level of 4"):
        said({"voltage_mv": 1, "alarms": {"comms": 4}})


@pytest.mark.parametrize(
    "thing",
    [
        {"soc_permille": 500},
        {"voltage_mv": 50.5},
        {"voltage_mv": "50"},
        {"voltage_mv": True},
        {"voltage_mv": 1 << 40},
        {"cells_mv": 3300},
        {"cells_mv": ["3300"]},
        {"cells_mv": [3300] * 65},
        {"cells_mv": []},
        {"voltage_mv": 50000, "charge_ok": 1},
        {"voltage_mv": 50000, "serial": 5},
        {"voltage_mv": 50000, "alarms": [1]},
        {"voltage_mv": 50000, "note": "x" * LONGEST},
    ],
)
def test_refused(thing: dict[str, Any]) -> None:
    with pytest.raises(FrameError):
        said(thing)


def test_permission_is_not_invented() -> None:
    snap = said({"voltage_mv": 50000})
    assert snap.charge_ok is snap.discharge_ok is None
    snap = said({"voltage_mv": 50000, "charge_ok": False}, switches="absent")
    assert (snap.charge_ok, snap.discharge_ok) == (False, True)


def test_only_its_own_topic() -> None:
    codec = Codec("vbms/units/byd-1")
    assert codec.topics == ("vbms/units/byd-1",)
    assert codec.slot(b"vbms/units/byd-1 {}") == 0
    assert codec.slot(b"vbms/units/byd-10 {}") is None
    assert codec.slot(b"vbms/units/byd-1/x {}") is None


def test_cells_of_a_monitor() -> None:
    codec = Codec("Powerwall", shape="pack", cells=2)
    assert codec.topics[::2] == ("Powerwall/Pack-v-1", "Powerwall/Pack-t-1")
    assert codec.needed == (0, 1)
    snap = cells(
        "P/Pack-v-1 3300", "P/Pack-v-2 3310", "P/Pack-v-3  9999 ", "P/Pack-t-2 -5", now_ms=9
    )
    assert (snap.cells_mv, snap.voltage_mv, snap.temps_mc) == ((3300, 3310, 9999), 16609, (-5000,))
    assert (snap.taken_ms, snap.current_ma, snap.charge_ok) == (9, None, None)
    assert cells("P/Pack-v-1 3300", "P/Pack-t-1 21.25", count=1).temps_mc == (21250,)
    assert cells("P/Pack-v-1 3300.9", count=1, switches="absent").charge_ok is True


@pytest.mark.parametrize(
    "text", ["", "-", ".", "33o0", "0x10", "1e3", "12345678", "3300 3300", "3..3"]
)
def test_no_number(text: str) -> None:
    with pytest.raises(FrameError, match="payload"):
        cells("P/Pack-v-1 " + text, count=1)


def test_a_cell_that_says_nothing() -> None:
    with pytest.raises(FrameError, match="truncated"):
        cells("P/Pack-v-1 3300", "P/Pack-v-3 3300")


def test_limits_come_from_the_message_or_the_profile() -> None:
    assert declared({"shape": "json", "limits": "message"}) == ("ccl_ma", "dcl_ma")
    assert declared({"shape": "json", "limits": "profile"}) == ()
    assert declared({"shape": "pack", "limits": "message"}) == ()


@given(st.lists(st.binary(max_size=30).map(lambda b: b.replace(b"\n", b"")), max_size=5), st.data())
def test_any_chunking(lines: list[bytes], data: st.DataObject) -> None:
    stream = b"\n".join(lines) + b"\n"
    whole = Receiver(Codec().take, LONGEST).feed(stream)
    assert whole == [line.strip() for line in lines if line.strip()]
    receiver = Receiver(Codec().take, LONGEST)
    found = []
    while stream:
        size = data.draw(st.integers(1, len(stream)))
        found += receiver.feed(stream[:size])
        stream = stream[size:]
    assert found == whole


def test_a_line_without_an_end_is_let_go() -> None:
    codec = Codec()
    assert codec.take(b"x" * LONGEST) == (0, None)
    assert codec.take(b"x" * (LONGEST + 1)) == (LONGEST + 1, None)
    assert codec.take(b"x" * (LONGEST + 1) + b"\n") == (LONGEST + 2, None)


@given(st.lists(st.none() | st.binary(max_size=40), max_size=5), st.integers(0, 5))
def test_any_bytes(frames: list[bytes | None], count: int) -> None:
    for codec in (Codec("a"), Codec("a", shape="pack", cells=count)):
        for frame in frames:
            codec.slot(frame or b"")
        for trial in (frames, [b"a " + (frame or b"") for frame in frames]):
            try:
                assert isinstance(codec.decode(trial, 0), Snapshot)
            except FrameError:
                pass
