"""Prometheus text from what the site knows, worked out at each scrape.

One table says which field becomes which series and in which unit: base units, the usual suffixes.
An unknown quantity has no sample: never 0, never NaN.
"""

import typing
from bisect import bisect_left
from collections.abc import Iterator, Mapping
from typing import Protocol, TypedDict

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from vbms.aggregate import alarms, charge, member, relay, virtual
from vbms.aggregate.virtual import Reason, VirtualBattery
from vbms.web.shapes import RULES, is_live, shown

if typing.TYPE_CHECKING:
    from vbms.web.site import RelayRow, Site, UnitRow

# Field of a VirtualBattery, series, milli-units in one unit, help. Units use the same names.
QUANTITIES = (
    ("voltage_mv", "voltage_volts", 1000, "Pack voltage"),
    ("current_ma", "current_amperes", 1000, "Pack current, above zero charging"),
    ("power_mw", "power_watts", 1000, "Pack power, above zero charging"),
    ("soc_permille", "soc_ratio", 1000, "State of charge, 0 to 1"),
    ("soh_permille", "soh_ratio", 1000, "State of health, 0 to 1"),
    ("capacity_mah", "capacity_ampere_hours", 1000, "What a full charge holds today"),
    ("remaining_mah", "remaining_ampere_hours", 1000, "Charge left"),
    ("cell_min_mv", "cell_voltage_min_volts", 1000, "Lowest cell"),
    ("cell_max_mv", "cell_voltage_max_volts", 1000, "Highest cell"),
    ("temp_min_mc", "temperature_min_celsius", 1000, "Coldest cell sensor"),
    ("temp_max_mc", "temperature_max_celsius", 1000, "Hottest cell sensor"),
    ("charge_limit_ma", "charge_limit_amperes", 1000, "Charge current allowed now"),
    ("discharge_limit_ma", "discharge_limit_amperes", 1000, "Discharge current allowed now"),
    ("cvl_mv", "charge_voltage_limit_volts", 1000, "Charge voltage asked for"),
    ("age_ms", "age_seconds", 1000, "Time since the data came (bank: its oldest fresh unit)"),
)
CYCLES = ("cycles_count", "cycles", "Full cycles so far (bank: mean over its units)")

BANK_STATES = (
    virtual.STARTING,
    virtual.NORMAL,
    virtual.PARTIAL,
    virtual.ZERO,
    virtual.SILENT,
    virtual.ERROR,
)
UNIT_STATES = (
    member.JOINING,
    member.FRESH,
    member.HOLD,
    member.LOST,
    member.RETIRED,
    member.DISABLED,
    "mismatch",  # another battery answers at its address
)
PHASES = (charge.BULK, charge.ABSORB, charge.FLOAT, charge.EOC, charge.WAIT)
LEVELS = ("ok", "warning", "protection", "critical")
DIRECTIONS = (("charge", "charge_reasons"), ("discharge", "discharge_reasons"))

BUCKETS_US = (1000, 2000, 3000, 5000, 7500, 10000, 15000, 20000, 30000, 50000, 100000, 200000)
_BUSY_OVER_US = 10_000_000  # a line's load is worked out over at least so long


class Histogram:
    """How long answers took: a count a bucket and the sum, filled at the price of one look-up."""

    __slots__ = ("counts", "sum_us")

    def __init__(self) -> None:
        self.counts = [0] * (len(BUCKETS_US) + 1)
        self.sum_us = 0

    def observe(self, us: int) -> None:
        self.counts[bisect_left(BUCKETS_US, us)] += 1
        self.sum_us += us

    def buckets(self) -> list[tuple[str, float]]:
        """(upper bound in seconds, how many took no longer), as Prometheus wants it."""
        total = 0
        found: list[tuple[str, float]] = []
        for bound, count in zip(BUCKETS_US, self.counts):
            total += count
            found.append((str(bound / 1_000_000), total))
        found.append(("+Inf", total + self.counts[-1]))
        return found


class LinkStats(TypedDict):
    """A line's counts since the start."""

    frames_in: int
    frames_out: int
    errors: Mapping[str, int]  # by kind
    busy_us: int  # for how long bytes were on the wire, both ways
    up_us: int  # for how long the line was watched


class InverterStats(TypedDict):
    """An inverter's counts since the start."""

    requests: int  # good ones to an address of ours
    silent: bool  # whether nothing is told now: starting, stale, in error
    reply: Histogram
    saturated: Mapping[str, int]  # by field: values that did not fit on the wire


