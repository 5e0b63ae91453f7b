"""Every entry of the vector files that stand beside the project, in both directions.

Their names and human units are turned into the data model's here, so nothing of the codecs' own
tables is trusted. Entries that cannot be met as they stand are listed with the reason.
"""

import json
from pathlib import Path
from typing import Any

import pytest

from vbms.aggregate.snapshot import Snapshot
from vbms.commands.decode import read
from vbms.errors import FrameError, RefusedError
from vbms.upstream import byd_pro, jk_4e57, jk_ble, jk_pb
from vbms.wire.receiver import Receiver

FOLDER = Path(__file__).resolve().parents[3] / "shared" / "vectors"

pytestmark = pytest.mark.skipif(not FOLDER.is_dir(), reason="no shared vectors beside the project")

# Renamed by the data model, with the factor to its unit.
RENAMED = {
    "soc_pct": ("soc_permille", 10),
    "soh_pct": ("soh_permille", 10),
    "mos_temp_C": ("mosfet_mc", 1000),
    "full_Ah": ("capacity_mah", 1000),
    "cycles": ("cycles_count", 1),
    "temps_C": ("sensors_mc", 1000),
    "power_W_abs": ("power_mw_abs", 1000),
}
ENDINGS = {
    "_mV": ("_mv", 1),
    "_mOhm": ("_mohm", 1),
    "_V": ("_mv", 1000),
    "_A": ("_ma", 1000),
    "_Ah": ("_mah", 1000),
    "_C": ("_mc", 1000),
}
SECRET = "a password is never shown; the vector has it in plain text"
ZERO_SOH = "SOH 0 is unknown to the data model, not a dead battery"

DIFFERENT: dict[tuple[str, str], tuple[Any, str]] = {
    ("soh_permille", "status_B2A8S30P_19.07"): (None, ZERO_SOH),
}
for _name in ("devinfo_PB2A16S20P_15.37", "devinfo_B2A25SRP_11.55"):
    DIFFERENT[("device_passcode", _name)] = ("***", SECRET)
    DIFFERENT[("setup_passcode", _name)] = ("***", SECRET)
for _name in ("devinfo_B2A24S15P_10.07", "devinfo_B2A24S_3.2.3", "devinfo_B2A16S_3.3.0"):
    DIFFERENT[("device_passcode", _name)] = ("***", SECRET)


def entries(name: str) -> list[Any]:
    if not FOLDER.is_dir():
        return []
    return [
        pytest.param(entry, id=entry["name"])
        for entry in json.loads((FOLDER / ("%s.json" % name)).read_text())
    ]


def wanted(name: str, value: Any) -> tuple[str, Any]:
    """A vector's name and value in the data model's."""
    target, factor = RENAMED.get(name, (name, 1))
    if name not in RENAMED:
        for ending, (short, by) in ENDINGS.items():
            if name.endswith(ending):
                target, factor = name[: -len(ending)] + short, by
                break
    if isinstance(value, list):
        return target, [round(each * factor) for each in value]
    if value is None or isinstance(value, str | bool) or factor == 1:
        return target, value
    return target, round(value * factor)


def compare(entry: dict[str, Any], said: Any) -> None:
    assert entry["expect"], "an empty expectation proves nothing"
    for name, value in entry["expect"].items():
        target, expected = wanted(name, value)
        if (target, entry["name"]) in DIFFERENT:
            expected = DIFFERENT[(target, entry["name"])][0]
        assert said[target] == expected, target


def frames_of(codec: Any, data: bytes) -> list[bytes]:
    return Receiver(codec.take).feed(data)


def refused(protocol: str, entry: dict[str, Any]) -> None:
    with pytest.raises(FrameError, match="^" + entry["expect"]["error"]):
        read(protocol, bytes.fromhex(entry["hex"]))


@pytest.mark.parametrize("entry", entries("byd_pro"))
def test_byd_pro(entry: dict[str, Any]) -> None:
    data = bytes.fromhex(entry["hex"])
    codec = byd_pro.Codec(address=data[0])
    if "error" in entry["expect"]:
        refused("byd_pro", entry)
        frames = frames_of(codec, data)
        if entry["name"] == "bad_trailing_byte":  # on a line the frame is good, the rest noise
            assert frames == [data[:-1]]
            return
        for frame in frames:
            with pytest.raises(FrameError):
                codec.decode((frame,), 0)
        return
    if entry["direction"] == "host->bms":
        assert codec.requests()[0][1] == data
        assert frames_of(codec, data) == []  # our own echo
        compare(entry, read("byd_pro", data)[0])
        return
    said, refusal = read("byd_pro", data)
    compare(entry, said)
    (frame,) = frames_of(codec, data)
    assert frame == data
    assert codec.slot(frame) == 0
    if entry["expect"]["result"]:
        assert refusal is not None and refusal.startswith("refused")
        with pytest.raises(RefusedError) as caught:
            codec.decode((frame,), 0)
        assert caught.value.code == entry["expect"]["result"]
        return
    assert refusal is None
    assert isinstance(said, dict)
    same_as_codec(codec.decode((frame,), 7), said)


def same_as_codec(snap: Snapshot, said: dict[str, Any]) -> None:
    """`decode` says what the codec says, and the codec what the vector says."""
    assert snap.taken_ms == 7
    for name in ("voltage_mv", "current_ma", "soc_permille", "cycles_count", "soh_permille"):
        assert getattr(snap, name) == said[name], name
    assert list(snap.cells_mv or ()) == said["cells_mv"]
    assert list(snap.temps_mc or ()) == said["temps_mc"]


