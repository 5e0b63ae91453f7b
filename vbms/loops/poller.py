"""Polling the batteries on one line, one after another, each with its own gap and patience.

A poll of a unit asks what is due: at most one slow request (settings, device info; empty slots
first), then the live frame. Between the last byte received and the next request lies the larger gap
of the two units concerned, never a microsecond less; bytes that come meanwhile restart it.

A unit that does not answer costs one time-out. After three in a row it is asked after 2, 4, 8, 16,
then each 30 s; on a shared line it is then probed with the live request alone. What comes late, or
from somebody else, or is our own echo, is counted and not believed.
"""

from vbms.errors import FrameError, RefusedError
from vbms.options import EACH_POLL, ONCE
from vbms.wire.receiver import Receiver

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from vbms.aggregate.snapshot import Snapshot
    from vbms.ports import Clock, Link, Log, UpstreamCodec

MISSES_TO_BACK_OFF = 3
TRIES_FOR_INFO = 3
_IDLE_MS = 1000  # how long to listen at a time when nothing is due
_RUNAWAY_US = 1000000  # a line that never falls silent is left after this


class PolledUnit:
    """One battery on the line: its codec, its times, and what it has said so far."""

    __slots__ = (
        "asked_ms",
        "codec",
        "counters",
        "due_ms",
        "frames",
        "gap_us",
        "heard",
        "interval_ms",
        "key",
        "misses",
        "poll_ms",
        "receiver",
        "reply_timeout_ms",
        "silence_ms",
        "slow_timeout_ms",
        "spoilt",
        "taken_ms",
        "tries",
    )

    def __init__(
        self,
        key: str,
        codec: "UpstreamCodec",
        gap_us: int,
        reply_timeout_ms: int,
        slow_timeout_ms: int,
        silence_ms: int,
        poll_ms: int,
    ):
        self.key = key
        self.codec = codec
        self.gap_us = gap_us
        self.reply_timeout_ms = reply_timeout_ms  # to the first byte of a live answer
        self.slow_timeout_ms = slow_timeout_ms  # the same for settings and info
        self.silence_ms = silence_ms  # after which an unfinished answer is given up
        self.poll_ms = poll_ms
        slots = len(codec.requests())
        self.frames: list[bytes | None] = [None] * slots
        self.taken_ms = [0] * slots
        self.tries = [0] * slots
        self.receiver = Receiver(codec.take)
        self.heard = False  # it answered the last time it was asked
        self.misses = 0
        self.spoilt = 0  # unreadable answers in a row
        self.due_ms: int | None = None  # None: never asked
        self.asked_ms = 0
        self.interval_ms = 0  # between its last two polls
        self.counters = {
            "polls": 0,
            "timeouts": 0,
            "bad_frames": 0,
            "foreign": 0,
            "refused": 0,
            "implausible": 0,
        }

    def slow_slot(self, now_ms: int) -> int:
        """The one slow request that is due, the last empty slot first; 0: none is."""
        requests = self.codec.requests()
        stale = 0
        for slot in range(len(requests) - 1, 0, -1):
            every_ms, request = requests[slot]
            if not request:
                continue
            if self.frames[slot] is None:
                if every_ms != ONCE or self.tries[slot] < TRIES_FOR_INFO:
                    return slot
            elif every_ms > EACH_POLL and now_ms - self.taken_ms[slot] >= every_ms:
                stale = slot
        return stale

    def returned(self) -> None:
        """It was away: another battery may sit at this address now, so who it is is asked anew."""
        requests = self.codec.requests()
        for slot in range(1, len(requests)):
            self.tries[slot] = 0
            if requests[slot][0] == ONCE:
                self.frames[slot] = None
            else:
                self.taken_ms[slot] -= requests[slot][0]


