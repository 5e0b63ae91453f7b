"""A charger that is switched by a relay: when it is on.

    initial_charge   until full, once
    idle             full: rest until the charge has sunk to the minimum
    charge           until full again
    timeout          it was on for too long without getting full; a person or a day ends it
    fault            something is broken; what was going on goes on when it is well again

In the charging states the relay is on only while the battery is heard and may take what the charger
gives, and after each switching off it stays off for a while, so that nothing makes it chatter. Off
is always at once. The time it may take counts while it is on, nothing else.

Full is SOC 100 %, by the units' own word or by what the bank tells; or a battery that takes less
than the charger gives for a minute while a cell is high: its BMS or its limits have ended the
charge, whatever its SOC says.
"""

from vbms.aggregate.virtual import ERROR, NORMAL, PARTIAL

TYPE_CHECKING = False
if TYPE_CHECKING:
    from vbms.aggregate.virtual import VirtualBattery

INITIAL = "initial_charge"
IDLE = "idle"
CHARGE = "charge"
TIMEOUT = "timeout"
FAULT = "fault"
STATES = (INITIAL, IDLE, CHARGE, TIMEOUT, FAULT)

# Why it is as it is, for people.
CHARGING = "charging"
RESTING = "resting"
NO_DATA = "no_data"
NOT_ALLOWED = "not_allowed"
PAUSE = "pause"
TOO_LONG = "too_long"
HARDWARE = "hardware"
OUTPUT = "output"
REASONS = (CHARGING, RESTING, NO_DATA, NOT_ALLOWED, PAUSE, TOO_LONG, HARDWARE, OUTPUT)

FULL_PERMILLE = 1000
_REFUSED_MS = 60000
_MINUTE_MS = 60000


class RelayProfile:
    """What a person says about a charger and its relay."""

    __slots__ = ("charger_ma", "full_cell_mv", "low_permille", "pause_ms", "retry_ms", "timeout_ms")

    def __init__(
        self,
        charger_ma: int,
        low_permille: int = 800,
        timeout_ms: int = 12600000,
        retry_ms: int | None = None,
        full_cell_mv: int | None = 3400,
        pause_ms: int = 60000,
    ):
        self.charger_ma = charger_ma  # what it gives: on only where the battery may take as much
        self.low_permille = low_permille  # charged again from here on
        self.timeout_ms = timeout_ms  # a charge that takes longer has gone wrong
        self.retry_ms = retry_ms  # after a time-out; None: a person has to say so
        self.full_cell_mv = full_cell_mv  # a high cell; None: SOC alone decides
        self.pause_ms = pause_ms


class Relay:
    """`step` says whether it is to be on. Time is summed from differences."""

    __slots__ = (
        "_last_ms",
        "_off_ms",
        "_refused_ms",
        "_rest_ms",
        "broken",
        "filled",
        "on",
        "on_ms",
        "phase",
        "profile",
        "why",
    )

    def __init__(self, profile: RelayProfile):
        self.profile = profile
        self.phase = INITIAL  # any state but fault
        self.filled = False  # it has been full once
        self.on = False
        self.on_ms = 0  # of this charge, time it was on
        self.broken = False  # the relay itself does not do what it is told; set from outside
        self.why = NO_DATA
        self._off_ms = 0
        self._rest_ms = 0
        self._refused_ms = 0
        self._last_ms: int | None = None

    @property
    def state(self) -> str:
        """One of STATES."""
        return FAULT if self.why == HARDWARE or self.why == OUTPUT else self.phase

    def step(self, battery: "VirtualBattery", now_ms: int, own_soc: int | None = None) -> bool:
        """Whether the relay is to be on from now on.

        own_soc: SOC in permille by the units' own word, where the battery's moves slower.
        """
        passed = 0
        if self._last_ms is not None and now_ms > self._last_ms:
            passed = now_ms - self._last_ms
        self._last_ms = now_ms
        if self.on:
            self.on_ms += passed
        else:
            self._off_ms += passed
        live = battery.state in (NORMAL, PARTIAL) and battery.age_ms is not None
        soc = None
        if live and battery.soc_permille is not None:
            soc = battery.soc_permille if own_soc is None else own_soc
        self._move(battery, soc, passed)
        self.why = self._judge(battery, soc)
        was = self.on
        self.on = self.why == CHARGING
        if was and not self.on:
            self._off_ms = 0
        return self.on

    def clear(self) -> bool:
        """A person ends a time-out; False where there is none."""
        if self.phase != TIMEOUT:
            return False
        self.phase = CHARGE if self.filled else INITIAL
        self.on_ms = 0
        return True

    def _move(self, battery: "VirtualBattery", soc: int | None, passed: int) -> None:
        """From one phase to the next."""
        if self.phase == TIMEOUT:
            self._rest_ms += passed
            retry = self.profile.retry_ms
            if retry is not None and self._rest_ms >= retry:
                self.clear()
            return
        if soc is None:
            self._refused_ms = 0
            return
        if self.phase == IDLE:
            if soc <= self.profile.low_permille:
                self.phase = CHARGE
                self.on_ms = 0
            return
        high = self.profile.full_cell_mv
        cell = battery.cell_max_mv
        refused = battery.charge_limit_ma < self.profile.charger_ma
        if refused and high is not None and cell is not None and cell >= high:
            self._refused_ms += passed
        else:
            self._refused_ms = 0
        told = battery.soc_permille or 0
        if max(soc, told) >= FULL_PERMILLE or self._refused_ms >= _REFUSED_MS:
            self.phase = IDLE
            self.filled = True
            self._refused_ms = 0
        elif self.on_ms >= self.profile.timeout_ms:
            self.phase = TIMEOUT
            self._rest_ms = 0

    def _judge(self, battery: "VirtualBattery", soc: int | None) -> str:
        """CHARGING, or why it is off."""
        if self.broken:
            return OUTPUT
        if battery.criticals or battery.state == ERROR:
            return HARDWARE
        if self.phase == TIMEOUT:
            return TOO_LONG
        if self.phase == IDLE:
            return RESTING
        if soc is None:
            return NO_DATA
        limit = battery.charge_limit_ma
        if limit <= 0 or limit < self.profile.charger_ma:
            return NOT_ALLOWED
        if not self.on and self._off_ms < self.profile.pause_ms:
            return PAUSE
        return CHARGING

    def kept(self) -> "dict[str, object]":
        """What has to outlive a restart; in minutes begun, so that it seldom changes.

        Rounded up: a program that dies each minute must not charge for ever.
        """
        return {
            "phase": self.phase,
            "filled": self.filled,
            "on_min": (self.on_ms + _MINUTE_MS - 1) // _MINUTE_MS,
            "rest_min": self._rest_ms // _MINUTE_MS,
        }

    def resume(self, kept: "dict[str, object]") -> None:
        """Go on where it was before a restart; what makes no sense is left out."""
        phase = kept.get("phase")
        if phase not in (INITIAL, IDLE, CHARGE, TIMEOUT):
            return
        self.phase = str(phase)
        self.filled = kept.get("filled") is True or phase == IDLE or phase == CHARGE
        self.on_ms = _minutes(kept.get("on_min"))
        self._rest_ms = _minutes(kept.get("rest_min"))


def _minutes(value: object) -> int:
    return value * _MINUTE_MS if isinstance(value, int) and 0 <= value < 100000 else 0
