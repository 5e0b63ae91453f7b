"""`kind: simulate` for Bluetooth batteries: an adapter of our own on a bus of our own.

The system bus of this process, and of it alone, is the simulated one from then on: a site has
simulated Bluetooth or real, not both.
"""

import contextlib
import logging

from vbms.config import BatterySettings, LinkSettings
from vbms.errors import LinkError
from vbms.links.ble_link import BleLink
from vbms.simulate.bluez_site import Air
from vbms.simulate.faults import Fault
from vbms.simulate.world import World

log = logging.getLogger("vbms")


class SimulatedAir:
    """One air for all simulated Bluetooth links of a site; it starts with the first of them."""

    def __init__(self, world: World) -> None:
        self.air = Air(world)
        self._is_started = False
        self._on: dict[str, list[str]] = {}  # link -> batteries

    def link(
        self, link: LinkSettings, batteries: list[BatterySettings], faults: list[Fault]
    ) -> BleLink:
        """The link, its batteries on the air. Raises ConfigError for one that cannot be played."""
        self.drop(link.name)
        rows = [
            (
                battery.name,
                battery.protocol,
                str(battery.address),
                battery.unit.capacity_mah / 1000 if battery.unit.capacity_mah else None,
                battery.unit.cells,
            )
            for battery in batteries
        ]
        self.air.add(rows, faults)
        self._on[link.name] = [battery.name for battery in batteries]
        return _Simulated(link.name, self)

    def drop(self, name: str) -> None:
        self.air.remove(self._on.pop(name, []))

    async def start(self) -> None:
        if not self._is_started:
            await self.air.start()
            self._is_started = True
            log.info("simulated Bluetooth: DBUS_SYSTEM_BUS_ADDRESS=%s", self.air.bus.address)

    async def close(self) -> None:
        self._is_started = False
        with contextlib.suppress(OSError):
            await self.air.close()


class _Simulated(BleLink):
    def __init__(self, name: str, on: SimulatedAir) -> None:
        super().__init__(name, "hci0", on.air.bluez.slots)
        self._on = on

    async def open(self) -> None:
        try:
            await self._on.start()
        except LinkError as error:
            raise LinkError(f"simulated Bluetooth: {error}") from error
        await super().open()
