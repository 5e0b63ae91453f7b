"""How much current a unit, and then the bank, may take or give.

One unit, one direction:  L(u) = base * f // 1000
    base  the smallest limit stated: by the BMS (a trip threshold with a margin), profile, C rate
    f     the smallest derating of its hottest, coldest, fullest, emptiest part, in permille
    0     without permission, with an open path, or where an input that matters is unknown

The bank: current divides over parallel units by their capacity, and the worst-placed unit sets the
limit. Fresh units share for certain; units that went silent may or may not still be connected, so
each is counted the way that hurts more:
    X = min over fresh u of  L(u) * W // w(u)                 all silent ones gone
    X = min(X, Lu(h) * (W + w(h)) // w(h))  per silent h      h alone still there
    X = min(X, sum of L(u), the cap of the bank)
A unit whose capacity nobody knows may carry any share, all of it included: X <= L(u).
"""

from vbms.aggregate.virtual import Reason
from vbms.integers import clamp

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from vbms.aggregate.member import Member
    from vbms.aggregate.profile import Curve
    from vbms.aggregate.snapshot import Snapshot

CHARGE = 0
DISCHARGE = 1

BLIND_CHARGE = ((3360, 1000), (3385, 0))  # estimated cell mV -> permille of 0.1 C
BLIND_DISCHARGE = ((3000, 0), (3100, 1000))
LONG_SILENT_MS = 600000  # from here on a unit's own last voltage and temperatures say nothing
SENSOR_LOST_PERMILLE = 500
_OVP_MV = 3650  # what the default curves were drawn for
_UVP_MV = 2500


def curve_at(curve: "Curve", x: int) -> int:
    """Permille at x: straight between the points, flat outside, floored; 1000 for no curve.

    Where several points share an x the lowest counts at that x.
    """
    if not curve:
        return 1000
    before_x, before_y = curve[0]
    if x < before_x:
        return before_y
    found = -1
    for at, value in curve:
        if x < at:
            if found >= 0:
                return found
            return (before_y * (at - before_x) + (value - before_y) * (x - before_x)) // (
                at - before_x
            )
        if x == at and (found < 0 or value < found):
            found = value
        before_x = at
        before_y = value
    return before_y if found < 0 else found


def shifted(curve: "Curve", direction: int, protection_mv: int | None) -> "Curve":
    """A cell curve moved with the unit's own protection voltage, at most 100 mV.

    No charge point stands above protection - 50 mV, no discharge point below protection + 100 mV.
    """
    if protection_mv is None:
        return curve
    if direction == CHARGE:
        by = clamp(protection_mv - _OVP_MV, -100, 100)
        return tuple([(min(x + by, protection_mv - 50), y) for x, y in curve])
    by = clamp(protection_mv - _UVP_MV, -100, 100)
    return tuple([(max(x + by, protection_mv + 100), y) for x, y in curve])


def shift_mv(member: "Member", direction: int) -> int:
    """By how much the unit's own protection moves its cell curve, in mV."""
    snap = member.snapshot
    protection = None
    if snap is not None:
        protection = snap.ovp_mv if direction == CHARGE else snap.uvp_mv
    if protection is None:
        return 0
    return clamp(protection - (_OVP_MV if direction == CHARGE else _UVP_MV), -100, 100)


def cell_curve(member: "Member", direction: int) -> "Curve":
    """The unit's curve over its highest (charge) or lowest cell, moved with its protection."""
    snap = member.snapshot
    if direction == CHARGE:
        return shifted(member.profile.charge_cell, direction, snap.ovp_mv if snap else None)
    return shifted(member.profile.discharge_cell, direction, snap.uvp_mv if snap else None)


def temp_curve(member: "Member", direction: int) -> "Curve":
    """The unit's curve over its coldest and its hottest cell."""
    if direction == CHARGE:
        return member.profile.charge_temperature
    return member.profile.discharge_temperature


class Allowance:
    """What one unit allows in one direction at its last frame, and which rule decided."""

    __slots__ = ("base_ma", "limit_ma", "rule", "value")

    def __init__(self, base_ma: int, limit_ma: int, rule: str, value: int | None):
        self.base_ma = base_ma
        self.limit_ma = limit_ma
        self.rule = rule
        self.value = value


def base_of(member: "Member", direction: int) -> "tuple[int, str, int | None]":
    """The smallest stated limit in mA, its rule and the stated value; 0 where none is known."""
    profile = member.profile
    snap = member.snapshot
    if direction == CHARGE:
        cap, declared = profile.max_charge_ma, profile.declares_ccl
        stated = snap.ccl_ma if snap else None
        trip = snap.ccl_is_trip if snap else None
    else:
        cap, declared = profile.max_discharge_ma, profile.declares_dcl
        stated = snap.dcl_ma if snap else None
        trip = snap.dcl_is_trip if snap else None
    base = None
    rule = "no_limit_known"
    value = None
    if stated is not None:
        base = stated if trip is False else stated * profile.trip_margin_permille // 1000
        rule = "bms_limit"
        value = stated
    elif declared and snap:
        base = 0
    if cap is not None and (base is None or cap < base):
        base, rule, value = cap, "unit_cap", cap
    if profile.c_rate_permille is not None:
        by_rate = (member.weight_mah or 0) * profile.c_rate_permille // 1000
        if base is None or by_rate < base:
            base, rule, value = by_rate, "c_rate", profile.c_rate_permille
    return (base if base is not None and base > 0 else 0), rule, value


