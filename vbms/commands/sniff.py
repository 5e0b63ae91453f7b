"""`vbms sniff LINK`: listen to a line, and never say a word on it."""

import asyncio
import contextlib
import sys
import time
from collections.abc import Iterable
from pathlib import Path

import click

from vbms.commands.loading import load_or_exit
from vbms.commands.numbers import Real
from vbms.config import LinkSettings
from vbms.errors import VbmsError

_BURST_MS = 8  # bytes that follow within this belong together on the screen
_IDLE_MS = 250


@click.command()
@click.argument("link")
@click.option(
    "--record",
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="FILE",
    help="Write it down as well, for `vbms replay` and `vbms decode --as-vector`.",
)
@click.option(
    "--record-mb",
    type=Real(0.1, 10_000),
    default=16,
    show_default=True,
    help="Most the recording may take; the oldest is dropped.",
)
@click.option("--baud", type=click.IntRange(1200, 1_000_000), help="For a LINK that is a port.")
@click.option("--seconds", type=Real(0), default=0, help="Stop after so long.  [default: never]")
@click.option("--quiet", is_flag=True, help="Record only.")
@click.pass_context
def command(
    ctx: click.Context,
    link: str,
    record: Path | None,
    record_mb: float,
    baud: int | None,
    seconds: float,
    quiet: bool,
) -> None:
    """Show what goes over LINK, a link of the configuration or a port such as /dev/ttyUSB0.

    Both sides of a line are heard, and everybody on a CAN bus: each burst or frame with its time,
    its bytes, and what they mean where a protocol knows them. Nothing is ever sent. A link that
    `vbms run` has open is recorded by `vbms run --record`.
    """
    from vbms.commands import sniffing

    settings, protocols, topics = _find(ctx, link, baud)
    recorder = None
    try:
        if record is not None:
            from vbms.recording import Recorder, head_of

            head = head_of(settings, protocols) | {"by": "sniff"}
            recorder = Recorder(record, head, round(record_mb * 1_000_000))
        with contextlib.suppress(KeyboardInterrupt):
            if settings.kind == "can":
                from vbms.commands import sniff_can

                asyncio.run(sniff_can.listen(settings, protocols, recorder, seconds, quiet))
            else:
                explainer = sniffing.Explainer(protocols or sniffing.known())
                asyncio.run(_listen(settings, explainer, recorder, seconds, quiet, topics))
    except OSError as error:
        click.echo(f"{record}: {error.strerror}", err=True)
        sys.exit(1)
    except VbmsError as error:
        click.echo(f"vbms sniff: {error}", err=True)
        sys.exit(1)


def _find(
    ctx: click.Context, name: str, baud: int | None
) -> tuple[LinkSettings, list[str], list[str]]:
    """The link, the protocols that are spoken on it if that is known, MQTT topics."""
    if "/" in name:
        values: dict[str, object] = dict.fromkeys(LinkSettings.__slots__)
        values |= {"name": Path(name).name, "kind": "serial", "port": name, "baud": baud or 9600}
        return LinkSettings(**values), [], []
    settings = load_or_exit(ctx.obj["config"])
    link = settings.links.get(name)
    if link is None:
        known = ", ".join(settings.links)
        raise click.UsageError(f"there is no link {name} (there are: {known}; or a port's path)")
    if link.kind not in ("serial", "tcp", "mqtt", "can"):
        raise click.UsageError(
            f"{name} is a {link.kind} link: serial, tcp, mqtt and can links can be listened to; "
            "what vbms itself hears elsewhere, `vbms run --record` writes down"
        )
    protocols = [each.protocol for each in settings.batteries if each.link == name]
    protocols += [each.protocol for each in settings.inverters if each.link == name]
    topics = []
    for battery in settings.batteries:
        if battery.link == name and link.kind == "mqtt":
            from vbms.upstream import registry

            topics += registry.load(battery.protocol).Codec(**battery.options).topics
    return link, sorted(set(protocols)), topics


async def _listen(
    settings: LinkSettings,
    explainer: "object",
    recorder: "object",
    seconds: float,
    quiet: bool,
    topics: Iterable[str],
) -> None:
    from vbms.commands.sniffing import Explainer
    from vbms.links.mqtt_client import MqttClient
    from vbms.plugs import bytes_link
    from vbms.recording import Recorder

    assert isinstance(explainer, Explainer)
    link = bytes_link(settings)
    await link.open()
    if isinstance(link, MqttClient):
        await link.subscribe(sorted(topics) or ["#"])
    if isinstance(recorder, Recorder):
        link.trace = recorder.note  # type: ignore[attr-defined]
        recorder.start()
    began_s = time.monotonic()
    burst = b""
    burst_s = 0.0
    try:
        while not seconds or time.monotonic() - began_s < seconds:
            data = await link.read(_BURST_MS if burst else _IDLE_MS)
            if data and not burst:
                burst_s = time.monotonic() - began_s
            burst += data
            if burst and (not data or len(burst) > 2048 or isinstance(link, MqttClient)):
                if not quiet:
                    _show(burst_s, burst, explainer)
                burst = b""
            elif not data:
                explainer.silence()
    finally:
        link.close()
        if isinstance(recorder, Recorder):
            await recorder.close()


def _show(now_s: float, data: bytes, explainer: "object") -> None:
    from vbms.commands.sniffing import Explainer

    assert isinstance(explainer, Explainer)
    stripped = data.strip()
    words = data.hex(" ")
    if len(stripped) > 8 and stripped.isascii() and stripped.decode().isprintable():
        words = stripped.decode()  # a line of text, as MQTT's are
    click.echo(f"{now_s:10.3f}  {len(data):4d}  {words}")
    for text in explainer.feed(data):
        click.echo(f"{'':18}{text}")
