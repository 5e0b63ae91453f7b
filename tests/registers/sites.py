"""A site for these tests: its YAML, running; and waiting for what must come."""

import asyncio
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

from vbms.app import Site
from vbms.config import load_text


@asynccontextmanager
async def running(text: str) -> AsyncIterator[Site]:
    with tempfile.TemporaryDirectory(prefix="vbms-state-") as folder:
        site = Site(load_text(f"{text}\nstate_dir: {folder}\n", Path("vbms.yaml")))
        await site.start()
        try:
            yield site
        finally:
            await site.close()


async def until(what: Callable[[], object | Awaitable[object]], seconds: float = 15) -> None:
    """Wait for it; a busy machine has its time."""
    end_s = time.monotonic() + seconds
    while not what():
        assert time.monotonic() < end_s, "it never came"
        await asyncio.sleep(0.03)
