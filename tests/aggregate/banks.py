"""Random banks, and the specification worked out a second time.

`expected` shares no line with vbms: it is written from the rules with exact fractions, and finds the
bank's limit by trying every combination of silent units being connected or not.
"""

from __future__ import annotations

import math
from fractions import Fraction as Q
from itertools import combinations
from typing import Any

from hypothesis import strategies as st

from vbms.aggregate.member import DISABLED, FRESH, HOLD, JOINING, LOST, RETIRED, Member
from vbms.aggregate.profile import BankProfile, UnitProfile
from vbms.aggregate.snapshot import Snapshot

CHARGE_CELL = [(3400, 1000), (3450, 400), (3500, 100), (3550, 20), (3580, 0)]
DISCHARGE_CELL = [(2800, 0), (2850, 50), (2900, 150), (3000, 500), (3100, 1000)]
CHARGE_T = [(0, 0), (5, 200), (10, 500), (20, 1000), (40, 1000), (45, 500), (50, 200), (55, 0)]
DISCHARGE_T = [
    (-20, 0),
    (-10, 300),
    (0, 700),
    (10, 1000),
    (45, 1000),
    (50, 500),
    (55, 200),
    (60, 0),
]
MOS = [(80, 1000), (90, 500), (100, 0)]
SOC = [(0, 100), (20, 100), (50, 500), (100, 1000)]


def line(points: list[tuple[int, int]], x: Q | int) -> int:
    """The curve at x, floored."""
    if x <= points[0][0]:
        return points[0][1]
    for (x0, y0), (x1, y1) in zip(points, points[1:]):
        if x0 < x <= x1:
            return math.floor(y0 + Q(y1 - y0) * (Q(x) - x0) / (x1 - x0))
    return points[-1][1]


def unit(key: str = "a", **values: Any) -> dict[str, Any]:
    """One healthy unit in the words of the specification."""
    row: dict[str, Any] = {
        "key": key,
        "state": FRESH,
        "age": 1000,
        "v": 53000,
        "i": 4000,
        "soc": 600,
        "soh": 1000,
        "fcc": 50000,
        "design": 50000,
        "cells": [3312] * 16,
        "temps": [21000, 22000],
        "mos": 27000,
        "cycles": 12,
        "ccl": 50000,
        "ccl_trip": False,
        "dcl": 50000,
        "dcl_trip": False,
        "cvl": None,
        "ovp": 3650,
        "uvp": 2500,
        "ok": (True, True),
        "open": (None, None),
        "cap": (None, None),
    }
    row.update(values)
    return row


def member(row: dict[str, Any]) -> Member:
    profile = UnitProfile(row["key"], max_charge_ma=row["cap"][0], max_discharge_ma=row["cap"][1])
    made = Member(profile)
    made.state = row["state"]
    made.age_ms = row["age"]
    snap = Snapshot(
        voltage_mv=row["v"],
        current_ma=row["i"],
        soc_permille=row["soc"],
        soh_permille=row["soh"],
        capacity_mah=row["fcc"],
        design_mah=row["design"],
        cells_mv=row["cells"],
        temps_mc=row["temps"],
        mosfet_mc=row["mos"],
        cycles_count=row["cycles"],
        ccl_ma=row["ccl"],
        ccl_is_trip=row["ccl_trip"],
        dcl_ma=row["dcl"],
        dcl_is_trip=row["dcl_trip"],
        cvl_mv=row["cvl"],
        ovp_mv=row["ovp"],
        uvp_mv=row["uvp"],
        charge_ok=row["ok"][0],
        discharge_ok=row["ok"][1],
        charge_open=row["open"][0],
        discharge_open=row["open"][1],
    )
    made.take(snap)
    return made


def bank(cap: tuple[int | None, int | None] = (None, None)) -> BankProfile:
    return BankProfile(max_charge_ma=cap[0], max_discharge_ma=cap[1])


# The specification again, from here on.


