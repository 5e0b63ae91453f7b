"""HTTP for people and programs: the page, health, the bank in human units, the seed's RPC, metrics.

    GET  /  /healthz  /api/bank  /api/units  /api/relays  /api/events  /metrics
    POST /api/units/UNIT/acknowledge  /api/relays/NAME/clear
    GET or POST  /rpc/METHOD     VBMS.GetSummary  Sys.GetInfo  RPC.List
    GET or POST  /login          a form; token=...  ->  a cookie, where the token is needed

Who may ask. On the loopback address reading is open; any other listen address wants the token, as
`Authorization: Bearer` or by the login form. What changes something wants the token always, where
one is set. The Host header has to be a name of ours, so that a
page elsewhere cannot reach us through a name it made point here; a POST that a browser sends for
another page is refused by its Origin.

Handlers are coroutines, all of them: microdot would run plain functions in a thread, and the site
is read on its own loop only.
"""

import asyncio
import binascii
import hashlib

from microdot import Microdot, Request, Response

from vbms.web.events import events_json
from vbms.web.relays import relays_json
from vbms.web.shapes import bank_json, health_json, plain, summary_json, units_json

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from vbms.web.site import Site

MOST_BODY = 4096  # bytes; the largest request we serve is a login form
MOST_HEAD = 16384  # bytes of request line and headers together
_GUESS_S = 1  # what a wrong token costs
_EVENTS = 100  # told where nobody says how many

_JSON = {"Content-Type": "application/json", "Cache-Control": "no-store"}
_METRICS = {"Content-Type": "text/plain; version=0.0.4; charset=utf-8", "Cache-Control": "no-store"}
# The page brings all it needs and may speak to nobody but us.
_PAGE = {
    "Content-Type": "text/html; charset=utf-8",
    "Cache-Control": "no-cache",
    "Content-Security-Policy": "default-src 'none'; script-src 'unsafe-inline'; "
    "style-src 'unsafe-inline'; img-src data:; connect-src 'self'; form-action 'self'; "
    "base-uri 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "same-origin",  # no-referrer would make the login form's own Origin null
}
_LOOPBACK = ("localhost", "127.0.0.1", "::1")
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
    503: "Service Unavailable",
}
_TEXTS = {
    400: "this is no HTTP request we understand",
    404: "there is nothing here; try / or /api/bank, units, events or /healthz or /metrics",
    405: "this method is not for this path",
    413: "the request is too large: at most %d bytes" % MOST_BODY,
    500: "an error of ours: the log has it",
}
_COOKIE = "vbms"

_LOGIN = """<!doctype html><html lang="en"><meta charset="utf-8"><title>vbms</title>
<meta name="viewport" content="width=device-width,initial-scale=1">
<meta name="color-scheme" content="light dark"><link rel="icon" href="data:,">
<style>body{font:16px/1.5 system-ui,sans-serif;display:grid;place-content:center;min-height:90vh}
form{display:grid;gap:.8em;width:18em}input,button{font:inherit;padding:.5em .7em}</style>
<form method="post" action="/login"><h1>vbms</h1><p role="status">%s</p>
<label for="token">Token</label><input id="token" name="token" type="password" required autofocus
autocomplete="current-password"><button>Sign in</button></form></html>
"""


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


def make_app(site: "Site") -> App:
    """All routes, served from this site."""
    # microdot keeps these on the class, for every app of the program.
    Request.max_content_length = Request.max_body_length = MOST_BODY
    app = App()
    page = __file__.rsplit("/", 1)[0] + "/ui/index.html"

    async def guard(request: Request) -> Response | None:
        host = _host_of(request.headers.get("Host"))
        if host is not None and not _ours(host, site, request):
            return _error(403, "%s is not a name of this machine; add it to web.hosts" % host)
        origin = request.headers.get("Origin")
        if request.method != "GET" and request.method != "HEAD" and origin is not None:
            sender = _host_of(origin.split("//", 1)[-1])
            if sender != host and not _configured(sender, site):
                return _error(403, "a page on %s may not send this" % origin)
        if request.path == "/login":
            return None
        changes = request.method == "POST" and request.path[:5] == "/api/"
        if site.loopback and not (changes and site.token is not None):
            return None
        return await _check_token(request, site)

    async def index(request: Request) -> Response:
        if request.method == "HEAD":
            return Response(b"", 200, _PAGE)
        response = Response.send_file(page)
        for name in _PAGE:
            response.headers[name] = _PAGE[name]
        return response

    async def login(request: Request) -> Response:
        if request.method != "POST":
            return _login_page("This needs the token of this site.", 200)
        try:
            form = request.form
        except ValueError:  # not UTF-8, or a broken %XX
            form = None
        given = form.get("token") if form else None
        if site.token is None or not isinstance(given, str) or not _same(given, site.token):
            await asyncio.sleep(_GUESS_S)
            return _login_page("This is not the token of this site.")
        cookie = "%s=%s; Path=/; Max-Age=31536000; HttpOnly; SameSite=Strict" % (
            _COOKIE,
            session_of(site.token),
        )
        headers: dict[str, Any] = {"Location": "/", "Set-Cookie": [cookie]}
        return Response(b"", 303, headers)

    async def healthz(request: Request) -> Response:
        health = site.health()
        return _json(health_json(health), 200 if health.get("ok") is True else 503)

    async def bank(request: Request) -> Response:
        return _json(bank_json(site))

    async def units(request: Request) -> Response:
        return _json(units_json(site))

    async def events(request: Request) -> Response:
        try:
            most = int(request.args.get("limit", _EVENTS))
        except ValueError:
            most = 0
        if most < 1:
            return _error(400, "limit is a whole number from 1")
        return _json(events_json(site, most))

    async def acknowledge(request: Request, unit: str) -> Response:
        name = _decoded(unit)
        if name not in [row.name for row in site.units()]:
            return _error(404, "there is no battery %s; /api/units names all" % name)
        return _done("unit", name, site.acknowledge(name))

    async def relays(request: Request) -> Response:
        return _json(relays_json(site))

    async def clear(request: Request, relay: str) -> Response:
        name = _decoded(relay)
        if name not in [row.name for row in site.relays()]:
            return _error(404, "there is no relay %s; /api/relays names all" % name)
        return _done("relay", name, site.clear_relay(name))

    async def metrics(request: Request) -> Response:
        return Response(site.metrics_text(), 200, _METRICS)

    async def rpc(request: Request, method: str) -> Response:
        for name, call in _METHODS:
            if name.lower() == method.lower():
                return _json(call(site))
        return _error(404, "there is no method %s; RPC.List names all" % method)

    app.before_request(guard)
    app.get("/")(index)
    app.route("/login", methods=["GET", "POST"])(login)
    app.get("/healthz")(healthz)
    app.get("/api/bank")(bank)
    app.get("/api/units")(units)
    app.get("/api/events")(events)
    app.post("/api/units/<unit>/acknowledge")(acknowledge)
    app.get("/api/relays")(relays)
    app.post("/api/relays/<relay>/clear")(clear)
    app.get("/metrics")(metrics)
    app.route("/rpc/<method>", methods=["GET", "POST"])(rpc)
    for code in _TEXTS:
        app.errorhandler(code)(_refusal(app, code))
    return app


