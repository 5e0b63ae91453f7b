"""BlueZ without Bluetooth: org.bluez on a bus of our own, served with dbus-fast.

Adapter, devices and GATT objects as BlueZ 5 shows them, in its order: a device is heard again and
again while somebody discovers; Connect signals `Connected` some milliseconds before its reply, then
come the GATT objects and `ServicesResolved`; a notification is a `Value` that changes. An adapter
holds so many links (`slots`) and makes one connection at a time.

What can go wrong is done to the adapter here (pulled out, switched off, stuck) and to a device in
bluez_device.py. A stuck adapter connects to nobody until its power was off.
"""

import asyncio
from collections.abc import Callable, Iterable
from typing import Any

from dbus_fast import Message, MessageType, Variant

from vbms.simulate.bluez_device import Peripheral
from vbms.simulate.bluez_objects import BUS, Objects

_PROPERTIES = f"{BUS}.Properties"
ADAPTER, DEVICE, SERVICE, CHARACTERISTIC = (
    f"org.bluez.{name}" for name in ("Adapter1", "Device1", "GattService1", "GattCharacteristic1")
)
_FAILED = "org.bluez.Error.Failed"
_NOT_READY = "org.bluez.Error.NotReady"
_SIGNAL_FIRST_S = 0.01  # Connected travels to bleak on another socket than the reply
_FORGET_S = 30.0  # a device that is not heard and not connected is removed
_UNREACHABLE_S = 20.0  # after which BlueZ gives a connection up

Refusal = tuple[str, str]


class Refused(Exception):
    """An error reply: its D-Bus name and text."""


