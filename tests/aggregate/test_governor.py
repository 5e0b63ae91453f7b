"""What limits do over time, in numbers worked out by hand: one unit of 60 A and 80 A, 100 Ah."""

from __future__ import annotations

from typing import Any

import pytest

from vbms.aggregate import alarms
from vbms.aggregate.governor import Obedience, Ramp
from vbms.aggregate.virtual import SILENT

from .story import Life, profile


def charge(life: Life) -> int:
    return life.out.charge_limit_ma


def risen(**bank: Any) -> Life:
    """One unit at full limits: 2 % of 60 A is 1.2 A a second."""
    life = Life("a", **bank)
    life.run(3 + 70)
    assert (charge(life), life.out.discharge_limit_ma) == (60_000, 80_000)
    return life


def step(ramp: Ramp, x: int, wish: int | None = None, flow: int = 0, passed: int = 1000) -> int:
    return ramp.step(x, wish, flow, True, 100_000, 2000, passed)


def test_it_rises_by_two_percent_a_second() -> None:
    ramp = Ramp()
    assert [step(ramp, 100_000) for _ in range(4)] == [2000, 4000, 6000, 8000]
    assert step(ramp, 100_000, passed=100) == 8000  # 0.2 A more is not worth telling
    assert step(ramp, 100_000, passed=400) == 9000


def test_a_fall_is_told_in_the_same_tick_and_holds() -> None:
    ramp = Ramp()
    for _ in range(60):
        step(ramp, 100_000)
    assert step(ramp, 70_000, passed=100) == 70_000
    held = [step(ramp, 100_000) for _ in range(15)]
    assert held == [70_000] * 15
    assert step(ramp, 100_000) == 72_000
    small = Ramp()
    for _ in range(60):
        step(small, 100_000)
    assert step(small, 98_000) == 98_000
    assert [step(small, 100_000) for _ in range(4)] == [98_000] * 3 + [100_000]


def test_small_falls_within_a_hold_add_up() -> None:
    ramp = Ramp()
    for _ in range(60):
        step(ramp, 100_000)
    step(ramp, 99_000)
    step(ramp, 97_000)
    assert [step(ramp, 100_000) for _ in range(15)] == [97_000] * 15


def test_a_wish_takes_ten_percent_a_second() -> None:
    ramp = Ramp()
    for _ in range(60):
        step(ramp, 100_000)
    assert [step(ramp, 100_000, wish=0) for _ in range(3)] == [90_000, 80_000, 70_000]
    assert ramp.rule == "charge_done" or ramp.rule == "ramp"


def test_zero_holds_a_minute_then_two_then_four() -> None:
    ramp = Ramp()
    for hold in (60, 120, 240, 480, 960, 960):
        for _ in range(60):
            step(ramp, 100_000)
        assert step(ramp, 0) == 0
        for second in range(1, hold):
            assert step(ramp, 100_000) == 0, second
        assert step(ramp, 100_000) == 2000


@pytest.mark.parametrize(("flow", "hold"), [(-4_001, 75), (-4_000, 240), (90_000, 240)])
def test_a_minute_of_current_the_other_way_ends_a_long_zero(flow: int, hold: int) -> None:
    """More than 4 % of 100 A for 60 s: 15 s more, and the next zero is a first one again."""
    ramp = Ramp()
    for _ in range(3):
        for _ in range(300):
            step(ramp, 100_000)
        step(ramp, 0)
    assert ramp.zero_left_ms() == 240_000
    for second in range(1, hold):
        assert step(ramp, 100_000, flow=flow) == 0, second
    assert step(ramp, 100_000, flow=flow) == 2000
    assert ramp.zeros == (0 if hold == 75 else 3)


def test_a_short_current_the_other_way_ends_nothing() -> None:
    ramp = Ramp()
    for _ in range(2):
        for _ in range(300):
            step(ramp, 100_000)
        step(ramp, 0)
    for second in range(1, 120):
        flow = 0 if second % 59 == 0 else -50_000
        assert step(ramp, 100_000, flow=flow) == 0, second
    assert step(ramp, 100_000) == 2000


