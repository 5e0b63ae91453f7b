"""Values to whole registers, rounded and clamped so that nobody is told of more than there is.

A limit is never told too high, the highest cell never too low. Where a field ends, the nearest
value it has is told and counted; where that would be a lie in the dangerous direction (a cell
higher than the field can say), no current is allowed with it: the caller tells limits of 0.
"""

from vbms.integers import ceil_div, half_up, toward_zero

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

MICRO = 1000000  # scales are in millionths of a human unit a bit


def floor(value: int, unit: int) -> int:
    return value // unit


# Which lie is dangerous: told less than it is, told more than it is, or neither.
LESS, NEITHER, MORE = -1, 0, 1

# What can be told: field of VirtualBattery, its units in a human unit, rounding, dangerous lie.
QUANTITIES: "dict[str, tuple[str, int, Callable[[int, int], int], int]]" = {
    "voltage_v": ("voltage_mv", 1000, half_up, NEITHER),
    "current_a": ("current_ma", 1000, toward_zero, NEITHER),
    "power_w": ("power_mw", 1000, toward_zero, NEITHER),
    "soc_percent": ("soc_permille", 10, floor, MORE),
    "soh_percent": ("soh_permille", 10, floor, MORE),
    "capacity_ah": ("capacity_mah", 1000, floor, MORE),
    "design_ah": ("design_mah", 1000, floor, MORE),
    "remaining_ah": ("remaining_mah", 1000, floor, MORE),
    "cell_max_v": ("cell_max_mv", 1000, ceil_div, LESS),
    "cell_min_v": ("cell_min_mv", 1000, floor, MORE),
    "temp_max_c": ("temp_max_mc", 1000, ceil_div, LESS),
    "temp_min_c": ("temp_min_mc", 1000, floor, MORE),
    "temp_mean_c": ("temp_mean_mc", 1000, toward_zero, NEITHER),
    "ambient_c": ("ambient_mc", 1000, toward_zero, NEITHER),
    "mosfet_max_c": ("mosfet_max_mc", 1000, ceil_div, LESS),
    "charge_limit_a": ("charge_limit_ma", 1000, floor, MORE),
    "discharge_limit_a": ("discharge_limit_ma", 1000, floor, MORE),
    "charge_voltage_v": ("cvl_mv", 1000, floor, MORE),
    "discharge_voltage_v": ("dvl_mv", 1000, ceil_div, LESS),
    "cycles": ("cycles_count", 1, floor, NEITHER),
    "units_total": ("n_total", 1, floor, NEITHER),
    "units_fresh": ("n_fresh", 1, floor, NEITHER),
    "units_hold": ("n_hold", 1, floor, NEITHER),
    "units_lost": ("n_lost", 1, floor, NEITHER),
}
LIMITS = ("charge_limit_a", "discharge_limit_a")

FITS, CLAMPED, DANGEROUS = 0, 1, 2


def to_raw(
    value: int, quantity: str, scale: int, offset_milli: int, low: int, high: int
) -> tuple[int, int]:
    """(the register's whole number, FITS, CLAMPED or DANGEROUS).

    value is in the data model's unit; told is raw x scale + offset, scale in millionths and not 0,
    negative where the device counts the other way.
    """
    _, per_human, rounded, danger = QUANTITIES[quantity]
    above = value * MICRO - offset_milli * per_human * 1000
    size = per_human * abs(scale)
    raw = rounded(above, size)
    if scale < 0:
        raw = -raw
    if low <= raw <= high:
        return raw, FITS
    told = low if raw < low else high
    more = (told > raw) == (scale > 0)
    return told, DANGEROUS if danger == (MORE if more else LESS) else CLAMPED
