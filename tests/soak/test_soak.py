"""The site under torture: laws hold, a seed replays exactly, and a broken rule is found out.

SOAK_DAYS=2 lives through more of it (nightly); `vbms soak` is the tool for the rest.
"""

import json
import os
import random
from collections.abc import Callable

import pytest
from click.testing import CliRunner

from vbms.__main__ import main
from vbms.aggregate.governor import Ramp
from vbms.aggregate.virtual import VirtualBattery
from vbms.soak import faults
from vbms.soak.direct import Direct
from vbms.soak.lived import Lived
from vbms.soak.world import World

HOURS = 24 * float(os.environ.get("SOAK_DAYS", "0.06"))


@pytest.mark.parametrize("seed", range(101, 106))
def test_the_laws_hold(seed: int) -> None:
    """Faults every two minutes on average."""
    lived = Lived(seed, every_s=120.0)
    lived.live(round(HOURS * 3600))
    assert [str(violation) for violation in lived.violations] == []
    assert lived.report()["episodes"] > 10


@pytest.mark.parametrize("seed", [201, 202])
def test_the_laws_hold_on_the_lines(seed: int) -> None:
    """Pollers, responder and byte streams instead of frames."""
    lived = Lived(seed, every_s=90.0, mode="bytes")
    lived.live(round(HOURS * 3600 / 3))
    assert [str(violation) for violation in lived.violations] == []
    lived.close()


@pytest.mark.parametrize(("soc", "least"), [(0.08, 0.8), (0.5, 0.99)])
def test_a_healthy_site_is_available(soc: float, least: float) -> None:
    """Without a fault nearly all that is wanted is allowed, down to the last slope of the curve;
    that an empty battery rests is no loss."""
    lived = Lived(1, every_s=0.0, soc=soc)
    lived.live(4000)
    report = lived.report()
    assert report["availability"]["discharge"] > least
    assert report["violations"] == report["trips"] == report["cells_beyond"] == {}
    assert lived.site.controller.steering.gauge.empty is (soc < 0.1)


@pytest.mark.parametrize("mode", ["direct", "bytes"])
def test_a_seed_replays_exactly(mode: str) -> None:
    """The same decisions at every tick: of the same clock, and of one with another origin (I20)."""
    reports = []
    for origin_ms in (1_000_000, 1_000_000, (1 << 30) - 400_000, 1 << 62):
        lived = Lived(7, every_s=100.0, mode=mode, origin_ms=origin_ms)
        lived.live(1800 if mode == "direct" else 600)
        report = lived.report()
        report.pop("speed")
        reports.append(report)
        lived.close()
    assert reports.count(reports[0]) == len(reports)
    assert reports[0]["episodes"] > 2


@pytest.mark.parametrize("kind", faults.KINDS)
def test_every_fault_begins_and_ends(kind: str) -> None:
    """One of each, on a site that is well again afterwards."""
    world = World(5, 3, 0.0, mild=True, soc=0.5)
    site = Direct(world)
    for _ in range(30):
        site.step()
    rng = random.Random(kind)
    if kind in faults.UNIT_KINDS:
        end = faults.UNIT_KINDS[kind][3](world, world.meters[1], rng)
    else:
        end = faults.SITE_KINDS[kind][3](world, rng)
    for _ in range(40):
        site.step()
    end()
    for _ in range(130):
        site.step()
    assert site.checks.broken == {}
    assert site.virtual.n_fresh == 3
    assert site.line.told is not None


def test_the_deck_deals_by_weight_and_rests_in_the_evening() -> None:
    lived = Lived(5, every_s=20.0)
    lived.live(2400)
    assert len(lived.world.deck.counts) > 10
    lived.world.now_s = 0.9 * faults.DAY_S
    lived.live(1)
    assert lived.world.deck.active == []


# What is broken on purpose, and the law that has to notice.


def _no_cell_curve(monkeypatch: pytest.MonkeyPatch, site: Direct) -> None:
    """The charge limit looks at no cell, nor does the charge voltage."""
    for battery in site.settings.batteries:
        battery.unit.charge_cell = ()
        battery.unit.cell_cv_max_mv = 3700


def _plain_sum(monkeypatch: pytest.MonkeyPatch, site: Direct) -> None:
    """What everybody can take is what all can take."""
    monkeypatch.setattr(
        "vbms.aggregate.merge.bank_limit",
        lambda certain, uncertain, total, cap, direction: (total, ()),
    )


def _no_ramp(monkeypatch: pytest.MonkeyPatch, site: Direct) -> None:
    def step(ramp: Ramp, x: int, wish: int | None, *rest: object) -> int:
        ramp.out_ma = ramp.told_ma = x if wish is None else min(x, wish)
        return ramp.told_ma

    monkeypatch.setattr(Ramp, "step", step)


def _eager_gauge(monkeypatch: pytest.MonkeyPatch, site: Direct) -> None:
    monkeypatch.setattr("vbms.aggregate.telling.Gauge.step", lambda *rest: 1000)


def _old_values(monkeypatch: pytest.MonkeyPatch, site: Direct) -> None:
    """The ladder goes on with what was told last when nobody is fresh."""
    monkeypatch.setattr(VirtualBattery, "copy", lambda battery, **values: battery, raising=True)
    site.world.later(60, lambda: [setattr(meter, "silent", True) for meter in site.world.meters])


@pytest.mark.parametrize(
    ("break_it", "laws"),
    [
        (_no_cell_curve, {"SAFE"}),
        (_plain_sum, {"I8", "I9"}),
        (_no_ramp, {"I15", "I24"}),
        (_eager_gauge, {"I18"}),
        (_old_values, {"I14"}),
    ],
)
def test_a_broken_rule_is_found_out(
    monkeypatch: pytest.MonkeyPatch,
    break_it: Callable[[pytest.MonkeyPatch, Direct], None],
    laws: set[str],
) -> None:
    world = World(3, 3, 0.0, mild=True, soc=0.94)
    world.house.sunny_morning()
    site = Direct(world)
    for _ in range(1500):
        site.step()
    assert site.checks.broken == {}, "unbroken, all is well"
    world = World(3, 3, 0.0, mild=True, soc=0.94)
    world.house.sunny_morning()
    site = Direct(world)
    break_it(monkeypatch, site)
    for _ in range(1500):
        site.step()
        if site.checks.broken:
            break
    assert set(site.checks.broken) & laws
    assert site.checks.violations[0].tick == site.ticks


def test_command_says_what_it_lived_through() -> None:
    options = ["soak", "--days", "0.02", "--seed", "3", "--every", "60"]
    result = CliRunner().invoke(main, options)
    assert result.exit_code == 0, result.output
    assert "seed 3: 0.02 days of" in result.output
    assert "faults:" in result.output
    result = CliRunner().invoke(main, [*options, "--json", "--seeds", "2", "--mode", "bytes"])
    assert result.exit_code == 0, result.output
    rows = [json.loads(line) for line in result.output.splitlines()]
    assert [row["seed"] for row in rows] == [3, 4]
    assert rows[0]["violations"] == {}