def base(row: dict[str, Any], d: int) -> int:
    stated, trip = (row["ccl"], row["ccl_trip"]) if d == 0 else (row["dcl"], row["dcl_trip"])
    known = []
    if stated is not None:
        known.append(math.floor(Q(stated) * 9 / 10) if trip else stated)
    if row["cap"][d] is not None:
        known.append(row["cap"][d])
    return max(0, min(known)) if known else 0


def own(row: dict[str, Any], d: int) -> int:
    """L(u)."""
    if row["ok"][d] is not True or row["open"][d] is True:
        return 0
    cells, temps, mos = row["cells"], row["temps"], row["mos"]
    if not cells or not temps or mos is None:
        return 0
    if d == 0 and row["cvl"] is not None and row["cvl"] < len(cells) * 3300:
        return 0
    if d == 0:
        by = 0 if row["ovp"] is None else min(100, max(-100, row["ovp"] - 3650))
        top = 9999 if row["ovp"] is None else row["ovp"] - 50
        f = [line([(min(x + by, top), y) for x, y in CHARGE_CELL], max(cells))]
        curve = CHARGE_T
    else:
        by = 0 if row["uvp"] is None else min(100, max(-100, row["uvp"] - 2500))
        low = 0 if row["uvp"] is None else row["uvp"] + 100
        f = [line([(max(x + by, low), y) for x, y in DISCHARGE_CELL], min(cells))]
        curve = DISCHARGE_T
        if min(cells) <= 3200:
            soc = row["soc"]
            f.append(0 if soc is None or (soc == 0 and min(cells) <= 3100) else line(SOC, soc))
    f += [line(curve, Q(t, 1000)) for t in (min(temps), max(temps))]
    f.append(line(MOS, Q(mos, 1000)))
    return base(row, d) * min(f) // 1000


def weight(row: dict[str, Any]) -> int | None:
    if row["fcc"]:
        return int(row["fcc"])
    if row["design"] and row["soh"] is not None:
        return math.floor(Q(row["design"]) * row["soh"] / 1000) or None
    return None


def silent_limit(row: dict[str, Any], rows: list[dict[str, Any]], d: int) -> int:
    """Lh or Lb of a unit that is not heard."""
    n = len(row["cells"])
    fresh = [r for r in rows if r["state"] == FRESH]
    on_bus = [r["v"] for r in fresh if not (r["open"][0] and r["open"][1])]
    was_open = row["open"][d] is True
    if was_open:
        ceiling = base(row, d)
    elif row["ok"][d] is not True:
        ceiling = 0
    else:
        ceiling = own(row, d)
    blind = 0
    if on_bus and row["temps"]:
        voltages = list(on_bus) + ([row["v"]] if row["age"] <= 600000 else [])
        cold, hot = min(row["temps"]), max(row["temps"])
        drift = 0 if row["state"] == HOLD else 3000
        if row["age"] > 600000:
            known = [t for r in fresh for t in r["temps"] or []]
            cold, hot = (min(known), max(known)) if known else (-99000, 99000)
        if d == 0:
            est = max(voltages) // n + min(75, max(0, max(row["cells"]) - row["v"] // n))
            f = line([(3360, 1000), (3385, 0)], est)
            curve = CHARGE_T
        else:
            est = min(voltages) // n - min(75, row["v"] // n - min(row["cells"]))
            f = line([(3000, 0), (3100, 1000)], est)
            curve = DISCHARGE_T
        f_t = min(line(curve, Q(cold - drift, 1000)), line(curve, Q(hot + drift, 1000)))
        blind = min(
            ceiling,
            math.floor(Q(weight(row) or 0) / 10 * f / 1000),
            math.floor(Q(base(row, d)) * f_t / 1000),
        )
    if row["state"] == HOLD and ceiling > blind and not was_open:
        blind += math.floor(Q(ceiling - blind) * (60000 - row["age"]) / (60000 - 10000))
    return blind


