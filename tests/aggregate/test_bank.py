"""The bank over time: joining, ageing, lying units, and what the ladder lets out."""

from __future__ import annotations

from typing import Any

import pytest

from vbms.aggregate import alarms
from vbms.aggregate.bank import Bank
from vbms.aggregate.ladder import Ladder
from vbms.aggregate.member import FRESH, HOLD, JOINING, LOST, RETIRED
from vbms.aggregate.profile import BankProfile, UnitProfile
from vbms.aggregate.snapshot import Snapshot
from vbms.aggregate.virtual import ERROR, NORMAL, PARTIAL, SILENT, STARTING, ZERO, VirtualBattery

T0 = 5_000_000


def snap(now: int, **values: Any) -> Snapshot:
    row: dict[str, Any] = {
        "taken_ms": now,
        "voltage_mv": 53000,
        "current_ma": 4000 + now % 7,  # a living battery never reads the same for long
        "soc_permille": 600,
        "soh_permille": 980,
        "cells_mv": (3312,) * 8 + (3313,) * 8,
        "temps_mc": (21000, 22000, 21000, 23000),
        "cycles_count": 127,
        "charge_ok": True,
        "discharge_ok": True,
        "balancing": False,
        "model": "BYD PRO 2.5",
    }
    row.update(values)
    return Snapshot(**row)


def profile(key: str, **values: Any) -> UnitProfile:
    given: dict[str, Any] = {
        "cells": 16,
        "capacity_mah": 50000,
        "max_charge_ma": 50000,
        "max_discharge_ma": 50000,
        "mosfet_present": False,
        "charge_voltage_mv": 55200,
    }
    given.update(values)
    return UnitProfile(key, **given)


class Bench:
    """A bank with a clock: each second every unit that is not muted sends what `say` holds for it."""

    def __init__(
        self,
        *profiles: UnitProfile,
        bank: BankProfile | None = None,
        offset: int = T0,
        silent_after_ms: int = 30000,
    ):
        self.now = offset
        self.bank = Bank(bank or BankProfile(), profiles)
        self.ladder = Ladder(self.bank.profile, silent_after_ms)
        self.muted: set[str] = set()
        self.say: dict[str, dict[str, Any]] = {p.key: {} for p in profiles}
        self.faults: list[str | None] = []
        self.out = VirtualBattery()
        self.told: VirtualBattery | None = None

    def second(self) -> VirtualBattery | None:
        self.now += 1000
        for key in self.say:
            if key not in self.muted:
                self.faults.append(self.bank.accept(key, snap(self.now, **self.say[key]), self.now))
        return self.tick()

    def tick(self) -> VirtualBattery | None:
        self.out = self.bank.tick(self.now)
        self.told = self.ladder.step(self.out, self.now, self.bank.up_ms)
        return self.told

    def run(self, seconds: int) -> VirtualBattery | None:
        for _ in range(seconds):
            self.second()
        return self.told

    def state(self, key: str) -> str:
        return self.bank.units[key].state


def two(**values: Any) -> Bench:
    return Bench(profile("a"), profile("b"), **values)


def test_joins_with_the_third_frame_and_opens_five_seconds_later() -> None:
    bench = two()
    states = []
    for _ in range(9):
        bench.second()
        states.append((bench.state("a"), bench.told is not None))
    assert [s for s, _ in states[:3]] == [JOINING, JOINING, FRESH]
    assert [open_ for _, open_ in states] == [False] * 7 + [True] * 2
    assert bench.ladder.state == NORMAL


def test_an_absent_unit_delays_the_start_by_a_minute_and_no_more() -> None:
    bench = two()
    bench.muted.add("b")
    assert bench.run(59) is None and bench.ladder.state == STARTING
    assert bench.run(7) is not None and bench.ladder.state == PARTIAL


def test_settings_are_demanded_before_a_unit_counts() -> None:
    bench = Bench(profile("a", needs_settings=True, cells=None))
    bench.run(20)
    assert bench.state("a") == JOINING and bench.told is None
    bench.say["a"] = {"cell_count": 16}
    bench.run(7)
    assert bench.state("a") == FRESH and bench.told is not None


