"""What Pylontech's RS485 answers hold, as tables.

A row is a name, a struct letter, milli-units a bit, an offset, the safe side, the range kept.
Temperatures are 0.1 K: 25.5 degC is 2731 + 255. Everything is high byte first.

Sources: RS485-protocol-pylon-low-voltage-V3.3-20180821 (unit commands); the same, V3.5 of
2019-08-07 (system commands); answers recorded from real US2000, US3000 and US3000C modules.
"""

import struct

from vbms.aggregate import alarms
from vbms.integers import ceil_div, clamp, half_up, toward_zero

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    Row = tuple[str, str, int, int, Callable[[int, int], int], tuple[int, int]]
    Values = dict[str, object]

KELVIN = 2731

BASIC, ANALOG, ALARMS, LIMITS, SHUTDOWN = 0x60, 0x61, 0x62, 0x63, 0x64
UNIT_ANALOG, UNIT_ALARMS, PARAMETERS, VERSION, MAKER = 0x42, 0x44, 0x47, 0x4F, 0x51
UNIT_LIMITS, SERIAL, SET_LIMITS, TURN_OFF, FIRMWARE = 0x92, 0x93, 0x94, 0x95, 0x96
SYSTEM = (BASIC, ANALOG, ALARMS, LIMITS)
ALL = 0xFF  # instead of a module's number

RETURNS = {
    0x01: "version",
    0x02: "checksum",
    0x03: "checksum of the length",
    0x04: "unknown command",
    0x05: "command format",
    0x06: "invalid data",
    0x90: "address",
    0x91: "internal communication",
}

CHARGE_ENABLED, DISCHARGE_ENABLED, CHARGE_NOW = 1 << 7, 1 << 6, 1 << 5
CHARGE_SOON = 1 << 4  # of 0x92
FULL_CHARGE = {LIMITS: 1 << 4, UNIT_LIMITS: 1 << 3}


def floor(value: int, unit: int) -> int:
    return value // unit


_U8 = (0, 255)
_U16 = (0, 65535)
_S16 = (-32768, 32767)
_PERCENT = (0, 100)
HOTTEST_MC = (65535 - KELVIN) * 100
COLDEST_MC = -KELVIN * 100


class Layout:
    """One answer's INFO, or a part of it, with a fixed length."""

    def __init__(self, rows: "Sequence[Row]"):
        self.rows = rows
        self.format = ">" + "".join([row[1] for row in rows])
        self.size = struct.calcsize(self.format)

    def pack(self, values: "Sequence[int | None]", saturated: "dict[str, int]") -> bytes | None:
        """Milli-units to bytes, saturating; None where one is unknown."""
        words = []
        for row, value in zip(self.rows, values):
            if value is None:
                return None
            words.append(fitted(row[0], row[4](value, row[2]) + row[3], row[5], saturated))
        return struct.pack(self.format, *words)

    def read(self, info: bytes, at: int = 0) -> "Values":
        found: Values = {}
        for row, word in zip(self.rows, struct.unpack_from(self.format, info, at)):
            found[row[0]] = (word - row[3]) * row[2]
        return found


def fitted(name: str, word: int, bounds: tuple[int, int], saturated: "dict[str, int]") -> int:
    """The nearest word that the field holds; counted where that is another."""
    kept = clamp(word, bounds[0], bounds[1])
    if kept != word:
        saturated[name] = saturated.get(name, 0) + 1
    return kept


def _temperature(name: str, side: "Callable[[int, int], int]") -> "Row":
    return (name, "H", 100, KELVIN, side, _U16)


def _place(name: str) -> "Row":
    return (name, "H", 1, 0, floor, _U16)


def _temperatures(kind: str) -> "tuple[Row, ...]":
    """Mean, highest and where, lowest and where."""
    return (
        _temperature(kind + "_mean_mc", toward_zero),
        _temperature(kind + "_max_mc", ceil_div),
        _place(kind + "_max_at"),
        _temperature(kind + "_min_mc", floor),
        _place(kind + "_min_at"),
    )


def analog(current_unit: int) -> Layout:
    """0x61. The document's table has 0.01 A, its example 0.1 A."""
    rows: tuple[Row, ...] = (
        ("voltage_mv", "H", 1, 0, floor, _U16),
        ("current_ma", "h", current_unit, 0, toward_zero, _S16),  # charging > 0
        ("soc_permille", "B", 10, 0, floor, _PERCENT),
        ("cycles_count", "H", 1, 0, floor, _U16),
        ("cycles_max_count", "H", 1, 0, floor, _U16),
        ("soh_permille", "B", 10, 0, floor, _PERCENT),
        ("soh_min_permille", "B", 10, 0, floor, _PERCENT),
        ("cell_max_mv", "H", 1, 0, floor, _U16),
        _place("cell_max_at"),
        ("cell_min_mv", "H", 1, 0, floor, _U16),
        _place("cell_min_at"),
    )
    rows += _temperatures("temp") + _temperatures("mosfet") + _temperatures("bms")
    return Layout(rows)


