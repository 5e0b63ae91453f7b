"""The phases of a charge, when the bank is full, and when it asks to be charged.

    bulk     charge voltage bulk; to absorb near it, 30 s net
    absorb   bulk; to float when full and balanced, or after 30 min (120 min while not balanced)
    float    float voltage, the limit stays      } back to bulk: low SOC, resting cells, too long
    eoc      the same with the limit at 0        } without a full charge, a person, an emergency
    wait     charge is not allowed just now: float voltage, the phase before goes on counting

Full is what the units' tails say, by the mean of their cells: one high cell holds the current down
and looks like a tail. Timers count elapsed ms and stand still while no unit is fresh.
"""

from vbms.aggregate.limits import CHARGE
from vbms.aggregate.member import FRESH

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from vbms.aggregate.member import Member
    from vbms.aggregate.profile import BankProfile
    from vbms.aggregate.virtual import VirtualBattery

BULK = "bulk"
ABSORB = "absorb"
FLOAT = "float"
EOC = "eoc"
WAIT = "wait"

_DAY_MS = 86400000
_NEAR_MS = 30000
_FULL_MS = 60000
_STUCK_MS = 600000
_WAIT_MS = 5000
_BACK_MS = 300000
_RESTED_MS = 60000
_FORCE_MS = 30000


