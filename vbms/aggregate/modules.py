"""A bank with its batteries behind it, for protocols that show both.

A `Group` is the bank as it is told, with a `Module` for each battery that may be told. What the
modules allow adds up to no more than what the bank allows: an inverter may read either.
"""

from vbms.aggregate.virtual import VirtualBattery

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from vbms.aggregate.member import Member


class Module(VirtualBattery):
    """One battery in detail; what is unknown is None."""

    cells_mv: "Sequence[int] | None"
    temps_mc: "Sequence[int] | None"  # of the cells
    cell_max_at: int  # which cell that is, from 0
    cell_min_at: int
    pack_cells: int | None  # in series
    # Bounds of the profile: where derating ends at nothing.
    cell_high_mv: int
    cell_low_mv: int
    cell_under_mv: int
    charge_temps_mc: "tuple[int, int]"  # coldest, hottest
    discharge_temps_mc: "tuple[int, int]"


class Group(Module):
    """The bank: its `cells_mv` and `temps_mc` are its extremes, the higher one first."""

    modules: "dict[int, Module]"  # by number, from 0: a battery's slot
    places: "dict[str, int]"  # every battery's slot by its name


def module_of(told: VirtualBattery, unit: "Member") -> Module:
    """A battery alone as it is told, with what its last frame says of cells and sensors."""
    module = Module()
    _copy(told, module)
    snap = unit.snapshot
    cells = snap.cells_mv if snap is not None else None
    temps = snap.temps_mc if snap is not None else None
    module.cells_mv = cells if cells and None not in cells else None
    module.temps_mc = [temp for temp in temps or () if temp is not None] or None
    module.cell_max_at = unit.cell_max_at
    module.cell_min_at = unit.cell_min_at
    module.pack_cells = unit.cells
    profile = unit.profile
    module.cell_high_mv = profile.cell_cv_max_mv
    module.cell_low_mv = profile.cell_dvl_mv
    module.cell_under_mv = min(_ends(profile.discharge_cell)[0], profile.cell_dvl_mv)
    module.charge_temps_mc = _ends(profile.charge_temperature)
    module.discharge_temps_mc = _ends(profile.discharge_temperature)
    return module


def group_of(told: VirtualBattery, modules: "dict[int, Module]", places: "dict[str, int]") -> Group:
    """The bank as it is told, over its batteries by slot.

    All are on one bus bar: each asks for the bank's voltages and charges. Where the modules' limits
    add up to more than the bank's, all are scaled down alike.
    """
    group = Group()
    _copy(told, group)
    group.modules = modules
    group.places = places
    high, low = told.cell_max_mv, told.cell_min_mv
    group.cells_mv = None if high is None or low is None else (high, low)
    high, low = told.temp_max_mc, told.temp_min_mc
    group.temps_mc = None if high is None or low is None else (high, low)
    group.cell_max_at = 0
    group.cell_min_at = 1
    every = list(modules.values())
    lengths = {module.pack_cells for module in every}
    group.pack_cells = every[0].pack_cells if len(lengths) == 1 else None
    group.cell_high_mv = min([module.cell_high_mv for module in every] or [0])
    group.cell_low_mv = max([module.cell_low_mv for module in every] or [0])
    group.cell_under_mv = max([module.cell_under_mv for module in every] or [0])
    group.charge_temps_mc = _inner([module.charge_temps_mc for module in every])
    group.discharge_temps_mc = _inner([module.discharge_temps_mc for module in every])
    charge = sum([module.charge_limit_ma for module in every])
    discharge = sum([module.discharge_limit_ma for module in every])
    for module in every:
        module.cvl_mv = told.cvl_mv
        module.dvl_mv = told.dvl_mv
        module.force_charge = told.force_charge
        module.full_charge_request = told.full_charge_request
        if charge > told.charge_limit_ma:
            module.charge_limit_ma = module.charge_limit_ma * told.charge_limit_ma // charge
        if discharge > told.discharge_limit_ma:
            limit = module.discharge_limit_ma * told.discharge_limit_ma // discharge
            module.discharge_limit_ma = limit
    return group


def _copy(source: VirtualBattery, target: VirtualBattery) -> None:
    for name in VirtualBattery.__slots__:
        setattr(target, name, getattr(source, name))


def _ends(curve: "tuple[tuple[int, int], ...]") -> "tuple[int, int]":
    """The first and the last point of a curve."""
    return curve[0][0], curve[len(curve) - 1][0]


def _inner(ranges: "Iterable[tuple[int, int]]") -> "tuple[int, int]":
    """What all ranges have in common."""
    low = high = None
    for cold, hot in ranges:
        low = cold if low is None or cold > low else low
        high = hot if high is None or hot < high else high
    return (low or 0, high or 0)