class Bluez(Objects):
    """One adapter, `hci0` unless told otherwise, and who is on its air."""

    def __init__(self, adapter: str = "hci0", slots: int = 8, advertise_s: float = 0.25) -> None:
        super().__init__()
        self.path = f"/org/bluez/{adapter}"
        self.slots = slots
        self.advertise_s = advertise_s
        self.present = True
        self.powered = True
        self.stuck = False
        self.connects = 0  # links made
        self.peripherals: dict[str, Peripheral] = {}
        self._discovering: set[str] = set()  # by bus name of the client
        self._air: asyncio.Task[None] | None = None
        self._radio = asyncio.Lock()
        self._tasks: set[asyncio.Task[None]] = set()

    # ---- start and end

    async def start(self, address: str) -> None:
        """Own org.bluez on the bus at this address, which must be a private one."""
        self._discovering.clear()
        self._radio = asyncio.Lock()
        await self.own(address, self._on_message)
        if self.present:
            self._add_adapter()

    async def close(self) -> None:
        """bluetoothd dies: links end without a word, and nobody owns the name."""
        for task in (self._air, *self._tasks):
            if task is not None:
                task.cancel()
        self._air = None
        await self.leave()
        for peripheral in self.peripherals.values():
            peripheral.connected = False
            peripheral.hang_up()

    def add(self, peripheral: Peripheral) -> None:
        """Put a device on the air."""
        peripheral.path = f"{self.path}/dev_{peripheral.address.replace(':', '_')}"
        peripheral.attach(self._notify, self.drop)
        self.peripherals[peripheral.path] = peripheral

    # ---- what happens to the adapter

    def pull(self, *, politely: bool = True) -> None:
        """The adapter is pulled out; politely: links are told to have ended first."""
        self.present = False
        self._end_all(politely)
        for path in sorted(self.tree, reverse=True):
            self.remove_object(path)

    def plug(self) -> None:
        self.present = True
        self._add_adapter()

    def power(self, on: bool) -> None:
        self.powered = on
        if not on:
            self.stuck = False
            self._end_all(True)
        if self.path in self.tree:
            self.change(self.path, ADAPTER, Powered=Variant("b", on))

    def drop(self, peripheral: Peripheral) -> None:
        """The link to a device ends."""
        was, peripheral.connected = peripheral.connected, False
        if was:  # known for as long again as one that was heard now
            peripheral.heard_s = asyncio.get_running_loop().time()
        peripheral.hang_up()
        if peripheral.path not in self.tree or not was:
            return
        no = Variant("b", False)
        self.change(peripheral.path, DEVICE, ServicesResolved=no, Connected=no)
        for path in [path for path in self.tree if path.startswith(f"{peripheral.path}/")]:
            self.remove_object(path)

    def _end_all(self, politely: bool) -> None:
        for peripheral in self.peripherals.values():
            if politely:
                self.drop(peripheral)
            peripheral.connected = False
            peripheral.hang_up()
        self._discovering.clear()

    # ---- the bus

    def _on_message(self, message: Message) -> Message | bool | None:
        if message.message_type is MessageType.SIGNAL:
            if message.member == "NameOwnerChanged" and not message.body[2]:
                self._client_is_gone(message.body[0])
            return None
        if message.message_type is not MessageType.METHOD_CALL:
            return None
        task = asyncio.ensure_future(self._answer(message))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return True

    def _client_is_gone(self, name: str) -> None:
        """BlueZ ends a dead client's discovery and notifications, but keeps its links."""
        self._discovering.discard(name)
        for peripheral in self.peripherals.values():
            peripheral.notifying.discard(name)

    async def _answer(self, message: Message) -> None:
        try:
            signature, body = await self._do(message)
        except Refused as refused:
            name, text = refused.args
            self.send(Message.new_error(message, name, text))
        except asyncio.CancelledError:
            self.send(Message.new_error(message, _FAILED, "le-connection-abort-by-local"))
        else:
            self.send(Message.new_method_return(message, signature, body))

    async def _do(self, message: Message) -> tuple[str, list[Any]]:
        path, member = message.path or "", message.member or ""
        if member == "GetManagedObjects":
            return "a{oa{sa{sv}}}", [self.tree]
        if member == "Ping":
            return "", []
        if path not in self.tree:
            raise Refused("org.freedesktop.DBus.Error.UnknownObject", f"no object {path}")
        if message.interface == _PROPERTIES:
            return await self._property(path, member, message.body)
        if path == self.path:
            return self._on_adapter(member, message)
        peripheral, place = self._place(path)
        if place is None:
            return await self._on_device(peripheral, member)
        return await self._on_characteristic(peripheral, place, member, message)

    def _place(self, path: str) -> tuple[Peripheral, int | None]:
        """The device of a path, and the number of its characteristic."""
        for known, peripheral in self.peripherals.items():
            if path == known:
                return peripheral, None
            if path.startswith(f"{known}/"):
                return peripheral, int(path[-4:], 16) - 2
        raise Refused("org.freedesktop.DBus.Error.UnknownMethod", path)

    async def _property(self, path: str, member: str, body: list[Any]) -> tuple[str, list[Any]]:
        interface = body[0]
        held = self.tree[path].get(interface, {})
        if member == "GetAll":
            return "a{sv}", [held]
        if member == "Get":
            return "v", [held[body[1]]]
        if path == self.path and body[1] == "Powered":
            self.power(bool(body[2].value))
            return "", []
        raise Refused(f"{BUS}.Error.PropertyReadOnly", body[1])

    # ---- adapter

    def _on_adapter(self, member: str, message: Message) -> tuple[str, list[Any]]:
        sender = message.sender or ""
        if member in ("StartDiscovery", "SetDiscoveryFilter") and not self.powered:
            raise Refused(_NOT_READY, "Resource Not Ready")
        if member == "StartDiscovery":
            self._discovering.add(sender)
            if self._air is None or self._air.done():
                self._air = asyncio.ensure_future(self._advertise())
        elif member == "StopDiscovery":
            self._discovering.discard(sender)
        elif member == "RemoveDevice":
            peripheral, _ = self._place(message.body[0])
            self.drop(peripheral)
            self.remove_object(peripheral.path)
        return "", []

    async def _advertise(self) -> None:
        """Again and again, as a radio does: one advertisement is easily missed.

        It goes on where nobody listens, for half a minute after which all but the connected ones
        are gone.
        """
        loop = asyncio.get_running_loop()
        listened_s = loop.time()
        while self.powered and self.present and loop.time() - listened_s < _FORGET_S + 1:
            heard = self.peripherals.values() if self._discovering else ()
            listened_s = loop.time() if self._discovering else listened_s
            for peripheral in heard:
                if peripheral.is_heard() and not peripheral.connected:
                    peripheral.heard_s = loop.time()
                    rssi = Variant("n", peripheral.rssi())
                    if peripheral.path in self.tree:
                        self.change(peripheral.path, DEVICE, RSSI=rssi)
                    else:
                        self.add_object(peripheral.path, DEVICE, self._device(peripheral, rssi))
            self._forget_the_unheard(loop.time())
            await asyncio.sleep(self.advertise_s)

    def _forget_the_unheard(self, now_s: float) -> None:
        for path, peripheral in self.peripherals.items():
            silent_s = now_s - peripheral.heard_s
            if path in self.tree and not peripheral.connected and silent_s > _FORGET_S:
                self.remove_object(path)

    def _device(self, peripheral: Peripheral, rssi: Variant) -> dict[str, Variant]:
        no = Variant("b", False)
        found = {
            "Address": Variant("s", peripheral.address),
            "AddressType": Variant("s", "public"),
            "Alias": Variant("s", peripheral.name or peripheral.address.replace(":", "-")),
            "Adapter": Variant("o", self.path),
            "UUIDs": Variant("as", list(peripheral.advertised)),
            "RSSI": rssi,
            "Paired": no,
            "Connected": no,
            "ServicesResolved": no,
        }
        if peripheral.name:
            found["Name"] = Variant("s", peripheral.name)
        if peripheral.makers:
            makers = {maker: Variant("ay", data) for maker, data in peripheral.makers.items()}
            found["ManufacturerData"] = Variant("a{qv}", makers)
        return found

    def _add_adapter(self) -> None:
        self.add_object(
            self.path,
            ADAPTER,
            {
                "Address": Variant("s", "00:00:00:00:00:01"),
                "Name": Variant("s", "simulated"),
                "Alias": Variant("s", "simulated"),
                "Powered": Variant("b", self.powered),
                "Discovering": Variant("b", False),
                "Roles": Variant("as", ["central"]),
            },
        )

    # ---- devices

    async def _on_device(self, peripheral: Peripheral, member: str) -> tuple[str, list[Any]]:
        if member == "Connect":
            if not self.powered:
                raise Refused(_NOT_READY, "Resource Not Ready")
            if not peripheral.connected:
                attempt = asyncio.ensure_future(self._connect(peripheral))
                peripheral.attempt = attempt
                await attempt
        elif member == "Disconnect":
            if peripheral.attempt is not None:
                peripheral.attempt.cancel()
            self.drop(peripheral)
        return "", []

    async def _connect(self, peripheral: Peripheral) -> None:
        yes, no = Variant("b", True), Variant("b", False)
        async with self._radio:
            if not peripheral.is_heard() or self.stuck or "hang" in peripheral.radio:
                await asyncio.sleep(_UNREACHABLE_S)
                raise Refused(_FAILED, "le-connection-timeout")
            if "refuse" in peripheral.radio:
                raise Refused(_FAILED, "le-connection-timeout")
            if sum(each.connected for each in self.peripherals.values()) >= self.slots:
                await asyncio.sleep(peripheral.connect_s)
                self.change(peripheral.path, DEVICE, Connected=yes)
                try:
                    await asyncio.sleep(_SIGNAL_FIRST_S)
                finally:
                    self.change(peripheral.path, DEVICE, Connected=no)
                raise Refused(_FAILED, "le-connection-abort-by-local")
            await asyncio.sleep(peripheral.connect_s)
            if peripheral.path not in self.tree:
                raise Refused(_FAILED, "le-connection-abort-by-local")
            self.connects += 1
            peripheral.connected = True
            self.change(peripheral.path, DEVICE, Connected=yes)
            await asyncio.sleep(_SIGNAL_FIRST_S)
        if "unresolved" not in peripheral.radio:
            task = asyncio.ensure_future(self._resolve(peripheral))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _resolve(self, peripheral: Peripheral) -> None:
        await asyncio.sleep(peripheral.resolve_s)
        if not peripheral.connected or peripheral.path not in self.tree:
            return
        service = f"{peripheral.path}/service0001"
        characteristics = peripheral.characteristics()
        uuid = peripheral.service if characteristics else "1800"
        of = {"UUID": Variant("s", long_uuid(uuid)), "Device": Variant("o", peripheral.path)}
        self.add_object(service, SERVICE, of | {"Primary": Variant("b", True)})
        for number, (short, flags) in enumerate(characteristics):
            self.add_object(
                f"{service}/char{number + 2:04x}",
                CHARACTERISTIC,
                {
                    "UUID": Variant("s", long_uuid(short)),
                    "Service": Variant("o", service),
                    "Flags": Variant("as", list(flags)),
                    "MTU": Variant("q", 247),
                    "Notifying": Variant("b", False),
                },
            )
        self.change(peripheral.path, DEVICE, ServicesResolved=Variant("b", True))

    # ---- characteristics

    async def _on_characteristic(
        self, peripheral: Peripheral, number: int, member: str, message: Message
    ) -> tuple[str, list[Any]]:
        _, flags = peripheral.characteristics()[number]
        if member == "WriteValue":
            kind = message.body[1].get("type", Variant("s", "request")).value
            wanted = "write-without-response" if kind == "command" else "write"
            if wanted not in flags:
                raise Refused("org.bluez.Error.NotSupported", "Operation is not supported")
            peripheral.written(bytes(message.body[0]))
        elif member == "StartNotify":
            if not {"notify", "indicate"} & set(flags):
                raise Refused("org.bluez.Error.NotSupported", "Operation is not supported")
            peripheral.notifying.add(message.sender or "")
        elif member == "StopNotify":
            peripheral.notifying.discard(message.sender or "")
        return "", []

    def _notify(self, peripheral: Peripheral, data: bytes) -> None:
        number = peripheral.notifier()
        path = f"{peripheral.path}/service0001/char{number + 2:04x}"
        if path in self.tree:
            self.change(path, CHARACTERISTIC, Value=Variant("ay", data))


def long_uuid(short: str) -> str:
    return f"0000{short}-0000-1000-8000-00805f9b34fb" if len(short) == 4 else short


def strangers(count: int, wanted: Callable[[int], bool] = lambda _: True) -> Iterable[Peripheral]:
    """Other people's things on the air: half of them without a name, none of them a battery."""
    for number in range(count):
        if wanted(number):
            yield Peripheral(
                f"A4:C1:38:00:{number // 256:02X}:{number % 256:02X}",
                None if number % 2 else f"Thermometer {number}",
                advertised=("181a",),
                service="181a",
            )
