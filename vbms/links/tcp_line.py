"""A serial line behind a serial-to-Ethernet gateway: raw bytes over TCP."""

import asyncio
import contextlib
import os
import socket

from vbms.errors import LinkError
from vbms.links.fd_line import FdLine

_CONNECT_S = 5.0
# A gateway that lost its power never says so: after these, unacknowledged bytes or probes end it.
_DEAD_MS = 10000
_PROBES = (("TCP_KEEPIDLE", 10), ("TCP_KEEPINTVL", 5), ("TCP_KEEPCNT", 3))


class TcpLine(FdLine):
    """The same four methods; `baud` is the speed of the serial side, None where there is none."""

    GONE = "is the gateway on, does it serve somebody else?"

    def __init__(self, name: str, host: str, port: int, baud: int | None = None) -> None:
        super().__init__(name, f"{host}:{port}", -(-10_000_000 // baud) if baud else 0)
        self.host = host
        self.port = port
        self._socket: socket.socket | None = None

    async def open(self) -> None:
        """Raises LinkError with one sentence that says what to do."""
        self.close()
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(_CONNECT_S):
                found = await loop.getaddrinfo(self.host, self.port, type=socket.SOCK_STREAM)
        except (OSError, TimeoutError) as error:
            reason = str(error) or "no answer from the name server"
            raise LinkError(f"host {self.host} is not known ({reason}): correct host:") from None
        failure = LinkError(f"host {self.host} has no address")
        for family, kind, protocol, _, address in found:
            try:
                self._socket = await self._connect(socket.socket(family, kind, protocol), address)
            except TimeoutError:
                failure = LinkError(f"{self.where} does not answer: is the gateway on?")
            except OSError as error:
                reason = os.strerror(error.errno) if error.errno else str(error)
                failure = LinkError(
                    f"{self.where} cannot be reached ({reason}): check host: and port:"
                )
            else:
                self._attach(self._socket.fileno())
                return
        raise failure

    async def _connect(self, sock: socket.socket, address: tuple[object, ...]) -> socket.socket:
        try:
            sock.setblocking(False)
            async with asyncio.timeout(_CONNECT_S):
                await asyncio.get_running_loop().sock_connect(sock, address)
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
            for option, value in (*_PROBES, ("TCP_USER_TIMEOUT", _DEAD_MS)):
                if hasattr(socket, option):
                    sock.setsockopt(socket.IPPROTO_TCP, getattr(socket, option), value)
        except BaseException:
            sock.close()
            raise
        return sock

    def close(self) -> None:
        self._detach()
        if self._socket is not None:
            with contextlib.suppress(OSError):
                self._socket.close()
            self._socket = None
