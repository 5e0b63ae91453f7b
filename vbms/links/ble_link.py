"""A Bluetooth adapter as a line opens and closes it; its devices are links of their own."""

from collections.abc import Callable

from vbms.errors import LinkError
from vbms.links.ble_device import Note
from vbms.links.ble_radio import Radio, require_bleak


class BleLink:
    """The adapter as the line opens and closes it."""

    byte_us = 0

    def __init__(self, name: str, adapter: str | None, connections: int | None) -> None:
        self.name = name
        self.adapter = adapter or "hci0"
        self.connections = connections or 8
        self.radio = Radio(self.adapter)
        self.trace_for: Callable[[str, str], Note | None] | None = None  # battery, protocol

    async def open(self) -> None:
        """Raises LinkError without Bluetooth: no adapter, no bus, no bleak."""
        require_bleak()
        self.radio.heard.clear()
        await self.radio.scan(1.0, lambda: True)

    def close(self) -> None:
        self.radio.connecting = False

    async def write(self, data: bytes) -> None:
        raise LinkError(f"{self.name}: an adapter is not written to")

    async def read(self, timeout_ms: int) -> bytes:
        raise LinkError(f"{self.name}: an adapter is not read from")
