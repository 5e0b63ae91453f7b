"""The poller's rules, on a clock that costs nothing and a line that answers as the test says."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence

import pytest

from vbms.aggregate.snapshot import Snapshot
from vbms.errors import FrameError, LinkError, RefusedError
from vbms.loops.hold import hold_open
from vbms.loops.poller import PolledUnit, Poller
from vbms.options import EACH_POLL, ONCE

log = logging.getLogger("test")


class Clock:
    """Time passes only when somebody waits."""

    def __init__(self) -> None:
        self.us = 1_000_000

    def now_ms(self) -> int:
        return self.us // 1000

    def now_us(self) -> int:
        return self.us

    async def sleep_ms(self, ms: int) -> None:
        await self.sleep_us(ms * 1000)

    async def sleep_us(self, us: int) -> None:
        self.us += us
        await asyncio.sleep(0)


Answer = Callable[[bytes, int], Sequence[tuple[int, bytes]]]


class Wire:
    """A line on that clock. `answer(request, now_us)` gives [(after_us, bytes)] from the request's end."""

    name = "bus"

    def __init__(self, clock: Clock, answer: Answer, byte_us: int = 1042):
        self.clock = clock
        self.answer = answer
        self.byte_us = byte_us
        self.sent: list[tuple[int, bytes]] = []
        self.coming: list[tuple[int, bytes]] = []
        self.last_us = 0  # the last byte that came
        self.gaps: list[int] = []
        self.stop_us: int | None = None

    async def open(self) -> None: ...
    def close(self) -> None: ...

    async def write(self, data: bytes) -> None:
        self.gaps.append(self.clock.us - self.last_us)
        self.sent.append((self.clock.us, data))
        end = self.clock.us + len(data) * self.byte_us
        self.coming += [(end + after, chunk) for after, chunk in self.answer(data, end)]
        self.coming.sort()

    async def read(self, timeout_ms: int) -> bytes:
        await asyncio.sleep(0)
        if self.stop_us is not None and self.clock.us >= self.stop_us:
            raise LinkError("the test is over")
        until = self.clock.us + timeout_ms * 1000
        if self.coming and self.coming[0][0] <= until:
            at, chunk = self.coming.pop(0)
            self.clock.us = max(self.clock.us, at)
            self.last_us = self.clock.us
            return chunk
        self.clock.us = until
        return b""


class Letter:
    """A protocol of three bytes: request `?ax`, answer `!ax`: a is the unit, x the slot."""

    def __init__(self, name: str, slow: bool = False):
        self.name = name.encode()
        self.slow = slow

    def requests(self) -> Sequence[tuple[int, bytes]]:
        live = ((EACH_POLL, b"?" + self.name + b"0"),)
        if not self.slow:
            return live
        return (*live, (10000, b"?" + self.name + b"1"), (ONCE, b"?" + self.name + b"2"))

    def take(self, buffer: bytes) -> tuple[int, bytes | None]:
        at = buffer.find(b"!")
        if at:
            return (len(buffer) if at < 0 else at), None
        if len(buffer) < 3:
            return 0, None
        return 3, buffer[:3]

    def slot(self, frame: bytes) -> int | None:
        return int(frame[2:]) if frame[1:2] == self.name else None

    def decode(self, frames: Sequence[bytes | None], now_ms: int) -> Snapshot:
        if frames[0] is None:
            raise FrameError("nothing")
        return Snapshot(taken_ms=now_ms, model=str([f is not None for f in frames]))


class Bench:
    def __init__(self, answer: Answer, *units: PolledUnit):
        self.clock = Clock()
        self.wire = Wire(self.clock, answer)
        self.got: list[tuple[int, str, Snapshot]] = []
        self.poller = Poller(self.wire, self.clock, units, self.deliver, log)

    def deliver(self, key: str, snap: Snapshot) -> None:
        self.got.append((self.clock.us, key, snap))

    async def run(self, seconds: float) -> None:
        self.wire.stop_us = self.clock.us + int(seconds * 1e6)
        with pytest.raises(LinkError):
            await self.poller.run()

    def asked(self, key: str) -> list[tuple[int, bytes]]:
        return [(at, request) for at, request in self.wire.sent if request[1:2] == key.encode()]


def unit(key: str, slow: bool = False, gap_us: int = 4000, poll_ms: int = 1000) -> PolledUnit:
    return PolledUnit(key, Letter(key, slow), gap_us, 150, 1000, 50, poll_ms)


