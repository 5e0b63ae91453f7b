"""What P3, P4 and P5 share: the far end as a child, and our poller on its pty."""

import asyncio
import contextlib
import json
import logging
import subprocess
import sys
from typing import Any

from vbms.clock import MonotonicClock
from vbms.links.serial_line import SerialLine
from vbms.loops.poller import PolledUnit, Poller
from vbms.upstream.byd_pro import Codec

log = logging.getLogger("bench")
UNITS = 15


class FarEnd:
    """The child, its pty, and what it saw."""

    def __init__(self, baud: int) -> None:
        self._child = subprocess.Popen(
            [sys.executable, "-m", "tests.bench.far_end", str(baud)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self._child.stdout is not None
        self.path = self._child.stdout.readline().strip()

    def seen(self, order: str = "go") -> dict[str, Any]:
        """What it saw since the last time."""
        assert self._child.stdin is not None and self._child.stdout is not None
        self._child.stdin.write(order + "\n")
        self._child.stdin.flush()
        found: dict[str, Any] = json.loads(self._child.stdout.readline())
        return found

    def close(self) -> None:
        self._child.kill()
        self._child.wait()


def units(gap_us: int, poll_ms: int = 0) -> list[PolledUnit]:
    return [
        PolledUnit(f"byd-{address}", Codec(address=address), gap_us, 150, 150, 50, poll_ms)
        for address in range(1, UNITS + 1)
    ]


async def poll_for(path: str, baud: int, polled: list[PolledUnit], seconds: float) -> Poller:
    """Our real poller on a real serial line for so long."""
    link = SerialLine("bench", path, baud)
    await link.open()
    poller = Poller(link, MonotonicClock(), polled, lambda key, snap: None, log)
    task = asyncio.create_task(poller.run())
    await asyncio.sleep(seconds)
    task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await task
    link.close()
    return poller
