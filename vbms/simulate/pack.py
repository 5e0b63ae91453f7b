"""One battery pack: cells in series that charge, sag, warm up and drift, and what its BMS sees.

The cell is an open-circuit voltage over state of charge, an ohmic resistance and one RC element
(tau 60 s). The figures are those of common prismatic LFP cells: 0.9 mOhm at 50 Ah, inverse to the
capacity. The BMS sees what a BMS sees: whole millivolts, a current with gain and offset errors,
a counted SOC that drifts and is set right at the full and the empty end.
"""

import math
import random
from collections.abc import Iterable
from dataclasses import replace

from vbms.simulate.bms import Protections, Reading, Settings

# Rest voltage of an LFP cell at 25 degC: state of charge, volts.
_REST = (
    (-0.02, 2.00), (0.00, 2.50), (0.01, 2.80), (0.03, 2.98), (0.05, 3.06), (0.10, 3.17),
    (0.15, 3.21), (0.20, 3.235), (0.30, 3.265), (0.40, 3.285), (0.50, 3.295), (0.60, 3.305),
    (0.65, 3.317), (0.70, 3.328), (0.80, 3.334), (0.90, 3.338), (0.95, 3.345), (0.98, 3.360),
    (0.99, 3.380), (0.995, 3.405), (1.00, 3.450), (1.005, 3.55), (1.01, 3.75), (1.02, 4.20),
)  # fmt: skip
_STEPS = 1000  # table points per unit of state of charge
_TAU_S = 60.0
_AIR_J_PER_K_AH = 500.0  # 25 kg at 1 kJ/(kg K) for 50 Ah
_COOLING_W_PER_K_AH = 0.06


def _rest_table() -> tuple[float, ...]:
    low, high = _REST[0][0], _REST[-1][0]
    table = []
    segment = 0
    for step in range(round((high - low) * _STEPS) + 1):
        soc = low + step / _STEPS
        while segment < len(_REST) - 2 and soc > _REST[segment + 1][0]:
            segment += 1
        (x0, y0), (x1, y1) = _REST[segment], _REST[segment + 1]
        table.append(y0 + (y1 - y0) * (soc - x0) / (x1 - x0))
    return tuple(table)


_TABLE = _rest_table()
_LOW = _REST[0][0]


def rest_voltage(soc: float) -> float:
    """Volts of a rested LFP cell at 25 degC; flat beyond both ends of the table."""
    place = (soc - _LOW) * _STEPS
    step = int(place)
    if place <= 0:
        return _TABLE[0]
    if step >= len(_TABLE) - 1:
        return _TABLE[-1]
    return _TABLE[step] + (_TABLE[step + 1] - _TABLE[step]) * (place - step)


