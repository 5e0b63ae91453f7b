"""The PC's listener: a bounded number of connections, each with a deadline.

Apart from routes.py because a board's asyncio has other means for both. An address that is in use
is no reason to leave an inverter alone: it is said once and tried again, as with any other port.
"""

import asyncio
import contextlib
import logging
import os

from vbms.endings import end
from vbms.web.routes import MOST_HEAD, make_app
from vbms.web.socket import serve as serve_socket

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Protocol

    from vbms.web.site import Site

    class Listen(Protocol):
        @property
        def host(self) -> str: ...
        @property
        def port(self) -> int: ...


log = logging.getLogger("vbms")

MOST = 32  # connections at a time; one more is closed at once
DEADLINE_S = 15  # for a request and its answer together
IDLE_S = 300  # for the next message of a socket
RETRY_S = (1, 2, 4, 8, 16, 30)


class _Writer:
    """A StreamWriter with the methods microdot calls."""

    def __init__(self, writer: asyncio.StreamWriter, stay: "Callable[[], None]"):
        self._stay = stay
        self._writer = writer
        self.get_extra_info = writer.get_extra_info
        self.close = writer.close

    def stay(self) -> None:
        """The connection is one that lasts: it gets so long again."""
        self._stay()

    async def awrite(self, data: bytes) -> None:
        self._writer.write(data)
        await self._writer.drain()

    async def aclose(self) -> None:
        self._writer.close()
        await self._writer.wait_closed()


class WebServer:
    """Serves a site on one address. `port` is the real one, once started with port 0."""

    def __init__(self, site: "Site", listen: "Listen"):
        self.host = listen.host
        self.port = listen.port
        self._app = make_app(site, serve_socket)
        self._server: asyncio.Server | None = None
        self._open: set[asyncio.Task[None]] = set()
        self._retry: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Listen; where that fails, say so and go on trying in the background."""
        try:
            await self._listen()
        except OSError as error:
            log.error(
                "web: cannot listen on %s:%d: %s; see web.listen, trying again",
                self.host,
                self.port,
                os.strerror(error.errno) if error.errno and error.errno > 0 else error,
            )
            self._retry = asyncio.create_task(self._try_again(), name="web")

    async def stop(self) -> None:
        """Stop listening and drop who is still connected."""
        await end(self._retry)
        if self._server is not None:
            self._server.close()
        await end(*self._open)

    async def _listen(self) -> None:
        self._server = await asyncio.start_server(
            self._serve, self.host, self.port, limit=MOST_HEAD
        )
        self.port = self._server.sockets[0].getsockname()[1]
        name = "[%s]" % self.host if ":" in self.host else self.host
        log.info("web: http://%s:%d/", name, self.port)

    async def _try_again(self) -> None:
        tries = 0
        while True:
            await asyncio.sleep(RETRY_S[min(tries, len(RETRY_S) - 1)])
            tries += 1
            with contextlib.suppress(OSError):
                await self._listen()
                return

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        if task is None or len(self._open) >= MOST:
            writer.close()
            return
        self._open.add(task)
        try:
            async with asyncio.timeout(DEADLINE_S) as deadline:
                loop = asyncio.get_running_loop()

                def stay() -> None:
                    deadline.reschedule(loop.time() + IDLE_S)

                await self._app.handle_request(reader, _Writer(writer, stay))
        except (TimeoutError, asyncio.CancelledError):
            writer.transport.abort()  # too slow, or we are stopping: nothing is owed
        finally:
            self._open.discard(task)
            writer.close()
