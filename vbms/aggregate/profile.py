"""What a person with a data sheet knows about a unit or the bank, in milli-units.

The defaults are for LFP cells; profiles/battery/lfp_16s.yaml repeats them for people, each with its
source. A curve is a tuple of (x, permille) points, x rising: straight lines
between them, flat outside.
"""

from vbms.errors import ConfigError

TYPE_CHECKING = False
if TYPE_CHECKING:
    Curve = tuple[tuple[int, int], ...]

CHARGE_CELL = ((3400, 1000), (3450, 400), (3500, 100), (3550, 20), (3580, 0))
DISCHARGE_CELL = ((2800, 0), (2850, 50), (2900, 150), (3000, 500), (3100, 1000))
CHARGE_TEMPERATURE = (
    (0, 0),
    (5000, 200),
    (10000, 500),
    (20000, 1000),
    (40000, 1000),
    (45000, 500),
    (50000, 200),
    (55000, 0),
)
DISCHARGE_TEMPERATURE = (
    (-20000, 0),
    (-10000, 300),
    (0, 700),
    (10000, 1000),
    (45000, 1000),
    (50000, 500),
    (55000, 200),
    (60000, 0),
)
MOSFET = ((80000, 1000), (90000, 500), (100000, 0))
DISCHARGE_SOC = ((0, 100), (20, 100), (50, 500), (100, 1000))


class UnitProfile:
    """One enrolled unit: its name, its limits, its curves and its patience."""

    __slots__ = (
        "c_rate_permille",
        "capacity_mah",
        "cell_cv_max_mv",
        "cell_dvl_mv",
        "cell_floor_mv",
        "cells",
        "charge_cell",
        "charge_soc",
        "charge_temperature",
        "charge_voltage_mv",
        "declares_ccl",
        "declares_dcl",
        "discharge_cell",
        "discharge_soc",
        "discharge_temperature",
        "enabled",
        "fresh_ms",
        "hold_ms",
        "key",
        "max_charge_ma",
        "max_discharge_ma",
        "mosfet",
        "mosfet_present",
        "needs_settings",
        "poll_ms",
        "retire_auto",
        "retire_ms",
        "serial",
        "trip_margin_permille",
    )

    def __init__(self, key: str, **values: object):
        self.key = key  # the battery's name in the YAML
        self.enabled = True  # False: switched off by a person, counts for nothing
        self.cells: int | None = None  # cells in series; None: what the unit's settings say
        self.capacity_mah: int | None = None  # design capacity where the wire carries none
        self.max_charge_ma: int | None = None
        self.max_discharge_ma: int | None = None
        self.c_rate_permille: int | None = None  # limit as a share of the capacity per hour
        self.trip_margin_permille = 900  # of a BMS limit that is a trip threshold
        self.declares_ccl = False  # the driver reads a limit: unknown is then 0, not absent
        self.declares_dcl = False
        self.charge_voltage_mv: int | None = None  # of the pack; None: cells x 3450
        self.cell_cv_max_mv = 3500
        self.cell_floor_mv = 3300  # CVL never goes below this: stopping is a charge limit of 0
        self.cell_dvl_mv = 2900
        self.charge_cell: Curve = CHARGE_CELL
        self.discharge_cell: Curve = DISCHARGE_CELL
        self.charge_temperature: Curve = CHARGE_TEMPERATURE
        self.discharge_temperature: Curve = DISCHARGE_TEMPERATURE
        self.mosfet: Curve = MOSFET
        self.charge_soc: Curve = ()  # off: a drifted SOC must not throttle a half-full pack
        self.discharge_soc: Curve = DISCHARGE_SOC
        self.mosfet_present = True
        self.needs_settings = False  # a unit without its settings frame is still joining
        self.serial: str | None = None  # the enrolled one; None: the first one seen
        self.poll_ms = 1000
        self.fresh_ms: int | None = None  # None: the larger of 3 polls and 10 s
        self.hold_ms = 60000
        self.retire_ms = 1800000
        self.retire_auto = False
        for name in values:
            if name not in self.__slots__:
                raise ConfigError("a unit profile has no %s" % name)
            setattr(self, name, values[name])

    def fresh_for_ms(self) -> int:
        """How old a frame may be and still count as fresh."""
        if self.fresh_ms is not None:
            return self.fresh_ms
        return max(3 * self.poll_ms, 10000)


class BankProfile:
    """The bank as a whole: its name and the caps of its cables and busbars."""

    __slots__ = ("max_charge_ma", "max_discharge_ma", "min_fresh", "name", "start_ms", "steady_ms")

    def __init__(self, name: str = "bank", **values: object):
        self.name = name
        self.max_charge_ma: int | None = None
        self.max_discharge_ma: int | None = None
        self.min_fresh = 1  # units that must be fresh to start without the others
        self.start_ms = 60000  # how long the others are waited for at start
        self.steady_ms = 5000  # how long all must be well before the inverter is answered
        for name in values:
            if name not in self.__slots__:
                raise ConfigError("a bank profile has no %s" % name)
            setattr(self, name, values[name])
