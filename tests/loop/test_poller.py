"""The poller's rules, on a clock that costs nothing and a line that answers as the test says."""

from __future__ import annotations

import asyncio
import gc
import logging
import sys
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
            self.last_us = at
            while self.coming and self.coming[0][0] <= self.clock.us:
                self.last_us, more = self.coming.pop(0)
                chunk += more
            return chunk
        self.clock.us = until
        return b""


class Letter:
    """A protocol of six bytes: request `?a0.`, answer `!a0123`: a is the unit, 0 the slot."""

    def __init__(self, name: str, slow: bool = False):
        self.name = name.encode()
        self.slow = slow

    def requests(self) -> Sequence[tuple[int, bytes]]:
        live = ((EACH_POLL, b"?" + self.name + b"0."),)
        if not self.slow:
            return live
        return (*live, (10000, b"?" + self.name + b"1."), (ONCE, b"?" + self.name + b"2."))

    def take(self, buffer: bytes) -> tuple[int, bytes | None]:
        at = buffer.find(b"!")
        if at:
            return (len(buffer) if at < 0 else at), None
        if len(buffer) < 6:
            return 0, None
        if buffer[3:6] not in (b"123", b"bad"):
            return 1, None
        return 6, buffer[:6]

    def slot(self, frame: bytes) -> int | None:
        return int(frame[2:3]) if frame[1:2] == self.name else None

    def decode(self, frames: Sequence[bytes | None], now_ms: int) -> Snapshot:
        if frames[0] is None:
            raise FrameError("nothing")
        for frame in frames:
            if frame is not None and frame.endswith(b"bad"):
                raise FrameError("%r is nonsense" % frame)
        return Snapshot(taken_ms=now_ms, model=str([f is not None for f in frames]))


def says(request: bytes, how: bytes = b"123") -> bytes:
    return b"!" + request[1:3] + how


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
    return [(5000, says(request))]


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
        return [(5000, says(request)), (7000, b"\x00"), (10_000, b"x")]

    bench = Bench(answer, unit("a", poll_ms=0))
    await bench.run(2)
    assert all(gap >= 4000 for gap in bench.wire.gaps[1:])
    # The 00 restarts the gap too, but some units send one behind each answer: no fault.
    assert bench.poller.stats["stray_bytes"] in (len(bench.got), len(bench.got) - 1)


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
    assert [request for _, request in bench.asked("a")] == [b"?a0."]  # never settings of a stranger
    (at,) = [at for at, _ in bench.asked("a")]
    after = min(t for t, _ in bench.asked("b") if t > at)
    assert 150_000 + 4 * 1042 + 4000 <= after - at <= 160_000


async def test_slow_slots_last_to_first_one_a_round_then_by_their_age() -> None:
    bench = Bench(prompt, unit("a", slow=True), unit("b"))
    await bench.run(25)
    asked = [request[2:3] for _, request in bench.asked("a")]
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
    assert [r[2:3] for _, r in bench.wire.sent[:4]] == [b"2", b"0", b"1", b"0"]


async def test_an_info_that_never_comes_is_given_up_after_three_tries() -> None:
    def answer(request: bytes, end: int) -> Sequence[tuple[int, bytes]]:
        return [] if request[2:3] == b"2" else prompt(request, end)

    bench = Bench(answer, unit("a", slow=True))
    await bench.run(30)
    assert [request[2:3] for _, request in bench.wire.sent].count(b"2") == 3
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
    assert b"?a2." in [request for _, request in bench.wire.sent[before:]]


@pytest.mark.parametrize("late_us", [156_000, 160_000, 1_500_000])
async def test_a_late_answer_is_nobodys(late_us: int) -> None:
    """a's answer comes in the gap after its time-out, or in the window of b, before b's own."""

    def answer(request: bytes, end: int) -> Sequence[tuple[int, bytes]]:
        if request[1:2] == b"a":
            return [(late_us, says(request))]
        return [(60_000, says(request))]

    bench = Bench(answer, unit("a"), unit("b", poll_ms=0))
    await bench.run(1 + late_us / 1e6)
    assert {key for _, key, _ in bench.got} == {"b"}
    a, b = bench.poller.units
    assert b.counters["timeouts"] == 0 and a.counters["timeouts"] >= 1
    assert b.counters["foreign"] + bench.poller.stats["stray_bytes"] > 0
    assert all(gap >= 4000 for gap in bench.wire.gaps[1:])


