"""The world the simulated devices measure: packs on one bus bar, weather, a house that uses them.

Packs in parallel share a current by their voltages and resistances, as copper does: the bus takes
the voltage at which the currents add up to what is asked for. A pack whose BMS has opened a
direction carries none in that direction. Everything follows from the seed and the time passed.
"""

import math
import random
from collections.abc import Sequence

from vbms.simulate.bms import Settings
from vbms.simulate.house import House
from vbms.simulate.pack import Pack

_TICK_S = 0.5
_COARSEST_S = 2.0
_MOST_TICKS = 600  # in one call: after a long pause time is skipped rather than caught up


class World:
    """Packs by name; `demand_a`: what the inverter wants (> 0 charges), None: the house's wish."""

    def __init__(self, seed: int = 1, speed: float = 1) -> None:
        self.seed = seed
        self.speed = speed
        self.packs: dict[str, Pack] = {}
        self.house = House(seed)
        self.demand_a: float | None = None
        self.current_a = 0.0  # what really flows
        self.bus_v = 0.0
        self.now_s = 0.0
        self.weather_c = 22.0
        self._last_s: float | None = None
        self._rest_s = 0.0
        self._tick_s = min(_COARSEST_S, max(_TICK_S, _TICK_S * speed))

    def add(
        self,
        name: str,
        protocol: str,
        cells: int = 16,
        capacity_ah: float = 50.0,
        soc: float = 0.6,
        *,
        settings: Settings | None = None,
        soh: float = 1.0,
        cycles: int = 12,
        temperature_c: float = 22.0,
        spread: float = 0.004,
    ) -> Pack:
        """A pack on the bus bar; two of one name are a mistake (ValueError)."""
        if name in self.packs:
            raise ValueError(f"the world has a pack named {name} already")
        pack = Pack(
            name,
            protocol,
            cells=cells,
            capacity_ah=capacity_ah,
            soc=soc,
            soh=soh,
            cycles=cycles,
            temperature_c=temperature_c,
            spread=spread,
            settings=settings,
            rng=random.Random(f"{self.seed}/{name}"),
        )
        self.packs[name] = pack
        self._share(0.0)
        return pack

    @property
    def capacity_ah(self) -> float:
        return sum(pack.capacity_ah for pack in self.packs.values())

    def advance(self, now_s: float) -> None:
        """Move on to this moment of a real clock, `speed` times as fast; the first call sets it."""
        if self._last_s is not None:
            self._rest_s += (now_s - self._last_s) * self.speed
        self._last_s = now_s
        ticks = int(self._rest_s / self._tick_s)
        self._rest_s -= ticks * self._tick_s
        for _ in range(min(ticks, _MOST_TICKS)):
            self._tick(self._tick_s)

    def step(self, dt_s: float) -> None:
        """Move on by dt_s seconds of world time."""
        while dt_s > 1e-9:
            part = min(dt_s, self._tick_s)
            self._tick(part)
            dt_s -= part

    def _tick(self, dt_s: float) -> None:
        self.now_s += dt_s
        self.weather_c = 22 + 2 * math.sin(self.now_s / 4000)
        wish_a = self._own_wish() if self.demand_a is None else self.demand_a
        currents = self._share(wish_a)
        for pack, amps in zip(self.packs.values(), currents, strict=True):
            pack.ambient_c += (self.weather_c - pack.ambient_c) * dt_s / 3600
            pack.move(amps, dt_s)
        self.current_a = sum(currents)

    def _own_wish(self) -> float:
        """Without an inverter that follows vbms: the house behind a careful charger."""
        if not self.packs:
            return 0.0
        wish_a = self.house.wish_a(self.now_s, self.capacity_ah)
        cells = [volts for pack in self.packs.values() for volts in pack.reading.cells_v]
        if wish_a > 0:
            return wish_a * min(1.0, max(0.0, (3.45 - max(cells)) / 0.05))
        return wish_a * min(1.0, max(0.0, (min(cells) - 3.0) / 0.1))

    def _share(self, demand_a: float) -> list[float]:
        """Each pack's current, in the order of `packs`; sets the bus voltage."""
        packs = list(self.packs.values())
        joined = [pack for pack in packs if pack.connected]
        if not joined:
            self.bus_v = 0.0
            return [0.0] * len(packs)
        conductance = sum(1 / pack.resistance_ohm for pack in joined)
        push = sum(pack.rest_v / pack.resistance_ohm for pack in joined)
        volts = (demand_a + push) / conductance
        if any(_carried(pack, volts) != _free(pack, volts) for pack in joined):
            volts = _search(joined, demand_a)
        self.bus_v = volts
        return [_carried(pack, volts) if pack.connected else 0.0 for pack in packs]


def _free(pack: Pack, bus_v: float) -> float:
    return (bus_v - pack.rest_v) / pack.resistance_ohm


def _carried(pack: Pack, bus_v: float) -> float:
    amps = _free(pack, bus_v)
    if (amps > 0 and not pack.may_charge) or (amps < 0 and not pack.may_discharge):
        return 0.0
    return amps


def _search(packs: Sequence[Pack], demand_a: float) -> float:
    """The bus voltage for this sum with some directions open: it only grows with it, so halve."""
    low = min(pack.rest_v for pack in packs)
    high = max(pack.rest_v for pack in packs)
    if demand_a > 0 and not any(pack.may_charge for pack in packs):
        return high
    if demand_a < 0 and not any(pack.may_discharge for pack in packs):
        return low
    reach = abs(demand_a) * max(pack.resistance_ohm for pack in packs) + 0.001
    low, high = low - reach, high + reach
    for _ in range(60):
        middle = (low + high) / 2
        if sum(_carried(pack, middle) for pack in packs) < demand_a:
            low = middle
        else:
            high = middle
    return (low + high) / 2
