"""A page in a real browser, for asyncio tests: what it shows, asks for and complains of."""

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

SCRIPT = Path(__file__).with_name("page.mjs")
START_S = 60
ANSWER_S = 30


class Browser:
    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process

    async def _answer(self, seconds: float) -> Any:
        assert self._process.stdout is not None
        line = await asyncio.wait_for(self._process.stdout.readline(), seconds)
        assert line, "the browser went away: %s" % await self._complaint()
        answer = json.loads(line)
        assert answer["ok"], answer["value"]
        return answer.get("value")

    async def _complaint(self) -> str:
        assert self._process.stderr is not None
        return (await self._process.stderr.read()).decode()[-2000:]

    async def do(self, command: str, **arguments: object) -> Any:
        assert self._process.stdin is not None
        line = json.dumps({"do": command, **arguments}) + "\n"
        self._process.stdin.write(line.encode())
        return await self._answer(ANSWER_S)

    async def run(self, js: str) -> Any:
        return await self.do("run", js=js)

    async def wait(self, js: str, seconds: float = 10) -> None:
        await self.do("wait", js=js, ms=int(seconds * 1000))

    async def text(self, selector: str) -> str:
        """What a person reads there; empty where it is hidden."""
        found: str = await self.run("document.querySelector(%s).innerText" % json.dumps(selector))
        return found.strip()


@contextlib.asynccontextmanager
async def browser(node: str, chromium: str, folder: Path) -> AsyncIterator[Browser]:
    """A browser of its own, with a new profile."""
    process = await asyncio.create_subprocess_exec(
        node,
        str(SCRIPT),
        chromium,
        str(folder / "profile"),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        limit=1 << 24,
    )
    try:
        driver = Browser(process)
        await driver._answer(START_S)
        yield driver
    finally:
        assert process.stdin is not None
        process.stdin.close()
        try:
            await asyncio.wait_for(process.wait(), 10)
        except TimeoutError:
            process.kill()
            await process.wait()
        process._transport.close()  # type: ignore[attr-defined]
