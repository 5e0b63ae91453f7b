"""Whose turn it is, on a clock that only counts."""

import random

from hypothesis import given, settings
from hypothesis import strategies as st

from vbms.lines.ble_turns import (
    FIRST_MS,
    HEARD_MS,
    LONGEST_MS,
    VISIT_MS,
    Turn,
    back_off_ms,
    next_turn,
    waiting,
)

RNG = random.Random(1)


def turn(name: str, **values: int) -> Turn:
    made = Turn(name, name, 30000, 15000)
    made.heard_ms = 0
    for key, value in values.items():
        setattr(made, key, value)
    return made


def test_free_slots_are_filled_who_has_waited_longest_first() -> None:
    turns = [turn("a", since_ms=900), turn("b", since_ms=100), turn("c", since_ms=500)]
    assert [each.name for each in waiting(turns, 1000)] == ["b", "c", "a"]
    assert next_turn(turns, 1000, 8) == (turns[1], None)


def test_nobody_lets_go_while_the_other_is_fresh_enough() -> None:
    held = turn("held")
    held.up(0)
    held.good(9000)
    other = turn("other", good_ms=5000, heard_ms=9000)
    assert next_turn([held, other], 10_000, 1) == (None, None)
    held.good(13_000)
    assert next_turn([held, other], 13_000, 1) == (other, held)


def test_who_lets_go_has_had_a_visit_and_has_just_delivered() -> None:
    first, second = turn("first"), turn("second")
    first.up(0)
    second.up(VISIT_MS)
    other = turn("other", heard_ms=10_000)
    now = VISIT_MS + 100
    assert next_turn([first, second, other], now, 2) == (None, None)  # neither has delivered
    second.good(now)
    assert next_turn([first, second, other], now, 2) == (None, None)  # and this one came now
    first.good(now)
    assert next_turn([first, second, other], now, 2) == (other, first)


def test_a_fresh_one_at_the_head_of_the_queue_keeps_nobody_waiting() -> None:
    held = turn("held")
    held.up(0)
    held.good(20_000)
    fresh = turn("fresh", good_ms=19_000, since_ms=100, heard_ms=20_000)
    stale = turn("stale", good_ms=5000, since_ms=5000, heard_ms=20_000, failures=1)
    assert next_turn([held, fresh, stale], 20_000, 1) == (stale, held)


def test_one_that_bluez_forgot_has_not_failed() -> None:
    each = turn("a", heard_ms=1000)
    each.lost(2000)
    assert each.failures == 0 and each.is_sought(2000) and not each.can_connect(2000)


def test_failures_stand_back_but_are_not_forgotten() -> None:
    bad = turn("bad", since_ms=0, failures=2)
    good = turn("good", since_ms=9000)
    assert waiting([bad, good], 10_000)[0] is good
    good.since_ms = 11_000
    assert waiting([bad, good], 12_000)[0] is bad


@given(st.integers(1, 40), st.integers(0, 999))
def test_back_off_is_bounded_and_not_in_step(failures: int, seed: int) -> None:
    found = back_off_ms(failures, random.Random(seed))
    usual = min(1000 * 2 ** min(failures - 1, 5), LONGEST_MS)
    assert usual * 0.75 <= found <= usual * 1.26
    assert len({back_off_ms(failures, RNG) for _ in range(50)}) > 5


def test_after_a_failure_it_is_heard_anew() -> None:
    each = turn("a")
    each.failed(1000, RNG)
    assert not each.can_connect(1000) and not each.is_sought(1000)
    assert each.is_sought(each.due_ms) and not each.can_connect(each.due_ms)
    each.heard_ms = each.due_ms
    assert each.can_connect(each.due_ms) and not each.is_sought(each.due_ms)
    assert not each.can_connect(each.due_ms + HEARD_MS + 1)


def test_scans_in_vain_come_more_rarely() -> None:
    each = turn("a", heard_ms=-HEARD_MS - 1)
    waits = []
    for _ in range(7):
        each.unheard(0)
        waits.append(each.scan_due_ms)
    assert waits == [2000, 4000, 8000, 16000, 30000, 30000, 30000]


def test_silence_is_believed() -> None:
    each = turn("a")
    each.up(1000)
    assert each.stalls_at_ms(False) == 31_000
    assert each.stalls_at_ms(True) == 1000 + FIRST_MS  # others wait, and it has said nothing
    each.good(5000)
    assert each.stalls_at_ms(True) == 35_000
    each.failed(40_000, RNG)
    each.up(50_000)
    assert each.stalls_at_ms(False) == 50_000 + FIRST_MS


@settings(max_examples=20)
@given(st.integers(1, 15), st.integers(1, 9), st.integers(0, 99))
def test_everybody_gets_a_turn(count: int, slots: int, seed: int) -> None:
    """Some simulated minutes: connections take 1 to 3 s, one in ten fails, frames come each 0.7 s."""
    rng = random.Random(seed)
    turns = [turn(f"u{number}") for number in range(count)]
    now = 0
    rounds = -(-count // slots)
    while now < 60_000 * (rounds + 2):
        chosen, leaving = next_turn(turns, now, slots)
        if leaving is not None:
            leaving.let_go(now)
        if chosen is None:
            now += 500
        else:
            now += rng.randrange(1000, 3000)
            if rng.random() < 0.1:
                chosen.failed(now, rng)
            else:
                chosen.up(now)
        for each in turns:
            if each.is_up and now - each.since_ms > 1000:
                each.good(now)
            elif each.is_sought(now):
                each.heard_ms = now
        assert sum(each.is_up for each in turns) <= slots
    for each in turns:
        assert now - each.good_ms < 60_000 * rounds, each.name
