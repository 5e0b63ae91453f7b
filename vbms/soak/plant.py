"""Batteries in parallel on one bus bar, cheap enough to live through years of them.

A unit is three groups of LFP cells: a runner (the fullest), fourteen average ones, the weakest.
Each cell is a rest voltage over its state of charge, an ohmic resistance and one RC element that
the unit's cells share. Currents divide as copper does it: the bus takes the voltage at which they
add up to what the inverter wants; a path that is open carries none in its direction.

Volts, amperes, ampere-hours, degrees Celsius, seconds. Current > 0 charges.
"""

import math
import random
from collections.abc import Sequence

from vbms.simulate.bms import Settings
from vbms.simulate.pack import rest_voltage

CELLS = 16
AVERAGE = CELLS - 2
TAU_S = 120.0
_LOW = -0.02
_STEPS = 2000
_REST = [rest_voltage(_LOW + step / _STEPS) for step in range(round(1.06 * _STEPS))]
_LAST = len(_REST) - 2
_SLOW_S = 10.0  # temperatures move slowly
_AIR_J_PER_K_AH = 500.0
_COOLING_W_PER_K_AH = 0.06
# Around these the BMS need not look closely.
_CALM_HIGH_V, _CALM_LOW_V, _CALM_COLD_C, _CALM_HOT_C = 3.55, 2.85, 6.0, 44.0


def rest(soc: float) -> float:
    """Volts of a rested cell; the table of vbms.simulate, finer, straight in between."""
    place = (soc - _LOW) * _STEPS
    if place <= 0:
        return _REST[0]
    step = int(place)
    if step >= _LAST:
        return _REST[_LAST]
    low = _REST[step]
    return low + (_REST[step + 1] - low) * (place - step)


class Trip:
    """A protection of a unit's own BMS that acted: `rule` high, low, current, hot or cold."""

    __slots__ = ("direction", "rule")

    def __init__(self, rule: str, direction: str) -> None:
        self.rule = rule
        self.direction = direction


