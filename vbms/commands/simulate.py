"""`vbms simulate`: play a battery or the inverter on a pty or on a real port."""

import asyncio
import contextlib
import logging
import signal
import sys
from collections.abc import Collection, Coroutine, Sequence

import click

from vbms.commands import simulate_can
from vbms.commands.numbers import Real
from vbms.errors import VbmsError
from vbms.simulate import pylontech_wrong
from vbms.simulate.can_checks import STYLES
from vbms.simulate.can_inverter import HABITS
from vbms.simulate.deye import Deye
from vbms.simulate.deye_wrong import WRONG
from vbms.simulate.faults import NAMES, Fault, Schedule
from vbms.simulate.line import PacedLine, open_port
from vbms.simulate.pylontech import Pylontech
from vbms.simulate.site import ALONE, DEVICES, make_device
from vbms.simulate.world import World

log = logging.getLogger(__name__)

BLE_DEVICES = ("jk_ble", "jk02_32s", "jk02_24s", "jk04", "jbd_ble")

# Inverters that ask on a serial line, and the bad requests of each.
_INVERTERS: dict[str, Collection[str]] = {
    "deye": WRONG,
    "deye_rs485": WRONG,
    "pylontech_rs485": pylontech_wrong.WRONG,
    "pylontech_rs485_voltronic": pylontech_wrong.WRONG,
}


