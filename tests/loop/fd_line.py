"""The least a link can be: a file descriptor and asyncio. For tests that are not about ports."""

from __future__ import annotations

import asyncio
import os
import tty

from vbms.errors import LinkError


class FdLine:
    """One raw tty; what came while nobody read waits in the tty."""

    name = "inv"
    byte_us = 0

    def __init__(self, fd: int):
        self.fd = fd
        self._waiter: asyncio.Future[bytes] | None = None

    async def open(self) -> None:
        tty.setraw(self.fd)
        os.set_blocking(self.fd, False)
        asyncio.get_running_loop().add_reader(self.fd, self._ready)

    def close(self) -> None:
        asyncio.get_running_loop().remove_reader(self.fd)
        os.close(self.fd)

    def _ready(self) -> None:
        waiter = self._waiter
        if waiter is None or waiter.done():
            asyncio.get_running_loop().remove_reader(self.fd)
            return
        try:
            waiter.set_result(os.read(self.fd, 4096))
        except OSError as error:
            waiter.set_exception(LinkError(f"{self.name}: {error}"))

    async def write(self, data: bytes) -> None:
        assert os.write(self.fd, data) == len(data)

    async def read(self, timeout_ms: int) -> bytes:
        loop = asyncio.get_running_loop()
        self._waiter = loop.create_future()
        loop.add_reader(self.fd, self._ready)
        timer = loop.call_later(timeout_ms / 1000, self._late)
        try:
            return await self._waiter
        finally:
            timer.cancel()
            self._waiter = None

    def _late(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(b"")
