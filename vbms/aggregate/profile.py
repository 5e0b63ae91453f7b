"""What a person with a data sheet knows about a unit or the bank, in milli-units.

The defaults are for LFP cells; profiles/battery/lfp_16s.yaml repeats them for people, each with its
source. A curve is a tuple of (x, permille) points, x rising: straight lines
between them, flat outside.
"""

from vbms.errors import ConfigError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

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


# Limits of our own that only warn; None: off. Sag: the lowest cell under its pack's mean.
WARNINGS = (
    "warn_cell_high_mv",
    "warn_cell_low_mv",
    "warn_temp_high_mc",
    "warn_temp_low_mc",
    "warn_soc_low_permille",
    "warn_soh_low_permille",
    "warn_delta_mv",
    "warn_sag_mv",
)
WARN: "tuple[int | None, ...]" = (None, None, None, None, None, None, 300, 100)

# What ends a stop by a cell: at rest, and sooner while current flows the other way. Then the lowest
# cell at which a unit counts as empty, and at which it no longer does.
RELEASES = (
    "charge_release_mv",
    "charge_release_loaded_mv",
    "discharge_release_mv",
    "discharge_release_loaded_mv",
    "cell_empty_mv",
    "cell_recovered_mv",
)
RELEASE = (3450, 3480, 3050, 2950, 2850, 3000)
# Both are tuples that units share: fifteen profiles of many attributes are much for a board.


def _with(row: "tuple[Any, ...]", at: int, value: object) -> "tuple[Any, ...]":
    return row[:at] + (value,) + row[at + 1 :]


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
        "release",
        "retire_auto",
        "retire_ms",
        "serial",
        "trip_margin_permille",
        "warn",
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
        self.release = RELEASE
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
        self.warn = WARN
        for name in values:
            if name in WARNINGS or name in RELEASES:
                self._set(name, values[name])  # type: ignore[arg-type]
                continue
            if name not in self.__slots__:
                raise ConfigError("a unit profile has no %s" % name)
            setattr(self, name, values[name])

    def _set(self, name: str, value: "int | None") -> None:
        """One of WARNINGS or RELEASES."""
        if name in WARNINGS:
            self.warn = _with(self.warn, WARNINGS.index(name), value)
        else:
            self.release = _with(self.release, RELEASES.index(name), value)

    def fresh_for_ms(self) -> int:
        """How old a frame may be and still count as fresh."""
        if self.fresh_ms is not None:
            return self.fresh_ms
        return max(3 * self.poll_ms, 10000)


class BankProfile:
    """The bank as a whole: the caps of its cables and busbars, and how it is charged.

    Per-cell voltages are for LFP; they belong to the bank as its units share one bus.
    """

    __slots__ = (
        "absorb_cell_mv",
        "absorb_ms",
        "balance_ms",
        "balanced_mv",
        "cvl_offset_mv",
        "disobey_silences",
        "float_cell_mv",
        "float_holds",
        "force_off_mv",
        "force_off_permille",
        "force_on_mv",
        "force_on_permille",
        "full_cell_mv",
        "full_days",
        "max_charge_ma",
        "max_discharge_ma",
        "measured_shares",
        "min_fresh",
        "name",
        "rebulk_cell_mv",
        "rebulk_permille",
        "rise_permille",
        "start_ms",
        "steady_ms",
        "tail_permille",
    )

    def __init__(self, name: str = "bank", **values: object):
        self.name = name
        self.max_charge_ma: int | None = None
        self.max_discharge_ma: int | None = None
        self.min_fresh = 1  # units that must be fresh to start without the others
        self.start_ms = 60000  # how long the others are waited for at start
        self.steady_ms = 5000  # how long all must be well before the inverter is answered
        self.rise_permille = 20  # of the bank's size, by which a limit may rise in a second
        self.measured_shares = False  # weigh units by the share of current they really take
        self.absorb_cell_mv = 3380  # mean cell from which absorption may begin
        self.absorb_ms = 1800000
        self.balance_ms = 7200000  # absorption of a bank that is not balanced
        self.balanced_mv = 20  # cell spread within a unit that counts as balanced
        self.float_cell_mv = 3350
        self.float_holds = True  # False: after full the charge limit goes to 0 instead
        self.full_cell_mv = 3400  # mean cell of a full unit, where bulk - 30 mV is not lower
        self.tail_permille = 50  # of its capacity per hour: a full unit takes no more
        self.full_days = 14  # ask for a full charge after so many days without one; 0: never
        self.rebulk_permille = 850
        self.rebulk_cell_mv = 3300
        self.force_on_mv = 2900  # ask for a charge from the grid below this cell, or this SOC
        self.force_off_mv = 3100
        self.force_on_permille = 50
        self.force_off_permille = 100
        self.cvl_offset_mv = 0  # voltage drop of the cables between inverter and bank
        self.disobey_silences = True  # an inverter that goes on at a limit of 0 loses its BMS
        for name in values:
            if name not in self.__slots__:
                raise ConfigError("a bank profile has no %s" % name)
            setattr(self, name, values[name])

    def alone(self, key: str) -> "BankProfile":
        """The same way of charging for one unit told by itself: no caps, no one to wait for."""
        other = BankProfile(key)
        for name in self.__slots__:
            setattr(other, name, getattr(self, name))
        other.name = key
        other.max_charge_ma = other.max_discharge_ma = None
        other.min_fresh = 1
        other.measured_shares = False  # alone it carries everything: that is no share of the bank
        return other
