"""One battery at one moment, as a codec reads it off the wire.

Every quantity is an int in milli-units and says so in its name; `None` is "unknown", never 0.
`current_ma` > 0 charges the battery, everywhere. `cells_mv` holds the cells that exist, in their
order, string after string where a unit has several in parallel; `temps_mc` the cell sensors that
exist. Lists are tuples or lists of ints, `None` if unknown.
"""

# Every field, in the order in which they are shown.
FIELDS = (
    "taken_ms",  # arrival of the live frame, on the caller's own millisecond clock
    "voltage_mv",
    "current_ma",
    "soc_permille",
    "soh_permille",
    "capacity_mah",  # what a full charge holds today
    "design_mah",
    "remaining_mah",
    "cells_mv",
    "cell_high_mv",  # of a unit that tells its extremes apart: now, when the list may be older
    "cell_low_mv",
    "cell_count",  # in series, what the unit's own settings say
    "strings",  # so many of these in parallel; None: one
    "temps_mc",
    "mosfet_mc",
    "ambient_mc",
    "cycles_count",
    "balancing",
    "ccl_ma",
    "ccl_is_trip",  # an over-current threshold, not a request: it gets a margin
    "dcl_ma",
    "dcl_is_trip",
    "cvl_mv",
    "ovp_mv",  # per cell
    "uvp_mv",
    "charge_ok",  # permission
    "discharge_ok",
    "charge_open",  # True: the path is proven open. None: the wire cannot tell
    "discharge_open",
    "warnings",  # three words of alarm bits, see alarms.py
    "protections",
    "criticals",
    "note",  # one sentence for a person, such as why a permission is missing
    "serial",
    "model",
)


class Snapshot:
    """What one unit said; unknown fields are None, alarm words 0."""

    __slots__ = FIELDS + ("only_shown",)

    taken_ms: int | None
    voltage_mv: int | None
    current_ma: int | None
    soc_permille: int | None
    soh_permille: int | None
    capacity_mah: int | None
    design_mah: int | None
    remaining_mah: int | None
    cells_mv: "tuple[int, ...] | list[int] | None"
    cell_high_mv: int | None
    cell_low_mv: int | None
    cell_count: int | None
    strings: int | None
    temps_mc: "tuple[int, ...] | list[int] | None"
    mosfet_mc: int | None
    ambient_mc: int | None
    cycles_count: int | None
    balancing: bool | None
    ccl_ma: int | None
    ccl_is_trip: bool | None
    dcl_ma: int | None
    dcl_is_trip: bool | None
    cvl_mv: int | None
    ovp_mv: int | None
    uvp_mv: int | None
    charge_ok: bool | None
    discharge_ok: bool | None
    charge_open: bool | None
    discharge_open: bool | None
    warnings: int
    protections: int
    criticals: int
    note: str | None
    only_shown: bool
    serial: str | None
    model: str | None

    def __init__(self, **values: object):
        self.taken_ms = self.voltage_mv = self.current_ma = self.soc_permille = None
        self.soh_permille = self.capacity_mah = self.design_mah = self.remaining_mah = None
        self.cells_mv = self.temps_mc = None
        self.cell_high_mv = self.cell_low_mv = self.strings = None
        self.cell_count = self.mosfet_mc = self.ambient_mc = self.cycles_count = None
        self.balancing = self.ccl_is_trip = self.dcl_is_trip = None
        self.ccl_ma = self.dcl_ma = self.cvl_mv = self.ovp_mv = self.uvp_mv = None
        self.charge_ok = self.discharge_ok = self.charge_open = self.discharge_open = None
        self.warnings = self.protections = self.criticals = 0
        self.note = self.serial = self.model = None
        self.only_shown = False  # True: no battery's BMS, such as a balancer; no bank counts it
        for name in values:
            setattr(self, name, values[name])
