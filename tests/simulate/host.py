"""The program's side of a simulated line, for tests: ask, and note when each handful arrived."""

import asyncio
import os
import time
import tty


class Host:
    """Opens a line's path as a program would, without a package in between."""

    def __init__(self, path: str) -> None:
        self.fd = os.open(path, os.O_RDWR | os.O_NOCTTY | os.O_NONBLOCK)
        tty.setraw(self.fd)
        self.chunks: list[tuple[float, int]] = []
        self.data = b""
        self.gone = False
        self._woken = asyncio.Event()
        asyncio.get_running_loop().add_reader(self.fd, self._fetch)

    def _fetch(self) -> None:
        try:
            data = os.read(self.fd, 4096)
        except OSError:
            data = b""
        if not data:
            self.gone = True
            asyncio.get_running_loop().remove_reader(self.fd)
        self.chunks.append((time.monotonic(), len(data)))
        self.data += data
        self._woken.set()

    def say(self, data: bytes) -> float:
        """Write; returns a moment that is not after the writing."""
        self.chunks.clear()
        self.data = b""
        now_s = time.monotonic()
        os.write(self.fd, data)
        return now_s

    async def hear(self, size: int, within_s: float) -> bytes:
        """What came: at least `size` bytes, or all there was until the time was up."""
        until_s = time.monotonic() + within_s
        while len(self.data) < size and time.monotonic() < until_s and not self.gone:
            self._woken.clear()
            try:
                async with asyncio.timeout(max(0.0, until_s - time.monotonic())):
                    await self._woken.wait()
            except TimeoutError:
                break
        return self.data

    async def ask(self, data: bytes, size: int = 1000, within_s: float = 0.3) -> bytes:
        self.say(data)
        return await self.hear(size, within_s)

    def close(self) -> None:
        if self.fd >= 0:
            asyncio.get_running_loop().remove_reader(self.fd)
            os.close(self.fd)
            self.fd = -1