def prompt(request: bytes, end: int) -> Sequence[tuple[int, bytes]]:
    return [(5000, b"!" + request[1:])]


async def test_each_unit_once_a_second() -> None:
    bench = Bench(prompt, unit("a"), unit("b"), unit("c"))
    await bench.run(10)
    for key in "abc":
        times = [at for at, _ in bench.asked(key)]
        assert len(times) == 10
        assert all(999_000 <= b - a <= 1_001_000 for a, b in zip(times[1:], times[2:]))


async def test_gap_is_the_larger_of_two_and_never_early() -> None:
    bench = Bench(prompt, unit("a", gap_us=3646, poll_ms=0), unit("b", gap_us=100_000, poll_ms=0))
    await bench.run(5)
    assert len(bench.wire.gaps) > 30
    assert all(100_000 <= gap <= 101_000 for gap in bench.wire.gaps[1:])
    bench = Bench(prompt, unit("a", gap_us=1750, poll_ms=0), unit("b", gap_us=3646, poll_ms=0))
    await bench.run(5)
    assert all(3646 <= gap <= 3700 for gap in bench.wire.gaps[1:])


async def test_a_byte_in_the_gap_restarts_it() -> None:
    def answer(request: bytes, end: int) -> Sequence[tuple[int, bytes]]:
        return [(5000, b"!" + request[1:]), (7000, b"\x00")]

    bench = Bench(answer, unit("a", poll_ms=0))
    await bench.run(2)
    assert all(gap >= 4000 for gap in bench.wire.gaps[1:])
    assert bench.poller.stats["stray_bytes"] >= len(bench.got) - 1


async def test_three_misses_then_back_off_then_one_answer_ends_it() -> None:
    dead = True

    def answer(request: bytes, end: int) -> Sequence[tuple[int, bytes]]:
        return [] if dead and request[1:2] == b"a" else prompt(request, end)

    bench = Bench(answer, unit("a"), unit("b"))
    await bench.run(140)
    times = [at / 1e6 for at, _ in bench.asked("a")]
    waits = [round(b - a) for a, b in zip(times, times[1:])]
    assert waits == [1, 1, 2, 4, 8, 16, 30, 30, 30]
    assert len(bench.asked("b")) == 140
    dead = False
    await bench.run(40)
    tail = [at for at, _ in bench.asked("a")][-5:]
    assert all(b - a < 1_003_000 for a, b in zip(tail, tail[1:]))


async def test_a_dead_unit_costs_one_short_time_out() -> None:
    def answer(request: bytes, end: int) -> Sequence[tuple[int, bytes]]:
        return [] if request[1:2] == b"a" else prompt(request, end)

    bench = Bench(answer, unit("a", slow=True), unit("b", poll_ms=0))
    await bench.run(1)
    assert [request for _, request in bench.asked("a")] == [b"?a0"]  # never settings of a stranger
    (at,) = [at for at, _ in bench.asked("a")]
    after = min(t for t, _ in bench.asked("b") if t > at)
    assert 150_000 + 3 * 1042 + 4000 <= after - at <= 160_000


async def test_slow_slots_last_to_first_one_a_round_then_by_their_age() -> None:
    bench = Bench(prompt, unit("a", slow=True), unit("b"))
    await bench.run(25)
    asked = [request[2:] for _, request in bench.asked("a")]
    assert asked[:6] == [b"0", b"2", b"0", b"1", b"0", b"0"]
    assert asked.count(b"2") == 1 and 2 <= asked.count(b"1") <= 3
    assert [snap.model for _, key, snap in bench.got if key == "a"][:3] == [
        "[True, False, False]",
        "[True, False, True]",
        "[True, True, True]",
    ]


async def test_alone_on_the_line_it_is_asked_everything_at_once() -> None:
    bench = Bench(prompt, unit("a", slow=True))
    await bench.run(2.5)
    assert [r[2:] for _, r in bench.wire.sent[:4]] == [b"2", b"0", b"1", b"0"]


async def test_an_info_that_never_comes_is_given_up_after_three_tries() -> None:
    def answer(request: bytes, end: int) -> Sequence[tuple[int, bytes]]:
        return [] if request.endswith(b"2") else prompt(request, end)

    bench = Bench(answer, unit("a", slow=True))
    await bench.run(30)
    assert [request[2:] for _, request in bench.wire.sent].count(b"2") == 3
    assert bench.got[-1][2].model == "[True, True, False]"


