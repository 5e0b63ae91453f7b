"""What a limit may do over time: fall at once, rise slowly, stay at 0 for a while.

Per direction and tick: the merged limit X, lowered by the overrun trim and by what the charge phase
wishes, then

    fall     to X and the trim in the same tick; to a mere wish by 10 % of `sys` a second
    rise     max(1 A, 2 % of sys) a second, 15 s after a fall of more than 2 % of sys, else 3 s
    zero     X fell to 0 while units are fresh: 60 s, doubling with each time within an hour up to
             960 s; no longer than 15 s more once 4 % of sys has flowed the other way for 60 s
    from 0   only where X allows min(1 A, 2 % of sys)
    told     a rise once it is worth min(1 A, 2 % of sys) or complete, a fall always

A fresh unit that takes more than its own limit trims the bank; an inverter that takes more than it
was told is a warning, then a protection, then hears nothing. `sys`, the size of the bank in mA, is
fixed once it runs. All rates are per elapsed ms, however often `step` is called.
"""

from vbms.aggregate.limits import CHARGE, DISCHARGE
from vbms.aggregate.member import DISABLED, FRESH, RETIRED
from vbms.aggregate.virtual import Reason

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from vbms.aggregate.member import Member
    from vbms.aggregate.virtual import VirtualBattery

_HOLD_MS = 15000
_SHORT_HOLD_MS = 3000
_ZERO_HOLD_MS = 60000
_MOST_ZEROS = 5
_FORGET_MS = 3600000
_OPPOSITE_MS = 60000
_TRIM_MS = 5000
_SHARE_MS = 20000  # time constant of the measured shares


