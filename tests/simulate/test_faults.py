"""Faults by name: what there is, when they strike, and what a program then sees on the port."""

import asyncio
import logging
import re
from pathlib import Path

import pytest

from tests.simulate.host import Host
from vbms.simulate import faults
from vbms.simulate.byd_pro import BydPro
from vbms.simulate.faults import LINE_FAULTS, NAMES, Fault, Schedule
from vbms.simulate.jk_pb import JkMaster, JkPb
from vbms.simulate.site import simulated_line
from vbms.simulate.world import World

READ_1 = bytes.fromhex("010004010355aa07")
DOCUMENT = Path(__file__).resolve().parents[3] / "shared" / "interface.md"


@pytest.mark.skipif(not DOCUMENT.exists(), reason="the interface document is not beside it")
def test_names_are_the_documents() -> None:
    text = re.search(r"`(silence cut [a-z_ ]+)`", DOCUMENT.read_text())
    assert text and tuple(text[1].split()) == NAMES


def test_every_fault_belongs_to_somebody() -> None:
    assert BydPro.FAULTS | JkPb.FAULTS | LINE_FAULTS == set(NAMES)
    assert "filler" not in BydPro.FAULTS and "filler" in JkMaster.FAULTS
    assert all(faults.MEANINGS.values())


async def test_a_schedule_begins_and_ends_and_leaves_out(caplog) -> None:
    caplog.set_level(logging.INFO)
    world = World()
    device = BydPro(world.add("byd-1", "byd_pro"), 1)

    class Line:
        def __init__(self) -> None:
            self.faults: set[str] = set()
            self.plugs: list[str] = []

        def unplug(self) -> None:
            self.plugs.append("out")

        def plug(self) -> None:
            self.plugs.append("in")

    line = Line()
    schedule = Schedule(
        (
            Fault("byd-1", "flip", 0.05, 0.1),
            Fault("byd-1", "echo", 0.05, 0.0),
            Fault("byd-1", "unplug", 0.02, 0.05),
            Fault("byd-1", "filler", 0.0, 0.0),
            Fault("byd-9", "flip", 0.0, 0.0),
        ),
        {"byd-1": device},
        line,
    )
    schedule.start()
    assert not device.faults
    await asyncio.sleep(0.1)
    assert device.faults == {"flip"} and line.faults == {"echo"} and line.plugs == ["out", "in"]
    await asyncio.sleep(0.1)
    assert device.faults == set() and line.faults == {"echo"}
    schedule.close()
    assert "byd-1: cannot have the fault filler, left out" in caplog.text
    assert "byd-1: simulated fault flip begins" in caplog.text


async def test_on_the_port_another_unit_answers_on() -> None:
    """Each fault of one unit, as the program meets it; its neighbour on the line stays well."""
    rows = [("byd-1", "byd_pro", 1, None, None, 0), ("byd-2", "byd_pro", 2, None, None, 1)]
    line = simulated_line("byd", 115200, rows, World())  # quicker than the real one
    one, two = line.devices
    await line.start()
    host = Host(line.path)
    try:
        good = await host.ask(READ_1, 105)
        assert len(good) == 105
        seen = {}
        for name in sorted(one.FAULTS - {"late", "lying_cell", "frozen"}):
            one.faults = {name}
            within_s = 0.6 if name == "half_frame" else 0.1
            seen[name] = await host.ask(READ_1, 300, within_s)
            assert len(await host.ask(b"\x02" + READ_1[1:], 105)) == 105, name
        assert seen["silence"] == seen["restart"] == b""
        assert good.startswith(seen["cut"]) or seen["cut"][:8] == good[:8][: len(seen["cut"])]
        assert len(seen["flip"]) == 105 and len(seen["half_frame"]) == 105
        assert seen["wrong_address"][0] == 2
        assert seen["refuse"].hex() == "010005018355aa028a"
        assert line.collisions == 1 and len(seen["overlap"]) > 105
        assert sum(seen["overlap"][1:104]) & 0xFF != seen["overlap"][104]
        assert two.faults == set()
    finally:
        host.close()
        line.close()


async def test_late_answer_comes_into_the_next_ones_time() -> None:
    rows = [("byd-1", "byd_pro", 1, None, None, 0)]
    line = simulated_line("byd", 9600, rows, World(), [Fault("byd-1", "late", 0.0, 0.0)])
    await line.start()
    host = Host(line.path)
    try:
        await asyncio.sleep(0.02)
        assert await host.ask(READ_1, 1, 1.4) == b""
        assert len(await host.hear(105, 0.5)) == 105
    finally:
        host.close()
        line.close()
