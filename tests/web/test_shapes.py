"""The documents: every documented key always there, null when unknown, values in the right unit."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.web.fake_site import WALL_MS, FakeSite, good, lfp
from vbms.aggregate.virtual import Reason
from vbms.upstream import byd_pro
from vbms.web import shapes

# Word for word from the interface: these keys never go.
BANK = (
    "name state age_s voltage_v current_a power_w soc_percent soh_percent capacity_ah design_ah "
    "remaining_ah cell_max_v cell_max_at cell_min_v cell_min_at temp_max_c temp_min_c temp_mean_c "
    "ambient_c mosfet_max_c cycles charge_limit_a charge_reasons discharge_limit_a "
    "discharge_reasons charge_voltage_v discharge_voltage_v units alarms"
).split()
UNIT = (
    "name profile protocol link address slot serial model cells_v temps_c charge_ok discharge_ok "
    "charge_open discharge_open balancing counters"
).split()
COUNTERS = "polls timeouts bad_frames foreign refused implausible".split()
SUMMARY = (
    "addr serial_no model last_update pack_voltage pack_current remain_capacity cell_temp_avg "
    "env_temp warning protection fault_status SOC SOH full_charge_capacity cycle_count "
    "max_charge_current nominal_float_voltage design_capacity"
).split()
GOLDEN = bytes.fromhex(
    "010065018355aa00b6d50000acd500005b0d5b0d5b0d590d5b0d5b0d5b0d5b0d5b0d5b0d5b0d5b0d5b0d5b0d5b0d5d0d"
    "a8fdffff1c001c001d001c001e00000000000000000000000000000000000000000000000000000002006400630000"
    "007f000000e1100000df"
)


def bank_of(site: FakeSite) -> dict:
    return json.loads(shapes.bank_json(site))


def units_of(site: FakeSite) -> list[dict]:
    return json.loads(shapes.units_json(site))


def three() -> FakeSite:
    site = FakeSite([lfp("a"), lfp("b"), lfp("c")])
    site.join(
        {
            "a": good(cells_mv=[3300] * 15 + [3312], current_ma=-4000, voltage_mv=52812),
            "b": good(cells_mv=[3288] + [3300] * 15, current_ma=-4500, voltage_mv=52788),
            "c": good(serial="S1", current_ma=-1500, note="a note"),
        }
    )
    return site


@given(st.integers(-(10**12), 10**12))
def test_milli_is_exact(value: int) -> None:
    text = shapes.milli(value)
    sign, digits = (-1, text[1:]) if text.startswith("-") else (1, text)
    whole, _, rest = digits.partition(".")
    assert sign * (int(whole) * 1000 + int((rest + "000")[:3])) == value
    assert not rest.endswith("0") and (rest or "." not in text)
    json.loads(text)


def test_nothing_known_is_null_and_every_key_is_there() -> None:
    site = FakeSite([lfp("a")])
    site.tick()
    bank = bank_of(site)
    assert [key for key in bank if key in BANK] == BANK
    for key in ("voltage_v", "current_a", "power_w", "soc_percent", "cell_max_v", "cell_max_at"):
        assert bank[key] is None
    assert (
        bank["temp_mean_c"] is bank["cycles"] is bank["age_s"] is bank["charge_voltage_v"] is None
    )
    assert bank["charge_limit_a"] == bank["discharge_limit_a"] == 0
    assert bank["charge_reasons"] == [
        {
            "unit": None,
            "rule": "none_fresh",
            "value": None,
            "limit_a": 0,
            "text": "no battery answers",
        }
    ]
    assert bank["units"] == {"total": 1, "fresh": 0, "hold": 0, "lost": 1}
    (unit,) = units_of(site)
    assert set(unit) >= set(BANK) | set(UNIT)
    assert unit["state"] == "lost" and unit["age_s"] is None  # never heard: no age
    for key in ("serial", "model", "cells_v", "temps_c", "charge_ok", "balancing", "voltage_v"):
        assert unit[key] is None
    assert list(unit["counters"]) == COUNTERS


def test_the_bank_in_human_units() -> None:
    bank = bank_of(three())
    assert bank["voltage_v"] == 52.8
    assert bank["current_a"] == -10
    assert bank["power_w"] == -527.994  # the sum of the units, not 52.8 V x 10 A
    assert bank["soc_percent"] == 60 and bank["soh_percent"] == 99
    assert bank["capacity_ah"] == 148.5 and bank["remaining_ah"] == 89.1
    assert bank["cell_max_v"] == 3.312 and bank["cell_max_at"] == {"unit": "a", "cell": 16}
    assert bank["cell_min_v"] == 3.288 and bank["cell_min_at"] == {"unit": "b", "cell": 1}
    assert (bank["temp_min_c"], bank["temp_max_c"], bank["temp_mean_c"]) == (24, 26, 25.125)
    assert bank["mosfet_max_c"] is None
    assert bank["charge_limit_a"] == 150 and bank["charge_voltage_v"] == 55.2
    assert bank["discharge_voltage_v"] == 46.4
    reason = bank["charge_reasons"][0]
    assert set(reason) == {"unit", "rule", "value", "limit_a", "text"}
    assert reason["rule"] == "unit_cap" and reason["value"] == 50 and reason["limit_a"] == 150
    assert reason["text"] == "a: its profile allows 50 A"
    assert bank["inverters"] == {"deye": {"open": True, "asked_s_ago": 1}}


def test_units_show_what_they_said() -> None:
    a, b, c = units_of(three())
    assert set(a) >= set(BANK) | set(UNIT)
    assert a["cells_v"] == [3.3] * 15 + [3.312] and a["temps_c"] == [24, 25, 25.5, 26]
    assert a["power_w"] == -211.248 and a["state"] == "fresh" and a["age_s"] == 1
    assert a["cell_max_at"] == {"unit": "a", "cell": 16}
    assert a["counters"]["implausible"] == 0 and a["counters"]["timeouts"] == 2
    assert (a["profile"], a["protocol"], a["link"], a["address"], a["slot"]) == (
        "byd_pro",
        "byd_pro",
        "bms",
        1,
        0,
    )
    assert a["charge_ok"] is True and a["charge_open"] is None and a["balancing"] is False
    assert c["serial"] == "S1" and c["slot"] == 2 and c["note"] == "a note"
    assert b["units"] == {"total": 1, "fresh": 1, "hold": 0, "lost": 0}


def test_a_lost_unit_keeps_its_charge_and_nothing_else() -> None:
    site = three()
    for _ in range(70):
        for key in "ab":
            site.feed(key, good())
        site.tick()
    c = units_of(site)[2]
    assert c["state"] == "lost" and c["age_s"] == 71
    assert c["soc_percent"] == 60 and c["capacity_ah"] == 49.5
    for key in (
        "voltage_v",
        "current_a",
        "power_w",
        "cell_max_v",
        "cells_v",
        "temps_c",
        "charge_ok",
    ):
        assert c[key] is None, key
    assert c["serial"] == "S1"  # what it is does not age
    assert [alarm["alarm"] for alarm in c["alarms"]] == ["unit_lost"]
    assert bank_of(site)["units"] == {"total": 3, "fresh": 2, "hold": 0, "lost": 1}


def test_text_of_others_cannot_break_the_json() -> None:
    nasty = 'a"\\\n\x00</script>é'
    site = FakeSite([lfp(nasty)])
    site.join({nasty: good(serial=nasty, model=nasty)})
    (unit,) = units_of(site)
    assert unit["name"] == unit["serial"] == unit["model"] == nasty
    assert bank_of(site)["cell_max_at"]["unit"] == nasty


def test_holes_among_cells_and_sensors_are_null() -> None:
    site = FakeSite([lfp("a")])
    row = site.units()[0]
    row.state, row.snapshot = "fresh", good(cells_mv=[3300, None, 3310], temps_mc=[None, None])
    site.units = lambda: [row]  # type: ignore[method-assign]
    (unit,) = units_of(site)
    assert unit["cells_v"] == [3.3, None, 3.31]
    assert unit["cell_max_at"] == {"unit": "a", "cell": 3} and unit["temp_mean_c"] is None


@pytest.mark.parametrize("direction", [shapes.CHARGE, shapes.DISCHARGE])
@pytest.mark.parametrize("rule", [*shapes.RULES, "a_rule_to_come"])
@pytest.mark.parametrize("value", [None, 0, 3435, -5000])
def test_every_reason_has_words(rule: str, value: int | None, direction: int) -> None:
    text = shapes.reason_text(Reason("byd-1", rule, value, 1000), direction)
    assert text.startswith("byd-1: ") and "%s" not in text and "_" not in text


def test_reasons_read_well() -> None:
    def say(rule: str, value: int | None, limit: int = 1000, direction: int = 0) -> str:
        return shapes.reason_text(Reason("u", rule, value, limit), direction)

    assert say("cell", 3435) == "u: highest cell at 3.435 V"
    assert say("cell", 2950, direction=1) == "u: lowest cell at 2.95 V"
    assert say("temp", 4000) == "u: a cell at 4 °C"
    assert say("soc", 43) == "u: state of charge 4.3 %"
    assert say("c_rate", 500) == "u: its profile allows 0.5 C"
    assert say("blind", 33891).endswith("counted on for 33.8 A")
    assert say("bms_limit", 200000) == "u: its BMS is set to 200 A"
    assert say("bms_limit", 51000, limit=0) == "u: its BMS asks for none"


def test_every_rule_of_the_limits_has_its_words() -> None:
    """The rules as the interface lists them."""
    rules = (
        "no_limit_known bms_limit unit_cap c_rate cell temp mosfet soc join missing_input "
        "not_permitted path_open share blind system_cap none_fresh "
        "cell_latch temp_latch zero_hold ramp overrun charge_done"
    )
    assert set(shapes.RULES) == set(rules.split())


def test_health_has_its_shape() -> None:
    site = three()
    assert json.loads(shapes.health_json(site.health())) == {
        "ok": True,
        "state": "normal",
        "reason": None,
        "age_s": 1,
        "inverters": {"deye": {"open": True, "asked_s_ago": 1}},
        "version": "0.1.0",
    }
    assert json.loads(shapes.health_json({})) == {
        "ok": None,
        "state": None,
        "reason": None,
        "age_s": None,
        "inverters": {},
        "version": None,
    }


def test_summary_of_the_recorded_byd() -> None:
    """The seed's frame in the seed's units, from the bytes on the wire."""
    codec = byd_pro.Codec(address=1)
    used, frame = codec.take(GOLDEN)
    assert used == len(GOLDEN) and frame is not None
    site = FakeSite([lfp("byd-1")])
    site.join({"byd-1": codec.decode((frame,), 0)})
    summary = json.loads(shapes.summary_json(site))
    assert list(summary) == ["timestamp", "bms", "bank"]
    (row,) = summary["bms"]
    assert list(row) == list(summary["bank"]) == SUMMARY
    expected = {
        "addr": 0,
        "pack_voltage": 5471,
        "pack_current": -60,
        "remain_capacity": 4950,
        "cell_temp_avg": 282,
        "env_temp": 300,
        "SOC": 1000,
        "SOH": 990,
        "full_charge_capacity": 4950,
        "cycle_count": 127,
        "nominal_float_voltage": 5520,
        "design_capacity": 5000,
        "model": "BYD PRO 2.5",
        "fault_status": 0x0C00,
        "last_update": WALL_MS // 1000 + 2,
    }
    assert {key: row[key] for key in expected} == expected
    assert {key: summary["bank"][key] for key in ("pack_voltage", "SOC")} == {
        "pack_voltage": 5471,
        "SOC": 1000,
    }
    numbers = [value for key, value in row.items() if key not in ("serial_no", "model")]
    assert all(isinstance(value, int) for value in numbers)
    assert summary["timestamp"] == WALL_MS // 1000 + 3


def test_summary_lists_fresh_and_held_units_by_slot() -> None:
    site = three()
    for _ in range(30):
        site.feed("b", good())
        site.tick()
    rows = json.loads(shapes.summary_json(site))["bms"]
    assert [row["addr"] for row in rows] == [0, 1, 2]
    assert rows[0]["pack_current"] == -400  # held: as it was last, and when that was
    assert rows[1]["last_update"] - rows[0]["last_update"] == 30
    for _ in range(40):
        site.feed("b", good())
        site.tick()
    rows = json.loads(shapes.summary_json(site))["bms"]
    assert [row["addr"] for row in rows] == [1]


def test_currents_are_cut_not_floored() -> None:
    site = FakeSite([lfp("a")])
    site.join({"a": good(current_ma=-605, temps_mc=[-1050] * 4)})
    row = json.loads(shapes.summary_json(site))["bms"][0]
    assert row["pack_current"] == -60 and row["cell_temp_avg"] == -10
