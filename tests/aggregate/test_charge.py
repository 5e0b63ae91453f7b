"""The phases of a charge, charge voltage, SOC and alarms over time, in numbers worked out by hand."""

from __future__ import annotations

from typing import Any

from vbms.aggregate import alarms
from vbms.aggregate.telling import Gauge, Voltage

from .story import CELLS, Life

BULK, FLOAT, FLOOR = 55_200, 16 * 3350, 16 * 3300
TAIL: dict[str, Any] = {"middle": 3450, "current_ma": 3000, "soc_permille": 980}


def phase(life: Life) -> str:
    return life.out.phase


def full() -> Life:
    life = Life("a")
    life.run(80)
    life.run(60, a={"middle": 3441, "current_ma": 20_000, "soc_permille": 950})
    assert phase(life) == "absorb" and life.out.soc_permille < 1000
    life.run(70, a=TAIL)
    assert life.controller.steering.charge.full and phase(life) == "float"
    return life


def test_bulk_absorb_float() -> None:
    life = full()
    life.run(120, a=TAIL)
    assert life.out.cvl_mv is not None and BULK - 400 < life.out.cvl_mv < BULK
    life.run(400, a=TAIL)
    assert life.out.soc_permille == 1000  # from 600 told before, one permille a second
    life.run(3600, a={"middle": 3350, "soc_permille": 990})
    assert life.out.cvl_mv == FLOAT and phase(life) == "float"


def test_full_ends_two_percent_lower() -> None:
    life = full()
    life.run(400, a={"middle": 3350, "soc_permille": 961, "current_ma": -3000})
    assert life.controller.steering.charge.full
    life.run(60, a={"middle": 3350, "soc_permille": 960, "current_ma": -3000})
    assert not life.controller.steering.charge.full
    assert life.out.soc_permille == 960


def test_cables_between_inverter_and_cells_move_no_threshold_of_a_cell() -> None:
    """With 2 V of them bulk at the inverter is 57.2 V, and the cells still end at 3.50 V."""
    life = Life("a", cvl_offset_mv=2000, absorb_ms=60_000, balance_ms=120_000)
    life.run(80)
    runner = {"middle": 3480, "high": 3500, "current_ma": 20_000, "soc_permille": 960}
    life.run(40, a=runner)
    assert phase(life) == "absorb"
    life.run(130, a=runner)
    assert phase(life) == "float"


def test_one_high_cell_is_not_full() -> None:
    life = Life("a")
    life.run(80)
    life.run(600, a={"middle": 3380, "high": 3500, "current_ma": 2000, "soc_permille": 960})
    assert phase(life) == "absorb" and not life.controller.steering.charge.full


def test_absorption_times_out_without_being_full() -> None:
    life = Life("a", absorb_ms=60_000, balance_ms=120_000)
    life.run(80)
    runner = {"middle": 3370, "high": 3500, "current_ma": 20_000, "soc_permille": 960}
    life.run(40, a=runner)
    assert phase(life) == "absorb"
    life.run(125, a=runner)
    assert phase(life) == "float" and not life.controller.steering.charge.full
    assert ("full_failed", "bank") in [(kind, name) for kind, name, _ in life.controller.events]


def test_rebulk_by_soc_by_rest_and_by_a_person() -> None:
    low = full()
    low.run(5, a={"middle": 3330, "soc_permille": 849, "current_ma": -20_000})
    assert phase(low) == "bulk" and (low.out.soc_permille or 0) <= 990
    sag = full()
    sag.run(300, a={"middle": 3290, "soc_permille": 900, "current_ma": -40_000})
    assert phase(sag) == "float"  # a sag under load is not emptiness
    sag.run(65, a={"middle": 3290, "soc_permille": 900, "current_ma": -1000})
    assert phase(sag) == "bulk"
    asked = full()
    asked.controller.want_full()
    asked.run(1, a={"middle": 3350, "soc_permille": 990})
    assert phase(asked) == "bulk"


def test_a_stop_waits_at_float_and_goes_on_where_it_was() -> None:
    life = Life("a")
    life.run(80)
    life.run(40, a={"middle": 3445, "current_ma": 20_000, "soc_permille": 950})
    assert phase(life) == "absorb"
    life.run(4, a={"middle": 3445, "charge_ok": False, "soc_permille": 950})
    assert phase(life) == "absorb"
    life.run(3, a={"middle": 3445, "charge_ok": False, "soc_permille": 950})
    assert phase(life) == "wait"
    life.run(3, a={"middle": 3445, "soc_permille": 950})
    assert phase(life) == "absorb"


