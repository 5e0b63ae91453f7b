"""The shapes that rings share, for type checkers: link, clock, codecs. Never shipped to a board."""

from collections.abc import Callable, Sequence
from typing import Protocol

from vbms.aggregate.snapshot import Snapshot
from vbms.aggregate.virtual import VirtualBattery
from vbms.wire.registers import Queue


class Clock(Protocol):
    """Monotonic time. Integers only; it never goes back and never wraps."""

    def now_ms(self) -> int: ...
    def now_us(self) -> int: ...
    async def sleep_ms(self, ms: int) -> None: ...
    async def sleep_us(self, us: int) -> None:
        """Never shorter than asked."""


class Log(Protocol):
    """What ring 2 uses of `logging.Logger`; a board passes an object with these methods."""

    def debug(self, text: str, /, *values: object) -> None: ...
    def info(self, text: str, /, *values: object) -> None: ...
    def warning(self, text: str, /, *values: object) -> None: ...
    def error(self, text: str, /, *values: object) -> None: ...


class Link(Protocol):
    """Bytes in, bytes out. Every method may raise LinkError once the port is gone."""

    name: str
    byte_us: int  # how long one byte takes on the wire, 0 where that means nothing

    async def open(self) -> None: ...
    def close(self) -> None: ...
    async def write(self, data: bytes) -> None: ...
    async def read(self, timeout_ms: int) -> bytes:
        """What has come, at once if something waits; b"" when nothing did in time."""


class PromptLink(Link, Protocol):
    """A link that can answer in the moment bytes come, a turn of the event loop earlier.

    While a `read` waits, each piece that comes is offered to `at_once` first: what that returns is
    written right away and the read goes on waiting; None: the piece is the read's, as without it.
    """

    at_once: Callable[[bytes], bytes | None] | None


class CanLink(Protocol):
    """Frames in, frames out. `heard` and `send` raise LinkError once the bus is gone."""

    name: str

    async def open(self) -> None: ...
    def close(self) -> None: ...
    def send(self, due_us: int, frames: Callable[[], Sequence[tuple[int, bytes]]]) -> None:
        """At that time of the clock put on the bus what `frames` gives then; never waits.

        An identifier above 0x7FF is a 29-bit one.
        """

    async def heard(self, timeout_ms: int) -> Sequence[tuple[int, bytes, bool]]:
        """(identifier, data, 29 bits) of what has come; nothing when nothing did in time."""


class RegisterBus(Protocol):
    """A bus of chips with registers, such as I2C; LinkError once it is gone."""

    name: str

    async def registers(self, address: int, numbers: bytes) -> bytes:
        """Each register's number and its value, three bytes. SilentError: nobody answered."""

    async def recover(self) -> None:
        """Free a bus that somebody holds down."""


class UpstreamCodec(Protocol):
    """One BMS protocol (and address): what to ask and what the answers mean."""

    def requests(self) -> Sequence[tuple[int, bytes]]: ...
    def take(self, buffer: bytes) -> tuple[int, bytes | None]: ...
    def slot(self, frame: bytes) -> int | None: ...
    def decode(self, frames: Sequence[bytes | None], now_ms: int) -> Snapshot: ...


class RegisterCodec(Protocol):
    """A battery read by registers: which blocks, and what they mean."""

    address: int

    def reads(self) -> Sequence[tuple[int, int, int, int]]:
        """(every_ms, function, start, count) of each slot; slot 0 is read at each poll."""

    def queue(self, slot: int) -> Queue | None:
        """How a slot that has to be asked for first is read; None: it is simply there."""

    def wanted(self, slot: int, frames: Sequence[bytes | None]) -> bool:
        """Whether the battery has such a block, by what it said so far."""

    def decode(self, frames: Sequence[bytes | None], now_ms: int) -> Snapshot: ...


class DownstreamCodec(Protocol):
    """One polled inverter protocol at one address."""

    address: int
    saturated: dict[str, int]

    def usual(self) -> Sequence[bytes]:
        """The requests an inverter sends all day: their answers are built beforehand."""

    def take(self, buffer: bytes) -> tuple[int, bytes | None]: ...
    def asks(self, frame: bytes) -> int | None:
        """Which address a frame wants to be answered; None: it asks for nothing we could tell."""

    def spoilt(self, lost: bytes) -> bool:
        """Whether bytes that made no frame look like a request that was damaged on its way."""

    def answer(self, request: bytes, battery: VirtualBattery) -> bytes | None: ...
    def read(self, frame: bytes) -> dict[str, object]: ...


class BroadcastCodec(Protocol):
    """One protocol that tells frames on a bus, by itself or when asked."""

    period_ms: int
    waits: int | None  # the identifier that is waited for before anything is told
    heartbeat: str  # observed, required, ignored
    heartbeat_ms: int
    saturated: dict[str, int]
    untold: str  # why the last battery was not told, in words

    def every_ms(self, can_id: int) -> int:
        """How often a frame is told; 0: only when it is asked for."""

    def messages(self, battery: VirtualBattery) -> Sequence[tuple[int, bytes]]: ...
    def heard(self, can_id: int, data: bytes, extended: bool) -> tuple[int, ...] | None:
        """The identifiers that an inverter's frame asks for; None: it is none."""

    def shuts_down(self, can_id: int, data: bytes, extended: bool) -> bool: ...
    def read(self, frame: tuple[int, bytes]) -> dict[str, object]: ...
