"""A unit's life-cycle : how old its last frame is, and what state follows.

    joining   fewer than three good frames since it was last away
    fresh     age <= max(3 polls, 10 s)
    hold      was fresh, age <= 60 s
    lost      age <= 30 min, or never heard
    retired   longer than that: no longer expected, still counted until a person acknowledges it;
              an acknowledgement ends with the next admitted frame
    disabled  by a person, or because it is no battery's BMS and only shown: counts for nothing

Also here: whether a fresh unit is really on the bus (its voltage is the others'), and how long the
bus has been neither full nor empty, which is what frees the limit of a unit that went silent.
"""

from vbms.aggregate.limits import CHARGE, DISCHARGE, LONG_SILENT_MS, Surroundings
from vbms.aggregate.member import DISABLED, FRESH, HOLD, JOINING, LOST, RETIRED

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from vbms.aggregate.member import Member

FRAMES_TO_JOIN = 3
_OFF_MV = 1000
_BACK_ON_MV = 500
_OFF_AFTER_MS = 2000  # the third of three ticks a second apart
_NO_SHARE_AFTER_MS = 30000
_NO_CURRENT_MA = 1000
_EVIDENCE_MS = 600000
_EASY_CHARGE_MV = 3330
_EASY_DISCHARGE_MV = 3300


class Life:
    """One unit's clock. Times are on the bank's own summed clock, which never goes back."""

    __slots__ = ("_easy_ms", "_idle_ms", "_off_ms", "good", "heard_ms", "joined", "seen")

    def __init__(self, now_ms: int):
        self.heard_ms = now_ms  # the last admitted frame, or the enrolment
        self.seen = False
        self.good = 0
        self.joined = False
        self._off_ms = -1  # for how long its voltage has been another; -1: it is not
        self._idle_ms = 0  # for how long it has been off the bus without current
        self._easy_ms = [0, 0]

    def frame(self, taken_ms: int, complete: bool) -> None:
        """An admitted frame; complete: with what the profile demands once (settings)."""
        self.heard_ms = taken_ms
        self.seen = True
        if not self.joined:
            self.good += 1
            if self.good >= FRAMES_TO_JOIN and complete:
                self.joined = True

    def update(self, member: "Member", now_ms: int) -> None:
        """Age and state of the member at now_ms."""
        age = max(0, now_ms - self.heard_ms)
        member.age_ms = age
        profile = member.profile
        if not profile.enabled or member.snapshot is not None and member.snapshot.only_shown:
            member.state = DISABLED
        elif self.seen and age <= member.fresh_ms:
            member.state = FRESH if self.joined else JOINING
            member.acknowledged = False
        elif self.joined and age <= profile.hold_ms:
            member.state = HOLD
        else:
            self.joined = False
            self.good = 0
            gone = member.acknowledged or (self.seen and age > profile.retire_ms)
            member.state = RETIRED if gone else LOST

    def next_change_ms(self, member: "Member") -> int | None:
        """In how many ms the state changes by age alone."""
        profile = member.profile
        for limit in (member.fresh_ms, profile.hold_ms, profile.retire_ms):
            if member.age_ms <= limit:
                return limit - member.age_ms + 1
        return None

    def watch_bus(self, member: "Member", reference_mv: int | None, passed_ms: int) -> None:
        """Whether its voltage is the bus's; a blown fuse or an open breaker shows here."""
        snap = member.snapshot
        if member.state not in (FRESH, JOINING) or snap is None:
            if member.state not in (FRESH, JOINING, HOLD):
                self._off_ms = -1
                member.on_bus = member.shares_off_bus = True
            return
        v = snap.voltage_mv
        if v is None or reference_mv is None:
            return
        apart = abs(v - reference_mv)
        if member.on_bus:
            if apart <= _OFF_MV:
                self._off_ms = -1
            else:
                self._off_ms = self._off_ms + passed_ms if self._off_ms >= 0 else 0
            if self._off_ms >= _OFF_AFTER_MS:
                member.on_bus = False
                self._idle_ms = 0
        elif apart < _BACK_ON_MV:
            member.on_bus = member.shares_off_bus = True
            self._off_ms = -1
        else:
            idle = snap.current_ma is not None and abs(snap.current_ma) < _NO_CURRENT_MA
            self._idle_ms = self._idle_ms + passed_ms if idle else 0
            member.shares_off_bus = self._idle_ms < _NO_SHARE_AFTER_MS

    def watch_evidence(self, member: "Member", around: Surroundings, passed_ms: int) -> None:
        """Ten minutes of a bus that is not full end what a silent unit's full cell forbade."""
        n = member.cells
        gone = member.state == LOST or member.state == RETIRED
        high, low = around.bus_high_mv, around.bus_low_mv
        for direction in (CHARGE, DISCHARGE):
            if direction == CHARGE:
                easy = high is not None and bool(n) and high <= _EASY_CHARGE_MV * (n or 0)
            else:
                easy = low is not None and bool(n) and low >= _EASY_DISCHARGE_MV * (n or 0)
            if gone and easy:
                self._easy_ms[direction] += passed_ms
            else:
                self._easy_ms[direction] = 0
            member.bus_evidence[direction] = self._easy_ms[direction] >= _EVIDENCE_MS


def reference_mv(members: "Sequence[Member]") -> int | None:
    """The bus voltage as most units see it (lower median); of two, the one that carries current."""
    heard = []
    for member in members:
        snap = member.snapshot
        if member.state not in (FRESH, JOINING) or snap is None or snap.voltage_mv is None:
            continue
        if not member.open_both():
            heard.append(snap)
    if not heard:
        return None
    if len(heard) == 2 and abs((heard[0].voltage_mv or 0) - (heard[1].voltage_mv or 0)) > _OFF_MV:
        a, b = abs(heard[0].current_ma or 0), abs(heard[1].current_ma or 0)
        if max(a, b) > 2000:
            return heard[0].voltage_mv if a >= b else heard[1].voltage_mv
    rows = sorted([snap.voltage_mv or 0 for snap in heard])
    return rows[(len(rows) - 1) // 2]


def lately(members: "Sequence[Member]") -> Surroundings:
    """What the fresh units tell, and what those told last that have been silent for ten minutes.

    A silent unit is judged by the others. One of these falling silent in its turn must not take
    with it the voltage and the temperatures that kept the first one's limit low.
    """
    near = [member for member in members if member.state == FRESH]
    if near:
        for member in members:
            known = member.state not in (FRESH, DISABLED) and not member.is_out()
            if known and member.age_ms <= LONG_SILENT_MS:
                near.append(member)
    return Surroundings(near)
