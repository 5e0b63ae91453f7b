"""Integer arithmetic with the rounding in its name: Python floors, C truncates, a battery cares."""


def clamp(value: int, low: int, high: int) -> int:
    """The nearest value inside low..high: a board's struct.pack would wrap in silence."""
    return low if value < low else high if value > high else value


def half_up(value: int, unit: int) -> int:
    """value / unit, rounded half up (towards +infinity at the half)."""
    return (2 * value + unit) // (2 * unit)


def toward_zero(value: int, unit: int) -> int:
    """value / unit, the fraction cut off: -605 // 10 would be -61."""
    return value // unit if value >= 0 else -(-value // unit)


def ceil_div(value: int, unit: int) -> int:
    """value / unit, rounded up."""
    return -(-value // unit)
