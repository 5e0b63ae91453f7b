"""Random stories of a small bank, lived through second by second, with every tick looked at.

A story is a list of scenes: so many seconds, and what each unit says meanwhile (None: nothing). The
judge keeps its own books from what goes in and what comes out; it shares no line with the governor.
"""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st

from vbms.aggregate import alarms
from vbms.aggregate.controller import Controller
from vbms.aggregate.ladder import Ladder
from vbms.aggregate.member import FRESH, HOLD, LOST, RETIRED
from vbms.aggregate.merge import merge
from vbms.aggregate.profile import BankProfile, UnitProfile
from vbms.aggregate.snapshot import Snapshot
from vbms.aggregate.virtual import NORMAL, PARTIAL, VirtualBattery

CELLS = 16
FLOOR = CELLS * 3300
Scene = tuple[int, dict[str, "dict[str, Any] | None"]]


def profile(key: str, **values: Any) -> UnitProfile:
    given: dict[str, Any] = {
        "cells": CELLS,
        "capacity_mah": 100_000,
        "max_charge_ma": 60_000,
        "max_discharge_ma": 80_000,
        "mosfet_present": False,
        "charge_voltage_mv": 55_200,
    }
    given.update(values)
    return UnitProfile(key, **given)


def frame(now: int, said: dict[str, Any], count: int) -> Snapshot:
    """A frame with a highest, a lowest and fourteen middle cells."""
    row = dict(said)
    middle, high, low = row.pop("middle", 3320), row.pop("high", None), row.pop("low", None)
    cells = [middle] * CELLS
    cells[3] = middle if high is None else high
    cells[7] = middle if low is None else low
    cells[0] += count % 2  # a living battery never reads the same for long
    given: dict[str, Any] = {
        "taken_ms": now,
        "cells_mv": tuple(cells),
        "voltage_mv": sum(cells),
        "current_ma": 0,
        "soc_permille": 600,
        "soh_permille": 1000,
        "temps_mc": (21_000, 22_000),
        "charge_ok": True,
        "discharge_ok": True,
        "balancing": False,
    }
    given.update(row)
    return Snapshot(**given)


class Life:
    """A controller and a ladder under a clock. `tick` after each second's frames."""

    def __init__(self, keys: str = "ab", offset: int = 1_000_000, **bank: Any) -> None:
        self.now = offset
        self.seconds = 0
        self.profiles = [profile(key) for key in keys]
        self.bank_profile = BankProfile(**bank)
        self.keys = keys
        self.begin()

    def begin(self, kept: dict[str, object] | None = None) -> None:
        self.controller = Controller(self.bank_profile, self.profiles)
        if kept is not None:
            self.controller.restore(kept, 1000)
        self.ladder = Ladder(self.bank_profile)
        self.out = VirtualBattery()
        self.told: VirtualBattery | None = None

    def second(self, saying: dict[str, dict[str, Any] | None], step: int = 1000) -> None:
        self.now += step
        self.seconds += 1
        for key in self.keys:
            said = saying.get(key, {})
            if said is not None:
                self.controller.bank.accept(key, frame(self.now, said, self.seconds), self.now)
        self.tick()

    def tick(self) -> None:
        self.out = self.controller.tick(self.now)
        self.told = self.ladder.step(self.out, self.now, self.controller.bank.up_ms)

    def run(self, seconds: int, **saying: dict[str, Any] | None) -> VirtualBattery:
        for _ in range(seconds):
            self.second(saying)
        return self.out

    def x(self) -> tuple[int, int]:
        """The limits as merged, with the latches as they are."""
        bank = self.controller.bank
        told = [list(unit.told_ma) for unit in bank.units.values()]
        plain = merge(list(bank.units.values()), self.bank_profile)
        for unit, before in zip(bank.units.values(), told):
            unit.told_ma[:] = before
        return plain.charge_limit_ma, plain.discharge_limit_ma