def test_a_muted_unit_holds_is_lost_is_retired_and_returns() -> None:
    bench = two()
    bench.run(10)
    assert bench.out.charge_limit_ma == 100000
    bench.muted.add("b")
    seen = {}
    for second in range(1, 1900):
        bench.second()
        seen.setdefault(bench.state("b"), second)
        assert bench.out.soc_permille == 600 or bench.state("b") == RETIRED
    assert seen == {FRESH: 1, HOLD: 11, LOST: 61, RETIRED: 1801}
    assert bench.out.alarms[-1] == (alarms.UNIT_RETIRED, alarms.WARNING, "b")
    bench.muted.clear()
    bench.run(2)
    assert bench.state("b") == JOINING
    bench.second()
    assert bench.state("b") == FRESH and bench.out.charge_limit_ma == 100000


def test_a_retired_unit_counts_until_a_person_says_otherwise() -> None:
    bench = two()
    bench.run(10)
    bench.muted.add("b")
    bench.run(1700)
    assert not bench.bank.acknowledge("b") and not bench.bank.acknowledge("a")
    assert not bench.bank.acknowledge("nobody")
    bench.run(200)
    assert bench.state("b") == RETIRED and bench.out.state == PARTIAL
    assert bench.out.charge_limit_ma == 2 * 4900  # 0.1 C of the silent one, twice
    assert bench.bank.acknowledge("b")
    bench.second()
    assert bench.state("b") == RETIRED and bench.bank.acknowledged() == ["b"]
    assert bench.out.charge_limit_ma == 50000 and bench.out.state == NORMAL
    assert (bench.out.n_total, bench.out.n_fresh) == (1, 1) and bench.out.alarms == ()
    assert bench.bank.acknowledge("b")  # twice is once


def test_a_unit_that_comes_back_is_no_longer_acknowledged() -> None:
    bench = two()
    bench.run(10)
    bench.muted.add("b")
    bench.run(1900)
    bench.bank.acknowledge("b")
    bench.muted.clear()
    bench.second()
    assert bench.state("b") == JOINING and bench.bank.acknowledged() == []
    bench.muted.add("b")
    bench.run(100)
    assert bench.state("b") == LOST and bench.out.charge_limit_ma == 2 * 4900
    bench.run(1900)
    assert bench.state("b") == RETIRED and bench.out.charge_limit_ma == 2 * 4900


def test_the_retired_alarm_stays_until_it_was_seen() -> None:
    bench = two()
    bench.run(10)
    bench.muted.add("b")
    bench.run(1900)
    bench.muted.clear()
    bench.run(100)
    row = (alarms.UNIT_RETIRED, alarms.WARNING, "b")
    assert bench.state("b") == FRESH and row in bench.out.alarms
    assert bench.bank.acknowledge("b")
    bench.second()
    assert bench.out.alarms == () and bench.bank.acknowledged() == []
    assert not bench.bank.acknowledge("b")
    assert bench.out.charge_limit_ma == 100000


def test_an_acknowledgement_outlives_a_restart() -> None:
    bench = two()
    bench.bank.recall(["b", "gone since"])
    bench.muted.add("b")
    bench.run(9)
    assert bench.state("b") == RETIRED and bench.bank.acknowledged() == ["b"]
    assert bench.told is not None and bench.told.charge_limit_ma == 50000
    bench.muted.clear()
    bench.run(5)
    assert bench.state("b") == FRESH and bench.bank.acknowledged() == []
    bench.bank.recall(["a"])
    bench.second()
    assert bench.state("a") == FRESH and bench.bank.acknowledged() == []


def test_switched_off_and_on_again_is_no_longer_acknowledged() -> None:
    bench = two()
    bench.run(10)
    bench.muted.add("b")
    bench.run(1900)
    bench.bank.acknowledge("b")
    bench.bank.enrol([profile("a"), profile("b", enabled=False)])
    bench.run(2)
    assert bench.bank.acknowledged() == [] and bench.out.charge_limit_ma == 50000
    bench.bank.enrol([profile("a"), profile("b")])
    bench.second()
    assert bench.state("b") == LOST and bench.out.charge_limit_ma == 2 * 4900


