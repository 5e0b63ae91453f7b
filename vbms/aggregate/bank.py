"""The bank: enrolled units, their frames, and the battery they make together.

    bank.accept("byd-1", snapshot, now_ms)   a decoded frame: admitted or dropped, with the reason
    bank.tick(now_ms)                        states, limits and alarms now: a VirtualBattery

Time comes in as now_ms and is summed from differences: a clock that steps back makes nothing
young again. Called once a second, and at once after a frame that lowered a limit (`urgent`).
"""

from vbms.aggregate import alarms
from vbms.aggregate.admission import Admission
from vbms.aggregate.alarm_rows import rows_of, tell
from vbms.aggregate.freshness import Life, lately, reference_mv
from vbms.aggregate.latches import Latches
from vbms.aggregate.limits import CHARGE, DISCHARGE, Surroundings
from vbms.aggregate.member import (
    DISABLED,
    FRESH,
    LOST,
    RETIRED,
    Member,
    has_hole,
)
from vbms.aggregate.merge import merge
from vbms.aggregate.profile import BankProfile
from vbms.aggregate.virtual import ERROR, NORMAL, PARTIAL, ZERO, VirtualBattery

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from vbms.aggregate.profile import UnitProfile
    from vbms.aggregate.snapshot import Snapshot


class Unit(Member):
    """A member with its filter and its clock."""

    __slots__ = ("admission", "doubted", "latches", "life", "poll_ms", "was_retired")

    def __init__(self, profile: "UnitProfile", now_ms: int):
        super().__init__(profile)
        self.admission = Admission(profile)
        self.doubted = False  # its line hears two batteries at its address
        self.life = Life(now_ms)
        self.latches = Latches()
        self.poll_ms = 0  # as measured
        self.was_retired = False  # since a person last looked: the alarm stays after its return

    def set_poll(self, poll_ms: int) -> None:
        """The line's measured round where it is longer than the profile's poll."""
        self.poll_ms = poll_ms
        usual = self.profile.fresh_for_ms()
        self.fresh_ms = max(usual, min(3 * poll_ms, self.profile.hold_ms))

    def adopt(self, profile: "UnitProfile", now_ms: int) -> None:
        """A changed profile for the same battery: its data and age stay, who it is is seen anew."""
        if profile.enabled and not self.profile.enabled:
            self.life = Life(now_ms)
            self.acknowledged = self.was_retired = False
        self.profile = profile
        self.admission.serial = profile.serial
        self.admission.mismatch = False
        self.set_poll(self.poll_ms)
        self.admission.profile = profile
        self.take(self.snapshot)


