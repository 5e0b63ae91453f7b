"""The poller on real ptys, with the real codecs, against far ends that take a wire's time."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Callable, Sequence

import pytest

from tests.loop.paced import Answer, FarEnd
from vbms.aggregate.snapshot import Snapshot
from vbms.clock import MonotonicClock
from vbms.links.serial_line import SerialLine
from vbms.loops.hold import hold_open
from vbms.loops.poller import PolledUnit, Poller
from vbms.simulate.line import PacedLine
from vbms.simulate.site import make_device
from vbms.simulate.world import World
from vbms.upstream import byd_pro, jk_pb

log = logging.getLogger("test")
T35_US = 1750


def byd(address: int, millivolts: int = 0) -> bytes:
    """A module's answer, all cells alike: 3200 mV + its address, unless told."""
    cell = millivolts or 3200 + address
    payload = bytearray(96)
    payload[0:4] = (16 * cell).to_bytes(4, "little")
    for at in range(16):
        payload[8 + 2 * at : 10 + 2 * at] = cell.to_bytes(2, "little")
    body = bytes.fromhex("0065018355aa00") + payload
    return bytes((address,)) + body + bytes((sum(body) & 0xFF,))


def crc16(data: bytes) -> bytes:
    crc = 0xFFFF
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = crc >> 1 ^ 0xA001 if crc & 1 else crc >> 1
    return crc.to_bytes(2, "little")


def jk(request: bytes) -> bytes:
    """A JK's answer to its trigger: payload, filler, acknowledge, filler."""
    payload = bytearray(299)
    payload[:5] = bytes.fromhex("55aaeb90") + bytes(({0x20: 2, 0x1E: 1, 0x1C: 3}[request[3]],))
    if request[3] == 0x20:
        cell = 3300 + request[0]
        for at in range(16):
            payload[6 + 2 * at : 8 + 2 * at] = cell.to_bytes(2, "little")
        payload[70:74] = (0xFFFF).to_bytes(4, "little")
        payload[150:154] = (16 * cell).to_bytes(4, "little")
    ack = request[:6]
    return bytes(payload) + bytes((sum(payload) & 0xFF,)) + b"\0" + ack + crc16(ack) + b"\0"


def honest(request: bytes) -> Sequence[tuple[float, bytes]]:
    return [(0.002, byd(request[0]) if len(request) == 8 else jk(request))]


def byd_unit(address: int, gap_us: int = T35_US, poll_ms: int = 0) -> PolledUnit:
    codec = byd_pro.Codec(address=address)
    return PolledUnit(f"byd-{address}", codec, gap_us, 150, 150, 50, poll_ms)


def jk_unit(address: int, gap_us: int = 20_000, poll_ms: int = 0) -> PolledUnit:
    codec = jk_pb.Codec(address=address)
    return PolledUnit(f"jk-{address}", codec, gap_us, 500, 1000, 100, poll_ms)


class Run:
    """A poller at work on a far end of this kind; `got` is what it delivered."""

    def __init__(self, answer: Answer, *units: PolledUnit, pieces: int = 16):
        self.far = FarEnd(115200, answer, pieces)
        self.got: list[tuple[str, Snapshot]] = []
        self.line = SerialLine("bus", self.far.path, 115200)
        self.poller = Poller(self.line, MonotonicClock(), units, self.deliver, log)

    def deliver(self, key: str, snap: Snapshot) -> None:
        self.got.append((key, snap))

    def count(self, key: str) -> int:
        return sum(1 for name, _ in self.got if name == key)

    def each_said_its_own(self) -> None:
        """No unit was ever believed to say what another one said."""
        for key, snap in self.got:
            kind, address = key.split("-")
            assert snap.voltage_mv == 16 * ((3200 if kind == "byd" else 3300) + int(address))

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[Run]:
        await self.line.open()
        task = asyncio.create_task(self.poller.run())
        try:
            yield self
        finally:
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task
            self.line.close()
            self.far.close()

    async def until(self, done: Callable[[], bool], seconds: float = 10) -> None:
        async with asyncio.timeout(seconds):
            while not done():
                await asyncio.sleep(0.01)


