"""`vbms drivers`: every protocol with the keys that its batteries or inverters take."""

import json
from collections.abc import Sequence
from textwrap import shorten

import click

from vbms.options import BOOL, Option
from vbms.settings import keys
from vbms.settings.drivers import Driver, driver, protocols
from vbms.settings.rules import default_of
from vbms.settings.values import CURVE, Key, allowed, human, scale_of

_COMMON = {keys.BATTERY: keys.UNIT_KEYS, keys.INVERTER: keys.INVERTER_KEYS}
_OWN = {keys.BATTERY: keys.BATTERY_KEYS, keys.INVERTER: keys.OUTPUT_KEYS}


@click.command()
@click.option("--json", "as_json", is_flag=True, help="The same as JSON.")
def command(as_json: bool) -> None:
    """Every battery and inverter protocol with its options, units and defaults.

    A profile may hold other defaults; what a battery or inverter says in vbms.yaml wins.
    """
    known = [driver(kind, name) for kind in _COMMON for name in protocols(kind)]
    if as_json:
        click.echo(json.dumps([_row(each) for each in known], indent=2))
        return
    for kind, many in ((keys.BATTERY, "batteries"), (keys.INVERTER, "inverters")):
        for each in known:
            if each.kind == kind:
                _print_driver(each)
        click.echo(f"All {many}")
        _print_table([*_OWN[kind], *_COMMON[kind]])


def _print_driver(each: Driver) -> None:
    click.echo(f"{each.protocol} ({each.kind}): {each.title}")
    speed = f", {each.baud} baud" if each.baud else ""
    click.echo(f"  links: {', '.join(each.links)}{speed}")
    _print_table(each.options)


def _print_table(rows: Sequence[Option]) -> None:
    lines = [("key", "unit", "default", "allowed", "")]
    curves = {}
    for row in rows:
        default = default_text(row)
        if row.kind == CURVE and len(default) > 2:
            curves[row.name] = default
            default = "below"
        # A long list of what is allowed would push everything else off the screen.
        about = shorten(allowed(row), 48, placeholder=" ...")
        lines.append((row.name, row.unit, default, about, row.help))
    widths = [max(len(line[at]) for line in lines) for at in range(4)]
    for line in lines:
        words = [word.ljust(width) for word, width in zip(line, widths, strict=False)]
        click.echo("  " + "  ".join([*words, line[4]]).rstrip())
        if line[0] in curves:
            click.echo(" " * (widths[0] + 4) + curves[line[0]])
    click.echo()


def default_text(row: Option) -> str:
    """What counts where nobody says anything, as YAML would say it."""
    if row.required:
        return "required"
    value = default_of(row)
    if row.kind == CURVE and isinstance(value, tuple):
        # The x of a cell or temperature curve is in milli-units, that of SOC in permille.
        scale = 10 if row.name.endswith("_percent") else 1000
        points = [f"[{human(x, scale)}, {human(share, 10)}]" for x, share in value]
        return f"[{', '.join(points)}]"
    if value is None:
        words = row.words if isinstance(row, Key) else {}
        return next((word for word, meaning in words.items() if meaning is None), "")
    if row.kind == BOOL:
        return "true" if value else "false"
    return human(value, scale_of(row)) if isinstance(value, int) else str(value)


def _row(each: Driver) -> dict[str, object]:
    return {
        "protocol": each.protocol,
        "kind": each.kind,
        "title": each.title,
        "links": list(each.links),
        "baud": each.baud,
        "options": [_option(row) for row in each.options],
        "common": [_option(row) for row in (*_OWN[each.kind], *_COMMON[each.kind])],
    }


def _option(row: Option) -> dict[str, object]:
    return {
        "name": row.name,
        "kind": row.kind,
        "unit": row.unit,
        "required": row.required,
        "default": None if row.required else default_text(row) or None,
        "allowed": allowed(row),
        "help": row.help,
    }
