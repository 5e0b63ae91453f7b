"""A serial CAN adapter on a pty, by hand: no python-can, no simulator, one thread.

Lawicel's commands as a strict adapter takes them: a second O is refused with a bell.
"""

import os
import select
import threading
import time
import tty


class SlcanFarEnd:
    """Plug in at `path`. `frames` are (monotonic s, identifier text, bytes) that were sent to it."""

    def __init__(self) -> None:
        self._master, self._slave = os.openpty()
        for fd in (self._master, self._slave):
            tty.setraw(fd)
        self.path = os.ttyname(self._slave)
        self.frames: list[tuple[float, str, bytes]] = []
        self.commands: list[str] = []
        self.refuses = False  # every frame, as with a full queue
        self.reads = True
        self.answer_to = "356"  # a DEYE's heartbeat comes behind it
        self.is_open = False
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def say(self, text: bytes) -> None:
        os.write(self._master, text)

    def unplug(self) -> None:
        self._stop.set()
        self._thread.join(2)
        for fd in (self._master, self._slave):
            if fd >= 0:
                os.close(fd)
        self._master = self._slave = -1

    close = unplug

    def wait_for(self, count: int, timeout_s: float = 10) -> None:
        """Until so many frames have come. AssertionError after the time."""
        until = time.monotonic() + timeout_s
        while len(self.frames) < count:
            assert time.monotonic() < until, f"{len(self.frames)} of {count} frames"
            time.sleep(0.01)

    def _run(self) -> None:
        buffer = b""
        while not self._stop.is_set():
            if not self.reads:
                time.sleep(0.02)
                continue
            if not select.select([self._master], [], [], 0.05)[0]:
                continue
            try:
                buffer += os.read(self._master, 4096)
            except OSError:
                return
            while b"\r" in buffer:
                line, _, buffer = buffer.partition(b"\r")
                try:
                    os.write(self._master, self._obey(line.decode("ascii", "replace")))
                except OSError:
                    return

    def _obey(self, line: str) -> bytes:
        kind = line[:1]
        if kind == "O":
            again, self.is_open = self.is_open, True
            return b"\a" if again else b"\r"
        if kind == "C":
            self.is_open = False
            return b"\r"
        if kind == "t" or kind == "T":
            if self.refuses or not self.is_open:
                return b"\a"
            digits = 3 if kind == "t" else 8
            can_id = line[1 : 1 + digits]
            size = int(line[1 + digits])
            data = bytes.fromhex(line[2 + digits :])
            assert len(data) == size, line
            self.frames.append((time.monotonic(), can_id, data))
            beat = b"t30580000000000000000\r" if can_id == self.answer_to else b""
            return (b"z\r" if kind == "t" else b"Z\r") + beat
        self.commands.append(line)
        return b"\r" if line == "" or kind == "S" else b"\a"
