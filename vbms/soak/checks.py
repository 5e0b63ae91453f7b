"""After every tick: what must hold, each law by its number.

The laws are those of docs/merging.md; SAFE (safety.py) is the one they are for: no cell leaves the
window of its own BMS because of what the inverter was told.
"""

import typing
from collections import Counter

from vbms.aggregate.charge import is_own_full
from vbms.aggregate.controller import has_blind
from vbms.aggregate.governor import least_ma
from vbms.aggregate.limits import CHARGE, DISCHARGE
from vbms.aggregate.member import FRESH, HOLD, JOINING, LOST, RETIRED
from vbms.aggregate.virtual import NORMAL, PARTIAL, VirtualBattery
from vbms.simulate import deye_checks
from vbms.soak.safety import Safety, Watched
from vbms.soak.worth import Worth

if typing.TYPE_CHECKING:
    from vbms.aggregate.bank import Unit as Member

OPEN = (NORMAL, PARTIAL)
LONGEST_ZERO_MS = 17 * 60_000
_RAMP_MS = 90_000
_KEPT = 50


class Violation:
    """A law that did not hold."""

    def __init__(self, law: str, tick: int, text: str, history: "list[str]") -> None:
        self.law = law
        self.tick = tick
        self.text = text
        self.history = history

    def __str__(self) -> str:
        return f"tick {self.tick}: {self.law}: {self.text}"


