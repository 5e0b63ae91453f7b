"""One module of Pylontech's unit commands: what is measured, which alarms stand, its bounds."""

from vbms.aggregate import alarms
from vbms.downstream import pylontech_frames as frames
from vbms.downstream.pylontech_frames import fitted

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from vbms.aggregate.modules import Module

_SMALL_MAH = 65000  # up to here two bytes hold a capacity
_FLOW_MA = 100  # below this a battery neither charges nor discharges


def measured(
    module: "Module", cells: "Sequence[int]", temps: "list[int]", saturated: "dict[str, int]"
) -> bytes | None:
    """0x42 without its head: cells, sensors, current, capacity; None where too little is known."""
    full = module.capacity_mah
    remaining = module.remaining_mah
    if full is None or full < 0:
        return None
    if remaining is None and module.soc_permille is not None:
        remaining = module.soc_permille * full // 1000
    if remaining is None:
        return None
    remaining = min(remaining, full)
    small = full <= _SMALL_MAH
    tail = frames.TAIL.pack(
        (
            module.current_ma,
            module.voltage_mv,
            remaining if small else frames.TOO_LARGE,
            2 if small else 4,
            full if small else frames.TOO_LARGE,
            module.cycles_count or 0,
        ),
        saturated,
    )
    if tail is None:
        return None
    out = bytes((len(cells),))
    for cell in cells:
        out += _word(fitted("cells_mv", cell, (-32768, 32767), saturated))
    hot = max(temps)
    board = hot if module.mosfet_max_mc is None else module.mosfet_max_mc
    if module.ambient_mc is not None:
        board = module.ambient_mc
    out += bytes((1 + len(temps),))
    for temp in [board] + temps:
        tenths = -(-temp // 100) if temp == hot else temp // 100
        out += _word(fitted("temps_mc", tenths + frames.KELVIN, (0, 65535), saturated))
    out += tail
    if not small:
        out += _three(remaining, saturated) + _three(full, saturated)
    return out


def parameters(module: "Module", allowed_ma: tuple[int, int]) -> "list[int | None]":
    """0x47: the profile's own bounds, and the limits of now."""
    cells = module.pack_cells
    if not cells:
        return [None]
    return [
        module.cell_high_mv,
        module.cell_low_mv,
        module.cell_under_mv,
        module.charge_temps_mc[1],
        module.charge_temps_mc[0],
        allowed_ma[0],
        cells * module.cell_high_mv,
        cells * module.cell_low_mv,
        cells * module.cell_under_mv,
        module.discharge_temps_mc[1],
        module.discharge_temps_mc[0],
        allowed_ma[1],
    ]


def states(module: "Module", cells: int, temps: "list[int]") -> bytes:
    """0x44: which cell, which sensor, and what the module's own protection did."""
    acted = module.protections | module.criticals
    told = module.warnings | acted
    cell_states = bytearray(cells)
    faulty = 0
    for bit, at, state in (
        (alarms.CELL_UNDERVOLTAGE, module.cell_min_at, frames.BELOW),
        (alarms.CELL_OVERVOLTAGE, module.cell_max_at, frames.ABOVE),
    ):
        if told & bit and at < cells:
            cell_states[at] = state
            if acted & bit and at < 16:
                faulty |= 1 << at
    temp_states = bytearray(1 + len(temps))
    if told & alarms.MOSFET_OVERTEMPERATURE:
        temp_states[0] = frames.ABOVE
    if told & (alarms.CHARGE_UNDERTEMPERATURE | alarms.DISCHARGE_UNDERTEMPERATURE):
        temp_states[1 + temps.index(min(temps))] = frames.BELOW
    if told & (alarms.CHARGE_OVERTEMPERATURE | alarms.DISCHARGE_OVERTEMPERATURE):
        temp_states[1 + temps.index(max(temps))] = frames.ABOVE
    voltage = frames.NORMAL
    if told & alarms.PACK_UNDERVOLTAGE:
        voltage = frames.BELOW
    if told & alarms.PACK_OVERVOLTAGE:
        voltage = frames.ABOVE
    current = module.current_ma or 0
    flow = 0x80 if current > _FLOW_MA else 0x40 if current < -_FLOW_MA else 0
    if module.soc_permille is not None and module.soc_permille >= 1000:
        flow |= 1 << 3
    switches = 1 << 3  # running on its own power
    if module.discharge_limit_ma >= 100:
        switches |= 1 << 2
    if module.charge_limit_ma >= 100:
        switches |= 1 << 1
    return (
        bytes((cells,))
        + bytes(cell_states)
        + bytes((len(temp_states),))
        + bytes(temp_states)
        + bytes(
            (
                frames.ABOVE if told & alarms.CHARGE_OVERCURRENT else frames.NORMAL,
                voltage,
                frames.ABOVE if told & alarms.DISCHARGE_OVERCURRENT else frames.NORMAL,
                frames.bits(frames.STATUS_1, acted),
                switches,
                flow,
                faulty & 0xFF,
                faulty >> 8,
            )
        )
    )


def _word(value: int) -> bytes:
    return bytes((value >> 8 & 0xFF, value & 0xFF))


def _three(mah: int, saturated: "dict[str, int]") -> bytes:
    kept = fitted("capacity_mah", mah, (0, 0xFFFFFF), saturated)
    return bytes((kept >> 16, kept >> 8 & 0xFF, kept & 0xFF))