async def test_who_comes_back_is_asked_again_who_it_is() -> None:
    dead = False

    def answer(request: bytes, end: int) -> Sequence[tuple[int, bytes]]:
        return [] if dead else prompt(request, end)

    bench = Bench(answer, unit("a", slow=True))
    await bench.run(5)
    dead = True
    await bench.run(10)
    dead = False
    before = len(bench.wire.sent)
    await bench.run(10)
    assert b"?a2" in [request for _, request in bench.wire.sent[before:]]


async def test_a_late_answer_is_nobodys() -> None:
    """a's answer comes 160 ms late, in b's window; b's own stands behind it."""

    def answer(request: bytes, end: int) -> Sequence[tuple[int, bytes]]:
        if request[1:2] == b"a":
            return [(156_000, b"!a0")]
        return [(60_000, b"!b0")]

    bench = Bench(answer, unit("a"), unit("b"))
    await bench.run(1)
    assert [key for _, key, _ in bench.got] == ["b"]
    assert bench.poller.units[1].counters["foreign"] + bench.poller.stats["stray_bytes"] > 0


async def test_echo_noise_and_half_frames() -> None:
    def answer(request: bytes, end: int) -> Sequence[tuple[int, bytes]]:
        echo = (-1000, request)
        if request[1:2] == b"b":
            return [echo, (5000, b"!b")]  # and nothing more
        return [echo, (2000, b"\xff\x00zz"), (30_000, b"!"), (60_000, b"a"), (90_000, b"0")]

    bench = Bench(answer, unit("a"), unit("b"))
    await bench.run(0.99)
    assert [key for _, key, _ in bench.got] == ["a"]
    b = bench.poller.units[1]
    assert b.counters["bad_frames"] == 1 and b.counters["timeouts"] == 0


async def test_half_a_frame_is_given_up_after_its_silence() -> None:
    def answer(request: bytes, end: int) -> Sequence[tuple[int, bytes]]:
        return [(1000, b"!a")] if request[1:2] == b"a" else prompt(request, end)

    bench = Bench(answer, unit("a"), unit("b"))
    await bench.run(0.5)
    gone, asked = bench.wire.sent[0][0], bench.wire.sent[1][0]
    assert 3 * 1042 + 1000 + 50_000 <= asked - gone <= 3 * 1042 + 1000 + 50_000 + 6000


async def test_a_refusal_is_counted_and_keeps_the_unit() -> None:
    class No(Letter):
        def decode(self, frames: Sequence[bytes | None], now_ms: int) -> Snapshot:
            raise RefusedError("result 2", 2)

    bench = Bench(prompt, PolledUnit("a", No("a"), 4000, 150, 1000, 50, 1000))
    await bench.run(5)
    (a,) = bench.poller.units
    assert a.counters["refused"] == 5 and not bench.got and len(bench.wire.sent) == 5


async def test_replacing_units_keeps_those_that_stay() -> None:
    a, b = unit("a", slow=True), unit("b")
    bench = Bench(prompt, a, b)
    await bench.run(5)
    bench.poller.units = [a, unit("c")]
    await bench.run(5)
    assert [r[2:] for _, r in bench.asked("a")].count(b"2") == 1
    assert {request[1:2] for _, request in bench.wire.sent[-4:]} == {b"a", b"c"}


async def test_nothing_to_poll_listens() -> None:
    bench = Bench(prompt)
    bench.wire.coming = [(bench.clock.us + 5000, b"who is there")]
    await bench.run(3)
    assert bench.poller.stats["stray_bytes"] == 12


async def test_hold_open_backs_off_and_says_it_once(caplog: pytest.LogCaptureFixture) -> None:
    clock = Clock()

    class Port:
        name = "bus"
        tries = 0

        async def open(self) -> None:
            self.tries += 1
            if self.tries < 8:
                raise LinkError("/dev/x does not exist: plug it in")

        def close(self) -> None: ...

    states: list[bool] = []

    async def body() -> None:
        assert port.tries == 8

    port = Port()
    began = clock.us
    with caplog.at_level(logging.INFO):
        await hold_open(port, clock, body, log, states.append)  # type: ignore[arg-type]
    assert (clock.us - began) / 1e6 == 1 + 2 + 4 + 8 + 16 + 30 + 30
    assert [r.levelname for r in caplog.records] == ["ERROR", "INFO"]
    assert states == [False] * 7 + [True]
