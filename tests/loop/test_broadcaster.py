"""The broadcaster on a scripted bus and clock: what is told, when, and what is never told."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from typing import Any

import pytest

from tests.downstream.batteries import healthy
from tests.loop.scripted import ScriptedClock
from vbms.downstream import byd_can, pylontech_can, pylontech_hv_can
from vbms.errors import LinkError
from vbms.loops.broadcaster import Broadcaster

Frames = Callable[[], Sequence[tuple[int, bytes]]]
SECOND = 1_000_000
BASE = (0x359, 0x351, 0x355, 0x356, 0x35C, 0x35E)
BEAT = (0x305, bytes(8), False)
GREETING = (0x151, b"\x01" + bytes(7), False)
VALUES = (0x4200, bytes(8), True)
ENSEMBLE = (0x4200, b"\x02" + bytes(7), True)


class ScriptedBus:
    """Takes sets when they are due, and plays what is heard at its time (s from the start)."""

    name = "can"

    def __init__(self, clock: ScriptedClock) -> None:
        self.clock = clock
        self.start = clock.us
        self.script: list[tuple[float, Any]] = []
        self.jobs: list[tuple[int, Frames]] = []
        self.told: list[tuple[float, tuple[int, ...]]] = []  # s from the start, identifiers
        self.ends_s = 10.0

    async def open(self) -> None:
        pass

    def close(self) -> None:
        pass

    def send(self, due_us: int, frames: Frames) -> None:
        self.jobs.append((max(due_us, self.clock.us), frames))
        self.jobs.sort(key=lambda job: job[0])

    async def heard(self, timeout_ms: int) -> Sequence[tuple[int, bytes, bool]]:
        assert timeout_ms > 0
        until = self.clock.us + timeout_ms * 1000
        while True:
            script_us = self.start + int(self.script[0][0] * SECOND) if self.script else until + 1
            job_us = self.jobs[0][0] if self.jobs else until + 1
            moment = min(script_us, job_us)
            if moment > until:
                break
            self.clock.us = max(self.clock.us, moment)
            if job_us == moment:
                frames = self.jobs.pop(0)[1]()
                if frames:
                    at_s = (self.clock.us - self.start) / SECOND
                    self.told.append((at_s, tuple(can_id for can_id, _ in frames)))
                continue
            what = self.script.pop(0)[1]
            if not callable(what):
                return [what]
            what()
        self.clock.us = until
        if until > self.start + self.ends_s * SECOND:
            raise LinkError("the script ends")
        return ()


class Stage:
    def __init__(self, codec: Any, offset_us: int = 0) -> None:
        self.clock = ScriptedClock()
        self.clock.us += offset_us
        self.bus = ScriptedBus(self.clock)
        self.log = logging.getLogger("test.broadcaster")
        self.broadcaster = Broadcaster(self.bus, self.clock, codec, self.log)

    async def play(self, *script: tuple[float, Any], ends_s: float = 10.0) -> None:
        self.bus.script = list(script)
        self.bus.ends_s = ends_s
        with pytest.raises(LinkError):
            await self.broadcaster.run()

    def publish(self, battery: Any) -> Callable[[], None]:
        return lambda: self.broadcaster.publish(battery) and None

    @property
    def times(self) -> list[float]:
        return [at for at, _ in self.bus.told]


@pytest.mark.parametrize("offset_us", [0, 1, 250_000, 975_000, 999_999])
async def test_the_whole_set_goes_out_on_each_second(offset_us: int) -> None:
    stage = Stage(pylontech_can.Codec(), offset_us)
    stage.broadcaster.publish(healthy())
    await stage.play()
    assert {ids for _, ids in stage.bus.told} == {BASE}
    assert 8 <= len(stage.times) <= 10
    for at in stage.times:
        assert (at * SECOND + offset_us) % SECOND == pytest.approx(0, abs=0.5)


async def test_nothing_is_told_before_something_is_published() -> None:
    stage = Stage(pylontech_can.Codec())
    await stage.play((3.5, stage.publish(healthy())), (6.5, stage.publish(None)))
    assert stage.times == [4.0, 5.0, 6.0]


async def test_what_is_silenced_after_it_was_handed_over_is_not_sent() -> None:
    stage = Stage(pylontech_can.Codec())
    stage.broadcaster.publish(healthy())
    await stage.play((4.995, stage.publish(None)), ends_s=8)
    assert stage.times == [1.0, 2.0, 3.0, 4.0]


async def test_a_set_is_of_one_moment_and_the_newest() -> None:
    stage = Stage(pylontech_can.Codec())
    stage.broadcaster.publish(healthy(charge_limit_ma=90_000))
    told: list[bytes] = []
    send = stage.bus.send

    def spy(due_us: int, frames: Frames) -> None:
        def taken() -> Sequence[tuple[int, bytes]]:
            found = frames()
            told.append(dict(found)[0x351])
            return found

        send(due_us, taken)

    stage.bus.send = spy  # type: ignore[method-assign]
    await stage.play((2.99, stage.publish(healthy(charge_limit_ma=10_000))), ends_s=5)
    limits = [int.from_bytes(data[2:4], "little") for data in told]
    assert limits[:4] == [900, 900, 100, 100]


async def test_values_that_cannot_be_told_are_silence_and_are_said() -> None:
    stage = Stage(pylontech_can.Codec())
    assert stage.broadcaster.publish(healthy())
    assert not stage.broadcaster.publish(healthy(soc_permille=None))
    assert not stage.broadcaster.publish(None)
    await stage.play(ends_s=3)
    assert stage.times == []


async def test_a_machine_that_slept_goes_on_and_catches_nothing_up() -> None:
    stage = Stage(pylontech_can.Codec())
    stage.broadcaster.publish(healthy())

    def sleeps() -> None:
        stage.clock.us += 7 * SECOND + 300_000

    await stage.play((2.5, sleeps), ends_s=14)
    assert stage.times[:2] == [1.0, 2.0]
    # The set of second 3 was due long ago when the machine woke: the link leaves it out or sends
    # it late; from then on they come on the second again, each once.
    rest = [at for at in stage.times[2:] if at >= 10]
    assert rest[-3:] == [12.0, 13.0, 14.0]
    assert len(set(rest)) == len(rest)


async def test_an_inverter_is_heard_lost_and_heard_again(caplog: Any) -> None:
    caplog.set_level(logging.INFO)
    stage = Stage(pylontech_can.Codec(flavour="deye"))
    stage.broadcaster.publish(healthy())
    await stage.play((1.1, BEAT), (7200, BEAT), (7201, BEAT), ends_s=7300)
    assert [record.getMessage() for record in caplog.records] == [
        "can: the inverter is heard",
        "can: the inverter has not been heard for 60 s, sending goes on",
        "can: the inverter is heard again after 7198 s",
        "can: the inverter has not been heard for 60 s, sending goes on",
    ]
    assert len(stage.times) == 7300  # its silence was never a reason to stop
    assert stage.broadcaster.counters["heard"] == 3


async def test_a_required_heartbeat_pauses_and_is_tried_again() -> None:
    codec = pylontech_can.Codec(heartbeat="required", heartbeat_s=20_000)
    stage = Stage(codec)
    stage.broadcaster.publish(healthy())
    await stage.play((5, BEAT), (90, BEAT), ends_s=100)
    told = [round(at) for at in stage.times]
    assert told[-1] == 100
    gaps = [(a, b) for a, b in zip(told, told[1:], strict=False) if b - a > 1]
    assert gaps[0] == (25, 56)  # 20 s after the heartbeat, for 30 s
    assert gaps[1][0] == 75  # 20 s more
    assert gaps[1][1] == 91  # it was heard: on at once


async def test_an_ignored_heartbeat_is_ignored(caplog: Any) -> None:
    stage = Stage(pylontech_can.Codec(heartbeat="ignored"))
    stage.broadcaster.publish(healthy())
    await stage.play(ends_s=200)
    assert len(stage.times) == 200
    assert not caplog.records


@pytest.mark.parametrize(
    ("frame", "counts"),
    [
        (BEAT, True),
        ((0x305, b"", False), True),
        ((0x305, bytes((1, 2, 3, 4, 5, 25, 0, 0)), False), True),
        ((0x305, bytes(8), True), False),
        ((0x306, bytes(8), False), False),
        ((0x123, bytes(8), False), False),
    ],
)
async def test_what_counts_as_a_heartbeat(frame: Any, counts: bool) -> None:
    stage = Stage(pylontech_can.Codec())
    await stage.play((1.0, frame), ends_s=2)
    assert (stage.broadcaster.heard_ms is not None) == counts
    assert stage.broadcaster.counters["foreign"] == (0 if counts else 1)


async def test_a_long_identifier_counts_where_it_was_asked_for() -> None:
    stage = Stage(pylontech_can.Codec(extended_heartbeat=True))
    await stage.play((1.0, (0x305, bytes(8), True)), ends_s=2)
    assert stage.broadcaster.counters["heard"] == 1


async def test_a_request_to_switch_off_is_said_once_and_not_obeyed(caplog: Any) -> None:
    stage = Stage(pylontech_can.Codec(flavour="luxpower"))
    stage.broadcaster.publish(healthy())
    off = (0x300, b"\x01", False)
    await stage.play((1.5, off), (2.5, off), (3.5, (0x300, b"\x00", False)), ends_s=6)
    assert len(stage.times) == 6
    assert [record.getMessage() for record in caplog.records] == [
        "can: the inverter asks the battery to switch itself off; vbms does not"
    ]


# ---- high voltage: asked, answered


async def test_high_voltage_answers_and_never_speaks_unasked() -> None:
    stage = Stage(pylontech_hv_can.Codec(equipment=1))
    stage.broadcaster.publish(healthy())
    short = (0x4200, bytes(7), True)
    other = (0x4200, b"\x01" + bytes(7), True)
    standard = (0x4200 & 0x7FF, bytes(8), False)
    await stage.play((2.25, VALUES), (3.5, ENSEMBLE), (4, short), (5, other), (6, standard))
    assert stage.bus.told == [
        (2.25, tuple(range(0x4211, 0x4292, 0x10))),
        (3.5, (0x7311, 0x7321, 0x7331, 0x7341)),
    ]
    assert stage.broadcaster.counters == {"heard": 2, "foreign": 3, "answered": 2, "stale": 0}


async def test_high_voltage_is_silent_without_data() -> None:
    stage = Stage(pylontech_hv_can.Codec())
    stage.broadcaster.publish(healthy())
    await stage.play((1, stage.publish(None)), (2, VALUES), (3, stage.publish(healthy())))
    assert stage.bus.told == []
    assert stage.broadcaster.counters["stale"] == 1


# ---- Battery-Box Premium: greeted, then periods


async def test_byd_waits_for_the_greeting_then_keeps_its_periods() -> None:
    stage = Stage(byd_can.Codec())
    stage.broadcaster.publish(healthy())
    await stage.play((4.5, (0x091, bytes(8), False)), (5.5, GREETING), ends_s=130)
    assert stage.bus.told[0] == (5.5, (0x250, 0x290, 0x2D0, 0x3D0, 0x3D0, 0x3D0, 0x3D0))
    seen: dict[int, list[float]] = {}
    for at, ids in stage.bus.told[1:]:
        for can_id in ids:
            seen.setdefault(can_id, []).append(at)
    assert sorted(seen) == [0x110, 0x150, 0x190, 0x1D0, 0x210]
    for can_id, every in ((0x110, 2), (0x150, 10), (0x1D0, 10), (0x210, 10), (0x190, 60)):
        times = seen[can_id]
        assert times[0] <= 8
        assert {b - a for a, b in zip(times, times[1:], strict=False)} == {every}


async def test_byd_says_who_it_is_as_soon_as_it_may() -> None:
    """The inverter greets once; vbms may still be waiting for its batteries then."""
    stage = Stage(byd_can.Codec())
    await stage.play((1.5, GREETING), (6.5, stage.publish(healthy())), ends_s=9)
    assert stage.bus.told[0][0] == 6.5
    assert stage.bus.told[0][1][0] == 0x250
    assert [at for at, ids in stage.bus.told if 0x110 in ids]


async def test_byd_tells_everything_again_after_a_silence_and_to_a_new_inverter() -> None:
    """Limits without an SOC for ten seconds would be half a battery."""
    stage = Stage(byd_can.Codec())
    stage.broadcaster.publish(healthy())
    script = [(1.5, GREETING), (4.5, stage.publish(None)), (14.5, stage.publish(healthy()))]
    await stage.play(*script, (21.5, GREETING), ends_s=24)
    all_of_it = (0x110, 0x150, 0x1D0, 0x210, 0x190)
    sets = [(at, ids) for at, ids in stage.bus.told if 0x110 in ids]
    assert [at for at, ids in sets if ids == all_of_it] == [3, 15, 23]
    assert [at for at, ids in sets if ids == (0x110,)] == [17, 19, 21]


async def test_byd_tells_an_inverter_that_greeted_before_anybody_listened(caplog: Any) -> None:
    """Both come back after a power cut, the inverter sooner, and it greets once."""
    caplog.set_level(logging.INFO)
    stage = Stage(byd_can.Codec())
    stage.broadcaster.publish(healthy())
    words = [(at + 0.5, (0x091, bytes(8), False)) for at in range(1, 20)]
    await stage.play(*words, ends_s=16)
    assert stage.bus.told == [(13, (0x110, 0x150, 0x1D0, 0x210, 0x190)), (15, (0x110,))]
    assert "greeted before" in caplog.text


@pytest.mark.parametrize("codec", [byd_can.Codec(), pylontech_hv_can.Codec()])
async def test_what_waits_to_be_spoken_to_does_not_claim_to_send(codec: Any, caplog: Any) -> None:
    stage = Stage(codec)
    stage.broadcaster.publish(healthy())
    await stage.play(ends_s=70)
    assert "not been heard for 60 s, nothing is sent before it is" in caplog.text
