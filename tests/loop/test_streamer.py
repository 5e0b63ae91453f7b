"""A battery that talks by itself: what it is asked, when, and what counts of its answers."""

import logging
from collections.abc import Callable

import pytest

from tests.loop.scripted import ScriptedClock
from vbms.aggregate.snapshot import Snapshot
from vbms.errors import FrameError, LinkError, SilentError
from vbms.loops.poller import PolledUnit
from vbms.loops.streamer import Streamer
from vbms.options import ONCE

INFO, SETTINGS, LIVE = b"ASK-I", b"ASK-S", b"ASK-S"


class Letters:
    """Frames are [I|S|L|?] and six characters more; L with `x` in it cannot be read."""

    def requests(self) -> tuple[tuple[int, bytes], ...]:
        return ((5000, LIVE), (ONCE, SETTINGS), (ONCE, INFO))

    def take(self, buffer: bytes) -> tuple[int, bytes | None]:
        return (8, buffer[:8]) if len(buffer) >= 8 else (0, None)

    def slot(self, frame: bytes) -> int | None:
        return {b"L": 0, b"S": 1, b"I": 2}.get(frame[:1])

    def decode(self, frames: list[bytes | None], now_ms: int) -> Snapshot:
        if b"x" in (frames[0] or b""):
            raise FrameError("an x")
        return Snapshot(taken_ms=now_ms, serial=(frames[2] or b"").decode())


class Air:
    """What was written, and what a script answers to it: (delay ms, frame) pairs."""

    name = "air"
    byte_us = 0

    def __init__(
        self, clock: ScriptedClock, answers: Callable[[bytes, int], list[tuple[int, bytes]]]
    ):
        self.clock = clock
        self.answers = answers
        self.written: list[tuple[int, bytes]] = []
        self.coming: list[tuple[int, bytes]] = []
        self.ends_ms = 0

    async def open(self) -> None: ...
    def close(self) -> None: ...

    async def write(self, data: bytes) -> None:
        now = self.clock.now_ms()
        self.written.append((now - 1000, data))
        self.coming += [(now + delay, frame) for delay, frame in self.answers(data, now - 1000)]
        self.coming.sort()

    async def read(self, timeout_ms: int) -> bytes:
        now = self.clock.now_ms()
        if now >= self.ends_ms:
            raise LinkError("over")
        if self.coming and self.coming[0][0] <= now + timeout_ms:
            at, frame = self.coming.pop(0)
            self.clock.us = max(self.clock.us, at * 1000)
            return frame
        self.clock.us += timeout_ms * 1000
        return b""


class Played:
    def __init__(self, answers: Callable[[bytes, int], list[tuple[int, bytes]]]) -> None:
        self.clock = ScriptedClock()
        self.air = Air(self.clock, answers)
        self.unit = PolledUnit("u", Letters(), 100_000, 5000, 5000, 50, 1000)  # type: ignore[arg-type]
        self.got: list[tuple[int, Snapshot]] = []

    async def run(self, seconds: int) -> list[tuple[int, bytes]]:
        self.air.ends_ms = self.clock.now_ms() + seconds * 1000
        take = lambda _, snap: self.got.append((self.clock.now_ms() - 1000, snap))  # noqa: E731
        streamer = Streamer(self.air, self.clock, self.unit, take, logging.getLogger("test"))
        with pytest.raises(LinkError):
            await streamer.run()
        return self.air.written


def lives(count: int, every_ms: int, first_ms: int = 200) -> list[tuple[int, bytes]]:
    return [(first_ms + every_ms * n, b"L%07d" % n) for n in range(count)]


def healthy(data: bytes, _: int) -> list[tuple[int, bytes]]:
    if data == INFO:
        return [(50, b"I-serial")]
    return [(50, b"S-------"), *lives(40, 500)]


async def test_info_then_settings_then_the_stream() -> None:
    played = Played(healthy)
    written = await played.run(15)
    assert [data for _, data in written] == [INFO, SETTINGS]
    assert written[1][0] >= written[0][0] + 50 + 100  # the gap behind the answer
    assert len(played.got) > 25
    assert {snap.serial for _, snap in played.got} == {"I-serial"}


async def test_half_a_frame_of_an_earlier_connection_is_forgotten() -> None:
    played = Played(healthy)
    played.unit.receiver.feed(b"L00")
    await played.run(3)
    assert played.got and not played.unit.counters["foreign"]


async def test_it_is_asked_again_only_when_the_stream_stops() -> None:
    def stops(data: bytes, now: int) -> list[tuple[int, bytes]]:
        return healthy(data, now)[:5]

    played = Played(stops)
    written = await played.run(20)
    again = [at for at, data in written[2:]]
    assert [data for _, data in written[2:]] == [LIVE] * len(again) and len(again) >= 2
    last = max(at for at, _ in played.got if at < again[0])
    assert 5000 <= again[0] - last <= 5100


async def test_nothing_counts_before_it_is_known_who_speaks() -> None:
    def eager(data: bytes, now: int) -> list[tuple[int, bytes]]:
        if data == INFO:
            return [*lives(4, 100, 10), (2000, b"I-serial")]
        return healthy(data, now)

    played = Played(eager)
    await played.run(8)
    assert played.got[0][0] > 2000
    assert all(snap.serial == "I-serial" for _, snap in played.got)


async def test_info_that_never_comes_is_given_up_and_not_waited_for_again() -> None:
    def mute(data: bytes, now: int) -> list[tuple[int, bytes]]:
        return [] if data == INFO else healthy(data, now)

    played = Played(mute)
    written = await played.run(40)
    assert [data for _, data in written].count(INFO) == 3
    assert played.got and played.got[0][1].serial == ""
    played.air.written.clear()
    played.air.coming.clear()
    first = played.clock.now_ms() - 1000
    played.got.clear()
    await played.run(20)  # the next connection asks once
    assert [data for _, data in played.air.written].count(INFO) == 1
    assert played.got[0][0] - first < 7000


async def test_foreign_and_unreadable_frames_are_counted() -> None:
    def odd(data: bytes, now: int) -> list[tuple[int, bytes]]:
        found = healthy(data, now)
        return found if data == INFO else [*found[:3], (1300, b"?-------"), (1400, b"Lx------")]

    played = Played(odd)
    await played.run(4)
    assert played.unit.counters["foreign"] == 1
    assert played.unit.counters["bad_frames"] == 1
    assert len(played.got) == 2


async def test_the_same_for_a_minute_is_stuck() -> None:
    def stuck(data: bytes, now: int) -> list[tuple[int, bytes]]:
        if data == INFO:
            return [(50, b"I-serial")]
        return [(50, b"S-------")] + [(200 + 1000 * n, b"L%05d--" % n) for n in range(90)]

    played = Played(stuck)
    played.air.ends_ms = 10**9
    streamer = Streamer(
        played.air, played.clock, played.unit, lambda *_: None, logging.getLogger("test")
    )
    with pytest.raises(SilentError, match="the same data"):
        await streamer.run()
    assert 60_000 < played.clock.now_ms() - 1000 < 63_000
