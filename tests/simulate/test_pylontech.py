"""The simulated Pylontech inverter: reads the vectors, sees what is wrong, obeys; and vbms before it."""

from __future__ import annotations

import asyncio
import json
import logging
import os
import tty
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.downstream.modules import group, module
from vbms.aggregate.virtual import VirtualBattery
from vbms.clock import MonotonicClock
from vbms.downstream.pylontech_rs485 import Codec
from vbms.links.serial_line import SerialLine
from vbms.loops.responder import Responder
from vbms.simulate import pylontech_checks as checks
from vbms.simulate.drive import Drive, Permit
from vbms.simulate.line import PacedLine
from vbms.simulate.pylontech import Pylontech
from vbms.simulate.pylontech_wrong import WRONG
from vbms.simulate.world import World

FILE = Path(__file__).resolve().parents[3] / "shared" / "vectors" / "pylontech_rs485.json"
ENTRIES: list[dict[str, Any]] = json.loads(FILE.read_text()) if FILE.exists() else []


@pytest.mark.skipif(not ENTRIES, reason=f"the recorded vectors are not at {FILE}")
def test_the_vectors() -> None:
    """Its own frames are the vectors' requests, and it finds nothing wrong with good answers."""
    read = 0
    for entry in ENTRIES:
        request = bytes.fromhex(entry["request_hex"])
        text = request[1:-5].decode()
        if not entry["name"].startswith(("err_", "foreign", "lower", "us3000c_0x4F")):
            made = checks.frame(
                int(text[:2], 16), int(text[2:4], 16), int(text[6:8], 16), text[12:]
            )
            assert made == request, entry["name"]
        answer = bytes.fromhex(entry["response_hex"])
        if not answer:
            continue
        kinds = [kind for kind, _ in checks.check_frame(int(text[2:4], 16), answer)]
        if entry["name"].startswith("err_"):
            assert kinds == ["rtn"]
            continue
        if "expect" in entry:
            assert kinds and set(kinds) <= {"checksum", "length"}
            continue
        assert kinds == []
        info, state, command = checks.info_of(answer), entry["state"], int(text[6:8], 16)
        if command == 0x61:
            analog = checks.read_analog(info)
            assert analog is not None and checks.check_analog(analog) == []
            assert (analog.voltage_v, analog.soc) == (state["voltage_v"], state["soc_pct"])
            read += 1
        elif command in (0x63, 0x92):
            scale = 100 if "variant" in entry else 10
            reader = checks.read_unit_limits if command == 0x92 else checks.read_limits
            limits = reader(info) if command == 0x92 else checks.read_limits(info, scale)
            assert limits is not None and checks.check_limits(limits) == []
            if "charge_limit_a" in state:
                assert limits.charge_a == state["charge_limit_a"]
                assert limits.discharge_a == state["discharge_limit_a"]
            read += 1
        elif command == 0x42:
            units = checks.read_units(info, one="modules" not in state)
            assert units is not None
            assert all(checks.check_unit(unit) == [] for unit in units)
            if "cells_v" in state:
                assert units[0].cells_v == state["cells_v"]
                assert units[0].temps_c == state["temps_c"]
            read += 1
    assert read > 18


class Bench:
    """Our responder at one end of a bare pty, the simulated inverter at the other."""

    def __init__(self, **options: Any) -> None:
        self.master, slave = os.openpty()
        tty.setraw(self.master)
        os.set_blocking(self.master, False)
        self.slave = slave
        self.line = SerialLine("inv", os.ttyname(slave), 9600)
        self.codecs = [Codec(address=address) for address in (2, 3)]
        log = logging.getLogger("test.responder")
        self.responder = Responder(self.line, MonotonicClock(), self.codecs, 1000, log)
        options = {"round_s": 0.01, "timeout_s": 0.15, "pause_s": 0.002} | options
        self.inverter = Pylontech(self.master, wire=False, **options)

    def tell(self, *batteries: VirtualBattery | None) -> None:
        self.responder.publish(list(zip(self.codecs, batteries)))

    async def __aenter__(self) -> Bench:
        await self.line.open()
        self.task = asyncio.create_task(self.responder.run())
        return self

    async def __aexit__(self, *_: object) -> None:
        self.task.cancel()
        await asyncio.gather(self.task, return_exceptions=True)
        self.line.close()
        os.close(self.master)
        os.close(self.slave)


@pytest.mark.parametrize("profile", ["system", "voltronic"])
async def test_vbms_breaks_no_rule(profile: str) -> None:
    async with Bench(profile=profile, masters=(2, 0x12), expect=(2,)) as bench:
        first, second = module(), module(serial="THE SECOND BATTERY'S")
        bench.tell(group(first, second), second)
        await bench.inverter.run(3)
        assert bench.inverter.violations == []
        battery = bench.inverter.batteries[2]
        assert len(battery.units) == 2
        assert battery.limits is not None and battery.limits.charge_v == 55.2
        permit = bench.inverter.allowed()
        # 0x92 of module 02 is that module's half.
        amps = (100.0, 150.0) if profile == "system" else (50.0, 75.0)
        assert (permit.charge_a, permit.discharge_a) == amps
        if profile == "system":
            assert battery.maker == "PYLON"
            assert battery.serials == ["VB00000000000001", "SECOND BATTERY'S"]
        # Silent: nothing more is allowed, and it says so.
        bench.tell(None, None)
        bench.inverter.expect = ()
        bench.inverter.lost_s = 0.05
        await bench.inverter.run(4)
        assert bench.inverter.lost and bench.inverter.allowed() == Permit()
        assert bench.inverter.violations == []


