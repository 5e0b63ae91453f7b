"""Random banks through `merge`: the same answers on both, and the laws that every merge keeps."""

from kit import Chance, Digest, fields, text

from vbms.aggregate.member import DISABLED, FRESH, HOLD, JOINING, LOST, RETIRED, Member
from vbms.aggregate.merge import merge
from vbms.aggregate.profile import BankProfile, UnitProfile
from vbms.aggregate.snapshot import Snapshot
from vbms.aggregate.virtual import FIELDS

# Sizes at which a board's numbers change their kind, beside everyday ones.
EDGES = (0, 1, 65535, 65536, 1 << 24, (1 << 24) + 1, (1 << 30) - 1, 1 << 30, (1 << 31) - 1, 1 << 31)
STATES = (FRESH, FRESH, FRESH, FRESH, HOLD, LOST, JOINING, RETIRED, DISABLED)
AGES = {FRESH: 5000, HOLD: 40000, LOST: 900000, JOINING: 900, RETIRED: 2000000, DISABLED: 9}

chance = Chance(11)
digest = Digest("merge")
limited = 0


def snapshot(count, healthy):
    if healthy:
        level = chance.one_of((3050, 3200, 3330, 3410))
        low = chance.one_of((4000, 15000, 25000))
        rare = 200
    else:
        level = chance.one_of((2700, 2870, 3050, 3200, 3330, 3410, 3460, 3520))
        low = chance.one_of((-12000, -500, 4000, 15000, 25000, 43000, 52000))
        rare = 8
    # Few values: ties between cells and between units are the rule.
    cells = [level + chance.below(4) * 20 for _ in range(count)]
    volts = sum(cells) + chance.between(-200, 200)
    odd = chance.below(12) == 0
    permitted = chance.one_of((True, True, False, None))
    opened = chance.one_of((False, False, True, None))
    return Snapshot(
        taken_ms=chance.below(1000000),
        voltage_mv=chance.maybe(volts, rare),
        current_ma=chance.maybe(chance.between(-120000, 120000), rare),
        soc_permille=chance.maybe(chance.between(0, 1000), rare),
        soh_permille=chance.maybe(chance.between(700, 1000), 3),
        capacity_mah=chance.one_of(EDGES)
        if odd
        else chance.maybe(chance.between(40000, 300000), 3),
        design_mah=chance.maybe(chance.one_of((50000, 100000, 280000)), 3),
        cells_mv=chance.maybe(tuple(cells), rare),
        cell_count=chance.maybe(count, 9),
        temps_mc=chance.maybe([low + chance.below(3) * 1500 for _ in range(4)], rare),
        mosfet_mc=chance.maybe(chance.between(20000, 85000 if healthy else 101000), rare),
        ambient_mc=chance.maybe(chance.between(-9000, 35000), 2),
        cycles_count=chance.maybe(chance.one_of(EDGES) if odd else chance.below(6000), 4),
        ccl_ma=chance.maybe(chance.between(0, 200000), 3),
        ccl_is_trip=chance.one_of((True, False, None)),
        dcl_ma=chance.maybe(chance.between(0, 200000), 3),
        dcl_is_trip=chance.one_of((True, False, None)),
        cvl_mv=chance.maybe(chance.between(count * (3300 if healthy else 3250), count * 3600), 2),
        ovp_mv=chance.maybe(chance.between(3500, 3750), 2),
        uvp_mv=chance.maybe(chance.between(2300, 2900), 2),
        charge_ok=healthy or permitted,
        discharge_ok=healthy or chance.below(3) > 0,
        charge_open=False if healthy else opened,
        discharge_open=False if healthy else chance.one_of((False, opened)),
    )


def member(key, healthy):
    rare = 60 if healthy else 3
    profile = UnitProfile(
        key,
        cells=chance.maybe(16, 4),
        capacity_mah=chance.maybe(50000, 2),
        max_charge_ma=chance.maybe(chance.between(1000, 100000), rare),
        max_discharge_ma=chance.maybe(chance.between(1000, 100000), rare),
        c_rate_permille=None if chance.below(rare) else chance.between(100, 1000),
        declares_ccl=chance.below(rare) == 0,
        declares_dcl=chance.below(rare) == 0,
        mosfet_present=chance.below(2) == 0,
        needs_settings=chance.below(2) == 0,
        retire_auto=chance.below(2) == 0,
    )
    unit = Member(profile)
    unit.state = FRESH if healthy and chance.below(6) else chance.one_of(STATES)
    unit.age_ms = AGES[unit.state] + chance.below(1000)
    unit.acknowledged = chance.below(3) == 0
    unit.on_bus = chance.below(10) != 0
    unit.shares_off_bus = chance.below(2) == 0
    unit.sensor_lost = chance.below(10) == 0
    unit.bus_evidence = [chance.below(2) == 0, chance.below(2) == 0]
    if not healthy:
        unit.latched = ["" if chance.below(15) else "cell_latch" for _ in (0, 1)]
    if unit.state == FRESH or chance.below(5):
        unit.take(snapshot(16 if chance.below(9) else 15, healthy))
    return unit


def words(out):
    reasons = []
    for reason in out.charge_reasons + out.discharge_reasons:
        reasons.append((reason.unit, reason.rule, reason.value, reason.limit_ma))
    names = FIELDS + ("cvl_mv", "own_charge_ma")
    return fields(out, names) + " " + text(reasons)


def one_bank():
    global limited
    bank = BankProfile(
        "bank",
        max_charge_ma=chance.maybe(chance.between(1000, 500000), 2),
        max_discharge_ma=chance.maybe(chance.between(1000, 500000), 2),
    )
    healthy = chance.below(3) > 0
    units = [member("u%d" % number, healthy) for number in range(chance.below(10))]
    out = merge(units, bank)
    said = words(out)
    digest.line(said)
    limited += out.charge_limit_ma > 0
    # Order means nothing.
    turned = list(units)
    for at in range(len(turned) - 1, 0, -1):
        other = chance.below(at + 1)
        turned[at], turned[other] = turned[other], turned[at]
    if words(merge(turned, bank)) != said:
        raise ValueError("another order, another bank: " + said)
    # A bank allows no more than its fresh units together.
    for direction, limit in ((0, out.charge_limit_ma), (1, out.discharge_limit_ma)):
        total = sum([u.allowed[direction].limit_ma for u in units if u.state == FRESH])
        if not 0 <= limit <= total:
            raise ValueError("limit %d of %d: %s" % (limit, total, said))


def the_end():
    if limited < 80:
        raise ValueError("only %d banks may charge: these are no banks" % limited)
    digest.close()


TESTS = [one_bank] * 250 + [the_end]
