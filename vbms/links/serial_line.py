"""A serial port. pyserial opens and configures it, asyncio reads it."""

import contextlib
import errno

import serial

from vbms.errors import LinkError
from vbms.links.fd_line import FdLine


class SerialLine(FdLine):
    """8N1, raw, locked against a second program, in low-latency mode where the driver has it."""

    def __init__(self, name: str, port: str, baud: int) -> None:
        super().__init__(name, port, -(-10_000_000 // baud))
        self.port = port
        self.baud = baud
        self._serial: serial.Serial | None = None

    async def open(self) -> None:
        """Raises LinkError with one sentence that says what to do."""
        self.close()
        try:
            port = serial.Serial(self.port, self.baud, timeout=0, write_timeout=0, exclusive=True)
        except (OSError, ValueError) as error:
            raise LinkError(self._advice(error)) from None
        with contextlib.suppress(OSError, ValueError, AttributeError, NotImplementedError):
            port.set_low_latency_mode(True)
        self._serial = port
        self._attach(port.fileno())

    def close(self) -> None:
        self._detach()
        if self._serial is not None:
            with contextlib.suppress(OSError):
                self._serial.close()
            self._serial = None

    def _advice(self, error: Exception) -> str:
        code = getattr(error, "errno", None)
        if code in (errno.ENOENT, errno.ENODEV, errno.ENXIO):
            return f"{self.port} does not exist: plug the adapter in, or correct its path"
        if code in (errno.EACCES, errno.EPERM):
            return f"no permission for {self.port}: add this user to the group dialout"
        if code in (errno.EBUSY, errno.EAGAIN, errno.EWOULDBLOCK):
            return f"{self.port} is in use: stop the other program that has it open"
        if code is None and "configure" in str(error):
            return f"{self.port} is no serial port: correct its path ({error})"
        return f"{self.port} cannot be opened: {error}"
