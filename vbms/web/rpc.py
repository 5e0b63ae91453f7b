"""Calls by name, over HTTP and over a WebSocket: the same calls, the same results.

    POST /rpc/METHOD {arguments}        the result; or {"error": ...} and its status
    {"id", "method", "args"} on /rpc    {"id", "result"}; or {"id", "error": {"code", "message"}}

Names are told apart without regard to case. What every site answers stands here; what else there is
(a scan, the configuration) the site brings along.
"""

import json

from vbms.errors import RefusedError
from vbms.web.shapes import plain, summary_json

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from vbms.web.site import Site

    Trust = Callable[[], Awaitable[bool]]  # whether who asks may change something


def parsed(data: "bytes | str") -> object:
    """What this JSON says; None for what is none."""
    try:
        return json.loads(data)
    except (ValueError, RuntimeError):  # the latter for what is nested without end
        return None


async def call(site: "Site", method: str, args: object, trusted: "Trust") -> "tuple[int, str]":
    """(200, the result as JSON) or (status, why not). args: from JSON, whatever they are."""
    name = method.lower()
    for known, read in _METHODS:
        if known.lower() == name:
            return 200, read(site)
    for known, changes, run in site.calls():
        if known.lower() != name:
            continue
        if changes and not await trusted():
            return 401, "%s changes something: POST it, with the site's token (web.token)" % known
        if not isinstance(args, dict):
            return 400, "the arguments of %s are a JSON object" % known
        try:
            return 200, json.dumps(await run(args))
        except RefusedError as error:
            return error.code or 400, str(error)
    return 404, "there is no method %s; RPC.List names all" % method


async def answer(site: "Site", text: str, trusted: "Trust") -> str:
    """One message of a WebSocket: what goes back. An id comes back as it was, else null."""
    asked = parsed(text)
    if not isinstance(asked, dict):
        return _failed(None, 400, "a message is a JSON object: id, method, args")
    number = asked.get("id")
    if number is not None and not isinstance(number, (int, str)):
        return _failed(None, 400, "an id is a whole number or text")
    method = asked.get("method")
    if not isinstance(method, str):
        return _failed(number, 400, "a message names a method")
    args = asked.get("args")
    if args is None:
        args = asked.get("params")
    code, said = await call(site, method, {} if args is None else args, trusted)
    if code != 200:
        return _failed(number, code, said)
    return '{"id":%s,"result":%s}' % (json.dumps(number), said)


def _failed(number: object, code: int, text: str) -> str:
    return '{"id":%s,"error":{"code":%d,"message":%s}}' % (json.dumps(number), code, plain(text))


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
    names = [name for name, _ in _METHODS] + [name for name, _, _ in site.calls()]
    return "[" + ",".join([plain(name) for name in sorted(names)]) + "]"


_METHODS: "tuple[tuple[str, Callable[[Site], str]], ...]" = (
    ("RPC.List", _names),
    ("Sys.GetInfo", _info),
    ("VBMS.GetSummary", summary_json),
)
