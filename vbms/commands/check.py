"""`vbms check`: is this configuration sound? Opens nothing but text files."""

import json
import sys
from pathlib import Path

import click

from vbms.commands.loading import find
from vbms.config import ConfigErrors, Settings, load, schema


@click.command()
@click.argument("file", required=False, type=click.Path(path_type=Path, dir_okay=False))
@click.option("--json", "as_json", is_flag=True, help="Problems and warnings as JSON.")
@click.option("--schema", "as_schema", is_flag=True, help="Print the JSON Schema for editors.")
@click.pass_context
def command(ctx: click.Context, file: Path | None, as_json: bool, as_schema: bool) -> None:
    """Validate vbms.yaml and its profiles: each problem with file, line and key.

    Exit code 2 if anything is wrong. A port need not exist.
    """
    if as_schema:
        click.echo(json.dumps(schema(), indent=2))
        return
    path = find(file or ctx.obj["config"])
    settings: Settings | None = None
    errors: ConfigErrors | None = None
    try:
        settings = load(path)
    except ConfigErrors as found:
        errors = found
    problems = errors.problems if errors else ()
    warnings = settings.warnings if settings else ()
    if as_json:
        report = {
            "ok": settings is not None,
            "file": str(path),
            "problems": [problem.row() for problem in problems],
            "warnings": [warning.row() for warning in warnings],
        }
        click.echo(json.dumps(report, indent=2))
    else:
        for problem in problems:
            click.echo(str(problem))
        for warning in warnings:
            click.echo(f"warning: {warning}", err=True)
        if settings is not None:
            click.echo(f"{path}: fine, {settings.summary()}")
    if settings is None:
        sys.exit(2)
