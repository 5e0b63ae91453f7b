"""The process: a site with its web page, and the signals that stop and reload it."""

import asyncio
import logging
import signal
import typing
from collections.abc import Callable
from pathlib import Path

from vbms.app import Site
from vbms.config import Settings
from vbms.web.server import WebServer

if typing.TYPE_CHECKING:
    from vbms.recording import Recorders

log = logging.getLogger("vbms")


async def serve(
    path: Path,
    settings: Settings,
    ready: Callable[[Site], None] | None = None,
    recorders: "Recorders | None" = None,
) -> int:
    """`vbms run`: until SIGTERM or Ctrl-C; SIGHUP reads the configuration again.

    `recorders` write down what goes over the links.
    """
    site = Site(settings)
    site.recorders = recorders
    loop = asyncio.get_running_loop()
    for name in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(name, site.stop)
    reloads: set[asyncio.Task[bool]] = set()

    def done(task: asyncio.Task[bool]) -> None:
        reloads.discard(task)
        if not task.cancelled() and task.exception() is not None:
            log.error("reload failed: %s", task.exception(), exc_info=task.exception())

    def hangup() -> None:
        task = loop.create_task(site.reload(path))
        reloads.add(task)
        task.add_done_callback(done)

    loop.add_signal_handler(signal.SIGHUP, hangup)
    for warning in settings.warnings:
        log.warning("%s", warning)
    web = WebServer(site.view, settings.web)
    try:
        await site.start()
        await web.start()
        if await site.none_opens():
            log.error("not one port could be opened")
            return 1
        if ready is not None:
            ready(site)
        return await site.run()
    finally:
        await web.stop()
        await site.close()
        if recorders is not None:
            await recorders.close()
        log.info("stopped")