def test_end_of_charge_without_float_stops_softly() -> None:
    life = Life("a", float_holds=False)
    life.run(80)
    life.run(40, a={"middle": 3441, "current_ma": 20_000, "soc_permille": 950})
    before = life.out.charge_limit_ma
    assert before > 20_000
    said = []
    for _ in range(80):
        life.run(1, a=TAIL)
        said.append(life.out.charge_limit_ma)
    assert phase(life) == "eoc" and said[-1] == 0
    assert life.out.charge_reasons[0].rule == "charge_done"
    drops = [a - b for a, b in zip(said, said[1:])]
    assert max(drops) <= 6000  # 10 % of 60 A


def test_two_weeks_without_a_full_charge_are_asked_about() -> None:
    life = Life("a", full_days=1)
    life.run(12)
    assert life.out.full_charge_request is False
    life.controller.restore({"since_full_ms": 86_390_000}, 20_000)
    life.run(1)
    assert life.out.full_charge_request is True


def test_an_empty_bank_asks_for_charge() -> None:
    life = Life("a")
    life.run(12)
    life.run(35, a={"low": 2900, "middle": 3000, "soc_permille": 200})
    assert life.out.force_charge is True
    life.run(5, a={"low": 3099, "middle": 3150, "soc_permille": 200})
    assert life.out.force_charge is True
    life.run(1, a={"low": 3100, "middle": 3150, "soc_permille": 200})
    assert life.out.force_charge is False
    life.run(1, a={"low": 3100, "middle": 3150, "soc_permille": 170})
    life.run(8, a={"middle": 3150, "soc_permille": 50})  # too far at once: believed at the third
    assert life.out.force_charge is True
    life.run(8, a={"middle": 3150, "soc_permille": 50, "charge_ok": False})
    assert life.out.force_charge is False  # nothing to force where nothing may be charged


def test_the_voltage_goes_down_slowly_and_never_far_under_the_bus() -> None:
    volts = Voltage()
    assert volts.step(BULK, 56_000, FLOOR, 55_000, False, 1000) == BULK
    for _ in range(60):
        volts.step(FLOAT, 56_000, FLOOR, 55_200, True, 1000)
    assert volts.cvl_mv == BULK - 100
    for _ in range(600):
        volts.step(FLOAT, 56_000, FLOOR, 55_200, True, 1000)
    assert volts.cvl_mv == 55_099  # the bus stands 100 mV above: no further
    for _ in range(21):
        volts.step(BULK, 56_000, FLOOR, 55_200, True, 100)
    assert volts.cvl_mv == BULK


def test_a_high_cell_takes_the_voltage_down_at_once() -> None:
    life = Life("a")
    life.run(80)
    middle = {"middle": 3430, "soc_permille": 900, "current_ma": 20_000}
    life.run(3, a=middle)
    life.run(1, a={**middle, "high": 3540})
    bus = 15 * 3430 + 3540
    assert life.out.cvl_mv in (bus - 40, bus - 39)  # less what stands above 3.5 V
    life.run(59, a=middle)
    held = life.out.cvl_mv
    life.run(40, a=middle)
    assert held is not None and held < (life.out.cvl_mv or 0) <= held + 5 * CELLS


def test_a_blind_unit_keeps_the_voltage_at_float() -> None:
    life = Life("ab")
    life.run(80)
    assert life.out.cvl_mv == BULK
    life.run(61, b=None)
    assert life.out.cvl_mv is not None and life.out.cvl_mv < BULK
    life.run(1200, b=None)
    assert life.out.cvl_mv == FLOAT
    life.run(60)
    assert life.out.cvl_mv == BULK


def test_the_floor_wins() -> None:
    volts = Voltage()
    assert volts.step(50_000, 51_000, FLOOR, 52_000, True, 1000) == FLOOR


def test_soc_moves_slowly_and_keeps_its_ends() -> None:
    gauge = Gauge()
    assert gauge.step(600, False, False, 1000) == 600
    assert gauge.step(700, False, False, 1000) == 601
    assert gauge.step(500, False, False, 1000) == 596
    for _ in range(500):
        gauge.step(1000, False, False, 1000)
    assert gauge.told == 990
    for _ in range(20):
        gauge.step(1000, True, False, 1000)
    assert gauge.told == 1000
    assert gauge.step(1000, False, True, 1000) == 990
    for _ in range(300):
        gauge.step(0, False, False, 1000)
    assert gauge.told == 10


def test_empty_is_every_unit_and_ends_when_all_have_risen() -> None:
    life = Life("ab")
    life.run(12)
    life.run(20, a={"low": 2850, "middle": 2990}, b={"middle": 3000})
    assert life.out.soc_permille == 600
    life.run(200, a={"low": 2850, "middle": 2990}, b={"low": 2840, "middle": 3000})
    assert life.out.soc_permille == 0
    life.run(5, a={"middle": 3000}, b={"low": 2990, "middle": 3000})
    assert life.out.soc_permille == 0
    life.run(5, a={"middle": 3000}, b={"middle": 3000})
    assert (life.out.soc_permille or 0) >= 3


