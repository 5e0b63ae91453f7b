"""Batteries to tell: one healthy one, and the one that a vector's `state` describes."""

from __future__ import annotations

from typing import Any

from vbms.aggregate import alarms
from vbms.aggregate.virtual import VirtualBattery

# The document's bits (4.4, 4.5, 4.6) and an alarm that means each.
WARNING_ALARMS = {
    0: alarms.CELL_OVERVOLTAGE,
    1: alarms.CELL_UNDERVOLTAGE,
    2: alarms.PACK_OVERVOLTAGE,
    3: alarms.PACK_UNDERVOLTAGE,
    4: alarms.CHARGE_OVERCURRENT,
    5: alarms.DISCHARGE_OVERCURRENT,
    6: alarms.DISCHARGE_OVERTEMPERATURE,
    7: alarms.DISCHARGE_UNDERTEMPERATURE,
    10: alarms.MOSFET_OVERTEMPERATURE,
    11: alarms.CAPACITY_LOW,
}
PROTECTION_ALARMS = {
    0: alarms.CELL_OVERVOLTAGE,
    1: alarms.CELL_UNDERVOLTAGE,
    2: alarms.PACK_OVERVOLTAGE,
    3: alarms.PACK_UNDERVOLTAGE,
    4: alarms.SHORT_CIRCUIT,
    5: alarms.CHARGE_OVERCURRENT,
    6: alarms.CHARGE_OVERTEMPERATURE,
    7: alarms.CHARGE_UNDERTEMPERATURE,
    8: alarms.DISCHARGE_OVERTEMPERATURE,
    9: alarms.DISCHARGE_UNDERTEMPERATURE,
}
FAULT_ALARMS = {0: alarms.INTERNAL, 1: alarms.TEMPERATURE_SENSOR}


def healthy(**values: Any) -> VirtualBattery:
    """Half full, 280 Ah, resting, allowed 100 A both ways."""
    base: dict[str, Any] = {
        "voltage_mv": 53120,
        "current_ma": 0,
        "soc_permille": 500,
        "soh_permille": 1000,
        "capacity_mah": 280000,
        "design_mah": 280000,
        "remaining_mah": 140000,
        "cell_max_mv": 3322,
        "cell_min_mv": 3318,
        "temp_max_mc": 25600,
        "temp_min_mc": 24400,
        "temp_mean_mc": 25000,
        "ambient_mc": 24000,
        "mosfet_max_mc": 27500,
        "cycles_count": 37,
        "charge_limit_ma": 100000,
        "discharge_limit_ma": 100000,
        "own_charge_ma": 100000,
        "cvl_mv": 55200,
        "dvl_mv": 46400,
        "state": "normal",
    }
    base |= values
    base.setdefault("charge_enabled", base["charge_limit_ma"] > 0)
    base.setdefault("discharge_enabled", base["discharge_limit_ma"] > 0)
    return VirtualBattery(**base)


def milli(value: float) -> int:
    return round(value * 1000)


def of_state(state: dict[str, Any]) -> VirtualBattery:
    """The battery behind a vector: alarms and limits chosen so that its bits follow from them."""
    if "voltage_v" not in state:
        return healthy(model=state["model"], serial=state["serial"])
    told = acted = 0
    for bit, alarm in WARNING_ALARMS.items():
        told |= alarm if state["warning_bits"] >> bit & 1 else 0
    for bit, alarm in PROTECTION_ALARMS.items():
        acted |= alarm if state["protection_bits"] >> bit & 1 else 0
    for bit, alarm in FAULT_ALARMS.items():
        acted |= alarm if state["status_bits"] >> bit & 1 else 0
    limit = milli(state["charge_limit_a"])
    return VirtualBattery(
        voltage_mv=milli(state["voltage_v"]),
        current_ma=milli(state["current_a"]),
        soc_permille=round(state["soc_pct"] * 10),
        soh_permille=round(state["soh_pct"] * 10),
        capacity_mah=milli(state["full_ah"]),
        design_mah=milli(state["design_ah"]),
        remaining_mah=milli(state["remaining_ah"]),
        cell_max_mv=milli(state["cell_max_v"]),
        cell_min_mv=milli(state["cell_min_v"]),
        temp_max_mc=milli(state["temp_max_c"]),
        temp_min_mc=milli(state["temp_min_c"]),
        temp_mean_mc=milli(state["temp_avg_c"]),
        ambient_mc=milli(state["temp_env_c"]),
        mosfet_max_mc=milli(state["temp_mos_c"]),
        cycles_count=state["cycles"],
        charge_limit_ma=limit,
        discharge_limit_ma=100000 if state["status_bits"] >> 11 & 1 else 0,
        own_charge_ma=limit + 1 if state["status_bits"] >> 12 & 1 else limit,
        cvl_mv=milli(state["charge_voltage_v"]),
        warnings=told,
        protections=acted,
    )
