"""Why an alarm stands: one line of readings, for the log and the pages."""

import typing

from vbms.aggregate import alarms
from vbms.aggregate.member import DISABLED, FRESH, HOLD, NOWHERE

if typing.TYPE_CHECKING:
    from collections.abc import Callable

    from vbms.aggregate.bank import Bank, Unit
    from vbms.aggregate.virtual import VirtualBattery


def spoken(seconds: int) -> str:
    """A time as people say it."""
    return f"{seconds} s" if seconds < 120 else f"{seconds // 60} min"


def reason_of(bit: int, name: str, bank: "Bank", virtual: "VirtualBattery") -> str:
    """name: the unit it is about, else it is about the bank. Readings are those of now."""
    unit = bank.units.get(name)
    if unit is None:
        about_bank = _OF_BANK.get(bit)
        return about_bank(bank, virtual) if about_bank is not None else ""
    about = _OF_UNIT.get(bit)
    if about is not None:
        return about(unit, virtual)
    snap = unit.snapshot
    if snap is None:
        return ""
    if (snap.warnings | snap.protections | snap.criticals) & bit:
        who = "its BMS says so" + (f", {snap.note}" if snap.note else "")
    elif bit in alarms.OVERCURRENT:
        who = "through a path that its BMS says is open"
    else:
        who = "beyond what its profile warns of"
    reading = _READINGS.get(bit)
    return f"{reading(unit)}, {who}" if reading is not None else who


def _number(value: int | None, unit: str) -> str:
    """Milli-units in whole ones: 3601 mV is 3.601 V."""
    return "unknown" if value is None else f"{value / 1000:g} {unit}"


def _percent(value: int | None) -> str:
    return "unknown" if value is None else f"{value / 10:g} %"


def _cell(which: str, at: int, value: int | None) -> str:
    name = which + " cell" if at == NOWHERE else f"cell {at + 1}"
    return f"{name} at {_number(value, 'V')}"


def _high(unit: "Unit") -> str:
    return _cell("highest", unit.cell_max_at, unit.cell_max_mv)


def _low(unit: "Unit") -> str:
    return _cell("lowest", unit.cell_min_at, unit.cell_min_mv)


def _hot(unit: "Unit") -> str:
    return f"hottest sensor at {_number(unit.temp_max_mc, '°C')}"


def _cold(unit: "Unit") -> str:
    return f"coldest sensor at {_number(unit.temp_min_mc, '°C')}"


def _told(unit: "Unit", field: str) -> int | None:
    """What it told last; None also for one that never told anything."""
    return getattr(unit.snapshot, field, None)


def _voltage(unit: "Unit") -> str:
    return _number(_told(unit, "voltage_mv"), "V")


def _current(unit: "Unit") -> str:
    return _number(_told(unit, "current_ma"), "A")


def _mosfet(unit: "Unit") -> str:
    return f"MOSFETs at {_number(_told(unit, 'mosfet_mc'), '°C')}"


def _soc(unit: "Unit") -> str:
    return f"state of charge {_percent(_told(unit, 'soc_permille'))}"


def _weak(unit: "Unit") -> str:
    health = _percent(_told(unit, "soh_permille"))
    return f"{_low(unit)}, pack at {_voltage(unit)}, health {health}"


# What a unit's own alarm, or a limit of its profile, is about.
_READINGS: "dict[int, Callable[[Unit], str]]" = {
    alarms.CELL_OVERVOLTAGE: _high,
    alarms.CELL_UNDERVOLTAGE: _low,
    alarms.PACK_OVERVOLTAGE: _voltage,
    alarms.PACK_UNDERVOLTAGE: _voltage,
    alarms.CHARGE_OVERCURRENT: _current,
    alarms.DISCHARGE_OVERCURRENT: _current,
    alarms.CHARGE_OVERTEMPERATURE: _hot,
    alarms.CHARGE_UNDERTEMPERATURE: _cold,
    alarms.DISCHARGE_OVERTEMPERATURE: _hot,
    alarms.DISCHARGE_UNDERTEMPERATURE: _cold,
    alarms.MOSFET_OVERTEMPERATURE: _mosfet,
    alarms.IMBALANCE: lambda unit: f"{_high(unit)}, {_low(unit)}",
    alarms.CAPACITY_LOW: _soc,
    alarms.WEAK_CELL: _weak,
}


def _silent(unit: "Unit", virtual: "VirtualBattery") -> str:
    if not unit.life.seen:
        return "never heard"
    return f"silent for {spoken(unit.age_ms // 1000)}"


def _retired(unit: "Unit", virtual: "VirtualBattery") -> str:
    back = "" if unit.state not in (FRESH, HOLD) else ", is back"
    return f"was silent for {spoken(unit.profile.retire_ms // 1000)}, not acknowledged{back}"


def _stranger(unit: "Unit", virtual: "VirtualBattery") -> str:
    if unit.doubted:
        return "two batteries at its address, or noise on the line"
    return f"another serial number answers than {unit.admission.serial}"


def _apart(unit: "Unit", virtual: "VirtualBattery") -> str:
    return f"its voltage is {_voltage(unit)}, the bank's {_number(virtual.voltage_mv, 'V')}"


def _miscounted(unit: "Unit", virtual: "VirtualBattery") -> str:
    return f"it tells another number of cells than {unit.cells}"


# The bank's own alarms about one unit.
_OF_UNIT: "dict[int, Callable[[Unit, VirtualBattery], str]]" = {
    alarms.UNIT_LOST: _silent,
    alarms.UNIT_RETIRED: _retired,
    alarms.UNIT_MISMATCH: _stranger,
    alarms.VOLTAGE_SPREAD: _apart,
    alarms.JOIN_REFUSED: _apart,
    alarms.CONFIG: _miscounted,
}


def _disobeyed(bank: "Bank", virtual: "VirtualBattery") -> str:
    current = virtual.current_ma or 0
    limit = virtual.charge_limit_ma if current > 0 else virtual.discharge_limit_ma
    return f"{_number(abs(current), 'A')} where {_number(limit, 'A')} is the limit"


def _spread(bank: "Bank", virtual: "VirtualBattery") -> str:
    rows = []
    for unit in bank.units.values():
        snap = unit.snapshot
        if unit.state in (FRESH, HOLD) and snap is not None and snap.soc_permille is not None:
            rows.append((snap.soc_permille, unit.key))
    rows.sort()
    return ", ".join(f"{key} at {_percent(soc)}" for soc, key in rows[:1] + rows[1:][-1:])


def _away(bank: "Bank", virtual: "VirtualBattery") -> str:
    gone = [
        unit.key
        for unit in bank.units.values()
        if unit.state not in (FRESH, DISABLED) and not unit.is_out()
    ]
    return "not heard: " + ", ".join(gone) if gone else ""


_OF_BANK: "dict[int, Callable[[Bank, VirtualBattery], str]]" = {
    alarms.CHARGE_OVERCURRENT: _disobeyed,
    alarms.DISCHARGE_OVERCURRENT: _disobeyed,
    alarms.COMMS: _away,
    alarms.STALE: _away,
    alarms.SOC_SPREAD: _spread,
    alarms.DISOBEY: _disobeyed,
    alarms.CONFIG: lambda bank, virtual: "the merge failed, the log says how",
}