@pytest.mark.parametrize("entry", entries("jk_pb_modbus"))
def test_jk_pb(entry: dict[str, Any]) -> None:
    data = bytes.fromhex(entry["hex"])
    expect = entry["expect"]
    if "error" in expect:
        refused("jk_pb", entry)
        assert frames_of(jk_pb.Codec(address=3), data + bytes(400)) == []
        return
    said, refusal = read("jk_pb_modbus", data)
    if entry["name"].startswith("fc03_resp"):
        # The vector is right, but names registers: the answer itself does not say which they are,
        # and vbms never asks with function 03. Its bytes are shown.
        assert said == {
            "address": data[0],
            "function": 3,
            "count": data[2] // 2,
            "data": data[3:-2].hex(),
        }
        return
    compare(entry, said)
    assert (refusal is not None) == ("exception" in expect)
    if len(data) == 11 and 0x161C <= expect["register"] <= 0x1620:
        asked = {request for _, request in jk_pb.Codec(address=data[0]).requests()}
        assert data in asked
    elif len(data) == 8 and expect["function"] == 0x10:
        kind = {0x161C: 3, 0x161E: 1, 0x1620: 2}[expect["register"]]
        assert jk_pb.acknowledge(expect["address"], kind) == data
    elif len(data) == 308:
        codec = jk_pb.Codec(address=expect["ack_address"])
        (frame,) = frames_of(codec, data)
        assert frame == data
        slot = {0x1620: 0, 0x161E: 1, 0x161C: 2}[expect["ack_register"]]
        assert codec.slot(frame) == slot
        assert jk_pb.Codec(address=14).slot(frame) is None
        if slot == 0:
            assert isinstance(said, dict)
            same_as_codec(codec.decode((frame, None, None), 7), said)
    elif len(data) == 300:  # a payload alone: shown by `decode`, no frame on a line
        assert frames_of(jk_pb.Codec(address=3), data + bytes(20)) == []


@pytest.mark.parametrize("entry", entries("jk02_32s") + entries("jk02_24s") + entries("jk04"))
def test_jk02(entry: dict[str, Any]) -> None:
    bad = "error" in entry["expect"]
    both = entry["protocol"] == "jk_ble_command"  # one command set for all layouts
    layout = ("jk02_32s", "jk02_24s", "jk04") if both else (entry["protocol"],)
    for protocol in (*layout, "jk_ble"):
        if bad:
            refused(protocol, entry)
            continue
        said, refusal = read(protocol, bytes.fromhex(entry["hex"]))
        assert refusal is None
        compare(entry, said)


def info_of(entry: dict[str, Any]) -> bytes | None:
    """Device info of the same unit, if the files have it: names end in model and firmware."""
    unit = [word for word in entry["name"].split("_") if "." in word or "S" in word[1:]][:2]
    for parameter in entries(entry["protocol"]):
        (other,) = parameter.values
        if isinstance(other, dict) and other["name"] == "devinfo_" + "_".join(unit):
            return bytes.fromhex(other["hex"])
    return None


@pytest.mark.parametrize("entry", entries("jk02_32s") + entries("jk02_24s") + entries("jk04"))
def test_jk_ble_codec(entry: dict[str, Any]) -> None:
    """On the air: among AT noise, echoes and the ready frame, and whatever the layout."""
    data = bytes.fromhex(entry["hex"])
    codec = jk_ble.Codec()
    noise = b"AT\r\n" * 3 + bytes.fromhex("aa5590ebc8010100000000000000000000000044")
    frames = frames_of(codec, noise + data + noise)
    if "error" in entry["expect"] or entry["protocol"] == "jk_ble_command":
        assert frames == []
        if entry["name"].startswith("cmd_request"):
            assert data in {request for _, request in codec.requests()}
        return
    assert frames == [data]
    assert codec.slot(data) == {2: 0, 1: 1, 3: 2}[data[4]]
    if data[4] != 2:
        return
    for info in {None, info_of(entry)}:
        snap = codec.decode((data, None, info), 7)
        for name, value in entry["expect"].items():
            target, expected = wanted(name, value)
            if target in ("voltage_mv", "current_ma", "soc_permille", "mosfet_mc", "cells_mv"):
                found = getattr(snap, target)
                assert (list(found) if target == "cells_mv" else found) == expected, target
        assert snap.only_shown == (entry["protocol"] == "jk04")
        assert snap.note is None or snap.only_shown


@pytest.mark.parametrize("entry", entries("jk_4e57"))
def test_jk_4e57(entry: dict[str, Any]) -> None:
    data = bytes.fromhex(entry["hex"])
    codec = jk_4e57.Codec()
    if "error" in entry["expect"]:
        refused("jk_4e57", entry)
        assert frames_of(codec, data) == []
        assert frames_of(codec, data + data)[:1] in ([], [data])
        return
    said, refusal = read("jk_4e57", data)
    assert refusal is None
    compare(entry, said)
    if entry["direction"] == "host->bms":
        assert codec.requests()[0][1] == data
        assert frames_of(codec, data) == []  # our own echo
        return
    assert frames_of(codec, b"NW\x00" + data + data) == [data, data]
    assert codec.slot(data) == 0
    assert isinstance(said, dict)
    same_as_codec(codec.decode((data,), 7), said)


def test_a_vector_can_fail() -> None:
    (entry,) = entries("jk_pb_modbus")[1].values
    assert isinstance(entry, dict)
    said, _ = read("jk_pb", bytes.fromhex(entry["hex"]))
    assert isinstance(said, dict)
    with pytest.raises(AssertionError, match="voltage_mv"):
        compare(entry, said | {"voltage_mv": said["voltage_mv"] + 1})
