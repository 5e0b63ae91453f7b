"""`vbms simulate jk-ble` and `jbd-ble`: batteries on a simulated Bluetooth adapter."""

import asyncio
import shutil
from collections.abc import Sequence

import click

from vbms.errors import ConfigError
from vbms.simulate.bluez_device import RADIO_FAULTS
from vbms.simulate.bluez_site import Air, make_peripheral
from vbms.simulate.faults import NAMES, Fault
from vbms.simulate.world import World

# Word on the command line -> protocol, layout of a JK.
DEVICES = {
    "jk_ble": ("jk_ble", 32),
    "jk02_32s": ("jk_ble", 32),
    "jk02_24s": ("jk_ble", 24),
    "jk04": ("jk_ble", 4),
    "jbd_ble": ("jbd", 32),
}
FAULTS = (*NAMES, *sorted(RADIO_FAULTS))
_STRANGERS = 20


async def play(
    device: str,
    addresses: Sequence[str],
    faults: Sequence[Fault],
    likeness: tuple[int, float | None, float | None, int, float],
) -> int:
    """Play on a bus of our own, for ever. likeness: cells, Ah, SOC in percent, seed, speed.

    Prints the address of the bus first, ready to be put into the environment of any program that
    uses bleak, then a line for each battery.
    """
    protocol, layout = DEVICES[device]
    cells, capacity, soc, seed, speed = likeness
    world = World(seed, speed)
    air = Air(world, advertisers=_STRANGERS)
    share = None if soc is None else soc / 100
    named = {}
    try:
        for number, address in enumerate(addresses or ("C8:47:80:12:34:56",)):
            name = f"{device}-{number + 1}"
            made = make_peripheral(
                world, name, protocol, address.upper() if ":" in address else address,
                capacity, cells, share, layout,
            )  # fmt: skip
            air.put(name, made)
            named[name] = made
        await air.start(enter=False)
        click.echo(f"DBUS_SYSTEM_BUS_ADDRESS={air.bus.address}")
        for peripheral in named.values():
            click.echo(f"{peripheral.address} {peripheral.name}")
        first = next(iter(named))
        air.plan([Fault(first, each.fault, each.at_s, each.for_s) for each in faults])
        await asyncio.Event().wait()
    finally:
        await air.close()
    return 0


def places(texts: Sequence[str]) -> list[str]:
    """MACs, or names to advertise, apart or with commas between. Raises ConfigError."""
    found = [each.strip() for text in texts for each in text.split(",") if each.strip()]
    if len(set(found)) < len(found):
        raise ConfigError("each address once, please")
    return found


def can_be_played() -> str | None:
    """None, or what is missing here for simulated Bluetooth."""
    if shutil.which("dbus-daemon") is None:
        return "dbus-daemon (apt-get install dbus)"
    try:
        import bleak  # noqa: F401
        import dbus_fast  # noqa: F401
    except ImportError:
        return "bleak (pip install 'vbms[ble]')"
    return None
