"""The JK02 payload: layouts, sensors, permissions and alarms bit by bit."""

import struct
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vbms.aggregate import alarms
from vbms.aggregate.snapshot import FIELDS, Snapshot
from vbms.errors import FrameError
from vbms.upstream import jk02


def payload(kind: int, *fields: tuple[int, str, Any]) -> bytes:
    frame = bytearray(300)
    frame[:5] = bytes([0x55, 0xAA, 0xEB, 0x90, kind])
    for at, letter, value in fields:
        struct.pack_into("<" + letter, frame, at, value)
    frame[299] = sum(frame[:299]) % 256
    return bytes(frame)


HEALTHY = [
    *((6 + 2 * n, "H", 3300 + n) for n in range(16)),
    (70, "I", 0xFFFF),
    (144, "h", 215),
    (150, "I", 52920),
    (162, "h", 200),
    (164, "h", 210),
    (173, "B", 50),
    (190, "B", 100),
    (198, "B", 1),
    (199, "B", 1),
    (214, "B", 0xFF),
    (254, "h", 215),
    (256, "h", 190),
    (258, "h", 195),
]
SWITCHED_ON = [(38, "I", 3450), (114, "I", 16), (118, "I", 1), (122, "I", 1)]
SETTINGS = payload(1, *SWITCHED_ON)


def live(*fields: tuple[int, str, Any], settings: bytes | None = SETTINGS) -> Snapshot:
    return jk02.Reader().snapshot(payload(2, *HEALTHY, *fields), settings, None, 9)


def values(snap: Snapshot) -> list[Any]:
    return [getattr(snap, name) for name in FIELDS]


def test_healthy() -> None:
    snap = live()
    assert snap.taken_ms == 9
    assert snap.temps_mc == [20000, 21000, 19000, 19500]
    assert snap.mosfet_mc == 21500
    assert snap.charge_ok is True and snap.discharge_ok is True
    assert snap.charge_open is False and snap.discharge_open is False
    assert (snap.warnings, snap.protections, snap.criticals) == (0, 0, 0)
    assert snap.cvl_mv == 55200
    assert snap.ambient_mc is None


@pytest.mark.parametrize(
    ("fields", "temps"),
    [
        ([(162, "h", -2000)], [21000, 19000, 19500]),
        ([(214, "B", 0xFF & ~2)], [21000, 19000, 19500]),
        ([(214, "B", 0xFF & ~4)], [20000, 19000, 19500]),
        ([(214, "B", 0x07)], [20000, 21000]),
        ([(256, "h", 0), (258, "h", -2000)], [20000, 21000]),
        ([(254, "h", 205)], [20000, 21000, 19000, 19500, 20500]),
        ([(254, "h", 205), (214, "B", 0xFF & ~8)], [20000, 21000, 19000, 19500]),
        ([(254, "h", 0)], [20000, 21000, 19000, 19500]),
        ([(162, "h", 0)], [0, 21000, 19000, 19500]),
        ([(162, "h", -3)], [-300, 21000, 19000, 19500]),
    ],
)
def test_sensors(fields: list[tuple[int, str, int]], temps: list[int]) -> None:
    assert live(*fields).temps_mc == temps


def test_mosfet_sensor() -> None:
    assert live((144, "h", -2000)).mosfet_mc is None
    assert live((214, "B", 0xFE)).mosfet_mc is None
    assert live((144, "h", -55)).mosfet_mc == -5500


def test_cells_follow_the_mask() -> None:
    assert live((70, "I", 0b1011)).cells_mv == (3300, 3301, 3303)
    assert live((70, "I", 0)).cells_mv == ()
    assert live((70, "I", 1), (6, "H", 0)).cells_mv == (0,)  # a broken wire is a reading
    assert len(live((70, "I", 0xFFFFFFFF)).cells_mv or ()) == 32


def test_soh_zero_is_unknown() -> None:
    assert live((190, "B", 0)).soh_permille is None


STOP = {1, 2, 4, 5, 6, 7, 8, 9, 10, 16, 21, 22, 24}
HALT = {1, 2, 10, 11, 12, 13, 14, 15, 17, 20, 21, 22, 24, 25, 26, 27}
NAMES = (
    ["internal", "mosfet_overtemperature", "internal", "internal"]
    + ["cell_overvoltage", "pack_overvoltage", "charge_overcurrent", "short_circuit"]
    + ["charge_overtemperature", "charge_undertemperature", "internal"]
    + ["cell_undervoltage", "pack_undervoltage", "discharge_overcurrent", "short_circuit"]
    + ["discharge_overtemperature", "internal", "internal", None, None, "internal", "both"]
    + ["temperature_sensor", "internal", "short_circuit"]
    + ["discharge_overcurrent", "discharge_overcurrent", "discharge_undertemperature"]
    + ["internal"] * 4
)


