"""What no single key can get wrong: values that contradict each other, things that must differ."""

from collections.abc import Iterable, Sequence

from vbms.aggregate.profile import UnitProfile
from vbms.options import Option
from vbms.settings import keys
from vbms.settings.drivers import Driver
from vbms.settings.problems import Problems
from vbms.settings.values import Given, Key, human

# Volts a cell that a charge voltage may ask for, by chemistry; the pack's are these times cells.
# lfp: 3.75 V is 60 V of 16 cells, the highest a 48 V inverter takes, and 3.0 V an empty pack.
CHARGE_CELL_MV = {"lfp": (3000, 3750), "li_ion": (3000, 4250), "lto": (1800, 2900)}
_CELLS = 16  # taken where the unit itself will say

DEFAULTS = UnitProfile("")
_ROWS: dict[str, Key] = {row.name: row for row in keys.UNIT_KEYS}


def default_of(row: Option) -> object:
    """What a value is where nobody says it; the numbers of a unit are UnitProfile's own."""
    if row.default is None and isinstance(row, Key) and _ROWS.get(row.name) is row:
        return getattr(DEFAULTS, row.target, None)
    return row.default


class Effective:
    """The values of one unit: its own, then the bank's, then its profiles', then the defaults."""

    __slots__ = ("bad", "file", "key", "line", "values")

    def __init__(self, values: "dict[str, Given]", bad: "set[str]", file: str, line: int, key: str):
        self.values = values
        self.bad = bad
        self.file = file
        self.line = line
        self.key = key

    def value(self, name: str) -> object:
        """In the program's units; the default where nobody says it."""
        given = self.values.get(name)
        if given is not None:
            return given.value
        row = _ROWS.get(name)
        return None if row is None else default_of(row)

    def whole(self, name: str) -> int:
        """A value that is a number for certain."""
        value = self.value(name)
        assert isinstance(value, int)
        return value

    def unsure(self, *names: str) -> bool:
        """One of these is wrong by itself: a rule about it would only confuse."""
        return any(name in self.bad for name in names)

    def at(self, *names: str) -> tuple[str, int, str]:
        """(file, line, key) of whichever of these was written nearest to the unit."""
        given = [self.values[name] for name in names if name in self.values]
        if not given:
            return self.file, self.line, f"{self.key}.{names[0]}"
        best = max(given, key=lambda one: one.rank)
        return best.file, best.line, best.key


def check_unit(unit: Effective, driver: Driver, problems: Problems) -> None:
    """One unit's numbers against each other and against what its driver can read."""
    _check_size(unit, driver, problems)
    check_values(unit, problems)
    slow = unit.value("slow_timeout_ms")
    if isinstance(slow, int) and not unit.unsure("slow_timeout_ms", "reply_timeout_ms"):
        if slow < unit.whole("reply_timeout_ms"):
            text = f"{slow} is shorter than reply_timeout_ms"
            allowed = f"{unit.value('reply_timeout_ms')} ms or more"
            problems.add(*unit.at("slow_timeout_ms", "reply_timeout_ms"), text, allowed)
    given: dict[str, object] = {row.name: row.default for row in driver.options}
    given |= {name: one.value for name, one in unit.values.items() if name in given}
    declares = driver.declared(given)
    if not unit.unsure(*given):
        for name, text, allowed in driver.faults(given):
            problems.add(*unit.at(name), text, allowed)
    for limit, declared in (("max_charge_a", "ccl_ma"), ("max_discharge_a", "dcl_ma")):
        stated = unit.value(limit) is not None or unit.value("c_rate") is not None
        if not stated and declared not in declares and not unit.unsure(limit, "c_rate"):
            text = f"is not set, {driver.protocol} reads none: the limit of this unit is 0 A"
            problems.warn(unit.file, unit.line, f"{unit.key}.{limit}", text, "a number, or c_rate")


def check_values(unit: Effective, problems: Problems) -> None:
    """The numbers against each other, whatever the driver."""
    _check_charge_voltage(unit, problems)
    _check_times(unit, problems)
    _check_cells(unit, problems)


