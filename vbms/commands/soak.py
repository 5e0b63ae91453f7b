"""`vbms soak`: a simulated site, lived through faster than life, and what became of it."""

import json
import logging
import sys
import typing

import click

from vbms.commands.numbers import Real
from vbms.soak.lived import EVERY_S, Lived


@click.command()
@click.option(
    "--days", type=Real(0, min_open=True), default=1.0, show_default=True,
    help="How long, in the site's time.",
)  # fmt: skip
@click.option("--seed", type=int, default=1, show_default=True, help="Same seed, same life.")
@click.option("--seeds", type=click.IntRange(1), default=1, help="So many seeds, from --seed on.")
@click.option("--units", type=click.IntRange(1, 15), help="Batteries.  [default: 2 to 6, by seed]")
@click.option(
    "--mode", type=click.Choice(("direct", "bytes")), default="direct", show_default=True,
    help="direct: frames go straight to codec and bank. bytes: over lines, through poller and "
    "responder.",
)  # fmt: skip
@click.option(
    "--every", "every_s", type=Real(0), default=EVERY_S, show_default=True,
    help="Seconds between two faults, on average; 0: none, a healthy site.",
)  # fmt: skip
@click.option("--mild", is_flag=True, help="16 to 28 degrees C, whatever the seed says.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object for each seed.")
def command(
    days: float,
    seed: int,
    seeds: int,
    units: int | None,
    mode: str,
    every_s: float,
    mild: bool,
    as_json: bool,
) -> None:
    """Torture a simulated site; exit 1 if a law was broken.

    A failing seed fails again in the same way: same options, same tick.
    """
    logging.getLogger("vbms").setLevel(logging.CRITICAL)
    broken = False
    for each in range(seed, seed + seeds):
        lived = Lived(each, units, every_s, mild, mode)
        lived.live(round(days * 86400))
        report = lived.report()
        lived.close()
        violations = lived.violations
        broken = broken or bool(violations)
        if as_json:
            report["first_violations"] = [str(violation) for violation in violations[:10]]
            click.echo(json.dumps(report))
            continue
        for line in text(report):
            click.echo(line)
        for violation in violations[:5]:
            click.echo(f"  BROKEN seed {each}, {violation}")
            for episode in violation.history:
                click.echo(f"      {episode}")
    sys.exit(1 if broken else 0)


def text(report: "dict[str, typing.Any]") -> list[str]:
    """A report for people."""
    kinds = ", ".join(f"{kind} {count}" for kind, count in report["episodes_by_kind"].items())
    available = report["availability"]
    shares = ", ".join(
        f"{name} {share:.1%}" for name, share in available.items() if share is not None
    )
    full = f"full {report['full']} times"
    if report["lowest_true_soc_at_full"] is not None:
        full += f", never below {report['lowest_true_soc_at_full']:.1%} in truth"
    rows = [
        f"seed {report['seed']}: {report['days']:g} days of {report['units']} units "
        f"({' and '.join(report['protocols'])}, {report['capacity_ah']} Ah), "
        f"{report['speed']} times as fast as life",
        f"  {report['episodes']} faults: {kinds or 'none'}",
        f"  available: {shares or 'nothing was wanted'}; {full}",
        f"  enable edges {report['enable_edges_per_day']:g} a day, longest zero "
        f"{report['longest_zero_s']:.0f} s, link silent {report['silences']} times",
    ]
    for name, title in (("trips", "protections of batteries"), ("cells_beyond", "cells beyond")):
        if report[name]:
            rows.append(f"  {title}: " + ", ".join(f"{k} {n}" for k, n in report[name].items()))
    if report["violations"]:
        rows.append(
            "  BROKEN: " + ", ".join(f"{law} {n}" for law, n in report["violations"].items())
        )
    return rows
