"""Whose turn it is on one Bluetooth adapter: who is connected, who lets go, who waits how long.

An adapter holds so many links; more units than that share them in time. A unit that waits takes a
slot when half of its fresh time has gone since its last frame; the one that has been connected
longest, and has just delivered, lets go. One connection is made at a time, for the unit that has
waited longest, so a unit that cannot be reached costs the others one attempt in its back-off.

After a failure a unit waits 1, 2, 4, ... 30 s, a quarter more or less, so that units do not march
in step, and for each failure in a row it stands five seconds further back among those that wait.
After five its circuit is open: it stands thirty seconds back, and its silence is believed sooner.

No clock and no radio here: `now_ms` comes in, decisions go out.
"""

import random
from collections.abc import Sequence

VISIT_MS = 4000  # the least that a unit keeps its slot
FIRST_MS = 15000  # the most to the first frame where others wait, or where it failed before
LONGEST_MS = 30000
OPENS_AT = 5  # failures in a row
_BACK_MS = 5000  # further back in the queue, for each failure
HEARD_MS = 20000  # for so long BlueZ knows a device that was heard
_RECENT_MS = 3000  # "has just delivered"
_LONG_AGO_MS = -1_000_000_000


class Turn:
    """One unit's standing with the adapter. Times are the line's milliseconds."""

    def __init__(self, name: str, address: str, stall_ms: int, fresh_ms: int) -> None:
        self.name = name
        self.address = address  # MAC or advertised name
        self.stall_ms = stall_ms
        self.fresh_ms = fresh_ms
        self.is_up = False
        self.since_ms = 0  # connected, or the link ended
        self.good_ms = _LONG_AGO_MS  # the last frame that was understood
        self.heard_ms = _LONG_AGO_MS
        self.due_ms = 0  # not to be connected to before
        self.failures = 0
        self.scan_due_ms = 0
        self.scans_in_vain = 0
        self.told = ""  # the trouble that the log knows of

    @property
    def has_delivered(self) -> bool:
        """On this connection."""
        return self.is_up and self.good_ms >= self.since_ms

    def up(self, now_ms: int) -> None:
        self.is_up = True
        self.since_ms = now_ms

    def good(self, now_ms: int) -> None:
        """A frame was understood: whatever was wrong is over."""
        self.good_ms = now_ms
        self.failures = 0

    def let_go(self, now_ms: int) -> None:
        """It gave its slot to another, and can be had again at once."""
        self.is_up = False
        self.since_ms = self.heard_ms = self.due_ms = now_ms

    def lost(self, now_ms: int) -> None:
        """BlueZ no longer knows it, which is nobody's fault: it must be heard anew."""
        self.heard_ms = _LONG_AGO_MS
        self.scan_due_ms = now_ms

    def failed(self, now_ms: int, rng: random.Random) -> None:
        """Not connected, or ended for a bad reason: it must be heard anew."""
        self.is_up = False
        self.since_ms = now_ms
        self.heard_ms = _LONG_AGO_MS
        self.failures += 1
        self.due_ms = self.scan_due_ms = now_ms + back_off_ms(self.failures, rng)

    def unheard(self, now_ms: int) -> None:
        """A scan has ended without it."""
        self.scans_in_vain += 1
        self.scan_due_ms = now_ms + min(2000 << min(self.scans_in_vain - 1, 4), LONGEST_MS)

    def stalls_at_ms(self, contested: bool) -> int:
        """When its silence is believed, whatever the adapter says of the link."""
        patience = self.stall_ms
        if not self.has_delivered and (contested or self.failures):
            patience = min(patience, FIRST_MS)
        return max(self.since_ms, self.good_ms) + patience

    def can_connect(self, now_ms: int) -> bool:
        return not self.is_up and self.due_ms <= now_ms and now_ms - self.heard_ms <= HEARD_MS

    def is_sought(self, now_ms: int) -> bool:
        """It is to be connected to, and has to be heard first."""
        waits = self.due_ms <= now_ms and now_ms - self.heard_ms > HEARD_MS
        return not self.is_up and waits and self.scan_due_ms <= now_ms


def back_off_ms(failures: int, rng: random.Random) -> int:
    """1, 2, 4, ... 30 s after so many failures in a row, give or take a quarter."""
    usual = min(1000 << min(failures - 1, 5), LONGEST_MS)
    return usual * rng.randrange(75, 126) // 100


def waiting(turns: "Sequence[Turn]", now_ms: int) -> "list[Turn]":
    """Who can be connected to now, who has waited longest first."""
    return sorted(
        (turn for turn in turns if turn.can_connect(now_ms)),
        key=lambda turn: turn.since_ms + _BACK_MS * min(turn.failures, OPENS_AT + 1),
    )


def next_turn(
    turns: "Sequence[Turn]", now_ms: int, slots: int
) -> "tuple[Turn | None, Turn | None]":
    """(who is to be connected, who lets go for it); (None, None): nobody now."""
    queue = waiting(turns, now_ms)
    if not queue:
        return None, None
    held = [turn for turn in turns if turn.is_up]
    if len(held) < slots:
        return queue[0], None
    hungry = [turn for turn in queue if now_ms - turn.good_ms >= turn.fresh_ms // 2]
    free = [turn for turn in held if _may_go(turn, now_ms)]
    if not hungry or not free:
        return None, None
    return hungry[0], min(free, key=lambda turn: turn.since_ms)


def _may_go(turn: Turn, now_ms: int) -> bool:
    """It has had its visit, and has just delivered."""
    fresh = turn.has_delivered and now_ms - turn.good_ms <= _RECENT_MS
    return fresh and now_ms - turn.since_ms >= VISIT_MS
