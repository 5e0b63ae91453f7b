"""A link over a file descriptor: bytes as they come, without a transport in between.

asyncio tells when the descriptor is readable; `read` waits for that or for its time-out with one
timer that is kept and moved, not made anew, as an idle line reads thousands of times an hour.
"""

import asyncio
import os
import select
from collections.abc import Callable

from vbms.errors import LinkError

_MOST_WAITING = 65536  # bytes nobody has asked for; a stream that nobody reads is noise
_WRITE_S = 1.0


class FdLine:
    """The four methods of a link, once a subclass has opened a descriptor and called `_attach`."""

    GONE = "was the adapter unplugged?"

    def __init__(self, name: str, where: str, byte_us: int) -> None:
        self.name = name
        self.where = where  # for messages: the port's path, the gateway's address
        self.byte_us = byte_us
        self._fd = -1
        self._peek = select.poll()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._waiting = b""
        self._waiter: asyncio.Future[bytes] | None = None
        self._deadline = 0.0
        self._timer: asyncio.TimerHandle | None = None
        self._broken: LinkError | None = None
        # Asked first for an answer to what has come, so that an answer made beforehand leaves at
        # once; None, or a None from it: `read` gets the bytes.
        self.at_once: Callable[[bytes], bytes | None] | None = None
        self.trace: Callable[[bool, bytes], None] | None = None  # (sent, bytes), for a recording

    def _attach(self, fd: int) -> None:
        os.set_blocking(fd, False)
        self._fd = fd
        self._waiting = b""
        self._broken = None
        self._peek = select.poll()
        self._peek.register(fd, select.POLLIN)
        self._loop = asyncio.get_running_loop()
        self._loop.add_reader(fd, self._readable)

    def _detach(self) -> None:
        """Stop listening; the subclass closes the descriptor."""
        if self._loop is not None and self._fd >= 0:
            self._loop.remove_reader(self._fd)
            self._loop.remove_writer(self._fd)
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._fd = -1
        self._waiting = b""
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_exception(LinkError(f"{self.where} was closed"))

    async def read(self, timeout_ms: int) -> bytes:
        """What has come, at once if something waits; b"" when nothing did in time."""
        if self._waiting:
            data = self._waiting
            self._waiting = b""
            return data
        if self._broken is not None:
            raise self._broken
        loop = self._loop
        if loop is None or self._fd < 0:
            raise LinkError(f"{self.where} is not open")
        if timeout_ms <= 0:
            # What the loop has not seen yet counts too: whoever asks like this is about to write.
            data = self._fetch() if self._peek.poll(0) else b""
            if self._broken is not None:
                raise self._broken
            return data
        self._deadline = deadline = loop.time() + timeout_ms / 1000
        timer = self._timer
        if timer is None:
            self._timer = loop.call_at(deadline, self._expire)
        elif timer.when() > deadline:
            timer.cancel()
            self._timer = loop.call_at(deadline, self._expire)
        waiter: asyncio.Future[bytes] = loop.create_future()
        self._waiter = waiter
        try:
            return await waiter
        finally:
            self._waiter = None

    async def write(self, data: bytes) -> None:
        """All of it, or LinkError."""
        if self.trace is not None:
            self.trace(True, data)
        while True:
            try:
                sent = os.write(self._fd, data)
            except BlockingIOError:
                sent = 0
            except OSError as error:
                raise self._lost(error) from None
            if sent == len(data):
                return
            data = data[sent:]
            await self._writable()

    async def _writable(self) -> None:
        loop = asyncio.get_running_loop()
        ready: asyncio.Future[None] = loop.create_future()
        loop.add_writer(self._fd, _set, ready)
        try:
            async with asyncio.timeout(_WRITE_S):
                await ready
        except TimeoutError:
            raise LinkError(f"{self.where} takes no bytes: is the adapter stuck?") from None
        finally:
            if self._fd >= 0:
                loop.remove_writer(self._fd)

    def _fetch(self) -> bytes:
        """What has come; b"" for nothing, and for a port that is gone: then `_broken` says so."""
        try:
            data = os.read(self._fd, 4096)
        except (BlockingIOError, InterruptedError):
            return b""
        except OSError as error:
            self._break(self._lost(error))
            return b""
        # A terminal with nothing to say reads like one that is gone.
        if not data and self._peek.poll(0):
            self._break(LinkError(f"{self.where} is gone: {self.GONE}"))
        elif self.trace is not None and data:
            self.trace(False, data)
        return data

    def _readable(self) -> None:
        data = self._fetch()
        if not data:
            return
        waiter = self._waiter
        if waiter is not None and not waiter.done():
            answer = self.at_once(data) if self.at_once is not None else None
            if answer is None:
                waiter.set_result(data)
            else:
                self._answer(answer)
        else:
            self._waiting = (self._waiting + data)[-_MOST_WAITING:]

    def _answer(self, data: bytes) -> None:
        if self.trace is not None:
            self.trace(True, data)
        try:
            sent = os.write(self._fd, data)
        except BlockingIOError:
            sent = 0
        except OSError as error:
            self._break(self._lost(error))
            return
        if sent < len(data):
            self._break(LinkError(f"{self.where} takes no bytes: is the adapter stuck?"))

    def _expire(self) -> None:
        self._timer = None
        waiter = self._waiter
        loop = self._loop
        if waiter is None or waiter.done() or loop is None:
            return
        if self._deadline > loop.time() + 1e-6:  # read again since: look again then
            self._timer = loop.call_at(self._deadline, self._expire)
            return
        waiter.set_result(b"")

    def _lost(self, error: OSError) -> LinkError:
        return LinkError(f"{self.where} is gone ({error.strerror}): {self.GONE}")

    def _break(self, error: LinkError) -> None:
        self._broken = error
        if self._loop is not None and self._fd >= 0:
            self._loop.remove_reader(self._fd)
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_exception(error)


def _set(ready: "asyncio.Future[None]") -> None:
    if not ready.done():
        ready.set_result(None)
