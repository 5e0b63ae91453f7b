"""Bluetooth batteries of a simulated site: a bus, a BlueZ and its air, in this process.

One bus and one air serve all Bluetooth links of a process; each link plays the batteries named on
it. A name instead of a MAC is one that the battery advertises.
"""

import asyncio
import random
import re
import time
from collections.abc import Sequence

from vbms.errors import ConfigError
from vbms.simulate import jbd, jk_ble, jk_payload
from vbms.simulate.bluez import Bluez, strangers
from vbms.simulate.bluez_bus import PrivateBus
from vbms.simulate.bluez_device import RADIO_FAULTS, SMALL, THREE, Peripheral
from vbms.simulate.device import Device
from vbms.simulate.faults import Fault, Schedule
from vbms.simulate.pack import Pack
from vbms.simulate.world import World

PROTOCOLS = ("jk_ble", "jbd")
_MAC = re.compile(r"[0-9A-F]{2}(:[0-9A-F]{2}){5}")
_BACKGROUND_S = 0.25

# battery name, protocol, MAC or name, Ah, cells
Battery = tuple[str, str, str, float | None, int | None]


def make_peripheral(
    world: World,
    name: str,
    protocol: str,
    address: str,
    capacity_ah: float | None = None,
    cells: int | None = None,
    soc: float | None = None,
    layout: int = 32,
) -> Peripheral:
    """A battery in the world, and its Bluetooth; one that is there already keeps its state."""
    if protocol not in PROTOCOLS:
        raise ConfigError(f"{name}: no simulator speaks {protocol} over Bluetooth")
    rng = random.Random(f"site/{world.seed}/{name}")
    is_jk = protocol == "jk_ble"
    pack = world.packs.get(name)
    if pack is None or pack.protocol != protocol:
        pack = world.add(
            name,
            protocol,
            cells or 16,
            capacity_ah or (200.0 if is_jk else 100.0),
            rng.uniform(0.595, 0.625) if soc is None else soc,
            settings=jk_payload.settings() if is_jk else jbd.settings(),
            soh=round(rng.uniform(0.96, 1.0), 2),
            cycles=rng.randint(20, 400),
            temperature_c=rng.uniform(21.0, 25.0),
        )
    return _jk(pack, name, address, layout) if is_jk else _jbd(pack, name, address)


def _place(prefix: str, name: str, address: str) -> tuple[str, str | None]:
    """(MAC, advertised name) of a battery that is called by either."""
    if _MAC.fullmatch(address):
        return address, None
    return f"{prefix}:%02X:%02X:%02X" % tuple(random.Random(name).randbytes(3)), address


def _jk(pack: Pack, name: str, address: str, layout: int) -> Peripheral:
    device = jk_ble.JkBle(pack, layout=layout, step=10 if layout == 24 else 1)
    mac, called = _place(jk_ble.MAC_PREFIX, name, address)
    return Peripheral(
        mac,
        called or device.identity.model,
        device,
        advertised=(jk_ble.SERVICE,),
        makers={jk_ble.MAKER: b"\x88\xa0" + bytes.fromhex(mac.replace(":", ""))},
        service=jk_ble.SERVICE,
        gatt=jk_ble.OLD_GATT if layout == 4 else jk_ble.NEW_GATT,
        pieces=SMALL if layout == 4 else THREE,
    )


def _jbd(pack: Pack, name: str, address: str) -> Peripheral:
    mac, called = _place(jbd.MAC_PREFIX, name, address)
    return Peripheral(
        mac,
        called or "SP16S020",
        jbd.Jbd(pack),
        advertised=(jbd.SERVICE,),
        service=jbd.SERVICE,
        gatt=jbd.GATT,
        pieces=SMALL,
    )


class Air:
    """The bus, the adapter and everybody on it. `faults` of all: noise; `unplug`, `plug`."""

    def __init__(self, world: World, slots: int = 8, advertisers: int = 3) -> None:
        self.world = world
        self.bus = PrivateBus()
        self.bluez = Bluez(slots=slots)
        self.peripherals: dict[str, Peripheral] = {}  # by the battery's name
        self.faults: set[str] = set()
        self._schedules: list[Schedule] = []
        self._handles: list[asyncio.TimerHandle] = []
        self._ticker: asyncio.TimerHandle | None = None
        for stranger in strangers(advertisers):
            self.bluez.add(stranger)

    async def start(self, *, enter: bool = True) -> None:
        """Raises LinkError without a dbus-daemon. enter: it is this process's system bus now."""
        await self.bus.start()
        if enter:
            self.bus.enter()
        await self.bluez.start(self.bus.address)
        self._tick()

    async def close(self) -> None:
        if self._ticker is not None:
            self._ticker.cancel()
            self._ticker = None
        for handle in self._handles:
            handle.cancel()
        for schedule in self._schedules:
            schedule.close()
        await self.bluez.close()
        await self.bus.close()

    def add(self, batteries: Sequence[Battery], faults: Sequence[Fault] = ()) -> None:
        """Play these too. Raises ConfigError for a protocol that is not spoken here."""
        for name, protocol, address, capacity_ah, cells in batteries:
            peripheral = make_peripheral(self.world, name, protocol, address, capacity_ah, cells)
            self.put(name, peripheral)
        self.plan(faults)

    def put(self, name: str, peripheral: Peripheral) -> None:
        """A battery of this name; another one of that name is no longer there."""
        self.remove([name])
        self.bluez.add(peripheral)
        self.peripherals[name] = peripheral

    def plan(self, faults: Sequence[Fault]) -> None:
        """What goes wrong from now on: with batteries, their radios, or all."""
        devices: dict[str, Device] = {}
        for name, peripheral in self.peripherals.items():
            if peripheral.device is not None:
                devices[name] = peripheral.device
        radio = [fault for fault in faults if fault.fault in RADIO_FAULTS]
        schedule = Schedule([fault for fault in faults if fault not in radio], devices, self)
        schedule.start()
        self._schedules.append(schedule)
        loop = asyncio.get_running_loop()
        for fault in radio:
            faulty = self.peripherals[fault.unit].radio
            self._handles.append(loop.call_later(fault.at_s, faulty.add, fault.fault))
            if fault.for_s > 0:
                end_s = fault.at_s + fault.for_s
                self._handles.append(loop.call_later(end_s, faulty.discard, fault.fault))

    def remove(self, names: Sequence[str]) -> None:
        """These are no longer there."""
        for name in names:
            peripheral = self.peripherals.pop(name, None)
            if peripheral is not None:
                self.bluez.drop(peripheral)
                self.bluez.peripherals.pop(peripheral.path, None)
                self.bluez.remove_object(peripheral.path)

    # ---- faults of all

    def unplug(self) -> None:
        self.bluez.pull()

    def plug(self) -> None:
        if not self.bluez.present:
            self.bluez.plug()

    def _tick(self) -> None:
        self.world.advance(time.monotonic())
        for peripheral in self.peripherals.values():
            peripheral.flooded = "noise" in self.faults
            peripheral.tick()
        self._ticker = asyncio.get_running_loop().call_later(_BACKGROUND_S, self._tick)
