"""A simulated CAN bus: nodes in this program, and serial adapters (slcan, Lawicel's text) on ptys.

An adapter at a program's end takes C, O, L, S0..S8, t, T, r, R, V, N, F, Z and answers each command
with CR or, where it refuses, with a bell: so a second O is refused, and so are frames once its
queue is full. It delivers at the wire's bit rate only; at another, or with nobody else on the bus,
its frames wait in the queue for ever, as nobody acknowledges them.
"""

import asyncio
import os
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from vbms.errors import LinkError
from vbms.simulate.tty_port import make_pty, open_tty

RATES = (10_000, 20_000, 50_000, 100_000, 125_000, 250_000, 500_000, 750_000, 1_000_000)
_QUEUE = 8  # frames an adapter holds
_OK, _BELL = b"\r", b"\a"


@dataclass(frozen=True, slots=True)
class CanFrame:
    """One data frame."""

    can_id: int
    data: bytes
    extended: bool = False

    def text(self) -> bytes:
        """As slcan writes it."""
        head = "T%08X%d" if self.extended else "t%03X%d"
        return (head % (self.can_id, len(self.data)) + self.data.hex().upper()).encode()


def from_text(line: bytes) -> CanFrame | None:
    """A slcan line without its CR; None for anything but a data frame."""
    digits = 8 if line[:1] == b"T" else 3
    if line[:1] not in (b"t", b"T") or len(line) < digits + 2:
        return None
    try:
        can_id = int(line[1 : 1 + digits], 16)
        size = int(line[1 + digits : 2 + digits], 16)
        data = bytes.fromhex(line[2 + digits : 2 + digits + 2 * size].decode("ascii"))
    except ValueError:
        return None
    if size > 8 or len(data) != size or can_id >= 1 << (29 if digits == 8 else 11):
        return None
    return CanFrame(can_id, data, digits == 8)


class Node(Protocol):
    def hear(self, frame: CanFrame) -> None: ...
    def listens(self, bitrate: int) -> bool:
        """Whether it acknowledges what is sent at this bit rate."""


class Wire:
    """Everybody hears everybody else at once; a frame that nobody acknowledges was not sent."""

    def __init__(self, bitrate: int = 500_000) -> None:
        self.bitrate = bitrate
        self.nodes: list[Node] = []

    def send(self, source: object, frame: CanFrame, bitrate: int | None = None) -> bool:
        rate = bitrate or self.bitrate
        others = [node for node in self.nodes if node is not source and node.listens(rate)]
        for node in others:
            node.hear(frame)
        return any(not getattr(node, "listens_only", False) for node in others)


class Port:
    """Lines that end in CR over a descriptor of this event loop."""

    def __init__(self, fd: int, heard: Callable[[bytes], None]) -> None:
        self.fd = fd
        self.gone: str | None = None
        self._heard = heard
        self._buffer = b""
        self.ended = asyncio.Event()
        asyncio.get_running_loop().add_reader(fd, self._fetch)

    def write(self, data: bytes) -> None:
        """A program that does not read misses it."""
        try:
            os.write(self.fd, data)
        except BlockingIOError:
            return
        except OSError as error:
            self._end(error.strerror or str(error))

    def _fetch(self) -> None:
        try:
            data = os.read(self.fd, 4096)
        except BlockingIOError:
            return
        except OSError as error:
            self._end(error.strerror or str(error))
            return
        if not data:
            self._end("closed by the other side")
            return
        *lines, self._buffer = (self._buffer + data).split(b"\r")
        self._buffer = self._buffer[-64:]
        for line in lines:
            self._heard(line)

    def _end(self, why: str) -> None:
        if self.gone is None:
            self.gone = why
            asyncio.get_running_loop().remove_reader(self.fd)
            self.ended.set()

    def close(self) -> None:
        if self.fd >= 0:
            self._end("closed")
            os.close(self.fd)
            self.fd = -1