def allowance(member: "Member", direction: int) -> Allowance:
    """L(u) of a unit at its last frame."""
    base, rule, value = base_of(member, direction)
    snap = member.snapshot
    if snap is None:
        return Allowance(base, 0, "missing_input", None)
    if direction == CHARGE:
        permitted, path_open = snap.charge_ok, snap.charge_open
    else:
        permitted, path_open = snap.discharge_ok, snap.discharge_open
    if path_open is True:
        return Allowance(base, 0, "path_open", None)
    if permitted is not True:
        return Allowance(base, 0, "not_permitted", None)
    if direction == CHARGE and member.refuses_charge():
        return Allowance(base, 0, "bms_limit", snap.cvl_mv)
    factor, why, at = _factor(member, snap, direction)
    if factor < 1000:
        return Allowance(base, base * factor // 1000, why, at)
    return Allowance(base, base, rule, value)


def _factor(member: "Member", snap: "Snapshot", direction: int) -> "tuple[int, str, int | None]":
    """The smallest derating in permille, its rule and the value it was read at."""
    profile = member.profile
    cell = member.cell_max_mv if direction == CHARGE else member.cell_min_mv
    by_temperature = temp_curve(member, direction)
    cold = member.temp_min_mc
    hot = member.temp_max_mc
    if cell is None or cold is None or hot is None or not member.cells_known:
        return 0, "missing_input", None
    mosfet = snap.mosfet_mc
    if mosfet is None and profile.mosfet_present:
        return 0, "missing_input", None
    best = curve_at(cell_curve(member, direction), cell)
    rule = "cell"
    at: int | None = cell
    for value in (cold, hot):
        factor = curve_at(by_temperature, value)
        if factor < best:
            best, rule, at = factor, "temp", value
    # A lost sensor may have been the hot one: its last reading counts on for a while.
    for value in member.lost_span:
        factor = curve_at(by_temperature, value)
        if factor < best:
            best, rule, at = factor, "temp", value
    if member.sensor_lost and best > SENSOR_LOST_PERMILLE:
        best, rule, at = SENSOR_LOST_PERMILLE, "missing_input", None
    if mosfet is not None:
        factor = curve_at(profile.mosfet, mosfet)
        if factor < best:
            best, rule, at = factor, "mosfet", mosfet
    factor, known = _soc_factor(member, snap.soc_permille, direction, cell)
    if factor < best:
        best, rule, at = factor, "soc" if known else "missing_input", snap.soc_permille
    return best, rule, at


def _soc_factor(member: "Member", soc: int | None, direction: int, cell: int) -> "tuple[int, bool]":
    """Derating by SOC, and whether it was known. A drifted SOC never throttles full cells."""
    if direction == CHARGE:
        curve = member.profile.charge_soc
    else:
        curve = member.profile.discharge_soc
        if cell > 3200:
            return 1000, True
    if not curve:
        return 1000, True
    if soc is None:
        return 0, False
    if direction == DISCHARGE and soc <= 0 and cell <= 3100:
        return 0, True
    return curve_at(curve, soc), True


class Surroundings:
    """What the fresh units tell about a silent one: the bus they share, the room they stand in."""

    __slots__ = ("bus_high_mv", "bus_low_mv", "temp_max_mc", "temp_min_mc")

    def __init__(self, fresh: "Sequence[Member]"):
        self.bus_high_mv: int | None = None
        self.bus_low_mv: int | None = None
        self.temp_max_mc: int | None = None
        self.temp_min_mc: int | None = None
        for member in fresh:
            snap = member.snapshot
            if snap is None:
                continue
            v = snap.voltage_mv
            if v is not None and member.on_bus and not member.open_both():
                if self.bus_high_mv is None or v > self.bus_high_mv:
                    self.bus_high_mv = v
                if self.bus_low_mv is None or v < self.bus_low_mv:
                    self.bus_low_mv = v
            t = member.temp_min_mc
            if t is not None and (self.temp_min_mc is None or t < self.temp_min_mc):
                self.temp_min_mc = t
            t = member.temp_max_mc
            if t is not None and (self.temp_max_mc is None or t > self.temp_max_mc):
                self.temp_max_mc = t


def estimated_cell_mv(member: "Member", direction: int, around: Surroundings) -> int | None:
    """A silent unit's fullest (charge) or emptiest cell, guessed from the others' voltage."""
    n = member.cells
    bus = around.bus_high_mv if direction == CHARGE else around.bus_low_mv
    if bus is None or not n:
        return None
    snap = member.snapshot
    if snap is None:
        return bus // n
    v = snap.voltage_mv
    if v is not None and member.age_ms <= LONG_SILENT_MS:
        bus = max(bus, v) if direction == CHARGE else min(bus, v)
    if direction == CHARGE:
        spread = 75
        if v is not None and member.cell_max_mv is not None:
            spread = min(75, max(0, member.cell_max_mv - v // n))
        return bus // n + spread
    spread = 75
    if v is not None and member.cell_min_mv is not None:
        spread = min(75, v // n - member.cell_min_mv)
    return bus // n - spread


def _blind_temperature(member: "Member", direction: int, around: Surroundings, held: bool) -> int:
    """Temperature derating of a silent unit, in permille; it may have drifted by 3 degrees."""
    curve = temp_curve(member, direction)
    if member.snapshot is None or member.age_ms > LONG_SILENT_MS:
        cold, hot = around.temp_min_mc, around.temp_max_mc
    else:
        cold, hot = member.temp_min_mc, member.temp_max_mc
    if cold is None or hot is None:
        return 0
    drift = 0 if held else 3000
    return min(curve_at(curve, cold - drift), curve_at(curve, hot + drift))


def blind_ma(member: "Member", direction: int, around: Surroundings, held: bool) -> int:
    """Lh (held) or Lb of a unit that is not heard: 0.1 C at most, tapering with the bus."""
    known = member.allowed[direction]
    snap = member.snapshot
    base = known.base_ma
    was_open = False
    if snap is None:
        ceiling = base
    else:
        permitted = snap.charge_ok if direction == CHARGE else snap.discharge_ok
        was_open = (snap.charge_open if direction == CHARGE else snap.discharge_open) is True
        if was_open:
            ceiling = base
        elif permitted is not True:
            ceiling = 0
        elif not held and member.bus_evidence[direction]:
            ceiling = base
        else:
            ceiling = 0 if member.latched[direction] else known.limit_ma
    est = estimated_cell_mv(member, direction, around)
    limit = 0
    if est is not None:
        curve = BLIND_CHARGE if direction == CHARGE else BLIND_DISCHARGE
        limit = min(
            ceiling,
            (member.weight_mah or 0) * curve_at(curve, est) // 10000,
            base * _blind_temperature(member, direction, around, held) // 1000,
        )
    if held and ceiling > limit and not was_open:
        hold = member.profile.hold_ms
        fresh = member.fresh_ms
        left = hold - member.age_ms
        if left > 0 and hold > fresh:
            limit += (ceiling - limit) * left // (hold - fresh)
    return limit


def _binding(reason: Reason) -> "tuple[int, str, str]":
    return reason.limit_ma, reason.unit or "", reason.rule


def bank_limit(
    certain: "Sequence[Member]",
    uncertain: "Sequence[tuple[Member, int, str, int | None]]",
    total_ma: int,
    cap_ma: int | None,
    direction: int,
) -> "tuple[int, tuple[Reason, ...]]":
    """X in mA and why, the binding reason first.

    certain: the fresh units whose share is sure; uncertain: (unit, its Lu, rule, value);
    total_ma: sum of L(u) over all fresh units.
    """
    if not certain:
        return 0, (Reason(None, "none_fresh", None, 0),)
    known = False
    for member in certain:
        if member.weight_mah:
            known = True
    for member, _, _, _ in uncertain:
        if member.weight_mah:
            known = True
    whole = 0
    for member in certain:
        whole += (member.weight_mah or 0) if known else 1
    reasons: list[Reason] = []
    for member in certain:
        weight = (member.weight_mah or 0) if known else 1
        own = member.allowed[direction]
        latch = member.latched[direction]
        limit = 0 if latch else own.limit_ma
        # Seen to take more than its part: the whole stays the sum of the nominal parts.
        if known and member.measured_mah > weight:
            weight = member.measured_mah
        term = limit * whole // weight if weight else limit
        rule, value = own.rule, own.value
        if latch and own.limit_ma:
            rule, value = latch, member.latch_value(direction)
        elif term < total_ma and 0 < limit == own.base_ma:
            rule, value = "share", weight * 1000 // whole if weight else 1000
        reason = Reason(member.key, rule, value, term)
        if rule == "cell" or rule == "cell_latch":
            reason.name_cell(member.cell_max_at if direction == CHARGE else member.cell_min_at)
        reasons.append(reason)
    for member, limit, rule, value in uncertain:
        weight = (member.weight_mah or 0) if known else 1
        term = limit * (whole + weight) // weight if weight else limit
        reasons.append(Reason(member.key, rule, value, term))
    reasons.sort(key=_binding)
    best = min(reasons[0].limit_ma, total_ma)
    if cap_ma is not None and cap_ma < best:
        best = cap_ma
        reasons.insert(0, Reason(None, "system_cap", cap_ma, cap_ma))
    return best, tuple(reasons)