class Ramp:
    """One direction. `out_ma` is the limit itself, `told_ma` what is told of it."""

    __slots__ = (
        "_carry",
        "_forget_ms",
        "_hold_ms",
        "_opposite_ms",
        "_top_ma",
        "_trim_carry",
        "_trim_ms",
        "_zero_hold_ms",
        "_zero_ms",
        "out_ma",
        "rule",
        "told_ma",
        "trim_ma",
        "trim_unit",
        "zeros",
    )

    def __init__(self) -> None:
        self.out_ma = 0
        self.told_ma = 0
        self.rule = ""  # why less than X is told: zero_hold, ramp, overrun, charge_done
        self.trim_ma: int | None = None
        self.trim_unit: str | None = None
        self.zeros = 0  # how often X fell to 0 within the last hour
        self._hold_ms = 0
        self._top_ma = 0  # where the present fall began
        self._zero_ms = -1  # for how long X has been, or is taken to be, 0; -1: it is not
        self._zero_hold_ms = 0
        self._opposite_ms = 0
        self._forget_ms = 0
        self._trim_ms = 0
        self._carry = self._trim_carry = 0

    def restart(self) -> None:
        """From 0 again; what was counted stays."""
        self.out_ma = self.told_ma = self._top_ma = 0
        self.trim_ma = None
        self._trim_ms = self._carry = 0

    def zero_left_ms(self) -> int:
        """How much of a zero hold is left."""
        return max(0, self._zero_hold_ms - self._zero_ms) if self._zero_ms >= 0 else 0

    def hold_zero(self, left_ms: int, zeros: int) -> None:
        """Go on with a hold from before a restart."""
        self.zeros = max(0, min(_MOST_ZEROS, zeros))
        if left_ms > 0:
            self._zero_ms = 0
            self._zero_hold_ms = min(left_ms, _ZERO_HOLD_MS << (_MOST_ZEROS - 1))

    def step(
        self,
        x_ma: int,
        wish_ma: int | None,
        flow_ma: int,
        any_fresh: bool,
        sys_ma: int,
        rise_ma: int,
        passed: int,
    ) -> int:
        """The limit to tell, in mA; flow_ma: the bank's current this way, rise_ma: in a second."""
        self._age(flow_ma, sys_ma, passed)
        if not any_fresh:
            if self.out_ma or self._hold_ms:
                self._hold_ms = _HOLD_MS
            self.restart()
            self.rule = ""
            return 0
        limit = x_ma if self.trim_ma is None else min(x_ma, self.trim_ma)
        goal = limit if wish_ma is None else min(limit, wish_ma)
        before = self.out_ma
        out = min(before, limit)
        if goal < out:
            out = max(goal, out - max(1, sys_ma * passed // 10000))
        if out < before:
            self._fell(out, before, sys_ma)
            if out == 0 and x_ma == 0:
                self.zeros = min(_MOST_ZEROS, self.zeros + 1)
                self._zero_ms = self._opposite_ms = self._forget_ms = 0
                self._zero_hold_ms = _ZERO_HOLD_MS << (self.zeros - 1)
        elif self._hold_ms > 0:
            self._hold_ms -= passed
        elif goal > out and (out or self._may_leave_zero(x_ma, sys_ma)):
            self._zero_ms = -1
            self._carry += rise_ma * passed
            out = min(goal, out + self._carry // 1000)
            self._carry %= 1000
        if out == goal:
            self._carry = 0
        self.out_ma = out
        if out < self.told_ma or out == goal or out - self.told_ma >= least_ma(sys_ma):
            self.told_ma = out
        self._explain(x_ma, goal, wish_ma)
        return self.told_ma

    def _age(self, flow_ma: int, sys_ma: int, passed: int) -> None:
        self._forget_ms += passed
        if self._forget_ms >= _FORGET_MS:
            self.zeros = 0
        if self._zero_ms < 0:
            return
        self._zero_ms += passed
        if -flow_ma * 100 > 4 * sys_ma:
            self._opposite_ms += passed
            if self._opposite_ms >= _OPPOSITE_MS:
                self.zeros = 0
                self._zero_hold_ms = min(
                    self._zero_hold_ms, max(_ZERO_HOLD_MS, self._zero_ms + _HOLD_MS)
                )
        else:
            self._opposite_ms = 0

    def _fell(self, out: int, before: int, sys_ma: int) -> None:
        """A fall holds what follows; falls within a hold add up."""
        if self._hold_ms <= 0:
            self._top_ma = before
        self._top_ma = max(self._top_ma, before)
        large = (self._top_ma - out) * 50 > sys_ma
        self._hold_ms = _HOLD_MS if large else max(self._hold_ms, _SHORT_HOLD_MS)
        self._carry = 0

    def _may_leave_zero(self, x_ma: int, sys_ma: int) -> bool:
        if 0 <= self._zero_ms < self._zero_hold_ms:
            return False
        return x_ma >= least_ma(sys_ma)

    def _explain(self, x_ma: int, goal: int, wish_ma: int | None) -> None:
        if self.told_ma >= x_ma:
            self.rule = ""
        elif self.out_ma == 0 and 0 <= self._zero_ms < self._zero_hold_ms:
            self.rule = "zero_hold"
        elif self.out_ma < goal:
            self.rule = "ramp"
        elif wish_ma is not None and wish_ma <= goal:
            self.rule = "charge_done"
        elif self.trim_ma is not None:
            self.rule = "overrun"
        else:
            self.rule = "ramp"

    def trim(
        self,
        units: "Sequence[Member]",
        direction: int,
        flow_ma: int,
        x_ma: int,
        sys_ma: int,
        passed: int,
    ) -> None:
        """Lower the limit while a unit that shares the current takes more than is good for it."""
        over: Member | None = None
        over_flow = over_limit = 0
        if self.out_ma and flow_ma * 2 >= self.out_ma:
            for unit in units:
                snap = unit.snapshot
                if unit.state != FRESH or not unit.on_bus or snap is None:
                    continue
                if snap.current_ma is None or unit.proven_open(direction):
                    continue
                flow = snap.current_ma if direction == CHARGE else -snap.current_ma
                limit = 0 if unit.latched[direction] else unit.allowed[direction].limit_ma
                if flow * 1000 <= limit * 1100 + (unit.weight_mah or 0) * 20:
                    continue
                if over is None or limit * over_flow < over_limit * flow:
                    over, over_flow, over_limit = unit, flow, limit
        if over is not None:
            self._trim_ms += passed
            self._trim_carry = 0
            if self._trim_ms >= _TRIM_MS:
                self._trim_ms = 0
                # Never to 0: an inverter that does not follow would be switched off and on by it.
                least = max(self.out_ma // 2, least_ma(sys_ma))
                self.trim_ma = max(self.out_ma * over_limit // over_flow, least)
                self.trim_unit = over.key
            return
        self._trim_ms = 0
        if self.trim_ma is not None:
            self._trim_carry += max(200, sys_ma // 500) * passed
            self.trim_ma += self._trim_carry // 1000
            self._trim_carry %= 1000
            if self.trim_ma >= 2 * x_ma + 1000:
                self.trim_ma = self.trim_unit = None


def least_ma(sys_ma: int) -> int:
    """The smallest rise worth telling, and the least that ends a 0."""
    return max(1, min(1000, sys_ma // 50))


class Governor:
    """Both directions of a bank."""

    __slots__ = ("_members", "_shares", "fixed", "ramps", "rise_permille", "sys_ma")

    def __init__(self) -> None:
        self.ramps = (Ramp(), Ramp())
        self.sys_ma = [1000, 1000]
        self.rise_permille = 20
        self.fixed = False  # sys stays as it is: the bank runs
        self._members: tuple[str, ...] = ()
        self._shares: dict[str, int] = {}  # measured share of the current in ppm

    def restart(self) -> None:
        """Both limits start from 0."""
        for ramp in self.ramps:
            ramp.restart()

    def size(self, units: "Sequence[Member]", caps: "tuple[int | None, int | None]") -> None:
        """Work out `sys` until it is fixed."""
        if self.fixed:
            return
        for direction in (CHARGE, DISCHARGE):
            cap = caps[direction]
            if cap is None:
                cap = capacity = 0
                for unit in units:
                    if unit.state != RETIRED and unit.state != DISABLED:
                        cap += unit.allowed[direction].base_ma
                        capacity += unit.weight_mah or 0
                cap = cap or capacity // 2
            self.sys_ma[direction] = max(cap, 1)

    def step(
        self, out: "VirtualBattery", units: "Sequence[Member]", wish_ma: int | None, passed: int
    ) -> None:
        """Turn the merged limits of `out` into what is told; wish_ma: of the charge phase."""
        flow = out.current_ma or 0
        for direction in (CHARGE, DISCHARGE):
            ramp = self.ramps[direction]
            x = out.charge_limit_ma if direction == CHARGE else out.discharge_limit_ma
            along = flow if direction == CHARGE else -flow
            sys = self.sys_ma[direction]
            ramp.trim(units, direction, along, x, sys, passed)
            wish = wish_ma if direction == CHARGE else None
            rise = max(1000, sys * self.rise_permille // 1000)
            told = ramp.step(x, wish, along, out.n_fresh > 0, sys, rise, passed)
            reasons = out.charge_reasons if direction == CHARGE else out.discharge_reasons
            if ramp.rule:
                unit = ramp.trim_unit if ramp.rule == "overrun" else None
                value = x
                if ramp.rule == "zero_hold":
                    value = (ramp.zero_left_ms() + 999) // 1000 * 1000
                reasons = (Reason(unit, ramp.rule, value, told),) + reasons
            if direction == CHARGE:
                out.charge_limit_ma, out.charge_reasons = told, reasons
                out.charge_enabled = told > 0
                out.charge_step_ma = rise
            else:
                out.discharge_limit_ma, out.discharge_reasons = told, reasons
                out.discharge_enabled = told > 0
                out.discharge_step_ma = rise

    def measure_shares(self, units: "Sequence[Member]", passed: int) -> None:
        """Follow which part of the current each fresh unit takes; a change of units begins anew."""
        fresh = [unit for unit in units if unit.state == FRESH and unit.on_bus]
        members = tuple([unit.key for unit in fresh])
        whole = 0
        for unit in fresh:
            whole += unit.weight_mah or 0
        if members != self._members:
            self._members = members
            self._shares = {}
        total = 0
        up = down = False
        for unit in fresh:
            current = unit.snapshot.current_ma if unit.snapshot is not None else None
            if current is None:
                total = 0
                break
            up = up or current > 0
            down = down or current < 0
            total += current
        if whole and abs(total) * 20 > whole and not (up and down):
            for unit in fresh:
                current = unit.snapshot.current_ma if unit.snapshot is not None else None
                nominal = (unit.weight_mah or 0) * 1000000 // whole
                now = (current or 0) * 1000000 // total
                share = self._shares.get(unit.key, nominal)
                self._shares[unit.key] = share + (now - share) * min(passed, _SHARE_MS) // _SHARE_MS
        for unit in units:
            share = self._shares.get(unit.key, 0)
            unit.measured_mah = share * whole // 1000000 if unit.state == FRESH else 0


class Obedience:
    """Whether the inverter keeps to what it is told, in one direction.

    20 s above: a warning. 60 s: a protection. 180 s at a limit of 0: silence, for 5 min and until
    the current has been gone for 60 s; the third time within a day, until a person says otherwise.
    """

    __slots__ = ("_day", "_gone_ms", "_over_ms", "_silent_ms", "level", "locked", "silenced")

    def __init__(self) -> None:
        self.level = 0
        self.silenced = False
        self.locked = False
        self._over_ms = 0
        self._silent_ms = 0
        self._gone_ms = 0
        self._day: list[int] = []  # for how long each silence of the last day is over, in ms

    def step(
        self,
        flow_ma: int | None,
        told_ma: int,
        has_number: bool,
        linked: bool,
        may_silence: bool,
        passed: int,
    ) -> None:
        """has_number: the inverter's protocol has a number for this limit; else only 0 is told."""
        self._day = [age + passed for age in self._day if age + passed < 86400000]
        if self.silenced:
            self._silent_ms += passed
            # A current that nobody sees is not gone.
            gone = flow_ma is not None and abs(flow_ma) < 2000
            self._gone_ms = self._gone_ms + passed if gone else 0
            if self._silent_ms >= 300000 and self._gone_ms >= 60000 and not self.locked:
                self.silenced = False
                self._over_ms = self.level = 0
            return
        flow = (flow_ma or 0) * 10
        if not linked or (told_ma and not has_number) or flow <= told_ma * 11 + 50000:
            self._over_ms = self.level = 0
            return
        self._over_ms += passed
        self.level = 2 if self._over_ms >= 60000 else 1 if self._over_ms >= 20000 else 0
        if self._over_ms >= 180000 and not told_ma and may_silence:
            self.silenced = True
            self._silent_ms = self._gone_ms = 0
            self._day.append(0)
            self.locked = len(self._day) >= 3

    def forgive(self) -> bool:
        """A person has seen to it; False: there was nothing to forgive."""
        guilty = self.silenced or self.locked
        self.locked = False
        self._day = []
        return guilty