class Adapter:
    """A serial adapter between a program, which plugs in at `path`, and the wire."""

    def __init__(self, wire: Wire) -> None:
        self.wire = wire
        self.taken = 0  # frames from the program
        self.refused = 0
        self.listens_only = False  # hears, and acknowledges nothing
        self.deaf = False  # reads nothing any more: a program's writes fill up
        ours, self._theirs, self.path = make_pty()
        self._port = Port(ours, self._command)
        self._open = False
        self._rate = wire.bitrate
        self._queue: list[CanFrame] = []
        wire.nodes.append(self)

    def listens(self, bitrate: int) -> bool:
        return self._open and self._rate == bitrate

    def hear(self, frame: CanFrame) -> None:
        self._port.write(frame.text() + b"\r")

    def _command(self, line: bytes) -> None:
        if self.deaf:
            return
        self._port.write(self._obey(line.lstrip(b"\n")))

    def _obey(self, line: bytes) -> bytes:
        letter = line[:1]
        if letter in (b"O", b"L"):
            refused, self._open = self._open, True
            if not refused:
                self.listens_only = letter == b"L"
            return _BELL if refused else _OK
        if letter == b"C":
            self._open = False
            self._queue.clear()
            return _OK
        if letter == b"S" and line[1:] in (b"%d" % at for at in range(len(RATES))):
            if self._open:
                return _BELL
            self._rate = RATES[int(line[1:])]
            return _OK
        if letter in (b"t", b"T"):
            return self._transmit(line)
        if letter in (b"V", b"N"):
            return letter + b"1013\r"
        if letter == b"F" and self._open:
            return b"F%02X\r" % (0x80 if self._queue else 0)
        return _OK if line in (b"", b"Z0", b"Z1") else _BELL

    def _transmit(self, line: bytes) -> bytes:
        frame = from_text(line)
        if not self._open or frame is None:
            return _BELL
        waiting, self._queue = [*self._queue, frame], []
        for at, one in enumerate(waiting):
            if not self.wire.send(self, one, self._rate):
                self._queue = waiting[at:]
                break
        if len(self._queue) > _QUEUE:
            del self._queue[-1]
            self.refused += 1
            return _BELL
        self.taken += 1
        return (b"Z" if frame.extended else b"z") + _OK

    def unplug(self) -> None:
        """Pulled out: the program's descriptor is dead."""
        self._port.close()
        if self._theirs >= 0:
            os.close(self._theirs)
            self._theirs = -1
        if self in self.wire.nodes:
            self.wire.nodes.remove(self)

    close = unplug


class HostPort:
    """This program's own end of a real or simulated serial adapter: a node that listens there."""

    def __init__(self, path: str, hear: Callable[[CanFrame], None], baud: int = 115200) -> None:
        self.path = path
        self._hear = hear
        self._port = Port(open_tty(path, baud), self._line)
        self._port.write(b"C\rS6\rO\r")

    def _line(self, line: bytes) -> None:
        frame = from_text(line.lstrip(b"\a"))
        if frame is not None:
            self._hear(frame)

    def send(self, frame: CanFrame) -> None:
        self._port.write(frame.text() + b"\r")

    async def wait(self) -> None:
        """Until the port is gone: LinkError."""
        await self._port.ended.wait()
        raise LinkError(f"{self.path}: {self._port.gone}")

    def close(self) -> None:
        self._port.close()


class CanLine:
    """A bus for one program at `path` and, with far=True, another at `far_path`."""

    def __init__(self, *, far: bool = False) -> None:
        self.wire = Wire()
        self.path = ""
        self.far_path = ""
        self.adapters: list[Adapter] = []
        self._far = far

    async def start(self) -> None:
        self.adapters = [Adapter(self.wire) for _ in range(2 if self._far else 1)]
        self.path = self.adapters[0].path
        self.far_path = self.adapters[-1].path if self._far else ""

    def close(self) -> None:
        for adapter in self.adapters:
            adapter.close()
        self.adapters.clear()
