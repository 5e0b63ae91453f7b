"""A charger behind a relay: the table of its states, and what no sequence of events may do."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vbms.aggregate import relay as core
from vbms.aggregate.relay import CHARGE, FAULT, IDLE, INITIAL, TIMEOUT, Relay, RelayProfile
from vbms.aggregate.virtual import ERROR, NORMAL, PARTIAL, SILENT, STARTING, ZERO, VirtualBattery

MINUTE = 60_000
HOUR = 60 * MINUTE


def battery(soc: int | None = 600, limit: int = 50_000, cell: int = 3320, **more: Any) -> Any:
    values: dict[str, Any] = {
        "soc_permille": soc,
        "charge_limit_ma": limit,
        "cell_max_mv": cell,
        "state": NORMAL,
        "age_ms": 500,
    }
    return VirtualBattery(**{**values, **more})


class Bench:
    """A relay whose pause is over, with a clock of its own."""

    def __init__(self, kept: dict[str, object] | None = None, **values: Any) -> None:
        self.relay = Relay(RelayProfile(10_000, **values))
        if kept is not None:
            self.relay.resume(kept)
        self.now = (1 << 30) - 2 * MINUTE  # the clock passes 2**30 on the way
        self.feed(VirtualBattery(), MINUTE)

    def feed(self, what: VirtualBattery, ms: int = 1000, step: int = 1000) -> bool:
        for _ in range(0, ms + step, step):
            self.now += step
            self.relay.step(what, self.now)
        return self.relay.on


def test_the_scripted_day() -> None:
    """SOC 60, 100, 81, 80, 100: on, off, off, on, off."""
    bench = Bench()
    seen = []
    for percent in (60, 100, 81, 80, 100):
        bench.feed(battery(percent * 10), 2 * MINUTE)
        seen.append((bench.relay.on, bench.relay.state))
    assert seen == [(True, INITIAL), (False, IDLE), (False, IDLE), (True, CHARGE), (False, IDLE)]


@pytest.mark.parametrize("phase", [INITIAL, IDLE, CHARGE, TIMEOUT])
def test_a_restart_resumes(phase: str) -> None:
    first = Bench()
    first.relay.phase = phase
    first.relay.on_ms = 3 * HOUR
    again = Bench(first.relay.kept())
    assert again.relay.state == phase and again.relay.on_ms == 3 * HOUR
    on = again.feed(battery(810), 5000)
    assert on is (phase in (INITIAL, CHARGE))
    if on:
        assert again.feed(battery(810), HOUR) is False and again.relay.state == TIMEOUT


@pytest.mark.parametrize(
    "kept",
    [
        {},
        {"phase": "fault"},
        {"phase": 7, "on_min": 5},
        {"phase": "charge", "on_min": "x", "rest_min": -1, "filled": "yes"},
        {"phase": None},
        {"phase": "idle", "on_min": 10**9},
        {"phase": ["idle"]},
    ],
)
def test_a_state_that_makes_no_sense_is_left_out(kept: dict[str, object]) -> None:
    relay = Relay(RelayProfile(10_000))
    relay.resume(kept)
    assert relay.phase in (INITIAL, CHARGE, IDLE) and relay.on_ms == 0 and not relay.on


def test_time_out_after_three_and_a_half_hours_on_and_only_on() -> None:
    bench = Bench()
    assert bench.feed(battery(), 3 * HOUR, 5000)
    bench.feed(battery(limit=0), 5 * HOUR, 5000)  # off: this does not count
    assert bench.relay.state == INITIAL and not bench.relay.on
    assert bench.feed(battery(), 25 * MINUTE, 5000)
    assert not bench.feed(battery(), 10 * MINUTE, 5000)
    assert bench.relay.state == TIMEOUT and bench.relay.why == core.TOO_LONG
    bench.feed(battery(100), 48 * HOUR, 60_000)
    assert bench.relay.state == TIMEOUT  # only a person
    assert bench.relay.clear() and bench.relay.state == INITIAL
    assert bench.feed(battery(), 5000) and not bench.relay.clear()


def test_next_day_tries_again_by_itself() -> None:
    bench = Bench(timeout_ms=HOUR, retry_ms=24 * HOUR)
    bench.feed(battery(), 2 * HOUR, 5000)
    assert bench.relay.state == TIMEOUT
    bench.feed(battery(), 22 * HOUR, 60_000)
    assert bench.relay.state == TIMEOUT
    bench.feed(battery(), 80 * MINUTE, 60_000)
    assert bench.relay.state == INITIAL and bench.relay.on


def test_a_new_charge_has_its_whole_time() -> None:
    bench = Bench(timeout_ms=2 * HOUR)
    bench.feed(battery(), HOUR, 5000)
    bench.feed(battery(1000), 5000)
    bench.feed(battery(800), HOUR + 30 * MINUTE, 5000)
    assert bench.relay.state == CHARGE and bench.relay.on


@pytest.mark.parametrize(
    ("what", "why", "state"),
    [
        (battery(state=ZERO, age_ms=None), core.NO_DATA, INITIAL),
        (battery(state=SILENT), core.NO_DATA, INITIAL),
        (battery(state=STARTING), core.NO_DATA, INITIAL),
        (battery(age_ms=None), core.NO_DATA, INITIAL),
        (battery(None), core.NO_DATA, INITIAL),
        (battery(limit=0), core.NOT_ALLOWED, INITIAL),
        (battery(limit=9999), core.NOT_ALLOWED, INITIAL),
        (battery(criticals=1 << 12), core.HARDWARE, FAULT),
        (battery(state=ERROR), core.HARDWARE, FAULT),
    ],
)
def test_off_at_once_and_on_again_after_a_minute(what: Any, why: str, state: str) -> None:
    bench = Bench()
    assert bench.feed(battery(), 10_000)
    bench.now += 1
    assert bench.relay.step(what, bench.now) is False
    assert (bench.relay.why, bench.relay.state) == (why, state)
    bench.now += 1
    assert bench.relay.step(battery(), bench.now) is False and bench.relay.why == core.PAUSE
    assert not bench.feed(battery(), 55_000)
    assert bench.feed(battery(), 10_000)


def test_some_silent_is_no_reason() -> None:
    assert Bench().feed(battery(state=PARTIAL), 5000)


def test_a_relay_that_does_not_obey_is_a_fault() -> None:
    bench = Bench()
    bench.feed(battery(), 5000)
    bench.relay.broken = True
    assert not bench.feed(battery()) and bench.relay.state == FAULT
    bench.relay.broken = False
    assert bench.feed(battery(), 2 * MINUTE) and bench.relay.state == INITIAL


def test_a_high_cell_that_ends_the_charge_is_full() -> None:
    bench = Bench()
    bench.feed(battery(940), 5000)
    assert not bench.feed(battery(950, limit=2000, cell=3480), 50_000)
    assert bench.relay.state == INITIAL
    bench.feed(battery(950, limit=2000, cell=3480), 20_000)
    assert bench.relay.state == IDLE
    bench.feed(battery(950), HOUR, 5000)
    assert not bench.relay.on and bench.relay.state == IDLE
    never = Bench(full_cell_mv=None)
    never.feed(battery(950, limit=2000, cell=3480), HOUR, 5000)
    assert never.relay.state == INITIAL


def test_the_units_own_word_counts_where_what_is_told_is_slower() -> None:
    bench = Bench()
    bench.feed(battery(700), 5000)
    for told, own, state in ((700, 999, INITIAL), (700, 1000, IDLE), (750, 801, IDLE)):
        bench.now += 1000
        bench.relay.step(battery(told), bench.now, own)
        assert bench.relay.state == state
    bench.now += 1000
    bench.relay.step(battery(900), bench.now, 800)
    assert bench.relay.state == CHARGE
    bench.now += 1000
    bench.relay.step(battery(1000), bench.now, 960)  # the bank calls itself full
    assert bench.relay.state == IDLE


def test_a_cold_battery_is_not_full() -> None:
    bench = Bench()
    bench.feed(battery(990, limit=0, cell=3330), HOUR, 5000)
    assert bench.relay.state == INITIAL and not bench.relay.on


events = st.one_of(
    st.builds(
        battery,
        soc=st.one_of(st.none(), st.integers(0, 1000), st.sampled_from([799, 800, 801, 999, 1000])),
        limit=st.one_of(st.integers(0, 60_000), st.sampled_from([0, 9999, 10_000])),
        cell=st.one_of(st.none(), st.integers(2500, 3700)),
        state=st.sampled_from([NORMAL] * 5 + [PARTIAL, ZERO, STARTING, SILENT, ERROR]),
        age_ms=st.sampled_from([0, 500, 9000, None]),
        criticals=st.sampled_from([0] * 6 + [1 << 12]),
    ),
    st.sampled_from(["clear", "break", "mend", "restart"]),
)


@given(
    st.lists(
        st.tuples(events, st.sampled_from([0, 1, 1000, 1000, 61_000, 7_200_000, -5000])),
        max_size=40,
    )
)
def test_on_only_when_all_is_well(steps: Any) -> None:
    """Whatever happens: on is a charge that is allowed, of a battery that is heard, within its time."""
    profile = RelayProfile(10_000, retry_ms=24 * HOUR)
    relay = Relay(profile)
    now = 5000
    was, last = False, now
    on_for = off_for = 0
    for what, passed in steps:
        now += passed
        if what == "clear":
            on_for = 0 if relay.clear() else on_for
        elif what == "break" or what == "mend":
            relay.broken = what == "break"
        elif what == "restart":
            kept = relay.kept()
            relay = Relay(profile)
            relay.resume(kept)
            was, last, off_for, on_for = False, now, 0, relay.on_ms
            assert relay.on is False
        else:
            phase = relay.phase
            on = relay.step(what, now)
            spent = max(0, now - last)  # a clock that steps back makes nothing longer or shorter
            last = now
            on_for += spent if was else 0
            off_for += 0 if was else spent
            if relay.phase != phase and relay.phase in (CHARGE, INITIAL):
                on_for = 0
            if on:
                assert what.state in (NORMAL, PARTIAL) and what.age_ms is not None
                assert what.soc_permille is not None and what.soc_permille < 1000
                assert what.charge_limit_ma >= 10_000 and not what.criticals
                assert relay.state in (INITIAL, CHARGE) and not relay.broken
                assert on_for < profile.timeout_ms
                assert was or off_for >= profile.pause_ms
            off_for = 0 if was and not on else off_for
            was = on
        assert relay.state in core.STATES and relay.why in core.REASONS
        assert relay.on_ms >= 0
