"""A Modbus client whose answers come out of a recording: what `ModbusLink` has, without a wire.

A read is answered as the same read was at about the same time, a refusal with the refusal, and
what nobody answered then with silence. RTU and Modbus TCP are told apart by the bytes themselves.
"""

import asyncio
from collections.abc import Sequence

from vbms.errors import FrameError, LinkError, RefusedError, SilentError
from vbms.links.replay_link import Event, Exchange, exchanges, nearest
from vbms.wire.crc import crc16_bytes

Key = tuple[int, int, int]  # address, function, start

_MBAP = 6  # bytes before the address


class ReplayModbus:
    """`origin_us`: the moment of the recording that is played first."""

    def __init__(self, name: str, events: Sequence[Event], origin_us: int = 0) -> None:
        self.name = name
        self.port: str | None = None
        self.host: str | None = name
        self.framing = ""
        self.byte_us = 0
        self.stats = {"frames_in": 0, "frames_out": 0, "timeout": 0, "bad_frame": 0, "busy_us": 0}
        self.trace: object = None
        self.connected = False
        self._origin_us = origin_us
        self._began_us: int | None = None
        self._asked: dict[Key, list[Exchange]] = {}
        for exchange in exchanges(events, ()):
            key = _key(exchange.request)
            if key is not None:
                self._asked.setdefault(key, []).append(exchange)

    async def open(self) -> None:
        self._now_us()
        self.connected = True

    def close(self) -> None:
        self.connected = False

    async def read(
        self, address: int, function: int, start: int, count: int, timeout_ms: int
    ) -> bytes:
        """Registers, high byte first. Raises SilentError, FrameError, RefusedError or LinkError."""
        body = await self._exchange((address, function, start), timeout_ms)
        if len(body) != 2 * count + 1 or body[0] != 2 * count:
            self.stats["bad_frame"] += 1
            raise FrameError("payload: the answer to another request")
        return body[1:]

    async def write(self, address: int, start: int, values: Sequence[int], timeout_ms: int) -> None:
        """Nothing is written; it is answered as it was."""
        await self._exchange((address, 16, start), timeout_ms)

    async def _exchange(self, key: Key, timeout_ms: int) -> bytes:
        if not self.connected:
            raise LinkError(f"{self.name}: the connection is gone")
        self.stats["frames_out"] += 1
        found = nearest(self._asked.get(key, ()), self._now_us() + self._origin_us)
        heard = found.heard if found is not None else []
        if not heard:
            await asyncio.sleep(timeout_ms / 1000)
            self.stats["timeout"] += 1
            raise SilentError("no answer")
        await asyncio.sleep(min(heard[-1][0] / 1_000_000, timeout_ms / 1000))
        pieces = [data for _, data in heard]
        # The client notes a piece together with what it has kept of the ones before.
        for data in (*reversed(pieces), b"".join(pieces)):
            body = _body(data, key)
            if body is not None:
                self.stats["frames_in"] += 1
                return body
        self.stats["bad_frame"] += 1
        raise FrameError("checksum: %d bytes that are no answer" % len(b"".join(pieces)))

    def _now_us(self) -> int:
        now = int(asyncio.get_running_loop().time() * 1_000_000)
        if self._began_us is None:
            self._began_us = now
        return now - self._began_us


def _is_tcp(frame: bytes) -> bool:
    """Two zeros and the length of the rest: no RTU frame of a read looks like that."""
    size = len(frame) - _MBAP
    return size > 0 and frame[2:4] == b"\0\0" and int.from_bytes(frame[4:6], "big") == size


def _is_rtu(frame: bytes) -> bool:
    return len(frame) > 3 and crc16_bytes(frame[:-2]) == frame[-2:]


def _pdu(frame: bytes) -> bytes:
    """From the address on, without checksum; b"" for what is no frame."""
    if _is_rtu(frame):
        return frame[:-2]
    return frame[_MBAP:] if _is_tcp(frame) else b""


def _key(request: bytes) -> Key | None:
    pdu = _pdu(request)
    return (pdu[0], pdu[1], pdu[2] << 8 | pdu[3]) if len(pdu) >= 4 else None


def _body(frame: bytes, key: Key) -> bytes | None:
    """What stands behind the function; None for what is no answer to this."""
    pdu = _pdu(frame)
    if len(pdu) < 3 or pdu[0] != key[0] or pdu[1] & 0x7F != key[1]:
        return None
    if pdu[1] & 0x80:
        raise RefusedError("Modbus exception %d" % pdu[2], pdu[2])
    return pdu[2:]
