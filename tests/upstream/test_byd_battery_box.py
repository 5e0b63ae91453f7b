"""Battery-Box: published captures, both ways, and what any other bytes come to."""

import json
import struct
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vbms.aggregate import alarms
from vbms.aggregate.admission import Admission
from vbms.aggregate.member import Member
from vbms.aggregate.profile import UnitProfile
from vbms.commands.decode import read
from vbms.errors import FrameError, RefusedError
from vbms.upstream import byd_battery_box as box

VECTORS = Path(__file__).resolve().parents[3] / "shared" / "vectors" / "byd_battery_box.json"
OWN = Path(__file__).resolve().parents[1] / "vectors" / "byd_battery_box"
ENDINGS = {
    "_mV": ("_mv", 1),
    "_V": ("_mv", 1000),
    "_A": ("_ma", 1000),
    "_C": ("_mc", 1000),
    "_kWh": ("_wh", 1000),
}
RENAMED = {"soc_pct": ("soc_permille", 10), "soh_pct": ("soh_permille", 10)}


def blocks(name: str) -> list[bytes]:
    return [
        bytes.fromhex(each) for each in json.loads((OWN / f"{name}.json").read_text())["frames"]
    ]


def entries() -> list[Any]:
    found = json.loads(VECTORS.read_text()) if VECTORS.exists() else []
    return [pytest.param(entry, id=entry["name"]) for entry in found]


@pytest.mark.skipif(not VECTORS.exists(), reason="no shared vectors beside the project")
@pytest.mark.parametrize("entry", entries())
def test_published_frames(entry: dict[str, Any]) -> None:
    data = bytes.fromhex(entry["hex"] or "".join(entry["hex_blocks"]))
    if "error" in entry["expect"]:
        with pytest.raises(FrameError, match="checksum.*crc"):
            read("byd_battery_box", data)
        return
    said, refusal = read("byd_battery_box", data)
    assert (refusal is not None) == ("exception" in entry["expect"])
    assert isinstance(said, dict)
    for name, value in entry["expect"].items():
        target, factor = RENAMED.get(name, (name, 1))
        for ending, (short, by) in ENDINGS.items():
            if name.endswith(ending) and name not in RENAMED:
                target, factor = name[: -len(ending)] + short, by
        if isinstance(value, list):
            value = [round(each * factor) for each in value]
        elif factor != 1:
            value = round(value * factor)
        assert said[target] == value, target


@pytest.mark.parametrize("size", [0, 1, 4, 54, 56])
def test_a_cut_answer_is_none(size: int) -> None:
    body = blocks("lvl_status_alone")[0]
    whole = b"\x01\x03" + bytes((len(body),)) + body + b"\x00\x00\x00"
    with pytest.raises(FrameError):
        read("byd_battery_box", whole[:size])


def test_extremes_are_taken_to_the_safe_side() -> None:
    """3.318 V of the captured cells was told as 3.31: the wire cuts off."""
    snap = box.Codec().decode(blocks("lvl_3bms_captured"), 0)
    assert (
        snap.cells_mv is not None and snap.cell_high_mv is not None and snap.cell_low_mv is not None
    )
    assert snap.cell_low_mv <= min(snap.cells_mv) < snap.cell_low_mv + 10
    assert snap.cell_high_mv - 10 < max(snap.cells_mv) <= snap.cell_high_mv


def test_the_bank_takes_three_strings_and_the_extremes_decide() -> None:
    profile = UnitProfile(
        "box", cells=None, max_charge_ma=250_000, needs_settings=True, mosfet_present=False
    )
    snap = box.Codec().decode(blocks("lvl_3bms_captured"), 0)
    assert Admission(profile).check(snap, 0) is None
    member = Member(profile)
    member.take(snap)
    assert (member.cells, member.cell_max_mv, member.cell_min_mv) == (16, 3329, 3310)
    assert member.weight_mah == 900_000 * 960 // 1000
    alone = Member(profile)
    alone.take(box.Codec().decode(blocks("lvl_3bms_captured")[:2], 0))
    assert (alone.cells, alone.cell_max_mv, alone.cell_max_at) == (16, 3329, -1)
    assert alone.allowed[0].limit_ma == member.allowed[0].limit_ma > 0


