"""What only a bad day shows: each guard that keeps a limit, a phase or a word from being wrong."""

from __future__ import annotations

from typing import Any

from vbms.aggregate import alarms
from vbms.aggregate.freshness import lately
from vbms.aggregate.member import RETIRED
from vbms.aggregate.telling import Voltage

from .banks import member, unit
from .story import Life, frame

TAIL: dict[str, Any] = {"middle": 3450, "current_ma": 3000, "soc_permille": 640}
NEAR: dict[str, Any] = {"middle": 3441, "current_ma": 20_000, "soc_permille": 640}


def begun(keys: str = "a", **bank: Any) -> Life:
    life = Life(keys, **bank)
    life.run(80)
    return life


def is_full(life: Life) -> bool:
    return life.controller.steering.charge.full


def heat(life: Life, said: dict[str, Any], *steps: int) -> None:
    for hot in steps:
        life.run(3, a={**said, "temps_mc": (30_000, hot)})


# ---- charge


def test_a_short_break_costs_a_tail_twice_its_length_and_not_all_of_it() -> None:
    for pause, full in ((5, True), (20, False)):
        life = begun()
        life.run(40, a=TAIL)
        life.run(pause, a={**TAIL, "current_ma": 20_000})
        life.run(32, a=TAIL)
        assert is_full(life) is full, pause


def test_no_current_because_none_is_allowed_is_no_tail() -> None:
    life = begun()
    resting = {"middle": 3410}
    heat(life, resting, 39_000, 48_000, 55_000)
    life.run(300, a={**resting, "temps_mc": (30_000, 55_000)})
    assert life.out.phase == "wait" and not is_full(life)


def test_a_unit_behind_an_open_path_delays_no_full() -> None:
    life = begun("ab")
    life.run(100, a=TAIL, b={"middle": 3395, "charge_open": True})
    assert is_full(life)


def test_full_and_unbalanced_goes_on_absorbing() -> None:
    life = begun()
    life.run(130, a={**TAIL, "balancing": True})
    assert is_full(life) and life.out.phase == "absorb"


def test_absorption_that_sinks_for_five_minutes_is_bulk_again() -> None:
    life = begun()
    life.run(40, a=NEAR)
    life.run(295, a={"middle": 3330, "soc_permille": 640})
    assert life.out.phase == "absorb"
    life.run(10, a={"middle": 3330, "soc_permille": 640})
    assert life.out.phase == "bulk"


def test_units_that_read_low_when_full_do_not_flip_between_float_and_bulk() -> None:
    life = begun()
    life.run(150, a=TAIL)
    assert is_full(life) and life.out.phase == "float"
    life.run(300, a={"middle": 3350, "soc_permille": 630})
    assert life.out.phase == "float"
    timed_out = begun(absorb_ms=60_000, balance_ms=60_000)
    timed_out.run(120, a={"middle": 3395, "high": 3460, "current_ma": 20_000, "soc_permille": 640})
    assert not is_full(timed_out) and timed_out.out.phase == "float"
    timed_out.run(300, a={"middle": 3350, "soc_permille": 560})
    assert timed_out.out.phase == "float"


def test_absorption_stands_still_while_charging_is_not_allowed() -> None:
    life = begun(absorb_ms=90_000, balance_ms=90_000)
    life.run(35, a=NEAR)
    heat(life, NEAR, 39_000, 48_000, 55_000)
    life.run(200, a={**NEAR, "temps_mc": (30_000, 55_000)})
    assert life.out.phase == "wait"
    heat(life, NEAR, 47_000, 39_000)
    assert life.out.phase == "absorb"


def test_a_cell_is_empty_for_half_a_minute_before_the_grid_is_asked() -> None:
    life = begun()
    life.run(3, a={"low": 3050})
    life.run(25, a={"low": 2890})
    assert not life.controller.steering.charge.force
    life.run(10, a={"low": 2890})
    assert life.controller.steering.charge.force


# ---- voltage and SOC


def test_the_voltage_stays_within_a_fifth_of_a_volt_of_the_bus() -> None:
    voltage = Voltage()
    assert voltage.step(54_000, 56_000, 52_800, 54_000, False, 0) == 54_000
    assert voltage.step(53_600, 56_000, 52_800, 54_000, True, 300_000) == 53_800  # not 53 500


def test_a_trim_holds_for_a_minute_without_a_high_cell() -> None:
    life = begun()
    life.run(5, a={"middle": 3430, "high": 3520})
    trim = life.controller.steering.voltage.trim_mv
    assert trim is not None
    life.run(58, a={"middle": 3430, "current_ma": 20_000})
    assert life.controller.steering.voltage.trim_mv == trim
    life.run(15, a={"middle": 3430, "current_ma": 20_000})
    assert life.controller.steering.voltage.trim_mv == trim + 16


def test_empty_counts_who_may_discharge_and_ends_with_the_latch() -> None:
    life = begun("ab")
    life.run(20, a={"low": 2840}, b={"discharge_ok": False})
    assert life.controller.steering.gauge.empty
    life = begun()
    life.controller.numbers = (True, False)
    life.run(20, a={"low": 2790})
    assert life.controller.steering.gauge.empty
    life.run(100, a={"low": 3010})
    assert life.controller.steering.gauge.empty  # stopped by a latch that has no other word
    life.run(70, a={"low": 3060})
    assert not life.controller.steering.gauge.empty


