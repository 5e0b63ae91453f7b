"""`vbms run`: the service."""

import asyncio
import sys

import click

from vbms.commands.loading import load_or_exit


@click.command()
@click.pass_context
def command(ctx: click.Context) -> None:
    """Read the batteries, answer the inverters, serve the page. SIGHUP reads the YAML again."""
    settings = load_or_exit(ctx.obj["config"])
    from vbms.app import serve

    sys.exit(asyncio.run(serve(settings.path, settings)))
