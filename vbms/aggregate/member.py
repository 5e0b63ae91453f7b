"""One unit as the merge sees it: its last admitted snapshot, its state, and what follows from both.

What follows from the snapshot alone (extremes, weight, allowances) is worked out once a frame, so a
tick over fifteen units looks at no cell twice.
"""

from vbms.aggregate.limits import CHARGE, DISCHARGE, Allowance, allowance

TYPE_CHECKING = False
if TYPE_CHECKING:
    from vbms.aggregate.profile import UnitProfile
    from vbms.aggregate.snapshot import Snapshot

# Life-cycle, see freshness.py; the words are what /api/units shows.
JOINING = "joining"
FRESH = "fresh"
HOLD = "hold"
LOST = "lost"
RETIRED = "retired"
DISABLED = "disabled"

NOWHERE = -1  # the place of an extreme cell that the unit does not tell


class Member:
    """Everything `merge` needs to know about one unit."""

    __slots__ = (
        "acknowledged",
        "age_ms",
        "allowed",
        "bus_evidence",
        "cell_excess_mv",
        "cell_max_at",
        "cell_max_mv",
        "cell_min_at",
        "cell_min_mv",
        "cells",
        "cells_known",
        "design_mah",
        "fresh_ms",
        "key",
        "latched",
        "lost_span",
        "measured_mah",
        "on_bus",
        "profile",
        "sensor_lost",
        "shares_off_bus",
        "snapshot",
        "state",
        "temp_max_mc",
        "temp_min_mc",
        "told_ma",
        "weight_mah",
    )

    def __init__(self, profile: "UnitProfile"):
        self.profile = profile
        self.key = profile.key
        self.state = LOST
        self.acknowledged = False  # retired, and a person has said that it is gone
        self.age_ms = 0  # since the last admitted live frame, or since the unit was enrolled
        self.fresh_ms = profile.fresh_for_ms()
        self.on_bus = True
        self.shares_off_bus = True  # an off-the-bus unit that may still carry current
        self.sensor_lost = False
        self.lost_span: tuple[int, ...] = ()  # extremes of the cell sensors before one was lost
        self.latched = ["", ""]  # by direction: the latch that holds its limit at 0, see latches.py
        self.measured_mah = 0  # the share of current it was seen to take, where that is more
        self.bus_evidence = [False, False]  # ten minutes of a bus that is not full (empty)
        self.told_ma = [0, 0]  # the limit last used for this unit, for showing
        self.take(None)

    def take(self, snap: "Snapshot | None") -> None:
        """A new last frame. Total: any field may be None, any list empty or with holes."""
        self.snapshot = snap
        self.cell_max_mv: int | None = None
        self.cell_min_mv: int | None = None
        self.cell_max_at = self.cell_min_at = 0
        self.temp_max_mc: int | None = None
        self.temp_min_mc: int | None = None
        self.cells_known = True
        self.cell_excess_mv = 0  # sum over its cells of what stands above cell_cv_max
        profile = self.profile
        count = profile.cells
        if snap is not None:
            cells = snap.cells_mv
            if cells:
                # A hole: the others are shown, but none is trusted to be the extreme.
                self.cells_known = None not in cells
                rest = cells if self.cells_known else [cell for cell in cells if cell is not None]
                if rest:
                    self.cell_max_mv = max(rest)
                    self.cell_min_mv = min(rest)
                    if self.cell_max_mv > profile.cell_cv_max_mv:
                        for cell in rest:
                            self.cell_excess_mv += max(0, cell - profile.cell_cv_max_mv)
                    self.cell_max_at = _index(cells, self.cell_max_mv)
                    self.cell_min_at = _index(cells, self.cell_min_mv)
                if count is None:
                    count = len(cells) // (snap.strings or 1)
            if snap.cell_high_mv is not None and snap.cell_low_mv is not None:
                self._take_extremes(snap.cell_high_mv, snap.cell_low_mv)
            if count is None:
                count = snap.cell_count
            temps = snap.temps_mc
            if temps:
                known = [t for t in temps if t is not None] if None in temps else temps
                if known:
                    self.temp_max_mc = max(known)
                    self.temp_min_mc = min(known)
        self.cells = count
        design = snap.design_mah if snap is not None else None
        self.design_mah = design if design is not None and design > 0 else profile.capacity_mah
        self.weight_mah = self._weight()
        self.reckon()

    def _take_extremes(self, high_mv: int, low_mv: int) -> None:
        """What the unit says of its extremes now counts, whatever the list of cells said before."""
        self.cells_known = True
        if self.cell_max_mv is None:
            self.cell_max_at = self.cell_min_at = NOWHERE
        self.cell_max_mv = high_mv
        self.cell_min_mv = low_mv

    def _weight(self) -> int | None:
        """Full capacity today: the unit's own, else design x SOH, else the profile's."""
        snap = self.snapshot
        if snap is not None:
            full = snap.capacity_mah
            if full is not None and full > 0:
                return full
            soh = snap.soh_permille
            if self.design_mah and soh is not None and soh > 0:
                return self.design_mah * soh // 1000 or None
        return self.profile.capacity_mah

    def reckon(self) -> None:
        """Work out the allowances again: after a frame, or when a lost sensor's memory ends."""
        self.allowed: tuple[Allowance, Allowance] = (
            allowance(self, CHARGE),
            allowance(self, DISCHARGE),
        )

    def charge_voltage_mv(self) -> int | None:
        """The pack voltage its profile asks for, else the usual one for its cells."""
        asked = self.profile.charge_voltage_mv
        return self.cells * 3450 if asked is None and self.cells else asked

    def is_out(self) -> bool:
        """Retired and out of the account: a person has said so, or its profile lets time decide."""
        return self.state == RETIRED and (self.acknowledged or self.profile.retire_auto)

    def latch_value(self, direction: int) -> int | None:
        """The reading that a latch waits for: a cell in mV, or a temperature in m°C."""
        if self.latched[direction] == "temp_latch":
            hot, cold = self.temp_max_mc, self.temp_min_mc
            return hot if hot is not None and hot > 25000 else cold
        return self.cell_max_mv if direction == CHARGE else self.cell_min_mv

    def open_both(self) -> bool:
        """Proven open in both directions: its voltage is not the bus's."""
        snap = self.snapshot
        return snap is not None and snap.charge_open is True and snap.discharge_open is True

    def proven_open(self, direction: int) -> bool:
        """Proven open in this direction at its last frame."""
        snap = self.snapshot
        if snap is None:
            return False
        return (snap.charge_open if direction == CHARGE else snap.discharge_open) is True

    def refuses_charge(self) -> bool:
        """A charge voltage below the floor is no voltage to hold but a wish not to be charged."""
        snap = self.snapshot
        if snap is None or snap.cvl_mv is None or not self.cells:
            return False
        return snap.cvl_mv < self.cells * self.profile.cell_floor_mv


def _index(cells: "tuple[int, ...] | list[int]", value: int) -> int:
    for at, cell in enumerate(cells):
        if cell == value:
            return at
    return 0


def has_hole(snap: "Snapshot") -> bool:
    """Whether a cell sensor is listed that says nothing."""
    temps = snap.temps_mc
    return temps is not None and None in temps