@pytest.mark.parametrize("bit", range(32))
def test_error_bits(bit: int) -> None:
    snap = live((166, "I", 1 << bit))
    assert snap.charge_ok is (bit not in STOP)
    assert snap.discharge_ok is (bit not in HALT)
    name = NAMES[bit]
    both = alarms.CHARGE_OVERTEMPERATURE | alarms.DISCHARGE_OVERTEMPERATURE
    word = 0 if name is None else both if name == "both" else 1 << alarms.NAMES.index(name)
    told = bit in (0, 3, 23, 28)
    assert (snap.warnings, snap.protections) == ((word, 0) if told else (0, word))


def test_permissions() -> None:
    off = payload(1, *SWITCHED_ON, (118, "I", 0))
    assert live(settings=off).charge_ok is False
    assert live(settings=off).discharge_ok is True
    assert live(settings=None).charge_ok is None
    assert live(settings=None).discharge_ok is None
    closed = live((198, "B", 0))
    assert (closed.charge_ok, closed.charge_open) == (False, True)
    assert (closed.discharge_ok, closed.discharge_open) == (True, False)
    closed = live((199, "B", 0), settings=None)
    assert (closed.discharge_ok, closed.discharge_open) == (False, True)
    assert live((166, "I", 16), settings=None).charge_ok is False


@pytest.mark.parametrize(
    ("cell", "count", "cvl"),
    [
        (2999, 16, None),
        (3000, 16, 48000),
        (3650, 16, 58400),
        (3651, 16, None),
        (3450, 0, None),
        (3450, 33, None),
        (0, 16, None),
        (2**32 - 1, 16, None),
    ],
)
def test_charge_voltage(cell: int, count: int, cvl: int | None) -> None:
    settings = payload(1, *SWITCHED_ON, (38, "I", cell), (114, "I", count))
    assert live(settings=settings).cvl_mv == cvl


def test_a_24s_frame() -> None:
    frame = payload(
        2,
        *((6 + 2 * n, "H", 3300 + n) for n in range(24)),
        (54, "I", 0xFFFFFF),
        (118, "I", 79476),
        (126, "i", -1500),
        (130, "h", -31),
        (132, "h", 29),
        (134, "h", 234),
        (136, "H", 1 << 11),
        (141, "B", 85),
        (142, "I", 42804),
        (146, "I", 50000),
        (150, "I", 7),
        (158, "B", 100),
        (166, "B", 1),
        (167, "B", 0),
        (182, "B", 7),
    )
    snap = jk02.Reader(24).snapshot(frame, SETTINGS, None, 0)
    assert snap.cells_mv == tuple(range(3300, 3324))
    assert (snap.voltage_mv, snap.current_ma, snap.soc_permille) == (79476, -1500, 850)
    assert (snap.remaining_mah, snap.capacity_mah, snap.cycles_count) == (42804, 50000, 7)
    assert (snap.temps_mc, snap.mosfet_mc) == ([-3100, 2900], 23400)
    assert (snap.charge_ok, snap.discharge_ok) == (True, False)
    assert snap.protections == alarms.CELL_UNDERVOLTAGE


def test_the_same_frames_give_the_same_snapshot() -> None:
    """What a reader remembers of earlier frames must not show."""
    off = payload(1, *SWITCHED_ON, (118, "I", 0), (50, "I", 5000))
    info = payload(3, (6, "4s", b"JK-1"), (86, "3s", b"123"))
    frames = [
        (payload(2, *HEALTHY, (70, "I", mask)), settings, about)
        for mask in (0xFFFF, 0xF, 0xF0F, 0)
        for settings in (None, SETTINGS, off)
        for about in (None, info)
    ]
    shared = jk02.Reader()
    for frame, settings, about in frames + frames[::-1]:
        fresh = jk02.Reader().snapshot(frame, settings, about, 3)
        assert values(shared.snapshot(frame, settings, about, 3)) == values(fresh)


def test_a_bad_settings_frame_is_not_remembered() -> None:
    reader = jk02.Reader()
    frame = payload(2, *HEALTHY)
    for _ in range(2):
        with pytest.raises(FrameError):
            reader.snapshot(frame, payload(3), None, 0)
    assert reader.snapshot(frame, SETTINGS, None, 0).charge_ok is True


@given(
    st.binary(max_size=400),
    st.sampled_from([24, 32]),
    st.sampled_from([b"", jk02.HEADER + b"\x01", jk02.HEADER + b"\x02", jk02.HEADER + b"\x03"]),
)
def test_any_bytes_give_a_snapshot_or_a_frame_error(data: bytes, cells: int, head: bytes) -> None:
    frame = head + data
    live_frame = payload(2, *HEALTHY)
    for frames in ((frame, None, None), (live_frame, frame, None), (live_frame, None, frame)):
        try:
            snap = jk02.Reader(cells).snapshot(*frames, 1)
        except FrameError:
            continue
        assert snap.taken_ms == 1


def test_text() -> None:
    assert jk02.text(b"..JK-BMS\x00old", 2, 16) == "JK-BMS"
    assert jk02.text(b"12345678", 0, 4) == "1234"
    assert jk02.text(b"a\xff\x07b", 0, 8) == "ab"
