"""What /api/bank, /api/units, /healthz and VBMS.GetSummary say: shapes and words, no HTTP.

A document is a table of (key, attribute, writer), so its keys, their order and their units stand
in one place, and no key is ever left out: unknown is null. Numbers are written as decimal text
straight from the integers, so a PC and a board print the same digits.
"""

import json

from vbms.aggregate.virtual import VirtualBattery
from vbms.integers import half_up, toward_zero

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from typing import Any

    from vbms.aggregate.virtual import Reason
    from vbms.web.site import Site, UnitRow

    Writer = Callable[[Any], str]
    Rows = tuple[tuple[str, str, Writer], ...]

CHARGE = 0
DISCHARGE = 1


# Writers: one value each, as JSON.
def milli(value: int | None) -> str:
    """4567 is 4.567, 4500 is 4.5, 4000 is 4."""
    if value is None:
        return "null"
    size = abs(value)
    rest = size % 1000
    text = "%d" % (size // 1000)
    if rest:
        text += (".%03d" % rest).rstrip("0")
    return "-" + text if value < 0 else text


def tenth(value: int | None) -> str:
    """Permille as percent: 875 is 87.5."""
    return milli(None if value is None else value * 100)


def plain(value: object) -> str:
    """Text, whole numbers, yes and no."""
    if value is None:
        return "null"
    if value is True:
        return "true"
    if value is False:
        return "false"
    return json.dumps(value)


def _list(values: "Sequence[int | None] | None") -> str:
    if values is None:
        return "null"
    return "[" + ",".join([milli(value) for value in values]) + "]"


def _owner(owner: "tuple[str, int] | None") -> str:
    """The cell behind an extreme, counted from 1 as it is printed on a pack."""
    if owner is None:
        return "null"
    cell = plain(owner[1] + 1 if owner[1] >= 0 else None)  # a unit may tell its extremes alone
    return '{"unit":%s,"cell":%s}' % (plain(owner[0]), cell)


def _object(parts: "Sequence[tuple[str, str]]") -> str:
    return "{" + ",".join(['"%s":%s' % part for part in parts]) + "}"


def _written(rows: "Rows", source: object) -> "list[tuple[str, str]]":
    return [(key, write(getattr(source, name))) for key, name, write in rows]


# The battery, whole or one unit of it.
_BATTERY: "Rows" = (
    ("name", "name", plain),
    ("state", "state", plain),
    ("age_s", "age_ms", milli),
    ("voltage_v", "voltage_mv", milli),
    ("current_a", "current_ma", milli),
    ("power_w", "power_mw", milli),
    ("soc_percent", "soc_permille", tenth),
    ("soh_percent", "soh_permille", tenth),
    ("capacity_ah", "capacity_mah", milli),
    ("design_ah", "design_mah", milli),
    ("remaining_ah", "remaining_mah", milli),
    ("cell_max_v", "cell_max_mv", milli),
    ("cell_max_at", "cell_max_owner", _owner),
    ("cell_min_v", "cell_min_mv", milli),
    ("cell_min_at", "cell_min_owner", _owner),
    ("temp_max_c", "temp_max_mc", milli),
    ("temp_min_c", "temp_min_mc", milli),
    ("temp_mean_c", "temp_mean_mc", milli),
    ("ambient_c", "ambient_mc", milli),
    ("mosfet_max_c", "mosfet_max_mc", milli),
    ("cycles", "cycles_count", plain),
    ("charge_limit_a", "charge_limit_ma", milli),
    ("charge_reasons", "charge_reasons", lambda rows: _reasons(rows, CHARGE)),
    ("discharge_limit_a", "discharge_limit_ma", milli),
    ("discharge_reasons", "discharge_reasons", lambda rows: _reasons(rows, DISCHARGE)),
    ("charge_voltage_v", "cvl_mv", milli),
    ("discharge_voltage_v", "dvl_mv", milli),
)
# What only the bank has: its charge as it is steered.
_STEERED: "Rows" = (
    ("charge_phase", "phase", lambda phase: plain(phase or None)),
    ("full_charge_request", "full_charge_request", plain),
    ("force_charge", "force_charge", plain),
    ("silenced", "silenced", plain),
)
_COUNTS: "Rows" = (
    ("total", "n_total", plain),
    ("fresh", "n_fresh", plain),
    ("hold", "n_hold", plain),
    ("lost", "n_lost", plain),
)
_UNIT: "Rows" = (
    ("profile", "profile", plain),
    ("protocol", "protocol", plain),
    ("link", "link", plain),
    ("address", "address", plain),
    ("slot", "slot", plain),
    ("acknowledged", "acknowledged", plain),
)
_IDENTITY: "Rows" = (("serial", "serial", plain), ("model", "model", plain))
_SNAPSHOT: "Rows" = (
    ("cells_v", "cells_mv", _list),
    ("temps_c", "temps_mc", _list),
    ("charge_ok", "charge_ok", plain),
    ("discharge_ok", "discharge_ok", plain),
    ("charge_open", "charge_open", plain),
    ("discharge_open", "discharge_open", plain),
    ("balancing", "balancing", plain),
    ("note", "note", plain),
)
COUNTERS = ("polls", "timeouts", "bad_frames", "foreign", "refused", "implausible")


def bank_json(site: "Site") -> str:
    """/api/bank."""
    bank = site.bank()
    health = site.health()
    parts = _written(_BATTERY, bank)
    parts.append(("units", _object(_written(_COUNTS, bank))))
    parts += _written(_STEERED, bank)
    parts.append(("alarms", _alarms(site.alarm_rows(), None)))
    parts.append(("site", plain(site.name)))
    parts.append(("inverters", _inverters(health)))
    parts.append(("version", plain(site.version)))
    return _object(parts)


def units_json(site: "Site") -> str:
    """/api/units."""
    alarms = site.alarm_rows()
    return "[" + ",".join([_unit(row, alarms) for row in site.units()]) + "]"


def _unit(row: "UnitRow", alarms: "Sequence[tuple[str, int, str | None, str, str, str]]") -> str:
    battery = shown(row)
    parts = _written(_BATTERY, battery)
    parts.append(("units", _object(_written(_COUNTS, battery))))
    parts.append(("alarms", _alarms(alarms, row.name)))
    parts += _written(_UNIT, row)
    parts += _written(_IDENTITY, row.snapshot) if row.snapshot else _nothing(_IDENTITY)
    live = is_live(row)
    parts += _written(_SNAPSHOT, row.snapshot) if live else _nothing(_SNAPSHOT)
    counts = [(name, plain(row.counters.get(name, 0))) for name in COUNTERS]
    parts.append(("counters", _object(counts)))
    return _object(parts)


def _nothing(rows: "Rows") -> "list[tuple[str, str]]":
    return [(key, "null") for key, _, _ in rows]


def is_live(row: "UnitRow") -> bool:
    """Whether what it said last may be shown as what it is: not after a minute of silence."""
    return row.snapshot is not None and row.state in ("joining", "fresh", "hold")


def shown(row: "UnitRow") -> VirtualBattery:
    """A unit with the names of a bank. Of one that is lost only the charge it held is kept."""
    out = VirtualBattery(name=row.name, state=row.state)
    out.charge_reasons = tuple(row.charge_reasons)
    out.discharge_reasons = tuple(row.discharge_reasons)
    out.charge_limit_ma = row.charge_limit_ma or 0
    out.discharge_limit_ma = row.discharge_limit_ma or 0
    out.design_mah = row.design_mah
    out.n_total = 0 if row.state == "disabled" else 1
    out.n_fresh = 1 if row.state == "fresh" else 0
    out.n_hold = 1 if row.state == "hold" else 0
    out.n_lost = 1 if row.state == "lost" else 0
    snap = row.snapshot
    if snap is None:
        return out
    out.age_ms = row.age_ms
    if is_live(row) or row.state == "lost":
        out.soc_permille = snap.soc_permille
        out.capacity_mah = row.capacity_mah
        out.remaining_mah = row.remaining_mah
    if not is_live(row):
        return out
    out.cvl_mv = row.charge_voltage_mv
    out.dvl_mv = row.discharge_voltage_mv
    out.voltage_mv = snap.voltage_mv
    out.current_ma = snap.current_ma
    if snap.voltage_mv is not None and snap.current_ma is not None:
        out.power_mw = toward_zero(snap.voltage_mv * snap.current_ma, 1000)
    out.soh_permille = snap.soh_permille
    out.cycles_count = snap.cycles_count
    out.ambient_mc = snap.ambient_mc
    out.mosfet_max_mc = snap.mosfet_mc
    for at, cell in enumerate(snap.cells_mv or ()):
        if cell is None:
            continue
        if out.cell_max_mv is None or cell > out.cell_max_mv:
            out.cell_max_mv = cell
            out.cell_max_owner = (row.name, at)
        if out.cell_min_mv is None or cell < out.cell_min_mv:
            out.cell_min_mv = cell
            out.cell_min_owner = (row.name, at)
    if snap.cell_high_mv is not None and snap.cell_low_mv is not None:
        out.cell_max_mv = snap.cell_high_mv
        out.cell_min_mv = snap.cell_low_mv
        if not snap.cells_mv:
            out.cell_max_owner = out.cell_min_owner = (row.name, -1)
    temps = [value for value in snap.temps_mc or () if value is not None]
    if temps:
        out.temp_max_mc = max(temps)
        out.temp_min_mc = min(temps)
        out.temp_mean_mc = toward_zero(sum(temps), len(temps))
    return out


def _alarms(rows: "Sequence[tuple[str, int, str | None, str, str, str]]", unit: str | None) -> str:
    """All alarms, or one unit's."""
    found = []
    keys = ("alarm", "level", "unit", "first", "last", "reason")
    for row in rows:
        if unit is None or row[2] == unit:
            found.append(_object([(key, plain(value)) for key, value in zip(keys, row)]))
    return "[" + ",".join(found) + "]"


# Why a limit is what it is: rule -> (how its value is written, what it says of charging, and of
# discharging where that reads otherwise).
_LIMITED: "dict[str, tuple[Writer, str, str]]" = {
    "no_limit_known": (plain, "neither its BMS nor its profile states a current limit", ""),
    "bms_limit": (milli, "its BMS is set to %s A", ""),
    "unit_cap": (milli, "its profile allows %s A", ""),
    "c_rate": (milli, "its profile allows %s C", ""),
    "cell": (milli, "highest cell at %s V", "lowest cell at %s V"),
    "cell_latch": (
        milli,
        "stopped by a full cell, now %s V, until it has rested",
        "stopped by an empty cell, now %s V, until it has rested",
    ),
    "temp_latch": (milli, "stopped by temperature, now %s °C", ""),
    "zero_hold": (milli, "stopped a moment ago, begins again in %s s at the earliest", ""),
    "ramp": (milli, "rising slowly, to %s A", ""),
    "overrun": (milli, "takes more than its own limit, the bank slows down (of %s A)", ""),
    "charge_done": (milli, "charged; nothing is wanted (of %s A)", ""),
    "temp": (milli, "a cell at %s °C", ""),
    "mosfet": (milli, "MOSFETs at %s °C", ""),
    "soc": (tenth, "state of charge %s %%", ""),
    "join": (milli, "just joining, counted on for %s A", ""),
    "missing_input": (plain, "a reading that matters is missing", ""),
    "not_permitted": (plain, "its BMS forbids charging", "its BMS forbids discharging"),
    "path_open": (plain, "its charge path is open", "its discharge path is open"),
    "share": (tenth, "it carries %s %% of the current and is at its own limit", ""),
    "blind": (milli, "silent, and may still carry current: counted on for %s A", ""),
    "system_cap": (milli, "the bank's own cap of %s A", ""),
    "none_fresh": (plain, "no battery answers", ""),
}

RULES = tuple(sorted(_LIMITED))


def reason_text(reason: "Reason", direction: int) -> str:
    """One sentence for a person; the unit's name first."""
    write, charge, discharge = _LIMITED.get(reason.rule, (milli, reason.rule.replace("_", " "), ""))
    text = discharge if direction == DISCHARGE and discharge else charge
    if reason.rule == "bms_limit" and not reason.limit_ma:
        text = "its BMS asks for none"
    elif "%" in text:
        if reason.cell is not None:
            text = text.replace("highest cell", "cell %d" % (reason.cell + 1))
            text = text.replace("lowest cell", "cell %d" % (reason.cell + 1))
        value = reason.value
        if value is not None and "%s A" in text:
            value = value // 100 * 100  # tenths, never more than it is
        text = text % ("?" if value is None else write(value))
    return "%s: %s" % (reason.unit, text) if reason.unit else text


def _reasons(reasons: "Sequence[Reason]", direction: int) -> str:
    found = []
    for reason in reasons:
        write = _LIMITED[reason.rule][0] if reason.rule in _LIMITED else milli
        found.append(
            '{"unit":%s,"rule":%s,"value":%s,"limit_a":%s,"text":%s}'
            % (
                plain(reason.unit),
                plain(reason.rule),
                write(reason.value),
                milli(reason.limit_ma),
                plain(reason_text(reason, direction)),
            )
        )
    return "[" + ",".join(found) + "]"


# /healthz
def health_json(health: "Mapping[str, Any]") -> str:
    parts = [(key, plain(health.get(key))) for key in ("ok", "state", "reason", "age_s")]
    parts.append(("inverters", _inverters(health)))
    parts.append(("version", plain(health.get("version"))))
    return _object(parts)


def _inverters(health: "Mapping[str, Any]") -> str:
    rows = health.get("inverters") or {}
    found = []
    for name in sorted(rows):
        keys = ("open", "asked_s_ago")
        values = _object([(key, plain(rows[name].get(key))) for key in keys])
        found.append("%s:%s" % (plain(name), values))
    return "{" + ",".join(found) + "}"


# VBMS.GetSummary: the registers a DEYE would read, with the names of the seed's RPC.
def summary_json(site: "Site") -> str:
    now = site.wall_ms()
    rows = []
    for row in site.units():
        if row.state in ("fresh", "hold") and row.snapshot is not None:
            battery = shown(row)
            words = site.words(site.alone(row.name))
            identity = (row.snapshot.serial, row.snapshot.model)
            rows.append(_registers(row.slot, identity, battery, words, now))
    bank = site.bank()
    whole = _registers(0, (bank.serial or None, bank.model), bank, site.words(bank), now)
    return '{"timestamp":%d,"bms":[%s],"bank":%s}' % (now // 1000, ",".join(rows), whole)


def _registers(
    addr: int,
    identity: "tuple[str | None, str | None]",
    battery: VirtualBattery,
    words: "tuple[int, int, int]",
    now: int,
) -> str:
    """Integers in register units: 10 mV, 10 mA, 10 mAh, 0.1 °C, permille; rounded as there."""
    heard = None if battery.age_ms is None else (now - battery.age_ms) // 1000
    volt = None if battery.voltage_mv is None else half_up(battery.voltage_mv, 10)
    rows: tuple[tuple[str, object], ...] = (
        ("addr", addr),
        ("serial_no", identity[0]),
        ("model", identity[1]),
        ("last_update", heard),
        ("pack_voltage", volt),
        ("pack_current", _cut(battery.current_ma, 10)),
        ("remain_capacity", _cut(battery.remaining_mah, 10)),
        ("cell_temp_avg", _cut(battery.temp_mean_mc, 100)),
        ("env_temp", _cut(battery.ambient_mc, 100)),
        ("warning", words[0]),
        ("protection", words[1]),
        ("fault_status", words[2]),
        ("SOC", battery.soc_permille),
        ("SOH", battery.soh_permille),
        ("full_charge_capacity", _cut(battery.capacity_mah, 10)),
        ("cycle_count", battery.cycles_count),
        ("max_charge_current", _cut(battery.charge_limit_ma, 10)),
        ("nominal_float_voltage", _cut(battery.cvl_mv, 10)),
        ("design_capacity", _cut(battery.design_mah, 10)),
    )
    return _object([(key, plain(value)) for key, value in rows])


def _cut(value: int | None, unit: int) -> int | None:
    return None if value is None else toward_zero(value, unit)
