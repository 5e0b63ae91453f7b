"""One battery on a line: its codec, its patience, what it has said, and whether it is alone there.

Two batteries at one address either talk over each other, so that every answer is garbled, or one
after the other, so that there are more answers than requests. Neither says whose values they are:
nothing of such an address is to be believed.
"""

from vbms.loops.counting import unit_counters
from vbms.options import EACH_POLL, ONCE
from vbms.wire.receiver import Receiver

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from vbms.ports import UpstreamCodec

TRIES = 3  # of a slow request, before its unit is taken to have no answer to it
DOUBLES = 2  # polls with a second answer are no accident
GARBLED = 5  # polls in a row without one readable answer are none either
CLEAN = 10  # polls without either, and the address is believed again
_MOST_OWED = 3


class PolledUnit:
    """One battery on the line: its codec, its times, and what it has said so far.

    `reply_timeout_ms` is to the first byte of an answer, `slow_timeout_ms` the same for settings
    and info; after `silence_ms` without a byte an unfinished answer is given up.
    """

    __slots__ = (
        "asked_ms",
        "clean",
        "codec",
        "conflict",
        "counters",
        "doubles",
        "due_ms",
        "each",
        "frames",
        "gap_us",
        "garbled",
        "good",
        "heard",
        "key",
        "listens",
        "lost",
        "misses",
        "overhears",
        "owed",
        "poll_ms",
        "receiver",
        "reply_timeout_ms",
        "requests",
        "said",
        "silence_ms",
        "slow_timeout_ms",
        "spoilt",
        "taken_ms",
        "took_ms",
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
        self.reply_timeout_ms = reply_timeout_ms
        self.slow_timeout_ms = slow_timeout_ms
        self.silence_ms = silence_ms
        self.poll_ms = poll_ms
        # A codec may know a line that another master polls: then nobody here ever asks; and what
        # another master's request looks like.
        self.listens = getattr(codec, "listens", False)
        self.overhears: Callable[[bytes], bool] | None = getattr(codec, "overhears", None)
        self.requests = requests = codec.requests()
        slots = len(requests)
        # What belongs to each poll beside slot 0, the last first.
        self.each = [
            s for s in range(slots - 1, 0, -1) if requests[s][0] == EACH_POLL and requests[s][1]
        ]
        self.frames: list[bytes | None] = [None] * slots
        self.good: list[bytes | None] = [None] * slots  # the frames last decoded
        self.asked_ms = [0] * slots
        self.taken_ms = [0] * slots
        self.tries = [0] * slots  # in vain, in a row
        self.receiver = Receiver(codec.take)
        self.heard = False  # it answered the last time it was asked
        self.misses = 0  # polls without an answer, in a row
        self.spoilt = False  # the last of them was heard, but not understood
        self.lost = 0  # polls without a Snapshot, in a row
        self.said = False  # the log knows why
        self.due_ms: int | None = None  # None: never asked
        self.took_ms = 0  # the line was busy with its last poll for so long
        self.owed = 0  # requests that may still be answered
        self.doubles = 0  # polls with more answers than requests
        self.clean = 0  # polls without, since
        self.garbled = 0  # polls in a row with bytes that make no answer
        self.conflict = False  # two batteries answer at this address
        self.counters = unit_counters()

    def slow_slot(self, now_ms: int) -> int:
        """The one slow request that is due: the last empty slot, or the oldest; 0: none."""
        found = 0
        longest = -1
        for slot in range(len(self.requests) - 1, 0, -1):
            every_ms, request = self.requests[slot]
            if every_ms == EACH_POLL or not request:
                continue
            # Asked in vain, by a unit that answers all else: no info; settings wait their turn.
            if self.tries[slot] >= TRIES:
                if every_ms == ONCE or now_ms - self.asked_ms[slot] < every_ms:
                    continue
            if self.frames[slot] is None:
                return slot
            late = now_ms - self.taken_ms[slot] - every_ms
            if every_ms != ONCE and late > longest:
                found = slot
                longest = late
        return found

    def forget(self) -> None:
        """Another battery or firmware may be there now: ask who it is and how it is set."""
        for slot in range(1, len(self.requests)):
            every_ms = self.requests[slot][0]
            self.tries[slot] = 0
            if every_ms == ONCE:
                self.frames[slot] = self.good[slot] = None
            else:
                self.taken_ms[slot] -= every_ms

    def asked(self) -> None:
        """A request went out."""
        self.owed = min(self.owed + 1, _MOST_OWED)

    def answered(self) -> None:
        """A whole answer came; one more than was asked for is somebody else's."""
        if self.owed:
            self.owed -= 1
        else:
            self.doubles += 1
            self.clean = -1
            self._judge()

    def heard_well(self, well: bool) -> None:
        """How a poll ended: with an answer, or with bytes that are none."""
        self.garbled = 0 if well else self.garbled + 1
        self.clean += 1 if well else 0
        if self.clean >= CLEAN:
            self.doubles = self.clean = 0
        self._judge()

    def _judge(self) -> None:
        self.conflict = self.doubles >= DOUBLES or self.garbled >= GARBLED