def expected(rows: list[dict[str, Any]], cap: tuple[int | None, int | None], d: int) -> Q:
    """The bank's limit: the worst over all 2^n ways in which silent units may be connected."""
    fresh = [r for r in rows if r["state"] == FRESH]
    sure = [(own(r, d), weight(r)) for r in fresh if r["open"][d] is not True]
    unsure = []
    for r in rows:
        if r["state"] == JOINING and r["open"][d] is not True:
            unsure.append((own(r, d), weight(r)))
        elif r["state"] in (HOLD, LOST, RETIRED):
            unsure.append((silent_limit(r, rows, d), weight(r)))
    if not sure:
        return Q(0)
    if not any(w for _, w in sure + unsure):
        sure = [(limit, 1) for limit, _ in sure]
        unsure = [(limit, 1) for limit, _ in unsure]
    worst = Q(sum(own(r, d) for r in fresh))
    if cap[d] is not None:
        worst = min(worst, Q(cap[d]))
    for size in range(len(unsure) + 1):
        for there in combinations(unsure, size):
            parties = sure + list(there)
            whole = sum(w or 0 for _, w in parties)
            for limit, w in parties:
                worst = min(worst, Q(limit * whole, w) if w else Q(limit))
    return worst


@st.composite
def rows(
    draw: Any,
    most: int = 6,
    states: tuple[str, ...] = (FRESH, FRESH, FRESH, HOLD, LOST, JOINING, RETIRED, DISABLED),
) -> list[dict[str, Any]]:
    """1 to `most` plausible units of 16 cells, some silent, some hurt, some with gaps."""
    made = []
    for at in range(draw(st.integers(1, most))):
        state = draw(st.sampled_from(states))
        age = {
            FRESH: st.integers(0, 10000),
            JOINING: st.integers(0, 10000),
            HOLD: st.integers(10001, 60000),
            LOST: st.integers(60001, 1800000),
            RETIRED: st.integers(1800001, 9000000),
            DISABLED: st.integers(0, 100000),
        }[state]
        middle = draw(st.sampled_from([2760, 2950, 3100, 3205, 3310, 3340, 3365, 3440, 3505]))
        cells = draw(st.lists(st.integers(middle - 60, middle + 60), min_size=16, max_size=16))
        ok = st.sampled_from([True, True, True, True, False, None])
        path = st.sampled_from([None, None, False, False, True])
        maybe = st.sampled_from([1, 1, 1, 1, 1, None])
        made.append(
            unit(
                "u%02d" % at,
                state=state,
                age=draw(age),
                v=sum(cells),
                i=draw(st.integers(-60000, 60000)),
                soc=draw(st.integers(0, 1000)),
                soh=draw(st.integers(700, 1000)),
                fcc=draw(st.integers(20000, 320000)) if draw(maybe) else None,
                design=draw(st.integers(20000, 320000)) if draw(maybe) else None,
                cells=cells,
                temps=draw(st.lists(st.integers(-15000, 58000), min_size=1, max_size=4)),
                mos=draw(st.integers(0, 105000)) if draw(maybe) else None,
                cycles=draw(st.integers(0, 4000)),
                ccl=draw(st.integers(0, 250000)) if draw(maybe) else None,
                ccl_trip=draw(st.booleans()),
                dcl=draw(st.integers(0, 250000)) if draw(maybe) else None,
                dcl_trip=draw(st.booleans()),
                cvl=draw(st.sampled_from([None, None, 55200, 56000, 52000])),
                ovp=draw(st.sampled_from([None, 3500, 3600, 3650, 3700])),
                uvp=draw(st.sampled_from([None, 2500, 2600, 2800])),
                ok=(draw(ok), draw(ok)),
                open=(draw(path), draw(path)),
                cap=(draw(st.sampled_from([None, 50000])), draw(st.sampled_from([None, 50000]))),
            )
        )
    return made


caps = st.tuples(
    st.sampled_from([None, None, 30000, 200000]), st.sampled_from([None, None, 30000, 200000])
)