class Pack:
    """A pack as the world moves it; `reading` is what its BMS last measured.

    `force` and `pin` let a test demand values: they change what is measured, not the cells.
    """

    def __init__(
        self,
        name: str,
        protocol: str,
        *,
        cells: int = 16,
        capacity_ah: float = 50.0,
        soc: float = 0.6,
        soh: float = 1.0,
        cycles: int = 12,
        temperature_c: float = 22.0,
        spread: float = 0.004,
        settings: Settings | None = None,
        rng: random.Random | None = None,
    ) -> None:
        self.name = name
        self.protocol = protocol
        self.capacity_ah = capacity_ah
        self.soh = soh
        self.settings = settings or Settings(charge_a=capacity_ah, discharge_a=capacity_ah)
        self.connected = True  # False: a blown fuse or an open breaker
        self.charge_switch = self.discharge_switch = self.balance_switch = True
        self.current_a = 0.0  # the true one
        self.temperature_c = temperature_c
        self.ambient_c = temperature_c
        self.fails: set[str] = set()
        self._rng = rng = rng or random.Random(name)
        full_ah = capacity_ah * soh
        truth = soc + rng.gauss(0, 0.008)  # where the cells really are; `soc` is what is counted
        wear = 1 + abs(rng.gauss(0, 0.1))
        self.cell_soc = [min(1.0, max(0.0, truth + rng.gauss(0, spread / 2))) for _ in range(cells)]
        self.cell_ah = [full_ah * (1 + rng.gauss(0, 0.005)) for _ in range(cells)]
        self.cell_ohm = [
            0.045 / capacity_ah * wear * (1 + rng.gauss(0, 0.05)) for _ in range(cells)
        ]
        self.cell_leak_a = [abs(rng.gauss(0, 0.00002)) * capacity_ah for _ in range(cells)]
        self.lead_ohm = 0.15 / capacity_ah
        self._rc_v = [0.0] * cells
        self._ohm_factor = 1.0
        self._moved_a = [0.0] * cells  # by the balancer
        self._gain = 1 + rng.gauss(0, 0.002)
        self._offset_a = rng.gauss(0, 0.0003) * capacity_ah
        self._sensor_c = [rng.gauss(0, 0.6) for _ in range(4)]
        self._mosfet_rise_c = 0.0
        self._counted_soc = soc
        self._throughput_ah = cycles * capacity_ah
        self._uptime_s = 86400.0 * (3 + rng.random() * 200)
        self._tail_s = 0.0
        self._protections = Protections()
        self._balance_a = 0.0
        self._balance_bits = 0
        self._balance_phase_s = 0.0
        self._forced: dict[int, float] = {}
        self._pinned: dict[str, object] = {}
        self.rest_v = self.resistance_ohm = 0.0
        self.move(0.0, 0.0)

    # ---- what the world asks

    @property
    def may_charge(self) -> bool:
        return self.charge_switch and not self._protections.stop("charge")

    @property
    def may_discharge(self) -> bool:
        return self.discharge_switch and not self._protections.stop("discharge")

    def move(self, current_a: float, dt_s: float) -> None:
        """Carry this current for this long, then measure."""
        self.current_a = current_a
        decay = math.exp(-dt_s / _TAU_S)
        # Resistance grows by 2 % per degree below 25 degC: cold cells sag more.
        self._ohm_factor = 1 + 0.02 * max(0.0, 25.0 - self.temperature_c)
        hours = dt_s / 3600
        rest = 0.0
        for index, ohm in enumerate(self.cell_ohm):
            amps = current_a + self._moved_a[index] - self.cell_leak_a[index]
            self.cell_soc[index] += amps * hours / self.cell_ah[index]
            settled = current_a * ohm * 0.7 * self._ohm_factor
            self._rc_v[index] = settled + (self._rc_v[index] - settled) * decay
            rest += rest_voltage(self.cell_soc[index]) + self._rc_v[index]
        self.rest_v = rest
        self.resistance_ohm = sum(self.cell_ohm) * self._ohm_factor + self.lead_ohm
        heat_w = current_a * current_a * self.resistance_ohm * 1.5
        loss_w = (self.temperature_c - self.ambient_c) * _COOLING_W_PER_K_AH * self.capacity_ah
        self.temperature_c += (heat_w - loss_w) * dt_s / (_AIR_J_PER_K_AH * self.capacity_ah)
        rise_c = 12.0 * (current_a / self.capacity_ah) ** 2
        self._mosfet_rise_c = rise_c + (self._mosfet_rise_c - rise_c) * math.exp(-dt_s / 100)
        self._throughput_ah += abs(current_a) * hours / 2
        self._uptime_s += dt_s
        self._count(current_a, dt_s)
        self._measure(dt_s)

    def reboot(self) -> None:
        """The BMS starts anew: its running time does, and latched protections let go."""
        self._uptime_s = 0.0
        self._protections.clear()
        self._measure(0.0)

    # ---- what a test asks

    def force(self, *, cell: int, voltage_v: float | None) -> None:
        """Cell number `cell`, counted from 1, reads this; None lets it go."""
        if voltage_v is None:
            self._forced.pop(cell - 1, None)
        else:
            self._forced[cell - 1] = voltage_v
        self._measure(0.0)

    def pin(self, **values: object) -> None:
        """Fields of `Reading` that read exactly this until `unpin`.

        What follows from them follows: the voltage is the cells' sum, remaining = SOC x full.
        """
        unknown = set(values) - set(Reading.__dataclass_fields__)
        if unknown:
            raise TypeError(f"a reading has no {', '.join(sorted(unknown))}")
        self._pinned.update(values)
        self._measure(0.0)

    def unpin(self) -> None:
        self._pinned.clear()
        self._forced.clear()
        self._measure(0.0)

    # ---- the BMS

    def _count(self, current_a: float, dt_s: float) -> None:
        """The coulomb counter, and its corrections at both ends."""
        seen_a = self._seen_current(current_a)
        self._counted_soc += seen_a * dt_s / 3600 / (self.capacity_ah * self.soh)
        self._counted_soc = min(1.0, max(0.0, self._counted_soc))
        mean_v = (self.rest_v + current_a * sum(self.cell_ohm)) / len(self.cell_ohm)
        tail = mean_v > 3.42 and abs(current_a) < 0.05 * self.capacity_ah
        self._tail_s = self._tail_s + dt_s if tail else 0.0
        if self._tail_s > 30:
            self._counted_soc = 1.0
        elif mean_v < 2.8:
            self._counted_soc = min(self._counted_soc, 0.02)

    def _seen_current(self, current_a: float) -> float:
        seen_a = current_a * self._gain + self._offset_a
        return 0.0 if abs(seen_a) < 0.002 * self.capacity_ah else seen_a

    def _measure(self, dt_s: float) -> None:
        noise = self._rng.gauss if dt_s > 0 else _still
        factor = self._ohm_factor
        cells = [
            round(rest_voltage(soc) + rc + self.current_a * ohm * factor + noise(0, 0.0004), 3)
            for soc, rc, ohm in zip(self.cell_soc, self._rc_v, self.cell_ohm, strict=True)
        ]
        for index, volts in self._forced.items():
            cells[index] = volts
        temps = tuple(self.temperature_c + offset + noise(0, 0.05) for offset in self._sensor_c)
        seen_a = self._seen_current(self.current_a)
        full_ah = self.capacity_ah * self.soh
        reading = Reading(
            cells_v=tuple(cells),
            voltage_v=sum(cells),
            current_a=seen_a + noise(0, 0.0004 * self.capacity_ah) if seen_a else 0.0,
            temps_c=temps,
            ambient_c=self.ambient_c,
            mosfet_c=self.temperature_c + 1.5 + self._mosfet_rise_c,
            soc=self._counted_soc,
            soh=self.soh,
            full_ah=full_ah,
            remaining_ah=full_ah * self._counted_soc,
            design_ah=self.capacity_ah,
            cycles=int(self._throughput_ah / self.capacity_ah),
            throughput_ah=self._throughput_ah,
            uptime_s=int(self._uptime_s),
            fails=frozenset(self.fails),
        )
        reading = self._pin(reading)
        self._protections.watch(reading, self.settings, dt_s)
        self._balance(reading, dt_s)
        self.reading = self._pin(
            replace(
                reading,
                balance_a=self._balance_a,
                balance_bits=self._balance_bits,
                charge_on=self.may_charge,
                discharge_on=self.may_discharge,
                alarms=self._protections.alarms(reading, self.settings),
                protections=self._protections.acting,
            )
        )

    def _pin(self, reading: Reading) -> Reading:
        if not self._pinned:
            return reading
        pinned = dict(self._pinned)
        if "cells_v" in pinned:
            cells = [float(volts) for volts in _floats(pinned["cells_v"])]
            for index, volts in self._forced.items():
                cells[index] = volts
            pinned["cells_v"] = tuple(cells)
            pinned.setdefault("voltage_v", sum(cells))
        changed = replace(reading, **pinned)  # type: ignore[arg-type]
        if "remaining_ah" in pinned:
            return changed
        return replace(changed, remaining_ah=changed.full_ah * changed.soc)

    def _balance(self, reading: Reading, dt_s: float) -> None:
        at = self.settings
        cells = reading.cells_v
        high, low = max(cells), min(cells)
        self._moved_a = [0.0] * len(cells)
        self._balance_bits = 0
        self._balance_a = 0.0
        if (
            not self.balance_switch
            or high < at.balance_start_v
            or high - low < at.balance_trigger_v
        ):
            return
        top, bottom = cells.index(high), cells.index(low)
        if at.active_balancer:
            # A capacitor bank: some seconds out of the fullest cell, some into the emptiest.
            self._balance_phase_s = (self._balance_phase_s + dt_s) % 10
            emptying = self._balance_phase_s < 5
            self._moved_a[top] = -at.balance_a / 2
            self._moved_a[bottom] = at.balance_a / 2
            self._balance_a = -at.balance_a if emptying else at.balance_a
            self._balance_bits = 1 << (top if emptying else bottom)
            return
        for index, volts in enumerate(cells):
            if volts > at.balance_start_v and volts - low > at.balance_trigger_v:
                self._moved_a[index] = -at.balance_a
                self._balance_bits |= 1 << index


def _still(_mean: float, _sigma: float) -> float:
    return 0.0


def _floats(values: object) -> Iterable[float]:
    if not isinstance(values, tuple | list):
        raise TypeError("cells_v is a list of volts")
    return values
