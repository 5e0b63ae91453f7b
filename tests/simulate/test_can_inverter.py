"""The simulated CAN inverters: what they object to, how they speak, how they drive the world."""

from __future__ import annotations

import asyncio
import struct
from typing import Any

import pytest

from vbms.simulate.can_checks import STYLES
from vbms.simulate.can_inverter import CanInverter
from vbms.simulate.can_wire import Adapter, CanFrame, CanLine, Wire, from_text
from vbms.simulate.charger import STEP_S, Allowed, Charger
from vbms.simulate.world import World


def limits(cvl: int = 552, charge: int = 1000, discharge: int = 1500, dvl: int = 460) -> bytes:
    return struct.pack("<HhhH", cvl, charge, discharge, dvl)


# The worked bytes of the document, in the order they are sent.
GOOD = {
    0x359: bytes.fromhex("0000000001504E00"),
    0x351: limits(),
    0x355: bytes.fromhex("3200640000000000"),
    0x356: bytes.fromhex("C0140000FA000000"),
    0x35C: bytes.fromhex("C000000000000000"),
    0x35E: b"PYLON   ",
}


class Ear:
    """Another node on the wire."""

    def __init__(self, wire: Wire) -> None:
        self.heard: list[CanFrame] = []
        wire.nodes.append(self)

    def listens(self, bitrate: int) -> bool:
        return True

    def hear(self, frame: CanFrame) -> None:
        self.heard.append(frame)


def told(kind: str = "deye_can", **changed: Any) -> CanInverter:
    """An inverter after one set, some frames of it changed ("x351")."""
    wire = Wire()
    inverter = CanInverter(kind, wire=wire)
    frames = GOOD | {int(name[1:], 16): data for name, data in changed.items()}
    for can_id, data in frames.items():
        inverter.hear(CanFrame(can_id, data))
    return inverter


def test_the_documents_bytes_break_no_rule() -> None:
    inverter = told()
    assert not inverter.violations
    assert inverter.allowed() == Allowed(100.0, 150.0, 55.2, 46.0)
    assert inverter.table()[0][:4] == ("53.12V", "0.0A", "25.0C", "50%")


@pytest.mark.parametrize(
    ("changed", "rule"),
    [
        ({"x351": limits()[:6]}, "dlc"),
        ({"x351": limits(charge=-1)}, "limit"),
        ({"x351": limits(cvl=0)}, "cvl"),
        ({"x351": limits(cvl=610)}, "cvl"),
        ({"x351": limits(dvl=0)}, "dvl"),
        ({"x351": limits(charge=0)}, "enable"),
        ({"x35C": b"\x40" + bytes(7)}, "enable"),
        ({"x35C": b"\xc1" + bytes(7)}, "bits"),
        ({"x35C": b"\x60" + bytes(7)}, "bits"),
        ({"x355": b"\x65\0\x64\0" + bytes(4)}, "soc"),
        ({"x355": b"\x32\0\x64\0\x01" + bytes(3)}, "fill"),
        ({"x356": bytes(8)}, "voltage"),
        ({"x359": bytes(8)}, "pn"),
        ({"x359": b"\x02\0\0\0\x01PN\0"}, "bits"),
        ({"x359": b"\x01\0\x01\0\x01PN\0"}, "bits"),
        ({"x35E": bytes(8)}, "name"),
        ({"x35E": b"NOBODY  "}, "name"),
    ],
)
def test_what_breaks_a_rule_is_named(changed: dict[str, bytes], rule: str) -> None:
    assert rule in told(**changed).broken


def test_frames_too_fast_and_long_identifiers_are_named() -> None:
    inverter = told()
    inverter.hear(CanFrame(0x351, limits()))
    inverter.hear(CanFrame(0x35F, bytes(8), True))
    assert set(inverter.broken) == {"fast", "bits"}


def test_a_battery_that_speaks_unasked_is_named() -> None:
    for kind, frame in (
        ("pylontech_hv_can", CanFrame(0x4210, bytes(8), True)),
        ("byd_can", CanFrame(0x110, bytes(8))),
    ):
        inverter = CanInverter(kind, wire=Wire())
        inverter.hear(frame)
        assert inverter.broken["unsolicited"] == 1


