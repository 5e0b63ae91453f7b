"""Polling the batteries on one line, one after another, each with its own gap and patience.

A poll of a unit asks what is due: at most one slow request (settings, device info; empty slots
first), then the live frame. Between the last byte received, or the end of waiting for one, and the
next request lies the larger gap of the two units concerned, never a microsecond less; bytes that
come meanwhile restart it.

A unit that does not answer costs one time-out. After three in a row it is asked after 2, 4, 8, 16,
then each 30 s; on a shared line it is then probed with the live request alone. What comes late, or
from somebody else, or is our own echo, is counted and not believed.
"""

from vbms.errors import FrameError, RefusedError
from vbms.loops.overhear import Ears
from vbms.loops.polled_unit import TRIES, PolledUnit

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from logging import Logger

    from vbms.aggregate.snapshot import Snapshot
    from vbms.ports import Clock, Link

__all__ = ("PolledUnit", "Poller")

MISSES_TO_BACK_OFF = 3
LONGEST_BACK_OFF_MS = 30000
_IDLE_MS = 1000  # how long to listen at a time when nothing is due
_GLITCH = 2  # so many bytes are the line's turning round, not an answer begun
_RUNAWAY_US = 1000000  # bytes without an end are left after this
_RESTLESS_US = 5000000  # a line without a gap for so long is worth a warning


