"""Links as the configuration names them: real ones, and lines that are simulated.

What a kind of link needs loads only where one is named.
"""

import typing
from types import ModuleType

from vbms.config import BatterySettings, InverterSettings, LinkSettings, Settings
from vbms.errors import ConfigError
from vbms.lines import kinds
from vbms.ports import Link

if typing.TYPE_CHECKING:
    from vbms.lines.ble_simulated import SimulatedAir
    from vbms.simulate.world import World


class Played(typing.Protocol):
    """A line that somebody simulated sits on."""

    def close(self) -> None: ...


class Simulation:
    """Links: real ones, and `kind: simulate` lines with the devices that play on them.

    The simulators load only where a line asks for them.
    """

    def __init__(self, settings: Settings) -> None:
        self.world: World | None = None
        self._played: dict[str, Played] = {}
        self._batteries: dict[str, list[BatterySettings]] = {}
        self._air: SimulatedAir | None = None

    def changed(self, settings: Settings, name: str) -> bool:
        """Whether other batteries are to be played on a simulated line than now."""
        if name not in self._batteries:
            return False
        now = [each for each in settings.batteries if each.link == name and each.unit.enabled]
        return self._batteries[name] != now

    async def battery_link(
        self, settings: Settings, link: LinkSettings, batteries: list[BatterySettings]
    ) -> Link:
        first = batteries[0]
        if link.kind != "simulate":
            return real_link(link, kinds.of_battery(first.protocol, link.kind, first.address))
        from vbms.simulate.faults import Fault
        from vbms.simulate.world import World

        if self.world is None:
            self.world = World(settings.simulate.seed, settings.simulate.speed)
        faults = [
            Fault(each.unit, each.fault, each.at_ms / 1000, each.for_ms / 1000)
            for each in settings.simulate.faults
            if any(each.unit == battery.name for battery in batteries)
        ]
        if kinds.of_battery(first.protocol, link.kind, first.address).__name__ == kinds.BLE:
            from vbms.lines.ble_simulated import SimulatedAir

            if self._air is None:
                self._air = SimulatedAir(self.world)
            self._batteries[link.name] = batteries
            return self._air.link(link, batteries, faults)
        from vbms.simulate import site

        rows = [
            (
                battery.name,
                battery.protocol,
                0 if battery.address is None else int(str(battery.address)),
                battery.unit.capacity_mah / 1000 if battery.unit.capacity_mah else None,
                battery.unit.cells,
                battery.slot,
            )
            for battery in batteries
        ]
        played = site.simulated_line(link.name, link.baud or 9600, rows, self.world, faults)
        await played.start()
        self._played[link.name] = played
        self._batteries[link.name] = batteries
        return serial_link(link.name, played.path, link.baud)

    async def inverter_link(
        self, link: LinkSettings, inverter: InverterSettings
    ) -> tuple[Link, str | None]:
        """The link, and the path where a simulated one can be plugged into."""
        kind = kinds.of_inverter(inverter.protocol)
        if link.kind != "simulate":
            return real_link(link, kind), None
        if hasattr(kind, "simulated_link"):
            from vbms.simulate.can_wire import CanLine

            bus = CanLine(far=True)
            await bus.start()
            self._played[link.name] = bus
            return kind.simulated_link(link.name, bus.path), bus.far_path
        from vbms.simulate import site

        played = site.inverter_line(link.name, link.baud or 9600)
        await played.start()
        self._played[link.name] = played
        return serial_link(link.name, played.path, link.baud), played.far_path

    async def drop(self, name: str) -> None:
        self._batteries.pop(name, None)
        played = self._played.pop(name, None)
        if played is not None:
            played.close()
        if self._air is not None:
            self._air.drop(name)

    async def close(self) -> None:
        for name in list(self._played):
            await self.drop(name)
        if self._air is not None:
            await self._air.close()


def real_link(link: LinkSettings, kind: ModuleType) -> Link:
    """The link as its kind of line makes it, else one of bytes."""
    if hasattr(kind, "make_link"):
        made: Link = kind.make_link(link)
        return made
    return bytes_link(link)


def bytes_link(link: LinkSettings) -> Link:
    """A link that anybody can listen to, whatever is spoken on it."""
    if link.kind == "mqtt":
        from vbms.links.mqtt_client import MqttClient

        return MqttClient(link.name, link.url or "", link.username, link.password)
    if link.kind == "tcp":
        from vbms.links.tcp_line import TcpLine

        return TcpLine(link.name, link.host or "", link.tcp_port or 0, link.baud)
    if link.kind == "serial":
        return serial_link(link.name, link.port or "", link.baud)
    raise ConfigError(f"link {link.name}: kind {link.kind} is not served by this version")


def serial_link(name: str, port: str, baud: int | None) -> Link:
    from vbms.links.serial_line import SerialLine

    return SerialLine(name, port, baud or 9600)
