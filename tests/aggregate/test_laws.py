"""The laws of merging, as properties over random banks."""

from __future__ import annotations

import random
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from vbms.aggregate.bank import Bank
from vbms.aggregate.freshness import lately
from vbms.aggregate.limits import CHARGE, DISCHARGE, Surroundings
from vbms.aggregate.member import DISABLED, FRESH, HOLD, JOINING, LOST, RETIRED, Member
from vbms.aggregate.merge import merge
from vbms.aggregate.profile import BankProfile, UnitProfile
from vbms.aggregate.snapshot import FIELDS, Snapshot
from vbms.aggregate.virtual import VirtualBattery

from .banks import bank, caps, expected, member, own, rows, unit, weight

# At least 200 examples of each, more under the nightly profile.
law = settings(max_examples=max(200, settings().max_examples))


def merged(
    given_rows: list[dict[str, Any]], cap: tuple[int | None, int | None] = (None, None)
) -> VirtualBattery:
    return merge([member(row) for row in given_rows], bank(cap))


def limits(out: VirtualBattery) -> tuple[int, int]:
    return out.charge_limit_ma, out.discharge_limit_ma


def public(out: VirtualBattery) -> list[Any]:
    """Everything merge says, reasons spelled out."""
    seen = [getattr(out, name) for name in VirtualBattery.__slots__ if "reasons" not in name]
    for reasons in (out.charge_reasons, out.discharge_reasons):
        seen.append([(r.unit, r.rule, r.value, r.limit_ma) for r in reasons])
    return seen


@law
@given(rows(), caps)
def test_limit_is_the_worst_case_over_every_combination_of_silent_units(r: Any, cap: Any) -> None:
    """I9: nobody is overrun, whoever of the silent units is still connected; nor is more than a floor lost."""
    out = merged(r, cap)
    for direction, told in ((0, out.charge_limit_ma), (1, out.discharge_limit_ma)):
        exact = expected(r, cap, direction)
        assert told <= exact
        assert exact - told < 1


any_value = {
    "cells_mv": st.one_of(
        st.none(), st.lists(st.one_of(st.none(), st.integers(-10, 70000)), max_size=33)
    ),
    "temps_mc": st.one_of(
        st.none(), st.lists(st.one_of(st.none(), st.integers(-300000, 300000)), max_size=9)
    ),
}
for _name in FIELDS:
    if (
        _name.endswith(("_mv", "_ma", "_mah", "_mc", "_permille", "_count", "_ms"))
        and _name not in any_value
    ):
        any_value[_name] = st.one_of(st.none(), st.integers(-(2**31), 2**31))
    elif _name in (
        "charge_ok",
        "discharge_ok",
        "charge_open",
        "discharge_open",
        "balancing",
        "ccl_is_trip",
        "dcl_is_trip",
    ):
        any_value[_name] = st.sampled_from([None, True, False])


@law
@given(
    st.lists(
        st.tuples(
            st.sampled_from([FRESH, FRESH, HOLD, LOST, JOINING, RETIRED, DISABLED]),
            st.one_of(st.none(), st.fixed_dictionaries({}, optional=any_value)),
            st.integers(0, 2**31),
        ),
        max_size=32,
    )
)
def test_merge_is_total_and_integer(units: Any) -> None:
    """I1, I2: any subset of missing or absurd fields gives a battery, and no float in it."""
    members = []
    for at, (state, values, age) in enumerate(units):
        made = Member(UnitProfile("k%d" % at))
        made.state = state
        made.age_ms = age
        made.take(None if values is None else Snapshot(**values))
        members.append(made)
    out = merge(members, BankProfile())
    for value in public(out)[:-2]:
        assert not isinstance(value, float)
    assert out.charge_limit_ma >= 0 and out.discharge_limit_ma >= 0


@law
@given(rows(), caps, st.integers(0, 2**16))
def test_order_changes_nothing(r: Any, cap: Any, seed: int) -> None:
    """I3, owners and reasons included."""
    shuffled = list(r)
    random.Random(seed).shuffle(shuffled)
    assert public(merged(r, cap)) == public(merged(shuffled, cap))


@law
@given(rows(most=1, states=(FRESH,)))
def test_one_unit_is_itself(r: Any) -> None:
    """I4."""
    out = merged(r)
    (row,) = r
    assert (out.voltage_mv, out.current_ma) == (row["v"], row["i"])
    assert out.soc_permille == row["soc"]
    assert (out.cell_max_mv, out.cell_min_mv) == (max(row["cells"]), min(row["cells"]))
    assert (out.temp_max_mc, out.temp_min_mc) == (max(row["temps"]), min(row["temps"]))
    assert limits(out) == (own(row, 0), own(row, 1))


