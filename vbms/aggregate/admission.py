"""Which snapshots may count: a filter between codec and bank, so that every driver gets it.

A checksum can be right by chance and a sensor can lie: what is impossible, or what jumps, is
dropped. A jump that three frames in a row agree on is the truth and is let through. One admission
serves one unit; it remembers the last admitted frame, the serial number it enrolled, and the cell
sensors the unit once had.
"""

TYPE_CHECKING = False
if TYPE_CHECKING:
    from vbms.aggregate.profile import UnitProfile
    from vbms.aggregate.snapshot import Snapshot

    Row = tuple[int, ...] | list[int] | None

# Why a frame was not admitted; counted by these words.
NO_CELLS = "no_cells"
CELL_RANGE = "cell_range"
CELL_SUM = "cell_sum"
TEMPERATURE_RANGE = "temperature_range"
SOC_RANGE = "soc_range"
CURRENT_RANGE = "current_range"
JUMP = "jump"
FROZEN = "frozen"
SERIAL = "serial"
CELL_COUNT = "cell_count"

_CELL_JUMP_MV = 300
_SOC_JUMP_PERMILLE = 50
_TEMPERATURE_JUMP_MC = 10000
_AGREE = 3  # frames that tell the same surprise
_FROZEN_MS = 120000
_FROZEN_ABOVE_MA = 5000
_SENSOR_MEMORY_MS = 1800000


class Admission:
    """The filter of one unit. `mismatch` and `miscounted` stay set until a right frame comes."""

    __slots__ = (
        "_accepted",
        "_agreeing",
        "_changed_ms",
        "_count",
        "_odd_counts",
        "_pending",
        "_read",
        "_sensor_lost_ms",
        "_short",
        "_span",
        "_temps",
        "lost_span",
        "mismatch",
        "miscounted",
        "profile",
        "sensor_lost",
        "serial",
    )

    def __init__(self, profile: "UnitProfile"):
        self.profile = profile
        self.serial = profile.serial
        self.mismatch = False  # another battery answers at this address
        self.miscounted = False  # three frames in a row had another number of cells
        self.sensor_lost = False
        self.lost_span: tuple[int, ...] = ()
        self._odd_counts = 0
        self._read: Snapshot | None = None  # the readings that last differed, and since when
        self._changed_ms = 0
        self._temps = 0  # the most cell sensors there ever were, and those of the last frame
        self._count = 0
        self._short = 0  # frames in a row with fewer cell sensors than there are
        self._span: tuple[int, ...] = ()
        self._sensor_lost_ms = 0
        self.forget()

    def forget(self) -> None:
        """The unit was away for long: its next frame is no jump, but it may still be frozen."""
        self._accepted: Snapshot | None = None
        self._pending: Snapshot | None = None
        self._agreeing = 0

    def check(self, snap: "Snapshot", now_ms: int) -> str | None:
        """None: admitted. Else the word for why it is dropped; nothing of it is to be used."""
        fault = self._identity(snap) or _impossible(snap, self.profile)
        if fault:
            return fault
        if self._read is None or not _same_readings(self._read, snap):
            self._changed_ms = now_ms
            self._read = snap
        elif (
            now_ms - self._changed_ms > _FROZEN_MS and abs(snap.current_ma or 0) > _FROZEN_ABOVE_MA
        ):
            return FROZEN
        before = self._accepted
        if before is not None and _jumps(before, snap):
            if self._pending is not None and not _jumps(self._pending, snap):
                self._agreeing += 1
            else:
                self._agreeing = 1
            self._pending = snap
            if self._agreeing < _AGREE:
                return JUMP
        self._pending = None
        self._agreeing = 0
        self._accepted = snap
        self._watch_sensors(snap, now_ms)
        return None

    def tick(self, now_ms: int) -> bool:
        """Ends the memory of a lost sensor after half an hour; True when that happened."""
        if self.lost_span and now_ms - self._sensor_lost_ms > _SENSOR_MEMORY_MS:
            self.lost_span = ()
            return True
        return False

    def _identity(self, snap: "Snapshot") -> str | None:
        if snap.serial:
            if self.serial is None:
                self.serial = snap.serial
            self.mismatch = snap.serial != self.serial
        if self.mismatch:  # and stays so until the right one says who it is
            return SERIAL
        if snap.cells_mv is not None:
            if not snap.cells_mv:
                return NO_CELLS
            wanted = self.profile.cells
            if wanted is None:
                wanted = snap.cell_count
            elif snap.cell_count is not None and snap.cell_count != wanted:
                wanted = -1  # its settings and the profile disagree, whatever the frame holds
            if wanted is not None and len(snap.cells_mv) != wanted * (snap.strings or 1):
                self._odd_counts += 1
                self.miscounted = self._odd_counts >= _AGREE
                return CELL_COUNT
        self._odd_counts = 0
        self.miscounted = False
        return None

    def _watch_sensors(self, snap: "Snapshot", now_ms: int) -> None:
        """Fewer cell sensors than before: the missing one may have been the hot one."""
        temps = [t for t in snap.temps_mc if t is not None] if snap.temps_mc else []
        count = len(temps)
        if count < self._count:
            known = self.lost_span + self._span
            self.lost_span = (min(known), max(known))
            self._sensor_lost_ms = now_ms
        if count >= self._temps:
            self._temps = count
            self.sensor_lost = False
            self.lost_span = ()
            self._short = 0
        else:
            # A sensor that reads as another does may be taken for its copy, for a frame or two.
            self._short += 1
            self.sensor_lost = self._short >= _AGREE
        self._count = count
        self._span = (min(temps), max(temps)) if temps else ()