class Checks:
    """All laws of one site, and the counts that people want to know."""

    def __init__(self, site: Watched) -> None:
        self.site = site
        self.violations: list[Violation] = []
        self.broken: Counter[str] = Counter()
        self.safety = Safety(site, self.fail)
        self.worth = Worth(site)
        self.fulls: list[float] = []  # true SOC of the bank, each time it was called full
        self.rises = [0, 0]  # enable edges
        self.longest_zero_s = 0.0
        self.silences = 0  # of the link
        self._forget()

    def _forget(self) -> None:
        """The program started anew."""
        self._out = [0, 0]
        self._fell_ms = [[0, 0], [0, 0]]  # when the hold ends: big, small
        self._last_ms: int | None = None
        self._fresh_before = False
        self._enabled = [False, False]
        self._rose_ms: list[int | None] = [None, None]
        self._cvl: int | None = None
        self._told_cvl_begun = False
        self._was_full = False
        self._full_ms = 0
        self._not_full_ms = 1 << 40
        self._zero_ms = [0, 0]
        self._was_open = False
        self._first = True
        self._unwell_ms = 0

    def restarted(self) -> None:
        self._forget()

    def fail(self, law: str, text: str) -> None:
        self.broken[law] += 1
        if len(self.violations) < _KEPT:
            history = [str(episode) for episode in self.site.world.deck.history[-12:]]
            self.violations.append(Violation(law, self.site.ticks, text, history))

    def wire(self, findings: "list[tuple[str, str]]") -> None:
        """What the inverter finds wrong with an answer."""
        for kind, text in findings:
            self.fail("I21", f"{kind}: {text}")

    def plant_only(self) -> None:
        """While the program is away: what happens is nobody's telling, or what was told last."""
        self.safety.running = False
        self.safety.look()

    def asked(self, rows: "list[deye_checks.Row]") -> None:
        """What the wire carried in one round."""
        site = self.site
        told = site.line.told
        if rows and told is None:
            self.fail("I14", "answers in a silent state")
        if told is None:
            return
        total = sum(row.charge_limit_a for row in rows)
        if total * 1000 > told.charge_limit_ma + 1e-6:
            self.fail("I21", f"{total} A on the wire of {told.charge_limit_ma} mA")
        for row in rows:
            if told.cell_max_mv is not None and row.cell_max_v * 1000 < told.cell_max_mv - 1e-6:
                self.fail("I21", "highest cell too low on the wire")

    def tick(self) -> None:
        """Everything after one tick."""
        self.safety.running = True
        self.safety.look()
        site = self.site
        out = site.virtual
        told = site.line.told
        now_ms = site.bank.up_ms
        passed = 0 if self._last_ms is None else now_ms - self._last_ms
        self._last_ms = now_ms
        members = list(site.bank.units.values())
        opened = site.line.state in OPEN and told is not None
        if self._was_open and told is None:
            self.silences += 1
        for direction in (CHARGE, DISCHARGE):
            self._shares(members, direction)
        self._empty(out, told)
        self._ramps(out, told, now_ms, passed)
        self._voltage(out, members, passed)
        self._soc(out, members, passed)
        self._alarms(out, members)
        if told is not None:
            self._told(told, members, opened, passed)
        self._flags(told, out, now_ms)
        self._alive(told, out, passed)
        if site.ticks % 10 == 0:
            self.worth.sample(told)
        self._was_open = opened
        self._first = False
        if not out.n_fresh:
            self._fresh_before = False
        else:
            self._fresh_before = True

    def _shares(self, members: "list[Member]", direction: int) -> None:
        """I8: not above the sum. I9: nobody above his own, whoever is connected. I10: no
        permission, no share."""
        x = self.site.tapped.x_ma[direction]
        total = raw = whole = 0
        sure = []
        maybe = []
        for member in members:
            if member.state == FRESH:
                own = 0 if member.latched[direction] else member.allowed[direction].limit_ma
                total += own
                raw += member.allowed[direction].base_ma
                if member.proven_open(direction):
                    continue
                if member.on_bus:
                    weight = member.weight_mah or 0
                    whole += weight
                    sure.append((member, own, weight))
                elif member.shares_off_bus:
                    maybe.append((member, own))
            elif member.state == HOLD or (member.state in (LOST, RETIRED) and not member.is_out()):
                maybe.append((member, member.told_ma[direction]))
            elif member.state == JOINING and not member.proven_open(direction):
                maybe.append((member, member.told_ma[direction]))
        if not 0 <= x <= total <= raw:
            self.fail("I8", f"{x} of {total} of {raw} mA")
        for member, own, weight in sure:
            if x * weight > own * whole:
                self.fail("I9", f"{member.key}: {x} mA by share is more than {own} mA")
            snap = member.snapshot
            permitted = snap is not None and (
                snap.charge_ok if direction == CHARGE else snap.discharge_ok
            )
            if permitted is not True and x:
                self.fail("I10", f"{member.key} has no permission, and X is {x} mA")
        for member, limit in maybe:
            weight = member.weight_mah or 0
            if x * weight > limit * (whole + weight):
                self.fail("I9", f"{member.key}, {member.state}: {x} mA is more than {limit} mA")

    def _empty(self, out: VirtualBattery, told: "VirtualBattery | None") -> None:
        """I14: nobody fresh, nothing allowed."""
        if not out.n_fresh:
            if out.charge_limit_ma or out.discharge_limit_ma:
                self.fail("I14", "limits without a fresh unit")
            if told is not None and (told.charge_limit_ma or told.discharge_limit_ma):
                self.fail("I14", "limits told without a fresh unit")

    def _ramps(
        self, out: VirtualBattery, told: "VirtualBattery | None", now_ms: int, passed: int
    ) -> None:
        """I15: never above X, up slowly, not within a hold. I24: from 0 after a restart."""
        x = self.site.tapped.x_ma
        governor = self.site.controller.steering.governor
        for direction in (CHARGE, DISCHARGE):
            ramp = governor.ramps[direction]
            limit = out.charge_limit_ma if direction == CHARGE else out.discharge_limit_ma
            step = out.charge_step_ma if direction == CHARGE else out.discharge_step_ma
            now, before = ramp.out_ma, self._out[direction]
            if limit > x[direction] or now > x[direction]:
                self.fail("I15", f"{limit} mA told of {x[direction]} mA")
            if self._first and limit:
                self.fail("I24", f"the first limit is {limit} mA")
            sys_ma = governor.sys_ma[direction]
            ends = self._fell_ms[direction]
            if now > before:
                if now - before > step * passed // 1000 + 1:
                    self.fail("I15", f"up by {now - before} mA in {passed} ms, {step} mA/s allowed")
                if now_ms < max(ends):
                    self.fail("I15", f"up {max(ends) - now_ms} ms before the hold is over")
            elif now < before and out.n_fresh:
                ends[1] = max(ends[1], now_ms + 3000)
                if (before - now) * 50 > sys_ma:
                    ends[0] = now_ms + 15000
            if not out.n_fresh:
                ends[0] = ends[1] = 0
            self._out[direction] = now
            if told is not None and opened_too_fast(told, out, direction):
                self.fail("I15", "the ladder tells more than the governor")

    def _voltage(self, out: VirtualBattery, members: "list[Member]", passed: int) -> None:
        """I17: floor <= CVL <= ceiling, and slow. I28: float while somebody is blind."""
        steering = self.site.controller.steering
        cvl, before = out.cvl_mv, self._cvl
        self._cvl = cvl
        if cvl is None or not out.cells:
            return
        floor = out.cells * 3300
        if cvl < floor:
            self.fail("I17", f"{cvl} mV is below the floor of {floor} mV")
        ceiling = out.cvl_ceiling_mv
        if ceiling is not None and cvl > max(floor, ceiling):
            self.fail("I17", f"{cvl} mV is above the ceiling of {ceiling} mV")
        if before is None or not self._fresh_before or not self.site.bank.begun:
            return
        if not self._told_cvl_begun:
            self._told_cvl_begun = True
            return
        if cvl - before > passed // 20 + 1:
            self.fail("I17", f"up by {cvl - before} mV in {passed} ms")
        trim = steering.voltage.trim_mv
        hard = min(value for value in (ceiling, trim, 1 << 30) if value is not None)
        if before - cvl > passed // 600 + 1 and cvl > max(hard, floor):
            self.fail("I17", f"down by {before - cvl} mV in {passed} ms, hard is {hard} mV")
        bank = self.site.settings.bank
        if has_blind(members):
            low = out.cells * bank.float_cell_mv + bank.cvl_offset_mv
            if cvl > max(before, low):
                self.fail("I28", f"up to {cvl} mV with a blind unit")

    def _soc(self, out: VirtualBattery, members: "list[Member]", passed: int) -> None:
        """I18: 100 % if and only if full, 0 % only if empty. I27: full by the mean."""
        steering = self.site.controller.steering
        charge = steering.charge
        self._full_ms = self._full_ms + passed if charge.full else 0
        self._not_full_ms = 0 if charge.full else self._not_full_ms + passed
        soc = out.soc_permille
        if soc is not None:
            if soc >= 1000 and self._not_full_ms > 3000:
                self.fail("I18", "100 % and not full")
            if charge.full and self._full_ms > 1_010_000 and soc < 1000:
                self.fail("I18", f"full for {self._full_ms} ms and {soc} permille")
            if soc <= 0 and not steering.gauge.empty:
                self.fail("I18", "0 % and not empty")
        if charge.full and not self._was_full and not self.site.tapped.resumed:
            self._became_full(out, members)
        self._was_full = charge.full

    def _became_full(self, out: VirtualBattery, members: "list[Member]") -> None:
        plant = self.site.world.plant
        held = sum(sum(unit.soc) / 3 * unit.full_ah for unit in plant.units)
        self.fulls.append(held / self.site.world.capacity_ah)
        bank = self.site.settings.bank
        target = out.bulk_mv or out.cvl_ceiling_mv or 0
        n = out.cells or 16
        full_mv = min(bank.full_cell_mv, (target + bank.cvl_offset_mv) // n - 30)
        if (out.voltage_mv or 0) // n >= full_mv:
            return
        own = some = False
        every = True
        for member in members:
            snap = member.snapshot
            if member.state != FRESH or snap is None or not member.on_bus:
                continue
            if member.proven_open(CHARGE):
                continue
            some = True
            if is_own_full(member):
                own = True
            elif (snap.voltage_mv or 0) // (member.cells or 16) < full_mv:
                every = False
        stuck = own and not self.site.tapped.x_ma[CHARGE]
        if not (some and every) and not stuck:
            self.fail("I27", f"full with a mean of {(out.voltage_mv or 0) // n} mV")

    def _alarms(self, out: VirtualBattery, members: "list[Member]") -> None:
        """I19: what a unit warns of the bank warns of; level 2 needs a dead direction."""
        for member in members:
            snap = member.snapshot
            if member.state not in (FRESH, HOLD) or snap is None:
                continue
            told = snap.warnings | snap.protections | snap.criticals
            if told & ~(out.warnings | out.protections | out.criticals):
                self.fail("I19", f"{member.key} warns of {told:x}, the bank does not")
        if out.protections & ~out.criticals and out.charge_limit_ma and out.discharge_limit_ma:
            self.fail("I19", f"protections {out.protections:x} and both directions alive")

    def _told(
        self, told: VirtualBattery, members: "list[Member]", opened: bool, passed: int
    ) -> None:
        """I22: nothing old on the wire."""
        if opened and told.age_ms is not None:
            most = max(member.fresh_ms for member in members)
            if told.age_ms > most + passed:
                self.fail("I22", f"{told.age_ms} ms old on the wire")

    def _flags(self, told: "VirtualBattery | None", out: VirtualBattery, now_ms: int) -> None:
        """I16: an enable flag rises at most once a minute."""
        for direction in (CHARGE, DISCHARGE):
            limit = 0
            if told is not None:
                limit = told.charge_limit_ma if direction == CHARGE else told.discharge_limit_ma
            enabled = limit > 0
            if told is None or not out.n_fresh:
                self._rose_ms[direction] = None
            elif enabled and not self._enabled[direction]:
                self.rises[direction] += 1
                before = self._rose_ms[direction]
                if before is not None and now_ms - before < 60000:
                    self.fail("I16", f"direction {direction}: rises {now_ms - before} ms apart")
                self._rose_ms[direction] = now_ms
            self._enabled[direction] = enabled

    def _alive(self, told: "VirtualBattery | None", out: VirtualBattery, passed: int) -> None:
        """I26: with all well, no zero for longer than the longest hold."""
        site = self.site
        governor = site.controller.steering.governor
        busy = bool(site.world.deck.active)
        for direction in (CHARGE, DISCHARGE):
            x = site.tapped.x_ma[direction]
            limit = out.charge_limit_ma if direction == CHARGE else out.discharge_limit_ma
            wanted = not (direction == CHARGE and site.controller.steering.charge.holds_at_zero())
            stuck = told is not None and not limit and wanted and out.n_fresh > 0
            if stuck and x >= least_ma(governor.sys_ma[direction]):
                self._zero_ms[direction] += passed
                self.longest_zero_s = max(self.longest_zero_s, self._zero_ms[direction] / 1000)
                if self._zero_ms[direction] - passed <= LONGEST_ZERO_MS < self._zero_ms[direction]:
                    self.fail("I26", f"direction {direction}: 0 for 17 min with X {x} mA")
            else:
                self._zero_ms[direction] = 0
        silent = told is None and not busy
        self._unwell_ms = self._unwell_ms + passed if silent else 0
        most = LONGEST_ZERO_MS + _RAMP_MS
        if self._unwell_ms - passed <= most < self._unwell_ms:
            locked = any(judge.locked for judge in site.controller.steering.obedience)
            if not locked:
                self.fail("I26", "silent for 17 min with all well")


def opened_too_fast(told: VirtualBattery, out: VirtualBattery, direction: int) -> bool:
    if direction == CHARGE:
        return told.charge_limit_ma > out.charge_limit_ma
    return told.discharge_limit_ma > out.discharge_limit_ma