def test_limits_only_fall_while_a_unit_is_silent_for_ten_minutes() -> None:
    bench = two()
    bench.run(10)
    bench.muted.add("b")
    last = bench.out.charge_limit_ma
    for _ in range(600):
        bench.second()
        assert bench.out.charge_limit_ma <= last
        last = bench.out.charge_limit_ma
    assert last == 2 * 4900  # 0.1 C of the silent 49 Ah, twice: it may carry half
    assert bench.out.charge_reasons[0].unit == "b" and bench.out.charge_reasons[0].rule == "blind"


def test_a_second_silent_unit_frees_nothing_for_the_first() -> None:
    """The fullest fresh unit keeps the silent one's limit low, and does so when it is silent too."""
    bench = Bench(profile("a"), profile("b"), profile("c"))
    for key, cell in (("a", 3340), ("b", 3350), ("c", 3375)):
        bench.say[key] = {"cells_mv": (cell,) * 16, "voltage_mv": cell * 16}
    bench.run(10)
    bench.muted.add("b")
    bench.run(100)
    before = bench.out.charge_limit_ma
    assert before == 1960 * 3  # 0.1 C of 49 Ah at 3375 mV, of a third of the bank
    bench.muted.add("c")
    for second in range(500):
        bench.second()
        assert bench.out.charge_limit_ma <= before, second
        before = bench.out.charge_limit_ma
    assert before > 0


def test_a_second_silent_unit_tells_the_room_of_a_long_silent_one() -> None:
    """After ten minutes a unit is as cold as the coldest that was heard: also if that one is silent."""
    bench = Bench(profile("a"), profile("b"), profile("c"))
    bench.say["c"] = {"temps_mc": (4000, 4000)}
    bench.run(10)
    bench.muted.add("b")
    bench.run(700)
    before = bench.out.charge_limit_ma
    bench.muted.add("c")
    for second in range(599):
        bench.second()
        assert bench.out.charge_limit_ma <= before, second
        before = bench.out.charge_limit_ma


def test_all_silent_zero_at_once_then_silence_then_back() -> None:
    bench = two()
    bench.run(10)
    bench.muted = {"a", "b"}
    bench.run(10)
    assert bench.told is not None and bench.told.charge_limit_ma == 100000
    bench.now += 1  # the age limit has just passed
    told = bench.tick()
    assert told is not None and told.state == ZERO
    assert (told.charge_limit_ma, told.discharge_limit_ma) == (0, 0)
    assert told.voltage_mv == 53000 and told.soc_permille == 600
    assert bench.ladder.next_ms() == 30000
    bench.run(29)
    assert bench.told is not None
    bench.second()
    assert bench.told is None and bench.ladder.state == SILENT
    bench.muted.clear()
    assert bench.run(5) is None
    assert bench.second() is not None and bench.told is not None
    assert bench.told.charge_limit_ma == 100000


def test_returning_within_the_silence_limit_never_closes() -> None:
    bench = two()
    bench.run(10)
    bench.muted = {"a", "b"}
    bench.run(25)
    assert bench.ladder.state == ZERO
    bench.muted.clear()
    bench.second()
    assert bench.ladder.state == NORMAL and bench.told is not None


def test_silent_after_zero_seconds() -> None:
    bench = two(silent_after_ms=0)
    bench.run(10)
    bench.muted = {"a", "b"}
    bench.run(11)
    assert bench.told is None


@pytest.mark.parametrize("offset", [0, 2**30 - 7000, 2**32])
def test_only_differences_of_time_count(offset: int) -> None:
    """I20, as far as the clock's origin goes."""
    one, other = two(), two(offset=offset)
    for bench in (one, other):
        bench.run(10)
        bench.muted = {"a"}
        bench.run(40)
    assert one.out.charge_limit_ma == other.out.charge_limit_ma
    assert one.bank.units["a"].age_ms == other.bank.units["a"].age_ms == 40000


def test_a_clock_that_steps_back_makes_nothing_young() -> None:
    bench = two()
    bench.run(10)
    bench.muted = {"a", "b"}
    bench.run(5)
    bench.now -= 100000
    bench.tick()
    assert bench.bank.units["a"].age_ms == 5000
    bench.run(6)
    assert bench.state("a") == HOLD


