"""A battery that talks by itself once it was asked, on a connection of its own: JK Bluetooth.

After connecting all that is asked once (device info, settings) is asked, the last slot first, one
at a time; then live frames stream, and slot 0's request goes out only when none came for its time.
Live frames count from when it is known whose they are: every slot that is asked once has been
answered on this connection, or was given up after some tries.

Silence is the truth, whatever the radio says of a connection: who watches it looks at when a frame
was last delivered.
"""

from vbms.errors import FrameError, RefusedError, SilentError
from vbms.loops.polled_unit import TRIES, PolledUnit
from vbms.options import ONCE

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from logging import Logger

    from vbms.aggregate.snapshot import Snapshot
    from vbms.ports import Clock, Link

_SAME_MS = 60000  # the same live data for so long, a running time among them: it is stuck
_LISTEN_MS = 1000


class Streamer:
    """One unit on a link of its own; `run` until the link ends."""

    def __init__(
        self,
        link: "Link",
        clock: "Clock",
        unit: PolledUnit,
        deliver: "Callable[[str, Snapshot], None]",
        log: "Logger",
    ):
        self.link = link
        self.clock = clock
        self.unit = unit
        self.deliver = deliver
        self.log = log
        self.stats = {
            "frames_in": 0,
            "frames_out": 0,
            "timeout": 0,
            "bad_frame": 0,
            "foreign": 0,
            "stray_bytes": 0,
        }
        self.trace: Callable[[bool, bytes], None] | None = None  # (sent, bytes), for a recording
        self._waits_for = 0  # the slot that was asked and has not answered; 0: none
        self._deadline_ms = 0
        self._quiet_ms = 0  # when the last byte came
        self._body = b""
        self._changed_ms = 0

    async def run(self) -> None:
        """LinkError comes out when the link ends, SilentError when the unit is stuck."""
        clock = self.clock
        unit = self.unit
        self._begin(clock.now_ms())
        while True:
            now = clock.now_ms()
            slot = self._due(now)
            if slot is not None:
                await self._ask(slot, now)
            chunk = await self.link.read(self._wait_ms(clock.now_ms()))
            if not chunk:
                continue
            now = self._quiet_ms = clock.now_ms()
            if self.trace is not None:
                self.trace(False, chunk)
            dropped = unit.receiver.dropped
            for frame in unit.receiver.feed(chunk):
                self._take(frame, now)
            self.stats["stray_bytes"] += unit.receiver.dropped - dropped

    def _begin(self, now_ms: int) -> None:
        """Who knows who answers now: nothing that was said before counts."""
        unit = self.unit
        unit.receiver.clear()
        for slot in range(len(unit.frames)):
            # What was never answered is asked once more and no longer waited for.
            given_up = unit.tries[slot] >= TRIES and unit.good[slot] is None
            unit.tries[slot] = TRIES - 1 if given_up else 0
            unit.frames[slot] = None
            unit.taken_ms[slot] = now_ms
        self._waits_for = 0
        self._quiet_ms = self._changed_ms = now_ms

    def _due(self, now_ms: int) -> int | None:
        """The slot to ask now: what is asked once first, the last one first; then live data."""
        unit = self.unit
        if self._waits_for:
            if now_ms < self._deadline_ms:
                return None
            unit.counters["timeouts"] += 1
            self.stats["timeout"] += 1
            unit.tries[self._waits_for] += 1
            self._waits_for = 0
        slot = self._unanswered()
        if slot:
            quiet_ms = now_ms - self._quiet_ms
            return slot if quiet_ms * 1000 >= unit.gap_us else None
        return 0 if now_ms - unit.taken_ms[0] >= unit.requests[0][0] else None

    def _unanswered(self) -> int:
        """The last slot that is asked once and has no answer yet; 0: none."""
        unit = self.unit
        for slot in range(len(unit.requests) - 1, 0, -1):
            every_ms, request = unit.requests[slot]
            if every_ms == ONCE and request and unit.frames[slot] is None:
                if unit.tries[slot] < TRIES:
                    return slot
        return 0

    def _wait_ms(self, now_ms: int) -> int:
        """Until something may be due."""
        unit = self.unit
        wait = _LISTEN_MS
        if self._waits_for:
            wait = min(wait, self._deadline_ms - now_ms)
        elif self._unanswered():
            wait = min(wait, self._quiet_ms + unit.gap_us // 1000 - now_ms)
        else:
            wait = min(wait, unit.taken_ms[0] + unit.requests[0][0] - now_ms)
        return max(wait, 1)

    async def _ask(self, slot: int, now_ms: int) -> None:
        unit = self.unit
        request = unit.requests[slot][1]
        unit.counters["polls"] += 1
        self.stats["frames_out"] += 1
        if not slot:
            unit.counters["timeouts"] += 1
            self.stats["timeout"] += 1
        for other in range(len(unit.requests)):  # the same bytes ask for other slots too
            if unit.requests[other][1] == request:
                unit.asked_ms[other] = now_ms
                if not other:
                    unit.taken_ms[0] = now_ms
        self._waits_for = slot
        self._deadline_ms = now_ms + unit.slow_timeout_ms
        if self.trace is not None:
            self.trace(True, request)
        await self.link.write(request)

    def _take(self, frame: bytes, now_ms: int) -> None:
        unit = self.unit
        slot = unit.codec.slot(frame)
        if slot is None:
            unit.counters["foreign"] += 1
            self.stats["foreign"] += 1
            return
        self.stats["frames_in"] += 1
        unit.frames[slot] = frame
        unit.taken_ms[slot] = now_ms
        if slot and slot == self._waits_for:
            self._waits_for = 0
            unit.tries[slot] = 0
        if slot:
            return
        body = frame[6:-1]  # without the counter and the sum
        if body != self._body:
            self._body = body
            self._changed_ms = now_ms
        elif now_ms - self._changed_ms > _SAME_MS:
            raise SilentError("the same data for %d s" % (_SAME_MS // 1000))
        if not self._waits_for and not self._unanswered():
            self._decode(now_ms)

    def _decode(self, now_ms: int) -> None:
        unit = self.unit
        try:
            snap = unit.codec.decode(unit.frames, now_ms)
        except (FrameError, RefusedError) as error:
            unit.counters["bad_frames"] += 1
            self.stats["bad_frame"] += 1
            unit.lost += 1
            if unit.lost == TRIES:
                self.log.warning("%s: unreadable: %s", unit.key, error)
                unit.said = True
            return
        if unit.said:
            self.log.info("%s: readable again, after %d frames", unit.key, unit.lost)
            unit.said = False
        unit.lost = 0
        unit.good = list(unit.frames)
        self.deliver(unit.key, snap)