def _check_size(unit: Effective, driver: Driver, problems: Problems) -> None:
    if driver.needs_settings:
        return
    if unit.value("cells") is None and not unit.unsure("cells"):
        text = f"a {driver.protocol} unit does not say how many cells it has"
        problems.add(*unit.at("cells"), text, "a number, 1..32")
    if unit.value("capacity_ah") is None and not unit.unsure("capacity_ah"):
        options = {name: one.value for name, one in unit.values.items()}
        if {"capacity_mah", "design_mah"} & set(driver.declared(options)):
            return
        if "capacity_ah" in unit.values:
            text = f"a {driver.protocol} unit does not say its capacity"
            problems.add(*unit.at("capacity_ah"), text, "a number of Ah")
        else:
            text = f"is not set, {driver.protocol} reads none: the share of this unit is unknown"
            problems.warn(unit.file, unit.line, f"{unit.key}.capacity_ah", text, "a number of Ah")


def _check_charge_voltage(unit: Effective, problems: Problems) -> None:
    asked = unit.value("charge_voltage_v")
    if not isinstance(asked, int) or unit.unsure("charge_voltage_v", "cells", "chemistry"):
        return
    cells = unit.value("cells")
    n = cells if isinstance(cells, int) else _CELLS
    low, high = CHARGE_CELL_MV[str(unit.value("chemistry"))]
    where = unit.at("charge_voltage_v", "cells")
    if not n * low <= asked <= n * high:
        allowed = f"{human(n * low, 1000)}..{human(n * high, 1000)} V for {n} cells"
        if cells is None:
            allowed += ", or say how many in cells"
        problems.add(*where, f"{human(asked, 1000)} is out of range", allowed)
    elif not unit.unsure("cell_cv_max_v") and asked > n * unit.whole("cell_cv_max_v"):
        most = human(n * unit.whole("cell_cv_max_v"), 1000)
        text = f"{human(asked, 1000)} is above cells x cell_cv_max_v: {most} V is asked for"
        problems.warn(*where, text, f"{most} V or less")


def fresh_ms(unit: Effective) -> int:
    """How old a frame of this unit may be."""
    fresh = unit.value("fresh_s")
    return fresh if isinstance(fresh, int) else max(3 * unit.whole("poll_s"), 10_000)


def _check_times(unit: Effective, problems: Problems) -> None:
    if unit.unsure("poll_s", "fresh_s", "hold_s", "retire_s"):
        return
    poll, hold, retire = (unit.whole(name) for name in ("poll_s", "hold_s", "retire_s"))
    fresh = unit.value("fresh_s")
    used = fresh_ms(unit)
    if isinstance(fresh, int) and fresh <= poll:
        text = f"{human(fresh, 1000)} is not above poll_s: the unit would be stale at each poll"
        problems.add(*unit.at("fresh_s", "poll_s"), text, f"more than {human(poll, 1000)} s")
        return
    if hold <= used:
        text = f"{human(hold, 1000)} is not above fresh_s"
        if fresh is None:
            text += f", {human(used, 1000)} with poll_s {human(poll, 1000)}"
        where = unit.at("hold_s", "fresh_s", "poll_s")
        problems.add(*where, f"hold_s {text}", f"hold_s more than {human(used, 1000)} s")
    if retire <= hold:
        where = unit.at("retire_s", "hold_s")
        text = f"retire_s {human(retire, 1000)} is not above hold_s"
        problems.add(*where, text, f"retire_s more than {human(hold, 1000)} s")


