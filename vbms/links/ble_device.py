"""A connection to one Bluetooth device: bytes written to one characteristic, heard from another.

    connection = BleConnection("garage", gatt, reads, allow_control=False)
    await connection.open(heard)    connects, finds the characteristics, subscribes
    await connection.read(1000)     what has come, b"" when nothing did in time
    await connection.end()          disconnects, whatever state it is in

Only the read commands of its driver are written, unless control is allowed, and then each one is
logged. Any error of bleak or D-Bus ends the connection: after one, only a new scan helps.
"""

import asyncio
import contextlib
import logging
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from vbms.errors import LinkError
from vbms.links.ble_radio import Heard, reason

if TYPE_CHECKING:
    from collections.abc import Collection

Note = Callable[[bool, bytes], object]  # (sent, bytes), for a recording; no bytes: made, ended
log = logging.getLogger("vbms")

_MOST_WAITING = 8192  # bytes nobody fetched: a flood does not fill the memory
_END_S = 2.0
_WRITE_S = 5.0


def long_uuid(short: str) -> str:
    return f"0000{short}-0000-1000-8000-00805f9b34fb"


class NoService(LinkError):
    """It connects, and offers something else than it should."""


class Unknown(LinkError):
    """BlueZ has forgotten it: it was not heard for half a minute."""


class BleConnection:
    """A link as a loop wants it. `gatt`: UUIDs of service, and of who is written and who speaks."""

    byte_us = 0

    def __init__(
        self,
        name: str,
        gatt: tuple[str, str, str],
        reads: "Collection[bytes]",
        allow_control: bool,
    ) -> None:
        self.name = name
        self.is_open = False
        self.trace: Note | None = None
        self._gatt = gatt
        self._reads = frozenset(reads)
        self._allow_control = allow_control
        self._client: Any = None
        self._writes_to: Any = None
        self._buffer = bytearray()
        self._has_come = asyncio.Event()
        self._is_traced = False  # its beginning is in the recording, its end is not

    async def open(self, heard: Heard | None = None) -> None:
        """Connect to a device that was heard lately. Raises LinkError, NoService."""
        from bleak import BleakClient

        if heard is None:
            raise LinkError(f"{self.name}: was not heard")
        self._buffer.clear()
        self._client = BleakClient(heard.device, self._on_disconnect)
        try:
            await self._client.connect()
            self.is_open = True
            speaks = self._find()
            self._is_traced = True
            self._trace(True, b"")
            # Heard before anything is asked: an answer may come before the write returns.
            await self._client.start_notify(speaks, self._on_notify)
        except LinkError:
            raise
        except Exception as error:
            self.is_open = False
            if _is_unknown(error):
                raise Unknown(reason(error)) from error
            raise LinkError(reason(error)) from error
        if not self.is_open:
            raise LinkError("the link dropped at once")

    def _find(self) -> Any:
        """The characteristic that speaks; `_writes_to` is the one that listens.

        Both may have the same UUID, so their properties tell.
        """
        service_uuid, write_uuid, notify_uuid = (long_uuid(short) for short in self._gatt)
        offered = list(self._client.services)
        for service in offered:
            if service.uuid != service_uuid:
                continue
            writes = _with(service, write_uuid, ("write-without-response", "write"))
            speaks = _with(service, notify_uuid, ("notify", "indicate"))
            if writes is not None and speaks is not None:
                self._writes_to = writes
                return speaks
        names = ", ".join(sorted({each.uuid[4:8] for each in offered})) or "none at all"
        raise NoService(f"connects, but does not offer service {self._gatt[0]} (it has {names})")

    async def read(self, timeout_ms: int) -> bytes:
        if not self._buffer:
            if not self.is_open:
                raise LinkError("the link dropped")
            self._has_come.clear()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(timeout_ms / 1000):
                    await self._has_come.wait()
            if not self._buffer and not self.is_open:
                raise LinkError("the link dropped")
        data = bytes(self._buffer)
        self._buffer.clear()
        return data

    async def write(self, data: bytes) -> None:
        """Raises LinkError, also for a command that would change something and is not allowed."""
        if data not in self._reads:
            if not self._allow_control:
                raise LinkError(
                    f"{self.name}: {data.hex(' ')} is no reading command: allow_control is false"
                )
            log.warning("%s: control, %s is sent", self.name, data.hex(" "))
        if not self.is_open:
            raise LinkError("the link dropped")
        quick = "write-without-response" in self._writes_to.properties
        self._trace(True, data)
        try:
            async with asyncio.timeout(_WRITE_S):
                await self._client.write_gatt_char(self._writes_to, data, response=not quick)
        except Exception as error:
            self.is_open = False
            raise LinkError(reason(error)) from error

    def close(self) -> None:
        """From now on nothing is heard; `end` lets go of the device."""
        self.is_open = False
        self._has_come.set()

    async def end(self) -> None:
        """Disconnect; an adapter that is gone, or does not answer, is no error here."""
        self.close()
        if self._is_traced:
            self._trace(False, b"")
            self._is_traced = False
        client, self._client = self._client, None
        if client is not None:
            with contextlib.suppress(Exception):
                async with asyncio.timeout(_END_S):
                    await client.disconnect()

    def _trace(self, sent: bool, data: bytes) -> None:
        if self.trace is not None:
            self.trace(sent, data)

    def _on_notify(self, _: Any, data: bytearray) -> None:
        if data:
            self._trace(False, bytes(data))
        self._buffer += data
        if len(self._buffer) > _MOST_WAITING:
            del self._buffer[:-_MOST_WAITING]
        self._has_come.set()

    def _on_disconnect(self, _: Any) -> None:
        self.is_open = False
        self._has_come.set()


def _is_unknown(error: Exception) -> bool:
    """bleak has two ways to say it: BlueZ's refusal, and what it was told of BlueZ before."""
    from bleak.exc import BleakDeviceNotFoundError, BleakError

    if isinstance(error, BleakDeviceNotFoundError):
        return True
    text = str(error)
    return isinstance(error, BleakError) and text[:7] == "device " and text[-10:] == " not found"


def _with(service: Any, uuid: str, properties: tuple[str, ...]) -> Any:
    """The first characteristic of this UUID with one of these properties."""
    for characteristic in service.characteristics:
        if characteristic.uuid == uuid and set(properties) & set(characteristic.properties):
            return characteristic
    return None
