"""What Prometheus reads, with Prometheus's own parser: names, units, labels, and no invented zeros."""

import math
import time

import pytest
from prometheus_client.parser import text_string_to_metric_families

from tests.web.fake_site import FakeSite, good, lfp
from vbms.metrics import BUCKETS_US, Histogram, Metrics

# From the interface, word for word.
QUANTITIES = (
    "voltage_volts current_amperes power_watts soc_ratio soh_ratio capacity_ampere_hours "
    "remaining_ampere_hours cell_voltage_min_volts cell_voltage_max_volts temperature_min_celsius "
    "temperature_max_celsius charge_limit_amperes discharge_limit_amperes "
    "charge_voltage_limit_volts cycles_total age_seconds state"
).split()

Series = dict[tuple[str, tuple[tuple[str, str], ...]], float]


def scrape(metrics: Metrics) -> Series:
    found: Series = {}
    for family in text_string_to_metric_families(metrics.text().decode()):
        for sample in family.samples:
            key = (sample.name, tuple(sorted(sample.labels.items())))
            assert key not in found, f"twice: {key}"
            assert not math.isnan(sample.value), key
            found[key] = sample.value
    return found


def read(site: FakeSite) -> Series:
    return scrape(Metrics(site))


def value(series: Series, name: str, **labels: str) -> float | None:
    return series.get((name, tuple(sorted(labels.items()))))


def two() -> FakeSite:
    site = FakeSite([lfp("a"), lfp("b")])
    site.join({"a": good(cells_mv=[3300] * 15 + [3312]), "b": good(current_ma=-605)})
    return site


def test_every_name_of_the_interface() -> None:
    site = two()
    site.links = {
        "bms": {"frames_in": 1, "frames_out": 2, "errors": {"timeout": 1}, "busy_us": 1, "up_us": 2}
    }
    site.join({"b": good(warnings=1)})
    names = {name for name, _ in read(site)}
    for quantity in QUANTITIES:
        assert {f"vbms_bank_{quantity}", f"vbms_unit_{quantity}"} <= names
    assert names >= {
        "vbms_unit_cell_voltage_volts",
        "vbms_unit_alarm",
        "vbms_bank_limit_reason",
        "vbms_link_frames_total",
        "vbms_link_errors_total",
        "vbms_link_busy_ratio",
        "vbms_inverter_requests_total",
        "vbms_inverter_reply_seconds_bucket",
        "vbms_inverter_reply_seconds_sum",
        "vbms_inverter_reply_seconds_count",
        "vbms_inverter_silent",
        "vbms_wire_saturated_total",
        "vbms_build_info",
    }


def test_values_are_in_base_units() -> None:
    series = read(two())
    for name, expected in (
        ("voltage_volts", 52.8),
        ("current_amperes", 3.395),
        ("power_watts", 179.256),
        ("soc_ratio", 0.6),
        ("soh_ratio", 0.99),
        ("capacity_ampere_hours", 99),
        ("remaining_ampere_hours", 59.4),
        ("cell_voltage_min_volts", 3.3),
        ("cell_voltage_max_volts", 3.312),
        ("temperature_min_celsius", 24),
        ("temperature_max_celsius", 26),
        ("charge_limit_amperes", 100),
        ("charge_voltage_limit_volts", 55.2),
        ("cycles_total", 12),
        ("age_seconds", 1),
    ):
        assert value(series, f"vbms_bank_{name}") == pytest.approx(expected), name
    assert value(series, "vbms_unit_current_amperes", unit="b") == -0.605
    assert value(series, "vbms_unit_cell_voltage_volts", unit="a", cell="16") == 3.312
    assert value(series, "vbms_unit_cell_voltage_volts", unit="a", cell="17") is None
    assert value(series, "vbms_unit_cell_voltage_volts", unit="a", cell="0") is None
    assert value(series, "vbms_unit_polls_total", unit="a") == 100
    assert value(series, "vbms_unit_errors_total", unit="a", kind="timeouts") == 2
    assert value(series, "vbms_build_info", version="0.1.0") == 1


def test_states_are_one_of_a_set() -> None:
    site = two()
    for _ in range(20):
        site.feed("a", good())
        site.tick()
    series = read(site)
    for name, labels, one in (
        ("vbms_bank_state", {}, "partial"),
        ("vbms_unit_state", {"unit": "a"}, "fresh"),
        ("vbms_unit_state", {"unit": "b"}, "hold"),
    ):
        states = {
            dict(key)["state"]: number
            for (found, key), number in series.items()
            if found == name and set(key) >= set(labels.items())
        }
        assert len(states) == (6 if labels == {} else 7) and [
            word for word in states if states[word]
        ] == [one]


def test_the_binding_rule_is_one_and_the_others_are_zero() -> None:
    series = read(two())
    rules = {
        dict(key)["reason"]: number
        for (name, key), number in series.items()
        if name == "vbms_bank_limit_reason" and ("direction", "charge") in key
    }
    assert len(rules) == 22 and sum(rules.values()) == 1 and rules["unit_cap"] == 1


