"""Every alarm says why: whose word it is, and the reading behind it."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings

from tests.aggregate.story import Life, profile, stories
from vbms.aggregate import alarms
from vbms.alarm_text import reason_of


def whys(life: Life) -> dict[tuple[str, str], str]:
    """(alarm, whose) -> why."""
    bank = life.controller.bank
    return {
        (alarms.named(bit)[0], name): reason_of(bit, name, bank, life.out)
        for bit, _, name in life.out.alarms
    }


CASES: list[tuple[dict[str, Any], str, str]] = [
    ({"protections": 1, "high": 3601}, "cell_overvoltage", "cell 4 at 3.601 V, its BMS says so"),
    ({"warnings": 2, "low": 2849}, "cell_undervoltage", "cell 8 at 2.849 V, its BMS says so"),
    ({"warnings": 1 << 2}, "pack_overvoltage", "53.12 V, its BMS says so"),
    ({"warnings": 1 << 4, "current_ma": 61500}, "charge_overcurrent", "61.5 A, its BMS says so"),
    (
        {"warnings": 1 << 6, "temps_mc": (20000, 56500)},
        "charge_overtemperature",
        "hottest sensor at 56.5 °C, its BMS says so",
    ),
    (
        {"warnings": 1 << 9, "temps_mc": (-20500, 20000)},
        "discharge_undertemperature",
        "coldest sensor at -20.5 °C, its BMS says so",
    ),
    ({"warnings": 1 << 10}, "mosfet_overtemperature", "MOSFETs at unknown, its BMS says so"),
    ({"criticals": 1 << 12}, "internal", "its BMS says so"),
    (
        {"criticals": 1 << 12, "note": "switched off at its panel"},
        "internal",
        "its BMS says so, switched off at its panel",
    ),
    (
        {"low": 3000, "high": 3325},
        "imbalance",
        "cell 4 at 3.325 V, cell 8 at 3 V, beyond what its profile warns of",
    ),
    (
        {"warnings": 1 << 16, "soc_permille": 45},
        "capacity_low",
        "state of charge 4.5 %, its BMS says so",
    ),
    (
        {"charge_open": True, "current_ma": 3000},
        "charge_overcurrent",
        "3 A, through a path that its BMS says is open",
    ),
]


@pytest.mark.parametrize(("said", "alarm", "why"), CASES)
def test_a_unit_s_alarm_says_who_says_so_and_the_reading(
    said: dict[str, Any], alarm: str, why: str
) -> None:
    life = Life()
    life.run(12)
    life.run(14, a=said)
    assert whys(life)[(alarm, "a")].replace("53.121", "53.12") == why


def test_the_bank_s_own_alarms() -> None:
    life = Life("abc")
    life.controller.bank.profile.start_ms = 5000
    life.run(12, c=None)
    assert whys(life)[("unit_lost", "c")] == "never heard"
    life.run(70, b=None, c=None, a={"soc_permille": 200})
    found = whys(life)
    assert found[("unit_lost", "b")] == "silent for 70 s"
    assert found[("comms", "bank")] == "not heard: b, c"
    life.run(5, a={"soc_permille": 200})
    assert whys(life)[("soc_spread", "bank")] == "a at 20 %, c at 60 %"
    life.run(5, a={"middle": 3390, "current_ma": 5000})
    assert whys(life)[("voltage_spread", "a")] == "its voltage is 54.24 V, the bank's 53.12 V"
    life.run(1900, b=None)
    assert whys(life)[("unit_retired", "b")] == "was silent for 30 min, not acknowledged"
    life.run(5)
    assert whys(life)[("unit_retired", "b")] == "was silent for 30 min, not acknowledged, is back"
    life.run(20, a=None, b=None, c=None)
    assert whys(life)[("stale", "bank")] == "not heard: a, b, c"


def test_an_inverter_that_takes_too_much() -> None:
    life = Life()
    life.run(12)
    stop = {"charge_ok": False, "current_ma": 10000}
    life.run(90, a=stop, b=stop)
    found = whys(life)
    assert found[("disobey", "bank")] == "20 A where 0 A is the limit"
    assert found[("charge_overcurrent", "bank")] == "20 A where 0 A is the limit"


def test_strangers_and_wrong_counts() -> None:
    life = Life()
    life.run(12, a={"serial": "ours"})
    life.run(12, a={"serial": "theirs"})
    assert whys(life)[("unit_mismatch", "a")] == "another serial number answers than ours"
    life.controller.bank.units["b"].doubted = True
    life.run(5, a={"serial": "ours"}, b={"cells_mv": (3320,) * 15})
    found = whys(life)
    assert found[("unit_mismatch", "b")] == "two batteries at its address, or noise on the line"
    assert found[("config", "b")] == "it tells another number of cells than 16"


def test_a_failed_merge_is_an_alarm_with_a_reason() -> None:
    life = Life()
    life.run(12)
    life.out = life.controller.failed(life.now)
    assert life.out.protections == life.out.criticals == alarms.CONFIG
    assert whys(life) == {("config", "bank"): "the merge failed, the log says how"}


@settings(max_examples=15)
@given(stories())
def test_none_is_without_a_reason(story: Any) -> None:
    """But those that only stand on for their ten seconds: by then their cause may be gone."""
    life = Life()
    before: set[tuple[str, str]] = set()
    for seconds, saying in [(12, {}), *story]:
        for _ in range(seconds):
            life.second(saying)
            found = whys(life)
            for key in set(found) - before:
                assert found[key], key
            before = set(found)


def test_a_warning_of_the_profile_names_itself_as_such() -> None:
    life = Life("a")
    life.profiles = [profile("a", warn_cell_high_mv=3400, warn_soh_low_permille=800)]
    life.begin()
    life.run(12, a={"high": 3410, "soh_permille": 790})
    found = whys(life)
    assert found[("cell_overvoltage", "a")] == "cell 4 at 3.41 V, beyond what its profile warns of"
    assert found[("weak_cell", "a")].endswith("health 79 %, beyond what its profile warns of")
