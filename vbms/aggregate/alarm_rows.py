"""What stands wrong in a bank now, without memory, and which of it is told how loudly.

Rows are (bit, level, owner), the owner a unit's key or the bank's name. What is told: a warning for
every row; a protection where a unit's protection has stopped its direction for the whole bank, or
where the row is critical, so that one unit's trouble in a bank that goes on stays a warning.
"""

from vbms.aggregate import alarms
from vbms.aggregate.member import DISABLED, FRESH, HOLD, JOINING, LOST

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from vbms.aggregate.bank import Unit
    from vbms.aggregate.virtual import VirtualBattery

    Row = tuple[int, int, str]

_SOC_SPREAD_PERMILLE = 150


def rows_of(
    out: "VirtualBattery", units: "Sequence[Unit]", reference_mv: int | None, begun: bool
) -> "list[Row]":
    """What holds now, without memory: the units' own words and the bank's about them."""
    rows: list[Row] = []
    soc_low = soc_high = None
    for unit in units:
        if unit.state == DISABLED:
            continue
        snap = unit.snapshot
        if snap is not None and unit.state in (FRESH, HOLD):
            told = snap.warnings | snap.protections | snap.criticals
            bit = 1
            while bit <= told:
                level = alarms.level_of(bit, snap.warnings, snap.protections, snap.criticals)
                if level:
                    rows.append((bit, level, unit.key))
                bit <<= 1
            soc = snap.soc_permille
            if soc is not None:
                soc_low = soc if soc_low is None or soc < soc_low else soc_low
                soc_high = soc if soc_high is None or soc > soc_high else soc_high
        for bit in _about(unit, reference_mv, begun):
            rows.append((bit, alarms.WARNING, unit.key))
        if unit.admission.miscounted:
            rows.append((alarms.CONFIG, alarms.CRITICAL, unit.key))
    if soc_low is not None and soc_high is not None and soc_high - soc_low > _SOC_SPREAD_PERMILLE:
        rows.append((alarms.SOC_SPREAD, alarms.WARNING, out.name))
    if begun and units and not out.n_fresh:
        rows.append((alarms.STALE, alarms.WARNING, out.name))
    if begun and (out.n_hold or out.n_lost):
        rows.append((alarms.COMMS, alarms.WARNING, out.name))
    return rows


def _about(unit: "Unit", reference_mv: int | None, begun: bool) -> "list[int]":
    """The bank's own alarms about one unit's place in it."""
    found = []
    snap = unit.snapshot
    if unit.admission.mismatch or unit.doubted:
        found.append(alarms.UNIT_MISMATCH)
    if unit.state == LOST and begun:
        found.append(alarms.UNIT_LOST)
    if unit.was_retired:
        found.append(alarms.UNIT_RETIRED)
    if unit.state == FRESH and not unit.on_bus:
        found.append(alarms.VOLTAGE_SPREAD)
    if unit.state == JOINING and snap is not None and snap.voltage_mv is not None:
        if reference_mv is not None and abs(snap.voltage_mv - reference_mv) > 1000:
            found.append(alarms.JOIN_REFUSED)
    return found


def tell(out: "VirtualBattery", rows: "list[Row]") -> None:
    """Put the rows into the battery and work out what each of its three words says."""
    rows.sort()
    out.alarms = tuple(rows)
    out.warnings = out.protections = out.criticals = 0
    for bit, level, _ in rows:
        out.warnings |= bit
        if level == alarms.CRITICAL:
            out.criticals |= bit
            out.protections |= bit
        elif level == alarms.PROTECTION:
            if not out.charge_limit_ma and not bit & alarms.DISCHARGE_ONLY:
                out.protections |= bit
            if not out.discharge_limit_ma and not bit & alarms.CHARGE_ONLY:
                out.protections |= bit