@click.command("simulate")
@click.argument("device")
@click.argument("more_addresses", nargs=-1, metavar="")
@click.option(
    "--port",
    metavar="PATH",
    help="Play on this port; without it a pty is made and its path printed first.",
)
@click.option(
    "--address",
    "addresses",
    multiple=True,
    metavar="A ...",
    help="Addresses to play: 1, 1 2 3, 1-3 or 1,2,3. A jk_pb at 0 is a master. Default 1.",
)
@click.option(
    "--url", default="mqtt://127.0.0.1:1883", show_default=True, help="mqtt_pack: the broker."
)
@click.option(
    "--shape",
    type=click.Choice(["json", "pack"]),
    default="json",
    show_default=True,
    help="mqtt_pack: one object, or a topic for each cell.",
)
@click.option("--modules", type=click.IntRange(1, 8), help="byd_battery_box: how many it has.")
@click.option("--baud", type=click.IntRange(1200, 1_000_000), help="Default: the device's own.")
@click.option(
    "--fault",
    "faults",
    multiple=True,
    metavar="NAME",
    help="A battery's: "
    + " ".join(NAMES)
    + "; a deye's: "
    + " ".join(WRONG)
    + "; a pylontech_rs485's: "
    + " ".join(pylontech_wrong.WRONG)
    + "; a CAN one's: "
    + " ".join(HABITS)
    + ".",
)
@click.option(
    "--fault-at",
    type=Real(0),
    default=10.0,
    show_default=True,
    help="Seconds after start.",
)
@click.option(
    "--fault-for",
    type=Real(0),
    default=60.0,
    show_default=True,
    help="Seconds, 0: for ever.",
)
@click.option("--cells", type=click.IntRange(4, 32), default=16, show_default=True)
@click.option("--capacity", type=float, metavar="AH", help="Default: the device's usual.")
@click.option("--soc", type=Real(0, 100), metavar="PERCENT", help="At start.")
@click.option(
    "--seed", type=int, default=1, show_default=True, help="The same seed, the same world."
)
@click.option("--speed", type=Real(0.1, 100), default=1, show_default=True)
@click.option(
    "--rounds",
    type=int,
    default=0,
    help="An inverter's: stop after this many (on CAN seconds), exit 1 on violations.",
)
def command(
    device: str,
    more_addresses: Sequence[str],
    port: str | None,
    addresses: Sequence[str],
    url: str,
    shape: str,
    modules: int | None,
    baud: int | None,
    faults: Sequence[str],
    fault_at: float,
    fault_for: float,
    cells: int,
    capacity: float | None,
    soc: float | None,
    seed: int,
    speed: float,
    rounds: int,
) -> None:
    """Play DEVICE, a protocol's name such as byd_pro or jk_pb; or deye, pylontech_rs485: inverters.

    Battery faults strike the first address, from 10 s for 60 s unless told otherwise. An inverter's
    faults are bad requests, one after each round. An mqtt_pack has a broker in place of a port, and
    its addresses are topics. A byd_battery_box (or byd_hvs, byd_hvm, byd_lvs, byd_lvl) has a TCP
    port, and prints where.

    A jk_ble (32S; also jk02_24s, jk04) or jbd_ble has Bluetooth in place of a port: what is printed
    first is the bus to give to a program that uses bleak. Its addresses are MACs, or names that it
    advertises; its radio's faults are away, hang, no_service, refuse, unresolved and zombie.

    Inverters on a CAN bus go by their profile (deye_can, victron_can, ...). Their port is a serial
    adapter (slcan); without one the path that is printed is such an adapter's, with the inverter
    behind it: `interface: slcan, channel: PATH`. Their faults are habits that last.
    """
    name = device.lower().replace("-", "_")
    if name in STYLES:
        _check_names(faults, HABITS)
        sys.exit(simulate_can.play(name, port, faults, rounds))
    if name == "mqtt_pack":
        topics = [topic for text in (*addresses, *more_addresses) for topic in text.split(",")]
        wrong = [Fault("", fault, fault_at, fault_for) for fault in faults]
        pack = (cells, capacity, soc, seed, speed)
        _play_mqtt(url, topics or ["vbms-sim/1"], shape, wrong, pack)
        return
    if name in BLE_DEVICES:
        from vbms.commands import simulate_ble

        _check_names(faults, simulate_ble.FAULTS)
        pack = (cells, capacity, soc, seed, speed)
        wrong = [Fault("", fault, fault_at, fault_for) for fault in faults]
        try:
            found = simulate_ble.places([*addresses, *more_addresses])
            sys.exit(asyncio.run(_until_told(simulate_ble.play(name, found, wrong, pack))))
        except VbmsError as error:
            click.echo(f"vbms simulate: {error}", err=True)
            sys.exit(1)
    if name.startswith("byd_") and name != "byd_pro":
        wrong = [Fault("", fault, fault_at, fault_for) for fault in faults]
        _play_box(name.removeprefix("byd_"), port, modules, wrong, (capacity, soc, seed, speed))
        return
    known = (*DEVICES, *BLE_DEVICES, "mqtt_pack", "byd_battery_box", *_INVERTERS, *STYLES)
    if name not in DEVICES and name not in _INVERTERS:
        raise click.BadParameter(f"{device}: there are {', '.join(known)}", param_hint="DEVICE")
    if more_addresses and not addresses:
        raise click.UsageError(
            f"unexpected {' '.join(more_addresses)} (addresses follow --address)"
        )
    _check_names(faults, _INVERTERS.get(name, NAMES))
    try:
        if name in _INVERTERS:
            play: Coroutine[None, None, int]
            play = _play_inverter(name, port, baud or 9600, faults, cells, rounds)
        else:
            places = _places([*addresses, *more_addresses], name)
            if len(places) > 1 and name in ALONE:
                raise click.BadParameter(f"a {name} has none", param_hint="--address")
            world = World(seed, speed)
            share = None if soc is None else soc / 100
            devices = {
                f"{name}-{place}": make_device(
                    world, f"{name}-{place}", name, place, capacity, cells, share
                )
                for place in places
            }
            first = next(iter(devices))
            wanted = [Fault(first, fault, fault_at, fault_for) for fault in faults]
            line = _line(port, baud or DEVICES[name][3], "unplug" in faults)
            for battery in devices.values():
                line.attach(battery)
            line.background.append(world.advance)
            line.schedule = Schedule(wanted, devices, line)
            for fault in wanted:
                log.info("%s: fault %s at %g s", fault.unit, fault.fault, fault.at_s)
            play = _play_line(line)
        code = asyncio.run(_until_told(play))
    except VbmsError as error:
        click.echo(f"vbms simulate: {error}", err=True)
        sys.exit(1)
    sys.exit(code)


def _play_mqtt(
    url: str,
    topics: Sequence[str],
    shape: str,
    faults: Sequence[Fault],
    likeness: tuple[int, float | None, float | None, int, float],
) -> None:
    """Packs that tell a broker how they are. likeness: cells, Ah, SOC in percent, seed, speed."""
    from vbms.links.mqtt_client import MqttClient
    from vbms.simulate.mqtt_pack import FAULTS, MqttPack, play

    cells, capacity, soc, seed, speed = likeness
    _check_names([fault.fault for fault in faults], FAULTS)
    world = World(seed, speed)
    share = 0.6 if soc is None else soc / 100
    packs = [
        MqttPack(world.add(topic, "mqtt_pack", cells, capacity or 100.0, share), topic, shape)
        for topic in topics
    ]

    async def tell() -> int:
        client = MqttClient("broker", url)
        try:
            click.echo(f"{client.where} {' '.join(topics)}")
            await play(client, packs, world, faults)
        finally:
            client.close()
        return 0

    sys.exit(asyncio.run(_until_told(tell())))