class Poller:
    """Owns the line. `units` may be replaced at any time; a unit that stays keeps its frames."""

    def __init__(
        self,
        link: "Link",
        clock: "Clock",
        units: "Sequence[PolledUnit]",
        deliver: "Callable[[str, Snapshot], None]",
        log: "Log",
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
            "stray_bytes": 0,
            "busy_us": 0,
        }
        self.trace: Callable[[bool, bytes], None] | None = None  # (sent, bytes), for a recording
        self._quiet_us = 0  # when the last byte was heard, or waiting for one ended
        self._last_gap_us = 0

    def round_ms(self) -> int:
        """The longest time between two polls of a unit that answers."""
        longest = 0
        for unit in self.units:
            if unit.heard and unit.interval_ms > longest:
                longest = unit.interval_ms
        return longest

    async def run(self) -> None:
        """Polls for ever; LinkError comes out when the port goes."""
        self._quiet_us = self.clock.now_us()
        while True:
            unit = self._next()
            now = self.clock.now_ms()
            if unit is None or (unit.due_ms is not None and unit.due_ms > now):
                wait = _IDLE_MS if unit is None else min(_IDLE_MS, (unit.due_ms or 0) - now)
                self._stray(await self.link.read(wait))
                continue
            await self._poll(unit, now)

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
        if unit.due_ms is None:
            unit.due_ms = now_ms
        else:
            unit.interval_ms = now_ms - unit.asked_ms
        unit.asked_ms = now_ms
        unit.due_ms = max(unit.due_ms + unit.poll_ms, now_ms)
        unit.counters["polls"] += 1
        if unit.heard or len(self.units) == 1:
            slot = unit.slow_slot(now_ms)
            if slot:
                unit.tries[slot] += 1
                frame = await self._exchange(unit, slot, unit.slow_timeout_ms)
                if frame is not None:
                    unit.frames[slot] = frame
                    unit.taken_ms[slot] = self.clock.now_ms()
        frame = await self._exchange(unit, 0, unit.reply_timeout_ms)
        if frame is None:
            self._missed(unit, now_ms)
            return
        if unit.misses >= MISSES_TO_BACK_OFF:
            unit.returned()
        unit.misses = 0
        unit.heard = True
        self._decode(unit, frame, self.clock.now_ms())

    def _missed(self, unit: PolledUnit, now_ms: int) -> None:
        unit.heard = False
        unit.misses += 1
        if unit.misses >= MISSES_TO_BACK_OFF:
            wait = 2000 << min(unit.misses - MISSES_TO_BACK_OFF, 4)
            unit.due_ms = now_ms + min(wait, 30000)

    def _decode(self, unit: PolledUnit, frame: bytes, now_ms: int) -> None:
        before = unit.frames[0]
        unit.frames[0] = frame
        try:
            snap = unit.codec.decode(unit.frames, now_ms)
        except RefusedError as error:
            unit.frames[0] = before
            unit.counters["refused"] += 1
            self.log.debug("%s: refused: %s", unit.key, error)
            return
        except FrameError as error:
            # Whichever frame it was, all are read again.
            for slot in range(len(unit.frames)):
                unit.frames[slot] = None
            unit.counters["bad_frames"] += 1
            self.stats["bad_frame"] += 1
            self.log.warning("%s: unreadable: %s", unit.key, error)
            return
        unit.taken_ms[0] = now_ms
        self.deliver(unit.key, snap)

    async def _exchange(self, unit: PolledUnit, slot: int, timeout_ms: int) -> bytes | None:
        """One request and its checked answer; None: nothing, or nothing that could be believed."""
        request = unit.codec.requests()[slot][1]
        await self._gap(unit.gap_us)
        link = self.link
        clock = self.clock
        receiver = unit.receiver
        receiver.clear()
        lost = receiver.dropped
        began = clock.now_us()
        await link.write(request)
        self.stats["frames_out"] += 1
        if self.trace is not None:
            self.trace(True, request)
        first = began + len(request) * link.byte_us + timeout_ms * 1000
        deadline = first
        found: bytes | None = None
        while found is None:
            left = deadline - clock.now_us()
            if left <= 0:
                break
            chunk = await link.read((left + 999) // 1000)
            if not chunk:
                continue
            now = clock.now_us()
            self._quiet_us = now
            if self.trace is not None:
                self.trace(False, chunk)
            for frame in receiver.feed(chunk):
                if found is None and unit.codec.slot(frame) == slot:
                    found = frame
                else:
                    unit.counters["foreign"] += 1
                    self.stats["foreign"] += 1
            deadline = now + unit.silence_ms * 1000 if receiver.pending else first
            if deadline > first + _RUNAWAY_US:
                break
        now = clock.now_us()
        self._last_gap_us = unit.gap_us
        self.stats["busy_us"] += now - began
        if found is not None:
            self.stats["frames_in"] += 1
            if unit.spoilt:
                self.log.info("%s: readable again, %d answers lost", unit.key, unit.spoilt)
                unit.spoilt = 0
            return found
        self._quiet_us = now
        receiver.clear()
        if receiver.dropped > lost:
            unit.counters["bad_frames"] += 1
            self.stats["bad_frame"] += 1
            if not unit.spoilt:
                self.log.warning("%s: answers, but unreadably", unit.key)
            unit.spoilt += 1
        else:
            unit.counters["timeouts"] += 1
            self.stats["timeout"] += 1
        return None

    async def _gap(self, gap_us: int) -> None:
        """Wait until the line has been quiet for the larger gap of its last unit and this one."""
        clock = self.clock
        gap_us = max(gap_us, self._last_gap_us)
        while True:
            left = self._quiet_us + gap_us - clock.now_us()
            if left > 2000:
                self._stray(await self.link.read(left // 1000))
                continue
            if left > 0:
                await clock.sleep_us(left)
            chunk = await self.link.read(0)
            if not chunk:
                return
            self._stray(chunk)

    def _stray(self, chunk: bytes) -> None:
        """Bytes that nobody asked for: a late answer, another master, noise."""
        if chunk:
            self._quiet_us = self.clock.now_us()
            self.stats["stray_bytes"] += len(chunk)
            if self.trace is not None:
                self.trace(False, chunk)
