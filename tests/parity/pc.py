"""Runs a board script on CPython, in the way of board.mjs: python pc.py SCRIPT, in its data folder."""

import asyncio
import inspect
import runpy
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent


def main(script: str) -> None:
    sys.path[:0] = [str(HERE / "kit"), str(HERE.parents[1])]
    for test in runpy.run_path(script).get("TESTS", ()):
        result = test()
        if inspect.isawaitable(result):
            asyncio.run(_wait(result))


async def _wait(result):
    await result


if __name__ == "__main__":
    main(sys.argv[1])