def test_wrong_serial_is_not_this_unit() -> None:
    bench = two()
    bench.say["a"] = {"serial": "111"}
    bench.run(10)
    bench.say["a"] = {"serial": "222", "soc_permille": 10, "current_ma": 90000}
    bench.second()
    assert bench.faults[-2] == "serial"
    assert bench.out.current_ma != 90000 and bench.out.soc_permille == 600
    assert any(bit == alarms.UNIT_MISMATCH for bit, _, _ in bench.out.alarms)
    bench.run(70)
    assert bench.state("a") == LOST


def test_another_number_of_cells_stops_the_bank() -> None:
    bench = two()
    bench.run(10)
    bench.say["a"] = {"cells_mv": (3533,) * 15}
    bench.run(2)
    assert bench.out.state == NORMAL  # one odd frame, or two, is a bad frame
    bench.second()
    assert bench.out.state == ERROR
    assert bench.told is not None and bench.told.charge_limit_ma == 0
    bench.run(5)
    assert bench.told is None
    bench.say["a"] = {}
    bench.run(1)
    assert bench.told is None
    assert bench.run(6) is not None


@pytest.mark.parametrize(
    "values, fault",
    [
        ({"cells_mv": (1499,) + (3312,) * 15, "voltage_mv": 51200}, "cell_range"),
        ({"cells_mv": (4501,) + (3312,) * 15, "voltage_mv": 54200}, "cell_range"),
        ({"cells_mv": (None, 4501) + (3312,) * 14, "voltage_mv": 54200}, "cell_range"),
        ({"cells_mv": (1499,) + (3312,) * 14 + (None,)}, "cell_range"),
        ({"voltage_mv": 54100}, "cell_sum"),
        ({"cells_mv": None, "cell_count": 16, "voltage_mv": 72001}, "cell_sum"),
        ({"cells_mv": (None,) * 16, "cell_count": 16, "voltage_mv": 23999}, "cell_sum"),
        ({"temps_mc": (21000, -40001)}, "temperature_range"),
        ({"temps_mc": (120001, 21000)}, "temperature_range"),
        ({"soc_permille": 1001}, "soc_range"),
        ({"current_ma": 150001}, "current_range"),
        ({"cells_mv": ()}, "no_cells"),
        ({"cells_mv": (3613,) + (3312,) * 15}, "jump"),
        ({"soc_permille": 651}, "jump"),
        ({"temps_mc": (21000, 22000, 31001, 23000)}, "jump"),
    ],
)
def test_impossible_frames_change_nothing(values: dict[str, Any], fault: str) -> None:
    bench = two()
    bench.say["a"] = bench.say["b"] = {"cells_mv": (3312,) * 16}
    bench.run(10)
    before = bench.out
    bench.say["a"] = dict(bench.say["a"], **values)
    bench.second()
    assert bench.faults[-2] == fault
    assert (bench.out.cell_max_mv, bench.out.soc_permille, bench.out.temp_max_mc) == (
        before.cell_max_mv,
        before.soc_permille,
        before.temp_max_mc,
    )
    assert bench.bank.units["a"].age_ms == 1000


def test_the_third_frame_that_agrees_is_the_truth() -> None:
    bench = two()
    bench.run(10)
    bench.say["a"] = {"cells_mv": (3700,) + (3312,) * 15, "voltage_mv": 53380}
    bench.run(2)
    assert bench.out.cell_max_mv == 3313
    bench.second()
    assert bench.out.cell_max_mv == 3700 and bench.out.charge_limit_ma == 0


def test_frozen_readings_under_load_are_not_received() -> None:
    bench = two()
    bench.run(10)
    bench.say["a"] = {"current_ma": 6000}
    bench.run(121)
    assert bench.state("a") == FRESH
    bench.run(12)
    assert bench.state("a") == HOLD
    bench.say["a"] = {"current_ma": 6001}
    bench.second()
    assert bench.state("a") == FRESH


def test_a_lost_sensor_halves_and_remembers() -> None:
    bench = Bench(profile("a"))
    bench.say["a"] = {"temps_mc": (21000, 46000)}  # 46 degrees: factor 440
    bench.run(10)
    assert bench.out.charge_limit_ma == 22000
    bench.say["a"] = {"temps_mc": (21000,)}  # the hot one is gone
    for _ in range(3):
        bench.second()
        assert bench.out.charge_limit_ma == 22000  # from the first frame on
    for _ in range(1801):
        bench.second()
    assert bench.out.charge_limit_ma == 25000
    bench.say["a"] = {"temps_mc": (21000, 22000)}
    bench.second()
    assert bench.out.charge_limit_ma == 50000


