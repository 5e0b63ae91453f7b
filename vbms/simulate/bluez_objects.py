"""D-Bus objects under the name org.bluez, and every word that is said on the bus about them."""

import asyncio
import contextlib
from collections import deque
from collections.abc import Callable
from typing import Any

from dbus_fast import Message, MessageType, Variant
from dbus_fast.aio import MessageBus

BUS = "org.freedesktop.DBus"
_PATH = "/org/freedesktop/DBus"
_MANAGER = f"{BUS}.ObjectManager"
_PROPERTIES = f"{BUS}.Properties"
_BURST = 64  # messages between two round trips: dbus-fast ends on a full socket


class Objects:
    """`tree`: by path the properties of each interface. Replies and signals keep their order."""

    def __init__(self) -> None:
        self.tree: dict[str, dict[str, dict[str, Variant]]] = {}
        self._bus: MessageBus | None = None
        self._out: deque[Message] = deque()
        self._sender: asyncio.Task[None] | None = None

    async def own(
        self, address: str, on_message: "Callable[[Message], Message | bool | None]"
    ) -> None:
        """Own org.bluez on the bus at this address, without any object yet."""
        self.tree.clear()
        self._out.clear()
        bus = self._bus = await MessageBus(bus_address=address, negotiate_unix_fd=True).connect()
        bus.add_message_handler(on_message)
        await bus.call(
            Message(
                destination=BUS,
                path=_PATH,
                interface=BUS,
                member="AddMatch",
                signature="s",
                body=["type='signal',member='NameOwnerChanged'"],
            )
        )
        await bus.request_name("org.bluez")

    async def leave(self) -> None:
        """Nobody owns the name any more."""
        if self._sender is not None:
            self._sender.cancel()
            self._sender = None
        bus, self._bus = self._bus, None
        if bus is not None:
            bus.disconnect()
            with contextlib.suppress(Exception):
                async with asyncio.timeout(1):
                    await bus.wait_for_disconnect()  # type: ignore[no-untyped-call]

    def add_object(self, path: str, interface: str, held: dict[str, Variant]) -> None:
        self.tree.setdefault(path, {})[interface] = held
        self._signal("/", _MANAGER, "InterfacesAdded", "oa{sa{sv}}", path, {interface: held})

    def remove_object(self, path: str) -> None:
        interfaces = self.tree.pop(path, None)
        if interfaces:
            self._signal("/", _MANAGER, "InterfacesRemoved", "oas", path, list(interfaces))

    def change(self, path: str, interface: str, **values: Variant) -> None:
        self.tree[path][interface].update(values)
        self._signal(path, _PROPERTIES, "PropertiesChanged", "sa{sv}as", interface, values, [])

    def _signal(self, path: str, interface: str, member: str, signature: str, *body: Any) -> None:
        self.send(
            Message(
                message_type=MessageType.SIGNAL,
                path=path,
                interface=interface,
                member=member,
                signature=signature,
                body=list(body),
            )
        )

    def send(self, message: Message) -> None:
        if self._bus is None:
            return
        self._out.append(message)
        if self._sender is None or self._sender.done():
            self._sender = asyncio.ensure_future(self._send_all())

    async def _send_all(self) -> None:
        sent = 0
        ping = {"destination": BUS, "path": "/org/freedesktop/DBus", "member": "Ping"}
        with contextlib.suppress(Exception):  # the bus is gone: so is what was to be said
            while self._out and self._bus is not None:
                self._bus.send(self._out.popleft())
                sent += 1
                if sent % _BURST == 0:
                    await self._bus.call(Message(interface=f"{BUS}.Peer", **ping))  # type: ignore[arg-type]
            return
        self._out.clear()