def _refusal(app: App, code: int) -> "Callable[..., Any]":
    """The answer for what microdot itself finds wrong."""

    async def handler(request: Request | None) -> Response:
        response = _error(code, _TEXTS[code])
        if code == 405 and request is not None:
            response.headers["Allow"] = app.default_options_handler(request)["Allow"]
        return response

    return handler


def _json(text: str, code: int = 200) -> Response:
    return Response(text.encode(), code, _JSON)


def _error(code: int, text: str) -> Response:
    return _json('{"error":%s}' % plain(text), code)


def _done(what: str, name: str, refusal: str | None) -> Response:
    """After something was to be changed."""
    if refusal is not None:
        return _error(409, refusal)
    return _json('{"ok":true,"%s":%s}' % (what, plain(name)))


def _login_page(text: str, code: int = 401) -> Response:
    return Response((_LOGIN % text).encode(), code, _PAGE)


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


def _host_of(header: str | None) -> str | None:
    """The name in a Host header or an origin, in lower case, without its port."""
    if header is None:
        return None
    name = header.strip().lower()
    if name.startswith("["):
        return name[1:].split("]", 1)[0]
    return name.split(":", 1)[0].rstrip(".")


def _configured(host: str | None, site: "Site") -> bool:
    return host in [name.lower() for name in site.hosts]


def _ours(host: str, site: "Site", request: Request) -> bool:
    """A name of this machine: loopback, a configured one, the address this request came in by."""
    if host in _LOOPBACK or _configured(host, site):
        return True
    try:
        here = request.sock[1].get_extra_info("sockname")
    except (AttributeError, KeyError, TypeError):
        return False  # a board's streams do not tell
    return bool(here) and host == here[0]


async def _check_token(request: Request, site: "Site") -> Response | None:
    """None where the request may pass."""
    token = site.token
    if token is None:
        return _error(401, "reading from outside this machine needs web.token to be configured")
    header = request.headers.get("Authorization")
    cookie = request.cookies.get(_COOKIE)
    if header is None and cookie is None:
        if request.path == "/":
            return _login_page("This page needs the token of this site.")
    else:
        if header is not None and header[:7].lower() == "bearer ":
            if _same(header[7:].strip(), token):
                return None
        if cookie is not None and _same(cookie, session_of(token)):
            return None
        await asyncio.sleep(_GUESS_S)
        if request.path == "/":
            return _login_page("Please sign in again.")
    refused = _error(401, "this needs the site's token: Authorization: Bearer TOKEN (web.token)")
    refused.headers["WWW-Authenticate"] = 'Bearer realm="vbms"'
    return refused


def session_of(token: str) -> str:
    """What a browser keeps after the login: good as long as the token is, and not the token."""
    digest = hashlib.sha256(b"vbms session " + token.encode()).digest()
    return binascii.hexlify(digest).decode()


def _same(given: str, wanted: str) -> bool:
    """Compared by digest, so that the time it takes says nothing about the token."""
    a = hashlib.sha256(given.encode()).digest()
    return a == hashlib.sha256(wanted.encode()).digest()


def _info(site: "Site") -> str:
    """Sys.GetInfo with the seed's keys; what does not exist here is null."""
    known: dict[str, object] = {
        "id": site.name,
        "app": "vbms",
        "fw_version": site.version,
        "uptime": site.up_ms() // 1000,
    }
    keys = "id app fw_version fw_id mg_version mg_id mac arch uptime public_key ram_size ram_free "
    keys += "ram_min_free fs_size fs_free wifi"
    rows = ['"%s":%s' % (key, plain(known.get(key))) for key in keys.split(" ")]
    return "{" + ",".join(rows) + "}"


def _names(site: "Site") -> str:
    """RPC.List."""
    return "[" + ",".join([plain(name) for name, _ in _METHODS]) + "]"


_METHODS: "tuple[tuple[str, Callable[[Site], str]], ...]" = (
    ("RPC.List", _names),
    ("Sys.GetInfo", _info),
    ("VBMS.GetSummary", summary_json),
)
