"""The DEYE of the site, and the sun and the house behind it.

It knows nothing but the bytes it is answered, taken apart by the simulator's own decoder, and obeys
them after its delay, with its lag, its gain and its voltmeter. Where nothing is heard for half a
minute it stops. Source of its rules: vbms.simulate.deye, which does the same in real time.
"""

import math
import random

from vbms.simulate import deye_checks as checks
from vbms.soak.plant import CELLS, Plant

DAY_S = 86400.0
LOST_S = 30.0
OWN_STOP_SOC = 10.0


class Told:
    """What one round of answers adds up to."""

    __slots__ = ("charge_a", "charge_v", "discharge_a", "may_discharge", "soc")

    def __init__(self, rows: "list[checks.Row]", discharge_a: float | None) -> None:
        may = [row for row in rows if row.status & checks.MAY_CHARGE]
        self.charge_a = sum(row.charge_limit_a for row in may)
        self.charge_v = min((row.charge_voltage_v for row in rows), default=0.0)
        self.soc = max((row.soc_percent for row in rows), default=0.0)
        self.may_discharge = any(
            row.status & checks.MAY_DISCHARGE and not row.protections & checks.DISCHARGE_PROTECTIONS
            for row in rows
        )
        self.discharge_a = discharge_a  # None: this protocol tells none


class House:
    """A real day of 24 h: sun with clouds, a base load, steps. Amperes at the battery."""

    def __init__(self, rng: random.Random, capacity_ah: float) -> None:
        sunny = 1.5 if rng.random() < 0.3 else 1.0
        self._sun_a = rng.uniform(0.25, 0.55) * sunny * capacity_ah
        self._base_a = rng.uniform(0.01, 0.04) * capacity_ah
        self._step_a = rng.uniform(0.1, 0.4) * capacity_ah
        self._start_s = rng.uniform(0, DAY_S)
        self._rng = rng
        self._clouds = self._load = 0.0
        self._until_s = -1.0
        self.ambient_c = 20.0
        self._mean_c = rng.choice((-12.0, 0.0, 8.0, 18.0, 22.0, 25.0, 30.0, 40.0, 44.0))
        self._swing_c = rng.uniform(1.0, 5.0)
        self.mild = False  # the weather never limits anything

    def sunny_morning(self) -> None:
        """The sun is up, and nobody is at home."""
        self._start_s = 0.1 * DAY_S
        self._base_a = self._step_a = 0.0

    def wish_a(self, now_s: float) -> float:
        if now_s >= self._until_s:
            rng = self._rng
            self._until_s = now_s + rng.uniform(20, 300)
            self._clouds = rng.choice((1.0, 1.0, 0.9, 0.6, 0.25))
            self._load = rng.choice((0.0, 0.0, 0.0, 0.2, 0.5, 1.0)) * self._step_a
            phase = math.tau * (now_s + self._start_s) / DAY_S
            mean = min(28.0, max(16.0, self._mean_c)) if self.mild else self._mean_c
            self.ambient_c = mean + self._swing_c * math.sin(phase - 0.8)
        height = math.sin(math.tau * (now_s + self._start_s) / DAY_S)
        sun = self._sun_a * height * self._clouds if height > 0 else 0.0
        return sun - self._base_a - self._load


class Inverter:
    """Asks every `round_s`; what it was told counts `delay_s` later."""

    def __init__(
        self, rng: random.Random, house: House, reads_discharge: bool, capacity_ah: float
    ) -> None:
        self.house = house
        self.reads_discharge = reads_discharge  # stands for protocols that do tell a limit
        self.round_s = rng.choice((1, 2, 3))
        self.delay_s = rng.randint(1, 5)
        self._lag = 1 - math.exp(-1 / rng.uniform(0.5, 3))
        self.gain = rng.uniform(0.97, 1.04)
        self._volt_gain = 1 + rng.uniform(-0.003, 0.003)
        self._follows_down = rng.random() < 0.1  # discharges when told a voltage below the bus
        self._stops_at_soc = rng.random() < 0.67
        self._most_a = rng.uniform(0.4, 0.6)  # of the capacity: its own setting
        self.capacity_ah = capacity_ah
        self.current_a = 0.0
        self.wish_a = 0.0
        self.told: Told | None = None
        self._coming: list[tuple[float, Told | None]] = []
        self.heard_s = -1e9
        self.deaf = False
        self.over = 1.0  # disobedient: times its limits
        self.obeyed_s = 0.0  # since when it has been obeying again

    def hear(self, now_s: float, rows: "list[checks.Row]", discharge_a: float | None) -> None:
        """The answers of one round; none: nobody answered."""
        if self.deaf or not rows:
            return
        self._coming.append((now_s + self.delay_s, Told(rows, discharge_a)))

    def drive(self, now_s: float, plant: Plant) -> float:
        """The current it puts into the bus during the next second."""
        coming = self._coming
        while coming and coming[0][0] <= now_s:
            self.told = coming.pop(0)[1]
            self.heard_s = now_s
        if self.deaf:
            self.obeyed_s = now_s
        elif now_s - self.heard_s > LOST_S:
            self.told = None
        if self.over != 1.0:
            self.obeyed_s = now_s
        self.wish_a = wish = self.house.wish_a(now_s)
        target = 0.0
        told = self.told
        if told is not None:
            most = self._most_a * self.capacity_ah
            volts = told.charge_v * self._volt_gain
            if wish > 0:
                target = min(wish, most)
                limit = told.charge_a * self.gain * self.over
                if target > limit:
                    target = limit
                # Constant voltage: what holds the bus there, and not more.
                if target > 0 and plant.bus_v > volts - 1.5:
                    target = max(0.0, min(target, plant.at_voltage(volts)))
            elif told.may_discharge or self.over != 1.0:
                target = max(wish, -most)
                if told.discharge_a is not None and self.reads_discharge:
                    target = max(target, -told.discharge_a * self.gain * self.over)
                if self._stops_at_soc and told.soc <= OWN_STOP_SOC:
                    target = 0.0
                if plant.bus_v < CELLS * 2.9:
                    target = 0.0
            if self._follows_down and told.may_discharge and plant.bus_v > volts + 0.2:
                target = min(target, max(-0.1 * self.capacity_ah, plant.at_voltage(volts)))
        self.current_a += (target - self.current_a) * self._lag
        if abs(self.current_a) < 0.05 and target == 0.0:
            self.current_a = 0.0
        return self.current_a