class Judge:
    """Looks at each tick of one Life; asserts name the law."""

    def __init__(self, life: Life) -> None:
        self.life = life
        self.sys = [60_000 * len(life.keys), 80_000 * len(life.keys)]
        self.forget()

    def forget(self) -> None:
        """After a restart."""
        self.last: list[int | None] = [None, None]
        self.fell: list[tuple[int, int] | None] = [None, None]  # when, how long nothing may rise
        self.rose: list[int | None] = [None, None]  # when the enable flag rose last
        self.excused = [True, True]  # a 0 that is no event: start, nobody fresh
        self.cvl: int | None = None
        self.spoken = False  # before all were heard nothing is told, and nothing has to be slow
        self.soc: int | None = None
        self.opened = False
        self.told: list[int | None] = [None, None]

    def look(self, passed: int) -> None:
        life, out = self.life, self.life.out
        x = life.x()
        for d, told in enumerate((out.charge_limit_ma, out.discharge_limit_ma)):
            self.limit(d, told, x[d], passed)
        self.wire(passed)
        self.voltage(passed)
        self.charge(passed)
        self.alarms()

    def limit(self, d: int, told: int, x: int, passed: int) -> None:
        now, before = self.life.now, self.last[d]
        self.last[d] = told
        assert 0 <= told <= x, f"I15: {told} of {x}"
        if not self.life.out.n_fresh:
            assert told == 0, "I14"
            self.excused[d] = True
        if before is None:
            assert told <= max(1000, self.sys[d] // 50) * passed // 1000, "I24: begins at 0"
            return
        if told < before:
            until = 15_000 if (before - told) * 50 > self.sys[d] else 3_000
            held = self.fell[d]
            if held is None or now + until > sum(held):
                self.fell[d] = (now, until)
        if told > before:
            rise = max(1000, self.sys[d] // 50)
            # A rise worth telling may have gathered over a second or two.
            assert told - before <= rise * max(passed, 1000) // 1000 + 1000, "I15: too fast"
            held = self.fell[d]
            assert held is None or now >= sum(held), "I15: rises within its hold"
        if told and not before:
            rose = self.rose[d]
            if rose is not None and not self.excused[d]:
                assert now - rose >= 60_000, f"I16: enabled twice within {now - rose} ms"
            self.rose[d] = now
            self.excused[d] = False

    def wire(self, passed: int) -> None:
        """What the inverter itself is told."""
        told, out = self.life.told, self.life.out
        if told is None:
            self.opened = False
            return
        for wire, limit in (
            (told.charge_limit_ma, out.charge_limit_ma),
            (told.discharge_limit_ma, out.discharge_limit_ma),
        ):
            assert wire <= limit, "I15"
            if not self.opened:
                assert wire == 0, "I24: the first limit after opening is 0"
        self.opened = True
        if self.life.ladder.state in (NORMAL, PARTIAL):
            assert told.age_ms is not None and told.age_ms <= 10_000 + passed, "I22"

    def voltage(self, passed: int) -> None:
        out = self.life.out
        before, self.cvl = self.cvl, out.cvl_mv
        if out.cvl_mv is None or out.cvl_ceiling_mv is None:
            return
        assert FLOOR <= out.cvl_mv <= max(FLOOR, out.cvl_ceiling_mv), "I17"
        steering = self.life.controller.steering
        hard = out.cvl_ceiling_mv
        if steering.voltage.trim_mv is not None:
            hard = min(hard, steering.voltage.trim_mv)
        spoken, self.spoken = self.spoken, steering._told
        if before is not None and spoken:
            if out.cvl_mv > before and before > FLOOR:
                assert out.cvl_mv - before <= passed // 20 + 1, "I17: up"
            if out.cvl_mv < before:  # a hard bound acts at once, the slope then goes on from it
                start = min(before, max(FLOOR, hard))
                assert start - out.cvl_mv <= passed // 600 + 1, "I17: down"
        units = self.life.controller.bank.units.values()
        if any(u.state == LOST or (u.state == RETIRED and not u.is_out()) for u in units):
            if before is not None and before <= CELLS * 3350:
                assert out.cvl_mv <= CELLS * 3350, "I28"

    def charge(self, passed: int) -> None:
        charge, out = self.life.controller.steering.charge, self.life.out
        before, self.soc = self.soc, out.soc_permille
        if out.soc_permille is None:
            return
        if out.soc_permille == 1000 and (before is None or before < 1000):
            assert charge.full, "I18: 100 % that is not full"
        if out.soc_permille == 0:
            assert self.life.controller.steering.gauge.empty, "I18: 0 % that is not empty"

    def alarms(self) -> None:
        out = self.life.out
        warned = 0
        for unit in self.life.controller.bank.units.values():
            if unit.state in (FRESH, HOLD) and unit.snapshot is not None:
                snap = unit.snapshot
                warned |= snap.warnings | snap.protections | snap.criticals
        assert out.warnings & warned == warned, "I19: a unit's alarm is the bank's"
        for at in range(27):
            bit = 1 << at
            if not out.protections & bit or out.criticals & bit:
                continue
            dead = not out.charge_limit_ma and not bit & alarms.DISCHARGE_ONLY
            dead = dead or (not out.discharge_limit_ma and not bit & alarms.CHARGE_ONLY)
            assert dead, "I19: a protection without a dead direction"


_unit = st.fixed_dictionaries(
    {},
    optional={
        "middle": st.sampled_from([2780, 2860, 2990, 3100, 3290, 3320, 3345, 3390, 3440, 3480]),
        "high": st.sampled_from([3395, 3449, 3451, 3499, 3501, 3570, 3579, 3585, 3600]),
        "low": st.sampled_from([2790, 2849, 2851, 2899, 2951, 3049, 3051]),
        "current_ma": st.sampled_from([-70_000, -30_000, -3_000, 0, 2_500, 4_000, 30_000, 90_000]),
        "soc_permille": st.sampled_from([0, 30, 120, 500, 840, 960, 990, 1000]),
        "temps_mc": st.sampled_from(
            [(-1000, 2000), (300, 4000), (21_000, 30_000), (44_000, 56_000)]
        ),
        "charge_ok": st.sampled_from([True, True, False, None]),
        "discharge_ok": st.sampled_from([True, True, False, None]),
        "charge_open": st.sampled_from([None, False, True]),
        "warnings": st.sampled_from([0, 1, 1 << 12]),
        "protections": st.sampled_from([0, 1, 1 << 1, 1 << 13]),
        "criticals": st.sampled_from([0, 0, 1 << 12]),
        "balancing": st.booleans(),
    },
)


def stories(keys: str = "ab", most: int = 6) -> st.SearchStrategy[list[Scene]]:
    scene = st.tuples(
        st.sampled_from([1, 2, 4, 7, 12, 20, 65]),
        st.fixed_dictionaries({key: st.one_of(st.none(), _unit, _unit, _unit) for key in keys}),
    )
    return st.lists(scene, min_size=1, max_size=most)


def live(story: list[Scene], keys: str = "ab", offset: int = 1_000_000) -> list[tuple[Any, ...]]:
    """Lived through under the judge; what came out, tick by tick."""
    life = Life(keys, offset)
    judge = Judge(life)
    seen = []
    for seconds, saying in [(12, {key: {} for key in keys}), *story]:
        for _ in range(seconds):
            life.second(saying)
            judge.look(1000)
            out = life.out
            seen.append((out.charge_limit_ma, out.discharge_limit_ma, out.cvl_mv, out.soc_permille))
    return seen
