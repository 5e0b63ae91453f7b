"""HTTP for people and programs: the page, health, the bank in human units, the seed's RPC, metrics.

    GET  /  /healthz  /api/bank  /api/units  /api/relays  /api/events  /metrics
    POST /api/units/UNIT/acknowledge  /api/bank/full_charge  /api/relays/NAME/clear
    GET or POST  /rpc/METHOD     VBMS.GetSummary  Sys.GetInfo  RPC.List  and what the site offers
    GET  /rpc                    the same calls over a WebSocket
    GET or POST  /login          a form; token=...  ->  a cookie, where the token is needed

Who may ask stands in guard.py, the calls by name in rpc.py.

Handlers are coroutines, all of them: microdot would run plain functions in a thread, and the site
is read on its own loop only.
"""

import asyncio
import binascii

from microdot import Microdot, Request, Response

from vbms.web import guard as guarding
from vbms.web.events import events_json
from vbms.web.guard import (
    COOKIE,
    PAGE_TYPE,
    check,
    json_answer,
    login_page,
    refusal,
    same,
    session_of,
)
from vbms.web.relays import relays_json
from vbms.web.rpc import answer, call, parsed
from vbms.web.shapes import bank_json, health_json, plain, units_json

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from typing import Any

    from vbms.web.site import Site

    Sockets = Callable[[Request, int, Callable[[str], Awaitable[str]]], Awaitable[bool]]

MOST_BODY = 4096  # bytes; the largest request we serve is a login form
MOST_HEAD = 16384  # bytes of request line and headers together
_EVENTS = 100  # told where nobody says how many

_METRICS = {"Content-Type": "text/plain; version=0.0.4; charset=utf-8", "Cache-Control": "no-store"}
_REASONS = {
    200: "OK",
    303: "See Other",
    400: "Bad Request",
    401: "Unauthorized",
    403: "Forbidden",
    404: "Not Found",
    405: "Method Not Allowed",
    409: "Conflict",
    413: "Content Too Large",
    500: "Internal Server Error",
    501: "Not Implemented",
    503: "Service Unavailable",
}
_TEXTS = {
    400: "this is no HTTP request we understand",
    404: "there is nothing here; try / or /api/bank, units, events or /healthz or /metrics",
    405: "this method is not for this path",
    413: "the request is too large: at most %d bytes" % MOST_BODY,
    500: "an error of ours: the log has it",
}


class App(Microdot):
    """Microdot that bounds a request's head and takes a bad request quietly."""

    async def handle_request(self, reader: "Any", writer: "Any") -> None:
        request: Request | None
        try:
            head = _Bounded(reader, MOST_HEAD)
            peer = writer.get_extra_info("peername")
            try:
                request = await Request.create(self, head, writer, peer)  # type: ignore[arg-type]
            except OSError:
                raise
            except Exception:
                request = None  # no HTTP: answered with 400
            response = await self.dispatch_request(request)  # type: ignore[arg-type]
            if response is Response.already_handled:
                return
            if response.reason is None:
                response.reason = _REASONS.get(response.status_code, "N/A")
            try:
                await response.write(writer)
            finally:
                if hasattr(response.body, "close"):  # the page, where it was not sent to its end
                    response.body.close()
            await writer.aclose()
        except OSError:
            writer.close()  # the other end is gone


class _Bounded:
    """A reader that gives up on a head that never ends; the body has its own bound."""

    def __init__(self, reader: "Any", most: int):
        self._reader = reader
        self._left = most

    async def readline(self) -> bytes:
        line: bytes = await self._reader.readline()
        self._left -= len(line)
        if self._left < 0:
            raise ValueError("the head is too long")
        return line

    async def readexactly(self, size: int) -> bytes:
        body: bytes = await self._reader.readexactly(size)
        return body


