"""A CAN bus by python-can: SocketCAN, serial adapters (slcan), `virtual` and whatever else it has.

python-can blocks, so it lives on two threads of its own, one that listens and one that sends; the
event loop only hands over and fetches. The sending thread also keeps the time: it is told when a
set is due and asks for its frames at that very moment, so a busy loop delays nothing and a set that
was silenced meanwhile is not sent. A full queue costs the rest of that set, never the next one.
"""

import asyncio
import contextlib
import errno
import logging
import threading
import time
import typing
from collections import deque
from collections.abc import Callable, Sequence

from vbms.errors import LinkError

if typing.TYPE_CHECKING:
    import can

log = logging.getLogger(__name__)

Frame = tuple[int, bytes, bool]  # identifier, data, 29 bits
Frames = Callable[[], Sequence[tuple[int, bytes]]]
Note = Callable[[bool, bytes], object]  # (sent, `to_bytes`), for a recording, from any thread

HIGHEST_STANDARD = 0x7FF
MOST_A_SECOND = 2000  # frames; the rest of a flood is dropped
_MOST_WAITING = 2000  # heard and not fetched
_MOST_JOBS = 16
_SEND_S = 0.1  # how long a full queue is waited for
_LISTEN_S = 0.2  # so long closing may take
_STALE_S = 0.5  # a set so late is left out, the next one is near
_QUIET_S = 1.0  # after opening, when a serial adapter may refuse what python-can says twice

# What goes wrong on a bus.
QUEUE_FULL = "queue_full"  # sets cut short: nobody listens, or the adapter is too slow
BUS = "bus"  # error frames of the protocol: a wrong bit rate, a bad wire
BUS_OFF = "bus_off"
NO_ACK = "no_ack"  # nobody is there to acknowledge: an inverter that is switched off
REFUSED = "refused"  # frames that a serial adapter did not take
BAD_FRAME = "bad_frame"  # what came from the adapter was no frame
FLOOD = "flood"  # frames above MOST_A_SECOND
LATE = "late"  # sets that were left out because this machine was too slow
KINDS = (QUEUE_FULL, BUS, BUS_OFF, NO_ACK, REFUSED, BAD_FRAME, FLOOD, LATE)

# Classes of SocketCAN's error frames (linux/can/error.h).
# A bad wire shows in the transceiver (0x10), else bus error, protocol, controller.
_CLASSES = ((0x040, BUS_OFF), (0x020, NO_ACK), (0x09C, BUS))


def to_bytes(can_id: int, data: bytes, extended: bool) -> bytes:
    """A frame as one: the identifier in four, its highest bit set for one of 29 bits, the data."""
    return (can_id | extended << 31).to_bytes(4, "big") + data


def from_bytes(noted: bytes) -> Frame | None:
    """None for what is no frame."""
    word = int.from_bytes(noted[:4], "big")
    can_id, extended = word & 0x7FFFFFFF, bool(word >> 31)
    if not 4 <= len(noted) <= 12 or can_id > (0x1FFFFFFF if extended else HIGHEST_STANDARD):
        return None
    return can_id, noted[4:], extended