if typing.TYPE_CHECKING:

    class MeteredSite(Site, Protocol):
        def link_stats(self) -> Mapping[str, LinkStats]: ...
        def inverter_stats(self) -> Mapping[str, InverterStats]: ...


class Metrics:
    """`text()` is the whole answer to a scrape."""

    def __init__(self, site: "MeteredSite") -> None:
        self._registry = CollectorRegistry(auto_describe=False)
        self._registry.register(_SiteCollector(site))

    def text(self) -> bytes:
        return generate_latest(self._registry)


class _SiteCollector(Collector):
    def __init__(self, site: "MeteredSite") -> None:
        self._site = site
        self._busy: dict[str, tuple[int, int, float | None]] = {}  # link -> busy, up, last ratio

    def collect(self) -> Iterator[Metric]:
        bank = self._site.bank()
        rows = self._site.units()
        yield from _bank(bank)
        yield from _units(rows)
        yield from _alarms(bank)
        yield from _relays(self._site.relays())
        yield from self._links()
        yield from self._inverters()
        build = GaugeMetricFamily("vbms_build_info", "Always 1; the version", labels=["version"])
        build.add_metric([self._site.version], 1)
        yield build

    def _links(self) -> Iterator[Metric]:
        frames = CounterMetricFamily(
            "vbms_link_frames", "Frames on a line", labels=["link", "direction"]
        )
        errors = CounterMetricFamily(
            "vbms_link_errors", "What went wrong on a line", labels=["link", "kind"]
        )
        busy = GaugeMetricFamily(
            "vbms_link_busy_ratio", "Share of the time with bytes on the line", labels=["link"]
        )
        for link, stats in self._site.link_stats().items():
            frames.add_metric([link, "in"], stats["frames_in"])
            frames.add_metric([link, "out"], stats["frames_out"])
            for kind, count in stats["errors"].items():
                errors.add_metric([link, kind], count)
            ratio = self._load(link, stats["busy_us"], stats["up_us"])
            if ratio is not None:
                busy.add_metric([link], ratio)
        yield from (frames, errors, busy)

    def _load(self, link: str, busy_us: int, up_us: int) -> float | None:
        """The load since the scrape before, or one more before; None until there is enough time.

        Several may scrape, each in its own rhythm: so a span ends only when it is long enough.
        """
        was_busy, was_up, ratio = self._busy.get(link, (0, 0, None))
        if up_us < was_up or busy_us < was_busy:  # a line that was started anew counts from 0
            was_busy, was_up, ratio = 0, 0, None
        span = up_us - was_up
        if span >= _BUSY_OVER_US:
            ratio = min(1.0, (busy_us - was_busy) / span)
            self._busy[link] = (busy_us, up_us, ratio)
        elif ratio is None and span > 0:
            ratio = min(1.0, (busy_us - was_busy) / span)
        return ratio

    def _inverters(self) -> Iterator[Metric]:
        requests = CounterMetricFamily(
            "vbms_inverter_requests", "Good requests to an address of ours", labels=["inverter"]
        )
        replies = HistogramMetricFamily(
            "vbms_inverter_reply_seconds",
            "From a request's last byte to its answer, turnaround included",
            labels=["inverter"],
        )
        silent = GaugeMetricFamily(
            "vbms_inverter_silent", "1 while the inverter is told nothing", labels=["inverter"]
        )
        saturated = CounterMetricFamily(
            "vbms_wire_saturated", "Values told that did not fit their field", labels=["field"]
        )
        fields: dict[str, int] = {}
        for inverter, stats in self._site.inverter_stats().items():
            requests.add_metric([inverter], stats["requests"])
            reply = stats["reply"]
            replies.add_metric([inverter], reply.buckets(), reply.sum_us / 1_000_000)
            silent.add_metric([inverter], 1 if stats["silent"] else 0)
            for field, count in stats["saturated"].items():
                fields[field] = fields.get(field, 0) + count
        for field, count in fields.items():
            saturated.add_metric([field], count)
        yield from (requests, replies, silent, saturated)


