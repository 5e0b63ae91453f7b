"""The inverter's end of a line where it asks and a battery answers: bytes, time, violations."""

import asyncio
import contextlib
import logging
import os
import time
from collections import Counter
from dataclasses import dataclass

from vbms.errors import LinkError
from vbms.simulate.tty_port import open_tty

log = logging.getLogger(__name__)

LATEST_S = 0.25  # what an answer may take besides its own time on the wire
_BYTE_GAP_S = 0.100
_KEPT_VIOLATIONS = 1000


@dataclass(frozen=True, slots=True)
class Violation:
    """A rule that was broken: when (monotonic), by which address (-1: nobody's), which, how."""

    at_s: float
    address: int
    kind: str
    text: str


class Asker:
    """Text lines: an answer ends with a carriage return, or with a pause."""

    def __init__(
        self,
        name: str,
        port: str | int,
        baud: int,
        timeout_s: float,
        pause_s: float,
        wire: bool,
    ) -> None:
        self.name = name
        self.port = port
        self.baud = baud
        self.timeout_s = timeout_s
        self.pause_s = pause_s
        self.byte_s = 10 / baud if wire else 0.0
        self.violations: list[Violation] = []
        self.broken: Counter[str] = Counter()  # violations by kind
        self.requests = self.answers = 0
        self.slowest_ms = 0.0  # from the end of a request to the beginning of its answer
        self._fd = -1
        self._gone: str | None = None
        self._buffer = bytearray()
        self._first_s = self._last_s = self._sent_s = 0.0
        self._woken = asyncio.Event()

    def _open(self) -> None:
        self._fd = self.port if isinstance(self.port, int) else open_tty(self.port, self.baud)
        self._gone = None
        asyncio.get_running_loop().add_reader(self._fd, self._fetch)

    def _close(self) -> None:
        asyncio.get_running_loop().remove_reader(self._fd)
        if not isinstance(self.port, int):
            os.close(self._fd)
        self._fd = -1

    async def exchange(self, request: bytes) -> bytes:
        """Send; what came back in time (b"": nothing), judged by when it began and ended."""
        self.requests += 1
        sent_s = self._write(request)
        answer = await self._collect(sent_s)
        if answer:
            self.answers += 1
            start_ms = (self._first_s - sent_s) * 1000
            self.slowest_ms = max(self.slowest_ms, start_ms)
            if start_ms < 0:
                self._break(-1, "early", f"answer {-start_ms:.1f} ms before the request's end")
            own_s = self._last_s - sent_s - len(answer) * self.byte_s
            if own_s > LATEST_S:
                self._break(-1, "late", f"complete {own_s:.3f} s later than the wire's own time")
        await self._quiet(self.pause_s)
        return answer

    def _break(self, address: int, kind: str, text: str) -> None:
        first = not self.broken[kind]
        self.broken[kind] += 1
        level = logging.WARNING if first else logging.DEBUG
        log.log(level, "%s: %02X: %s: %s", self.name, address & 0xFF, kind, text)
        if len(self.violations) < _KEPT_VIOLATIONS:
            self.violations.append(Violation(time.monotonic(), address, kind, text))

    def _write(self, data: bytes) -> float:
        """Send; returns when the last byte has left on the wire."""
        self._judge_silence()
        try:
            os.write(self._fd, data)
        except OSError as error:
            raise LinkError(f"{self.name}: {self.port}: {error.strerror}") from None
        self._sent_s = time.monotonic() + len(data) * self.byte_s
        return self._sent_s

    def _fetch(self) -> None:
        try:
            data = os.read(self._fd, 4096)
        except BlockingIOError:
            return
        except OSError as error:
            data = b""
            self._gone = error.strerror or str(error)
        now_s = time.monotonic()
        if not data:
            self._gone = self._gone or "closed by the other side"
            asyncio.get_running_loop().remove_reader(self._fd)
        if not self._buffer:
            self._first_s = now_s - len(data) * self.byte_s
        self._buffer += data
        self._last_s = now_s
        self._woken.set()

    async def _collect(self, sent_s: float) -> bytes:
        """An answer: its first byte within the time-out, each next one soon after, CR its end."""
        deadline_s = sent_s + self.timeout_s
        while True:
            if self._buffer:
                deadline_s = self._last_s + _BYTE_GAP_S
            if self._buffer.endswith(b"\r") or time.monotonic() >= deadline_s:
                answer = bytes(self._buffer)
                self._buffer.clear()
                return answer
            await self._wait(deadline_s)

    async def _quiet(self, seconds: float) -> None:
        """A pause in which nobody may speak."""
        until_s = time.monotonic() + seconds
        while time.monotonic() < until_s:
            await self._wait(until_s)
        self._judge_silence()

    async def _wait(self, until_s: float) -> None:
        """Until bytes come or the moment has passed."""
        if self._gone is not None:
            raise LinkError(f"{self.name}: {self.port}: {self._gone}")
        self._woken.clear()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(max(0.0, until_s - time.monotonic())):
                await self._woken.wait()

    def _judge_silence(self) -> None:
        if self._buffer:
            text = bytes(self._buffer[:40])
            self._buffer.clear()
            self._break(-1, "unsolicited", f"bytes nobody asked for: {text!r}")