@law
@given(rows())
def test_extremes_are_real(r: Any) -> None:
    """I5."""
    out = merged(r)
    heard = {row["key"]: row for row in r if row["state"] in (FRESH, HOLD)}
    if not heard:
        assert out.cell_max_mv is None and out.temp_max_mc is None
        return
    every = [cell for row in heard.values() for cell in row["cells"]]
    assert (out.cell_min_mv, out.cell_max_mv) == (min(every), max(every))
    for value, owner in (
        (out.cell_max_mv, out.cell_max_owner),
        (out.cell_min_mv, out.cell_min_owner),
    ):
        assert owner is not None and heard[owner[0]]["cells"][owner[1]] == value
    temps = [t for row in heard.values() for t in row["temps"]]
    assert (out.temp_min_mc, out.temp_max_mc) == (min(temps), max(temps))


@law
@given(rows(), st.integers(0, 5), st.integers(0, 1000))
def test_soc_lies_between_and_follows(r: Any, at: int, up: int) -> None:
    """I6, I7: between the lowest and the highest; a unit's SOC up, the bank's not down."""
    counted = [row for row in r if row["state"] in (FRESH, HOLD, LOST)]
    out = merged(r)
    if not counted:
        assert out.soc_permille is None
        return
    if any(weight(row) for row in counted):
        counted = [row for row in counted if weight(row)]
    socs = [row["soc"] for row in counted]
    assert out.soc_permille is not None and min(socs) <= out.soc_permille <= max(socs)
    row = counted[at % len(counted)]
    row["soc"] = min(1000, row["soc"] + up)
    after = merged(r).soc_permille
    assert after is not None and after >= out.soc_permille