async def test_an_answer_behind_somebody_elses_still_counts() -> None:
    """The foreign frame ends after the time for the first byte; ours follows at once."""

    def answer(request: bytes, end: int) -> Sequence[tuple[int, bytes]]:
        return [(140_000, b"!z0"), (152_000, b"123"), (160_000, says(request))]

    bench = Bench(answer, unit("a"))
    await bench.run(0.9)
    assert [key for _, key, _ in bench.got] == ["a"]
    assert bench.poller.units[0].counters["foreign"] == bench.poller.stats["foreign"] == 1


async def test_settings_in_answer_to_live_are_not_believed() -> None:
    def answer(request: bytes, end: int) -> Sequence[tuple[int, bytes]]:
        return [(5000, b"!a1123")]

    bench = Bench(answer, unit("a", slow=True), unit("b"))
    await bench.run(0.9)
    assert not bench.got and bench.poller.units[0].frames == [None, None, None]


async def test_echo_noise_and_half_frames() -> None:
    def answer(request: bytes, end: int) -> Sequence[tuple[int, bytes]]:
        echo = (-1000, request)
        if request[1:2] == b"b":
            return [echo, (5000, b"!b0")]  # and nothing more
        return [echo, (2000, b"\xff\x00zz"), (30_000, b"!"), (60_000, b"a"), (90_000, b"0123")]

    bench = Bench(answer, unit("a"), unit("b"))
    await bench.run(0.99)
    assert [key for _, key, _ in bench.got] == ["a"]
    b = bench.poller.units[1]
    assert b.counters["bad_frames"] == 1 and b.counters["timeouts"] == 0
    assert bench.poller.stats["echo"] == 2 and bench.poller.stats["stray_bytes"] == 4


class Mirror(Letter):
    """Its answer has the shape of its request, so an echo would pass for one."""

    def requests(self) -> Sequence[tuple[int, bytes]]:
        return ((EACH_POLL, b"!" + self.name + b"0123"),)


@pytest.mark.parametrize("pieces", [(6,), (2, 6), (1, 2, 3, 4, 5, 6)])
async def test_an_echo_alone_is_a_time_out(pieces: tuple[int, ...]) -> None:
    def answer(request: bytes, end: int) -> Sequence[tuple[int, bytes]]:
        starts = (0, *pieces[:-1])
        return [(1000 * b, request[a:b]) for a, b in zip(starts, pieces)]

    bench = Bench(answer, PolledUnit("a", Mirror("a"), 4000, 150, 1000, 50, 1000))
    await bench.run(0.9)
    (a,) = bench.poller.units
    assert not bench.got and bench.poller.stats["echo"] == 1
    assert a.counters["timeouts"] == 1 and a.counters["bad_frames"] == 0


async def test_an_answer_right_behind_the_echo() -> None:
    def answer(request: bytes, end: int) -> Sequence[tuple[int, bytes]]:
        return [(0, request[:2]), (1000, request[2:] + says(request)[:3]), (4000, b"123")]

    bench = Bench(answer, unit("a"))
    await bench.run(0.9)
    assert [key for _, key, _ in bench.got] == ["a"] and bench.poller.stats["echo"] == 1


async def test_half_an_echo_is_not_an_answer() -> None:
    bench = Bench(lambda request, end: [(0, request[:3])], unit("a"))
    await bench.run(0.9)
    assert bench.poller.units[0].counters["bad_frames"] == 1


async def test_a_glitch_at_the_turn_of_the_line_does_not_end_the_waiting() -> None:
    """One byte that could begin an answer, then longer nothing than within an answer."""

    def answer(request: bytes, end: int) -> Sequence[tuple[int, bytes]]:
        return [(100, b"!"), (120_000, says(request))]

    bench = Bench(answer, unit("a"))
    await bench.run(0.9)
    assert [key for _, key, _ in bench.got] == ["a"]


async def test_an_answer_that_begins_just_in_time_is_heard_out() -> None:
    def answer(request: bytes, end: int) -> Sequence[tuple[int, bytes]]:
        return [(149_500 + 40_000 * n, says(request)[n : n + 1]) for n in range(6)]

    bench = Bench(answer, unit("a"))
    await bench.run(0.9)
    assert [key for _, key, _ in bench.got] == ["a"]


