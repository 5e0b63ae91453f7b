"""An I2C bus of Linux, through smbus2: registers of 16 bits, read one by one.

The calls block, a few milliseconds for a sample, so they are made in a thread: no inverter waits.
"""

import asyncio
import contextlib
import errno
import os
from collections.abc import Callable
from typing import Any

from vbms.errors import LinkError, SilentError

# What the kernel says of a chip that does not answer, or of a bus that somebody holds down.
_SILENT = (errno.ENXIO, errno.EREMOTEIO, errno.EIO, errno.ETIMEDOUT, errno.EAGAIN)


class I2cBus:
    """/dev/i2c-N. `opener` makes the object that talks, smbus2.SMBus unless a test says another."""

    byte_us = 90  # nine bits at 100 kHz

    def __init__(
        self, name: str, number: int, opener: "Callable[[int], Any] | None" = None
    ) -> None:
        self.name = name
        self.number = number
        self.path = f"/dev/i2c-{number}"
        self._opener = opener
        self._bus: Any = None
        self._message: Any = None

    async def open(self) -> None:
        """Raises LinkError with one sentence that says what to do."""
        self.close()
        try:
            import smbus2
        except ImportError:
            raise LinkError("smbus2 is not installed: pip install 'vbms[i2c]'") from None
        self._message = smbus2.i2c_msg
        try:
            self._bus = await asyncio.to_thread(self._opener or smbus2.SMBus, self.number)
        except FileNotFoundError:
            raise LinkError(f"{self.path} is missing: is I2C switched on?") from None
        except PermissionError:
            raise LinkError(f"{self.path}: no permission, join the group i2c") from None
        except OSError as error:
            reason = os.strerror(error.errno) if error.errno else str(error)
            raise LinkError(f"{self.path} cannot be opened: {reason}") from None

    def close(self) -> None:
        if self._bus is not None:
            with contextlib.suppress(OSError):
                self._bus.close()
            self._bus = None

    async def registers(self, address: int, numbers: bytes) -> bytes:
        """Each register's number and value, three bytes. SilentError: nobody answered."""
        if self._bus is None:
            raise LinkError(f"{self.path} is closed")
        try:
            return await asyncio.to_thread(self._read, address, numbers)
        except OSError as error:
            reason = os.strerror(error.errno) if error.errno else str(error)
            if error.errno in _SILENT:
                raise SilentError(f"no answer at 0x{address:02x} ({reason})") from None
            raise LinkError(f"{self.path} is gone: {reason}") from None

    def _read(self, address: int, numbers: bytes) -> bytes:
        found = b""
        for number in numbers:
            ask = self._message.write(address, [number])
            answer = self._message.read(address, 2)
            self._bus.i2c_rdwr(ask, answer)
            found += bytes((number,)) + bytes(list(answer))
        return found

    async def recover(self) -> None:
        """Let go of the bus and take it anew; the kernel's driver frees lines that are held."""
        await self.open()
