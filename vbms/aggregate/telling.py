"""Charge voltage and SOC as they are told: both move slowly, whatever the bank does underneath.

Voltage, in this order each tick: a hard bound (ceiling, trim) at once; down to the target by 100 mV
a minute and never under the bus, so that no inverter empties the bank into the grid; up by 50 mV a
second; and never below the floor: to stop a charge is a limit of 0, not a low voltage.
"""

from vbms.aggregate.member import FRESH
from vbms.integers import clamp

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from vbms.aggregate.member import Member

_DOWN_MS = 600  # for each mV
_UP_MS = 20
_CALM_MS = 60000
_TRIM_STEP_MS = 10000


class Voltage:
    """The charge voltage limit. `trim_mv` is what too high a cell took off; None: nothing."""

    __slots__ = ("_calm_ms", "_down_ms", "_step_ms", "_up_ms", "cvl_mv", "trim_mv")

    def __init__(self) -> None:
        self.cvl_mv: int | None = None
        self.trim_mv: int | None = None
        self._calm_ms = 0
        self._step_ms = self._down_ms = self._up_ms = 0

    def step(
        self,
        target_mv: int,
        ceiling_mv: int,
        floor_mv: int,
        bus_mv: int | None,
        slowly: bool,
        passed: int,
    ) -> int:
        """The voltage to tell; slowly: False while nothing was told yet."""
        hard = ceiling_mv if self.trim_mv is None else min(ceiling_mv, self.trim_mv)
        want = min(target_mv, hard)
        cvl = self.cvl_mv
        if cvl is None or not slowly:
            cvl = want
        if cvl > hard:
            cvl = hard
        if want < cvl:
            self._up_ms = 0
            # No lower than 200 mV under the bus: an inverter takes that for an order to discharge.
            lowest = cvl if bus_mv is None else max(want, bus_mv - 200)
            if bus_mv is not None and bus_mv <= cvl + 100:
                self._down_ms += passed
                cvl = max(min(cvl, lowest), cvl - self._down_ms // _DOWN_MS)
                self._down_ms %= _DOWN_MS
        elif want > cvl:
            self._down_ms = 0
            self._up_ms += passed
            cvl = min(want, cvl + self._up_ms // _UP_MS)
            self._up_ms %= _UP_MS
        cvl = max(cvl, floor_mv)
        self.cvl_mv = cvl
        return cvl

    def watch(self, units: "Sequence[Member]", target_mv: int, cells: int, passed: int) -> None:
        """Cells above their constant-voltage limit take the voltage down by what they are above."""
        excess = False
        for unit in units:
            snap = unit.snapshot
            if unit.state != FRESH or snap is None or not unit.cell_excess_mv:
                continue
            if snap.voltage_mv is not None:
                excess = True
                allowed = snap.voltage_mv - unit.cell_excess_mv
                if self.trim_mv is None or allowed < self.trim_mv:
                    self.trim_mv = allowed
        if excess:
            self._calm_ms = self._step_ms = 0
        elif self.trim_mv is not None:
            self._calm_ms += passed
            if self._calm_ms >= _CALM_MS:
                self._step_ms += passed
                self.trim_mv += cells * (self._step_ms // _TRIM_STEP_MS)
                self._step_ms %= _TRIM_STEP_MS
                if self.trim_mv >= target_mv:
                    self.trim_mv = None
                    self._calm_ms = 0


class Gauge:
    """The SOC that is told: 100 % when full and only then, 0 when empty and only then."""

    __slots__ = ("_down_ms", "_empty_ms", "_stopped_ms", "_up_ms", "empty", "told")

    def __init__(self) -> None:
        self.told: int | None = None  # permille
        self.empty = False
        self._empty_ms = self._stopped_ms = 0
        self._up_ms = self._down_ms = 0

    def watch(self, units: "Sequence[Member]", stopped_by_cell: bool, passed: int) -> None:
        """stopped_by_cell: discharge is 0 by a cell's latch, and the inverter has no other word."""
        some = False
        every = risen = True
        for unit in units:
            if unit.state != FRESH or unit.snapshot is None:
                continue
            if unit.cell_min_mv is None:
                every = risen = False
                continue
            if unit.cell_min_mv < unit.profile.release[5]:
                risen = False
            if unit.snapshot.discharge_ok is True:
                some = True
                if unit.cell_min_mv > unit.profile.release[4]:
                    every = False
        self._empty_ms = self._empty_ms + passed if some and every else 0
        self._stopped_ms = self._stopped_ms + passed if stopped_by_cell else 0
        if self._empty_ms >= 10000 or self._stopped_ms >= 10000:
            self.empty = True
        elif risen and not stopped_by_cell:
            self.empty = False

    def step(self, soc: int | None, full: bool, rebulked: bool, passed: int) -> int | None:
        """The SOC to tell, in permille: up by at most 1 a second, down by 5."""
        if soc is None and self.told is None:
            return None
        if full:
            goal = 1000
        elif self.empty:
            goal = 0
        elif soc is None:
            return self.told
        else:
            goal = clamp(soc, 10, 990)
        told = goal if self.told is None else self.told
        if rebulked:
            told = min(told, 990)
        if goal > told:
            self._down_ms = 0
            self._up_ms += passed
            told = min(goal, told + self._up_ms // 1000)
            self._up_ms %= 1000
        elif goal < told:
            self._up_ms = 0
            self._down_ms += passed
            told = max(goal, told - self._down_ms // 200)
            self._down_ms %= 200
        else:
            self._up_ms = self._down_ms = 0
        self.told = told
        return told