def test_where_a_stop_has_no_number_one_empty_cell_is_empty() -> None:
    """DEYE: SOC 0 is the only word that its own low-SOC stop understands."""
    life = Life("ab")
    life.controller.numbers = (True, False)
    life.run(12)
    life.run(15, a={"low": 2799, "middle": 3100}, b={"middle": 3150})
    assert life.out.discharge_limit_ma == 0
    life.run(150, a={"low": 2799, "middle": 3100}, b={"middle": 3150})
    assert life.out.soc_permille == 0


def test_an_alarm_is_set_at_once_and_ends_after_ten_seconds() -> None:
    life = Life("a")
    life.run(12)
    life.run(1, a={"warnings": alarms.CELL_OVERVOLTAGE})
    assert life.out.alarms == ((alarms.CELL_OVERVOLTAGE, 1, "a"),)
    life.run(9)
    assert life.out.warnings & alarms.CELL_OVERVOLTAGE
    life.run(2)
    assert life.out.alarms == ()


def test_a_sagging_cell_is_named_once_and_clears_with_a_band() -> None:
    life = Life("a")
    life.run(12)
    sag = {"middle": 3280, "low": 3130, "current_ma": -40_000}
    life.run(9, a=sag)
    assert not life.out.warnings & alarms.WEAK_CELL
    life.run(5, a=sag)
    assert life.out.warnings & alarms.WEAK_CELL
    inside = {"middle": 3280, "low": 3195, "current_ma": -40_000}  # 80 mV under the mean
    life.run(60, a=inside)
    assert life.out.warnings & alarms.WEAK_CELL
    life.run(15, a={"middle": 3280})
    assert not life.out.warnings & alarms.WEAK_CELL


def test_current_through_a_path_that_claims_to_be_open() -> None:
    life = Life("ab")
    life.run(12)
    liar = {"charge_open": True, "charge_ok": False, "current_ma": 5000}
    life.run(9, a=liar)
    assert not life.out.criticals
    life.run(3, a=liar)
    assert life.out.criticals & alarms.CHARGE_OVERCURRENT
    assert life.out.protections & alarms.CHARGE_OVERCURRENT


def test_charged_by_its_neighbours() -> None:
    life = Life("ab")
    life.run(80)
    life.run(65, a={"high": 3460, "middle": 3400, "current_ma": 6000}, b={"current_ma": -6000})
    told = [(kind, name) for kind, name, _ in life.controller.events]
    assert told.count(("charged_by_neighbours", "a")) == 1


def test_a_restart_goes_on_where_it_was() -> None:
    life = full()
    life.run(5, a={"middle": 3440, "high": 3581, "soc_permille": 990})
    kept = life.controller.dump()
    life.begin(kept)
    life.run(12, a={"middle": 3440, "high": 3480, "soc_permille": 990})
    assert life.out.charge_limit_ma == 0  # its latch
    assert life.controller.steering.charge.full and life.out.soc_permille == 1000
    life.begin()
    life.controller.restore(kept, 90_000_000)  # more than a day: forgotten
    life.run(12, a={"soc_permille": 990})
    assert not life.controller.steering.charge.full
    life.begin()
    life.controller.restore({"full": 7, "latches": [1], "zeros": "x", "since_full_ms": -1}, 5)
    life.run(12)
    assert life.out.charge_limit_ma > 0


def test_without_a_clock_what_stops_a_current_goes_on_and_full_does_not() -> None:
    """A computer whose clock stands still while it is off, or went back, forgets no full cell."""
    life = full()
    life.run(5, a={"middle": 3440, "high": 3581, "soc_permille": 990})
    kept = life.controller.dump()
    for away in (None, 90_000_000):
        life.begin()
        life.controller.restore(kept, away)
        life.run(40, a={"middle": 3440, "high": 3480, "soc_permille": 990})
        assert "cell_latch" in {reason.rule for reason in life.out.charge_reasons}
        assert life.out.charge_limit_ma == 0 and life.out.soc_permille == 990
        life.run(150, a={"middle": 3400, "soc_permille": 990})
        assert life.out.charge_limit_ma > 0  # it has rested
    life.begin()
    life.controller.restore({"zeros": [[3, 100_000], [0, 0]]}, None)
    life.run(99)
    assert life.out.charge_limit_ma == 0
    life.run(8)
    assert life.out.charge_limit_ma > 0