class Charge:
    """The machine. `phase`, `full`, `force`; what happened stands in `events` as (kind, text)."""

    __slots__ = (
        "_back_ms",
        "_before",
        "_emptied_ms",
        "_near_ms",
        "_rested_ms",
        "_stuck_ms",
        "_tail_ms",
        "_timer_ms",
        "_wanted",
        "_zero_ms",
        "events",
        "float_soc",
        "force",
        "full",
        "full_soc",
        "just_rebulked",
        "phase",
        "since_full_ms",
    )

    def __init__(self) -> None:
        self.phase = BULK
        self._before = BULK  # the phase that WAIT stands for
        self.full = False
        self.full_soc = 1000  # the units' SOC when they were full
        self.float_soc = 1000
        self.force = False
        self.just_rebulked = False
        self.since_full_ms = 0
        self.events: list[tuple[str, str]] = []
        self._wanted = False
        self._near_ms = 0
        self._timer_ms = 0
        self._back_ms = 0
        self._tail_ms = 0
        self._stuck_ms = 0
        self._zero_ms = 0
        self._rested_ms = 0
        self._emptied_ms = 0

    def want(self) -> None:
        """A person asks for a full charge."""
        self._wanted = True

    def resume(self, bank: "BankProfile", soc: int) -> None:
        """Full a short while ago, before a restart."""
        self.full = True
        self.phase = self._before = FLOAT if bank.float_holds else EOC
        self.float_soc = soc

    def request(self, bank: "BankProfile") -> bool:
        """Whether a full charge is overdue."""
        return bool(bank.full_days) and self.since_full_ms >= bank.full_days * _DAY_MS

    def holds_at_zero(self) -> bool:
        """End of charge without float: nothing more is wanted."""
        return (self._before if self.phase == WAIT else self.phase) == EOC

    def wants_float(self) -> bool:
        """Whether the charge voltage is the float one."""
        return self.phase in (FLOAT, EOC, WAIT)

    def step(
        self,
        out: "VirtualBattery",
        units: "Sequence[Member]",
        bank: "BankProfile",
        cvl_mv: int | None,
        target_mv: int,
        discharge_sys_ma: int,
        passed: int,
    ) -> None:
        """One tick. out: the merge, its limits still ungoverned; target_mv: bulk, of the bank."""
        self.just_rebulked = False
        self.since_full_ms += passed
        fresh = [unit for unit in units if unit.state == FRESH and unit.snapshot is not None]
        n = out.cells
        if not fresh or not n or out.voltage_mv is None:
            return
        mean = out.voltage_mv // n
        top = out.cell_max_mv or 0
        bulk = (target_mv - bank.cvl_offset_mv) // n  # at the cells, without the cables
        full_mv = min(bank.full_cell_mv, bulk - 30)
        x = out.charge_limit_ma
        phase = self._before if self.phase == WAIT else self.phase
        near = cvl_mv is not None and out.voltage_mv >= min(target_mv, cvl_mv) - 25 * n
        near = (mean >= bank.absorb_cell_mv and near) or top >= bulk
        self._watch_full(out, fresh, bank, phase, full_mv, x, passed)
        moved = phase
        if phase == BULK:
            self._near_ms = max(0, self._near_ms + (passed if near else -passed))
            if self._near_ms >= _NEAR_MS:
                moved = ABSORB
        elif phase == ABSORB and self.phase == ABSORB:
            moved = self._absorb(out, fresh, bank, mean, top, bulk, full_mv, passed)
        if phase in (FLOAT, EOC) and self._is_due(out, bank, discharge_sys_ma, top, passed):
            moved = BULK
            self._clear_full()
        if moved != phase:
            self._enter(moved, out)
            phase = moved
        self._before = phase
        self._wait(phase, x, passed)
        self._watch_empty(out, bank, passed)

    def _enter(self, phase: str, out: "VirtualBattery") -> None:
        self.events.append(("charge", phase))
        self._near_ms = self._timer_ms = self._back_ms = self._rested_ms = 0
        if phase in (FLOAT, EOC):
            self.float_soc = 1000 if out.soc_permille is None else out.soc_permille
        if self.phase != WAIT:
            self.phase = phase

    def _wait(self, phase: str, x: int, passed: int) -> None:
        self._zero_ms = 0 if x else self._zero_ms + passed
        if x:
            self.phase = phase
        elif self._zero_ms >= _WAIT_MS:
            self.phase = WAIT

    def _absorb(
        self,
        out: "VirtualBattery",
        fresh: "Sequence[Member]",
        bank: "BankProfile",
        mean: int,
        top: int,
        bulk: int,
        full_mv: int,
        passed: int,
    ) -> str:
        """The phase after this tick of absorption."""
        if mean >= bulk - 50 or top >= bulk:
            self._timer_ms += passed
        low = mean < bulk - 80 and top < bulk - 30
        self._back_ms = self._back_ms + passed if low else 0
        balanced = is_balanced(fresh, bank.balanced_mv)
        after = FLOAT if bank.float_holds else EOC
        if self.full and balanced:
            return after
        if self._timer_ms >= (bank.absorb_ms if balanced else bank.balance_ms):
            if not self.full and mean >= full_mv:
                self._set_full(out)
            elif not self.full:
                self.events.append(("full_failed", "mean cell %d mV, full is %d" % (mean, full_mv)))
            return after
        return BULK if self._back_ms >= _BACK_MS else ABSORB

    def _watch_full(
        self,
        out: "VirtualBattery",
        fresh: "Sequence[Member]",
        bank: "BankProfile",
        phase: str,
        full_mv: int,
        x: int,
        passed: int,
    ) -> None:
        soc = out.soc_permille
        if self.full:
            if soc is not None and soc <= self.full_soc - 20:
                self.full = False
            return
        if phase not in (BULK, ABSORB) and self.phase != WAIT:
            return
        some = own = False
        every = True
        for unit in fresh:
            if not unit.on_bus or unit.proven_open(CHARGE):
                continue
            some = True
            if is_own_full(unit):
                own = True
            elif not x or not is_tail(unit, full_mv, bank.tail_permille):
                every = False
        if some and every:
            self._tail_ms += passed
        else:
            self._tail_ms = max(0, self._tail_ms - 2 * passed)
        stuck = not x and own and soc is not None and soc >= 950
        self._stuck_ms = self._stuck_ms + passed if stuck else 0
        if self._tail_ms >= _FULL_MS or self._stuck_ms >= _STUCK_MS:
            self._set_full(out)

    def _set_full(self, out: "VirtualBattery") -> None:
        self.full = True
        self.full_soc = 1000 if out.soc_permille is None else out.soc_permille
        self.since_full_ms = self._tail_ms = self._stuck_ms = 0
        self.events.append(("full", "the units read %d permille" % self.full_soc))
        if self.full_soc < 950:
            self.events.append(("soc_drift", "full at %d permille" % self.full_soc))

    def _clear_full(self) -> None:
        self.full = self._wanted = False
        self.just_rebulked = True

    def _is_due(
        self, out: "VirtualBattery", bank: "BankProfile", sys_ma: int, top: int, passed: int
    ) -> bool:
        """Whether it is time to charge again."""
        resting = top <= bank.rebulk_cell_mv
        if -(out.current_ma or 0) * 10 < sys_ma:  # a sag under load is not emptiness
            self._rested_ms = self._rested_ms + passed if resting else 0
        soc = out.soc_permille
        since = min(self.full_soc if self.full else 1000, self.float_soc)
        low = soc is not None and soc <= min(bank.rebulk_permille, since - 100)
        rested = self._rested_ms >= _RESTED_MS
        return low or rested or self.request(bank) or self._wanted or self.force

    def _watch_empty(self, out: "VirtualBattery", bank: "BankProfile", passed: int) -> None:
        cell, soc = out.cell_min_mv, out.soc_permille
        if self.force:
            risen = cell is not None and cell >= bank.force_off_mv
            if risen and (soc is None or soc >= bank.force_off_permille):
                self.force = False
                self._emptied_ms = 0
                self.events.append(("force_charge", "off"))
            return
        low = cell is not None and cell <= bank.force_on_mv
        self._emptied_ms = self._emptied_ms + passed if low else 0
        if self._emptied_ms >= _FORCE_MS or (soc is not None and soc <= bank.force_on_permille):
            self.force = True
            self.events.append(("force_charge", "on"))


def is_tail(unit: "Member", full_mv: int, tail_permille: int) -> bool:
    """At the voltage of a full unit, and taking little."""
    snap = unit.snapshot
    if snap is None or snap.voltage_mv is None or snap.current_ma is None or not unit.cells:
        return False
    if snap.voltage_mv // unit.cells < full_mv or not unit.weight_mah:
        return False
    return abs(snap.current_ma) * 1000 <= unit.weight_mah * tail_permille


def is_own_full(unit: "Member") -> bool:
    """It takes no more charge by its own word, and looks full."""
    snap = unit.snapshot
    if snap is None or (snap.charge_ok is True and snap.ccl_ma != 0):
        return False
    soc = snap.soc_permille
    return (unit.cell_max_mv or 0) >= 3400 or (soc is not None and soc >= 990)


def is_balanced(units: "Sequence[Member]", within_mv: int) -> bool:
    """No unit balances, and within each the cells stand close together."""
    for unit in units:
        if unit.snapshot is not None and unit.snapshot.balancing:
            return False
        if unit.cell_max_mv is not None and unit.cell_min_mv is not None:
            if unit.cell_max_mv - unit.cell_min_mv > within_mv:
                return False
    return True