def _impossible(snap: "Snapshot", profile: "UnitProfile") -> str | None:
    """Values that no such battery has."""
    cells = snap.cells_mv
    v = snap.voltage_mv
    for cell in cells or ():
        if cell is not None and not _can_be(cell, 1):
            return CELL_RANGE
    if cells and None not in cells:
        total = sum(cells) // (snap.strings or 1)
        # The list of a unit that tells its extremes apart may be older than the voltage.
        older = snap.cell_high_mv is not None and snap.cell_low_mv is not None
        if v is not None and not older and abs(total - v) > max(v // 50, 500):
            return CELL_SUM
    elif v is not None and not _can_be(v, profile.cells or snap.cell_count):
        return CELL_SUM
    if snap.cell_high_mv is not None and snap.cell_low_mv is not None:
        fault = _impossible_extremes(snap, snap.cell_high_mv, snap.cell_low_mv, profile)
        if fault:
            return fault
    temps = snap.temps_mc
    if temps:
        for value in temps:
            if value is not None and not -40000 <= value <= 120000:
                return TEMPERATURE_RANGE
    if snap.mosfet_mc is not None and not -40000 <= snap.mosfet_mc <= 120000:
        return TEMPERATURE_RANGE
    if snap.soc_permille is not None and not 0 <= snap.soc_permille <= 1000:
        return SOC_RANGE
    rated = 0
    for known in (snap.ccl_ma, snap.dcl_ma, profile.max_charge_ma, profile.max_discharge_ma):
        if known is not None and known > rated:
            rated = known
    if rated and snap.current_ma is not None and abs(snap.current_ma) > 3 * rated:
        return CURRENT_RANGE
    return None


def _can_be(mv: int, cells: int | None) -> bool:
    """Whether so many cells in series can have this voltage; of an unknown number any."""
    return not cells or 1500 * cells <= mv <= 4500 * cells


def _impossible_extremes(
    snap: "Snapshot", high: int, low: int, profile: "UnitProfile"
) -> str | None:
    """The same for a unit that tells its extreme cells: the pack's voltage lies between them."""
    if not _can_be(low, 1) or not _can_be(high, 1) or low > high:
        return CELL_RANGE
    count = profile.cells or snap.cell_count
    v = snap.voltage_mv
    if count and v is not None:
        slack = max(v // 50, 500)
        if not count * low - slack <= v <= count * high + slack:
            return CELL_SUM
    return None


def _jumps(old: "Snapshot", new: "Snapshot") -> bool:
    if _apart(old.cells_mv, new.cells_mv, _CELL_JUMP_MV):
        return True
    if _leaps(old.cell_high_mv, new.cell_high_mv) or _leaps(old.cell_low_mv, new.cell_low_mv):
        return True
    if old.soc_permille is not None and new.soc_permille is not None:
        if abs(old.soc_permille - new.soc_permille) > _SOC_JUMP_PERMILLE:
            return True
    return _apart(old.temps_mc, new.temps_mc, _TEMPERATURE_JUMP_MC)


def _leaps(old_mv: int | None, new_mv: int | None) -> bool:
    if old_mv is None or new_mv is None:
        return False
    return not -_CELL_JUMP_MV <= old_mv - new_mv <= _CELL_JUMP_MV


def _apart(old: "Row", new: "Row", limit: int) -> bool:
    """Whether one place moved by more than limit; rows of other lengths cannot be compared."""
    if not old or not new or len(old) != len(new):
        return False
    for a, b in zip(old, new):
        if a is not None and b is not None and not -limit <= a - b <= limit:
            return True
    return False


def _same_readings(old: "Snapshot", new: "Snapshot") -> bool:
    return (
        old.current_ma == new.current_ma
        and old.voltage_mv == new.voltage_mv
        and old.cells_mv == new.cells_mv
        and old.cell_high_mv == new.cell_high_mv
        and old.cell_low_mv == new.cell_low_mv
        and old.temps_mc == new.temps_mc
        and old.soc_permille == new.soc_permille
    )
