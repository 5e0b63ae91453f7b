"""The laws of what is told over time, as properties over random stories (see story.py)."""

from __future__ import annotations

import random
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from .story import CELLS, Judge, Life, live, stories

# At least 200 examples of each, more under the nightly profile.
law = settings(max_examples=max(200, settings().max_examples))


@law
@given(stories())
def test_every_tick_of_every_story(story: Any) -> None:
    """I14 to I19, I22, I24, I28, each where it is asserted in story.py."""
    live(story)


@law
@given(stories(most=4), st.sampled_from([0, 1, 2**30 - 20_000, 2**31 - 9_000, 2**45]))
def test_only_differences_of_time_count(story: Any, offset: int) -> None:
    """I20."""
    assert live(story, offset=offset) == live(story)


@law
@given(stories(most=4), st.integers(0, 200), st.booleans())
def test_a_restart_begins_at_zero_wherever_it_comes(story: Any, at: int, kept: bool) -> None:
    """I24: and what was kept changes nothing about that."""
    life = Life()
    judge = Judge(life)
    ticks = 0
    for seconds, saying in [(12, {}), *story, (40, {})]:
        for _ in range(seconds):
            if ticks == at:
                life.begin(life.controller.dump() if kept else None)
                judge.forget()
            life.second(saying)
            judge.look(1000)
            ticks += 1


@law
@given(stories(most=4))
def test_when_all_is_well_again_current_flows_again(story: Any) -> None:
    """I26: within the longest zero hold and a ramp."""
    life = Life()
    for seconds, saying in [(12, {}), *story]:
        for _ in range(seconds):
            life.second(saying)
    well = {"middle": 3320, "current_ma": 0, "soc_permille": 600}
    for _ in range(17 * 60 + 60):
        life.second({"a": well, "b": well})
        if min(life.out.charge_limit_ma, life.out.discharge_limit_ma) > 0:
            return
    raise AssertionError("I26: still nothing flows")


@law
@given(stories())
def test_full_is_what_every_unit_says(story: Any) -> None:
    """I27: at the moment of full each sharing unit is at its tail, or full by its own word."""
    life = Life()
    was = False
    for seconds, saying in [(12, {}), *story]:
        for _ in range(seconds):
            life.second(saying)
            full = life.controller.steering.charge.full
            if full and not was:
                stuck = False
                tails = []
                for unit in life.controller.bank.units.values():
                    snap = unit.snapshot
                    if unit.state != "fresh" or snap is None or snap.charge_open is True:
                        continue
                    if not unit.on_bus:
                        continue
                    own = snap.charge_ok is not True and (
                        (unit.cell_max_mv or 0) >= 3400 or (snap.soc_permille or 0) >= 990
                    )
                    stuck = stuck or own
                    tails.append(own or snap.voltage_mv // CELLS >= 3400)
                assert tails and (all(tails) or stuck), "I27"
            was = full


@law
@given(
    st.sampled_from(
        [
            ("high", 3580),
            ("high", 3500),
            ("high", 3450),
            ("low", 2800),
            ("low", 2850),
            ("middle", 3385),
        ]
    ),
    st.integers(0, 2**16),
)
def test_noise_at_a_threshold_does_not_chatter(point: Any, seed: int) -> None:
    """I16: 5 mV and 1 A of noise around any point of a curve; the judge counts the edges."""
    name, at = point
    rng = random.Random(seed)
    life = Life("a")
    judge = Judge(life)
    for _ in range(12):
        life.second({})
        judge.look(1000)
    for _ in range(200):
        said = {name: at + rng.randint(-5, 5), "current_ma": rng.randint(-1000, 1000)}
        life.second({"a": said})
        judge.look(1000)


@law
@given(
    stories(most=5), st.lists(st.sampled_from([100, 150, 400, 1000, 2500]), min_size=5, max_size=40)
)
def test_rates_are_per_time_and_not_per_tick(story: Any, steps: Any) -> None:
    """I15 with ticks at odd moments, as frames that lower a limit bring them."""
    life = Life()
    judge = Judge(life)
    for _ in range(12):
        life.second({})
        judge.look(1000)
    at = 0
    for seconds, saying in story:
        for _ in range(min(seconds, 20)):
            step = steps[at % len(steps)]
            at += 1
            life.second(saying, step)
            judge.look(step)
