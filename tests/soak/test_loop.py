"""Time that costs nothing: order, sleeps, links."""

import asyncio
import time

import pytest

from vbms.errors import LinkError
from vbms.soak.cable import MemoryLink
from vbms.soak.loop import VirtualClock, VirtualLoop


def run(main: object) -> object:
    loop = VirtualLoop()
    try:
        return loop.run_until_complete(main)  # type: ignore[arg-type]
    finally:
        loop.close()


def test_a_day_passes_at_once_and_in_order() -> None:
    seen: list[str] = []

    async def after(hours: float, name: str) -> None:
        await asyncio.sleep(hours * 3600)
        seen.append(name)

    async def main() -> float:
        await asyncio.gather(after(24, "day"), after(1, "hour"), after(1, "other hour"))
        return asyncio.get_running_loop().time()

    began = time.monotonic()
    assert run(main()) == pytest.approx(86400)
    assert time.monotonic() - began < 5
    assert seen == ["hour", "other hour", "day"]


def test_the_clock_is_exact_to_the_microsecond() -> None:
    async def main() -> list[int]:
        loop = asyncio.get_running_loop()
        assert isinstance(loop, VirtualLoop)
        clock = VirtualClock(loop, 1 << 40)
        times = [clock.now_us()]
        for _ in range(1000):
            await clock.sleep_us(3646)
            times.append(clock.now_us())
        assert clock.now_ms() == (1 << 40) + 3646
        return times

    times = run(main())
    assert isinstance(times, list)
    assert {b - a for a, b in zip(times, times[1:], strict=False)} == {3646}


def test_a_task_that_waits_for_ever_is_an_error() -> None:
    with pytest.raises(RuntimeError, match="for ever"):
        run(asyncio.Event().wait())


def test_threads_are_none() -> None:
    assert run(asyncio.to_thread(sum, (1, 2))) == 3


def test_a_link_reads_what_has_come_and_breaks_when_unplugged() -> None:
    async def main() -> list[object]:
        link = MemoryLink("byd", 9600)
        heard: list[bytes] = []
        link.written = heard.append
        seen: list[object] = []
        await link.open()
        seen.append(await link.read(100))
        link.deliver(b"ab")
        link.deliver(b"c")
        seen.append(await link.read(100))
        await link.write(b"xyz")
        seen.append(list(heard))
        await asyncio.sleep(0.004)
        seen.append(list(heard))
        asyncio.get_running_loop().call_later(0.05, link.unplug)
        for attempt in (link.read(1000), link.open(), link.write(b"x")):
            with pytest.raises(LinkError):
                await attempt
        link.plug()
        await link.open()
        return seen

    assert run(main()) == [b"", b"abc", [], [b"xyz"]]