def few(run: Run, *kinds: str) -> None:
    """None, where the far end's thread got its turns in time; a busy machine may lose some."""
    stats = run.poller.stats
    assert sum(stats[kind] for kind in kinds) <= stats["frames_in"] // 10


async def test_different_devices_on_one_line_each_with_its_gap() -> None:
    units = (byd_unit(1), byd_unit(2), jk_unit(1), byd_unit(3))
    async with Run(honest, *units).running() as run:
        await run.until(lambda: all(run.count(unit.key) >= 12 for unit in units))
    run.each_said_its_own()
    requests = [request for _, request in run.far.requests]
    kinds = [20_000 if len(request) == 11 else T35_US for request in requests]
    assert len(run.far.gaps) == len(requests) - 1 > 48
    for gap, before, after in zip(run.far.gaps, kinds, kinds[1:]):
        assert gap * 1e6 >= max(before, after)
    assert any(r[3] == 0x1E for r in requests) and any(r[3] == 0x1C for r in requests)
    jk_1 = units[2]
    assert None not in jk_1.frames
    few(run, "timeout", "bad_frame", "foreign")
    if not run.poller.stats["timeout"] + run.poller.stats["bad_frame"]:
        assert run.poller.stats["stray_bytes"] == 0  # fillers are none


@pytest.mark.parametrize("pieces", [1, 7, 105, 400])
async def test_whatever_the_driver_hands_over_at_a_time(pieces: int) -> None:
    async with Run(honest, byd_unit(1), jk_unit(1, 5000), pieces=pieces).running() as run:
        await run.until(lambda: run.count("byd-1") >= 5 and run.count("jk-1") >= 5)
    run.each_said_its_own()
    assert all(gap * 1e6 >= 5000 for gap in run.far.gaps)


async def test_late_by_one_and_a_half_seconds() -> None:
    """Unit 2 answers into others' windows and gaps; they live on and never say what it says."""

    def answer(request: bytes) -> Sequence[tuple[float, bytes]]:
        return [(1.5 if request[0] == 2 else 0.002, byd(request[0]))]

    units = (byd_unit(1), byd_unit(2), byd_unit(3))
    async with Run(answer, *units, pieces=200).running() as run:
        stats = run.poller.stats
        await run.until(lambda: stats["foreign"] + stats["stray_bytes"] > 0)
        seen = len(run.got)
        await run.until(lambda: len(run.got) >= seen + 50)
    run.each_said_its_own()
    assert run.count("byd-1") > 20 and run.count("byd-3") > 20
    assert all(gap * 1e6 >= T35_US for gap in run.far.gaps)


async def test_echo_noise_and_a_neighbour() -> None:
    """An adapter that returns what is sent, glitches, and a neighbour who answers first."""

    def answer(request: bytes) -> Sequence[tuple[float, bytes]]:
        said: list[tuple[float, bytes]] = [(-len(request) * 10 / 115200, request)]
        said.append((0.001, b"\xff\x00\x55\xaa\xeb"))
        if len(request) == 8:
            said.append((0.003, byd(9)))
        said += [(0.016, data) for _, data in honest(request)]
        return said

    units = (byd_unit(1), byd_unit(2), jk_unit(1, 5000))
    async with Run(answer, *units).running() as run:
        await run.until(lambda: all(run.count(unit.key) >= 5 for unit in units))
    run.each_said_its_own()
    stats = run.poller.stats
    assert stats["echo"] >= stats["frames_in"] and stats["foreign"] >= 10
    few(run, "timeout", "bad_frame")


