"""The fail-safe ladder: what the inverter is told when things go wrong.

    starting   nothing is said until all units are fresh (some, after a minute), and for 5 s
    open       the battery as merged
    zero       no unit is fresh: the last values with both limits 0, for `silent_after_ms`
    silent     not a byte, the inverter's own lost-BMS policy acts; ends after 5 s of good data
    error      the merge failed or the configuration cannot be: limits 0, silent after 5 s

One ladder stands before each address that is answered; time is summed from what `step` is given.
"""

from vbms.aggregate.virtual import ERROR, NORMAL, PARTIAL, SILENT, STARTING, ZERO, Reason

TYPE_CHECKING = False
if TYPE_CHECKING:
    from vbms.aggregate.profile import BankProfile
    from vbms.aggregate.virtual import VirtualBattery

_ERROR_MS = 5000


class Ladder:
    """Decides each tick what goes out: a battery, or None for silence. `state` is for people."""

    __slots__ = (
        "_bad_ms",
        "_last",
        "_last_ms",
        "_open",
        "_ramp_ma",
        "_steady_ms",
        "bank",
        "silent_after_ms",
        "state",
    )

    def __init__(self, bank: "BankProfile", silent_after_ms: int = 30000):
        self.bank = bank
        self.silent_after_ms = silent_after_ms
        self.state = STARTING
        self._open = False
        self._last: VirtualBattery | None = None
        self._last_ms: int | None = None
        self._steady_ms = -1  # how long it has been good; -1: it is not
        self._bad_ms = 0
        self._ramp_ma: list[int] | None = None  # limits begin at 0 when the link opens

    def step(self, now: "VirtualBattery", now_ms: int, up_ms: int) -> "VirtualBattery | None":
        """What the inverter is told now. up_ms: how long the bank has been running."""
        passed = 0
        if self._last_ms is not None and now_ms > self._last_ms:
            passed = now_ms - self._last_ms
        self._last_ms = now_ms
        failed = now.state == ERROR
        if now.silenced:
            self._open = False
            self._steady_ms = -1
            self.state = SILENT
            return None
        if now.n_fresh >= self.bank.min_fresh and not failed:
            if not self._open:
                return self._wait(now, passed, up_ms)
            self._bad_ms = 0
            self.state = NORMAL if now.n_fresh == now.n_total else PARTIAL
            self._last = now
            return self._ramped(now, passed)
        self._steady_ms = -1
        if not self._open:
            if self.state != STARTING:
                self.state = ERROR if failed else SILENT
            return None
        # The first bad tick counts from itself: the time before it was still good.
        self._bad_ms = self._bad_ms + passed if self.state in (ZERO, ERROR) else 0
        self.state = ERROR if failed else ZERO
        last = self._last
        if last is None or self._bad_ms >= (_ERROR_MS if failed else self.silent_after_ms):
            self._open = False
            self.state = ERROR if failed else SILENT
            return None
        return last.copy(
            charge_limit_ma=0,
            discharge_limit_ma=0,
            charge_enabled=False,
            discharge_enabled=False,
            force_charge=False,
            state=self.state,
            n_fresh=now.n_fresh,
            n_hold=now.n_hold,
            n_lost=now.n_lost,
            charge_reasons=now.charge_reasons,
            discharge_reasons=now.discharge_reasons,
            warnings=now.warnings,
            protections=now.protections,
            criticals=now.criticals,
            alarms=now.alarms,
            age_ms=now.age_ms,
            taken_ms=now.taken_ms,
        )

    def next_ms(self) -> int | None:
        """In how many ms the ladder acts by itself, if nothing else happens before."""
        if not self._open or self.state not in (ZERO, ERROR):
            return None
        limit = _ERROR_MS if self.state == ERROR else self.silent_after_ms
        return max(0, limit - self._bad_ms)

    def _wait(self, now: "VirtualBattery", passed: int, up_ms: int) -> "VirtualBattery | None":
        """Good data, but the link is not open yet: it has to stay good for a while."""
        ready = self.state != STARTING or now.n_fresh == now.n_total or up_ms >= self.bank.start_ms
        if not ready:
            self._steady_ms = -1
            return None
        # The first good tick counts from itself: nobody knows since when it has been good.
        self._steady_ms = self._steady_ms + passed if self._steady_ms >= 0 else 0
        if self._steady_ms < self.bank.steady_ms:
            return None
        self._open = True
        self._bad_ms = 0
        self.state = NORMAL if now.n_fresh == now.n_total else PARTIAL
        self._last = now
        self._ramp_ma = [0, 0]
        return self._ramped(now, 0)

    def _ramped(self, now: "VirtualBattery", passed: int) -> "VirtualBattery":
        """After opening each limit begins at 0 and rises as fast as a governed one may."""
        ramp = self._ramp_ma
        if ramp is None or not now.charge_step_ma:
            return now
        ramp[0] += now.charge_step_ma * passed // 1000
        ramp[1] += now.discharge_step_ma * passed // 1000
        charge = min(ramp[0], now.charge_limit_ma)
        discharge = min(ramp[1], now.discharge_limit_ma)
        if ramp[0] > now.charge_limit_ma and ramp[1] > now.discharge_limit_ma:
            self._ramp_ma = None
            return now
        return now.copy(
            charge_limit_ma=charge,
            discharge_limit_ma=discharge,
            charge_enabled=charge > 0,
            discharge_enabled=discharge > 0,
            charge_reasons=_slowed(now.charge_limit_ma, charge, now.charge_reasons),
            discharge_reasons=_slowed(now.discharge_limit_ma, discharge, now.discharge_reasons),
        )


def _slowed(limit_ma: int, told_ma: int, reasons: "tuple[Reason, ...]") -> "tuple[Reason, ...]":
    if told_ma == limit_ma:
        return reasons
    return (Reason(None, "ramp", limit_ma, told_ma),) + reasons