def test_nothing_was_told_before_all_were_heard_so_soc_has_nothing_to_leave() -> None:
    life = Life("ab")
    life.run(20, a={"soc_permille": 200}, b=None)
    life.run(4, a={"soc_permille": 200}, b={"soc_permille": 800})
    assert life.out.soc_permille == 500


# ---- ladder, failure, restart


def test_the_first_word_is_a_limit_of_nothing() -> None:
    life = Life("a")
    while life.told is None:
        life.run(1)
    assert life.out.charge_limit_ma > 1000 and life.told.charge_limit_ma == 0
    life.run(1)
    assert life.told.charge_limit_ma <= 1200


def test_zero_asks_for_no_charge_and_says_what_is_wrong_now() -> None:
    life = begun()
    life.run(3, a={"low": 3050})
    life.run(45, a={"low": 2890})
    assert life.told is not None and life.told.force_charge
    life.run(13, a=None)
    assert life.told is not None and life.told.state == "zero" and not life.told.force_charge
    assert alarms.STALE in {bit for bit, _, _ in life.told.alarms}


def test_after_a_failed_merge_limits_begin_at_nothing() -> None:
    life = begun()
    assert life.out.charge_limit_ma == 60_000
    life.now += 1000
    life.controller.failed(life.now)
    life.run(1)
    assert life.out.charge_limit_ma <= 1200 and life.out.discharge_limit_ma <= 1600


def test_full_before_a_restart_is_forgotten_where_the_soc_is_not() -> None:
    for soc, full in ((960, True), (940, False)):
        life = Life("a")
        life.controller.restore({"full": True, "full_soc": 955}, 1000)
        life.run(12, a={"soc_permille": soc})
        assert (
            life.controller.steering.charge.full is full
            and not life.controller.steering.resume_full
        )


# ---- who is judged by whom


def test_an_easy_bus_frees_a_silent_unit_by_what_it_was_while_silent() -> None:
    life = begun("ab")
    stopped = life.controller.bank.units["b"]
    life.run(700, b={"charge_ok": True, "high": 3590, "middle": 3300}, a={"middle": 3300})
    life.run(630, b=None, a={"middle": 3300})
    assert stopped.state == "lost" and stopped.told_ma[0] == 0
    life.run(50, b=None, a={"middle": 3300})
    assert stopped.told_ma[0] > 0


def test_of_two_the_one_that_carries_current_is_on_the_bus() -> None:
    life = begun("ab")
    life.run(10, a={"middle": 3410, "current_ma": 30_000})
    on = {key: each.on_bus for key, each in life.controller.bank.units.items()}
    assert on == {"a": True, "b": False}


def test_who_is_open_both_ways_is_no_measure_of_the_bus() -> None:
    life = begun("abc")
    away = {"middle": 3250, "charge_open": True, "discharge_open": True}
    life.run(10, b=away, c=away)
    assert life.controller.bank.units["a"].on_bus


def test_who_is_acknowledged_as_gone_judges_nobody() -> None:
    here = member(unit("a", v=53_000))
    gone = member(unit("b", v=54_500, state=RETIRED, age=300_000))
    assert lately([here, gone]).bus_high_mv == 54_500
    gone.acknowledged = True
    assert lately([here, gone]).bus_high_mv == 53_000


def test_a_silent_unit_keeps_the_lowest_voltage_it_asked_for() -> None:
    life = begun("ab")
    life.run(5, a={"uvp_mv": 2900})
    assert life.out.dvl_mv == 16 * 3050
    life.run(15, a=None)
    assert life.out.dvl_mv == 16 * 3050
    life.run(15)
    assert life.out.dvl_mv == 16 * 2900


def test_after_a_long_silence_nothing_is_a_jump() -> None:
    life = begun("ab")
    life.run(70, a=None)
    assert life.controller.bank.accept("a", frame(life.now, {"middle": 2990}, 1), life.now) is None


def test_asking_for_one_unit_alone_changes_nothing_for_the_bank() -> None:
    life = begun("ab")
    life.run(30, b=None)
    counted = list(life.controller.bank.units["b"].told_ma)
    life.controller.solo("b")
    assert life.controller.bank.units["b"].told_ma == counted != [0, 0]


def test_a_silent_unit_keeps_its_latch() -> None:
    life = begun("ab")
    life.run(3, b={"high": 3581})
    life.run(5, b={"high": 3380})  # well again, but not for long enough
    assert life.controller.bank.units["b"].allowed[0].limit_ma == 60_000
    life.run(100, b=None)
    assert life.controller.bank.units["b"].told_ma[0] == 0
    life.run(600, b=None)
    assert life.controller.bank.units["b"].told_ma[0] > 0


def test_current_through_a_path_that_is_not_open_is_no_alarm() -> None:
    life = begun("ab")
    flowing = {"current_ma": 30_000}
    life.run(20, a={**flowing, "charge_open": False, "discharge_open": True}, b=flowing)
    assert not life.out.criticals and not life.out.warnings


def test_a_limit_that_is_declared_and_lost_is_nothing() -> None:
    there = member(unit("a", ccl=None, dcl=None, cap=(50_000, 50_000)))
    assert there.allowed[0].limit_ma > 0 and there.allowed[1].limit_ma > 0
    there.profile.declares_ccl = there.profile.declares_dcl = True
    there.reckon()
    assert there.allowed[0].limit_ma == there.allowed[1].limit_ma == 0
