"""Many units, one battery: pure, stateless, integers only.

`merge` may be called with any units in any state and any fields missing; it never raises for that,
and the order of the units changes nothing. Divisions floor unless a comment says otherwise.

    F fresh · P fresh and held · E enrolled (neither retired nor disabled)
"""

from vbms.aggregate.limits import (
    CHARGE,
    DISCHARGE,
    Surroundings,
    bank_limit,
    blind_ma,
)
from vbms.aggregate.member import DISABLED, FRESH, HOLD, JOINING, LOST, RETIRED
from vbms.aggregate.virtual import VirtualBattery
from vbms.integers import half_up, toward_zero

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from vbms.aggregate.member import Member
    from vbms.aggregate.profile import BankProfile
    from vbms.aggregate.virtual import Reason


def merge(
    units: "Sequence[Member]", bank: "BankProfile", around: "Surroundings | None" = None
) -> VirtualBattery:
    """The bank as one battery; limits are final but for what a governor does over time.

    around: by what silent units are judged; None: by what the fresh ones tell.
    """
    fresh = [unit for unit in units if unit.state == FRESH]
    held = [unit for unit in units if unit.state == HOLD]
    out = VirtualBattery(name=bank.name)
    for unit in units:
        if unit.state == LOST:
            out.n_lost += 1
        if unit.state != DISABLED and not (unit.state == RETIRED and unit.acknowledged):
            out.n_total += 1
    out.n_fresh = len(fresh)
    out.n_hold = len(held)
    _electric(out, fresh)
    _charge(out, units, fresh, held)
    _extremes(out, fresh, held)
    _voltages(out, units, fresh, held)
    around = around or Surroundings(fresh)
    limit = _limit(units, fresh, around, CHARGE, bank.max_charge_ma)
    out.charge_limit_ma, out.charge_reasons = limit
    limit = _limit(units, fresh, around, DISCHARGE, bank.max_discharge_ma)
    out.discharge_limit_ma, out.discharge_reasons = limit
    for unit in fresh:
        out.own_charge_ma += unit.allowed[CHARGE].base_ma
    return out


def _electric(out: VirtualBattery, fresh: "list[Member]") -> None:
    """Voltage is a mean over the bus (half up), current a sum, power the sum of the units' own."""
    on_bus = [unit for unit in fresh if unit.on_bus and not unit.open_both()] or fresh
    total = count = 0
    for unit in on_bus:
        snap = unit.snapshot
        if snap is not None and snap.voltage_mv is not None:
            total += snap.voltage_mv
            count += 1
    if count:
        out.voltage_mv = half_up(total, count)
    current = power = 0
    known = powered = False
    for unit in fresh:
        snap = unit.snapshot
        if snap is None or snap.current_ma is None:
            continue
        known = True
        current += snap.current_ma
        if snap.voltage_mv is not None:
            powered = True
            power += snap.voltage_mv * snap.current_ma
    if known:
        out.current_ma = current
    if powered:
        out.power_mw = toward_zero(power, 1000)


