"""What stopped a unit keeps it stopped until its cause is well past, and seen to be."""

from __future__ import annotations

from typing import Any

import pytest

from .story import Life


def test_a_minute_of_rest_is_a_minute_without_a_break() -> None:
    life = Life("a")
    life.run(100)
    held = life.controller.bank.units["a"].latched
    life.run(3, a={"high": 3581})
    assert held[0] == "cell_latch"
    life.run(50, a={"high": 3440})
    life.run(2, a={"high": 3460})
    life.run(57, a={"high": 3440})
    assert held[0] == "cell_latch"
    life.run(2, a={"high": 3460})
    life.run(70, a={"high": 3460})
    assert held[0] == "cell_latch"
    life.run(62, a={"high": 3440})
    assert held[0] == ""


def test_nobody_rests_unseen() -> None:
    life = Life("ab")
    life.run(100)
    held = life.controller.bank.units["a"].latched
    life.run(3, a={"high": 3581})
    life.run(30, a={"high": 3440})
    life.run(300, a=None)
    assert held[0] == "cell_latch"
    life.run(30, a={"high": 3440})
    assert held[0] == "cell_latch"
    life.run(40, a={"high": 3440})
    assert held[0] == ""


def test_heat_lets_go_two_degrees_inside() -> None:
    life = Life("a")
    for hot in (40_000, 48_000, 55_000):
        life.run(3, a={"temps_mc": (35_000, hot)})
    held = life.controller.bank.units["a"].latched
    life.run(60, a={"temps_mc": (35_000, 53_000)})
    assert held[0] == "temp_latch" and not held[1]
    life.run(2, a={"temps_mc": (35_000, 52_900)})
    assert held[0] == ""


@pytest.mark.parametrize(
    ("limits", "stops", "rests", "released"),
    [
        ({"ovp_mv": 3550}, {"high": 3481}, {"high": 3351}, {"high": 3350}),
        ({"ovp_mv": 3750}, {"high": 3681}, {"high": 3451}, {"high": 3450}),
        ({"uvp_mv": 2600}, {"low": 2899}, {"low": 3149}, {"low": 3150}),
        ({"uvp_mv": 2400}, {"low": 2699}, {"low": 3049}, {"low": 3050}),
    ],
)
def test_a_careful_bms_moves_the_release_and_a_careless_one_does_not(
    limits: dict[str, Any], stops: dict[str, Any], rests: dict[str, Any], released: dict[str, Any]
) -> None:
    life = Life("a")
    life.run(20, a=limits)
    held = life.controller.bank.units["a"].latched
    at = 0 if "ovp_mv" in limits else 1
    life.run(5, a={**limits, **stops})
    assert held[at] == "cell_latch"
    life.run(100, a={**limits, **rests})
    assert held[at] == "cell_latch"
    life.run(63, a={**limits, **released})
    assert held[at] == ""
