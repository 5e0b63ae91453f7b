"""An event loop whose clock costs nothing: where nobody is ready, the next timer's time has come.

The loop has no descriptors and no threads: what would run in one runs at once. Everything that
happens has its order from timers and from the order in which they were set, so a run is repeated
exactly.
"""

import asyncio
import typing
from asyncio import base_events
from collections.abc import Callable


class _Selector:
    """Waiting is moving the clock on."""

    def __init__(self) -> None:
        self.now_s = 0.0

    def select(self, timeout: float | None) -> "list[typing.Any]":
        if timeout is None:
            raise RuntimeError("nothing will ever happen again: a task waits for ever")
        self.now_s += timeout
        return []

    def close(self) -> None:
        pass


class VirtualLoop(base_events.BaseEventLoop):
    """Seconds from 0; `run_until_complete` as usual."""

    def __init__(self) -> None:
        super().__init__()
        self._selector = _Selector()
        self._clock_resolution = 1e-7

    def time(self) -> float:
        return self._selector.now_s

    def _process_events(self, event_list: "list[typing.Any]") -> None:
        pass

    def _write_to_self(self) -> None:
        pass

    def run_in_executor(  # type: ignore[override]
        self, executor: typing.Any, func: Callable[..., typing.Any], *args: typing.Any
    ) -> "asyncio.Future[typing.Any]":
        done: asyncio.Future[typing.Any] = self.create_future()
        try:
            done.set_result(func(*args))
        except Exception as error:
            done.set_exception(error)
        return done


class VirtualClock:
    """The program's clock on such a loop, with an origin that nobody knows."""

    def __init__(self, loop: VirtualLoop, origin_ms: int) -> None:
        self._loop = loop
        self.origin_ms = origin_ms

    def now_ms(self) -> int:
        return self.origin_ms + self.now_us_since() // 1000

    def now_us(self) -> int:
        return self.origin_ms * 1000 + self.now_us_since()

    def now_us_since(self) -> int:
        return round(self._loop.time() * 1_000_000)

    async def sleep_ms(self, ms: int) -> None:
        await asyncio.sleep(ms / 1000)

    async def sleep_us(self, us: int) -> None:
        await asyncio.sleep(us / 1_000_000)
