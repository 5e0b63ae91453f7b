"""What drives a relay: commands that fail, hang and lie; a GPIO line that comes and goes."""

from __future__ import annotations

import asyncio
import logging
import os
import sys
import time
import types
from pathlib import Path
from typing import Any

import pytest

from vbms.clock import MonotonicClock
from vbms.errors import LinkError
from vbms.relays import switch as switching
from vbms.relays.command import Command
from vbms.relays.deadman import Deadman
from vbms.relays.gpio import Gpio
from vbms.relays.simulated import Simulated
from vbms.relays.switch import Switch


def script(folder: Path, text: str) -> tuple[str, ...]:
    path = folder / f"do{len(list(folder.iterdir()))}.sh"
    path.write_text("#!/bin/sh\n" + text)
    path.chmod(0o755)
    return (str(path),)


async def test_a_command_switches_and_nothing_is_expanded(tmp_path: Path) -> None:
    log = tmp_path / "log"
    argv = (*script(tmp_path, f'echo "$1|$2" >> {log}'), "$HOME; rm -rf x", "ö *")
    relay = Command(argv, (*argv[:1], "off", ""), 5000)
    await relay.put(True)
    await relay.put(False)
    relay.force_off()
    assert log.read_text() == "$HOME; rm -rf x|ö *\noff|\noff|\n"


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("echo first; echo no such bus >&2; exit 3", "ended with 3: no such bus"),
        ("exit 1", "ended with 1"),
        ("kill -9 $$", "ended with -9"),
    ],
)
async def test_a_command_that_fails_says_how(tmp_path: Path, text: str, says: str) -> None:
    argv = script(tmp_path, text)
    relay = Command(argv, argv, 5000)
    with pytest.raises(LinkError, match=says):
        await relay.put(True)
    with pytest.raises(LinkError, match=says):
        relay.force_off()


async def test_a_command_that_is_not_there(tmp_path: Path) -> None:
    relay = Command(("/no/such/thing",), ("/no/such/thing",), 5000)
    with pytest.raises(LinkError, match="/no/such/thing: No such file"):
        await relay.put(True)
    with pytest.raises(LinkError, match="No such file"):
        relay.force_off()


async def test_a_command_that_hangs_is_ended_with_its_children(tmp_path: Path) -> None:
    pid = tmp_path / "pid"
    argv = script(tmp_path, f"sleep 60 &\necho $! > {pid}\nwait")
    began = time.monotonic()
    with pytest.raises(LinkError, match="did not end within 0.5 s"):
        await Command(argv, argv, 500).put(True)
    assert time.monotonic() - began < 5
    child = int(pid.read_text())
    for _ in range(100):
        if not Path(f"/proc/{child}").exists() or "Z" in _status(child):
            return
        await asyncio.sleep(0.02)
    pytest.fail("the child still runs")


def _status(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/stat").read_text().split()[2]
    except OSError:
        return "Z"


async def test_an_off_that_is_not_done_at_the_end_outlives_us(tmp_path: Path) -> None:
    """A slow way to the relay is no reason to leave a charger on."""
    log = tmp_path / "log"
    on = script(tmp_path, f"echo on >> {log}")
    off = script(tmp_path, f"sleep 0.5; echo off >> {log}")
    relay = Command(on, off, 5000)
    await relay.put(True)
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.1):
            await relay.put(False)
    relay.close()
    await until(lambda: log.read_text() == "on\noff\n")
    await relay.put(False)
    relay.close()
    await asyncio.sleep(0.7)
    assert log.read_text() == "on\noff\noff\n"  # known to be off: it is not told again


