"""`vbms simulate deye_can` and the like: an inverter behind a serial CAN adapter."""

import asyncio
import contextlib
import signal
import sys
from collections.abc import Sequence

import click

from vbms.errors import VbmsError
from vbms.simulate.can_inverter import CanInverter
from vbms.simulate.can_wire import CanLine


def play(kind: str, port: str | None, habits: Sequence[str], seconds: float) -> int:
    """Until told to stop, or for so long: then 1 where rules were broken or nothing was told."""
    try:
        return asyncio.run(_play(kind, port, habits, seconds))
    except VbmsError as error:
        click.echo(f"vbms simulate: {error}", err=True)
        sys.exit(1)


async def _play(kind: str, port: str | None, habits: Sequence[str], seconds: float) -> int:
    line = None
    if port is None:
        line = CanLine()
        await line.start()
        click.echo(line.path)
    inverter = CanInverter(kind, wire=line.wire if line else None, port=port, habits=habits)
    running = asyncio.ensure_future(inverter.run(seconds))
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, running.cancel)
    try:
        with contextlib.suppress(asyncio.CancelledError):
            await running
    finally:
        click.echo(inverter.summary())
        if line is not None:
            line.close()
    return 1 if seconds and (inverter.broken or not inverter.frames) else 0
