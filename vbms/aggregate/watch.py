"""The memory behind the alarms of a bank: how long each has stood, and what only time shows.

An alarm is set at once and ends when it has been absent for 10 s; a cell that sags, a current
through an open path and a unit charged by its neighbours have to last before they are one.
"""

from vbms.aggregate import alarms
from vbms.aggregate.alarm_rows import tell
from vbms.aggregate.limits import CHARGE, DISCHARGE
from vbms.aggregate.member import FRESH

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from vbms.aggregate.member import Member
    from vbms.aggregate.profile import UnitProfile
    from vbms.aggregate.snapshot import Snapshot
    from vbms.aggregate.virtual import VirtualBattery

    Row = tuple[int, int, str]

_CLEAR_MS = 10000
_SAG_MS = 10000  # a cell that sags for less is a measurement
_FORBIDDEN_MA = 2000
_FORBIDDEN_MS = 10000
_NEIGHBOURS_MS = 60000
_NEIGHBOURS_MV = 3450

# For each of the profile's WARNINGS: how much inside it the warning ends, whether above, the alarm.
_LIMITS = (
    (20, True, alarms.CELL_OVERVOLTAGE),
    (50, False, alarms.CELL_UNDERVOLTAGE),
    (2000, True, alarms.CHARGE_OVERTEMPERATURE),
    (2000, False, alarms.CHARGE_UNDERTEMPERATURE),
    (20, False, alarms.CAPACITY_LOW),
    (10, False, alarms.WEAK_CELL),
    (50, True, alarms.IMBALANCE),
    (30, True, alarms.WEAK_CELL),
)
_SAG = 7  # the place of the last


class Watch:
    """The memory behind the alarms of one bank. `events` are (kind, unit, text)."""

    __slots__ = ("_calm", "_forbidden_ms", "_held", "_neighbours_ms", "_over", "_sag_ms", "events")

    def __init__(self) -> None:
        self.events: list[tuple[str, str, str]] = []
        self._held: dict[tuple[int, str], tuple[int, int]] = {}  # level, absent for ms
        self._calm: dict[str, tuple[Snapshot, UnitProfile]] = {}  # looked at, and nothing found
        self._over: dict[tuple[int, str], bool] = {}  # beyond a limit of _LIMITS, by its place
        self._sag_ms: dict[str, int] = {}
        self._forbidden_ms: dict[tuple[int, str], int] = {}
        self._neighbours_ms: dict[str, int] = {}

    def step(
        self, out: "VirtualBattery", units: "Sequence[Member]", more: "Sequence[Row]", passed: int
    ) -> None:
        """out.alarms are the rows without memory; `more` are others that hold now."""
        now: dict[tuple[int, str], int] = {}
        rows = list(out.alarms) + list(more)
        for unit in units:
            self._limits(unit, rows, passed)
            self._forbidden(unit, rows, passed)
            self._neighbours(unit, out.current_ma, passed)
        for bit, level, owner in rows:
            if level > now.get((bit, owner), 0):
                now[(bit, owner)] = level
        held = self._held
        for at in list(held):
            if at not in now or now[at] < held[at][0]:
                level, absent = held[at]
                absent += passed
                if absent < _CLEAR_MS:
                    held[at] = (level, absent)
                else:
                    del held[at]
        for at in now:
            if at not in held or now[at] >= held[at][0]:
                held[at] = (now[at], 0)
        tell(out, [(bit, held[(bit, owner)][0], owner) for bit, owner in held])

    def _limits(self, unit: "Member", rows: "list[Row]", passed: int) -> None:
        snap = unit.snapshot
        if unit.state != FRESH or snap is None:
            self._sag_ms.pop(unit.key, None)
            self._calm.pop(unit.key, None)
            return
        calm = self._calm.get(unit.key)
        if calm is not None and calm[0] is snap and calm[1] is unit.profile:
            return
        found = False
        high, low = unit.cell_max_mv, unit.cell_min_mv
        sag = None
        if low is not None and snap.voltage_mv is not None and unit.cells:
            sag = snap.voltage_mv // unit.cells - low
        delta = high - low if high is not None and low is not None else None
        temps = (unit.temp_max_mc, unit.temp_min_mc)
        charge = (snap.soc_permille, snap.soh_permille)
        values = (high, low) + temps + charge + (delta, sag)
        for place, (row, value) in enumerate(zip(_LIMITS, values)):
            band, above, bit = row
            limit = unit.profile.warn[place]
            at = (place, unit.key)
            if limit is None or value is None:
                self._over.pop(at, None)
                continue
            if self._over.get(at):
                limit = limit - band if above else limit + band
            over = value >= limit if above else value <= limit
            if place == _SAG:
                self._sag_ms[unit.key] = self._sag_ms.get(unit.key, 0) + passed if over else 0
                found = found or over
                over = over and (self._sag_ms[unit.key] >= _SAG_MS or at in self._over)
            if over:
                found = self._over[at] = True
                rows.append((bit, alarms.WARNING, unit.key))
            else:
                self._over.pop(at, None)
        if found:
            self._calm.pop(unit.key, None)
        else:
            self._calm[unit.key] = (snap, unit.profile)

    def _forbidden(self, unit: "Member", rows: "list[Row]", passed: int) -> None:
        """Current through a path that its BMS says is open: its switch does not open."""
        snap = unit.snapshot
        for direction in (CHARGE, DISCHARGE):
            at = (direction, unit.key)
            flow = 0
            if unit.state == FRESH and snap is not None and snap.current_ma is not None:
                flow = snap.current_ma if direction == CHARGE else -snap.current_ma
            if flow <= _FORBIDDEN_MA or not unit.proven_open(direction):
                self._forbidden_ms.pop(at, None)
                continue
            self._forbidden_ms[at] = self._forbidden_ms.get(at, 0) + passed
            if self._forbidden_ms[at] >= _FORBIDDEN_MS:
                rows.append((alarms.OVERCURRENT[direction], alarms.CRITICAL, unit.key))

    def _neighbours(self, unit: "Member", bank_ma: int | None, passed: int) -> None:
        """A unit with a full cell that the others go on charging: no inverter can stop that."""
        snap = unit.snapshot
        charged = False
        weight = unit.weight_mah
        if unit.state == FRESH and snap is not None and snap.current_ma is not None and weight:
            still = bank_ma is not None and abs(bank_ma) * 50 < weight
            high = (unit.cell_max_mv or 0) > _NEIGHBOURS_MV
            charged = still and high and abs(snap.current_ma) * 20 > weight
        if not charged:
            self._neighbours_ms.pop(unit.key, None)
            return
        before = self._neighbours_ms.get(unit.key, 0)
        self._neighbours_ms[unit.key] = before + passed
        if before < _NEIGHBOURS_MS <= before + passed:
            text = "its highest cell is at %d mV" % (unit.cell_max_mv or 0)
            self.events.append(("charged_by_neighbours", unit.key, text))