class Poller:
    """Owns the line. `units` may be replaced at any time; a unit that stays keeps its frames."""

    def __init__(
        self,
        link: "Link",
        clock: "Clock",
        units: "Sequence[PolledUnit]",
        deliver: "Callable[[str, Snapshot], None]",
        log: "Logger",
    ):
        self.link = link
        self.clock = clock
        self.units = list(units)
        self.deliver = deliver
        self.log = log
        self.stats = {
            "frames_in": 0,
            "frames_out": 0,
            "timeout": 0,
            "bad_frame": 0,
            "foreign": 0,
            "echo": 0,
            "stray_bytes": 0,  # of no frame, or heard while nobody was asked
            "busy_us": 0,  # bytes on the wire, both ways
        }
        self.trace: Callable[[bool, bytes], None] | None = None  # (sent, bytes), for a recording
        self._quiet_us = 0  # when the last byte was heard, or waiting for one ended
        self._last_gap_us = 0
        self._restless = False
        self._took_us = 0  # by the poll that is going on, but for waiting for a gap
        self._last: PolledUnit | None = None  # who was asked last
        self.listen_first_ms = 0  # before the first request: is another master there?
        self.ears = Ears(self)

    def round_ms(self) -> int:
        """How long it takes to ask each unit once, but for those given up for now.

        Where another master asks: the longest time between two answers of one unit.
        """
        if self.ears.silent:
            return max([unit.took_ms for unit in self.units] or [0])
        total = 0
        for unit in self.units:
            if unit.misses < MISSES_TO_BACK_OFF:
                total += unit.took_ms
        return total

    async def run(self) -> None:
        """Polls for ever; LinkError comes out when the port goes."""
        self._quiet_us = self.clock.now_us()
        for known in self.units:  # the port was away: who knows what was plugged in meanwhile
            known.forget()
            known.heard = False
        self.ears.start(self.listen_first_ms)
        while True:
            if self.ears.must_listen():
                chunk = await self.link.read(self.ears.wait_ms())
                if chunk:
                    self._heard(chunk)
                self.ears.hear(chunk)
                continue
            unit = self._next()
            now = self.clock.now_ms()
            if unit is None or (unit.due_ms is not None and unit.due_ms > now):
                wait = _IDLE_MS if unit is None else min(_IDLE_MS, (unit.due_ms or 0) - now)
                self._stray(await self.link.read(wait))
                continue
            self._took_us = 0
            await self._poll(unit, now)
            unit.took_ms = self._took_us // 1000

    def _next(self) -> PolledUnit | None:
        """Who has waited longest."""
        best = None
        for unit in self.units:
            if unit.due_ms is None:
                return unit
            if best is None or unit.due_ms < (best.due_ms or 0):
                best = unit
        return best

    async def _poll(self, unit: PolledUnit, now_ms: int) -> None:
        due_ms = now_ms if unit.due_ms is None else unit.due_ms
        unit.due_ms = max(due_ms + unit.poll_ms, now_ms)
        unit.counters["polls"] += 1
        slow = 0
        answered = False
        for slot in unit.each:
            unit.frames[slot] = None  # old values must not pass for new ones
        if unit.heard or len(self.units) == 1:
            for slot in unit.each:
                unit.frames[slot] = await self._exchange(unit, slot, unit.reply_timeout_ms)
            slow = unit.slow_slot(now_ms)
            if slow:
                unit.asked_ms[slow] = now_ms
                frame = await self._exchange(unit, slow, unit.slow_timeout_ms)
                answered = frame is not None
                if answered:
                    unit.frames[slow] = frame
                    unit.taken_ms[slow] = self.clock.now_ms()
        frame = await self._exchange(unit, 0, unit.reply_timeout_ms)
        if unit not in self.units or self.ears.silent:
            return
        if frame is None:
            self._missed(unit, now_ms)
            return
        taken_ms = self.clock.now_ms()
        unit.misses = 0
        unit.heard = True
        unit.frames[0] = frame
        if slow and not answered:
            unit.tries[slow] += 1
        unit.heard_well(True)
        if self.decode(unit, taken_ms) and answered:
            unit.tries[slow] = 0

    def _missed(self, unit: PolledUnit, now_ms: int) -> None:
        unit.heard = False
        unit.misses += 1
        over = unit.misses - MISSES_TO_BACK_OFF
        if over >= 0:
            unit.due_ms = now_ms + min(2000 << min(over, 4), LONGEST_BACK_OFF_MS)
        if not over:
            unit.forget()
        why = ""  # of a unit that was there, its age tells
        if unit.spoilt:
            unit.heard_well(False)
            why = "unreadable answers: noise, or two units at one address?"
        elif unit.good[0] is None:
            why = "no answer: is it on, is its address right?"
        self._lost(unit, why)

    def decode(self, unit: PolledUnit, now_ms: int) -> bool:
        """What a unit's newest frames say is delivered; False: they say nothing."""
        if unit.conflict:
            unit.counters["foreign"] += 1
            self._lost(unit, "two batteries answer at its address: none is believed")
            return False
        try:
            snap = unit.codec.decode(unit.frames, now_ms)
        except RefusedError as error:
            unit.counters["refused"] += 1
            unit.frames[0] = unit.good[0]
            self._lost(unit, "refuses: %s" % error)
            return False
        except FrameError as error:
            unit.counters["bad_frames"] += 1
            self.stats["bad_frame"] += 1
            self._lost(unit, "unreadable: %s" % error)
            self._suspect(unit)
            return False
        unit.good = list(unit.frames)
        unit.taken_ms[0] = now_ms
        if unit.said:
            self.log.info("%s: answers well, after %d polls without", unit.key, unit.lost)
            unit.said = False
        unit.lost = 0
        self.deliver(unit.key, snap)
        return True

    def _suspect(self, unit: PolledUnit) -> None:
        """Frames that make no Snapshot: those that have come since the last good one are dropped.

        So one bad frame costs no settings, and settings or info that spoil all else count as not
        answered. If it is none of them, all that is remembered is asked anew.
        """
        fresh = False
        for slot in range(1, len(unit.frames)):
            if slot not in unit.each and unit.frames[slot] is not unit.good[slot]:
                unit.tries[slot] += 1
                fresh = True
        unit.frames = list(unit.good)
        if not fresh and unit.lost % TRIES == 0:
            unit.forget()

    def _lost(self, unit: PolledUnit, why: str) -> None:
        """A poll without a Snapshot; the third in a row is worth a line in the log."""
        unit.lost += 1
        if why and unit.lost >= TRIES and not unit.said:
            unit.said = True
            self.log.warning("%s: %s", unit.key, why)

    async def _exchange(self, unit: PolledUnit, slot: int, timeout_ms: int) -> bytes | None:
        """One request and its checked answer; None: nothing, or nothing that could be believed."""
        await self._gap(unit.gap_us)
        if self.ears.silent:
            return None
        link = self.link
        clock = self.clock
        receiver = unit.receiver
        receiver.clear()
        dropped = receiver.dropped
        echo = unit.requests[slot][1]
        sent = clock.now_us()
        await link.write(echo)
        self._last = unit
        unit.asked()
        self.stats["frames_out"] += 1
        self.stats["busy_us"] += len(echo) * link.byte_us
        if self.trace is not None:
            self.trace(True, echo)
        first = clock.now_us() + len(echo) * link.byte_us + timeout_ms * 1000
        end = first + _RUNAWAY_US + receiver.limit * link.byte_us
        deadline = first
        begun = b""  # what may become the echo of our request
        said = b""  # all that was heard
        found = None
        while found is None:
            left = deadline - clock.now_us()
            chunk = await link.read((left + 999) // 1000 if left > 0 else 0)
            if not chunk:
                if left <= 0:
                    break
                continue
            self._heard(chunk)
            if len(said) < receiver.limit:
                said += chunk
            if self._quiet_us >= end:
                break
            if echo:
                begun += chunk
                if len(begun) < len(echo) and echo.startswith(begun):
                    continue
                chunk = begun
                begun = b""
                if chunk.startswith(echo):
                    self.stats["echo"] += 1
                    chunk = chunk[len(echo) :]
                echo = b""
            for frame in receiver.feed(chunk):
                place = unit.codec.slot(frame)
                if place is not None:
                    unit.answered()
                if place == slot:
                    found = frame
                else:
                    unit.counters["foreign"] += 1
                    self.stats["foreign"] += 1
            deadline = min(self._quiet_us + unit.silence_ms * 1000, end)
            if receiver.pending <= _GLITCH and deadline < first:
                deadline = first
        self._last_gap_us = unit.gap_us
        self._took_us += clock.now_us() - sent + unit.gap_us
        noise = len(begun) + receiver.dropped - dropped
        if noise > _GLITCH or found is None:
            self.ears.suspect(said.replace(unit.requests[slot][1], b""))
        if found is not None:
            self.stats["frames_in"] += 1
            if noise > _GLITCH:
                self.stats["stray_bytes"] += noise
            return found
        self._quiet_us = clock.now_us()
        unit.spoilt = noise + receiver.clear() > _GLITCH
        if unit.spoilt:
            unit.counters["bad_frames"] += 1
            self.stats["bad_frame"] += 1
        else:
            unit.counters["timeouts"] += 1
            self.stats["timeout"] += 1
        return None

    async def _gap(self, gap_us: int) -> None:
        """Wait until the line has been quiet for the larger gap of its last unit and this one."""
        clock = self.clock
        gap_us = max(gap_us, self._last_gap_us)
        restless_us = self._quiet_us + gap_us + _RESTLESS_US
        while True:
            left = self._quiet_us + gap_us - clock.now_us()
            if left > 0:
                await clock.sleep_us(left)
            chunk = await self.link.read(0)
            if chunk:
                self._stray(chunk)
                await clock.sleep_ms(1)  # whoever floods this line floods no other task
                if self._quiet_us > restless_us and not self._restless:
                    self._restless = True
                    self.log.warning("%s: never silent: is another master on it?", self.link.name)
                if self.ears.silent:
                    break
            elif self._quiet_us + gap_us <= clock.now_us():
                break
        if self._restless:
            self._restless = False
            self.log.info("%s: silent enough again", self.link.name)

    def _stray(self, chunk: bytes) -> None:
        """Bytes that nobody asked for: a late answer, a second one, another master, noise."""
        if chunk:
            self._heard(chunk)
            if self._last is not None:
                for frame in self._last.receiver.feed(chunk):
                    if self._last.codec.slot(frame) is not None:
                        self._last.answered()
            self.ears.suspect(chunk)
            # A lone 00 is a filler of some units, or a line driver letting go.
            self.stats["stray_bytes"] += len(chunk.strip(b"\x00"))

    def _heard(self, chunk: bytes) -> None:
        self._quiet_us = self.clock.now_us()
        self.stats["busy_us"] += len(chunk) * self.link.byte_us
        if self.trace is not None:
            self.trace(False, chunk)