def _check_cells(unit: Effective, problems: Problems) -> None:
    order = ("cell_dvl_v", "cell_floor_v", "cell_cv_max_v")
    for lower, upper in zip(order, order[1:], strict=False):
        if not unit.unsure(lower, upper) and unit.whole(lower) >= unit.whole(upper):
            text = f"{lower} {human(unit.whole(lower), 1000)} is not below {upper}"
            allowed = f"less than {human(unit.whole(upper), 1000)} V"
            problems.add(*unit.at(lower, upper), text, allowed)
    _check_releases(unit, problems)
    names = ("charge_by_cell_v", "discharge_by_cell_v")
    if unit.unsure(*names):
        return
    charge, discharge = unit.value(names[0]), unit.value(names[1])
    assert isinstance(charge, tuple) and isinstance(discharge, tuple)
    full = next(x for x, share in charge if share == 0)
    empty = max(x for x, share in discharge if share == 0)
    if full <= empty:
        text = (
            f"charging ends at {human(full, 1000)} V, below the {human(empty, 1000)} V "
            "where discharging ends: nothing would ever flow"
        )
        problems.add(*unit.at(*names), text, "0 % of charging above 0 % of discharging")


def _check_releases(unit: Effective, problems: Problems) -> None:
    """What ends a stop stands clear of the point that causes it."""
    for curve, names, rises in (
        ("charge_by_cell_v", ("charge_release_v", "charge_release_loaded_v"), False),
        ("discharge_by_cell_v", ("discharge_release_v", "discharge_release_loaded_v"), True),
    ):
        if unit.unsure(curve):
            continue
        points = unit.value(curve)
        assert isinstance(points, tuple)
        zeros = [x for x, share in points if share == 0]
        trip = max(zeros) if rises else min(zeros)
        for name in names:
            value = unit.value(name)
            if unit.unsure(name) or not isinstance(value, int):
                continue
            if value <= trip if rises else value >= trip:
                text = f"{name} {human(value, 1000)} lies inside the stop: point "
                text += f"[{human(trip, 1000)}, 0] of {curve}"
                allowed = f"{'more' if rises else 'less'} than {human(trip, 1000)} V"
                problems.add(*unit.at(name, curve), text, allowed)
    low, high = unit.value("cell_empty_v"), unit.value("cell_recovered_v")
    if isinstance(low, int) and isinstance(high, int) and low >= high:
        text = f"cell_empty_v {human(low, 1000)} is not below cell_recovered_v"
        allowed = f"less than {human(high, 1000)} V"
        problems.add(*unit.at("cell_empty_v", "cell_recovered_v"), text, allowed)


class Place:
    """Something that was written down: used to say what it collides with."""

    __slots__ = ("file", "key", "line", "name")

    def __init__(self, name: str, file: str, line: int, key: str):
        self.name = name
        self.file = file
        self.line = line
        self.key = key


def check_unique(
    rows: "Iterable[tuple[object, str, Place]]", what: str, problems: Problems
) -> None:
    """(what must differ, how a message calls it, where): the second of two equals is wrong."""
    seen: dict[object, Place] = {}
    for value, said, place in rows:
        first = seen.setdefault(value, place)
        if first is not place:
            text = f"{said} is taken by {first.name}, line {first.line}"
            problems.add(place.file, place.line, place.key, text, what)


def check_slots(
    slots: "Sequence[tuple[int, bool, Place]]", by_unit: bool, problems: Problems
) -> None:
    """Each battery's slot (True: `slot:` says so) or place in the list: none twice or over 14."""
    seen: dict[int, tuple[bool, Place]] = {}
    for slot, said, place in slots:
        if slot >= keys.MOST_UNITS:
            if by_unit:
                text = f"{place.name} is unit {slot + 1}: present: units has no address for it"
                allowed = f"{keys.MOST_UNITS} batteries at most, addresses 0..14"
                problems.add(place.file, place.line, place.key, text, allowed)
            continue
        first_said, first = seen.setdefault(slot, (said, place))
        if first is place:
            continue
        how = "by its slot" if first_said else "by its place in the list"
        text = f"slot {slot} is taken by {first.name}, {how}"
        free = [str(n) for n in range(keys.MOST_UNITS) if all(n != one for one, _, _ in slots)]
        allowed = f"each slot once; free: {', '.join(free)}" if free else "each slot once"
        problems.add(place.file, place.line, f"{place.key}.slot", text, allowed)
