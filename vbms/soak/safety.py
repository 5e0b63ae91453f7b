"""Whether a cell left the window of its own BMS, and whose doing that was.

inrush        currents between batteries, within two minutes of a path that closed
between       the battery's neighbours carry more into (out of) it than the inverter does
disobedience  the inverter is deaf or takes more than it was told, or was a minute ago
untold        a discharge above a limit that this inverter's protocol has no number for
ours          everything else: a violation of SAFE, or of I29 where the battery was silent
"""

import typing
from collections import Counter
from collections.abc import Callable

from vbms.aggregate.limits import CHARGE, DISCHARGE
from vbms.aggregate.member import FRESH
from vbms.aggregate.virtual import VirtualBattery
from vbms.soak.plant import Unit

if typing.TYPE_CHECKING:
    from vbms.aggregate.bank import Bank
    from vbms.aggregate.controller import Controller
    from vbms.config import Settings
    from vbms.lines.inverter import InverterLine
    from vbms.soak.tap import TapSteering
    from vbms.soak.world import World

INRUSH_S = 120.0
OBEYING_S = 60.0
COLD_C, HOT_C = -1.0, 57.0  # no charge beyond, errors of sensors granted
_NOTICED_S = 60.0


class Watched(typing.Protocol):
    """The program in front of the world, in either mode."""

    world: "World"
    settings: "Settings"
    ticks: int

    @property
    def controller(self) -> "Controller": ...
    @property
    def bank(self) -> "Bank": ...
    @property
    def tapped(self) -> "TapSteering": ...
    @property
    def line(self) -> "InverterLine": ...
    @property
    def virtual(self) -> VirtualBattery: ...


class Safety:
    """Looks at every cell after every second of the world."""

    def __init__(self, site: Watched, fail: Callable[[str, str], None]) -> None:
        self.site = site
        self.fail = fail
        self.causes: Counter[str] = Counter()  # cells beyond their window, by whose doing
        self.trips: Counter[str] = Counter()
        self.running = True  # the program
        self._beyond: set[tuple[str, int]] = set()
        self._cold_s: dict[str, float] = {}

    def look(self) -> None:
        """At all batteries."""
        world = self.site.world
        for unit in world.plant.units:
            if unit.trips:
                self._tripped(unit)
            cells = unit.cells
            at = unit.settings
            if cells[0] > at.cell_high_v or cells[1] > at.cell_high_v or cells[2] > at.cell_high_v:
                self._window(unit, CHARGE, max(cells))
            elif cells[0] < at.cell_low_v or cells[1] < at.cell_low_v or cells[2] < at.cell_low_v:
                self._window(unit, DISCHARGE, min(cells))
            elif self._beyond:
                self._beyond.discard((unit.name, CHARGE))
                self._beyond.discard((unit.name, DISCHARGE))
            celsius = unit.temperature_c
            if celsius < COLD_C or celsius > HOT_C:
                self._temperature(unit, celsius)

    def _window(self, unit: Unit, direction: int, volts: float) -> None:
        if (unit.name, direction) in self._beyond:
            return
        self._beyond.add((unit.name, direction))
        cause = self.blame(unit, direction)
        self.causes[cause] += 1
        if cause == "ours":
            heard = self.running and self.site.bank.units[unit.name].state == FRESH
            law = "SAFE" if heard else "I29"
            self.fail(law, f"{unit.name}: cell at {volts:.3f} V, {self._situation(unit)}")

    def _temperature(self, unit: Unit, celsius: float) -> None:
        """A charge into a frozen or a hot battery, for longer than anything takes to notice."""
        commanded = unit.current_a - unit.circulating_a
        if commanded < 0.03 * unit.design_ah or unit.current_a <= 0:
            self._cold_s[unit.name] = 0.0
            return
        self._cold_s[unit.name] = self._cold_s.get(unit.name, 0.0) + 1.0
        if self._cold_s[unit.name] == _NOTICED_S:
            cause = self.blame(unit, CHARGE)
            self.causes[cause + ", temperature"] += 1
            if cause == "ours":
                text = f"charged at {celsius:.1f} degC, {self._situation(unit)}"
                self.fail("SAFE", f"{unit.name}: {text}")

    def _tripped(self, unit: Unit) -> None:
        for trip in unit.trips:
            direction = CHARGE if trip.direction == "+" else DISCHARGE
            name = trip.rule + trip.direction
            if trip.rule not in ("hot", "cold"):  # those are the weather's
                name += " " + self.blame(unit, direction)
            self.trips[name] += 1
        unit.trips.clear()

    def blame(self, unit: Unit, direction: int) -> str:
        """Whose doing a unit's current is."""
        world = self.site.world
        sign = 1 if direction == CHARGE else -1
        between = unit.circulating_a * sign
        commanded = unit.current_a * sign - between
        inverter = world.inverter
        if between > abs(commanded):
            if min(other.closed_s for other in world.plant.units) < INRUSH_S:
                return "inrush"
            return "between"
        if commanded <= 0.005 * unit.design_ah:
            return "between"
        if world.now_s - inverter.obeyed_s < OBEYING_S:
            return "disobedience"
        told = self.site.line.told if self.running else None
        if direction == DISCHARGE and not inverter.reads_discharge and told is not None:
            if -world.plant.current_a * 1000 > told.discharge_limit_ma * 1.1:
                return "untold"
        return "ours"

    def _situation(self, unit: Unit) -> str:
        text = f"{unit.current_a:.1f} A of which {unit.circulating_a:.1f} A between, "
        text += f"{unit.temperature_c:.1f} degC, bank {self.site.world.plant.current_a:.1f} A"
        if not self.running:
            return text + ", the program is away"
        told = self.site.line.told
        if told is None:
            return text + ", nothing is told"
        text += f", told {told.charge_limit_ma}/{told.discharge_limit_ma} mA"
        return f"{text}, {self.site.bank.units[unit.name].state}"
