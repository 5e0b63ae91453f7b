"""Alarms: one bit each, three levels, and which direction of current each one concerns.

A unit's snapshot carries three words of these bits, one a level: warnings (told), protections (the
BMS acted), criticals (hardware at fault). The bank's own alarms use the upper bits.
"""

WARNING = 1
PROTECTION = 2
CRITICAL = 3

CELL_OVERVOLTAGE = 1 << 0
CELL_UNDERVOLTAGE = 1 << 1
PACK_OVERVOLTAGE = 1 << 2
PACK_UNDERVOLTAGE = 1 << 3
CHARGE_OVERCURRENT = 1 << 4
DISCHARGE_OVERCURRENT = 1 << 5
CHARGE_OVERTEMPERATURE = 1 << 6
CHARGE_UNDERTEMPERATURE = 1 << 7
DISCHARGE_OVERTEMPERATURE = 1 << 8
DISCHARGE_UNDERTEMPERATURE = 1 << 9
MOSFET_OVERTEMPERATURE = 1 << 10
SHORT_CIRCUIT = 1 << 11
INTERNAL = 1 << 12
TEMPERATURE_SENSOR = 1 << 13
IMBALANCE = 1 << 14
COMMS = 1 << 15
CAPACITY_LOW = 1 << 16
UNIT_LOST = 1 << 17
UNIT_RETIRED = 1 << 18
UNIT_MISMATCH = 1 << 19
VOLTAGE_SPREAD = 1 << 20
SOC_SPREAD = 1 << 21
STALE = 1 << 22
DISOBEY = 1 << 23
JOIN_REFUSED = 1 << 24
CONFIG = 1 << 25
WEAK_CELL = 1 << 26
OVERCURRENT = (CHARGE_OVERCURRENT, DISCHARGE_OVERCURRENT)  # by direction, as in limits.py

# In bit order: NAMES[n] is the word for 1 << n in JSON, metrics and logs.
NAMES = (
    "cell_overvoltage",
    "cell_undervoltage",
    "pack_overvoltage",
    "pack_undervoltage",
    "charge_overcurrent",
    "discharge_overcurrent",
    "charge_overtemperature",
    "charge_undertemperature",
    "discharge_overtemperature",
    "discharge_undertemperature",
    "mosfet_overtemperature",
    "short_circuit",
    "internal",
    "temperature_sensor",
    "imbalance",
    "comms",
    "capacity_low",
    "unit_lost",
    "unit_retired",
    "unit_mismatch",
    "voltage_spread",
    "soc_spread",
    "stale",
    "disobey",
    "join_refused",
    "config",
    "weak_cell",
)

# Bits that speak of one direction only; every other bit speaks of both.
CHARGE_ONLY = (
    CELL_OVERVOLTAGE
    | PACK_OVERVOLTAGE
    | CHARGE_OVERCURRENT
    | CHARGE_OVERTEMPERATURE
    | CHARGE_UNDERTEMPERATURE
)
DISCHARGE_ONLY = (
    CELL_UNDERVOLTAGE
    | PACK_UNDERVOLTAGE
    | DISCHARGE_OVERCURRENT
    | DISCHARGE_OVERTEMPERATURE
    | DISCHARGE_UNDERTEMPERATURE
    | CAPACITY_LOW
)


def named(bits: int) -> "list[str]":
    """The words for the bits that are set, lowest bit first."""
    return [name for index, name in enumerate(NAMES) if bits >> index & 1]


def level_of(bit: int, warnings: int, protections: int, criticals: int) -> int:
    """0 where the bit is clear everywhere, else the highest level that has it."""
    if criticals & bit:
        return CRITICAL
    if protections & bit:
        return PROTECTION
    return WARNING if warnings & bit else 0
