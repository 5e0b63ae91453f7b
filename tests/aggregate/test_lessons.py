"""What went wrong in other systems, each as the bank sees it: it does not happen here."""

import pytest

from tests.aggregate.test_bank import Bench, profile, two
from vbms.aggregate import alarms
from vbms.aggregate.member import FRESH, RETIRED


def test_a_pack_that_opens_its_charge_path_leaves_its_neighbours_no_second_current() -> None:
    """Its limit was still added, so the other one got twice its own."""
    bench = two()
    bench.run(10)
    assert bench.out.charge_limit_ma == 100_000
    bench.say["b"] = {"charge_ok": False}
    bench.second()
    assert bench.out.charge_limit_ma == 0 and bench.out.discharge_limit_ma == 100_000
    bench.say["b"] = {"charge_ok": False, "charge_open": True}
    bench.second()
    assert bench.out.charge_limit_ma == 50_000  # proven open: the other one's own, and no more


def test_the_smallest_limit_times_the_number_of_packs_is_too_much() -> None:
    """Twice 7.2 A were told, and the larger pack took 10.3 A of them."""
    large = profile("a", capacity_mah=100_000, max_charge_ma=7200)
    small = profile("b", capacity_mah=40_000, max_charge_ma=7200)
    bench = Bench(large, small)
    bench.run(10)
    assert bench.out.charge_limit_ma * 100 // 140 <= 7200
    assert bench.out.charge_limit_ma == pytest.approx(7200 * 140 // 100, abs=10)


def test_charge_is_weighed_by_capacity() -> None:
    """The mean of two percentages was told for 280 and 600 Ah."""
    bench = Bench(profile("a", capacity_mah=280_000), profile("b", capacity_mah=600_000))
    bench.say = {"a": {"soc_permille": 500, "soh_permille": 1000}, "b": {"soc_permille": 900}}
    bench.say["b"]["soh_permille"] = 1000
    bench.run(10)
    assert bench.out.soc_permille == (280 * 500 + 600 * 900) // 880


def test_a_pack_that_is_gone_does_not_hold_the_charge_up() -> None:
    """A pack that had been taken away kept the bank at 99 % for ever."""
    bench = Bench(profile("a"), profile("b", hold_ms=15_000, retire_ms=40_000, retire_auto=True))
    bench.say["b"] = {"soc_permille": 990}
    bench.run(10)
    assert bench.out.soc_permille == (600 + 990) // 2
    bench.muted.add("b")
    bench.run(60)
    assert bench.state("b") == RETIRED and bench.out.soc_permille == 600


@pytest.mark.parametrize("apart_mv", [-1500, 1500])
def test_a_pack_that_comes_back_at_another_voltage_is_loud_and_counts_for_nothing(
    apart_mv: int,
) -> None:
    """It slept, drifted and closed onto the others; the check looked in one direction only."""
    bench = Bench(profile("a"), profile("c"), profile("b"))
    bench.muted.add("b")
    bench.run(80)
    alone = bench.out.charge_limit_ma
    cell = (53_000 + apart_mv) // 16
    bench.say["b"] = {"voltage_mv": cell * 16, "cells_mv": (cell,) * 16, "current_ma": 0}
    bench.muted.clear()
    bench.second()
    assert ("b", alarms.JOIN_REFUSED) in [(who, bit) for bit, _, who in bench.out.alarms]
    for _ in range(6):
        bench.second()
        assert bench.out.charge_limit_ma <= max(alone, 100_000)
        assert bench.out.voltage_mv == 53_000
    assert bench.state("b") == FRESH
    assert ("b", alarms.VOLTAGE_SPREAD) in [(who, bit) for bit, _, who in bench.out.alarms]