@law
@given(rows(states=(FRESH,)))
def test_two_halves_are_the_whole(r: Any) -> None:
    """I7: a unit split into two identical halves moves SOC by no more than a floor, limits likewise."""
    whole = r[0]
    if not whole["fcc"]:
        return
    for key in ("fcc", "design"):
        whole[key] = whole[key] and whole[key] // 2 * 2
    for key in ("ccl", "dcl"):
        whole[key] = whole[key] and whole[key] // 20 * 20
    half = dict(whole, key="zz", cap=tuple(c and c // 2 for c in whole["cap"]))
    for key in ("fcc", "design", "ccl", "dcl"):
        half[key] = whole[key] and whole[key] // 2
    one = merged(r)
    two = merged([dict(half, key=whole["key"]), half] + r[1:])
    parts = sum(weight(row) or 0 for row in r)
    assert one.soc_permille is not None and two.soc_permille is not None
    assert abs(one.soc_permille - two.soc_permille) <= 1
    # Two floors of half a mA lose at most 1 mA of L(u), and L(u) counts W / w times in the bank.
    for a, b in zip(limits(one), limits(two)):
        assert 0 <= a - b <= -(-parts // whole["fcc"])


@law
@given(rows(), caps)
def test_limits_add_up_to_no_more_than_the_units(r: Any, cap: Any) -> None:
    """I8, I10."""
    fresh = [row for row in r if row["state"] == FRESH]
    for direction, told in enumerate(limits(merged(r, cap))):
        assert 0 <= told <= sum(own(row, direction) for row in fresh)
        for row in fresh:
            if row["ok"][direction] is not True and row["open"][direction] is not True:
                assert told == 0


def worse(draw: Any, row: dict[str, Any], direction: int) -> dict[str, Any]:
    """The same unit with one thing worse for this direction, none of it proof of an open path."""
    kinds = ["cell", "cold", "hot", "limit", "permission", "mosfet", "mosfet_lost", "temps_lost"]
    kind = draw(st.sampled_from(kinds))
    by = draw(st.integers(1, 400))
    out = dict(row)
    if kind == "cell":
        cells = list(row["cells"])
        at = cells.index(max(cells) if direction == 0 else min(cells))
        cells[at] += by if direction == 0 else -by
        out["cells"] = cells
    elif kind == "cold":
        out["temps"] = [min(row["temps"]) - by * 50, *row["temps"]]
    elif kind == "hot":
        out["temps"] = [max(row["temps"]) + by * 50, *row["temps"]]
    elif kind == "limit":
        name = "ccl" if direction == 0 else "dcl"
        if row[name] is not None:
            out[name] = max(0, row[name] - by * 300)
    elif kind == "permission":
        ok = list(row["ok"])
        ok[direction] = False
        out["ok"] = tuple(ok)
    elif kind == "mosfet" and row["mos"] is not None:
        out["mos"] = row["mos"] + by * 100
    elif kind == "mosfet_lost":
        out["mos"] = None
    elif kind == "temps_lost":
        out["temps"] = []
    return out


@law
@given(st.data(), rows(states=(FRESH, FRESH, HOLD, LOST, JOINING)), st.integers(0, 5))
def test_a_worse_input_never_raises_a_limit(data: Any, r: Any, at: int) -> None:
    """I11. A silent unit's last voltage is kept, as its worse cell is not what it measured last."""
    at %= len(r)
    direction = data.draw(st.sampled_from([CHARGE, DISCHARGE]))
    before = limits(merged(r))[direction]
    r[at] = worse(data.draw, r[at], direction)
    assert limits(merged(r))[direction] <= before


@law
@given(rows(states=(FRESH, FRESH, FRESH, HOLD, LOST)), st.integers(0, 5))
def test_going_blind_never_raises_a_limit(r: Any, at: int) -> None:
    """I12: fresh, held ever longer, lost; all else as it was. Beyond ten minutes nothing grows either.

    As the bank judges silent units. The merge alone forgets what this one told, so there the same
    holds unless an extreme of the fresh units, by which another silent one is judged, goes with it.
    """
    at %= len(r)
    if r[at]["state"] != FRESH or any(o is True for o in r[at]["open"]):
        return
    left = [member(row) for row in r if row["state"] == FRESH and row is not r[at]]
    told = [member(row) for row in r if row["state"] == FRESH]
    forgets = extremes(Surroundings(left)) != extremes(Surroundings(told))
    before, plain = in_a_bank(r), limits(merged(r))
    for state, age in ((HOLD, 10001), (HOLD, 30000), (HOLD, 60000), (LOST, 60001), (LOST, 600000)):
        r[at] = dict(r[at], state=state, age=age)
        now = in_a_bank(r)
        assert now[0] <= before[0] and now[1] <= before[1]
        before = now
        if not forgets:
            now = limits(merged(r))
            assert now[0] <= plain[0] and now[1] <= plain[1]
            plain = now


def in_a_bank(given_rows: list[dict[str, Any]]) -> tuple[int, int]:
    """The limits as a bank merges them, which also knows what the silent told last."""
    members = [member(row) for row in given_rows]
    found = limits(merge(members, bank(), lately(members)))
    plain = limits(merged(given_rows))
    assert found[0] <= plain[0] and found[1] <= plain[1]
    return found


def extremes(around: Surroundings) -> tuple[int | None, ...]:
    return around.bus_high_mv, around.bus_low_mv, around.temp_max_mc, around.temp_min_mc


@law
@given(rows(), caps, st.integers(0, 5))
def test_only_an_acknowledged_retired_unit_stops_to_count(r: Any, cap: Any, at: int) -> None:
    """I12: a person's word changes nothing for any other unit; a retired one counts as a disabled one."""
    at %= len(r)
    made = [member(row) for row in r]
    made[at].acknowledged = True
    out = merge(made, bank(cap))
    if r[at]["state"] == RETIRED:
        r[at] = dict(r[at], state=DISABLED)
    without = merged(r, cap)
    assert limits(out) == limits(without)
    if r[at]["state"] != RETIRED:
        assert public(out) == public(without)


@law
@given(st.lists(st.tuples(st.integers(0, 2), st.integers(1, 2400), st.booleans()), max_size=12))
def test_a_bank_forgets_only_what_was_retired_and_acknowledged(steps: Any) -> None:
    """I12 over time: a unit out of the account is one that was retired, acknowledged, and silent since."""
    there = Bank(BankProfile(), [UnitProfile(key, **KNOWN) for key in "abc"])
    now = 0
    allowed: set[str] = set()
    for which, seconds, word in steps:
        key = "abc"[which]
        now += seconds * 1000
        if word:
            before = there.tick(now)
            retired = there.units[key].state == RETIRED
            known = there.units[key].was_retired
            assert there.acknowledge(key) is (retired or known)
            if retired:
                allowed.add(key)
            after = there.tick(now)
            if not retired:
                assert limits(after) == limits(before) and after.n_total == before.n_total
            for old, new in zip(limits(before), limits(after)):
                assert new >= old
        else:
            for _ in range(3):
                assert there.accept(key, healthy(now), now) is None
                now += 1000
            allowed.discard(key)
            there.tick(now)
        out = {unit.key for unit in there.units.values() if unit.is_out()}
        assert out == set(there.acknowledged()) == allowed


KNOWN: dict[str, Any] = {
    "cells": 16,
    "capacity_mah": 50000,
    "max_charge_ma": 50000,
    "max_discharge_ma": 50000,
    "mosfet_present": False,
}


def healthy(now: int) -> Snapshot:
    return Snapshot(
        taken_ms=now,
        voltage_mv=52800,
        current_ma=now % 7,
        soc_permille=500,
        cells_mv=(3300,) * 16,
        temps_mc=(21000,),
        charge_ok=True,
        discharge_ok=True,
    )


@law
@given(st.integers(1, 18), st.integers(1, 300000), st.integers(10000, 320000))
def test_one_more_equal_unit_never_lowers(n: int, ccl: int, fcc: int) -> None:
    """I13."""
    made = [unit("u%02d" % k, ccl=ccl, dcl=ccl, fcc=fcc) for k in range(n + 1)]
    assert limits(merged(made[:n]))[0] <= limits(merged(made))[0]
    assert limits(merged(made))[0] == (n + 1) * ccl


@law
@given(rows(states=(HOLD, LOST, JOINING, RETIRED)))
def test_nothing_fresh_means_nothing_allowed(r: Any) -> None:
    """I14, the part of it that merge decides."""
    out = merged(r)
    assert limits(out) == (0, 0)
    assert out.charge_reasons[0].rule == "none_fresh"
