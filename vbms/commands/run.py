"""`vbms run`: the service."""

import asyncio
import sys
from pathlib import Path

import click

from vbms.commands.loading import load_or_exit
from vbms.commands.numbers import Real


@click.command()
@click.option(
    "--record",
    type=click.Path(path_type=Path, file_okay=False),
    metavar="FOLDER",
    help="Write down what goes over each link, in FOLDER/LINK.jsonl.",
)
@click.option(
    "--record-mb",
    type=Real(0.1, 10_000),
    default=16,
    show_default=True,
    help="Most a link's recording may take; the oldest is dropped.",
)
@click.pass_context
def command(ctx: click.Context, record: Path | None, record_mb: float) -> None:
    """Read the batteries, answer the inverters, serve the page. SIGHUP reads the YAML again."""
    settings = load_or_exit(ctx.obj["config"])
    from vbms.service import serve

    recorders = None
    if record is not None:
        from vbms.recording import Recorders

        try:
            recorders = Recorders(record, round(record_mb * 1_000_000))
        except OSError as error:
            click.echo(f"{record} cannot be made: {error.strerror}", err=True)
            sys.exit(1)
    sys.exit(asyncio.run(serve(settings.path, settings, recorders=recorders)))