def make_app(site: "Site", serve_socket: "Sockets | None" = None) -> App:
    """All routes, served from this site. serve_socket: who speaks WebSocket, if anybody."""
    # microdot keeps these on the class, for every app of the program.
    Request.max_content_length = Request.max_body_length = MOST_BODY
    app = App()
    page = __file__.rsplit("/", 1)[0] + "/ui/index.html"

    async def guard(request: Request) -> Response | None:
        return await check(request, site)

    async def index(request: Request) -> Response:
        if request.method == "HEAD":
            return Response(b"", 200, PAGE_TYPE)
        response = Response.send_file(page)
        for name in PAGE_TYPE:
            response.headers[name] = PAGE_TYPE[name]
        return response

    async def login(request: Request) -> Response:
        if request.method != "POST":
            return login_page("This needs the token of this site.", 200)
        try:
            form = request.form
        except ValueError:  # not UTF-8, or a broken %XX
            form = None
        given = form.get("token") if form else None
        if site.token is None or not isinstance(given, str) or not same(given, site.token):
            await asyncio.sleep(guarding.GUESS_S)
            return login_page("This is not the token of this site.")
        cookie = "%s=%s; Path=/; Max-Age=31536000; HttpOnly; SameSite=Strict" % (
            COOKIE,
            session_of(site.token),
        )
        headers: dict[str, Any] = {"Location": "/", "Set-Cookie": [cookie]}
        return Response(b"", 303, headers)

    async def healthz(request: Request) -> Response:
        health = site.health()
        return json_answer(health_json(health), 200 if health.get("ok") is True else 503)

    async def bank(request: Request) -> Response:
        return json_answer(bank_json(site))

    async def units(request: Request) -> Response:
        return json_answer(units_json(site))

    async def events(request: Request) -> Response:
        try:
            most = int(request.args.get("limit", _EVENTS))
        except ValueError:
            most = 0
        if most < 1:
            return refusal(400, "limit is a whole number from 1")
        return json_answer(events_json(site, most))

    async def acknowledge(request: Request, unit: str) -> Response:
        name = _decoded(unit)
        if name not in [row.name for row in site.units()] + [site.bank().name]:
            return refusal(404, "there is no battery %s; /api/units names all" % name)
        return _done("unit", name, site.acknowledge(name))

    async def full_charge(request: Request) -> Response:
        site.want_full()
        return _done("bank", site.bank().name, None)

    async def relays(request: Request) -> Response:
        return json_answer(relays_json(site))

    async def clear(request: Request, relay: str) -> Response:
        name = _decoded(relay)
        if name not in [row.name for row in site.relays()]:
            return refusal(404, "there is no relay %s; /api/relays names all" % name)
        return _done("relay", name, site.clear_relay(name))

    async def metrics(request: Request) -> Response:
        return Response(site.metrics_text(), 200, _METRICS)

    async def nobody() -> bool:
        return False

    def trust(request: Request) -> "Callable[[], Awaitable[bool]]":
        return lambda: guarding.is_trusted(request, site)

    async def rpc(request: Request, method: str) -> Response:
        asks = trust(request) if request.method == "POST" else nobody
        args = parsed(request.body) if request.body else {}
        code, text = await call(site, method, args, asks)
        return json_answer(text, code) if code == 200 else refusal(code, text)

    async def socket(request: Request) -> Response:
        def reply(text: str) -> "Awaitable[str]":
            return answer(site, text, trust(request))

        if serve_socket is not None and await serve_socket(request, MOST_BODY, reply):
            return Response.already_handled
        return refusal(400, "this is the address of a WebSocket; /rpc/METHOD answers to HTTP")

    app.before_request(guard)
    app.get("/")(index)
    app.route("/login", methods=["GET", "POST"])(login)
    app.get("/healthz")(healthz)
    app.get("/api/bank")(bank)
    app.get("/api/units")(units)
    app.get("/api/events")(events)
    app.post("/api/units/<unit>/acknowledge")(acknowledge)
    app.post("/api/bank/full_charge")(full_charge)
    app.get("/api/relays")(relays)
    app.post("/api/relays/<relay>/clear")(clear)
    app.get("/metrics")(metrics)
    app.route("/rpc/<method>", methods=["GET", "POST"])(rpc)
    app.get("/rpc")(socket)
    for code in _TEXTS:
        app.errorhandler(code)(_refusal(app, code))
    return app


def _refusal(app: App, code: int) -> "Callable[..., Any]":
    """The answer for what microdot itself finds wrong."""

    async def handler(request: Request | None) -> Response:
        response = refusal(code, _TEXTS[code])
        if code == 405 and request is not None:
            response.headers["Allow"] = app.default_options_handler(request)["Allow"]
        return response

    return handler


def _done(what: str, name: str, why: str | None) -> Response:
    """After something was to be changed."""
    if why is not None:
        return refusal(409, why)
    return json_answer('{"ok":true,"%s":%s}' % (what, plain(name)))


def _decoded(text: str) -> str:
    """A piece of a path without its %XX; what is no text stays as it is."""
    parts = text.split("%")
    data = parts[0].encode()
    try:
        for part in parts[1:]:
            if len(part) < 2:
                return text
            data += binascii.unhexlify(part[:2].encode()) + part[2:].encode()
        return data.decode()
    except ValueError:  # also what is no UTF-8
        return text