class Unit:
    """One battery as it really is, and its BMS's switches."""

    def __init__(
        self,
        name: str,
        protocol: str,
        settings: Settings,
        capacity_ah: float,
        soc: float,
        rng: random.Random,
    ) -> None:
        self.name = name
        self.protocol = protocol
        self.settings = settings
        self.design_ah = capacity_ah
        self.soh = rng.uniform(0.9, 1.0)
        full = capacity_ah * self.soh
        self.full_ah = full
        spread = rng.uniform(0.001, 0.015)
        self.soc = [soc + spread, soc, soc - spread * rng.uniform(0.3, 1.0)]
        self.ah = [full * rng.uniform(0.985, 1.0), full, full * rng.uniform(0.96, 1.0)]
        wear = rng.uniform(0.8, 1.3)
        ohm = 0.045 / capacity_ah * wear
        self.ohm = [ohm * rng.uniform(0.9, 1.1), ohm, ohm * rng.uniform(1.0, 1.25)]
        self.lead_ohm = 0.15 / capacity_ah * rng.uniform(0.7, 1.3)
        self.cold_factor = 1.0
        self.rc_v = 0.0  # of each cell
        self.temperature_c = 22.0
        self.heater_w = 0.0  # a fault
        self.current_a = 0.0
        self.passed_ah = 0.0  # all that has gone in, less what has gone out
        self.circulating_a = 0.0  # what it would carry without the inverter
        self.contactor = True
        self.charge_switch = self.discharge_switch = True  # of a person
        self.charge_forced_open = self.discharge_forced_open = False  # a fault
        self.acting: dict[str, float] = {}  # protections: rule + direction -> s it has lasted
        self._pending: dict[str, float] = {}
        self.trips: list[Trip] = []
        self.closed_s = 1e9  # since its contactor or a path closed
        self.balance_a = 0.0
        self.cells = [0.0, 0.0, 0.0]
        self.lies = [0.0, 0.0, 0.0]  # by how much one cell of each group reads wrong
        self.rest_v = self.ohms = self.conductance = 0.0
        self._slow_s = 0.0
        self._heat_j = 0.0
        self.move(0.0, 0.0, 22.0)

    @property
    def may_charge(self) -> bool:
        return self.contactor and self.charge_on

    @property
    def may_discharge(self) -> bool:
        return self.contactor and self.discharge_on

    @property
    def charge_on(self) -> bool:
        """Whether the BMS lets a charge through: what it reports where it reports that."""
        if not self.charge_switch or self.charge_forced_open:
            return False
        return not self.acting or not any(name.endswith("+") for name in self.acting)

    @property
    def discharge_on(self) -> bool:
        if not self.discharge_switch or self.discharge_forced_open:
            return False
        return not self.acting or not any(name.endswith("-") for name in self.acting)

    def close(self) -> None:
        """Its contactor or a path closes; what flows then is nobody's wish."""
        self.contactor = True
        self.closed_s = 0.0

    def move(self, amps: float, dt_s: float, ambient_c: float) -> None:
        """Carry this current for this long, then let the BMS look."""
        self.current_a = amps
        soc, ah, ohm = self.soc, self.ah, self.ohm
        per_hour = dt_s / 3600
        soc[0] += (amps - self.balance_a) * per_hour / ah[0]
        moved = amps * per_hour
        self.passed_ah += moved
        soc[1] += moved / ah[1]
        soc[2] += moved / ah[2]
        factor = self.cold_factor
        self.rc_v += (amps * ohm[1] * 0.7 * factor - self.rc_v) * dt_s / TAU_S
        rc = self.rc_v
        a, b, c = rest(soc[0]), rest(soc[1]), rest(soc[2])
        self.rest_v = a + AVERAGE * b + c + CELLS * rc
        drop = amps * factor
        cells = self.cells
        cells[0] = a = a + rc + drop * ohm[0]
        cells[1] = b + rc + drop * ohm[1]
        cells[2] = c = c + rc + drop * ohm[2]
        self._slow_s += dt_s
        self._heat_j += amps * amps * self.ohms * 1.5 * dt_s
        if self._slow_s >= _SLOW_S or dt_s == 0.0:
            self._slowly(ambient_c)
        self.closed_s += dt_s
        if (
            self.acting
            or self._pending
            or a > _CALM_HIGH_V
            or c < _CALM_LOW_V
            or cells[1] > _CALM_HIGH_V
            or cells[1] < _CALM_LOW_V
            or self.lies[0]
            or self.lies[1]
            or self.lies[2]
            or not _CALM_COLD_C < self.temperature_c < _CALM_HOT_C
            or not -self.settings.discharge_a < amps < self.settings.charge_a
        ):
            self._protect(dt_s)

    def _slowly(self, ambient_c: float) -> None:
        loss_w = (self.temperature_c - ambient_c) * _COOLING_W_PER_K_AH * self.design_ah
        joules = self._heat_j + (self.heater_w - loss_w) * self._slow_s
        self.temperature_c += joules / (_AIR_J_PER_K_AH * self.design_ah)
        self._slow_s = self._heat_j = 0.0
        # Resistance grows by 2 % per degree below 25 degC.
        self.cold_factor = 1 + 0.02 * max(0.0, 25.0 - self.temperature_c)
        ohm = self.ohm
        self.ohms = (ohm[0] + AVERAGE * ohm[1] + ohm[2]) * self.cold_factor + self.lead_ohm
        self.conductance = 1 / self.ohms
        cells = self.cells
        high, low = max(cells), min(cells)
        at = self.settings
        balances = high > at.balance_start_v and high - low > at.balance_trigger_v
        self.balance_a = at.balance_a / 2 if balances and cells[0] == high else 0.0

    def _protect(self, dt_s: float) -> None:
        at = self.settings
        (a, b, c), (lie_a, lie_b, lie_c) = self.cells, self.lies
        seen = (a + lie_a, b, b + lie_b, c + lie_c)
        high, low = max(seen), min(seen)
        amps, celsius = self.current_a, self.temperature_c
        for rule, direction, beyond, back, delay_s, hold_s in (
            ("high", "+", high >= at.cell_high_v, high <= at.cell_high_release_v, 2.0, 5.0),
            ("low", "-", low <= at.cell_low_v, low >= at.cell_low_release_v, 2.0, 5.0),
            ("current", "+", amps > at.charge_a * 1.05, True, 3.0, 60.0),
            ("current", "-", -amps > at.discharge_a * 1.05, True, 3.0, 60.0),
            ("hot", "+", celsius >= at.charge_hot_c, celsius < at.charge_hot_c - 3, 2.0, 5.0),
            ("hot", "-", celsius >= at.discharge_hot_c, celsius < at.discharge_hot_c - 3, 2.0, 5.0),
            ("cold", "+", celsius <= at.charge_cold_c, celsius > at.charge_cold_c + 2, 2.0, 5.0),
            ("cold", "-", celsius <= at.discharge_cold_c, True, 2.0, 5.0),
        ):
            name = rule + direction
            if name in self.acting:
                self.acting[name] += dt_s
                if back and not beyond and self.acting[name] >= hold_s:
                    del self.acting[name]
                    self.closed_s = 0.0
            elif beyond:
                self._pending[name] = self._pending.get(name, 0.0) + dt_s
                if self._pending[name] >= delay_s:
                    del self._pending[name]
                    self.acting[name] = 0.0
                    self.trips.append(Trip(rule, direction))
            else:
                self._pending.pop(name, None)


