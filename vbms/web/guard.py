"""Who may ask, and how a refusal reads.

On the loopback address reading is open; any other listen address wants the token, as
`Authorization: Bearer` or by the login form. What changes something wants the token always, where
one is set. The Host header has to be a name of ours, so that a page elsewhere cannot reach us
through a name it made point here; what a browser sends for another page, a POST or the opening of
a socket, is refused by its Origin.
"""

import asyncio
import binascii
import hashlib

from microdot import Request, Response

from vbms.web.shapes import plain

TYPE_CHECKING = False
if TYPE_CHECKING:
    from vbms.web.site import Site

GUESS_S = 1  # what a wrong token costs
JSON_TYPE = {"Content-Type": "application/json", "Cache-Control": "no-store"}
# The page brings all it needs and may speak to nobody but us.
PAGE_TYPE = {
    "Content-Type": "text/html; charset=utf-8",
    "Cache-Control": "no-cache",
    "Content-Security-Policy": "default-src 'none'; script-src 'unsafe-inline'; "
    "style-src 'unsafe-inline'; img-src data:; connect-src 'self'; form-action 'self'; "
    "base-uri 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "same-origin",  # no-referrer would make the login form's own Origin null
}
_LOOPBACK = ("localhost", "127.0.0.1", "::1")
COOKIE = "vbms"

_LOGIN = """<!doctype html><html lang="en"><meta charset="utf-8"><title>vbms</title>
<meta name="viewport" content="width=device-width,initial-scale=1">
<meta name="color-scheme" content="light dark"><link rel="icon" href="data:,">
<style>body{font:16px/1.5 system-ui,sans-serif;display:grid;place-content:center;min-height:90vh}
form{display:grid;gap:.8em;width:18em}input,button{font:inherit;padding:.5em .7em}</style>
<form method="post" action="/login"><h1>vbms</h1><p role="status">%s</p>
<label for="token">Token</label><input id="token" name="token" type="password" required autofocus
autocomplete="current-password"><button>Sign in</button></form></html>
"""


async def check(request: Request, site: "Site") -> Response | None:
    """None where the request may pass."""
    host = host_of(request.headers.get("Host"))
    if host is not None and not is_ours(host, site, request):
        return refusal(403, "%s is not a name of this machine; add it to web.hosts" % host)
    origin = request.headers.get("Origin")
    reads = request.method == "GET" or request.method == "HEAD"
    if origin is not None and (not reads or request.path == "/rpc"):
        sender = host_of(origin.split("//", 1)[-1])
        if sender != host and not is_configured(sender, site):
            return refusal(403, "a page on %s may not send this" % origin)
    if request.path == "/login":
        return None
    changes = request.method == "POST" and request.path[:5] == "/api/"
    if site.loopback and not (changes and site.token is not None):
        return None
    return await check_token(request, site)


async def is_trusted(request: Request, site: "Site") -> bool:
    """Whether what this request asks may change something."""
    if site.token is None:
        return site.loopback
    if request.headers.get("Authorization") is None and request.cookies.get(COOKIE) is None:
        return False
    return await check_token(request, site) is None


def json_answer(text: str, code: int = 200) -> Response:
    return Response(text.encode(), code, JSON_TYPE)


def refusal(code: int, text: str) -> Response:
    return json_answer('{"error":%s}' % plain(text), code)


def login_page(text: str, code: int = 401) -> Response:
    return Response((_LOGIN % text).encode(), code, PAGE_TYPE)


def host_of(header: str | None) -> str | None:
    """The name in a Host header or an origin, in lower case, without its port."""
    if header is None:
        return None
    name = header.strip().lower()
    if name.startswith("["):
        return name[1:].split("]", 1)[0]
    return name.split(":", 1)[0].rstrip(".")


def is_configured(host: str | None, site: "Site") -> bool:
    return host in [name.lower() for name in site.hosts]


def is_ours(host: str, site: "Site", request: Request) -> bool:
    """A name of this machine: loopback, a configured one, the address this request came in by."""
    if host in _LOOPBACK or is_configured(host, site):
        return True
    try:
        here = request.sock[1].get_extra_info("sockname")
    except (AttributeError, KeyError, TypeError):
        return False  # a board's streams do not tell
    return bool(here) and host == here[0]


async def check_token(request: Request, site: "Site") -> Response | None:
    """None where the request may pass."""
    token = site.token
    if token is None:
        return refusal(401, "reading from outside this machine needs web.token to be configured")
    header = request.headers.get("Authorization")
    cookie = request.cookies.get(COOKIE)
    if header is None and cookie is None:
        if request.path == "/":
            return login_page("This page needs the token of this site.")
    else:
        if header is not None and header[:7].lower() == "bearer ":
            if same(header[7:].strip(), token):
                return None
        if cookie is not None and same(cookie, session_of(token)):
            return None
        await asyncio.sleep(GUESS_S)
        if request.path == "/":
            return login_page("Please sign in again.")
    refused = refusal(401, "this needs the site's token: Authorization: Bearer TOKEN (web.token)")
    refused.headers["WWW-Authenticate"] = 'Bearer realm="vbms"'
    return refused


def session_of(token: str) -> str:
    """What a browser keeps after the login: good as long as the token is, and not the token."""
    digest = hashlib.sha256(b"vbms session " + token.encode()).digest()
    return binascii.hexlify(digest).decode()


def same(given: str, wanted: str) -> bool:
    """Compared by digest, so that the time it takes says nothing about the token."""
    a = hashlib.sha256(given.encode()).digest()
    return a == hashlib.sha256(wanted.encode()).digest()
