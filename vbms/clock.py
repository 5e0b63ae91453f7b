"""The PC's monotonic clock."""

import asyncio
import time


class MonotonicClock:
    """Milliseconds and microseconds of `time.monotonic`, and sleeps that never end early."""

    def now_ms(self) -> int:
        return time.monotonic_ns() // 1_000_000

    def now_us(self) -> int:
        return time.monotonic_ns() // 1000

    async def sleep_ms(self, ms: int) -> None:
        await asyncio.sleep(ms / 1000)

    async def sleep_us(self, us: int) -> None:
        """The loop's timers step in whole milliseconds; the rest, less than one, is slept out.

        That holds the loop for a part of a millisecond, which a gap of 1.75 ms is worth.
        """
        end = time.monotonic_ns() + us * 1000
        if us >= 1000:
            await asyncio.sleep((us // 1000) / 1000)
        left = end - time.monotonic_ns()
        if left > 0:
            time.sleep(left / 1e9)
