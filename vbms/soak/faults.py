"""What goes wrong on a site, by name, how often and for how long; every choice from one seed.

A kind is a row of KINDS and a function that begins it and returns how it ends. A unit has one fault
of its own at a time; the site's (a port, the inverter, a restart) come beside them.
"""

import math
import random
import typing
from collections import Counter
from collections.abc import Callable

from vbms.soak.meter import RUNNER, WEAK, Meter

if typing.TYPE_CHECKING:
    from vbms.soak.world import World

End = Callable[[], None]
DAY_S = 86400.0
QUIET_FROM = 0.70  # of each day: all faults end, and the site may come to itself
WARM_UP_S = 300.0


class Episode:
    """One fault: when it began, for how long, at which unit ("" for the site's)."""

    __slots__ = ("at_s", "end", "for_s", "kind", "unit")

    def __init__(self, kind: str, unit: str, at_s: float, for_s: float, end: End) -> None:
        self.kind = kind
        self.unit = unit
        self.at_s = at_s
        self.for_s = for_s
        self.end = end

    def __str__(self) -> str:
        where = f" {self.unit}" if self.unit else ""
        return f"{self.at_s:.0f} s: {self.kind}{where} for {self.for_s:.0f} s"


def _silent(world: "World", meter: Meter, rng: random.Random) -> End:
    meter.silent = True

    def end() -> None:
        meter.silent = False

    return end


def _frozen(world: "World", meter: Meter, rng: random.Random) -> End:
    meter.frozen = meter.reading

    def end() -> None:
        meter.frozen = None

    return end


def _spikes(world: "World", meter: Meter, rng: random.Random) -> End:
    meter.spikes = 0.3

    def end() -> None:
        meter.spikes = 0.0

    return end


def _noise(world: "World", meter: Meter, rng: random.Random) -> End:
    meter.flips = 0.4

    def end() -> None:
        meter.flips = 0.0

    return end


def _lie(volts: float) -> "Callable[[World, Meter, random.Random], End]":
    def begin(world: "World", meter: Meter, rng: random.Random) -> End:
        meter.lie(rng.choice((0, RUNNER, WEAK)), volts)
        return meter.tell_the_truth

    return begin


def _sensor(world: "World", meter: Meter, rng: random.Random) -> End:
    meter.lost_sensor = rng.randrange(4)

    def end() -> None:
        meter.lost_sensor = None

    return end


def _opens_unannounced(world: "World", meter: Meter, rng: random.Random) -> End:
    """The contactor opens without notice; the BMS says that all is well."""
    unit = meter.unit
    unit.contactor = False
    meter.hides_open = True

    def end() -> None:
        meter.hides_open = False
        unit.close()

    return end


def _opens(world: "World", meter: Meter, rng: random.Random) -> End:
    """One or both paths open, and the BMS says so where it can."""
    unit = meter.unit
    which = rng.choice(("charge", "discharge", "both"))
    unit.charge_forced_open = which != "discharge"
    unit.discharge_forced_open = which != "charge"

    def end() -> None:
        unit.charge_forced_open = unit.discharge_forced_open = False
        unit.close()

    return end


def _forbids(world: "World", meter: Meter, rng: random.Random) -> End:
    """Its permission is gone, its path closed."""
    meter.forbids = True

    def end() -> None:
        meter.forbids = False

    return end


def _away(world: "World", meter: Meter, rng: random.Random) -> End:
    """Switched off and on again: away at one state of charge, back at another bus."""
    unit = meter.unit
    unit.contactor = False
    meter.silent = True

    def end() -> None:
        meter.silent = False
        unit.close()

    return end


def _asleep(world: "World", meter: Meter, rng: random.Random) -> End:
    """Opens both ways, says so, and goes to sleep."""
    unit = meter.unit
    unit.charge_forced_open = unit.discharge_forced_open = True
    world.later(5.0, lambda: setattr(meter, "silent", True))

    def end() -> None:
        meter.silent = False
        unit.charge_forced_open = unit.discharge_forced_open = False
        unit.close()

    return end


def _hot(world: "World", meter: Meter, rng: random.Random) -> End:
    unit = meter.unit
    unit.heater_w = 0.06 * unit.design_ah * rng.uniform(30, 110)

    def end() -> None:
        unit.heater_w = 0.0

    return end


def _wrong_serial(world: "World", meter: Meter, rng: random.Random) -> End:
    meter.serial = f"9999{rng.randrange(10**8):08d}"

    def end() -> None:
        meter.serial = meter.own_serial

    return end


def _swapped(world: "World", meter: Meter, rng: random.Random) -> End:
    """Another battery in its place; at the end its own comes back, both near the bus's charge."""
    unit = meter.unit
    kept = list(unit.soc)
    shift = rng.uniform(-0.05, 0.05)
    unit.soc = [min(0.985, max(0.05, soc + shift)) for soc in unit.soc]
    meter.serial = f"8888{rng.randrange(10**8):08d}"
    unit.close()

    def end() -> None:
        middle = sum(other.soc[1] for other in world.plant.units) / len(world.plant.units)
        unit.soc = [min(0.985, max(0.05, middle + soc - kept[1])) for soc in kept]
        meter.serial = meter.own_serial
        unit.close()

    return end