class Bank:
    """All units, by name, and the last merge."""

    __slots__ = (
        "_last_ms",
        "_tick_ms",
        "_top_dvl",
        "begun",
        "broken",
        "profile",
        "units",
        "up_ms",
        "urgent",
    )

    def __init__(self, profile: BankProfile, units: "Sequence[UnitProfile]" = ()):
        self.profile = profile
        self.up_ms = 0  # summed time since the start
        self.urgent = False  # a limit fell: do not wait for the next second
        self.broken = False  # the last tick failed: nothing the units hold is of now
        self.begun = False  # all have been fresh once, or were waited for: now silence is an alarm
        self._last_ms: int | None = None
        self._tick_ms = 0
        self._top_dvl = 0
        self.units: dict[str, Unit] = {}
        self.enrol(units)

    def enrol(self, profiles: "Sequence[UnitProfile]") -> None:
        """The units that belong to the bank from now on; those that stay keep data and age."""
        known = self.units
        self.units = {}
        for profile in profiles:
            unit = known.get(profile.key)
            if unit is None:
                unit = Unit(profile, self.up_ms)
            else:
                unit.adopt(profile, self.up_ms)
            self.units[profile.key] = unit

    def _advance(self, now_ms: int) -> None:
        if self._last_ms is not None and now_ms > self._last_ms:
            self.up_ms += now_ms - self._last_ms
        self._last_ms = now_ms

    def accept(self, key: str, snap: "Snapshot", now_ms: int) -> str | None:
        """A decoded live frame of a unit. None: admitted; else why it was dropped."""
        self._advance(now_ms)
        unit = self.units.get(key)
        if unit is None:
            return "unknown_unit"
        taken = self.up_ms
        if snap.taken_ms is not None and now_ms > snap.taken_ms:
            taken -= now_ms - snap.taken_ms
        fault = unit.admission.check(snap, self.up_ms)
        if fault:
            return fault
        before = (unit.allowed[CHARGE].limit_ma, unit.allowed[DISCHARGE].limit_ma)
        unit.sensor_lost = unit.admission.sensor_lost or has_hole(snap)
        unit.lost_span = unit.admission.lost_span
        unit.take(snap)
        complete = not unit.profile.needs_settings or snap.cell_count is not None
        unit.life.frame(taken, complete)
        unit.latches.frame(unit)
        if (
            unit.allowed[CHARGE].limit_ma < before[CHARGE]
            or unit.allowed[DISCHARGE].limit_ma < before[DISCHARGE]
        ):
            self.urgent = True
        return None

    def tick(self, now_ms: int) -> VirtualBattery:
        """Everything as of now."""
        self._advance(now_ms)
        passed = self.up_ms - self._tick_ms
        self._tick_ms = self.up_ms
        self.urgent = False
        units = list(self.units.values())
        for unit in units:
            was = unit.state
            unit.life.update(unit, self.up_ms)
            if unit.state == RETIRED and not unit.acknowledged:
                unit.was_retired = True
            if unit.state == LOST and was != LOST:
                unit.admission.forget()
            if unit.admission.tick(self.up_ms):
                unit.lost_span = ()
                unit.reckon()
            unit.latches.update(unit, passed)
        reference = reference_mv(units)
        for unit in units:
            unit.life.watch_bus(unit, reference, passed)
        fresh = [unit for unit in units if unit.state == FRESH]
        around = Surroundings(fresh)
        for unit in units:
            unit.life.watch_evidence(unit, around, passed)
        out = merge(units, self.profile, around if len(fresh) == len(units) else lately(units))
        if out.n_fresh == out.n_total or self.up_ms >= self.profile.start_ms:
            self.begun = True
        self._finish(out, units, reference)
        self.broken = False
        if out.dvl_mv is not None:
            if out.state != NORMAL and out.dvl_mv < self._top_dvl:
                out.dvl_mv = self._top_dvl  # a silent unit may be the one that asked for it
            self._top_dvl = out.dvl_mv
        return out

    def solo(self, key: str) -> VirtualBattery:
        """One unit as a bank of its own, at the last tick: for an address per battery."""
        unit = self.units[key]
        told = list(unit.told_ma)
        out = merge([unit], BankProfile(key))
        unit.told_ma[:] = told  # what the whole bank counts it for is what is shown
        self._finish(out, [unit], None)
        snap = unit.snapshot
        if snap is not None:
            out.model = snap.model or unit.profile.key
            out.serial = snap.serial or unit.profile.serial or ""
        return out

    def failed(self, now_ms: int) -> VirtualBattery:
        """What stands for the bank when it could not be worked out: nothing, with both limits 0."""
        self._advance(now_ms)
        self.broken = True
        out = VirtualBattery(name=self.profile.name, state=ERROR, taken_ms=now_ms)
        out.n_total = len(self.units)
        tell(out, [(alarms.CONFIG, alarms.CRITICAL, out.name)])
        return out

    def acknowledge(self, key: str) -> bool:
        """A person has seen that a unit is retired: the alarm ends, and it stops to count.

        False, and nothing changes, for a unit that was not retired. Of one that has come back by
        itself only the alarm ends; one that comes back later ends its acknowledgement.
        """
        unit = self.units.get(key)
        if unit is None or not (unit.state == RETIRED or unit.was_retired):
            return False
        unit.acknowledged = unit.state == RETIRED
        unit.was_retired = False
        return True

    def acknowledged(self) -> "list[str]":
        """The units that are out of the account by a person's word."""
        return [unit.key for unit in self.units.values() if unit.is_out() and unit.acknowledged]

    def recall(self, keys: "Sequence[str]") -> None:
        """What was acknowledged before a restart: holds for units not heard since."""
        for key in keys:
            unit = self.units.get(key)
            if unit is not None and not unit.life.seen:
                unit.acknowledged = True

    def next_change_ms(self) -> int | None:
        """In how many ms, from the last tick, a unit changes its state by age alone."""
        soonest = None
        for unit in self.units.values():
            left = unit.life.next_change_ms(unit)
            if left is not None and (soonest is None or left < soonest):
                soonest = left
        return soonest

    def _finish(self, out: VirtualBattery, units: "list[Unit]", reference: int | None) -> None:
        """Ages, state and alarms of a merge."""
        out.taken_ms = self.up_ms
        uncertain = False
        for unit in units:
            if unit.state == FRESH:
                if out.age_ms is None or unit.age_ms > out.age_ms:
                    out.age_ms = unit.age_ms
            elif unit.state != DISABLED and not unit.acknowledged:
                uncertain = True
        out.state = ZERO if not out.n_fresh else PARTIAL if uncertain else NORMAL
        for unit in units:
            if unit.admission.miscounted and unit.state != DISABLED:
                out.state = ERROR  # 15 cells at the voltage of 16: nothing may be charged
                out.charge_limit_ma = out.discharge_limit_ma = 0
        tell(out, rows_of(out, units, reference, self.begun))
