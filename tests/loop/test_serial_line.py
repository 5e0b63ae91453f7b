"""The serial link on real ptys: bytes, time-outs, and every way a port can be missing."""

from __future__ import annotations

import asyncio
import fcntl
import logging
import os
import time
import tty
from collections.abc import Iterator
from pathlib import Path

import pytest
import serial

from vbms.clock import MonotonicClock
from vbms.errors import LinkError
from vbms.links.serial_line import SerialLine
from vbms.loops.hold import hold_open

log = logging.getLogger("test")


class Pair:
    """A pty: `far` is the other end of the wire, `path` the port."""

    def __init__(self) -> None:
        self.far, self.near = os.openpty()
        tty.setraw(self.far)
        self.path = os.ttyname(self.near)

    def unplug(self) -> None:
        for fd in (self.far, self.near):
            if fd >= 0:
                os.close(fd)
        self.far = self.near = -1


@pytest.fixture
def pair() -> Iterator[Pair]:
    found = Pair()
    yield found
    found.unplug()


@pytest.fixture
async def line(pair: Pair) -> SerialLine:
    found = SerialLine("bus", pair.path, 9600)
    await found.open()
    return found


async def test_every_byte_passes_both_ways(pair: Pair, line: SerialLine) -> None:
    every = bytes(range(256))
    await line.write(every)
    assert os.read(pair.far, 1000) == every
    os.write(pair.far, every)
    got = b""
    while len(got) < 256:
        got += await line.read(500)
    assert got == every
    line.close()


async def test_read_returns_when_something_comes_and_not_before_its_time(
    pair: Pair, line: SerialLine
) -> None:
    asyncio.get_running_loop().call_later(0.02, os.write, pair.far, b"hello")
    assert await line.read(2000) == b"hello"
    for wait in (30, 10, 20, 1):
        began = time.monotonic()
        assert await line.read(wait) == b""
        assert wait / 1000 - 0.0001 <= time.monotonic() - began < wait / 1000 + 0.2
    os.write(pair.far, b"later")
    await asyncio.sleep(0.01)
    os.write(pair.far, b" more")
    await asyncio.sleep(0.01)
    assert await line.read(0) == b"later more"
    line.close()


async def test_a_timer_of_an_earlier_read_ends_no_later_one(pair: Pair, line: SerialLine) -> None:
    os.write(pair.far, b"x")
    assert await line.read(30) == b"x"
    began = time.monotonic()
    assert await line.read(100) == b""
    assert time.monotonic() - began >= 0.0999
    line.close()


async def test_read_0_sees_what_the_loop_has_not_seen_yet(pair: Pair, line: SerialLine) -> None:
    """Whoever is about to write must know that somebody talks, loop turn or not."""
    for _ in range(20):
        os.write(pair.far, b"x")
        time.sleep(0.002)  # nobody turns the loop meanwhile
        assert await line.read(0) == b"x"
        assert await line.read(0) == b""
        line._readable()  # the loop had been told of them, and finds nothing any more
    os.write(pair.far, b"y")
    assert await line.read(500) == b"y"
    line.close()


async def test_an_idle_line_makes_no_timer_for_each_read(
    pair: Pair, line: SerialLine, monkeypatch: pytest.MonkeyPatch
) -> None:
    loop = asyncio.get_running_loop()
    made = 0
    call_at = loop.call_at

    def counted(*args: object, **kw: object) -> asyncio.TimerHandle:
        nonlocal made
        made += 1
        return call_at(*args, **kw)  # type: ignore[arg-type]

    monkeypatch.setattr(loop, "call_at", counted)
    for _ in range(200):
        os.write(pair.far, b"x")
        assert await line.read(1000) == b"x"
    assert made <= 2
    line.close()


async def test_a_read_that_was_given_up_leaves_the_line_usable(
    pair: Pair, line: SerialLine
) -> None:
    task = asyncio.create_task(line.read(1000))
    await asyncio.sleep(0.01)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    os.write(pair.far, b"x")
    assert await line.read(500) == b"x"
    line.close()


async def test_a_long_write_waits_for_room(pair: Pair, line: SerialLine) -> None:
    data = bytes(range(256)) * 100
    task = asyncio.create_task(line.write(data))
    got = b""
    while len(got) < len(data):
        await asyncio.sleep(0.001)
        got += os.read(pair.far, 4096)
    await task
    assert got == data
    line.close()


async def test_who_takes_no_bytes_is_an_error_that_says_so(pair: Pair, line: SerialLine) -> None:
    with pytest.raises(LinkError, match="takes no bytes"):
        await line.write(bytes(1_000_000))
    line.close()