def test_a_frozen_unit_is_never_believed_again() -> None:
    """Not when it is lost either: its next frame is the same old one."""
    bench = two()
    bench.run(10)
    same = {"current_ma": 20000}
    bench.say["a"] = same
    seen = []
    for _ in range(600):
        bench.second()
        seen.append(bench.state("a"))
    assert FRESH not in seen[140:] and JOINING not in seen[140:]
    bench.say["a"] = {}
    bench.run(4)
    assert bench.state("a") == FRESH


def test_each_lost_sensor_is_remembered() -> None:
    bench = Bench(profile("a"))
    bench.say["a"] = {"temps_mc": (21000, 25000, 46000)}
    bench.run(10)
    bench.say["a"] = {"temps_mc": (25000, 46000)}
    bench.run(5)
    bench.say["a"] = {"temps_mc": (25000, 53000)}
    bench.run(5)
    assert bench.out.charge_limit_ma == 4000
    bench.say["a"] = {"temps_mc": (25000,)}
    for _ in range(60):
        bench.second()
        assert bench.out.charge_limit_ma == 4000


def test_a_stranger_stays_one_until_the_right_one_says_so() -> None:
    bench = two()
    bench.say["a"] = {"serial": "1"}
    bench.run(10)
    bench.say["a"] = {"serial": "2"}
    bench.run(3)
    bench.say["a"] = {}
    bench.run(20)
    assert bench.state("a") == HOLD and bench.faults[-2] == "serial"
    bench.say["a"] = {"serial": "1"}
    bench.second()
    assert bench.state("a") == FRESH


def test_never_heard_is_lost_and_never_retired() -> None:
    bench = two()
    bench.muted.add("b")
    bench.run(10)
    bench.now += 7_200_000
    bench.run(5)
    assert bench.state("b") == LOST


def test_a_slow_line_makes_data_older_but_not_for_ever() -> None:
    bench = two()
    bench.bank.units["a"].set_poll(5000)
    assert bench.bank.units["a"].fresh_ms == 15000
    bench.bank.enrol([profile("a"), profile("b")])
    assert bench.bank.units["a"].fresh_ms == 15000
    bench.bank.units["a"].set_poll(55000)
    assert bench.bank.units["a"].fresh_ms == 60000


def test_a_sensor_missing_for_a_frame_or_two_halves_nothing() -> None:
    """A sensor that reads as the MOSFET's does is taken for its copy, until it differs again."""
    bench = Bench(profile("a"))
    bench.run(10)
    bench.say["a"] = {"temps_mc": (21000, 22000, 21000)}
    bench.run(2)
    assert bench.out.charge_limit_ma == 50000
    bench.second()
    assert bench.out.charge_limit_ma == 25000


def test_off_the_bus_is_left_out_of_the_voltage_and_later_of_the_share() -> None:
    bench = Bench(profile("a"), profile("b"), profile("c"))
    bench.run(10)
    assert bench.out.charge_limit_ma == 150000
    bench.say["c"] = {"voltage_mv": 51500, "cells_mv": (3219,) * 16, "current_ma": 0}
    bench.run(2)
    assert bench.bank.units["c"].on_bus
    bench.second()
    unit = bench.bank.units["c"]
    assert not unit.on_bus and bench.out.voltage_mv == 53000
    why = [r for r in bench.out.charge_reasons if r.unit == "c"]
    assert (why[0].rule, why[0].value) == ("unit_cap", 50000)
    assert bench.out.charge_limit_ma == 100000  # two for sure, the third perhaps
    assert any(bit == alarms.VOLTAGE_SPREAD for bit, _, _ in bench.out.alarms)
    bench.run(31)
    assert not unit.shares_off_bus and bench.out.charge_limit_ma == 100000
    bench.say["c"] = {}
    bench.run(4)
    assert unit.on_bus and bench.out.charge_limit_ma == 150000