class Plant:
    """All units and the bus they share. `current_a` is what really flows."""

    def __init__(self, units: Sequence[Unit]) -> None:
        self.units = list(units)
        self.bus_v = 0.0
        self.current_a = 0.0
        self.step(0.0, 0.0, 22.0)

    def step(self, wish_a: float, dt_s: float, ambient_c: float) -> None:
        units = self.units
        push = conductance = 0.0
        free = True
        for unit in units:
            if unit.contactor:
                conductance += unit.conductance
                push += unit.rest_v * unit.conductance
                if unit.acting or unit.charge_forced_open or unit.discharge_forced_open:
                    free = False
        if not conductance:
            self.bus_v = self.current_a = 0.0
            for unit in units:
                unit.circulating_a = 0.0
                unit.move(0.0, dt_s, ambient_c)
            return
        alone_v = push / conductance
        volts = (wish_a + push) / conductance
        total = 0.0
        if free:
            for unit in units:
                if unit.contactor:
                    amps = (volts - unit.rest_v) * unit.conductance
                    unit.circulating_a = (alone_v - unit.rest_v) * unit.conductance
                    total += amps
                    unit.move(amps, dt_s, ambient_c)
                else:
                    unit.circulating_a = 0.0
                    unit.move(0.0, dt_s, ambient_c)
        else:
            alone_v = self.solve(0.0)
            volts = self.solve(wish_a)
            for unit in units:
                unit.circulating_a = carried(unit, alone_v)
                amps = carried(unit, volts)
                total += amps
                unit.move(amps, dt_s, ambient_c)
        self.bus_v = volts
        self.current_a = total

    def solve(self, wish_a: float) -> float:
        """The bus voltage for this sum where some paths are open; it only grows with it."""
        joined = [unit for unit in self.units if unit.contactor]
        if not joined:
            return 0.0
        low = min(unit.rest_v for unit in joined)
        high = max(unit.rest_v for unit in joined)
        if wish_a > 0 and not any(unit.may_charge for unit in joined):
            return high
        if wish_a < 0 and not any(unit.may_discharge for unit in joined):
            return low
        reach = abs(wish_a) * max(unit.ohms for unit in joined) + 0.001
        low, high = low - reach, high + reach
        # A sum of straight pieces: walk along its slope, and halve where that leads astray.
        volts = (low + high) / 2
        for _ in range(60):
            total = slope = 0.0
            for unit in joined:
                amps = carried(unit, volts)
                total += amps
                if amps:
                    slope += unit.conductance
            error = total - wish_a
            if -1e-6 < error < 1e-6:
                break
            if error > 0:
                high = volts
            else:
                low = volts
            if slope and low < volts - error / slope < high:
                volts -= error / slope
            else:
                volts = (low + high) / 2
        return volts

    def at_voltage(self, volts: float) -> float:
        """The current that would hold the bus at this voltage."""
        return math.fsum(carried(unit, volts) for unit in self.units)


def carried(unit: Unit, bus_v: float) -> float:
    """A unit's current at a bus voltage, with its open paths."""
    amps = (bus_v - unit.rest_v) * unit.conductance
    if amps > 0:
        return amps if unit.may_charge else 0.0
    return amps if amps < 0 and unit.may_discharge else 0.0
