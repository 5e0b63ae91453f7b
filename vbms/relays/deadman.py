"""Switches every relay off when the event loop is stuck: a thread that wants to be fed.

Off by the decisions of a loop that runs needs no thread; this is for the day on which it does not.
"""

import logging
import threading
import time
from collections.abc import Callable

log = logging.getLogger("vbms")

PATIENCE_S = 10.0


class Deadman:
    """Calls `act` once, from its own thread, when `feed` was not called for so long."""

    def __init__(self, act: Callable[[], None], patience_s: float = PATIENCE_S) -> None:
        self._act = act
        self._patience_s = patience_s
        self._fed_s = time.monotonic()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="relay deadman", daemon=True)

    def start(self) -> None:
        self.feed()
        self._thread.start()

    def feed(self) -> None:
        self._fed_s = time.monotonic()

    def stop(self) -> None:
        self._stop.set()

    def _watch(self) -> None:
        acted = False
        while not self._stop.wait(self._patience_s / 4):
            hungry = time.monotonic() - self._fed_s > self._patience_s
            if hungry and not acted:
                log.error("relays: the program is stuck, all are switched off")
                self._act()
            acted = hungry