class CanBus:
    """A bus as an asyncio link. `errors` counts by kind, `sent` and `received` frames.

    `options` are python-can's own, for tests; `lateness` is told each set's delay in us.
    """

    def __init__(
        self, name: str, interface: str, channel: str, bitrate: int, **options: typing.Any
    ) -> None:
        self.name = name
        self.interface = interface
        self.channel = channel
        self.bitrate = bitrate
        self.byte_us = 0
        self.sent = 0
        self.received = 0
        self.errors = dict.fromkeys(KINDS, 0)
        self.lateness: Callable[[int], None] | None = None
        self.trace: Note | None = None
        self._options = options
        self._session: _Session | None = None

    async def open(self) -> None:
        """Raises LinkError in words that help; waits as long as the adapter needs."""
        session = _Session(self, asyncio.get_running_loop())
        self._session = session
        session.start()
        await asyncio.shield(session.opened)

    def close(self) -> None:
        if self._session is not None:
            self._session.stop()

    async def closed(self, timeout_s: float = 1.0) -> None:
        """Until the adapter is given back, or it takes too long."""
        if self._session is not None:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(timeout_s):
                    await self._session.ended.wait()

    def send(self, due_us: int, frames: Frames) -> None:
        if self._session is None:
            raise LinkError(f"{self.channel} is not open")
        self._session.send(due_us, frames)

    async def heard(self, timeout_ms: int) -> Sequence[Frame]:
        if self._session is None:
            raise LinkError(f"{self.channel} is not open")
        return await self._session.heard(timeout_ms)

    def make(self) -> "can.BusABC":
        """The bus, opened. Blocks. Raises LinkError."""
        try:
            import can
        except ImportError:
            raise LinkError("CAN needs more packages: pip install 'vbms[can]'") from None
        logging.getLogger("can").setLevel(logging.CRITICAL)  # what it has to say comes as errors
        options: dict[str, typing.Any] = {"bitrate": self.bitrate}
        if self.interface == "slcan":
            options["timeout"] = _LISTEN_S  # else it looks a thousand times a second
        try:
            return can.Bus(
                interface=self.interface,
                channel=self.channel,
                **(options | self._options),
            )
        except Exception as error:  # whatever an adapter's package throws
            raise LinkError(self._in_words(error)) from error

    def _in_words(self, error: Exception) -> str:
        words = str(error) or type(error).__name__
        if self.interface == "socketcan":
            words += f": is it up (ip link set {self.channel} up type can bitrate {self.bitrate})?"
        else:
            words += ": is the adapter plugged in, and used by no other program?"
        return f"{self.interface} {self.channel}: {words}"


