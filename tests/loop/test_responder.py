"""The responder on a scripted line: what is answered, when, and what is counted."""

from __future__ import annotations

import logging
import random

import pytest

from tests.downstream.batteries import healthy
from tests.downstream.far_end import Row, ask, ask_who, crc, disguised, sealed
from tests.loop.scripted import PromptLine, ScriptedLine, Stage
from vbms.aggregate.virtual import VirtualBattery
from vbms.downstream.deye_rs485 import Codec
from vbms.loops.responder import FORGET_MS

HALF = ask(0)[:4]
ASCII = b"~200246610000FDAB\r"
FOREIGN = sealed(b"\x01\x03\x00\x10\x00\x02")
NEIGHBOUR = sealed(b"\x05\x04\x2e" + bytes(range(46)))  # another battery's answer


def answer_to(request: bytes, battery: VirtualBattery | None = None) -> bytes:
    answer = Codec(address=request[0]).answer(request, battery or healthy())
    assert answer is not None
    return answer


GOOD = answer_to(ask(0))


@pytest.fixture(autouse=True, params=[ScriptedLine, PromptLine], ids=["plain", "prompt"])
def lines(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every promise holds on either kind of link."""
    monkeypatch.setattr(Stage, "lines", request.param)


def stage(**options: int) -> Stage:
    return Stage([Codec()], healthy(), **options)


@pytest.mark.parametrize(
    "request_", [ask(0), ask_who(0), ask(0, 0x1008, 2), ask(0, 0x0FF0, 125), ask(0, 0x1000, 22)]
)
async def test_a_request_is_answered_at_once(request_: bytes) -> None:
    s = stage()
    assert await s.play(request_) == [answer_to(request_)]
    assert s.line.written[0][0] == 0
    s.counted(answered=1)


@pytest.mark.parametrize(
    "before",
    [b"\x00", b"\xff" * 40, b"\x00\x04", HALF, ASCII, FOREIGN, NEIGHBOUR, ask(3), NEIGHBOUR[:30]],
)
@pytest.mark.parametrize("apart_ms", [0, 1, 40, 400])
async def test_a_request_behind_something_is_answered(before: bytes, apart_ms: int) -> None:
    s = stage()
    assert await s.play((0, before), (apart_ms, ask(0))) == [GOOD]


@pytest.mark.parametrize("behind", [b"\x00", b"\xff", HALF, ASCII, FOREIGN, NEIGHBOUR, ask(3)])
async def test_only_what_ends_the_buffer_is_answered(behind: bytes) -> None:
    s = stage()
    assert await s.play(ask(0) + behind) == []
    assert s.responder.counters["overtaken"] == 1
    assert await s.play(ask(0)) == [GOOD]


async def test_of_two_requests_the_newer() -> None:
    s = stage()
    assert await s.play(ask_who(0) + ask(0)) == [GOOD]
    s.counted(answered=1, overtaken=1)
    assert await s.play(ask(0) + ask_who(0)) == [answer_to(ask_who(0))]
    assert await s.play(ask(0) + ask(0)) == [GOOD]
    assert await s.play(ask(1) + ask(0)) == [GOOD]
    assert await s.play(ask(0) + ask(1)) == []


async def test_single_bytes_50_ms_apart_are_a_request() -> None:
    s = stage()
    pieces = [(50 * at, ask(0)[at : at + 1]) for at in range(8)]
    assert await s.play(*pieces) == [GOOD]
    assert s.line.written[0][0] == 350000


async def test_half_a_request_is_forgotten() -> None:
    s = stage()
    assert await s.play((0, ask(0)[:6]), (FORGET_MS + 1, ask(0)[6:])) == []
    assert s.responder.counters["noise_bytes"] >= 6
    assert s.responder.counters["bad_crc"] == 1
    assert await s.play(ask(0)) == [GOOD]


@pytest.mark.parametrize(
    "bad",
    [
        ask(0)[:7] + b"\x14",
        ask(0)[:6] + ask(0)[:5:-1],
        ask_who(0)[:3] + b"\xbd",
        ask(0, 0x1000, 0),
        ask(0, 0x1000, 126),
        ask(15),
        ask(1),
        ask_who(9),
        sealed(b"\x00\x03\x10\x00\x00\x17"),
        sealed(b"\x00\x06\x10\x0c\x00\x17"),
        sealed(b"\x00\x10\x10\x00\x00\x01\x02\x00\x00"),
        ASCII,
        GOOD,
    ],
)
async def test_nothing_else_is_answered(bad: bytes) -> None:
    s = stage()
    assert await s.play(bad) == []
    assert s.responder.counters["answered"] == 0
    assert sum(s.responder.counters.values()) > 0  # but it is counted
    assert await s.play(ask(0)) == [GOOD]


@pytest.mark.parametrize("request_", [ask(0), ask_who(0)])
async def test_the_end_of_anothers_answer_is_no_request(request_: bytes) -> None:
    s = stage()
    answer = disguised(request_)
    cut = len(answer) - len(request_)
    assert await s.play(answer) == []
    assert await s.play((0, answer[:cut]), (5, answer[cut:])) == []
    s.counted(foreign=2)


async def test_counters() -> None:
    s = stage()
    await s.play(ask(3))
    s.counted(absent=1)
    await s.play(FOREIGN)
    s.counted(absent=1, foreign=1)
    await s.play(ask(0)[:7] + b"\x14")
    s.counted(absent=1, foreign=1, bad_crc=1, noise_bytes=8)
    await s.play(ASCII)
    s.counted(absent=1, foreign=1, bad_crc=1, noise_bytes=26)
    s.publish(None)
    await s.play(ask(0), ask_who(0))
    s.counted(absent=1, foreign=1, bad_crc=1, noise_bytes=26, stale=2)


# --- data ---------------------------------------------------------------------------------------


async def test_silent_until_something_is_published() -> None:
    s = Stage([Codec()])
    assert await s.play(ask(0), ask_who(0), ask(0, 0x1008, 1)) == []
    s.counted(stale=3)
    s.publish(healthy())
    assert await s.play(ask(0)) == [GOOD]


async def test_stale_and_unknown_are_silent_and_come_back() -> None:
    s = stage()
    for battery in (None, healthy(voltage_mv=None), healthy(soc_permille=None)):
        s.publish(battery)
        assert await s.play(ask(0), ask_who(0), ask(0, 0x1008, 1)) == []
        s.publish(healthy())
        assert await s.play(ask(0), ask_who(0)) == [GOOD, answer_to(ask_who(0))]


async def test_each_address_tells_its_own_battery() -> None:
    codecs = [Codec(address=address) for address in range(15)]
    s = Stage(codecs)
    batteries = [healthy(soc_permille=10 * address) for address in range(15)]
    s.responder.publish(
        [(codec, None if at == 4 else batteries[at]) for at, codec in enumerate(codecs)]
    )
    for address in range(16):
        answers = await s.play(ask(address))
        if address in (4, 15):
            assert answers == []
        else:
            (answer,) = answers
            assert Row(answer, address).soc_pm == 10 * address
    s.counted(answered=14, stale=1, absent=1)


async def test_an_address_that_is_not_published_any_more_is_absent() -> None:
    codecs = [Codec(address=0), Codec(address=1)]
    s = Stage(codecs, healthy())
    s.responder.publish([(codecs[0], healthy())])
    assert await s.play(ask(1)) == []
    s.counted(absent=1)


async def test_answers_are_built_when_published_not_when_asked() -> None:
    built: list[bytes] = []

    class Watched(Codec):
        def answer(self, request: bytes, battery: VirtualBattery) -> bytes | None:
            built.append(request)
            return super().answer(request, battery)

    s = Stage([Watched()], healthy())
    assert built == [ask(0), ask_who(0)]
    await s.play(ask(0), ask(0), ask_who(0))
    assert built == [ask(0), ask_who(0)]
    other = ask(0, 0x1008, 2)
    await s.play(other, other)
    assert built == [ask(0), ask_who(0), other]  # kept for the next time
    s.publish(healthy(soc_permille=700))
    (answer,) = await s.play(other)
    assert answer[3:5] == (700).to_bytes(2, "big")


async def test_unusual_answers_kept_are_bounded() -> None:
    s = stage()
    requests = [ask(0, start, 1) for start in range(0x1000, 0x1100)]
    assert await s.play(*requests) == [answer_to(request) for request in requests]
    assert len(s.responder._others) <= 32


# --- turnaround ---------------------------------------------------------------------------------


@pytest.mark.parametrize("turnaround_us", [1, 999, 3646, 4000, 20000])
async def test_the_answer_waits_for_the_turnaround(turnaround_us: int) -> None:
    s = stage(turnaround_us=turnaround_us)
    assert await s.play(ask(0)) == [GOOD]
    assert turnaround_us <= s.line.written[0][0] < turnaround_us + 1000


async def test_the_freshest_values_are_told() -> None:
    """A publish while the turnaround runs: all of the new battery, nothing of the old."""
    newer = healthy(voltage_mv=50000, soc_permille=100, charge_limit_ma=0)
    for request in (ask(0), ask_who(0), ask(0, 0x1000, 21)):
        s = stage(turnaround_us=4000)
        await s.play(request)
        answers = await s.play((0, request), (2, lambda s=s: s.publish(newer)))
        assert answers == [answer_to(request, newer)]


async def test_a_battery_that_goes_stale_in_the_turnaround_is_silent() -> None:
    s = stage(turnaround_us=4000)
    assert await s.play((0, ask(0)), (2, lambda: s.publish(None))) == []
    s.counted(stale=1)
    s = Stage([Codec()], turnaround_us=4000)
    assert await s.play((0, ask(0)), (2, lambda: s.publish(healthy()))) == [GOOD]


async def test_what_comes_in_the_turnaround_is_newer() -> None:
    s = stage(turnaround_us=4000)
    assert await s.play((0, ask(0)), (2, ask_who(0))) == [answer_to(ask_who(0))]
    assert s.line.written[0][0] == 6000  # its own turnaround
    s.counted(answered=1, overtaken=1)
    assert await s.play((0, ask(0)), (2, NEIGHBOUR)) == []
    assert await s.play((0, ask(0)), (2, ask(0)[:5]), (4, ask(0)[5:])) == [GOOD]
    assert await s.play(ask(0)) == [GOOD]


async def test_a_prompt_link_keeps_to_a_turnaround_given_later() -> None:
    s = stage()
    await s.play(ask(0))
    s.responder.turnaround_us = 4000
    assert await s.play(ask(0)) == [GOOD]
    assert s.line.written[0][0] == 4000


# --- echo ---------------------------------------------------------------------------------------


async def test_our_own_echo_is_dropped() -> None:
    s = stage()
    s.line.echo = True
    assert await s.play(ask(0), ask(0), ask_who(0), ask(0, 0x1008, 2)) == [
        GOOD,
        GOOD,
        answer_to(ask_who(0)),
        answer_to(ask(0, 0x1008, 2)),
    ]
    s.counted(answered=4, echoes=4)


@pytest.mark.parametrize("cut", [1, 2, 7, 8, 30, 50])
async def test_an_echo_in_pieces(cut: int) -> None:
    s = stage()
    events = ((0, ask(0)), (5, GOOD[:cut]), (20, GOOD[cut:]), (90, ask_who(0)))
    assert await s.play(*events) == [GOOD, answer_to(ask_who(0))]
    s.counted(answered=2, echoes=1)


async def test_an_echo_and_the_next_request_in_one_piece() -> None:
    s = stage()
    events = ((0, ask(0)), (5, GOOD + ask_who(0)))
    assert await s.play(*events) == [GOOD, answer_to(ask_who(0))]
    s.counted(answered=2, echoes=1)


async def test_a_slow_request_is_no_echo() -> None:
    """Its first two bytes are those of our last answer."""
    s = stage()
    slow = [(100 + 10 * at, ask(0)[at : at + 1]) for at in range(8)]
    assert await s.play((0, ask(0)), *slow) == [GOOD, GOOD]
    s.counted(answered=2)


async def test_an_echo_that_holds_a_request_is_not_answered() -> None:
    """17 cycles and 495.96 A read 00 11 C1 BC: the request for who is at address 0."""
    s = Stage([Codec()], healthy(cycles_count=17, charge_limit_ma=495960))
    s.line.echo = True
    (answer,) = await s.play(ask(0))
    assert ask_who(0) in answer
    cut = answer.index(ask_who(0)) + 4
    assert s.responder.counters["answered"] == 1
    s.line.echo = False
    assert len(await s.play((0, ask(0)), (5, answer[:cut]), (20, answer[cut:]))) == 1


# --- for people ---------------------------------------------------------------------------------


async def test_times_and_hooks() -> None:
    s = stage(turnaround_us=4000)
    seen: list[int] = []
    s.responder.observe = seen.append
    assert s.responder.asked_ms is None
    await s.play((7, ask(0)), (1007, ask(3)))
    assert s.responder.asked_ms == 1007
    assert seen == [4000]
    s.publish(None)
    await s.play((0, ask(0)))
    assert s.responder.asked_ms == s.line.start // 1000  # stale: but it was asked
    assert seen == [4000]


async def test_the_log_tells_changes_only(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    s = stage()
    await s.play(*[(1000 * at, ask(0)) for at in range(20)], (200000, ask(0)), (201000, ask(0)))
    lines = [f"{record.levelname} {record.message}" for record in caplog.records]
    assert lines == [
        "INFO inv: the inverter asks",
        "WARNING inv: the inverter has stopped asking",
        "INFO inv: the inverter asks again after 181 s",
    ]


# --- two protocols on one pair ------------------------------------------------------------------


class Ascii:
    """A minimal second protocol: ~AA\\r is answered with ~AA!\\r."""

    def __init__(self, address: int):
        self.address = address
        self.saturated: dict[str, int] = {}

    def usual(self) -> list[bytes]:
        return [b"~%02d\r" % self.address]

    def take(self, buffer: bytes) -> tuple[int, bytes | None]:
        at = buffer.find(b"~")
        if at < 0:
            return len(buffer), None
        end = buffer.find(b"\r", at)
        if end < 0:
            return at, None
        return end + 1, buffer[at : end + 1]

    def asks(self, frame: bytes) -> int | None:
        return int(frame[1:3]) if len(frame) == 4 else None

    def spoilt(self, lost: bytes) -> bool:
        return False

    def answer(self, request: bytes, battery: VirtualBattery) -> bytes | None:
        return b"~%02d!\r" % self.address if self.asks(request) == self.address else None

    def read(self, frame: bytes) -> dict[str, object]:
        return {}


async def test_two_protocols_share_a_pair() -> None:
    s = Stage([Codec(), Ascii(2), Ascii(3)], healthy())
    assert await s.play(ask(0), b"~02\r", b"~03\r", ask_who(0)) == [
        GOOD,
        b"~02!\r",
        b"~03!\r",
        answer_to(ask_who(0)),
    ]
    assert await s.play(b"~02\r" + ask(0)) == [GOOD]
    assert await s.play(ask(0) + b"~02\r") == [b"~02!\r"]
    assert await s.play((0, b"~0"), (10, ask(0))) == [GOOD]
    assert await s.play(b"~04\r") == []


# --- noise --------------------------------------------------------------------------------------


def ends_in_a_request(heard: bytes) -> bool:
    for size, function in ((8, 4), (4, 0x11)):
        tail = heard[-size:]
        if (
            len(tail) == size
            and tail[0] == 0
            and tail[1] == function
            and crc(tail[:-2]) == tail[-2:]
        ):
            return True
    return False


def mutated(rng: random.Random) -> bytes:
    kind = rng.randrange(6)
    if kind == 0:
        return rng.randbytes(rng.randrange(1, 300))
    if kind == 1:
        return bytes(
            rng.choice(b"\x00\x01\x03\x04\x06\x10\x11\x17\xff") for _ in range(rng.randrange(1, 60))
        )
    frame = bytearray(
        rng.choice([ask(0), ask_who(0), ask(0, 0x1008, 2), ask(5), FOREIGN, NEIGHBOUR, GOOD, ASCII])
    )
    for _ in range(rng.randrange(1, 4)):
        at = rng.randrange(len(frame))
        what = rng.randrange(4)
        if what == 0:
            frame[at] ^= 1 << rng.randrange(8)
        elif what == 1:
            frame[at:at] = rng.randbytes(rng.randrange(1, 5))
        elif what == 2 and len(frame) > 2:
            del frame[at]
        else:
            frame += rng.randbytes(rng.randrange(1, 10))
    if kind == 5:
        frame = frame + frame
    return bytes(frame)


async def test_ten_thousand_strings_of_noise() -> None:
    """No crash, no answer to a wrong CRC; a good request right after is answered."""
    rng = random.Random(485)
    s = stage()
    answered = 0
    for _ in range(10_000):
        junk = mutated(rng)
        answers = await s.play((0, junk))
        if answers:
            assert ends_in_a_request(junk), junk.hex()
            answered += 1
        assert await s.play((0, junk), (1, ask(0))) == answers + [GOOD], junk.hex()
    assert answered < 500  # damaged beyond what was damaged: a mutation behind a whole request
    assert s.responder.counters["noise_bytes"] > 10_000


async def test_noise_does_not_pile_up() -> None:
    s = stage()
    rng = random.Random(1)
    await s.play(*[(at, rng.randbytes(64)) for at in range(2000)])
    assert sum(len(protocol.buffer) for protocol in s.responder._protocols) < 300
