"""The far end of a line on a real pty: a thread that takes a wire's time over every byte.

It never releases a byte early, and notes how long the line had been quiet when each request came:
from just before its own last byte was released. What it answers is a test's function.
"""

from __future__ import annotations

import os
import select
import threading
import time
import tty
from collections.abc import Callable, Sequence

# request -> [(seconds after the request's last byte, bytes)]
Answer = Callable[[bytes], Sequence[tuple[float, bytes]]]


class FarEnd(threading.Thread):
    """`path` is the port for the program under test; requests are told apart by a pause."""

    def __init__(self, baud: int, answer: Answer, pieces: int = 16):
        super().__init__(daemon=True)
        self.answer = answer
        self.byte_s = 10 / baud
        self.pieces = pieces  # bytes handed over at a time, as a UART's FIFO does
        self.requests: list[tuple[float, bytes]] = []
        self.gaps: list[float] = []
        self.fd, self._near = os.openpty()
        tty.setraw(self.fd)
        self.path = os.ttyname(self._near)
        self._halt, self._halting = os.pipe()
        self.start()

    def close(self) -> None:
        os.close(self._halting)
        self.join()
        for fd in (self.fd, self._near, self._halt):
            os.close(fd)

    def run(self) -> None:
        coming: list[tuple[float, bytes]] = []  # (when its last byte is complete, bytes)
        last_s = 0.0
        while True:
            wait = max(0.0, coming[0][0] - time.monotonic()) if coming else 5.0
            ready = select.select([self.fd, self._halt], [], [], wait)[0]
            now = time.monotonic()
            if self._halt in ready:
                return
            if self.fd in ready:
                request = os.read(self.fd, 4096)
                if last_s:
                    self.gaps.append(now - last_s)
                self.requests.append((now, request))
                end = now + len(request) * self.byte_s
                for after, data in self.answer(request):
                    at = end + after
                    for start in range(0, len(data), self.pieces):
                        piece = data[start : start + self.pieces]
                        at += len(piece) * self.byte_s
                        coming.append((at, piece))
                coming.sort(key=lambda item: item[0])
            while coming and coming[0][0] <= now:
                last_s = time.monotonic()
                os.write(self.fd, coming.pop(0)[1])
