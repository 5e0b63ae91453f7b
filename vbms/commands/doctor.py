"""`vbms doctor`: what is not as it should be, and what to do about it."""

import json
import sys
from pathlib import Path

import click

from vbms.commands.loading import find
from vbms.config import ConfigErrors, Settings, load

_MARKS = {"ok": "  ok ", "info": "     ", "warning": " warn", "failed": "FAIL "}


@click.command()
@click.option("--json", "as_json", is_flag=True, help="A list of findings.")
@click.option(
    "--bundle",
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="FILE",
    help="Write a .tar.gz for a bug report, secrets removed.",
)
@click.pass_context
def command(ctx: click.Context, as_json: bool, bundle: Path | None) -> None:
    """Look at ports, permissions, adapters, clock, packages and the running service.

    Changes nothing and sends nothing to any device; exit code 1 if anything must be mended.
    """
    from vbms.doctor import FAILED, OK, WARNING, Finding, checks
    from vbms.doctor.machine import Machine

    path = find(ctx.obj["config"])
    settings: Settings | None = None
    found = []
    try:
        settings = load(path)
        found.append(Finding(OK, "configuration", f"{path} is sound"))
        found += [Finding(WARNING, "configuration", str(each)) for each in settings.warnings]
    except ConfigErrors as errors:
        found += [Finding(FAILED, "configuration", str(each)) for each in errors.problems]
    found += checks.everything(Machine(), settings)
    if as_json:
        click.echo(json.dumps([each.row() for each in found], indent=1))
    else:
        for each in found:
            click.echo(f"{_MARKS[each.state]} {each.subject}: {each.text}")
            if each.advice:
                click.echo(f"      -> {each.advice}")
    if bundle is not None:
        from vbms.doctor.bundle import write

        try:
            names = write(bundle, path, settings, found)
        except OSError as error:
            click.echo(f"{bundle} cannot be written: {error.strerror}", err=True)
            sys.exit(1)
        said = f"{bundle}: {', '.join(names)}; serial numbers are in it, look before you send it"
        click.echo(said, err=True)
    sys.exit(1 if any(each.state == FAILED for each in found) else 0)
