"""Links in memory, with batteries at the other end; each byte takes its time.

`MemoryLink` is what the program holds: the four methods of a link, and `at_once`. What stands at
the other end gets what is written when its last byte has passed, and `deliver`s its own.
"""

import asyncio
import random
from collections.abc import Callable

from vbms.errors import LinkError
from vbms.simulate.device import Device
from vbms.soak.meter import Meter

_HANDFUL_S = 0.004  # between the two pieces of a frame

Written = Callable[[bytes], None]


class MemoryLink:
    """A line of bytes at one end of which the program sits."""

    def __init__(self, name: str, baud: int) -> None:
        self.name = name
        self.byte_us = -(-10_000_000 // baud)
        self.byte_s = 10 / baud
        self.at_once: Callable[[bytes], bytes | None] | None = None
        self.written: Written = _nowhere
        self.gone = False
        self._open = False
        self._loop: asyncio.AbstractEventLoop | None = None
        self._waiting = b""
        self._waiter: asyncio.Future[bytes] | None = None

    async def open(self) -> None:
        if self.gone:
            raise LinkError(f"{self.name} is not there")
        self._loop = asyncio.get_running_loop()
        self._open = True
        self._waiting = b""

    def close(self) -> None:
        self._open = False

    def unplug(self) -> None:
        """The port is gone: whoever reads hears of it."""
        self.gone = True
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_exception(LinkError(f"{self.name} is gone"))

    def plug(self) -> None:
        self.gone = False

    async def write(self, data: bytes) -> None:
        if self.gone or not self._open or self._loop is None:
            raise LinkError(f"{self.name} is gone")
        self._loop.call_later(len(data) * self.byte_s, self.written, data)

    async def read(self, timeout_ms: int) -> bytes:
        if self.gone or not self._open or self._loop is None:
            raise LinkError(f"{self.name} is gone")
        if self._waiting:
            data, self._waiting = self._waiting, b""
            return data
        if timeout_ms <= 0:
            return b""
        waiter: asyncio.Future[bytes] = self._loop.create_future()
        self._waiter = waiter
        timer = self._loop.call_later(timeout_ms / 1000, _expire, waiter)
        try:
            return await waiter
        finally:
            timer.cancel()
            self._waiter = None

    def deliver(self, data: bytes) -> None:
        """These bytes have come."""
        if self.gone or not self._open:
            return
        waiter = self._waiter
        if waiter is None or waiter.done():
            self._waiting = (self._waiting + data)[-4096:]
            return
        answer = self.at_once(data) if self.at_once is not None else None
        if answer is None:
            waiter.set_result(data)
        elif self._loop is not None:
            self._loop.call_later(len(answer) * self.byte_s, self.written, answer)


class BatteryCable:
    """A line with batteries on it; each answers as vbms.simulate's device of its kind does."""

    def __init__(
        self,
        link: MemoryLink,
        loop: asyncio.AbstractEventLoop,
        meters: "list[Meter]",
        rng: random.Random,
        now_s: Callable[[], float],
    ) -> None:
        self.link = link
        self._loop = loop
        self._rng = rng
        self._now_s = now_s
        self._devices: dict[int, tuple[Meter, Device]] = {}
        for meter in meters:
            device: Device = meter.jk if meter.is_jk else meter.byd
            device.byte_s = link.byte_s
            self._devices[meter.address] = (meter, device)
        link.written = self.hear

    def hear(self, request: bytes) -> None:
        """The last byte of a request has passed; the first one says whose it is."""
        found = self._devices.get(request[0])
        if found is None:
            return
        meter, device = found
        if meter.silent:
            return
        meter.refresh(self._now_s())
        if meter.is_jk:
            meter.jk.identity.serial = meter.serial
        if meter.flips:
            device.faults.clear()
            if self._rng.random() < meter.flips:
                kind = self._rng.choice(("flip", "flip", "cut", "half_frame", "late", "noise"))
                if kind == "noise":
                    self.link.deliver(self._rng.randbytes(self._rng.randrange(1, 60)))
                else:
                    device.faults.add(kind)
        elif device.faults:
            device.faults.clear()
        for delay_s, data in device.receive(request, self._loop.time()):
            self._send(delay_s, data)

    def _send(self, delay_s: float, data: bytes) -> None:
        """In one piece or in two, as adapters hand them over."""
        cut = self._rng.randrange(len(data)) if self._rng.random() < 0.3 else 0
        end_s = delay_s + len(data) * self.link.byte_s
        if cut:
            self._loop.call_later(max(0.0, end_s - _HANDFUL_S), self.link.deliver, data[:cut])
        self._loop.call_later(end_s, self.link.deliver, data[cut:])


def _nowhere(_: bytes) -> None:
    return None


def _expire(waiter: "asyncio.Future[bytes]") -> None:
    if not waiter.done():
        waiter.set_result(b"")
