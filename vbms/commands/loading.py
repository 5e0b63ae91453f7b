"""The configuration a command was given, or its problems on stderr and exit code 2."""

import sys
from pathlib import Path

import click

from vbms.config import ConfigErrors, Settings, load

DEFAULTS = (Path("vbms.yaml"), Path("/etc/vbms/vbms.yaml"))


def find(path: Path | None) -> Path:
    """The file that was named, or the first default that exists."""
    if path is not None:
        return path
    for each in DEFAULTS:
        if each.is_file():
            return each
    return DEFAULTS[0]


def load_or_exit(path: Path | None) -> Settings:
    """Checked settings; every problem a line on stderr and exit code 2 otherwise."""
    try:
        return load(find(path))
    except ConfigErrors as errors:
        for problem in errors.problems:
            click.echo(str(problem), err=True)
        sys.exit(2)