async def test_every_wrong_request(caplog: pytest.LogCaptureFixture) -> None:
    async with Bench(wrong=tuple(WRONG), masters=(2,), expect=(2,)) as bench:
        bench.tell(group(module()), None)
        await bench.inverter.run(len(WRONG))
        assert bench.inverter.violations == []
        assert bench.inverter.rounds == len(WRONG)


SPOILT: dict[str, tuple[Callable[[bytes], bytes], str]] = {
    "command instead of return code": (lambda a: checks.sealed("200246630000"), "rtn"),
    "checksum": (lambda a: a[:-5] + b"0000\r", "checksum"),
    "two answers": (lambda a: a + a, "several"),
    "lower case": (lambda a: a[:1] + a[1:-1].lower() + b"\r", "digits"),
    "another address": (lambda a: checks.sealed("2003" + a[5:-5].decode()), "address"),
    "length": (lambda a: checks.sealed(a[1:-5].decode() + "00"), "length"),
    "no end": (lambda a: a[:-1], "frame"),
}


@pytest.mark.parametrize("name", SPOILT)
async def test_it_sees_what_is_wrong(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    spoil, kind = SPOILT[name]
    honest = Codec.answer

    def answer(self: Codec, request: bytes, battery: VirtualBattery) -> bytes | None:
        good = honest(self, request, battery)
        return spoil(good) if good is not None and request[7:9] == b"63" else good

    monkeypatch.setattr(Codec, "answer", answer)
    async with Bench(masters=(2,), expect=(2,)) as bench:
        bench.tell(group(module()), None)
        await bench.inverter.run(1)
        assert kind in bench.inverter.broken


def test_rules_about_values() -> None:
    good = checks.Limits(55.2, 46.0, 100.0, 150.0, 0xC0)
    assert checks.check_limits(good) == []
    for change in (
        {"charge_a": 0.0},
        {"status": 0x40},
        {"discharge_a": -5.0},
        {"charge_v": 40.0},
    ):
        values = {name: getattr(good, name) for name in checks.Limits.__slots__} | change
        assert checks.check_limits(checks.Limits(**values)), change
    unit = checks.Unit([3.3] * 16, [25.0] * 5, 10.0, 52.8, 100.0, 280.0, 5)
    analog = checks.Analog(52.8, 10.0, 50, 1, 100, 3.31, 3.3, [25.0, 26.0, 24.0] * 3)
    assert checks.check_agree(analog, [unit]) == checks.check_unit(unit) == []
    assert checks.check_agree(checks.Analog(50.0, 10.0, 50, 1, 100, 3.3, 3.3, []), [unit])
    assert checks.check_agree(checks.Analog(52.8, -10.0, 50, 1, 100, 3.3, 3.3, []), [unit])
    assert checks.check_analog(
        checks.Analog(52.8, 0, 101, 1, 100, 3.3, 3.4, [25.0, 24.0, 26.0] * 3)
    )


def test_it_obeys_within_its_lag() -> None:
    world = World(3)
    world.add("one", "none", capacity_ah=200.0, soc=0.5)
    drive = Drive(1.0)
    world.house.wish_a = lambda now_s, capacity_ah: 60.0  # type: ignore[method-assign]
    seen = []
    for step in range(12):
        allowed = Permit(30.0, 56.0, 50.0, 46.0) if step < 8 else Permit(5.0, 56.0, 50.0, 46.0)
        drive.follow(world, allowed, step * 0.5, 0.5)
        seen.append(drive.current_a)
    assert seen[:2] == [0.0, 0.0]  # what it was told is not obeyed before
    assert seen[4] == 30.0 and max(seen) == 30.0
    assert seen[9] == 30.0 and seen[10] == 5.0  # two steps of half a second later
    world.house.wish_a = lambda now_s, capacity_ah: -80.0  # type: ignore[method-assign]
    for step in range(12, 24):
        drive.follow(world, Permit(5.0, 56.0, 50.0, 46.0), step * 0.5, 0.5)
    assert drive.current_a == -50.0 == world.demand_a
    for step in range(24, 30):
        drive.follow(world, Permit(), step * 0.5, 0.5)
    assert drive.current_a == 0.0


async def test_the_command_plays_it_on_a_paced_port() -> None:
    from vbms.commands.simulate import _play_inverter

    line = PacedLine(115200, "inv", far=True)
    await line.start()
    link = SerialLine("inv", line.path, 115200)
    await link.open()
    codec = Codec()
    log = logging.getLogger("test.responder")
    responder = Responder(link, MonotonicClock(), [codec], 1750, log)
    responder.publish([(codec, group(module(), module()))])
    task = asyncio.create_task(responder.run())
    try:
        wrong = ("shutdown",)
        played = _play_inverter("pylontech_rs485", line.far_path, 115200, wrong, 16, 1)
        assert await played == 0
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        link.close()
        line.close()