async def test_half_a_frame_is_given_up_after_its_silence() -> None:
    def answer(request: bytes, end: int) -> Sequence[tuple[int, bytes]]:
        return [(1000, b"!a0")] if request[1:2] == b"a" else prompt(request, end)

    bench = Bench(answer, unit("a"), unit("b"))
    await bench.run(0.5)
    gone, asked = bench.wire.sent[0][0], bench.wire.sent[1][0]
    assert 4 * 1042 + 1000 + 50_000 <= asked - gone <= 4 * 1042 + 1000 + 50_000 + 6000


async def test_a_talker_without_an_end_is_left() -> None:
    """Bytes for ever, each 20 ms: the exchange ends all the same, and the next keeps its gap."""
    bench = Bench(lambda request, end: [], unit("a"), unit("b"))
    began = bench.clock.us
    bench.wire.coming = [(began + 20_000 * n, b"!aa") for n in range(1, 600)]
    await bench.run(10)
    assert 4 <= len(bench.wire.sent) <= 20
    assert all(gap >= 4000 for gap in bench.wire.gaps[1:])


async def test_a_line_that_is_never_silent_is_said_once(caplog: pytest.LogCaptureFixture) -> None:
    bench = Bench(prompt, unit("a", gap_us=100_000))
    began = bench.clock.us
    bench.wire.coming = [(began + 50_000 * n, b"x") for n in range(1, 400)]  # for 20 s
    with caplog.at_level(logging.INFO):
        await bench.run(25)
    levels = [(r.levelname, r.getMessage().split(":")[0]) for r in caplog.records]
    assert levels == [("WARNING", "bus"), ("INFO", "bus")]
    assert bench.wire.sent[0][0] >= began + 399 * 50_000 + 100_000
    assert bench.got


class No(Letter):
    """Refuses as long as `no` stands."""

    no = True

    def decode(self, frames: Sequence[bytes | None], now_ms: int) -> Snapshot:
        if self.no:
            raise RefusedError("result 2", 2)
        return super().decode(frames, now_ms)


async def test_a_refusal_is_counted_and_keeps_the_unit(caplog: pytest.LogCaptureFixture) -> None:
    codec = No("a")
    bench = Bench(prompt, PolledUnit("a", codec, 4000, 150, 1000, 50, 1000))
    with caplog.at_level(logging.INFO):
        await bench.run(5)
        (a,) = bench.poller.units
        assert a.counters["refused"] == 5 and not bench.got and len(bench.wire.sent) == 5
        codec.no = False
        await bench.run(5)
    assert len(bench.got) == 5
    assert [(r.levelname, r.getMessage()) for r in caplog.records] == [
        ("WARNING", "a: refuses: result 2"),
        ("INFO", "a: answers well, after 5 polls without"),
    ]


async def test_who_never_answers_is_said_once_and_unreadable_ones_too(
    caplog: pytest.LogCaptureFixture,
) -> None:
    def answer(request: bytes, end: int) -> Sequence[tuple[int, bytes]]:
        return [] if request[1:2] == b"a" else [(5000, b"!b0xyz")]

    bench = Bench(answer, unit("a"), unit("b"))
    with caplog.at_level(logging.INFO):
        await bench.run(60)
    assert [(r.levelname, r.getMessage()) for r in caplog.records] == [
        ("WARNING", "a: no answer: is it on, is its address right?"),
        ("WARNING", "b: unreadable answers: noise, or two units at one address?"),
    ]
    a, b = bench.poller.units
    assert a.counters["timeouts"] == a.counters["polls"] and a.counters["bad_frames"] == 0
    assert b.counters["bad_frames"] == b.counters["polls"] and b.counters["timeouts"] == 0