class _Session:
    """From one opening to its closing: both threads and what they share."""

    def __init__(self, link: CanBus, loop: asyncio.AbstractEventLoop) -> None:
        self.link = link
        self.opened: asyncio.Future[None] = loop.create_future()
        self.ended = asyncio.Event()
        self._loop = loop
        self._bus: can.BusABC | None = None
        self._stopping = False
        self._failure: str | None = None
        self._heard: deque[Frame] = deque(maxlen=_MOST_WAITING)
        self._news = asyncio.Event()
        self._news_told = False
        self._jobs: list[tuple[int, Frames]] = []
        self._work = threading.Condition()
        self._quiet_until = 0.0
        self._second = 0
        self._in_second = 0

    def start(self) -> None:
        name = f"can-{self.link.name}"
        threading.Thread(target=self._listen, name=f"{name}-in", daemon=True).start()

    def stop(self) -> None:
        self._stopping = True
        with self._work:
            self._work.notify()

    # ---- the loop's side

    def send(self, due_us: int, frames: Frames) -> None:
        if self._failure is not None:
            raise LinkError(self._failure)
        with self._work:
            if len(self._jobs) >= _MOST_JOBS:
                del self._jobs[0]
                self.link.errors[QUEUE_FULL] += 1
            self._jobs.append((due_us, frames))
            self._jobs.sort(key=lambda job: job[0])
            self._work.notify()

    async def heard(self, timeout_ms: int) -> Sequence[Frame]:
        if not self._heard and self._failure is None:
            self._news.clear()
            self._news_told = False
            if not self._heard:
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(timeout_ms / 1000):
                        await self._news.wait()
        if self._failure is not None:
            raise LinkError(self._failure)
        found = []
        while self._heard:
            found.append(self._heard.popleft())
        return found

    def _tell_loop(self, what: Callable[[], None]) -> None:
        with contextlib.suppress(RuntimeError):  # the loop has ended
            self._loop.call_soon_threadsafe(what)

    # ---- the listening thread, which also opens and closes

    def _listen(self) -> None:
        try:
            bus = self.link.make()
        except LinkError as error:
            refused = error
            self._tell_loop(lambda: self._settle(refused))
            self._tell_loop(self.ended.set)
            return
        self._bus = bus
        self._watch_adapter(bus)
        self._tell_loop(lambda: self._settle(None))
        sender = threading.Thread(
            target=self._send_for_ever, name=f"can-{self.link.name}-out", daemon=True
        )
        sender.start()
        while not self._stopping and self._failure is None:
            self._listen_once(bus)
        self.stop()
        sender.join(2 * _SEND_S + _LISTEN_S)
        with contextlib.suppress(Exception):
            bus.shutdown()
        self._tell_loop(self.ended.set)

    def _settle(self, error: LinkError | None) -> None:
        if self.opened.done():
            return
        if error is None:
            self.opened.set_result(None)
        else:
            self.opened.set_exception(error)
            self.opened.exception()  # nobody may wait for it any more

    def _listen_once(self, bus: "can.BusABC") -> None:
        try:
            message = bus.recv(timeout=_LISTEN_S)
        except Exception as error:
            if self._stopping:
                return
            if isinstance(error.__cause__ or error, ValueError | IndexError):  # text, and no frame
                self.link.errors[BAD_FRAME] += 1
                with contextlib.suppress(Exception):
                    bus.flush()  # type: ignore[attr-defined]
                return
            self._fail(error)
            return
        if message is None:
            return
        if message.is_error_frame:
            self._error_frame(message.arbitration_id)
        elif not message.is_remote_frame and self._has_room():
            self.link.received += 1
            frame = (message.arbitration_id, bytes(message.data), message.is_extended_id)
            if self.link.trace is not None:
                self.link.trace(False, to_bytes(*frame))
            self._heard.append(frame)
            self._wake()

    def _has_room(self) -> bool:
        second = int(time.monotonic())
        if second != self._second:
            self._second = second
            self._in_second = 0
        self._in_second += 1
        if self._in_second <= MOST_A_SECOND:
            return True
        self.link.errors[FLOOD] += 1
        return False

    def _wake(self) -> None:
        if not self._news_told:
            self._news_told = True
            self._tell_loop(self._news.set)

    def _error_frame(self, classes: int) -> None:
        for bits, kind in _CLASSES:
            if classes & bits:
                self.link.errors[kind] += 1
                if kind == BUS_OFF:
                    self._fail(LinkError("bus-off: too many errors, the controller has let go"))
                return

    def _watch_adapter(self, bus: "can.BusABC") -> None:
        """A serial adapter answers each frame, with a bell where it did not take it.

        python-can reads these answers and drops them, so they are looked at on their way.
        """
        read = getattr(bus, "_read", None)
        if self.link.interface != "slcan" or read is None:
            return
        self._quiet_until = time.monotonic() + _QUIET_S

        def watched(timeout: float | None) -> str | None:
            text: str | None = read(timeout)
            if text is not None and text.endswith("\a") and time.monotonic() > self._quiet_until:
                self.link.errors[REFUSED] += 1
            return text

        bus._read = watched  # type: ignore[attr-defined]

    def _fail(self, error: Exception) -> None:
        if self._failure is None:
            self._failure = f"{self.link.interface} {self.link.channel}: {error}"
            self._tell_loop(self._news.set)
            with self._work:
                self._work.notify()

    # ---- the sending thread

    def _send_for_ever(self) -> None:
        while not self._stopping and self._failure is None:
            with self._work:
                now_us = time.monotonic_ns() // 1000
                if not self._jobs:
                    self._work.wait()
                    continue
                due_us, frames = self._jobs[0]
                if due_us > now_us:
                    self._work.wait((due_us - now_us) / 1e6)
                    continue
                del self._jobs[0]
            self._send_set(due_us, frames())

    def _send_set(self, due_us: int, frames: Sequence[tuple[int, bytes]]) -> None:
        late_us = time.monotonic_ns() // 1000 - due_us
        if late_us > _STALE_S * 1e6:
            self.link.errors[LATE] += bool(frames)
            return
        if frames and self.link.lateness is not None:
            self.link.lateness(late_us)
        for can_id, data in frames:
            if self._stopping or not self._send_frame(can_id, data):
                return

    def _send_frame(self, can_id: int, data: bytes) -> bool:
        import can

        assert self._bus is not None
        message = can.Message(
            arbitration_id=can_id,
            data=data,
            is_extended_id=can_id > HIGHEST_STANDARD,
            check=False,
        )
        try:
            self._bus.send(message, timeout=_SEND_S)
        except Exception as error:
            if _is_full(error):
                self.link.errors[QUEUE_FULL] += 1
            elif not self._stopping:
                self._fail(error)
            return False
        self.link.sent += 1
        if self.link.trace is not None:
            self.link.trace(True, to_bytes(can_id, data, can_id > HIGHEST_STANDARD))
        return True


def _is_full(error: Exception) -> bool:
    """The queue is full, and nothing worse."""
    if getattr(error, "error_code", None) == errno.ENOBUFS:
        return True
    names = type(error).__name__ + type(error.__cause__).__name__
    return "Timeout" in names or "buffer full" in str(error).lower()