async def test_half_frames_cost_their_silence_and_nobody_else() -> None:
    def answer(request: bytes) -> Sequence[tuple[float, bytes]]:
        whole = byd(request[0])
        if request[0] == 2:
            return [(0.002, whole[:50]), (0.4, whole[50:])]
        return [(0.002, whole)]

    async with Run(answer, byd_unit(1), byd_unit(2), byd_unit(3)).running() as run:
        await run.until(lambda: run.count("byd-1") >= 30 and run.count("byd-3") >= 30)
    run.each_said_its_own()
    assert run.count("byd-2") == 0 and run.poller.units[1].counters["bad_frames"] >= 2
    asked = [(at, request[0]) for at, request in run.far.requests]
    waits = [b - a for (a, who), (b, _) in zip(asked, asked[1:]) if who == 2]
    assert min(waits) < 0.002 + 0.015 + 0.05 + 0.05


FAULTS = ("cut", "flip", "late", "wrong_address", "refuse", "half_frame", "overlap", "filler")


async def test_no_fault_of_one_makes_it_or_others_say_what_they_did_not() -> None:
    """The simulators' faults, each on a line of its own with two BYD and two JK, all at once."""
    await asyncio.gather(*(faulty_line(fault) for fault in (*FAULTS, "echo", "noise")))


async def faulty_line(fault: str) -> None:
    world = World()
    line = PacedLine(115200, fault)
    units = [byd_unit(1, poll_ms=100), byd_unit(2, poll_ms=100)]
    units += [jk_unit(1, poll_ms=100), jk_unit(2, poll_ms=100)]
    volts = {}
    for number, unit in enumerate(units):
        protocol = "byd_pro" if unit.key.startswith("byd") else "jk_pb"
        device = make_device(world, unit.key, protocol, int(unit.key[-1]))
        device.pack.pin(cells_v=tuple([3.21 + number / 100] * 16))
        volts[unit.key] = round(16 * (3210 + 10 * number))
        line.attach(device)
        if unit.key.endswith("2"):
            device.faults.add(fault)
    if fault in ("echo", "noise"):
        line.faults.add(fault)
    await line.start()
    link = SerialLine(fault, line.path, 115200)
    await link.open()
    got: list[tuple[str, Snapshot]] = []
    poller = Poller(link, MonotonicClock(), units, lambda key, snap: got.append((key, snap)), log)
    task = asyncio.create_task(poller.run())
    await asyncio.sleep(3)
    task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await task
    link.close()
    line.close()
    for key, snap in got:
        assert snap.voltage_mv == volts[key], (fault, key)
        assert snap.cells_mv is not None and len(set(snap.cells_mv)) == 1, (fault, key)
    for key in ("byd-1", "jk-1"):
        assert sum(1 for name, _ in got if name == key) >= 3, (fault, key)


async def test_pulled_out_and_put_back_the_units_keep_what_they_said() -> None:
    class Hasty(MonotonicClock):
        async def sleep_ms(self, ms: int) -> None:
            await asyncio.sleep(0.02)

    world = World()
    line = PacedLine(115200, "bus", steady=True)
    line.attach(make_device(world, "jk-1", "jk_pb", 1))
    await line.start()
    unit = jk_unit(1, 5000)
    got: list[Snapshot] = []
    link = SerialLine("bus", line.path, 115200)
    clock = Hasty()
    poller = Poller(link, clock, [unit], lambda key, snap: got.append(snap), log)
    states: list[bool] = []
    task = asyncio.create_task(hold_open(link, clock, poller.run, log, states.append))
    async with asyncio.timeout(10):
        while not got or got[-1].ccl_ma is None:
            await asyncio.sleep(0.01)
        line.unplug()
        while states[-1]:
            await asyncio.sleep(0.01)
        before = len(got)
        line.plug()
        while len(got) == before:
            await asyncio.sleep(0.01)
    assert got[before].ccl_ma is not None and unit.frames[1] is not None
    task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await task
    assert states[-1] is False
    line.close()