async def test_unplugged_while_it_waits(pair: Pair, line: SerialLine) -> None:
    asyncio.get_running_loop().call_later(0.02, pair.unplug)
    with pytest.raises(LinkError, match="is gone.*unplugged"):
        await line.read(5000)
    for wait in (0, 100):
        with pytest.raises(LinkError, match="is gone"):
            await line.read(wait)
    with pytest.raises(LinkError, match="is gone"):
        await line.write(b"x")
    line.close()
    line.close()


async def test_unplugged_while_nobody_reads(pair: Pair, line: SerialLine) -> None:
    os.write(pair.far, b"last words")
    await asyncio.sleep(0.01)
    pair.unplug()
    assert await line.read(100) == b"last words"
    with pytest.raises(LinkError, match="is gone"):
        await line.read(0)
    line.close()


async def test_closed_under_a_reader(line: SerialLine) -> None:
    task = asyncio.create_task(line.read(5000))
    await asyncio.sleep(0.01)
    line.close()
    with pytest.raises(LinkError, match="closed"):
        await task
    with pytest.raises(LinkError, match="not open"):
        await line.read(10)
    with pytest.raises(LinkError):
        await line.write(b"x")


async def test_missing(tmp_path: Path) -> None:
    with pytest.raises(LinkError, match=r"ttyUSB7 does not exist: plug the adapter in"):
        await SerialLine("bus", str(tmp_path / "ttyUSB7"), 9600).open()


async def test_in_use(pair: Pair, line: SerialLine) -> None:
    second = SerialLine("inv", pair.path, 9600)
    with pytest.raises(LinkError, match="is in use: stop the other program"):
        await second.open()
    line.close()
    await second.open()
    fd = os.open(pair.path, os.O_RDWR | os.O_NOCTTY)
    with pytest.raises(BlockingIOError):
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    os.close(fd)
    second.close()


async def test_no_permission(pair: Pair, monkeypatch: pytest.MonkeyPatch) -> None:
    def forbidden(path: str, *args: object) -> int:
        raise PermissionError(13, "Permission denied", path)

    monkeypatch.setattr(serial.serialposix.os, "open", forbidden)
    with pytest.raises(LinkError, match="no permission for .*group dialout"):
        await SerialLine("bus", pair.path, 9600).open()


async def test_no_serial_port(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_text("")
    with pytest.raises(LinkError, match="file is no serial port"):
        await SerialLine("bus", str(path), 9600).open()


async def test_low_latency_is_asked_for_and_not_insisted_on(
    pair: Pair, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[bool] = []

    def refuse(self: serial.Serial, on: bool) -> None:
        asked.append(on)
        raise ValueError("not on this adapter")

    monkeypatch.setattr(serial.Serial, "set_low_latency_mode", refuse)
    line = SerialLine("bus", pair.path, 115200)
    await line.open()
    assert asked == [True] and line.byte_us == 87
    line.close()


async def test_pulled_out_and_put_back(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Behind a name that stays the same, as udev's do; hold_open finds it again."""

    class Hasty(MonotonicClock):
        async def sleep_ms(self, ms: int) -> None:
            waits.append(ms)
            await asyncio.sleep(0.02)

    port = tmp_path / "usb-adapter"
    first, second = Pair(), Pair()
    os.symlink(first.path, port)
    line = SerialLine("bus", str(port), 9600)
    waits: list[int] = []
    states: list[bool] = []
    got: list[bytes] = []

    async def body() -> None:
        while True:
            if data := await line.read(1000):
                got.append(data)

    async def until(what: bytes) -> None:
        while what not in got:
            await asyncio.sleep(0.005)

    with caplog.at_level(logging.INFO):
        task = asyncio.create_task(hold_open(line, Hasty(), body, log, states.append))
        await asyncio.sleep(0.02)
        os.write(first.far, b"one")
        await asyncio.wait_for(until(b"one"), 2)
        port.unlink()
        first.unplug()
        await asyncio.sleep(0.1)
        assert states[:2] == [True, False] and True not in states[2:]
        os.symlink(second.path, port)
        await asyncio.sleep(0.05)
        os.write(second.far, b"two")
        await asyncio.wait_for(until(b"two"), 2)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
    second.unplug()
    said = [(r.levelname, r.getMessage()) for r in caplog.records]
    assert [level for level, _ in said] == ["ERROR", "ERROR", "INFO"]
    assert "is gone" in said[0][1] and "does not exist" in said[1][1]
    assert said[2][1] == f"bus: open again after {len(waits) + 1} tries"
    assert waits[:3] == [1000, 2000, 4000]
    assert states[-1] is False  # closed when its task was stopped
    with pytest.raises(LinkError, match="not open"):
        await line.read(1)
