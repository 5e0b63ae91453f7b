"""Who else asks on a line: heard before anything is said there, and never talked over.

Two masters on a line spoil each other's answers. So a line is listened to before the first request,
and while a request of another master is heard on it (or a unit here is known to be one), nobody is
asked: what others are answered is read instead, as it names its sender. Some seconds without such a
request, longer each time it happens, and the line is ours again.
"""

TYPE_CHECKING = False
if TYPE_CHECKING:
    from vbms.loops.poller import Poller

HOLD_MS = 5000  # without another master's request, before asking again
LONGEST_HOLD_MS = 60000
_PAUSE_MS = 100  # bytes of one frame do not come so far apart
_IDLE_MS = 1000
_KEEP = 40  # bytes that may hold the beginning of a request
_ROUND_MS = 60000


class Ears:
    """What is heard on a poller's line while it does not ask. `silent`: it must not."""

    def __init__(self, poller: "Poller"):
        self._poller = poller
        self.silent = False
        self._until_ms = 0  # asking begins then, if nobody else has asked
        self._hold_ms = HOLD_MS
        self._begun_ms = 0  # since when we ask
        self._tail = b""
        self._said = False  # the log knows that we listen
        self._pending = False  # a frame has begun

    def start(self, listen_ms: int) -> None:
        """The port is open: listen for so long before the first request."""
        self._until_ms = self._poller.clock.now_ms() + listen_ms
        self.silent = listen_ms > 0
        self._said = False
        self._tail = b""
        self._clear()

    def must_listen(self) -> bool:
        """Whether to go on listening; where a unit says that it is a master, for ever."""
        poller = self._poller
        for unit in poller.units:
            if unit.listens:
                if not self._said or not self.silent:
                    text = "%s: a master is on it (%s): listening, never asking"
                    poller.log.info(text, poller.link.name, unit.key)
                self.silent = self._said = True
                self._until_ms = poller.clock.now_ms()
                return True
        if self.silent and poller.clock.now_ms() >= self._until_ms:
            self.silent = False
            self._begun_ms = poller.clock.now_ms()
            if self._said:
                poller.log.info("%s: no other master any more, asking again", poller.link.name)
            self._said = False
            self._clear()
        return self.silent

    def wait_ms(self) -> int:
        """How long the next read may wait."""
        if self._pending:
            return _PAUSE_MS
        left = self._until_ms - self._poller.clock.now_ms()
        return max(1, min(left, _IDLE_MS)) if left > 0 else _IDLE_MS

    def hear(self, chunk: bytes) -> None:
        """Bytes on a line that we only listen to; b"" for a pause."""
        poller = self._poller
        if not chunk:
            self._clear()
            return
        self._pending = True
        self.suspect(chunk)
        now_ms = poller.clock.now_ms()
        for unit in poller.units:
            for frame in unit.receiver.feed(chunk):
                slot = unit.codec.slot(frame)
                if slot is None:
                    continue
                poller.stats["frames_in"] += 1
                unit.frames[slot] = frame
                before_ms = unit.taken_ms[slot]
                unit.taken_ms[slot] = now_ms
                if slot == 0:
                    unit.took_ms = min(now_ms - before_ms, _ROUND_MS) if before_ms else 0
                    unit.counters["polls"] += 1
                    unit.misses = 0
                    unit.heard_well(True)
                    poller.decode(unit, now_ms)

    def suspect(self, data: bytes) -> None:
        """Bytes that nobody here asked for: if they hold a request, another master is there."""
        poller = self._poller
        data = self._tail + data
        self._tail = data[-_KEEP:]
        for unit in poller.units:
            if unit.overhears is not None and unit.overhears(data):
                self._tail = b""
                self._step_back()
                return

    def _step_back(self) -> None:
        poller = self._poller
        now_ms = poller.clock.now_ms()
        if not self._said:
            poller.log.warning(
                "%s: another master asks on this line: listening, not asking", poller.link.name
            )
            if now_ms - self._begun_ms > LONGEST_HOLD_MS:
                self._hold_ms = HOLD_MS
            elif self._begun_ms:
                self._hold_ms = min(2 * self._hold_ms, LONGEST_HOLD_MS)
        self._said = True
        if not self.silent:
            self._clear()
        self.silent = True
        self._until_ms = now_ms + self._hold_ms

    def _clear(self) -> None:
        """A frame that has begun will not end."""
        self._pending = False
        self._tail = b""
        for unit in self._poller.units:
            unit.receiver.clear()
