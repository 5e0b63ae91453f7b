"""The site as it is, whatever the program believes: batteries, meters, weather, inverter, faults.

Everything follows from the seed. `direct` and `wires` put the program in front of it, which gives
the world three hooks: how it restarts, how its clock steps back, and its line to the inverter.
"""

import random
from collections.abc import Callable

from vbms.config import Settings, load_text
from vbms.simulate import byd_pro, jk_payload
from vbms.simulate.bms import Settings as BmsSettings
from vbms.soak.faults import Deck
from vbms.soak.inverter import House, Inverter
from vbms.soak.meter import Meter
from vbms.soak.plant import Plant, Unit

_HEAD = """\
site: {name: soak}
links:
  byd: {kind: simulate, baud: 9600}
  jk: {kind: simulate, baud: 115200}
  inv: {kind: simulate, baud: 9600}
inverters:
  - {name: deye, profile: deye_rs485, link: inv, present: bank}
"""


class World:
    """Batteries in parallel behind one inverter. None: 2 to 6 of them, SOC, by the seed."""

    def __init__(
        self,
        seed: int,
        units: int | None,
        fault_every_s: float,
        mild: bool = False,
        soc: float | None = None,
    ) -> None:
        rng = random.Random(f"soak/{seed}")
        self.seed = seed
        self.settings, rows = _site(rng, units)
        drawn = rng.uniform(0.2, 0.9)
        soc = drawn if soc is None else soc
        spread = rng.uniform(0.001, 0.04)
        self.meters: list[Meter] = []
        members = []
        for name, protocol, address, capacity_ah in rows:
            own = random.Random(f"soak/{seed}/{name}")
            at = soc + own.uniform(-spread, spread) / 2
            unit = Unit(name, protocol, _bms(protocol, capacity_ah), capacity_ah, at, own)
            members.append(unit)
            serial = f"4011{own.randrange(10**8):08d}"
            self.meters.append(Meter(unit, address, own, serial))
        self.capacity_ah = sum(unit.full_ah for unit in members)
        self.house = House(random.Random(f"soak/{seed}/house"), self.capacity_ah)
        self.house.mild = mild
        self.house.wish_a(0.0)
        for unit in members:
            unit.temperature_c = self.house.ambient_c
        self.plant = Plant(members)
        self.inverter = Inverter(
            random.Random(f"soak/{seed}/inverter"), self.house, seed % 2 == 0, self.capacity_ah
        )
        self.deck = Deck(random.Random(f"soak/{seed}/faults"), fault_every_s)
        self.lines = sorted({protocol for _, protocol, _, _ in rows})
        self.gone: set[str] = set()  # lines whose port is away
        self.now_s = 0.0
        self._later: list[tuple[float, Callable[[], None]]] = []
        self.restart: Callable[[float], None] = _nothing
        self.clock_back: Callable[[int], None] = _nothing

    def later(self, seconds: float, what: Callable[[], None]) -> None:
        self._later.append((self.now_s + seconds, what))

    def step(self, dt_s: float) -> None:
        """The world moves on by a second: faults, then the inverter's wish, then the currents."""
        self.now_s = now_s = self.now_s + dt_s
        if self._later:
            for row in [row for row in self._later if row[0] <= now_s]:
                self._later.remove(row)
                row[1]()
        self.deck.step(self, now_s)
        amps = self.inverter.drive(now_s, self.plant)
        self.plant.step(amps, dt_s, self.house.ambient_c)


def _nothing(_: float) -> None:
    return None


def _bms(protocol: str, capacity_ah: float) -> BmsSettings:
    if protocol == "byd_pro":
        return byd_pro.settings()
    at = jk_payload.settings()
    at.charge_a = min(200.0, round(0.6 * capacity_ah))
    at.discharge_a = min(200.0, round(0.9 * capacity_ah))
    return at


Row = tuple[str, str, int, float]


def _site(rng: random.Random, units: int | None) -> tuple[Settings, list[Row]]:
    """Settings as from a file, and (name, protocol, address, Ah) of each battery."""
    count = units or rng.randint(2, 6)
    make = rng.choice(("jk_pb", "jk_pb", "byd_pro", "mixed"))
    usual = rng.choice((100.0, 200.0, 280.0, 304.0))
    same = rng.random() < 0.5
    rows = []
    text = []
    seen = {"jk_pb": 0, "byd_pro": 0}
    for at in range(count):
        protocol = ("byd_pro", "jk_pb")[at % 2] if make == "mixed" else make
        seen[protocol] += 1
        address = seen[protocol]
        is_jk = protocol == "jk_pb"
        capacity = (usual if same else rng.choice((100.0, 200.0, 280.0, 304.0))) if is_jk else 50.0
        name = f"{'jk' if is_jk else 'byd'}-{address}"
        profile, link = ("jk_pb", "jk") if is_jk else ("byd_pro_2_5", "byd")
        rows.append((name, protocol, address, capacity))
        text.append(f"  - {{name: {name}, profile: {profile}, link: {link}, address: {address}}}")
    head = _HEAD
    for link, protocol in (("byd", "byd_pro"), ("jk", "jk_pb")):
        if not seen[protocol]:
            head = "\n".join(line for line in head.split("\n") if not line.startswith(f"  {link}:"))
    if rng.random() < 0.3:
        cap = round(0.4 * sum(row[3] for row in rows))
        head += f"bank: {{max_charge_a: {cap}}}\n"
    return load_text(head + "batteries:\n" + "\n".join(text) + "\n"), rows
