"""`vbms scan ble`: batteries on the air, as lines for `batteries:`; the others as comments."""

import asyncio
import json
import re
import sys
from pathlib import Path

import click

from vbms.commands.numbers import Real
from vbms.errors import LinkError
from vbms.links.ble_found import in_order, protocol_of
from vbms.links.ble_radio import SCAN_S, Heard, Radio


@click.command("ble")
@click.option("--adapter", metavar="NAME", help="Such as hci1.  [default: the usual one]")
@click.option("--seconds", type=Real(0.5, 60), default=SCAN_S, show_default=True)
@click.option("--json", "as_json", is_flag=True, help="A list of what was heard.")
@click.pass_context
def command(ctx: click.Context, adapter: str | None, seconds: float, as_json: bool) -> None:
    """Listen for batteries that advertise over Bluetooth; nothing is connected to.

    Lines are ready to paste into `batteries:`; what is not known to be a battery is a comment.
    """
    try:
        heard = in_order(asyncio.run(Radio(adapter).scan(seconds)).values())
    except LinkError as error:
        click.echo(f"vbms scan ble: {error}", err=True)
        sys.exit(1)
    if as_json:
        rows = [
            {
                "address": each.address,
                "name": each.name,
                "rssi_dbm": each.rssi,
                "protocol": protocol_of(each),
            }
            for each in heard
        ]
        click.echo(json.dumps(rows))
        return
    for line in lines(heard, link_name(ctx.obj.get("config") if ctx.obj else None)):
        click.echo(line)
    batteries = sum(protocol_of(each) is not None for each in heard)
    click.echo(f"{batteries} batteries among {len(heard)} devices", err=True)


def link_name(config: Path | None) -> str:
    """The first Bluetooth link of the configuration, else the name that the README uses."""
    for path in [config] if config else [Path("vbms.yaml"), Path("/etc/vbms/vbms.yaml")]:
        if path.is_file():
            found = re.search(
                r"^ +(\S+): *\{[^}#]*kind: *ble\b", path.read_text(encoding="utf-8"), re.MULTILINE
            )
            return found[1] if found else "air"
    return "air"


def lines(heard: list[Heard], link: str) -> list[str]:
    """One line for each device, batteries first."""
    found = []
    counts: dict[str, int] = {}
    for each in heard:
        protocol = protocol_of(each)
        said = f"{each.name or 'without a name'}, {each.rssi} dBm"
        if protocol is None:
            found.append(f"# {each.address}  {said}")
            continue
        stem = protocol.split("_")[0]
        counts[stem] = counts.get(stem, 0) + 1
        name = f"{stem}-{counts[stem]}"
        found.append(
            f'  - {{name: {name}, profile: {protocol}, link: {link}, address: "{each.address}"}}'
            f"  # {said}"
        )
    return found