async def test_one_bad_frame_costs_one_poll_and_no_settings() -> None:
    polls = 0

    def answer(request: bytes, end: int) -> Sequence[tuple[int, bytes]]:
        nonlocal polls
        polls += request[2:3] == b"0"
        return [(5000, says(request, b"bad" if polls == 5 else b"123"))]

    bench = Bench(answer, unit("a", slow=True))
    await bench.run(8.5)
    (a,) = bench.poller.units
    assert a.counters["bad_frames"] == 1 and polls == 9 and len(bench.got) == 8
    assert [snap.model for _, _, snap in bench.got[1:]] == ["[True, True, True]"] * 7
    assert bench.got[-1][2].taken_ms == (bench.got[-1][0] // 1000)


@pytest.mark.parametrize("slot", [1, 2])
async def test_settings_or_info_that_spoil_all_else_are_left_out(slot: int) -> None:
    def answer(request: bytes, end: int) -> Sequence[tuple[int, bytes]]:
        bad = int(request[2:3]) == slot
        return [(5000, says(request, b"bad" if bad else b"123"))]

    bench = Bench(answer, unit("a", slow=True))
    await bench.run(60)
    expected = [True, True, True]
    expected[slot] = False
    assert bench.got[-1][2].model == str(expected)
    assert len(bench.got) >= 60 - (3 if slot == 2 else 9)
    asked = [r[2:3] for _, r in bench.wire.sent].count(b"%d" % slot)
    assert asked == 3 if slot == 2 else 7 <= asked <= 9


async def test_info_of_an_older_firmware_is_asked_anew() -> None:
    """Live frames that fit no longer to what was remembered: after three, all is asked again."""

    version = b"123"

    class Versioned(Letter):
        def take(self, buffer: bytes) -> tuple[int, bytes | None]:
            return (6, buffer[:6]) if len(buffer) >= 6 else (0, None)

        def decode(self, frames: Sequence[bytes | None], now_ms: int) -> Snapshot:
            if frames[2] is not None and frames[2][3:] != version:
                raise FrameError("another layout")
            return Snapshot(taken_ms=now_ms)

    def answer(request: bytes, end: int) -> Sequence[tuple[int, bytes]]:
        return [(5000, says(request, version))]

    bench = Bench(answer, PolledUnit("a", Versioned("a", True), 4000, 150, 1000, 50, 1000))
    await bench.run(5)
    before = len(bench.got)
    version = b"456"
    await bench.run(10)
    assert len(bench.got) - before >= 6


async def test_settings_that_never_come_are_asked_at_their_own_pace() -> None:
    """Three times, then every 10 s: else each poll of this unit would cost all others a second."""

    def answer(request: bytes, end: int) -> Sequence[tuple[int, bytes]]:
        return [] if request[2:3] == b"1" else prompt(request, end)

    bench = Bench(answer, unit("a", slow=True), unit("b"))
    await bench.run(60)
    times = [at for at, request in bench.asked("a") if request[2:3] == b"1"]
    assert 7 <= len(times) <= 9
    assert all(9_990_000 <= b - a < 12_000_000 for a, b in zip(times[3:], times[4:]))


async def test_settings_answered_now_and_then_are_asked_until_they_are() -> None:
    """Two of three lost, each time anew: only three in a row make them wait."""
    asked = 0

    def answer(request: bytes, end: int) -> Sequence[tuple[int, bytes]]:
        nonlocal asked
        if request[2:3] != b"1":
            return prompt(request, end)
        asked += 1
        return [] if asked % 3 else prompt(request, end)

    bench = Bench(answer, unit("a", slow=True))
    await bench.run(60)
    times = [at // 1_000_000 for at, request in bench.wire.sent if request[2:3] == b"1"]
    waits = [b - a for a, b in zip(times, times[1:])]
    assert len(times) >= 12 and [wait for wait in waits if 3 < wait < 9] == []
    assert waits.count(1) + waits.count(2) >= 8


async def test_a_silent_unit_alone_on_its_line_keeps_its_tries() -> None:
    """What was asked of a unit that was off is no reason to give its info up."""
    dead = True

    def answer(request: bytes, end: int) -> Sequence[tuple[int, bytes]]:
        return [] if dead else prompt(request, end)

    bench = Bench(answer, unit("a", slow=True))
    await bench.run(20)
    dead = False
    await bench.run(20)
    assert bench.got[-1][2].model == "[True, True, True]"


class Twin(Letter):
    """Two live frames, one of them in slot 1."""

    def requests(self) -> Sequence[tuple[int, bytes]]:
        return ((EACH_POLL, b"?" + self.name + b"0."), (EACH_POLL, b"?" + self.name + b"1."))


async def test_a_second_live_frame_is_asked_each_poll_and_never_kept() -> None:
    muted = gone = False

    def answer(request: bytes, end: int) -> Sequence[tuple[int, bytes]]:
        if request[1:2] == b"a" and ((gone, muted)[int(request[2:3])]):
            return []
        return prompt(request, end)

    bench = Bench(answer, PolledUnit("a", Twin("a"), 4000, 150, 1000, 50, 1000), unit("b"))
    await bench.run(4.5)
    muted = True
    await bench.run(2.5)
    seen = [snap.model for _, key, snap in bench.got if key == "a"]
    assert seen[0] == "[True, False]"  # a stranger on a shared line: slot 0 alone
    assert seen[1:5] == ["[True, True]"] * 4
    assert seen[5:] == ["[True, False]"] * len(seen[5:]) and len(seen) > 6
    muted = False
    await bench.run(3)
    gone = True
    await bench.run(3)
    bench.got.clear()
    gone = False
    await bench.run(5)
    back = [snap.model for _, key, snap in bench.got if key == "a"]
    assert back[:2] == ["[True, False]", "[True, True]"]


async def test_slots_that_come_by_themselves_are_never_asked() -> None:
    class Stream(Letter):
        def requests(self) -> Sequence[tuple[int, bytes]]:
            return ((EACH_POLL, b"?" + self.name + b"0."), (EACH_POLL, b""), (ONCE, b""))

    bench = Bench(prompt, PolledUnit("a", Stream("a"), 4000, 150, 1000, 50, 1000))
    await bench.run(3.5)
    assert {request for _, request in bench.wire.sent} == {b"?a0."} and len(bench.got) == 4


async def test_the_round_is_what_the_line_needs_not_how_long_somebody_was_away() -> None:
    dead = False

    def answer(request: bytes, end: int) -> Sequence[tuple[int, bytes]]:
        if request[1:2] == b"a" and dead:
            return []
        return [(100_000, says(request))]

    bench = Bench(answer, unit("a"), unit("b", poll_ms=5000), unit("c"))
    await bench.run(5)
    round_ms = bench.poller.round_ms()
    assert 300 <= round_ms <= 340
    dead = True
    await bench.run(300)
    assert bench.poller.round_ms() < round_ms
    dead = False
    for _ in range(40):  # it returns: at no moment may the others' data pass for young longer
        await bench.run(1)
        assert bench.poller.round_ms() <= round_ms + 20


async def test_a_line_slower_than_its_poll_time_takes_turns() -> None:
    def answer(request: bytes, end: int) -> Sequence[tuple[int, bytes]]:
        return [(145_000, says(request))]

    names = "abcdefghij"
    bench = Bench(answer, *(unit(name) for name in names))
    await bench.run(30)
    for name in names:
        times = [at for at, _ in bench.asked(name)]
        waits = [b - a for a, b in zip(times, times[1:])]
        assert len(times) >= 18 and max(waits) < 2_000_000 and max(waits[2:]) < 1_600_000
    assert 1500 <= bench.poller.round_ms() <= 1600


async def test_busy_time_is_what_the_bytes_took() -> None:
    bench = Bench(prompt, unit("a"))
    await bench.run(9.9)
    stats = bench.poller.stats
    assert stats["frames_in"] == stats["frames_out"] == 10
    assert stats["busy_us"] == 10 * (4 + 6) * 1042


async def test_who_is_taken_off_the_list_while_asked_is_not_delivered() -> None:
    def answer(request: bytes, end: int) -> Sequence[tuple[int, bytes]]:
        bench.poller.units = []
        return prompt(request, end)

    bench = Bench(answer, unit("a"))
    await bench.run(3)
    assert not bench.got and len(bench.wire.sent) == 1


async def test_a_line_opened_again_forgets_what_had_begun_and_keeps_the_gap() -> None:
    """Half an answer before the port was pulled, the other half after: that is no answer."""
    bench = Bench(lambda request, end: [(1000, b"!a0")], unit("a", poll_ms=0))
    bench.wire.stop_us = bench.clock.us + 4000 + 4 * 1042 + 500
    with pytest.raises(LinkError):
        await bench.poller.run()
    bench.wire.answer = lambda request, end: [(1000, b"123")]
    bench.wire.coming = []
    bench.clock.us += 60_000_000
    again = bench.clock.us
    await bench.run(0.1)
    assert len(bench.wire.sent) == 2 and bench.wire.sent[1][0] - again >= 4000
    assert not bench.got


async def test_an_answer_that_waits_counts_though_we_are_late() -> None:
    """The machine was busy, or asleep: time is up before anybody looked, but it has answered."""

    class Drowsy(Wire):
        async def write(self, data: bytes) -> None:
            await super().write(data)
            self.clock.us += 700_000

    bench = Bench(prompt, unit("a"))
    bench.wire = bench.poller.link = Drowsy(bench.clock, prompt)
    await bench.run(3)
    assert len(bench.got) == 3 and bench.poller.stats["timeout"] == 0


async def test_one_miss_in_three_is_no_reason_to_back_off() -> None:
    count = 0

    def answer(request: bytes, end: int) -> Sequence[tuple[int, bytes]]:
        nonlocal count
        count += 1
        return [] if count % 3 else prompt(request, end)

    bench = Bench(answer, unit("a"))
    await bench.run(29.5)
    assert len(bench.wire.sent) == 30 and len(bench.got) == 10


async def test_a_unit_that_fell_silent_is_probed_with_its_live_frame_alone() -> None:
    dead = False

    def answer(request: bytes, end: int) -> Sequence[tuple[int, bytes]]:
        return [] if dead and request[1:2] == b"a" else prompt(request, end)

    bench = Bench(answer, unit("a", slow=True), unit("b"))
    await bench.run(5)
    dead = True
    before = len(bench.asked("a"))
    await bench.run(60)
    assert {request for _, request in bench.asked("a")[before:]} == {b"?a0."}


async def test_a_hundred_thousand_polls_leave_nothing_behind() -> None:
    """All kinds of answers in turn; what is alive after them was alive after the first thousand."""
    count = 0
    kinds = [
        lambda r: [(5000, says(r))],
        lambda r: [],
        lambda r: [(5000, b"!a")],
        lambda r: [(0, r), (5000, says(r, b"bad"))],
        lambda r: [(5000, b"noise" * 300)],
        lambda r: [(5000, says(r)), (6000, b"!z0123" * 3)],
        lambda r: [(5000, b"!z0123")],
    ]

    def answer(request: bytes, end: int) -> Sequence[tuple[int, bytes]]:
        nonlocal count
        count += 1
        bench.got.clear()
        bench.wire.sent.clear()
        bench.wire.gaps.clear()
        if count in (1000, polls):
            gc.collect()
            alive.append((len(gc.get_objects()), sum(map(sys.getsizeof, gc.get_objects()))))
        if count == polls:
            raise LinkError("enough")
        return kinds[0](request) if count % 3 else kinds[count // 3 % len(kinds)](request)

    polls = 100_000
    alive: list[tuple[int, int]] = []
    bench = Bench(answer, unit("a", True, poll_ms=0), unit("b", poll_ms=0))
    logging.disable()
    try:
        with pytest.raises(LinkError):
            await bench.poller.run()
    finally:
        logging.disable(logging.NOTSET)
    assert alive[1][0] - alive[0][0] < 50 and alive[1][1] - alive[0][1] < 20_000


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
    assert states == [False] * 7 + [True, False]


async def test_a_line_that_had_been_well_is_tried_soon_again() -> None:
    """1, 2, 4 s for an adapter that comes and goes; after half a minute of peace from 1 s anew."""
    clock = Clock()
    lasts = [1, 1, 1, 40, 1]
    waits: list[int] = []

    class Port:
        name = "bus"

        async def open(self) -> None:
            waits.append(clock.now_ms() - since)

        def close(self) -> None: ...

    async def body() -> None:
        nonlocal since
        if not lasts:
            return
        await clock.sleep_ms(1000 * lasts.pop(0))
        since = clock.now_ms()
        raise LinkError("gone")

    since = clock.now_ms()
    await hold_open(Port(), clock, body, log)  # type: ignore[arg-type]
    assert waits == [0, 1000, 2000, 4000, 1000, 2000]


async def test_whatever_ends_a_body_the_port_is_closed() -> None:
    closed: list[str] = []

    class Port:
        name = "bus"

        async def open(self) -> None: ...

        def close(self) -> None:
            closed.append("closed")

    async def mistake() -> None:
        raise ZeroDivisionError

    states: list[bool] = []
    with pytest.raises(ZeroDivisionError):
        await hold_open(Port(), Clock(), mistake, log, states.append)  # type: ignore[arg-type]
    assert closed == ["closed"] and states == [True, False]
