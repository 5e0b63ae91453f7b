"""A WebSocket (RFC 6455), as much of it as calls need: whole text messages, both ways.

The PC's alone: its hash is not on every board. microdot's own takes a client that sends half a
header for one that has left. A message that is fragmented, too long or not masked ends the
connection, with the code that the standard has for it.
"""

import binascii
import hashlib

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from typing import Any

    from microdot import Request

_GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
_TEXT, _CLOSE, _PING, _PONG = 1, 8, 9, 10
_PROTOCOL_ERROR, _NOT_FOR_US, _NO_TEXT, _TOO_LONG = 1002, 1003, 1007, 1009


def upgrade(request: "Request") -> str | None:
    """The client's key where the request asks for a WebSocket."""
    headers = request.headers
    wanted = (headers.get("Upgrade") or "").lower() == "websocket"
    if not wanted or "upgrade" not in (headers.get("Connection") or "").lower():
        return None
    return headers.get("Sec-WebSocket-Key")


async def serve(request: "Request", most: int, reply: "Callable[[str], Awaitable[str]]") -> bool:
    """Answer the messages of a client that wants a WebSocket, to the end; False: it wants none."""
    key = upgrade(request)
    if key is None:
        return False
    await Socket(request, key, most).serve(reply)
    return True


class Socket:
    """One connection, after the request for it has been let through."""

    def __init__(self, request: "Request", key: str, most: int) -> None:
        self._reader: Any = request.sock[0]
        self._writer: Any = request.sock[1]
        self._key = key
        self._most = most

    async def serve(self, reply: "Callable[[str], Awaitable[str]]") -> None:
        """Answer each message until either side ends it."""
        accept = binascii.b2a_base64(hashlib.sha1(self._key.encode() + _GUID).digest())
        head = b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n"
        head += b"Connection: Upgrade\r\nSec-WebSocket-Accept: " + accept.strip() + b"\r\n\r\n"
        await self._writer.awrite(head)
        try:
            while True:
                self._stay()
                kind, data = await self._read()
                if kind == _CLOSE:
                    await self._send(_CLOSE, data[:2])
                    break
                if kind == _PING:
                    await self._send(_PONG, data)
                elif kind == _TEXT:
                    try:
                        text = data.decode()
                    except ValueError:
                        raise _End(_NO_TEXT) from None
                    await self._send(_TEXT, (await reply(text)).encode())
                elif kind != _PONG:
                    raise _End(_NOT_FOR_US)
        except _End as end:
            await self._send(_CLOSE, bytes((end.code >> 8, end.code & 255)))
        except (OSError, EOFError):
            pass  # the other end is gone
        await self._writer.aclose()

    def _stay(self) -> None:
        """A server that gives each request so long is asked for more."""
        if hasattr(self._writer, "stay"):
            self._writer.stay()

    async def _read(self) -> "tuple[int, bytes]":
        """One frame: its kind and what it carries."""
        first, second = await self._reader.readexactly(2)
        if not first & 0x80 or first & 0x70 or not second & 0x80:
            raise _End(_PROTOCOL_ERROR)  # in pieces, with extensions, not masked
        size = second & 0x7F
        if size == 126:
            high, low = await self._reader.readexactly(2)
            size = high << 8 | low
        elif size == 127:
            size = self._most + 1  # eight bytes say how much, all of it too much
        if size > self._most:
            raise _End(_TOO_LONG)
        mask = await self._reader.readexactly(4)
        data = await self._reader.readexactly(size) if size else b""
        return first & 15, bytes([byte ^ mask[at & 3] for at, byte in enumerate(data)])

    async def _send(self, kind: int, data: bytes) -> None:
        size = len(data)
        head = bytes((0x80 | kind,))
        if size < 126:
            head += bytes((size,))
        elif size < 65536:
            head += bytes((126, size >> 8, size & 255))
        else:
            head += bytes(
                (127, 0, 0, 0, 0, size >> 24, size >> 16 & 255, size >> 8 & 255, size & 255)
            )
        await self._writer.awrite(head + data)


class _End(Exception):
    """The connection ends here, for this reason."""

    def __init__(self, code: int) -> None:
        super().__init__()
        self.code = code
