"""A serial line behind a serial-to-Ethernet gateway: raw bytes over TCP."""

import asyncio
import contextlib
import socket

from vbms.errors import LinkError
from vbms.links.fd_line import FdLine

_CONNECT_S = 5.0


class TcpLine(FdLine):
    """The same four methods; `baud` is the speed of the serial side, None where there is none."""

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
            rows = await asyncio.wait_for(
                loop.getaddrinfo(self.host, self.port, type=socket.SOCK_STREAM), _CONNECT_S
            )
            family, kind, protocol, _, address = rows[0]
            sock = socket.socket(family, kind, protocol)
        except (OSError, TimeoutError) as error:
            raise LinkError(f"{self.host} is not a known host: correct host: ({error})") from None
        try:
            sock.setblocking(False)
            await asyncio.wait_for(loop.sock_connect(sock, address), _CONNECT_S)
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        except TimeoutError:
            sock.close()
            raise LinkError(f"{self.where} does not answer: is the gateway on?") from None
        except OSError as error:
            sock.close()
            raise LinkError(
                f"{self.where} refuses ({error.strerror}): check host: and port:"
            ) from None
        except BaseException:
            sock.close()
            raise
        self._socket = sock
        self._attach(sock.fileno())

    def close(self) -> None:
        self._detach()
        if self._socket is not None:
            with contextlib.suppress(OSError):
                self._socket.close()
            self._socket = None