@pytest.mark.parametrize(("kind", "beats"), [("deye_can", 1), ("pylontech_can", 1)])
def test_the_heartbeat_comes_behind_what_it_waits_for(kind: str, beats: int) -> None:
    wire = Wire()
    ear = Ear(wire)
    inverter = CanInverter(kind, wire=wire)
    for at, (can_id, data) in enumerate(GOOD.items()):
        inverter.hear(CanFrame(can_id, data))
        expected = at >= 3 if kind == "deye_can" else at >= 5
        assert bool(ear.heard) == expected
    assert [frame.can_id for frame in ear.heard] == [0x305] * beats


@pytest.mark.parametrize(
    ("habit", "frames"),
    [
        ("stopped", []),
        ("short", [CanFrame(0x305, bytes(2))]),
        ("29bit", [CanFrame(0x305, bytes(8), True)]),
    ],
)
def test_habits_of_the_heartbeat(habit: str, frames: list[CanFrame]) -> None:
    wire = Wire()
    ear = Ear(wire)
    CanInverter("deye_can", wire=wire, habits=[habit]).hear(CanFrame(0x356, GOOD[0x356]))
    assert ear.heard == frames


def test_nothing_is_allowed_before_and_after_the_battery_spoke() -> None:
    for kind in STYLES:
        assert CanInverter(kind, wire=Wire()).allowed() == Allowed()
    inverter = told()
    assert inverter._last_s is not None
    inverter._watch(inverter._last_s + STYLES["deye_can"].lost_s + 1)
    assert inverter.lost
    assert inverter.allowed() == Allowed()
    assert inverter.table()[0][0] == "-"


def test_a_frame_that_stays_away_while_others_come_is_named() -> None:
    inverter = told()
    assert inverter._last_s is not None
    later = inverter._last_s + 4
    for can_id in GOOD:
        inverter.told.seen[can_id] = later
    inverter.told.seen[0x35C] = later - 4
    inverter._last_s = later
    inverter._watch(later)
    assert inverter.broken == {"missing": 1}


def test_a_charger_obeys_at_once_and_rises_slowly() -> None:
    world = World(1)
    world.add("one", "byd_pro", 16, 100.0, 0.5)
    world.house.wish_a = lambda now_s, capacity_ah: 80.0  # type: ignore[method-assign]
    charger = Charger()
    charger.step(world, Allowed(60, 60, 55.2, 46.0))
    assert charger.current_a == 40 * STEP_S
    for _ in range(10):
        charger.step(world, Allowed(60, 60, 55.2, 46.0))
    assert world.demand_a == 60
    charger.step(world, Allowed(5, 60, 55.2, 46.0))
    assert world.demand_a == 5
    charger.step(world, Allowed())
    assert world.demand_a == 0
    world.house.wish_a = lambda now_s, capacity_ah: -80.0  # type: ignore[method-assign]
    for _ in range(10):
        charger.step(world, Allowed(60, 30, 55.2, 46.0))
    assert world.demand_a == -30
    charger.step(world, Allowed(60, 30, 55.2, 60.0))
    assert world.demand_a == 0


@pytest.mark.parametrize("line", [b"t351", b"t3518", b"tXYZ0", b"t35190011", b"r3510", b"T1230"])
def test_text_that_is_no_frame(line: bytes) -> None:
    assert from_text(line) is None


def test_text_and_frames() -> None:
    for frame in (CanFrame(0x351, limits()), CanFrame(0x4210, b"", True)):
        assert from_text(frame.text()) == frame


async def test_an_adapter_refuses_what_it_cannot_do() -> None:
    wire = Wire()
    adapter = Adapter(wire)
    try:
        orders = [(b"t3510", b"\a"), (b"S6", b"\r"), (b"O", b"\r"), (b"O", b"\a"), (b"S4", b"\a")]
        for command, answer in [*orders, (b"", b"\r"), (b"Z0", b"\r"), (b"Q", b"\a")]:
            assert adapter._obey(command) == answer, command
        answers = [adapter._obey(b"t3510") for _ in range(10)]  # nobody acknowledges
        assert answers == [b"z\r"] * 8 + [b"\a"] * 2
        ear = Ear(wire)
        assert adapter._obey(b"T000042100") == b"Z\r"
        assert [frame.can_id for frame in ear.heard] == [0x351] * 8 + [0x4210]
    finally:
        adapter.close()


async def test_two_programs_meet_on_a_line() -> None:
    line = CanLine(far=True)
    await line.start()
    first = CanInverter("pylontech_hv_can", port=line.path)
    second = CanInverter("pylontech_hv_can", port=line.far_path)
    try:
        await asyncio.gather(first.run(1.3), second.run(1.3))
        assert first.frames >= 1  # each hears the other ask
        assert second.frames >= 1
    finally:
        line.close()