def test_a_silent_full_unit_is_set_free_by_an_easy_bus() -> None:
    """What its last full cell forbade is over after ten minutes of a bus at 3330 mV a cell."""
    bench = two()
    bench.run(10)
    full = {"cells_mv": (3580,) + (3316,) * 15, "voltage_mv": 53320}
    bench.say["b"] = full
    bench.run(4)
    assert bench.out.charge_limit_ma == 0
    bench.muted.add("b")
    bench.run(600)
    assert bench.out.charge_limit_ma == 0
    bench.run(70)
    assert bench.out.charge_limit_ma == 0  # est = 3312 + 75: the bus alone says nothing of its cell
    bench.say["a"] = {"voltage_mv": 52400, "cells_mv": (3275,) * 16}
    bench.run(5)
    assert bench.out.charge_limit_ma > 0


def test_a_switched_off_pack_is_zero_until_someone_disables_it() -> None:
    bench = two()
    bench.run(10)
    bench.say["b"] = {
        "charge_ok": False,
        "discharge_ok": False,
        "note": "switched off at its panel",
    }
    bench.second()
    assert bench.out.charge_limit_ma == bench.out.discharge_limit_ma == 0
    assert bench.out.charge_reasons[0].rule == "not_permitted"
    bench.bank.enrol([profile("a"), profile("b", enabled=False)])
    bench.second()
    assert bench.out.charge_limit_ma == 50000 and bench.state("a") == FRESH


def test_reload_keeps_data_and_age() -> None:
    bench = two()
    bench.run(10)
    bench.bank.enrol([profile("a", max_charge_ma=20000), profile("b"), profile("c")])
    bench.tick()
    assert bench.state("a") == FRESH and bench.bank.units["a"].age_ms == 0
    assert bench.out.charge_limit_ma <= 40000
    assert bench.state("c") == LOST  # never heard of


def test_protection_speaks_only_when_its_direction_is_dead() -> None:
    bench = two()
    bench.run(10)
    bench.say["a"] = {"protections": alarms.CELL_OVERVOLTAGE}
    bench.second()
    assert bench.out.warnings & alarms.CELL_OVERVOLTAGE
    assert not bench.out.protections
    bench.say["a"] = {"protections": alarms.CELL_OVERVOLTAGE, "charge_ok": False}
    bench.second()
    assert bench.out.charge_limit_ma == 0
    assert bench.out.protections == alarms.CELL_OVERVOLTAGE
    bench.say["a"] = {"criticals": alarms.INTERNAL}
    bench.second()
    assert bench.out.protections == alarms.INTERNAL


def test_a_failed_merge_is_zero_then_silence() -> None:
    bench = two()
    bench.run(10)
    broken = bench.bank.failed(bench.now)
    told = bench.ladder.step(broken, bench.now, bench.bank.up_ms)
    assert told is not None and told.charge_limit_ma == 0 and told.state == ERROR
    assert (
        bench.ladder.step(bench.bank.failed(bench.now), bench.now + 5000, bench.bank.up_ms) is None
    )
    assert bench.ladder.state == ERROR


def test_the_charge_voltage_follows_the_most_careful_member() -> None:
    bench = Bench(profile("a", charge_voltage_mv=55200), profile("b", charge_voltage_mv=54400))
    bench.run(3)
    assert bench.out.cvl_mv == 54400
    bench.say["a"] = {"ovp_mv": 3480}
    bench.second()
    assert bench.out.cvl_mv == 16 * 3380
    bench.say["a"] = {"ovp_mv": 3350}  # no battery: the floor stands
    bench.second()
    assert bench.out.cvl_mv == 16 * 3300


def test_a_lowered_limit_is_urgent() -> None:
    bench = two()
    bench.run(10)
    bench.now += 100
    bench.bank.accept("a", snap(bench.now), bench.now)
    assert not bench.bank.urgent
    bench.bank.accept("a", snap(bench.now, temps_mc=(21000, 22000, 19000, 23000)), bench.now)
    assert bench.bank.urgent
    bench.tick()
    assert not bench.bank.urgent


def test_unknown_unit_is_refused() -> None:
    assert two().bank.accept("z", snap(T0), T0) == "unknown_unit"


def test_nobody_at_all() -> None:
    bench = Bench()
    assert bench.run(70) is None
    assert bench.out.state == ZERO and bench.out.voltage_mv is None