def _charge(
    out: VirtualBattery, units: "Sequence[Member]", fresh: "list[Member]", held: "list[Member]"
) -> None:
    """SOC by capacity over all that were heard in the last half hour; SOH; capacities; cycles."""
    weighed = soc_sum = full = 0
    plain = plain_count = 0
    health = health_design = 0
    soh_sum = soh_weight = soh_plain = soh_count = 0
    for unit in units:
        state = unit.state
        if state != FRESH and state != HOLD and state != LOST:
            continue
        snap = unit.snapshot
        weight = unit.weight_mah
        if weight:
            full += weight
        if snap is None:
            continue
        soc = snap.soc_permille
        if soc is not None:
            plain += soc
            plain_count += 1
            if weight:
                weighed += weight
                soc_sum += soc * weight
        if weight and unit.design_mah:
            health += weight
            health_design += unit.design_mah
        if snap.soh_permille is not None:
            soh_plain += snap.soh_permille
            soh_count += 1
            if weight:
                soh_sum += snap.soh_permille * weight
                soh_weight += weight
    if weighed:
        out.soc_permille = soc_sum // weighed
        out.remaining_mah = soc_sum // 1000
    elif plain_count:
        out.soc_permille = plain // plain_count
    if full:
        out.capacity_mah = full
    if health_design:
        out.soh_permille = min(1000, health * 1000 // health_design)
    elif soh_weight:
        out.soh_permille = min(1000, soh_sum // soh_weight)
    elif soh_count:
        out.soh_permille = min(1000, soh_plain // soh_count)
    design = 0
    for unit in units:
        if unit.state != RETIRED and unit.state != DISABLED and unit.design_mah:
            design += unit.design_mah
    if design:
        out.design_mah = design
    cycles = cycles_weight = plain = plain_count = 0
    for unit in fresh + held:
        snap = unit.snapshot
        if snap is None or snap.cycles_count is None:
            continue
        plain += snap.cycles_count
        plain_count += 1
        if unit.design_mah:
            cycles += snap.cycles_count * unit.design_mah
            cycles_weight += unit.design_mah
    if cycles_weight:
        out.cycles_count = cycles // cycles_weight
    elif plain_count:
        out.cycles_count = plain // plain_count


def _extremes(out: VirtualBattery, fresh: "list[Member]", held: "list[Member]") -> None:
    """The real cell or sensor behind each extreme; of equals the lowest key, then index."""
    temps = temps_count = ambients = ambients_count = 0
    for unit in fresh + held:
        snap = unit.snapshot
        if snap is None:
            continue
        cell = unit.cell_max_mv
        if cell is not None:
            owner = (unit.key, unit.cell_max_at)
            best = out.cell_max_mv
            if best is None or cell > best or (cell == best and owner < out.cell_max_owner):  # type: ignore[operator]
                out.cell_max_mv = cell
                out.cell_max_owner = owner
        cell = unit.cell_min_mv
        if cell is not None:
            owner = (unit.key, unit.cell_min_at)
            best = out.cell_min_mv
            if best is None or cell < best or (cell == best and owner < out.cell_min_owner):  # type: ignore[operator]
                out.cell_min_mv = cell
                out.cell_min_owner = owner
        hot = unit.temp_max_mc
        if hot is not None and (out.temp_max_mc is None or hot > out.temp_max_mc):
            out.temp_max_mc = hot
        cold = unit.temp_min_mc
        if cold is not None and (out.temp_min_mc is None or cold < out.temp_min_mc):
            out.temp_min_mc = cold
        for value in snap.temps_mc or ():
            if value is not None:
                temps += value
                temps_count += 1
        if snap.ambient_mc is not None:
            ambients += snap.ambient_mc
            ambients_count += 1
        mosfet = snap.mosfet_mc
        if mosfet is not None and (out.mosfet_max_mc is None or mosfet > out.mosfet_max_mc):
            out.mosfet_max_mc = mosfet
    if temps_count:
        out.temp_mean_mc = toward_zero(temps, temps_count)
    if ambients_count:
        out.ambient_mc = toward_zero(ambients, ambients_count)


def _voltages(
    out: VirtualBattery, units: "Sequence[Member]", fresh: "list[Member]", held: "list[Member]"
) -> None:
    """How low a discharge may go, how high a charge may go, and the charge voltage asked for."""
    for unit in fresh:
        if unit.cells and unit.snapshot is not None:
            uvp = unit.snapshot.uvp_mv
            per_cell = unit.profile.cell_dvl_mv
            if uvp is not None and uvp + 150 > per_cell:
                per_cell = uvp + 150
            if out.dvl_mv is None or unit.cells * per_cell > out.dvl_mv:
                out.dvl_mv = unit.cells * per_cell
    floor = 0
    for unit in fresh + held:
        snap = unit.snapshot
        if not unit.cells or snap is None:
            continue
        ceiling = unit.cells * unit.profile.cell_cv_max_mv
        if snap.cvl_mv is not None and not unit.refuses_charge():
            ceiling = min(ceiling, snap.cvl_mv)
        if snap.ovp_mv is not None:
            ceiling = min(ceiling, unit.cells * (snap.ovp_mv - 100))
        if out.cvl_ceiling_mv is None or ceiling < out.cvl_ceiling_mv:
            out.cvl_ceiling_mv = ceiling
        floor = max(floor, unit.cells * unit.profile.cell_floor_mv)
    if out.cvl_ceiling_mv is None:
        return
    for unit in fresh:
        if unit.snapshot is not None and unit.snapshot.balancing:
            out.balancing += 1
        out.cells = max(out.cells, unit.cells or 0)
    asked = out.cvl_ceiling_mv
    for unit in units:
        if unit.state == DISABLED or unit.is_out():
            continue
        wish = unit.charge_voltage_mv()
        if wish is None:
            continue
        if out.bulk_mv is None or wish < out.bulk_mv:
            out.bulk_mv = wish
        if wish < asked:
            asked = wish
    # The floor wins: stopping is a charge limit of 0, never a low voltage.
    out.cvl_mv = max(asked, floor)


def _limit(
    units: "Sequence[Member]",
    fresh: "list[Member]",
    around: Surroundings,
    direction: int,
    cap_ma: int | None,
) -> "tuple[int, tuple[Reason, ...]]":
    certain = []
    uncertain = []
    total = 0
    for unit in units:
        state = unit.state
        own = unit.allowed[direction]
        limit = 0 if unit.latched[direction] else own.limit_ma
        if state == FRESH:
            total += limit
            if unit.on_bus:
                if not unit.proven_open(direction):
                    certain.append(unit)
            elif unit.shares_off_bus and not unit.proven_open(direction):
                uncertain.append((unit, limit, own.rule, own.value))
        elif state == JOINING:
            if unit.snapshot is None or (unit.profile.needs_settings and not _settled(unit)):
                limit = blind_ma(unit, direction, around, False)
            if not unit.proven_open(direction):
                uncertain.append((unit, limit, "join", limit))
        elif state == HOLD:
            limit = blind_ma(unit, direction, around, True)
            uncertain.append((unit, limit, "blind", limit))
        elif state == LOST or state == RETIRED:
            limit = blind_ma(unit, direction, around, False)
            if not unit.is_out():
                uncertain.append((unit, limit, "blind", limit))
        else:
            limit = 0
        unit.told_ma[direction] = limit
    if not fresh:
        certain = []
    return bank_limit(certain, uncertain, total, cap_ma, direction)


def _settled(unit: "Member") -> bool:
    """Whether the settings frame has come: only it knows the number of cells."""
    return unit.snapshot is not None and unit.snapshot.cell_count is not None
