"""`kind: simulate` links: a line with every battery named on it, and the inverter's line."""

import random
from collections.abc import Callable, Sequence

from vbms.errors import ConfigError
from vbms.simulate import byd_pro, jbd, jk_4e57, jk_payload, pack_chain
from vbms.simulate.bms import Settings
from vbms.simulate.byd_pro import BydPro
from vbms.simulate.device import Device
from vbms.simulate.faults import Fault, Schedule
from vbms.simulate.jk_4e57 import Jk4e57
from vbms.simulate.jk_pb import JkMaster, JkPb
from vbms.simulate.line import PacedLine
from vbms.simulate.pack import Pack
from vbms.simulate.pack_chain import PackChain
from vbms.simulate.world import World

# battery name, protocol, address, Ah, cells, place in `batteries:` or slot
Battery = tuple[str, str, int, float | None, int | None, int]


def _jk(pack: Pack, address: int) -> Device:
    return JkPb(pack, address) if address else JkMaster(pack)


# protocol -> (device, the BMS's settings, Ah if nobody says, baud)
DEVICES: dict[str, tuple[Callable[[Pack, int], Device], Callable[[], Settings], float, int]] = {
    "byd_pro": (BydPro, byd_pro.settings, 50.0, 9600),
    "jk_4e57": (Jk4e57, jk_4e57.settings, 100.0, 115200),
    "pack_chain": (PackChain, pack_chain.settings, 100.0, 9600),
    "jk_pb": (_jk, jk_payload.settings, 200.0, 115200),
    "jbd": (jbd.Jbd, jbd.settings, 100.0, 9600),
}

ALONE = ("jk_4e57", "jbd", "pack_chain")  # devices without an address: one for each line


def make_device(
    world: World,
    name: str,
    protocol: str,
    address: int,
    capacity_ah: float | None = None,
    cells: int | None = None,
    soc: float | None = None,
) -> Device:
    """A battery in the world and its voice; one that is there already keeps its state."""
    if protocol not in DEVICES:
        known = ", ".join(DEVICES)
        raise ConfigError(f"{name}: no simulator speaks {protocol} (there are: {known})")
    device, settings, usual_ah, _ = DEVICES[protocol]
    pack = world.packs.get(name)
    if pack is not None and pack.protocol == protocol:
        return device(pack, address)
    rng = random.Random(f"site/{world.seed}/{name}")
    pack = world.add(
        name,
        protocol,
        cells or 16,
        capacity_ah or usual_ah,
        rng.uniform(0.595, 0.625) if soc is None else soc,
        settings=settings(),
        soh=round(rng.uniform(0.96, 1.0), 2),
        cycles=rng.randint(20, 400),
        temperature_c=rng.uniform(21.0, 25.0),
    )
    return device(pack, address)


def simulated_line(
    link_name: str,
    baud: int,
    batteries: Sequence[Battery],
    world: World,
    faults: Sequence[Fault] = (),
) -> PacedLine:
    """The line of a battery link: `path` is vbms' own end, and stays the same over an unplug.

    The world moves while the line runs. Raises ConfigError for a protocol nobody can play.
    """
    line = PacedLine(baud, link_name, steady=True)
    devices: dict[str, Device] = {}
    try:
        for name, protocol, address, capacity_ah, cells, _slot in batteries:
            devices[name] = make_device(world, name, protocol, address, capacity_ah, cells)
            line.attach(devices[name])
    except ConfigError:
        line.close()
        raise
    line.background.append(world.advance)
    line.schedule = Schedule(faults, devices, line)
    return line


def inverter_line(link_name: str, baud: int) -> PacedLine:
    """The line of an inverter link: vbms at `path`, any inverter at `far_path`."""
    return PacedLine(baud, link_name, far=True)