def test_alarms_stand_by_unit_and_level() -> None:
    site = two()
    site.join({"b": good(warnings=1 << 2, protections=1 << 0, criticals=1 << 12)})
    series = read(site)
    for alarm, level in (
        ("pack_overvoltage", "warning"),
        ("cell_overvoltage", "protection"),
        ("internal", "critical"),
    ):
        assert value(series, "vbms_unit_alarm", unit="b", alarm=alarm, level=level) == 1
    assert sum(1 for name, _ in series if name == "vbms_unit_alarm") == 3


def test_what_is_unknown_has_no_sample() -> None:
    site = FakeSite([lfp("a")])
    site.tick()
    series = read(site)
    names = {name for name, _ in series}
    for quantity in QUANTITIES:
        if quantity not in ("state", "charge_limit_amperes", "discharge_limit_amperes"):
            if quantity != "capacity_ampere_hours":  # the bank's stands in the profiles
                assert f"vbms_bank_{quantity}" not in names, quantity
            assert f"vbms_unit_{quantity}" not in names, quantity
    assert value(series, "vbms_bank_charge_limit_amperes") == 0
    assert b"nan" not in Metrics(site).text().lower()


def test_a_lost_unit_takes_its_series_with_it() -> None:
    site = two()
    for _ in range(70):
        site.feed("a", good())
        site.tick()
    series = read(site)
    assert value(series, "vbms_unit_voltage_volts", unit="b") is None
    assert value(series, "vbms_unit_cell_voltage_volts", unit="b", cell="1") is None
    assert value(series, "vbms_unit_soc_ratio", unit="b") == 0.6
    assert value(series, "vbms_unit_age_seconds", unit="b") == 71
    assert value(series, "vbms_unit_alarm", unit="b", alarm="unit_lost", level="warning") == 1


def test_names_from_outside_are_escaped() -> None:
    name = 'a"\\\nb'
    site = FakeSite([lfp(name)])
    site.join({name: good()})
    assert value(read(site), "vbms_unit_voltage_volts", unit=name) == 52.8


def test_link_counts_and_load() -> None:
    site = two()
    stats = {"frames_in": 5, "frames_out": 6, "errors": {"timeout": 2}, "busy_us": 0, "up_us": 0}
    site.links = {"bms": stats}  # type: ignore[dict-item]
    metrics = Metrics(site)
    series = scrape(metrics)
    assert value(series, "vbms_link_frames_total", link="bms", direction="in") == 5
    assert value(series, "vbms_link_frames_total", link="bms", direction="out") == 6
    assert value(series, "vbms_link_errors_total", link="bms", kind="timeout") == 2
    assert value(series, "vbms_link_busy_ratio", link="bms") is None  # no time has passed

    def load(busy_us: int, up_us: int) -> float | None:
        stats["busy_us"], stats["up_us"] = busy_us, up_us
        return value(scrape(metrics), "vbms_link_busy_ratio", link="bms")

    assert load(1_000_000, 4_000_000) == 0.25  # not long, but all there is
    assert load(5_000_000, 10_000_000) == 0.5
    assert load(5_000_000, 15_000_000) == 0.5  # a second scraper, five seconds later: the same span
    assert load(6_000_000, 20_000_000) == 0.1
    assert load(90_000_000, 31_000_000) == 1.0
    assert load(500_000, 1_000_000) == 0.5  # the line was started anew
    assert load(0, 0) is None


def test_reply_times_fall_into_their_buckets() -> None:
    histogram = Histogram()
    for us in (0, 1000, 1001, 4999, 200_000, 200_001, 10**9):
        histogram.observe(us)
    counts = dict(histogram.buckets())
    assert counts["0.001"] == 2 and counts["0.002"] == 3 and counts["0.005"] == 4
    assert counts["0.2"] == 5 and counts["+Inf"] == 7
    assert len(counts) == len(BUCKETS_US) + 1
    site = two()
    site.reply = histogram
    series = read(site)
    assert value(series, "vbms_inverter_reply_seconds_count", inverter="deye") == 7
    assert value(series, "vbms_inverter_reply_seconds_sum", inverter="deye") == pytest.approx(
        1000.407001
    )
    assert value(series, "vbms_inverter_reply_seconds_bucket", inverter="deye", le="0.005") == 4
    assert value(series, "vbms_inverter_requests_total", inverter="deye") == 7
    assert value(series, "vbms_inverter_silent", inverter="deye") == 0
    assert value(series, "vbms_wire_saturated_total", field="capacity_mah") == 3


def test_a_scrape_of_the_largest_bank_is_cheap() -> None:
    """15 units of 16 cells. Measured about 6 ms on a PC; the bound leaves room for a busy machine."""
    names = ["u%02d" % n for n in range(15)]
    site = FakeSite([lfp(name) for name in names])
    site.join({name: good() for name in names})
    rows = site.units()
    site.units = lambda: rows  # type: ignore[method-assign]
    metrics = Metrics(site)
    best = 1.0
    for _ in range(7):
        start = time.perf_counter()
        text = metrics.text()
        best = min(best, time.perf_counter() - start)
    print("%.2f ms, %d bytes, %d samples" % (best * 1000, len(text), text.count(b"\n")))
    assert best < 0.05
