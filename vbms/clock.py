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
        await asyncio.sleep(us / 1_000_000)
