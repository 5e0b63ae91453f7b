"""What a unit's BMS measures and tells: errors of its sensors, a counted SOC, and its lies.

The bytes are those of vbms.simulate's own devices, which share no code with the codecs.
"""

import random
from typing import cast

from vbms.simulate.bms import Reading
from vbms.simulate.byd_pro import BydPro
from vbms.simulate.jk_payload import INFO, LIVE, SETTINGS
from vbms.simulate.jk_pb import JkPb, acknowledge
from vbms.simulate.pack import Pack
from vbms.soak.patch import LivePayload
from vbms.soak.plant import CELLS, Unit

_NOISE = [random.Random("noise").gauss(0, 0.0006) for _ in range(4096)]
NONE: frozenset[str] = frozenset()
_PROTECTIONS = {
    "high+": "cell_high",
    "low-": "cell_low",
    "current+": "charge_current",
    "current-": "discharge_current",
    "hot+": "charge_hot",
    "hot-": "discharge_hot",
    "cold+": "charge_cold",
    "cold-": "discharge_cold",
}
RUNNER, WEAK = 3, 11  # their places among the sixteen


class Meter:
    """The eyes and the mouth of one unit's BMS.

    It stands where vbms.simulate has a Pack: `reading`, `settings` and the switches.
    """

    def __init__(self, unit: Unit, address: int, rng: random.Random, serial: str) -> None:
        self.unit = unit
        self.name = unit.name
        self.address = address
        self.settings = unit.settings
        self.rng = rng
        self.serial = self.own_serial = serial
        self.balance_switch = True
        self._gain_v = 1 + rng.gauss(0, 0.0007)
        self._cell_v = [rng.gauss(0, 0.001) for _ in range(16)]
        self._offset_a = rng.uniform(-0.3, 0.3)
        self._gain_a = 1 + rng.gauss(0, 0.003)
        self._sensor_c = [rng.gauss(0, 0.5) for _ in range(4)]
        self._drift = rng.uniform(-0.015, 0.015) / 86400  # of the counter, per s
        self.counted = min(1.0, max(0.0, unit.soc[1] + rng.gauss(0, 0.01)))
        self._tail_s = 0.0
        self._counted_s = self._counted_ah = 0.0
        self.uptime_s = 0.0
        # What may be wrong with it.
        self.silent = False
        self.lie_at: int | None = None  # cell
        self.lie_v = 0.0
        self.frozen: Reading | None = None
        self.lost_sensor: int | None = None
        self.hides_open = False  # its path is open, and it says nothing of it
        self.forbids = False  # permission gone, path closed
        self.spikes = 0.0  # how often a cell reads nonsense
        self.flips = 0.0  # how often a bit of an answer is wrong
        self._live: Reading | None = None
        pack = cast(Pack, self)
        self.is_jk = unit.protocol == "jk_pb"
        self.byd = BydPro(pack, address)
        self.jk = JkPb(pack, address, filler=False, serial=serial)
        self._fixed: tuple[object, bytes, bytes] | None = None
        self._patched: LivePayload | None = None
        self._acknowledge = acknowledge(address, LIVE)

    @property
    def charge_switch(self) -> bool:
        return self.unit.charge_switch and not self.forbids

    @property
    def discharge_switch(self) -> bool:
        return self.unit.discharge_switch and not self.forbids

    # ---- telling

    def frames(self, now_s: float) -> "list[bytes | None]":
        """One frame for each slot of the unit's codec."""
        if not self.is_jk:
            self._live = self._measure(now_s)
            return [self.byd.frame()]
        live = self._jk_live(now_s) + self._acknowledge
        key = (self.charge_switch, self.discharge_switch, self.serial)
        if self._fixed is None or self._fixed[0] != key:
            self.jk.identity.serial = self.serial
            self._fixed = (
                key,
                self.jk.payload(SETTINGS) + acknowledge(self.address, SETTINGS),
                self.jk.payload(INFO) + acknowledge(self.address, INFO),
            )
        return [live, self._fixed[1], self._fixed[2]]

    @property
    def reading(self) -> Reading:
        if self._live is None:
            self._live = self._measure(0.0)
        return self._live

    def refresh(self, now_s: float) -> None:
        """A new reading, for a device that answers by itself."""
        self._live = self._measure(now_s)

    def lie(self, cell: int, volts: float) -> None:
        """A cell reads wrong, for the BMS's own protections as well."""
        self.lie_at, self.lie_v = cell, volts
        self.unit.lies = [0.0, 0.0, 0.0]
        self.unit.lies[0 if cell == RUNNER else 2 if cell == WEAK else 1] = volts

    def tell_the_truth(self) -> None:
        self.lie_at, self.lie_v = None, 0.0
        self.unit.lies = [0.0, 0.0, 0.0]

    def _jk_live(self, now_s: float) -> bytes:
        unit = self.unit
        if self.frozen is not None or self.lost_sensor is not None or unit.acting:
            self._live = self._measure(now_s)
            return self.jk.payload(LIVE)
        if self._patched is None:
            self._live = self._measure(now_s)
            self._patched = LivePayload(self.jk.payload(LIVE))
        amps = self._amps()
        self._count(amps, now_s)
        self._live = None
        celsius = unit.temperature_c
        return self._patched.write(
            self._cells(),
            amps,
            [celsius + offset for offset in self._sensor_c],
            celsius + 3,
            unit.balance_a,
            self.counted,
            unit.full_ah * self.counted,
            (self.hides_open or unit.charge_on, self.hides_open or unit.discharge_on),
        )

    # ---- measuring

    def _amps(self) -> float:
        amps = self.unit.current_a * self._gain_a + self._offset_a
        return 0.0 if -0.4 < amps < 0.4 else amps

    def _cells(self) -> list[float]:
        at = self.rng.randrange(4000)
        gain = self._gain_v
        runner, average, weak = self.unit.cells
        middle = average * gain
        cells = [
            middle + offset + noise
            for offset, noise in zip(self._cell_v, _NOISE[at : at + CELLS], strict=True)
        ]
        cells[RUNNER] += (runner - average) * gain
        cells[WEAK] += (weak - average) * gain
        if self.lie_at is not None:
            cells[self.lie_at] += self.lie_v
        if self.spikes and self.rng.random() < self.spikes:
            cells[self.rng.randrange(16)] += self.rng.choice((-0.5, 0.6))
        return cells

    def _measure(self, now_s: float) -> Reading:
        unit = self.unit
        amps = self._amps()
        self._count(amps, now_s)
        if self.frozen is not None:
            return self.frozen
        cells = self._cells()
        temps = [unit.temperature_c + offset for offset in self._sensor_c]
        if self.lost_sensor is not None and self.is_jk:
            del temps[self.lost_sensor]
        volts = sum(cells)
        acting = unit.acting
        fails = NONE
        if self.lost_sensor is not None and not self.is_jk:
            fails = frozenset(("temperature_sensor",))
        if not self.is_jk and (self.forbids or not (unit.charge_switch and unit.discharge_switch)):
            fails = frozenset(("panel_off",))
        protections = frozenset(_PROTECTIONS[name] for name in acting) if acting else NONE
        return Reading(
            cells_v=tuple(cells),
            voltage_v=volts,
            current_a=amps,
            temps_c=tuple(temps),
            ambient_c=unit.temperature_c - 1,
            mosfet_c=unit.temperature_c + 3,
            soc=self.counted,
            soh=unit.soh,
            full_ah=unit.full_ah,
            remaining_ah=unit.full_ah * self.counted,
            design_ah=unit.design_ah,
            cycles=40,
            throughput_ah=0.0,
            uptime_s=int(now_s),
            balance_a=unit.balance_a,
            balance_bits=8 if unit.balance_a else 0,
            charge_on=self.hides_open or unit.charge_on,
            discharge_on=self.hides_open or unit.discharge_on,
            protections=protections,
            alarms=protections,
            fails=fails,
        )

    def _count(self, amps: float, now_s: float) -> None:
        """The coulomb counter with its drift, set right at full and empty."""
        unit = self.unit
        passed = now_s - self._counted_s
        self._counted_s = now_s
        if passed <= 0:
            return
        moved = (unit.passed_ah - self._counted_ah) * self._gain_a
        self._counted_ah = unit.passed_ah
        self.counted += moved / unit.full_ah + self._drift * passed
        self.counted = min(1.0, max(0.0, self.counted))
        mean = unit.cells[1]
        tail = mean > 3.42 and abs(amps) < 0.05 * unit.design_ah
        self._tail_s = self._tail_s + passed if tail else 0.0
        if self._tail_s > 30:
            self.counted = 1.0
        elif mean < 2.8:
            self.counted = min(self.counted, 0.02)
