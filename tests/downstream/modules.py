"""Batteries with cells and sensors to tell, as Pylontech's unit commands show them."""

from __future__ import annotations

from typing import Any

from tests.downstream.batteries import healthy, milli
from vbms.aggregate import alarms
from vbms.aggregate.member import Member
from vbms.aggregate.modules import Group, Module, group_of, module_of
from vbms.aggregate.profile import UnitProfile
from vbms.aggregate.snapshot import Snapshot

CELLS = (3320, 3320, 3320, 3322) + (3320,) * 5 + (3318,) + (3320,) * 6
TEMPS = (25000, 25600, 24400, 25000)

# The page's bits of 0x62 and an alarm that means each.
ALARM_1 = {
    7: alarms.PACK_OVERVOLTAGE,
    6: alarms.PACK_UNDERVOLTAGE,
    5: alarms.CELL_OVERVOLTAGE,
    4: alarms.CELL_UNDERVOLTAGE,
    3: alarms.DISCHARGE_OVERTEMPERATURE,
    2: alarms.CHARGE_UNDERTEMPERATURE,
    1: alarms.MOSFET_OVERTEMPERATURE,
    0: alarms.IMBALANCE,
}
ALARM_2 = {6: alarms.CHARGE_OVERCURRENT, 5: alarms.DISCHARGE_OVERCURRENT, 4: alarms.COMMS}
PROTECTION_1 = {bit: alarm for bit, alarm in ALARM_1.items() if bit}
PROTECTION_2 = {6: alarms.CHARGE_OVERCURRENT, 5: alarms.DISCHARGE_OVERCURRENT, 3: alarms.INTERNAL}


def module(
    cells: Any = CELLS, temps: Any = TEMPS, profile: UnitProfile | None = None, **values: Any
) -> Module:
    """One healthy battery."""
    unit = Member(profile or UnitProfile("unit", cells=len(cells) if cells else 16))
    unit.take(Snapshot(cells_mv=cells, temps_mc=temps))
    base = {"dvl_mv": 46000, "discharge_limit_ma": 150000, "ambient_mc": 27500}
    base |= {"temp_max_mc": max(temps), "temp_min_mc": min(temps)} if temps else {}
    base |= {"cell_max_mv": max(cells), "cell_min_mv": min(cells)} if cells else {}
    return module_of(healthy(**(base | values)), unit)


def group(*modules: Module, **values: Any) -> Group:
    """A bank over these, in slots from 0."""
    base = {"dvl_mv": 46000, "discharge_limit_ma": 150000, "ambient_mc": 27500}
    places = {"unit-%d" % slot: slot for slot in range(len(modules))}
    return group_of(healthy(**(base | values)), dict(enumerate(modules)), places)


def of_bits(table: dict[int, int], word: int) -> int:
    told = 0
    for bit, alarm in table.items():
        told |= alarm if word >> bit & 1 else 0
    return told


def module_of_state(state: dict[str, Any] | None, slot: int) -> Module:
    """What a codec is given so that a vector's answer follows; the master gets a whole bank."""
    state = state or {}
    values: dict[str, Any] = {}
    for key, name, scale in (
        ("voltage_v", "voltage_mv", 1000),
        ("current_a", "current_ma", 1000),
        ("soc_pct", "soc_permille", 10),
        ("soh_pct", "soh_permille", 10),
        ("full_ah", "capacity_mah", 1000),
        ("remaining_ah", "remaining_mah", 1000),
        ("cycles", "cycles_count", 1),
        ("cell_max_v", "cell_max_mv", 1000),
        ("cell_min_v", "cell_min_mv", 1000),
        ("temp_avg_c", "temp_mean_mc", 1000),
        ("temp_max_c", "temp_max_mc", 1000),
        ("temp_min_c", "temp_min_mc", 1000),
        ("temp_mos_c", "mosfet_max_mc", 1000),
        ("temp_bms_c", "ambient_mc", 1000),
        ("charge_voltage_v", "cvl_mv", 1000),
        ("discharge_voltage_v", "dvl_mv", 1000),
        ("charge_limit_a", "charge_limit_ma", 1000),
        ("discharge_limit_a", "discharge_limit_ma", 1000),
    ):
        if isinstance(state.get(key), int | float):
            values[name] = round(state[key] * scale)
    status = state.get("status")
    cells, temps = CELLS, TEMPS
    if isinstance(status, int):
        values["force_charge"] = bool(status & 0x20)
        values["full_charge_request"] = bool(status & 0x10)
    if "alarm1" in state:
        told = of_bits(ALARM_1, state["alarm1"]) | of_bits(ALARM_2, state["alarm2"])
        acted = of_bits(PROTECTION_1, state["prot1"]) | of_bits(PROTECTION_2, state["prot2"])
        values |= {"warnings": told, "protections": acted}
    if isinstance(state.get("cells_v"), list):
        cells = tuple(milli(cell) for cell in state["cells_v"])
        temps = tuple(milli(temp) for temp in state["temps_c"][1:])
        values["ambient_mc"] = milli(state["temps_c"][0])
    extra = {name: values.pop(name, False) for name in ("force_charge", "full_charge_request")}
    flags = state.get("cell_flags")
    if flags is not None:
        acted = alarms.PACK_OVERVOLTAGE if state["status"][0] & 1 else 0
        if any(flags):
            acted |= alarms.CELL_OVERVOLTAGE
        values |= {
            "warnings": acted,
            "protections": acted,
            "current_ma": 5000 if state["status"][2] & 0x80 else -5000,
            "charge_limit_ma": 100000 if state["status"][1] & 2 else 0,
        }
    serial = state.get("serial") or (state.get("serials") or [""])[0]
    alone = module(cells, temps, serial=serial, **values)
    told: Module = alone
    if slot == 0:
        told = group(alone, **values)
    for name, value in extra.items():
        for battery in (alone, told):
            setattr(battery, name, value)
    return told
