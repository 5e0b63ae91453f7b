"""A link and the task that keeps it open: what the lines of batteries and of inverters are made of.

Each owns its link and its task; neither can be taken down by the other's faults.
"""

import asyncio
import logging
from collections.abc import Callable, Coroutine

from vbms.endings import end
from vbms.loops.hold import hold_open
from vbms.ports import Clock, Link

log = logging.getLogger("vbms")

RESTART_MS = 5000


class Line:
    """A link with a task that keeps it open, and `body`, what is done while it is.

    `first_try` is done once the link was tried: whether it opened.
    """

    def __init__(self, link: Link, clock: Clock) -> None:
        self.link = link
        self.clock = clock
        self.is_open = False
        self.since_ms = clock.now_ms()
        self.first_try: asyncio.Future[bool] | None = None
        self._task: asyncio.Task[None] | None = None

    async def body(self) -> None:
        """For ever, while the link is open; LinkError comes out when it goes."""
        raise NotImplementedError

    def start(self) -> None:
        self.first_try = asyncio.get_running_loop().create_future()
        self._task = asyncio.create_task(self._keep(self.body), name=self.link.name)

    async def _keep(self, body: Callable[[], Coroutine[None, None, None]]) -> None:
        """A mistake of ours on one line is loud, and costs that line alone some seconds."""
        while True:
            try:
                await hold_open(self.link, self.clock, body, log, self._on_state)
            except Exception:
                log.exception("%s: this line failed, starting it anew", self.link.name)
            self._on_state(False)
            self.link.close()
            await self.clock.sleep_ms(RESTART_MS)

    def _on_state(self, is_open: bool) -> None:
        self.is_open = is_open
        if self.first_try is not None and not self.first_try.done():
            self.first_try.set_result(is_open)

    async def stop(self) -> None:
        await end(self._task)
        self._task = None
        self.link.close()
        self.is_open = False
