"""The virtual battery: what the bank, or one unit alone, looks like to everything downstream.

Made once per tick and never changed afterwards, so an answer never mixes two moments.
"""

# States of a bank, as /healthz and /api/bank say them.
STARTING = "starting"  # not yet complete: nothing is told
NORMAL = "normal"
PARTIAL = "partial"  # some units hold or are lost
ZERO = "zero"  # no unit is fresh: limits are 0, the last values stand for a while
SILENT = "silent"  # nothing is told any more
ERROR = "error"  # configuration or merge failed: nothing is told

FIELDS = (
    "voltage_mv",
    "current_ma",
    "power_mw",
    "soc_permille",
    "soh_permille",
    "capacity_mah",
    "design_mah",
    "remaining_mah",
    "cell_max_mv",
    "cell_max_owner",  # (key, index from 0; -1: one that the unit does not name)
    "cell_min_mv",
    "cell_min_owner",
    "temp_max_mc",
    "temp_min_mc",
    "temp_mean_mc",
    "ambient_mc",
    "mosfet_max_mc",
    "cycles_count",
    "dvl_mv",
    "cvl_ceiling_mv",
    "charge_limit_ma",
    "discharge_limit_ma",
    "n_total",
    "n_fresh",
    "n_hold",
    "n_lost",
)


class Reason:
    """Why a limit is what it is: unit (None: the bank), rule, its value, the limit it sets.

    `cell` says which one, from 0, where the rule is about a cell; it takes room only there.
    """

    __slots__ = ("_cell", "limit_ma", "rule", "unit", "value")

    def __init__(self, unit: str | None, rule: str, value: int | None, limit_ma: int):
        self.unit = unit
        self.rule = rule
        self.value = value
        self.limit_ma = limit_ma

    @property
    def cell(self) -> int | None:
        return getattr(self, "_cell", None)

    def name_cell(self, cell: int) -> None:
        """From 0."""
        self._cell = cell


class VirtualBattery:
    """Unknown is None; limits are never None: an unknown limit is 0."""

    __slots__ = FIELDS + (
        "age_ms",
        "alarms",
        "balancing",
        "bulk_mv",
        "cells",
        "charge_enabled",
        "charge_reasons",
        "charge_step_ma",
        "criticals",
        "cvl_mv",
        "discharge_enabled",
        "discharge_reasons",
        "discharge_step_ma",
        "force_charge",
        "full_charge_request",
        "model",
        "name",
        "own_charge_ma",
        "phase",
        "protections",
        "serial",
        "silenced",
        "state",
        "taken_ms",
        "warnings",
    )

    voltage_mv: int | None
    current_ma: int | None
    power_mw: int | None
    soc_permille: int | None
    soh_permille: int | None
    capacity_mah: int | None
    design_mah: int | None
    remaining_mah: int | None
    cell_max_mv: int | None
    cell_max_owner: "tuple[str, int] | None"
    cell_min_mv: int | None
    cell_min_owner: "tuple[str, int] | None"
    temp_max_mc: int | None
    temp_min_mc: int | None
    temp_mean_mc: int | None
    ambient_mc: int | None
    mosfet_max_mc: int | None
    cycles_count: int | None
    dvl_mv: int | None
    cvl_ceiling_mv: int | None
    charge_limit_ma: int
    discharge_limit_ma: int
    n_total: int
    n_fresh: int
    n_hold: int
    n_lost: int
    cvl_mv: int | None  # the charge voltage asked for
    bulk_mv: int | None  # the charge voltage that profiles ask for, before floor and phases
    cells: int  # in series: the longest unit heard; 0: unknown
    balancing: int  # how many units balance
    charge_enabled: bool  # charging is wanted: the limit is not 0
    discharge_enabled: bool
    force_charge: bool  # so empty that the inverter should charge from wherever it can
    full_charge_request: bool  # too long without a full charge
    phase: str  # of charging: bulk, absorb, float, eoc or wait; "": nobody governs
    silenced: bool  # an inverter that does not obey is to hear nothing
    charge_step_ma: int  # by how much limits may rise in a second; 0: nobody governs
    discharge_step_ma: int
    own_charge_ma: int  # sum of what the fresh units allow by themselves, before derating
    warnings: int  # alarm bits the bank tells
    protections: int
    criticals: int
    alarms: "tuple[tuple[int, int, str], ...]"  # (bit, level, unit), one a unit and bit
    charge_reasons: "tuple[Reason, ...]"  # the binding one first
    discharge_reasons: "tuple[Reason, ...]"
    name: str
    model: str
    serial: str
    state: str
    age_ms: int | None  # of the oldest unit that counts as fresh; None: none is
    taken_ms: int  # when this was merged

    def __init__(self, **values: object):
        for name in FIELDS:
            setattr(self, name, None)
        self.charge_limit_ma = self.discharge_limit_ma = 0
        self.n_total = self.n_fresh = self.n_hold = self.n_lost = 0
        self.cvl_mv = self.age_ms = self.bulk_mv = None
        self.cells = self.balancing = 0
        self.charge_enabled = self.discharge_enabled = False
        self.force_charge = self.full_charge_request = self.silenced = False
        self.charge_step_ma = self.discharge_step_ma = 0
        self.phase = ""
        self.own_charge_ma = self.warnings = self.protections = self.criticals = 0
        self.alarms = ()
        self.charge_reasons = self.discharge_reasons = ()
        self.name = "bank"
        self.model = "VBMS"
        self.serial = ""
        self.state = STARTING
        self.taken_ms = 0
        for name in values:
            setattr(self, name, values[name])

    def copy(self, **values: object) -> "VirtualBattery":
        """The same with some values replaced: a shard, a silenced bank."""
        other = VirtualBattery()
        for name in self.__slots__:
            setattr(other, name, values[name] if name in values else getattr(self, name))
        return other