def limits(current_unit: int) -> Layout:
    """0x63: 0.1 A from batteries, 0.01 A in a dialect. Both currents positive."""
    return Layout(
        (
            ("cvl_mv", "H", 1, 0, floor, _U16),
            ("dvl_mv", "H", 1, 0, floor, _U16),
            ("charge_limit_ma", "H", current_unit, 0, floor, _U16),
            ("discharge_limit_ma", "H", current_unit, 0, floor, _U16),
            ("status_bits", "B", 1, 0, floor, _U8),
        )
    )


# 0x92, behind the module's number; its discharge current is negative.
UNIT_LIMIT = Layout(
    (
        ("cvl_mv", "H", 1, 0, floor, _U16),
        ("dvl_mv", "H", 1, 0, floor, _U16),
        ("charge_limit_ma", "h", 100, 0, floor, (0, 32767)),
        ("discharge_limit_ma", "h", -100, 0, ceil_div, (-32768, 0)),
        ("status_bits", "B", 1, 0, floor, _U8),
    )
)

# 0x47, behind a flag.
PARAMETER = Layout(
    (
        ("cell_high_mv", "H", 1, 0, floor, _U16),
        ("cell_low_mv", "H", 1, 0, floor, _U16),
        ("cell_under_mv", "H", 1, 0, floor, _U16),
        ("charge_temp_high_mc", "H", 100, KELVIN, floor, _U16),
        ("charge_temp_low_mc", "H", 100, KELVIN, ceil_div, _U16),
        ("charge_limit_ma", "h", 100, 0, floor, (0, 32767)),
        ("voltage_high_mv", "H", 1, 0, floor, _U16),
        ("voltage_low_mv", "H", 1, 0, floor, _U16),
        ("voltage_under_mv", "H", 1, 0, floor, _U16),
        ("discharge_temp_high_mc", "H", 100, KELVIN, floor, _U16),
        ("discharge_temp_low_mc", "H", 100, KELVIN, ceil_div, _U16),
        ("discharge_limit_ma", "h", -100, 0, ceil_div, (-32768, 0)),
    )
)

# 0x42: what stands behind a module's cells and sensors.
TAIL = Layout(
    (
        ("current_ma", "h", 100, 0, toward_zero, _S16),
        ("voltage_mv", "H", 1, 0, half_up, _U16),
        ("remaining_mah", "H", 1, 0, floor, _U16),
        ("items", "B", 1, 0, floor, _U8),
        ("capacity_mah", "H", 1, 0, floor, _U16),
        ("cycles_count", "H", 1, 0, floor, _U16),
    )
)
TOO_LARGE = 65535  # mAh: the three-byte fields behind hold it

# 0x62: two bytes of alarms (any level), two of protections (those that acted).
ALARM = (
    (15, alarms.PACK_OVERVOLTAGE),
    (14, alarms.PACK_UNDERVOLTAGE),
    (13, alarms.CELL_OVERVOLTAGE),
    (12, alarms.CELL_UNDERVOLTAGE),
    (11, alarms.CHARGE_OVERTEMPERATURE | alarms.DISCHARGE_OVERTEMPERATURE),
    (10, alarms.CHARGE_UNDERTEMPERATURE | alarms.DISCHARGE_UNDERTEMPERATURE),
    (9, alarms.MOSFET_OVERTEMPERATURE),
    (8, alarms.IMBALANCE),
    (6, alarms.CHARGE_OVERCURRENT),
    (5, alarms.DISCHARGE_OVERCURRENT),
    (4, alarms.COMMS),
)
PROTECTION = (
    (15, alarms.PACK_OVERVOLTAGE),
    (14, alarms.PACK_UNDERVOLTAGE),
    (13, alarms.CELL_OVERVOLTAGE),
    (12, alarms.CELL_UNDERVOLTAGE),
    (11, alarms.CHARGE_OVERTEMPERATURE | alarms.DISCHARGE_OVERTEMPERATURE),
    (10, alarms.CHARGE_UNDERTEMPERATURE | alarms.DISCHARGE_UNDERTEMPERATURE),
    (9, alarms.MOSFET_OVERTEMPERATURE),
    (6, alarms.CHARGE_OVERCURRENT),
    (5, alarms.DISCHARGE_OVERCURRENT),
    (
        3,  # system fault
        alarms.INTERNAL | alarms.TEMPERATURE_SENSOR | alarms.SHORT_CIRCUIT | alarms.CONFIG,
    ),
)
# 0x44, its first status byte: what a module's own protection stopped.
STATUS_1 = (
    (7, alarms.PACK_UNDERVOLTAGE),
    (6, alarms.CHARGE_OVERTEMPERATURE),
    (5, alarms.DISCHARGE_OVERTEMPERATURE),
    (4, alarms.DISCHARGE_OVERCURRENT | alarms.SHORT_CIRCUIT),
    (2, alarms.CHARGE_OVERCURRENT),
    (1, alarms.CELL_UNDERVOLTAGE),
    (0, alarms.PACK_OVERVOLTAGE),
)
NORMAL, BELOW, ABOVE, OTHER = 0x00, 0x01, 0x02, 0xF0


def bits(rows: "Sequence[tuple[int, int]]", told: int) -> int:
    word = 0
    for bit, mask in rows:
        if told & mask:
            word |= 1 << bit
    return word
