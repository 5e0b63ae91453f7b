"""The end of a task that runs for ever."""

import asyncio
from typing import Any

AGAIN_S = 3.0  # longer than a line's own farewells


async def end(*tasks: "asyncio.Task[Any] | None") -> None:
    """Cancel them, and wait until each has ended, however it does.

    One cancellation may be lost: where a library waits with `asyncio.wait_for`, and what it waits
    for comes at that moment, Python before 3.12 hands the result on and the task lives. So it is
    asked again until it is done.
    """
    living = {task for task in tasks if task is not None}
    while living:
        for task in living:
            task.cancel()
        done, living = await asyncio.wait(living, timeout=AGAIN_S)
        for task in done:
            if not task.cancelled():
                task.exception()  # whoever had to say it has said it