def test_an_hour_without_a_zero_is_forgotten() -> None:
    ramp = Ramp()
    for _ in range(60):
        step(ramp, 100_000)
    step(ramp, 0)
    for _ in range(3600):
        step(ramp, 100_000)
    step(ramp, 0)
    assert ramp.zeros == 1 and ramp.zero_left_ms() == 60_000


def test_current_the_other_way_shortens_a_long_hold() -> None:
    ramp = Ramp()
    for _ in range(3):
        for _ in range(300):
            step(ramp, 100_000)
        step(ramp, 0)
    assert ramp.zero_left_ms() == 240_000
    for _ in range(60):
        assert step(ramp, 100_000, flow=-5000) == 0
    assert ramp.zeros == 0 and ramp.zero_left_ms() <= 15_000
    for _ in range(14):
        assert step(ramp, 100_000, flow=-5000) == 0
    assert step(ramp, 100_000, flow=-5000) == 2000


def test_it_leaves_zero_only_for_something() -> None:
    ramp = Ramp()
    assert [step(ramp, 999) for _ in range(5)] == [0] * 5
    assert step(ramp, 1000) == 1000


def test_nobody_fresh_is_a_plain_fifteen_seconds() -> None:
    ramp = Ramp()
    for _ in range(60):
        step(ramp, 100_000)
    assert ramp.step(0, None, 0, False, 100_000, 2000, 1000) == 0
    assert [step(ramp, 100_000) for _ in range(15)] == [0] * 15
    assert step(ramp, 100_000) == 2000


def test_a_full_cell_stops_and_lets_go_after_a_minute_of_rest() -> None:
    life = risen()
    life.run(1, a={"high": 3581})
    assert charge(life) == 0 and life.out.charge_reasons[0].rule == "cell"
    assert life.out.charge_reasons[0].cell == 3
    life.run(200, a={"high": 3451})
    assert charge(life) == 0 and life.out.charge_reasons[0].rule == "cell_latch"
    life.run(59, a={"high": 3449})
    assert charge(life) == 0
    life.run(2, a={"high": 3449})
    assert charge(life) > 0


def test_a_full_cell_lets_go_sooner_while_current_flows_away() -> None:
    life = risen()
    life.run(1, a={"high": 3581})
    life.run(70, a={"high": 3479, "current_ma": -2500})
    assert charge(life) > 0
    life = risen()
    life.run(1, a={"high": 3581})
    life.run(70, a={"high": 3479, "current_ma": -1900})  # 0.02 C are 2 A
    assert charge(life) == 0


def test_an_empty_cell_does_the_same_downwards() -> None:
    life = risen()
    life.run(3, a={"low": 2799})  # so far down at once: believed at the third frame
    assert life.out.discharge_limit_ma == 0
    life.run(200, a={"low": 3049})
    assert life.out.discharge_limit_ma == 0
    life.run(61, a={"low": 3050})
    assert life.out.discharge_limit_ma > 0


def test_cold_lets_go_two_degrees_inside() -> None:
    life = risen()
    life.run(5, a={"temps_mc": (12_000, 14_000)})
    life.run(5, a={"temps_mc": (4_000, 8_000)})
    life.run(1, a={"temps_mc": (0, 5_000)})
    assert charge(life) == 0
    life.run(300, a={"temps_mc": (1_900, 5_000)})
    assert charge(life) == 0 and "temp_latch" in {r.rule for r in life.out.charge_reasons}
    life.run(5, a={"temps_mc": (2_100, 5_000)})
    assert charge(life) > 0


