"""`vbms replay FILE`: what would the bank have said?"""

import json
import sys
from pathlib import Path

import click

from vbms.commands.loading import load_or_exit
from vbms.commands.numbers import Real
from vbms.errors import ConfigError


@click.command()
@click.argument("files", nargs=-1, required=True, type=click.Path(path_type=Path, dir_okay=False))
@click.option(
    "--speed",
    type=click.Choice(["real", "full"]),
    default="full",
    show_default=True,
    help="As fast as it was, or as fast as it goes.",
)
@click.option(
    "--every",
    type=Real(0.1, 3600),
    default=10,
    show_default=True,
    metavar="SECONDS",
    help="How often to say how the bank is, in the recording's time.",
)
@click.option("--json", "as_json", is_flag=True, help="One JSON object a line.")
@click.pass_context
def command(
    ctx: click.Context, files: tuple[Path, ...], speed: str, every: float, as_json: bool
) -> None:
    """Play recordings as the far end of the configuration's links, through the real loops.

    FILE is what `vbms run --record` or `vbms sniff --record` wrote, one for each link. Nothing real
    is opened; batteries and inverters on other links are left out.
    """
    from vbms import recording
    from vbms.app import Site
    from vbms.replaying import narrowed, run

    recordings = {}
    try:
        for file in files:
            found = recording.read(file)
            if found.name in recordings:
                raise click.UsageError(f"{file}: there are two recordings of link {found.name}")
            recordings[found.name] = found
        settings = load_or_exit(ctx.obj["config"])
        for text in narrowed(settings, recordings):
            click.echo(f"left out: {text}", err=True)
    except OSError as error:
        raise click.UsageError(f"{error.filename} cannot be read: {error.strerror}") from None
    except (ValueError, ConfigError) as error:
        raise click.UsageError(str(error)) from None

    def show(site: Site, now_s: float) -> None:
        values = report(site, now_s)
        click.echo(json.dumps(values) if as_json else for_people(values))

    try:
        run(settings, recordings, show, every, speed == "full")
    except KeyboardInterrupt:
        sys.exit(0)


def report(site: object, now_s: float) -> dict[str, object]:
    """The bank and each battery at this moment of the recording, as data."""
    from vbms.app import Site
    from vbms.publisher import bank_values, unit_values

    assert isinstance(site, Site)
    units = {}
    for row in site.view.units():
        found: dict[str, object] = {"state": row.state, "age_ms": row.age_ms}
        if row.snapshot is not None:
            found = unit_values(row.snapshot, row.state, row.age_ms)
        units[row.name] = {**found, "counters": row.counters}
    told = bank_values(site.view.bank(), site.bank)
    return {"t_s": round(now_s, 3), "bank": told, "units": units}


def for_people(values: dict[str, object]) -> str:
    """A line of the bank, and one of each battery."""
    bank = values["bank"]
    units = values["units"]
    assert isinstance(bank, dict) and isinstance(units, dict)
    limits = " ".join(
        f"{word} {bank[name] / 1000:.1f} A"
        for word, name in (("charge", "ccl_ma"), ("discharge", "dcl_ma"))
    )
    lines = [f"{values['t_s']:>9} s  bank {bank['state']:<9} {_reading(bank)}  {limits}"]
    for name, unit in units.items():
        counters = " ".join(f"{word} {count}" for word, count in unit["counters"].items() if count)
        lines.append(f"{name:>16} {unit['state']:<9} {_reading(unit)}  {counters}")
    return "\n".join(lines)


def _reading(values: dict[str, object]) -> str:
    words = []
    for name, unit, size in (
        ("voltage_mv", "V", 1000),
        ("current_ma", "A", 1000),
        ("soc_permille", "%", 10),
    ):
        value = values.get(name)
        words.append(f"{value / size:.2f} {unit}" if isinstance(value, int) else f"- {unit}")
    return "  ".join(f"{word:>9}" for word in words)