def test_an_hv_voltage_with_lv_cells_is_dropped() -> None:
    snap = box.Codec().decode([blocks("hvs_captured")[0], blocks("lvl_3bms_captured")[1]], 0)
    assert Admission(UnitProfile("box", cells=None)).check(snap, 0) == "cell_sum"


def test_cells_that_no_longer_fit_are_not_shown() -> None:
    frames = blocks("lvl_3bms_captured")
    status = bytearray(frames[0])
    status[2:4] = struct.pack(">H", 345)  # the highest cell has gone up since
    status[10:12] = struct.pack(">H", 5400)
    snap = box.Codec().decode([bytes(status), *frames[1:]], 0)
    assert snap.cells_mv is None and snap.cell_high_mv == 3459
    assert box.Codec().decode([*frames[:4], None], 0).cells_mv is None


def test_another_model_than_the_profile_s() -> None:
    with pytest.raises(FrameError, match="it is a lvl, not a hvs"):
        box.Codec(model="hvs").decode(blocks("lvl_3bms_captured"), 0)


@pytest.mark.parametrize("bit", range(16))
def test_errors(bit: int) -> None:
    status = bytearray(blocks("lvl_status_alone")[0])
    status[26:28] = struct.pack(">H", 1 << bit)
    snap = box.Codec().decode([bytes(status)], 0)
    alarm, no_charge, no_discharge = box.ERRORS[bit]
    assert snap.protections == alarm
    assert snap.charge_ok is not no_charge and snap.discharge_ok is not no_discharge
    if alarm & (alarms.CHARGE_ONLY & ~alarms.DISCHARGE_ONLY):
        assert no_charge


def test_what_is_asked() -> None:
    codec = box.Codec()
    reads = codec.reads()
    assert reads[0][1:] == (3, 0x0500, 25) and reads[1][1:] == (3, 0, 0x66)
    info = blocks("lvl_3bms_captured")[1]
    wanted = [slot for slot in range(len(reads)) if codec.wanted(slot, [None, info])]
    assert wanted == [0, 1, 2, 3, 4]
    assert not codec.wanted(2, [None, None])
    for slot in wanted[2:]:
        queue = codec.queue(slot)
        assert queue is not None
        assert (queue.write_at, queue.write_values) == (0x0550, (slot - 1, 0x8100))  # never 0x0010


@given(st.lists(st.one_of(st.none(), st.binary(max_size=600)), max_size=6))
def test_any_bytes_only_a_frame_error(frames: list[bytes | None]) -> None:
    codec = box.Codec()
    try:
        codec.decode(frames, 0)
    except (FrameError, RefusedError):
        pass
    padded = [*frames, None, None]
    for slot in range(4):
        codec.wanted(slot, padded)


@given(
    st.binary(min_size=50, max_size=50),
    st.binary(min_size=204, max_size=204),
    st.binary(min_size=520, max_size=520),
)
def test_any_registers_of_the_right_size(status: bytes, info: bytes, detail: bytes) -> None:
    marked = bytearray(detail)
    for at in range(0, 520, 130):
        marked[at : at + 2] = b"\x00\x80"
    try:
        snap = box.Codec().decode([status, info, *[bytes(marked)] * 16], 5)
    except FrameError:
        return
    Admission(UnitProfile("box", cells=None)).check(snap, 0)
    Member(UnitProfile("box", cells=None)).take(snap)


@given(st.binary(max_size=300))
def test_decode_refuses_with_a_word(data: bytes) -> None:
    try:
        read("byd_battery_box", data)
    except FrameError as error:
        assert str(error).split(":")[0] in ("checksum", "truncated", "length", "marker", "payload")