def _bank(bank: VirtualBattery) -> Iterator[Metric]:
    for field, name, scale, text in QUANTITIES:
        family = GaugeMetricFamily(f"vbms_bank_{name}", text)
        value = getattr(bank, field)
        if value is not None:
            family.add_metric([], value / scale)
        yield family
    field, name, text = CYCLES
    cycles = CounterMetricFamily(f"vbms_bank_{name}", text)
    if bank.cycles_count is not None:
        cycles.add_metric([], bank.cycles_count)
    yield cycles
    state = GaugeMetricFamily("vbms_bank_state", "1 for the state the bank is in", labels=["state"])
    for word in BANK_STATES:
        state.add_metric([word], 1 if bank.state == word else 0)
    yield state
    phase = GaugeMetricFamily(
        "vbms_bank_charge_phase", "1 for the phase the charge is in", labels=["phase"]
    )
    for word in PHASES if bank.phase else ():
        phase.add_metric([word], 1 if bank.phase == word else 0)
    yield phase
    reason = GaugeMetricFamily(
        "vbms_bank_limit_reason",
        "1 for the rule that sets the limit now",
        labels=["direction", "reason"],
    )
    for direction, attribute in DIRECTIONS:
        reasons: tuple[Reason, ...] = getattr(bank, attribute)
        binding = reasons[0].rule if reasons else None
        for rule in RULES:
            reason.add_metric([direction, rule], 1 if rule == binding else 0)
        if binding is not None and binding not in RULES:
            reason.add_metric([direction, binding], 1)
    yield reason


def _units(rows: "typing.Sequence[UnitRow]") -> Iterator[Metric]:
    batteries = [shown(row) for row in rows]
    for field, name, scale, text in QUANTITIES:
        family = GaugeMetricFamily(f"vbms_unit_{name}", text, labels=["unit"])
        for battery in batteries:
            value = getattr(battery, field)
            if value is not None:
                family.add_metric([battery.name], value / scale)
        yield family
    field, name, text = CYCLES
    cycles = CounterMetricFamily(f"vbms_unit_{name}", text, labels=["unit"])
    for battery in batteries:
        if battery.cycles_count is not None:
            cycles.add_metric([battery.name], battery.cycles_count)
    yield cycles
    state = GaugeMetricFamily(
        "vbms_unit_state", "1 for the state the unit is in", labels=["unit", "state"]
    )
    for battery in batteries:
        for word in UNIT_STATES:
            state.add_metric([battery.name, word], 1 if battery.state == word else 0)
    yield state
    cell_voltage = GaugeMetricFamily(
        "vbms_unit_cell_voltage_volts", "Each cell, counted from 1", labels=["unit", "cell"]
    )
    polls = CounterMetricFamily("vbms_unit_polls", "Times asked", labels=["unit"])
    errors = CounterMetricFamily(
        "vbms_unit_errors", "Polls and frames that came to nothing", labels=["unit", "kind"]
    )
    for row in rows:
        cells = row.snapshot.cells_mv if row.snapshot is not None and is_live(row) else None
        for at, cell in enumerate(cells or (), 1):
            if cell is not None:
                cell_voltage.add_metric([row.name, str(at)], cell / 1000)
        for kind, count in row.counters.items():
            if kind == "polls":
                polls.add_metric([row.name], count)
            else:
                errors.add_metric([row.name, kind], count)
    yield from (cell_voltage, polls, errors)


def _alarms(bank: VirtualBattery) -> Iterator[Metric]:
    """Those that stand, the bank's own under its name; and what the bank as a whole tells."""
    family = GaugeMetricFamily(
        "vbms_unit_alarm", "1 while it stands", labels=["unit", "alarm", "level"]
    )
    for bit, level, unit in bank.alarms:
        for word in alarms.named(bit):
            family.add_metric([unit, word, LEVELS[level]], 1)
    yield family
    family = GaugeMetricFamily(
        "vbms_bank_alarm", "1 while the bank tells it", labels=["alarm", "level"]
    )
    for word in alarms.named(bank.warnings | bank.protections | bank.criticals):
        bit = 1 << alarms.NAMES.index(word)
        level = alarms.level_of(bit, bank.warnings, bank.protections, bank.criticals)
        family.add_metric([word, LEVELS[level]], 1)
    yield family


def _relays(rows: "typing.Sequence[RelayRow]") -> Iterator[Metric]:
    on = GaugeMetricFamily("vbms_relay_on", "1 while it is on", labels=["relay"])
    seconds = GaugeMetricFamily("vbms_relay_on_seconds", "Time on in this charge", labels=["relay"])
    state = GaugeMetricFamily(
        "vbms_relay_state", "1 for the state the charger is in", labels=["relay", "state"]
    )
    for row in rows:
        if row.on is not None:
            on.add_metric([row.name], 1 if row.on else 0)
        seconds.add_metric([row.name], row.on_ms / 1000)
        for word in relay.STATES:
            state.add_metric([row.name, word], 1 if row.state == word else 0)
    yield from (on, seconds, state)
