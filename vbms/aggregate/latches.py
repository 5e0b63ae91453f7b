"""What stopped a unit keeps it stopped until the cause is well past: no flutter at a threshold.

    cell         set when the cell curve reaches 0 while the unit is fresh. Charge: ends after 60 s
                 of the highest cell at or below `charge_release`, or of it at or below the higher
                 `charge_release_loaded` while the unit gives more than 0.02 C. Discharge likewise.
    temperature  set when the temperature curve reaches 0, ends 2 °C inside that point

A latched unit has limit 0. A unit that is not fresh keeps its latches as they are.
"""

from vbms.aggregate.limits import CHARGE, DISCHARGE, cell_curve, curve_at, shift_mv, temp_curve
from vbms.aggregate.member import FRESH

TYPE_CHECKING = False
if TYPE_CHECKING:
    from vbms.aggregate.member import Member

CELL = "cell_latch"
TEMPERATURE = "temp_latch"
_RELEASE_MS = 60000
_LOADED_PERMILLE = 20  # of the capacity per hour
_INSIDE_MC = 2000


class Latches:
    """One unit's. `frame` reads a new frame, `update` lets time pass.

    `held` has a bit each: 1 and 2 for the cells (charge, discharge), 4 and 8 for temperature.
    """

    __slots__ = ("_calm", "_calm_ms", "held")

    def __init__(self) -> None:
        self.held = 0
        self._calm = 0  # bits of the cells' latches whose last frame is within the release band
        self._calm_ms = (0, 0)

    def frame(self, member: "Member") -> None:
        """What the last frame says of a fresh unit."""
        self._calm = 0
        if member.state != FRESH:
            return
        if not self.held and member.allowed[CHARGE].limit_ma and member.allowed[DISCHARGE].limit_ma:
            return  # no curve is at 0
        for direction in (CHARGE, DISCHARGE):
            cell = member.cell_max_mv if direction == CHARGE else member.cell_min_mv
            bit = 1 << direction
            if cell is not None and not curve_at(cell_curve(member, direction), cell):
                self.held |= bit
            if self.held & bit and _is_calm(member, direction, cell):
                self._calm |= bit
            cold, hot = member.temp_min_mc, member.temp_max_mc
            if cold is None or hot is None:
                continue
            bit <<= 2
            curve = temp_curve(member, direction)
            if not curve_at(curve, cold) or not curve_at(curve, hot):
                self.held |= bit
            elif self.held & bit:
                if curve_at(curve, cold - _INSIDE_MC) and curve_at(curve, hot + _INSIDE_MC):
                    self.held &= ~bit

    def update(self, member: "Member", passed_ms: int) -> None:
        """Let time pass, and tell the member what holds it."""
        if not self.held:
            if member.latched[CHARGE] or member.latched[DISCHARGE]:
                member.latched[:] = ["", ""]
            return
        calm = [0, 0]
        for direction in (CHARGE, DISCHARGE):
            bit = 1 << direction
            if self.held & bit and member.state == FRESH and self._calm & bit:
                calm[direction] = self._calm_ms[direction] + passed_ms
                if calm[direction] >= _RELEASE_MS:
                    self.held &= ~bit
                    calm[direction] = 0
            by = TEMPERATURE if self.held & bit << 2 else ""
            member.latched[direction] = CELL if self.held & bit else by
        self._calm_ms = (calm[0], calm[1])


def _is_calm(member: "Member", direction: int, cell: int | None) -> bool:
    profile, snap = member.profile, member.snapshot
    if cell is None or snap is None:
        return False
    loaded = False
    if snap.current_ma is not None and member.weight_mah:
        flow = -snap.current_ma if direction == CHARGE else snap.current_ma
        loaded = flow * 1000 > member.weight_mah * _LOADED_PERMILLE
    if direction == CHARGE:
        release = profile.release[1 if loaded else 0]
        return cell <= release + min(0, shift_mv(member, direction))
    release = profile.release[3 if loaded else 2]
    return cell >= release + max(0, shift_mv(member, direction))
