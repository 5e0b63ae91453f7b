"""`vbms scan serial`: batteries on RS485 and other serial lines, as lines for `batteries:`."""

import asyncio
import json
import sys
from collections.abc import Callable

import click

from vbms.commands.loading import load_or_exit
from vbms.commands.numbers import Real
from vbms.ports import Link
from vbms.scanning import Found


@click.command("serial")
@click.option("--link", "link_name", metavar="NAME", help="A serial or tcp link of the YAML.")
@click.option("--port", "wanted_ports", multiple=True, metavar="PATH", help="Default: all.")
@click.option(
    "--baud",
    "bauds",
    type=click.IntRange(1200, 1_000_000),
    multiple=True,
    help="Only these.  [default: the usual]",
)
@click.option("--protocol", "protocols", multiple=True, metavar="NAME", help="Only these.")
@click.option("--addresses", metavar="LOW-HIGH", help="Default: the first 16 of each protocol.")
@click.option(
    "--listen",
    type=Real(0.05, 60),
    default=2,
    show_default=True,
    help="Seconds to listen at each speed before anything is asked.",
)
@click.option("--json", "as_json", is_flag=True, help="The same as data.")
@click.pass_context
def command(
    ctx: click.Context,
    link_name: str | None,
    wanted_ports: tuple[str, ...],
    bauds: tuple[int, ...],
    protocols: tuple[str, ...],
    addresses: str | None,
    listen: float,
    as_json: bool,
) -> None:
    """Look for batteries on serial lines: usual speeds, protocols and addresses.

    It listens first, and where anybody speaks by himself (an inverter, another master) nothing is
    sent. Only what vbms asks in daily use is asked. Stop a vbms that runs: it owns its ports.
    """
    from vbms import scanning

    known = scanning.scannable()
    for protocol in protocols:
        if protocol not in known:
            text = f"{protocol}: there are {', '.join(known)}"
            raise click.BadParameter(text, param_hint="--protocol")
    chosen = list(protocols) or known
    probes = scanning.probes(chosen, _addresses(addresses))
    lines = _lines(ctx, link_name, wanted_ports)
    if not lines:
        click.echo("vbms scan serial: this machine has no serial port (adapters in /dev)", err=True)
        sys.exit(1)

    async def scan_all() -> list[Found]:
        found = []
        for where, told_baud, make in lines:
            speeds = list(bauds) or scanning.bauds_of(chosen, told_baud)
            if not where.startswith("/"):
                speeds = speeds[:1]  # the gateway's, whatever is said here
            found.append(
                await scanning.scan(where, make, speeds, probes, round(listen * 1000), _say)
            )
        return found

    try:
        results = asyncio.run(scan_all())
    except KeyboardInterrupt:
        sys.exit(1)
    if as_json:
        click.echo(json.dumps([_row(each) for each in results], indent=1))
    else:
        click.echo("\n".join(yaml_lines(results, link_name)))
    if all(each.error for each in results):
        for each in results:
            click.echo(f"vbms scan serial: {each.error}", err=True)
        sys.exit(1)


def _say(text: str) -> None:
    click.echo(text, err=True)


def _addresses(text: str | None) -> list[int] | None:
    if text is None:
        return None
    low, _, high = text.partition("-")
    try:
        return list(range(int(low, 0), int(high or low, 0) + 1))
    except ValueError:
        raise click.BadParameter(f"{text} is not LOW-HIGH", param_hint="--addresses") from None


Make = Callable[[int], Link]


def _lines(
    ctx: click.Context, link_name: str | None, wanted: tuple[str, ...]
) -> list[tuple[str, int | None, Make]]:
    """(what it is called, its speed if told, how to make it) of each line to look at."""
    from vbms import scanning
    from vbms.links.tcp_line import TcpLine
    from vbms.plugs import serial_link

    def serial(port: str) -> Make:
        return lambda baud: serial_link(port, port, baud)

    if link_name is None:
        return [(port, None, serial(port)) for port in wanted or scanning.ports()]
    settings = load_or_exit(ctx.obj["config"])
    link = settings.links.get(link_name)
    if link is None or link.kind not in ("serial", "tcp"):
        known = [each.name for each in settings.links.values() if each.kind in ("serial", "tcp")]
        raise click.UsageError(
            f"{link_name} is no serial or tcp link of the configuration "
            f"(there are: {', '.join(known) or 'none'})"
        )
    if link.kind == "tcp":
        host, port = link.host or "", link.tcp_port or 0
        return [(f"{host}:{port}", link.baud, lambda baud: TcpLine(link_name, host, port, baud))]
    return [(link.port or "", link.baud, serial(link.port or ""))]


def yaml_lines(results: list[Found], link_name: str | None) -> list[str]:
    """What to paste, the rest as comments."""
    from vbms import scanning

    shipped = scanning.profiles()
    links, batteries, comments = [], [], []
    counts: dict[str, int] = {}
    for number, each in enumerate(results, 1):
        link = link_name or f"bus{number}"
        if each.error:
            comments.append(f"# {each.error}")
        elif each.has_master:
            comments.append(f"# {each.port}: somebody speaks here by himself, nothing was sent")
            comments += [f"#   at {each.baud} baud {text}" for text in each.heard]
            if not each.heard:
                comments.append(f"#   {each.bytes_heard} bytes that no known protocol explains")
        elif not each.batteries:
            comments.append(f"# {each.port}: nobody answers")
        for baud, protocol in sorted(each.unreadable):
            comments.append(f"# {each.port}: unreadable bytes after {protocol} at {baud} baud")
        if each.batteries:
            links.append(f"  {link}: {{kind: serial, port: {each.port}, baud: {each.baud}}}")
        for battery in each.batteries:
            stem = battery.protocol.split("_")[0]
            counts[stem] = counts.get(stem, 0) + 1
            names = [profile.name for profile in shipped.get(battery.protocol, [])]
            profile = names[0] if names else battery.protocol
            where = "" if battery.address is None else f", address: {battery.address}"
            batteries.append(
                f"  - {{name: {stem}-{counts[stem]}, profile: {profile}, link: {link}{where}}}"
                f"  # {battery.about()}"
            )
    found = []
    if links and link_name is None:
        found += ["links:", *links]
    if batteries:
        found += ["batteries:", *batteries]
    return found + comments


def _row(each: Found) -> dict[str, object]:
    from vbms import scanning

    shipped = scanning.profiles()
    return {
        "port": each.port,
        "baud": each.baud,
        "error": each.error or None,
        "master": each.has_master,
        "heard": each.heard,
        "unreadable": [
            {"baud": baud, "protocol": protocol} for baud, protocol in sorted(each.unreadable)
        ],
        "batteries": [
            {
                "protocol": battery.protocol,
                "profiles": [profile.name for profile in shipped.get(battery.protocol, [])],
                "address": battery.address,
                "baud": battery.baud,
                "about": battery.about(),
                "serial": battery.snapshot.serial if battery.snapshot else None,
            }
            for battery in each.batteries
        ],
    }