async def test_a_command_of_somebody_else_that_hangs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One that became another user, by sudo, is not ours to end."""
    real, asked = os.killpg, []

    def forbidden(group: int, sig: int) -> None:
        asked.append(group)
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(os, "killpg", forbidden)
    argv = script(tmp_path, "sleep 60")
    with pytest.raises(LinkError, match="did not end within 0.1 s"):
        await Command(argv, argv, 100).put(True)
    real(asked[0], 9)
    await asyncio.sleep(0.2)  # its end is heard while there is a loop


class FakeChip:
    """A module like gpiod 2: lines that remember, and faults on demand."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.seen: list[Any] = []
        self.fault: Exception | None = None
        chip = self

        class LineSettings:
            def __init__(self, *, direction: Any, active_low: bool, output_value: Any) -> None:
                self.words = (direction, active_low, output_value)

        class Request:
            def set_value(self, line: Any, value: Any) -> None:
                if chip.fault:
                    raise chip.fault
                chip.seen.append((line, value))

            def release(self) -> None:
                chip.seen.append("released")

        def request_lines(path: str, consumer: str, config: dict[Any, LineSettings]) -> Request:
            if chip.fault:
                raise chip.fault
            chip.seen.append((path, consumer, {key: each.words for key, each in config.items()}))
            return Request()

        gpiod = types.ModuleType("gpiod")
        gpiod.LineSettings = LineSettings  # type: ignore[attr-defined]
        gpiod.request_lines = request_lines  # type: ignore[attr-defined]
        line = types.ModuleType("gpiod.line")
        line.Direction = types.SimpleNamespace(OUTPUT="output")  # type: ignore[attr-defined]
        line.Value = types.SimpleNamespace(ACTIVE=1, INACTIVE=0)  # type: ignore[attr-defined]
        monkeypatch.setitem(sys.modules, "gpiod", gpiod)
        monkeypatch.setitem(sys.modules, "gpiod.line", line)


async def test_a_line_is_off_before_anything_else(monkeypatch: pytest.MonkeyPatch) -> None:
    chip = FakeChip(monkeypatch)
    relay = Gpio("gpiochip0", 17, True)
    await relay.put(False)
    await relay.put(True)
    relay.force_off()
    relay.close()
    assert chip.seen == [
        ("/dev/gpiochip0", "vbms", {17: ("output", True, 0)}),
        (17, 0),
        (17, 1),
        (17, 0),
        (17, 0),
        "released",
    ]


async def test_a_lost_line_is_asked_for_again(monkeypatch: pytest.MonkeyPatch) -> None:
    chip = FakeChip(monkeypatch)
    relay = Gpio("/dev/gpiochip1", "RELAY1", False)
    chip.fault = FileNotFoundError(2, "No such file or directory")
    with pytest.raises(LinkError, match="/dev/gpiochip1 line RELAY1: No such file"):
        await relay.put(False)
    chip.fault = None
    await relay.put(True)
    chip.fault = OSError(19, "No such device")
    with pytest.raises(LinkError, match="No such device"):
        await relay.put(False)
    chip.fault = ValueError("no line of that name")
    with pytest.raises(LinkError, match="no line of that name"):
        await relay.put(False)
    chip.fault = None
    await relay.put(False)
    assert chip.seen[-1] == ("RELAY1", 0) and chip.seen.count("released") == 1


async def test_without_the_package_it_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(sys.modules, "gpiod", None)
    with pytest.raises(LinkError, match=r"pip install 'vbms\[gpio\]'"):
        await Gpio("gpiochip0", 1, True).put(False)


async def test_the_real_package_takes_what_we_say() -> None:
    """No chip here: but its own check of names and types comes before that."""
    pytest.importorskip("gpiod", reason="pip install gpiod")
    if os.path.exists("/dev/gpiochip99"):
        pytest.skip("there is a chip 99")
    with pytest.raises(LinkError, match="/dev/gpiochip99 line 3: No such file"):
        await Gpio("gpiochip99", 3, True).put(False)


class Slow(Simulated):
    """Fails or hangs on demand, and remembers what it was told."""

    def __init__(self) -> None:
        super().__init__()
        self.told: list[bool] = []
        self.fault: str | None = None
        self.bug: Exception | None = None
        self.hang = False

    async def put(self, on: bool) -> None:
        self.told.append(on)
        if self.hang:
            await asyncio.sleep(60)
        if self.bug:
            raise self.bug
        if self.fault:
            raise LinkError(self.fault)
        await super().put(on)