def _play_box(
    model: str,
    port: str | None,
    modules: int | None,
    faults: Sequence[Fault],
    likeness: tuple[float | None, float | None, int, float],
) -> None:
    """A Battery-Box on [HOST:]PORT, else on any. likeness: Ah, SOC in percent, seed, speed."""
    from vbms.simulate import byd_battery_box as box

    model = "lvl" if model == "battery_box" else model
    if model not in box.MODELS:
        known = ", ".join(f"byd_{each}" for each in box.MODELS)
        raise click.BadParameter(f"byd_{model}: there are {known}", param_hint="DEVICE")
    host, _, number = (port or "0").rpartition(":")
    if not number.isdigit() or int(number) > 65535:
        raise click.BadParameter(f"{port} is no [HOST:]PORT", param_hint="--port")
    _check_names([fault.fault for fault in faults], box.FAULTS)
    capacity, soc, seed, speed = likeness
    world = World(seed, speed)
    share = None if soc is None else soc / 100
    played = box.make_box(world, f"byd-{model}", model, modules or 2, share, capacity)
    server = box.BatteryBoxServer(played, host or "127.0.0.1", int(number))
    server.world = world

    async def serve() -> int:
        try:
            await server.start()
            click.echo(f"{server.host}:{server.port}")
            await box.strike(played, faults)
        finally:
            await server.close()
        return 0

    try:
        sys.exit(asyncio.run(_until_told(serve())))
    except VbmsError as error:
        click.echo(f"vbms simulate: {error}", err=True)
        sys.exit(1)


def _check_names(faults: Sequence[str], known: Collection[str]) -> None:
    for fault in faults:
        if fault not in known:
            raise click.BadParameter(f"{fault}: there are {' '.join(known)}", param_hint="--fault")


def _places(texts: Sequence[str], device: str) -> list[int]:
    """1, 1-3 and 1,2,3 as numbers; what the device's address can be is checked."""
    low, high = (0, 255) if device == "byd_pro" else (0, 15)
    places: list[int] = []
    for text in ",".join(texts or ("1",)).split(","):
        first, _, last = text.strip().partition("-")
        try:
            places += range(int(first, 0), int(last or first, 0) + 1)
        except ValueError:
            text = f"{text} is no address ({low}..{high}, such as 1, 1-3 or 1,2,3)"
            raise click.BadParameter(text, param_hint="--address") from None
    for place in places:
        if not low <= place <= high:
            raise click.BadParameter(f"{place} is not in {low}..{high}", param_hint="--address")
    if len(set(places)) < len(places) or not places:
        raise click.BadParameter("each address once, please", param_hint="--address")
    return places


def _line(port: str | None, baud: int, steady: bool) -> PacedLine:
    if port is not None:
        return open_port(port, baud)
    return PacedLine(baud, "pty", steady=steady)


async def _play_line(line: PacedLine) -> int:
    try:
        await line.start()
        click.echo(line.path)
        await line.wait()
    finally:
        line.close()
    return 0


async def _play_inverter(
    name: str, port: str | None, baud: int, wrong: Sequence[str], cells: int, rounds: int
) -> int:
    line = None
    try:
        if port is None:
            line = PacedLine(baud, name, far=True)
            await line.start()
            click.echo(line.path)
        path = line.far_path if line else port or ""
        inverter: Deye | Pylontech
        if name.startswith("deye"):
            inverter = Deye(path, baud=baud, cells=cells, wrong=wrong)
        else:
            style = "voltronic" if name.endswith("voltronic") else "system"
            inverter = Pylontech(path, baud=baud, profile=style, wrong=wrong)
        try:
            await inverter.run(rounds)
        finally:
            click.echo(inverter.summary())
        return 1 if rounds and inverter.broken else 0
    finally:
        if line is not None:
            line.close()


async def _until_told(play: Coroutine[None, None, int]) -> int:
    """Run until it ends, or SIGTERM or Ctrl-C."""
    loop = asyncio.get_running_loop()
    task = loop.create_task(play)
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, task.cancel)
    with contextlib.suppress(asyncio.CancelledError):
        return await task
    return 0
