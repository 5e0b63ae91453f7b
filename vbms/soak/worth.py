"""How much of what was wanted was allowed, against what perfect knowledge would have allowed."""

from vbms.aggregate.charge import WAIT
from vbms.aggregate.latches import CELL
from vbms.aggregate.limits import CHARGE, DISCHARGE, curve_at
from vbms.aggregate.profile import RELEASES, UnitProfile
from vbms.aggregate.virtual import VirtualBattery
from vbms.soak.plant import Unit
from vbms.soak.safety import Watched

_LEAST_A = 0.5


class Worth:
    """Sums of amperes by direction, sampled while sun or house want something."""

    def __init__(self, site: Watched) -> None:
        self.site = site
        self.wanted_a = [0.0, 0.0]
        self.allowed_a = [0.0, 0.0]

    def sample(self, told: "VirtualBattery | None") -> None:
        """One moment. While a full battery floats, or one that is truly empty waits for its
        release, nothing counts."""
        world = self.site.world
        charge = self.site.controller.steering.charge
        wish = world.inverter.wish_a
        direction = CHARGE if wish > 0 else DISCHARGE
        if direction == CHARGE and charge.wants_float() and charge.phase != WAIT:
            return
        best = 1e9
        whole = 0.0
        rows = []
        for unit in world.plant.units:
            if not (unit.may_charge if direction == CHARGE else unit.may_discharge):
                continue
            member = self.site.bank.units[unit.name]
            profile = member.profile
            if direction == CHARGE:
                base = unit.settings.charge_a * (0.9 if unit.protocol == "jk_pb" else 1)
                factor = min(
                    curve_at(profile.charge_cell, round(max(unit.cells) * 1000)),
                    curve_at(profile.charge_temperature, round(unit.temperature_c * 1000)),
                )
            else:
                if member.latched[DISCHARGE] == CELL and _is_low(unit, profile):
                    return
                base = unit.settings.discharge_a * (0.9 if unit.protocol == "jk_pb" else 1)
                factor = min(
                    curve_at(profile.discharge_cell, round(min(unit.cells) * 1000)),
                    curve_at(profile.discharge_temperature, round(unit.temperature_c * 1000)),
                )
            whole += unit.full_ah
            rows.append((base * factor / 1000, unit.full_ah))
        for limit, weight in rows:
            best = min(best, limit * whole / weight)
        wanted = min(abs(wish), best) if rows else 0.0
        if wanted < _LEAST_A:
            return
        allowed = 0.0
        if told is not None:
            allowed = (
                told.charge_limit_ma if direction == CHARGE else told.discharge_limit_ma
            ) / 1000
        self.wanted_a[direction] += wanted
        self.allowed_a[direction] += min(allowed, wanted)


def _is_low(unit: Unit, profile: UnitProfile) -> bool:
    """Whether its lowest cell really is below where a stopped discharge may begin again."""
    low = profile.release[RELEASES.index("discharge_release_mv")]
    return min(unit.cells) * 1000 < low