async def until(what: Any, seconds: float = 5) -> None:
    end = time.monotonic() + seconds
    while not what():
        assert time.monotonic() < end, "it did not come to pass"
        await asyncio.sleep(0.005)


async def test_a_switch_begins_and_ends_off() -> None:
    output = Slow()
    switch = Switch("garage", output, MonotonicClock())
    await switch.start()
    assert output.told == [False] and switch.stands is False
    switch.want(True)
    await until(lambda: output.on)
    assert switch.stands is True
    await switch.close()
    assert output.told == [False, True, False] and output.on is False


async def test_a_switch_that_fails_is_broken_and_tried_again(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(switching, "RETRY_MS", (10,))
    output = Slow()
    output.fault = "no bus"
    switch = Switch("garage", output, MonotonicClock())
    await switch.start()
    assert switch.broken and switch.stands is None
    await until(lambda: len(output.told) > 4)
    errors = [r.getMessage() for r in caplog.records if r.levelno == logging.ERROR]
    assert errors == ["garage: cannot be switched off: no bus"]
    output.fault = None
    await until(lambda: switch.error is None)
    assert switch.stands is False and switch.broken  # for a while: it is not trusted at once
    assert switch.why_broken == "no bus"  # for the page, as long as it counts
    monkeypatch.setattr(switching, "BROKEN_MS", 0)
    assert not switch.broken and switch.why_broken is None
    await switch.close()


async def test_a_hanging_switch_keeps_nobody_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(switching, "_FIRST_S", 0.05)
    monkeypatch.setattr(switching, "_LAST_S", 0.05)
    output = Slow()
    output.hang = True
    switch = Switch("garage", output, MonotonicClock())
    began = time.monotonic()
    await switch.start()
    await switch.close()
    assert time.monotonic() - began < 2 and switch.error is not None


async def test_off_does_not_wait_for_an_on_that_hangs() -> None:
    output = Slow()
    switch = Switch("garage", output, MonotonicClock())
    await switch.start()
    output.hang = True
    switch.want(True)
    await until(lambda: output.told == [False, True])
    output.hang = False
    switch.want(False)
    await until(lambda: output.told == [False, True, False], 2)
    await until(lambda: switch.stands is False)
    assert not switch.broken, "nothing failed: it was only not wanted any more"
    await switch.close()


async def test_a_driver_with_a_bug_is_broken_and_tried_again(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(switching, "RETRY_MS", (10,))
    output = Slow()
    output.bug = KeyError("line")
    switch = Switch("garage", output, MonotonicClock())
    await switch.start()
    await until(lambda: len(output.told) > 3)
    assert switch.broken and switch.error == "KeyError('line')"
    assert caplog.text.count("Traceback") == 1
    output.bug = None
    await until(lambda: switch.stands is False)
    output.bug = KeyError("line")
    await switch.close()
    assert switch.broken


async def test_repeating_tells_again() -> None:
    output = Slow()
    switch = Switch("garage", output, MonotonicClock(), repeat_ms=10)
    await switch.start()
    switch.want(True)
    await until(lambda: output.told.count(True) > 3)
    await switch.close()


async def test_forced_off_is_put_where_it_is_wanted_again() -> None:
    output = Slow()
    switch = Switch("garage", output, MonotonicClock())
    await switch.start()
    switch.want(True)
    await until(lambda: output.on)
    output.force_off()
    switch.forced_off()
    await until(lambda: output.on)
    await switch.close()


def test_the_dead_man_acts_once_and_only_when_hungry() -> None:
    acts: list[float] = []
    man = Deadman(lambda: acts.append(time.monotonic()), patience_s=0.2)
    man.start()
    end = time.monotonic() + 0.5
    while time.monotonic() < end:
        man.feed()
        time.sleep(0.01)
    fed = list(acts)
    time.sleep(0.7)
    man.stop()
    assert fed == [] and len(acts) == 1
