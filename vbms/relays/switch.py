"""One output, brought to where it is wanted and kept there.

Off comes first, before anything else is started. What fails is said once, tried again, and counts
as broken for a while: a relay that does not do what it is told is not to be trusted with a charge.
"""

import asyncio
import contextlib
import logging

from vbms.endings import end
from vbms.errors import LinkError
from vbms.ports import Clock
from vbms.relays.output import Output

log = logging.getLogger("vbms")

RETRY_MS = (1000, 2000, 4000, 8000, 16000, 30000)
BROKEN_MS = 300_000  # after a failure, even if the next try went well
_FIRST_S = 2  # for switching off at the start: an inverter is waiting
_LAST_S = 1.2  # for switching off at the end: the program is to stop within two seconds


class Switch:
    """`wanted` is where it is to be, `stands` where it is for certain; None: nobody knows."""

    def __init__(self, name: str, output: Output, clock: Clock, repeat_ms: int = 0) -> None:
        self.name = name
        self.output = output
        self.wanted = False
        self.stands: bool | None = None
        self.error: str | None = None
        self._last_error: str | None = None
        self._clock = clock
        self._repeat_ms = repeat_ms
        self._failed_ms: int | None = None
        self._tries = 0
        self._wake = asyncio.Event()
        self._tried = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self._switching_on: asyncio.Timeout | None = None

    async def start(self) -> None:
        """Off, now; what takes long, and all that follows, goes on in the background."""
        self._task = asyncio.create_task(self._follow(), name=f"relay {self.name}")
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_FIRST_S):
                await self._tried.wait()

    def want(self, on: bool) -> None:
        if on != self.wanted:
            self.wanted = on
            self._wake.set()
            way, self._switching_on = self._switching_on, None
            if way is not None:  # off does not wait for an on that takes its time
                way.reschedule(asyncio.get_running_loop().time())

    @property
    def broken(self) -> bool:
        """It failed, or did lately."""
        if self.error is not None:
            return True
        failed = self._failed_ms
        return failed is not None and self._clock.now_ms() - failed < BROKEN_MS

    @property
    def why_broken(self) -> str | None:
        """What failed, for as long as it counts."""
        return self._last_error if self.broken else None

    def forced_off(self) -> None:
        """Somebody else has switched it off: it is brought to where it is wanted anew."""
        self.stands = None
        self._wake.set()

    async def close(self) -> None:
        """Off, whatever was wanted, and let go."""
        self.wanted = False
        await end(self._task)
        try:
            async with asyncio.timeout(_LAST_S):
                await self._put()
        except TimeoutError:
            self._fail("did not end in time")
        self.output.close()

    async def _follow(self) -> None:
        await self._put()
        self._tried.set()
        while True:
            wait_ms = None
            if self.error is not None:
                wait_ms = RETRY_MS[min(self._tries, len(RETRY_MS)) - 1]
            elif self._repeat_ms:
                wait_ms = self._repeat_ms
            timed_out = False
            try:
                async with asyncio.timeout(None if wait_ms is None else wait_ms / 1000):
                    await self._wake.wait()
            except TimeoutError:
                timed_out = True
            self._wake.clear()
            if timed_out or self.stands is not self.wanted:
                await self._put()

    async def _put(self) -> None:
        wanted = self.wanted
        self.stands = None
        way = asyncio.timeout(None)
        try:
            async with way:
                self._switching_on = way if wanted else None
                await self.output.put(wanted)
        except LinkError as error:
            self._fail(str(error))
            return
        except Exception as error:  # a bug of the driver's is no reason to give up on a relay
            if not way.expired():
                self._fail(repr(error), error)
            return
        finally:
            self._switching_on = None
        self.stands = wanted
        if self.error is not None:
            word = "on" if wanted else "off"
            log.warning("%s: is %s, after %d failed tries", self.name, word, self._tries)
            self.error = None
            self._tries = 0

    def _fail(self, why: str, bug: Exception | None = None) -> None:
        self._tries += 1
        self._failed_ms = self._clock.now_ms()
        if why != self.error:
            word = "on" if self.wanted else "off"
            log.error("%s: cannot be switched %s: %s", self.name, word, why, exc_info=bug)
            self.error = self._last_error = why
