"""What is on the air: scanning with bleak, shared by all who ask at the same time.

bleak loads here, when a Bluetooth link or a scan is there. Everything that it, D-Bus and the
operating system raise becomes a LinkError in words: an adapter that is missing or switched off, a
bus that is gone. A BlueZ that was restarted is not noticed by bleak; a new scan repairs that.
"""

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from vbms.errors import LinkError

SCAN_S = 5.0
_REMEMBERED_S = 60.0


@dataclass(slots=True)
class Heard:
    """A device that advertises: `device` is bleak's, good for about 30 s after it was heard."""

    address: str
    device: Any
    name: str | None = None
    rssi: int | None = None
    services: frozenset[str] = frozenset()
    makers: frozenset[int] = field(default_factory=frozenset)  # manufacturer ids
    heard_s: float = 0.0  # monotonic


def reason(error: BaseException) -> str:
    """An error of bleak, D-Bus or the system in a few words for a person."""
    from bleak.exc import BleakBluetoothNotAvailableError, BleakDBusError

    if isinstance(error, BleakBluetoothNotAvailableError):
        return f"no Bluetooth: {error.args[0] if error.args else error}"
    if isinstance(error, BleakDBusError):
        return f"BlueZ says {error.dbus_error.rpartition('.')[2]}: {error.dbus_error_details or ''}"
    if isinstance(error, (ConnectionError, FileNotFoundError, EOFError)):
        return "D-Bus is gone (is bluetoothd running?)"
    if isinstance(error, TimeoutError):
        return "no answer in time"
    return str(error) or type(error).__name__


def require_bleak() -> None:
    """Raises LinkError, with what to do, where bleak is not installed."""
    try:
        import bleak  # noqa: F401
    except ImportError:
        raise LinkError("Bluetooth needs the package bleak: pip install 'vbms[ble]'") from None


class Radio:
    """One adapter's ears. `heard` holds who was heard lately, by address in capitals."""

    def __init__(self, adapter: str | None) -> None:
        self.adapter = adapter
        self.heard: dict[str, Heard] = {}
        self.any_heard_s = 0.0
        self.connecting = False  # a scan would only disturb it, and fail
        self._running: asyncio.Task[None] | None = None

    async def scan(
        self, seconds: float = SCAN_S, enough: Callable[[], bool] | None = None
    ) -> dict[str, Heard]:
        """Listen; whoever asks meanwhile shares the scan that runs. Raises LinkError."""
        require_bleak()
        if self._running is None or self._running.done():
            self._forget_the_unheard()
            self._running = asyncio.create_task(self._scan(seconds, enough), name="ble scan")
        await asyncio.shield(self._running)
        return self.heard

    async def stop(self) -> None:
        """End a scan that runs."""
        running, self._running = self._running, None
        if running is not None and not running.done():
            running.cancel()
            await asyncio.wait({running}, timeout=1)

    def _forget_the_unheard(self) -> None:
        """Strangers that change their address would fill the memory."""
        since_s = time.monotonic() - _REMEMBERED_S
        for address in [name for name, each in self.heard.items() if each.heard_s < since_s]:
            self.forget(address)

    def forget(self, address: str) -> None:
        """What was heard of a device is of no use any more."""
        self.heard.pop(address, None)

    async def _scan(self, seconds: float, enough: Callable[[], bool] | None) -> None:
        from bleak import BleakScanner

        more = {"bluez": {"adapter": self.adapter}} if self.adapter else {}
        try:
            async with asyncio.timeout(seconds + 5):
                scanner = BleakScanner(self._on_heard, **more)  # type: ignore[arg-type]
                await scanner.start()
                try:
                    end_s = time.monotonic() + seconds
                    while (left_s := end_s - time.monotonic()) > 0:
                        await asyncio.sleep(min(0.1, left_s))
                        if enough is not None and enough():
                            break
                finally:
                    await scanner.stop()
        except LinkError:
            raise
        except Exception as error:
            raise LinkError(reason(error)) from error

    def _on_heard(self, device: Any, said: Any) -> None:
        address = device.address.upper()
        heard = self.heard.get(address)
        if heard is None:
            heard = self.heard[address] = Heard(address, device)
        heard.device = device
        heard.name = said.local_name or device.name or heard.name
        heard.rssi = said.rssi
        heard.services = frozenset(said.service_uuids)
        heard.makers = frozenset(said.manufacturer_data)
        heard.heard_s = self.any_heard_s = time.monotonic()