def test_a_unit_that_takes_too_much_trims_the_bank() -> None:
    """Equal units, but one takes two thirds of 60 A: over its own 30 A, and then no longer."""
    life = Life("ab")
    cool = {"temps_mc": (10_000, 10_000)}  # halves 60 A
    life.run(100, a=cool, b=cool)
    assert charge(life) == 60_000
    for _ in range(40):
        flow = charge(life)
        life.run(1, a={**cool, "current_ma": flow * 2 // 3}, b={**cool, "current_ma": flow // 3})
    reason = life.out.charge_reasons[0]
    assert (reason.rule, reason.unit) == ("overrun", "a")
    assert 45_000 <= charge(life) <= 53_000  # 1.1 x 30 A + 2 A is what is let pass
    life.run(200, a=cool, b=cool)
    assert charge(life) == 60_000


@pytest.mark.parametrize(
    ("a", "b"),
    [
        ({"current_ma": 80_000}, {"current_ma": -70_000}),  # between units: no inverter's doing
        ({"current_ma": 5_000, "charge_open": True}, {"current_ma": 50_000}),  # shares nothing
        ({"current_ma": 67_000}, {"current_ma": 60_000}),  # within 10 % and 0.02 C
    ],
)
def test_what_an_inverter_cannot_help_trims_nothing(a: dict[str, Any], b: dict[str, Any]) -> None:
    life = Life("ab")
    life.run(100)
    life.run(60, a=a, b=b)
    assert "overrun" not in {reason.rule for reason in life.out.charge_reasons}
    assert charge(life) >= 60_000


def test_the_trim_slows_a_deaf_inverter_and_switches_nothing_off() -> None:
    """I16: halved every 5 s it would be 0 within a minute, then on again, and off again."""
    life = Life("ab")
    life.run(100)
    told = []
    for _ in range(300):
        life.run(1, a={"current_ma": 90_000}, b={"current_ma": 10_000})
        told.append(charge(life))
    assert told[0] == 120_000 and told[4] == 80_000  # x 60 A / 90 A after 5 s
    assert min(told) == 1_000 and told[-100:] == [1_000] * 100
    assert life.out.charge_enabled


def test_a_lost_unit_takes_the_bank_down_in_its_tick_and_nothing_else_moves() -> None:
    life = Life("abc")
    life.run(120)
    before = life.out
    assert charge(life) == 180_000
    life.run(11, c=None)
    told = life.out
    # 1 of 50 s of its hold is over, and it may be gone: at most the other two.
    assert charge(life) <= 120_000
    assert told.soc_permille == before.soc_permille and told.cvl_mv == before.cvl_mv


def test_an_inverter_that_does_not_obey() -> None:
    life = Life("a")
    life.controller.numbers = (True, False)
    life.run(40)
    assert life.out.warnings & alarms.DISOBEY == 0
    stopped = {"charge_ok": False, "current_ma": 8000}
    life.run(19, a=stopped)
    assert not life.out.warnings & alarms.DISOBEY
    life.run(2, a=stopped)
    assert life.out.warnings & alarms.DISOBEY
    life.run(40, a=stopped)
    assert life.out.protections & alarms.CHARGE_OVERCURRENT
    life.run(119, a=stopped)
    assert life.out.silenced and life.told is None and life.ladder.state == SILENT
    life.run(290, a={"current_ma": 0})
    assert life.told is None
    life.run(20, a={"current_ma": 0})
    assert life.told is not None and life.out.silenced is False


def test_the_third_silence_of_a_day_ends_by_a_person() -> None:
    judge = Obedience()

    def seconds(count: int, flow: int) -> None:
        for _ in range(count):
            judge.step(flow, 0, True, True, True, 1000)

    for time in range(3):
        seconds(181, 9000)
        assert judge.silenced
        seconds(400, 0)
        assert judge.silenced is (time == 2)
    assert judge.forgive()
    seconds(70, 0)
    assert not judge.silenced


def test_a_day_forgets_a_silence_and_nobody_disobeys_what_is_not_told() -> None:
    judge = Obedience()
    for _ in range(600):
        judge.step(9000, 0, True, False, True, 1000)
        assert judge.level == 0 and not judge.silenced
    for time in range(4):
        for _ in range(181):
            judge.step(9000, 0, True, True, True, 1000)
        assert judge.silenced
        for _ in range(400 if time != 1 else 24 * 3600):
            judge.step(0, 0, True, True, True, 1000)
        assert not judge.silenced and not judge.locked


def test_the_size_of_a_running_bank_stays_as_it_is() -> None:
    life = Life("ab")
    life.run(100)
    sizes = life.controller.steering.governor.sys_ma
    assert sizes == [120_000, 160_000]
    life.run(10, b={"ccl_ma": 1000, "dcl_ma": 1000, "ccl_is_trip": False, "dcl_is_trip": False})
    assert sizes == [120_000, 160_000]
    life.run(70, b=None)
    assert sizes == [120_000, 160_000]
    life.run(20, a=None, b=None)
    life.run(5, b={"ccl_ma": 1000, "ccl_is_trip": False})
    assert sizes == [61_000, 80_000 + 80_000]


def test_a_current_that_nobody_sees_is_not_gone() -> None:
    judge = Obedience()
    for _ in range(181):
        judge.step(9000, 0, True, True, True, 1000)
    for _ in range(600):
        judge.step(None, 0, True, False, True, 1000)
    assert judge.silenced
    for second in range(60):
        assert judge.silenced, second
        judge.step(0, 0, True, False, True, 1000)
    assert not judge.silenced
    judge.step(None, 0, True, True, True, 1000)  # nor is it a current
    assert judge.level == 0


def test_where_there_is_no_number_only_a_zero_can_be_disobeyed() -> None:
    judge = Obedience()
    for _ in range(100):
        judge.step(90_000, 40_000, False, True, True, 1000)
    assert judge.level == 0
    for _ in range(100):
        judge.step(90_000, 40_000, True, True, True, 1000)
    assert judge.level == 2


def test_measured_shares_weigh_the_one_that_takes_more() -> None:
    life = Life("ab", measured_shares=True)
    life.run(40)
    life.run(200, a={"current_ma": 40_000}, b={"current_ma": 20_000})
    x = life.x()[0]
    assert 88_000 <= x <= 92_000  # 60 A x 200 / 133: not more than what keeps `a` at 60 A
    life.run(20, b=None)
    assert life.controller.bank.units["a"].measured_mah <= 100_000


def test_a_reload_lowers_at_once_and_raises_slowly() -> None:
    life = risen()
    from vbms.aggregate.profile import BankProfile

    life.controller.enrol(BankProfile(max_charge_ma=20_000), [profile("a")])
    life.run(1)
    assert charge(life) == 20_000
    life.controller.enrol(BankProfile(), [profile("a")])
    life.run(10)
    assert charge(life) == 20_000
    life.run(10)
    assert 20_000 < charge(life) < 32_000


@pytest.mark.parametrize("saying", [{"charge_ok": None}, {"temps_mc": ()}, {"cells_mv": ()}])
def test_what_is_unknown_stops(saying: dict[str, Any]) -> None:
    life = risen()
    life.run(1, a=saying)
    assert charge(life) in (0, 60_000)  # a frame that is not admitted changes nothing
    life.run(15, a=saying)
    assert charge(life) == 0


def test_a_unit_told_by_itself_leaves_the_banks_measured_shares() -> None:
    life = Life("ab", measured_shares=True)
    life.run(40)
    for _ in range(200):
        life.run(1, a={"current_ma": 40_000}, b={"current_ma": 20_000})
        for key in "ab":
            life.controller.solo(key)
    assert 130_000 <= life.controller.bank.units["a"].measured_mah <= 134_000  # two thirds of 200


def test_a_person_forgives_every_address_that_was_silenced() -> None:
    life = Life("a")
    life.run(12)
    stopped = {"charge_ok": False, "current_ma": 8000}
    for _ in range(3):
        for saying in [stopped] * 185 + [{"current_ma": 0}] * 400:
            life.run(1, a=saying)
            told = life.controller.solo("a")
    assert told.silenced
    assert life.controller.acknowledge("bank")
    for _ in range(70):
        life.run(1)
        told = life.controller.solo("a")
    assert not told.silenced
