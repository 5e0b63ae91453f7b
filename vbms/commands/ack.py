"""`vbms ack`: a person takes a retired battery out of the account."""

import http.client
import json
import sys
from urllib.parse import quote

import click

from vbms.commands.loading import load_or_exit
from vbms.settings.shapes import WebSettings

_TIMEOUT_S = 10
_EVERYWHERE = {"0.0.0.0": "127.0.0.1", "::": "::1"}


@click.command()
@click.argument("unit")
@click.option("--json", "as_json", is_flag=True, help="The service's answer as JSON.")
@click.pass_context
def command(ctx: click.Context, unit: str, as_json: bool) -> None:
    """Say that UNIT, retired after long silence, is gone: the bank stops reserving for it.

    Until it answers again. With the bank's name for UNIT: an inverter that was silenced for taking
    what it may not is told again once it rests. Talks to the running service at web.listen, with
    its web.token.
    """
    web = load_or_exit(ctx.obj["config"]).web
    name = quote(unit, safe="", errors="surrogateescape")  # as the terminal gave it
    try:
        status, body = tell(web, f"/api/units/{name}/acknowledge")
    except (OSError, http.client.HTTPException) as error:
        why = getattr(error, "strerror", None) or str(error) or type(error).__name__
        click.echo(f"no service answers at {web.host}:{web.port}: {why}", err=True)
        sys.exit(1)
    if as_json:
        click.echo(json.dumps(body))
    elif status == 200:
        click.echo(f"{unit}: acknowledged")
    else:
        click.echo(str(body.get("error", f"the service answered {status}")), err=True)
    sys.exit(0 if status == 200 else 1)


def tell(web: WebSettings, path: str) -> tuple[int, dict[str, object]]:
    """POST to the running service; its status and what it said. Raises OSError, HTTPException."""
    host = _EVERYWHERE.get(web.host, web.host)
    line = http.client.HTTPConnection(host, web.port, timeout=_TIMEOUT_S)
    headers = {"Content-Length": "0"}
    if web.token is not None:
        headers["Authorization"] = f"Bearer {web.token}"
    try:
        line.request("POST", path, headers=headers)
        answer = line.getresponse()
        text = answer.read(65536)
    finally:
        line.close()
    try:
        body = json.loads(text)
    except ValueError:
        body = None
    return answer.status, body if isinstance(body, dict) else {}
