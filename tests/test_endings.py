"""A task that lives for ever ends when it is told to, once or twice."""

import asyncio
import contextlib
from pathlib import Path

import pytest

from vbms import endings
from vbms.clock import MonotonicClock
from vbms.endings import end
from vbms.lines.line import Line

SOURCES = Path(__file__).parent.parent / "vbms"


async def hard_of_hearing(times: int) -> None:
    """Loses so many cancellations, as a library under `asyncio.wait_for` of Python 3.11 may."""
    while True:
        try:
            await asyncio.sleep(3600)
        except asyncio.CancelledError:
            if times == 0:
                raise
            times -= 1


@pytest.mark.parametrize("lost", [0, 1, 2])
async def test_ends_though_a_cancellation_is_lost(
    lost: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(endings, "AGAIN_S", 0.05)
    tasks = [asyncio.create_task(hard_of_hearing(lost)), asyncio.create_task(asyncio.sleep(0))]
    await asyncio.sleep(0.01)
    async with asyncio.timeout(5):
        await end(*tasks, None)
    assert all(task.done() for task in tasks)


async def test_what_a_task_died_of_is_not_raised_here() -> None:
    async def fails() -> None:
        raise ValueError("said elsewhere")

    task = asyncio.create_task(fails())
    await asyncio.sleep(0)
    await end(task)
    assert isinstance(task.exception(), ValueError)


async def test_whoever_waits_can_be_stopped() -> None:
    task = asyncio.create_task(hard_of_hearing(1))
    await asyncio.sleep(0)
    waiting = asyncio.create_task(end(task))
    await asyncio.sleep(0.01)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await task


async def test_a_line_stops_though_its_body_does_not_hear(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(endings, "AGAIN_S", 0.05)

    class Link:
        name = "deaf"

        async def open(self) -> None: ...

        def close(self) -> None: ...

    class Deaf(Line):
        async def body(self) -> None:
            await hard_of_hearing(1)

    line = Deaf(Link(), MonotonicClock())  # type: ignore[arg-type]
    line.start()
    assert line.first_try is not None and await line.first_try
    async with asyncio.timeout(5):
        await line.stop()
    assert not line.is_open


def test_nothing_waits_in_a_way_that_loses_a_cancellation() -> None:
    """`asyncio.timeout` does the same and does not."""
    guilty = [
        str(path) for path in SOURCES.rglob("*.py") if "asyncio.wait_for(" in path.read_text()
    ]
    assert not guilty