def _port(world: "World", rng: random.Random) -> End:
    line = rng.choice(world.lines)
    world.gone.add(line)
    return lambda: world.gone.discard(line)


def _deaf(world: "World", rng: random.Random) -> End:
    world.inverter.deaf = True

    def end() -> None:
        world.inverter.deaf = False

    return end


def _disobedient(world: "World", rng: random.Random) -> End:
    world.inverter.over = 1.3

    def end() -> None:
        world.inverter.over = 1.0

    return end


def _restart(world: "World", rng: random.Random) -> End:
    away_s = rng.choice((2.0, 5.0, 20.0, 90.0))
    world.restart(away_s)
    return lambda: None


def _clock(world: "World", rng: random.Random) -> End:
    """The clock steps back, as one does that wraps and is not unwrapped."""
    world.clock_back(rng.choice((1000, 60000, 1 << 22, 1 << 30)))
    return lambda: None


# name: (weight, shortest s, longest s, what begins it)
AtUnit = Callable[["World", Meter, random.Random], End]
AtSite = Callable[["World", random.Random], End]
UNIT_KINDS: dict[str, tuple[float, float, float, AtUnit]] = {
    "silent": (3.0, 6, 5000, _silent),
    "dead": (0.4, 7200, 28800, _silent),
    "frozen": (1.0, 10, 2400, _frozen),
    "spikes": (1.0, 20, 600, _spikes),
    "noise": (1.5, 10, 900, _noise),
    "cell_reads_low": (0.8, 300, 7200, _lie(-0.060)),
    "cell_reads_high": (0.8, 300, 7200, _lie(0.150)),
    "sensor_lost": (1.0, 30, 5400, _sensor),
    "opens_unannounced": (1.0, 30, 3600, _opens_unannounced),
    "opens": (1.0, 10, 3600, _opens),
    "permission_gone": (1.0, 5, 1800, _forbids),
    "away": (0.5, 600, 7200, _away),
    "asleep": (0.5, 1800, 14400, _asleep),
    "hot": (0.5, 1200, 5400, _hot),
    "wrong_serial": (0.7, 10, 1800, _wrong_serial),
    "swapped": (0.4, 300, 5400, _swapped),
}
SITE_KINDS: dict[str, tuple[float, float, float, AtSite]] = {
    "port_gone": (1.0, 3, 900, _port),
    "inverter_deaf": (1.0, 10, 120, _deaf),
    "inverter_disobedient": (0.5, 30, 600, _disobedient),
    "restart": (1.5, 1, 1, _restart),
    "clock_back": (0.5, 1, 1, _clock),
}
KINDS = (*UNIT_KINDS, *SITE_KINDS)


class Deck:
    """Deals the faults, about one every `every_s` outside the quiet part of the day."""

    def __init__(self, rng: random.Random, every_s: float) -> None:
        self._rng = rng
        self._every_s = every_s
        self._next_s = WARM_UP_S + rng.expovariate(1 / every_s) if every_s else math.inf
        self._names = list(KINDS)
        rows = (*UNIT_KINDS.values(), *SITE_KINDS.values())
        self._weights = [row[0] for row in rows]
        self.active: list[Episode] = []
        self.history: list[Episode] = []
        self.counts: Counter[str] = Counter()
        self.last_end_s = 0.0  # when the last fault was over

    def leave_out(self, kind: str) -> None:
        """A kind that cannot happen here."""
        at = self._names.index(kind)
        del self._names[at], self._weights[at]

    def step(self, world: "World", now_s: float) -> None:
        if self.active:
            for episode in [each for each in self.active if each.at_s + each.for_s <= now_s]:
                self._finish(episode, now_s)
        quiet = now_s % DAY_S >= QUIET_FROM * DAY_S
        if quiet:
            for episode in list(self.active):
                self._finish(episode, now_s)
        elif now_s >= self._next_s:
            self._next_s = now_s + self._rng.expovariate(1 / self._every_s)
            self._deal(world, now_s)

    def _finish(self, episode: Episode, now_s: float) -> None:
        self.active.remove(episode)
        episode.for_s = now_s - episode.at_s
        episode.end()
        self.last_end_s = now_s

    def _deal(self, world: "World", now_s: float) -> None:
        rng = self._rng
        kind = rng.choices(self._names, self._weights)[0]
        where = ""
        if kind in UNIT_KINDS:
            _, low, high, begin = UNIT_KINDS[kind]
            busy = {episode.unit for episode in self.active}
            free = [meter for meter in world.meters if meter.name not in busy]
            if not free:
                return
            meter = rng.choice(free)
            where = meter.name
            end = begin(world, meter, rng)
        else:
            _, low, high, start = SITE_KINDS[kind]
            if any(episode.kind == kind for episode in self.active):
                return
            end = start(world, rng)
        for_s = math.exp(rng.uniform(math.log(low), math.log(high)))
        episode = Episode(kind, where, now_s, for_s, end)
        self.active.append(episode)
        self.history.append(episode)
        if len(self.history) > 40:
            del self.history[0]
        self.counts[kind] += 1
