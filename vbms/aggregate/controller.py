"""The bank under control: units merged, limits governed, charge steered, alarms kept.

    controller.tick(now_ms) -> VirtualBattery       what inverters may be told, once a second
    controller.solo(key)                            the same for one unit told by itself
    controller.events                               what has happened, for a log: drain it

Restarting forgets every limit: they begin at 0. What is worth keeping (phase, full, latches, zero
holds) is in `dump`, plain data for a file, and never needed to start.
"""

from vbms.aggregate import alarms
from vbms.aggregate.bank import Bank
from vbms.aggregate.charge import Charge
from vbms.aggregate.governor import Governor, Obedience
from vbms.aggregate.latches import CELL
from vbms.aggregate.limits import CHARGE, DISCHARGE
from vbms.aggregate.member import FRESH, HOLD, LOST, RETIRED
from vbms.aggregate.telling import Gauge, Voltage
from vbms.aggregate.virtual import ERROR
from vbms.aggregate.watch import Watch

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from vbms.aggregate.bank import Unit
    from vbms.aggregate.member import Member
    from vbms.aggregate.profile import BankProfile, UnitProfile
    from vbms.aggregate.virtual import VirtualBattery

_KEPT_MS = 86400000  # what was kept is believed for so long
_FLOAT_PERMILLE = 950
_MOST_EVENTS = 200


class Steering:
    """All that remembers, for one virtual battery: limits, charge, voltage, SOC, alarms."""

    __slots__ = (
        "_told",
        "charge",
        "gauge",
        "governor",
        "obedience",
        "resume_full",
        "voltage",
        "watch",
    )

    def __init__(self) -> None:
        self.governor = Governor()
        self.obedience = (Obedience(), Obedience())
        self.charge = Charge()
        self.voltage = Voltage()
        self.gauge = Gauge()
        self.watch = Watch()
        self._told = False  # something was told: from now on voltage and SOC move slowly
        self.resume_full = False  # it was full a short while ago: so it is if its SOC agrees

    def step(
        self,
        out: "VirtualBattery",
        units: "Sequence[Member]",
        bank: "BankProfile",
        begun: bool,
        numbers: "tuple[bool, bool]",
        linked: bool,
        passed: int,
    ) -> None:
        """Govern a merge in place. numbers: whether the inverters' protocols have a number for each
        limit; linked: whether any inverter hears anything now."""
        governor, charge = self.governor, self.charge
        if not out.n_fresh or out.state == ERROR:
            governor.fixed = False
        governor.rise_permille = bank.rise_permille
        governor.size(units, (bank.max_charge_ma, bank.max_discharge_ma))
        governor.fixed = begun and out.n_fresh > 0
        if bank.measured_shares:
            governor.measure_shares(units, passed)
        target = self._target(out, bank)
        if self.resume_full and out.n_fresh and out.soc_permille is not None:
            self.resume_full = False
            if out.soc_permille > _FLOAT_PERMILLE:
                charge.resume(bank, out.soc_permille)
        sys_ma = governor.sys_ma[DISCHARGE]
        charge.step(out, units, bank, self.voltage.cvl_mv, target or 0, sys_ma, passed)
        wish = 0 if charge.holds_at_zero() else None
        stopped = not out.discharge_limit_ma and not numbers[DISCHARGE]
        stopped = stopped and _any_latched(units)
        governor.step(out, units, wish, passed)
        self._obey(out, bank, numbers, linked, passed)
        self._voltage(out, units, bank, target, passed)
        if out.n_fresh:
            self.gauge.watch(units, stopped, passed)
        if not self._told:
            self.gauge.told = None
        out.soc_permille = self.gauge.step(
            out.soc_permille, charge.full, charge.just_rebulked, passed
        )
        self._told = self._told or begun
        out.phase = charge.phase
        out.force_charge = charge.force and out.charge_limit_ma > 0
        out.full_charge_request = charge.request(bank)
        self.watch.step(out, units, self._disobeys(out), passed)

    def _target(self, out: "VirtualBattery", bank: "BankProfile") -> int | None:
        """The charge voltage that the profiles ask for, cables included."""
        wish = out.cvl_ceiling_mv if out.bulk_mv is None else out.bulk_mv
        return None if wish is None else wish + bank.cvl_offset_mv

    def _voltage(
        self,
        out: "VirtualBattery",
        units: "Sequence[Member]",
        bank: "BankProfile",
        target: int | None,
        passed: int,
    ) -> None:
        cells = out.cells
        if target is None or out.cvl_ceiling_mv is None or not cells:
            if self.voltage.cvl_mv is not None:
                out.cvl_mv = self.voltage.cvl_mv
            return
        floor = 0
        for unit in units:
            if unit.state in (FRESH, HOLD) and unit.cells:
                floor = max(floor, unit.cells * unit.profile.cell_floor_mv)
        if self.charge.wants_float() or has_blind(units):
            target = min(target, cells * bank.float_cell_mv + bank.cvl_offset_mv)
        self.voltage.watch(units, target, cells, passed)
        out.cvl_mv = self.voltage.step(
            target, out.cvl_ceiling_mv, floor, out.voltage_mv, self._told, passed
        )

    def _obey(
        self,
        out: "VirtualBattery",
        bank: "BankProfile",
        numbers: "tuple[bool, bool]",
        linked: bool,
        passed: int,
    ) -> None:
        for direction in (CHARGE, DISCHARGE):
            flow = out.current_ma
            if flow is not None and direction == DISCHARGE:
                flow = -flow
            told = out.charge_limit_ma if direction == CHARGE else out.discharge_limit_ma
            self.obedience[direction].step(
                flow,
                told,
                numbers[direction],
                linked and out.n_fresh > 0,
                bank.disobey_silences,
                passed,
            )
        out.silenced = self.obedience[CHARGE].silenced or self.obedience[DISCHARGE].silenced

    def _disobeys(self, out: "VirtualBattery") -> "list[tuple[int, int, str]]":
        rows = []
        for direction in (CHARGE, DISCHARGE):
            level = self.obedience[direction].level
            if level:
                rows.append((alarms.DISOBEY, level, out.name))
            if level > 1:
                rows.append((alarms.OVERCURRENT[direction], alarms.CRITICAL, out.name))
        return rows


def has_blind(units: "Sequence[Member]") -> bool:
    """Whether a unit that may be connected cannot be seen: lost, never heard, or only retired."""
    for unit in units:
        if unit.state == LOST or (unit.state == RETIRED and not unit.is_out()):
            return True
    return False


def _any_latched(units: "Sequence[Member]") -> bool:
    """Whether a cell's latch stops the discharge of a unit."""
    for unit in units:
        if unit.state == FRESH and unit.latched[DISCHARGE] == CELL:
            return True
    return False


class Controller:
    """A bank and its steering; each unit told by itself has a steering of its own."""

    __slots__ = (
        "_last_ms",
        "_solo_ms",
        "_solos",
        "_told",
        "bank",
        "events",
        "linked",
        "numbers",
        "steering",
    )

    def __init__(self, profile: "BankProfile", units: "Sequence[UnitProfile]" = ()):
        self.bank = Bank(profile, units)
        self.steering = Steering()
        self.events: list[tuple[str, str, str]] = []  # (kind, unit or bank, text)
        self.linked = True  # whether an inverter hears anything
        self.numbers = (True, True)  # whether every inverter has a number for the limit
        self._last_ms = 0  # on the bank's own clock
        self._solos: dict[str, Steering] = {}
        self._solo_ms: dict[str, int] = {}
        self._told: dict[str, VirtualBattery] = {}

    def tick(self, now_ms: int) -> "VirtualBattery":
        """Everything as of now. An exception out of here is a bug: call `failed` then."""
        bank = self.bank
        out = bank.tick(now_ms)
        passed = bank.up_ms - self._last_ms
        self._last_ms = bank.up_ms
        units = list(bank.units.values())
        self._told = {}
        before = [judge.silenced for judge in self.steering.obedience]
        self.steering.step(out, units, bank.profile, bank.begun, self.numbers, self.linked, passed)
        for direction, judge in enumerate(self.steering.obedience):
            if judge.silenced != before[direction]:
                self._event("disobey", out.name, "silenced" if judge.silenced else "told again")
        self._drain(self.steering, out.name)
        return out

    def failed(self, now_ms: int) -> "VirtualBattery":
        """What stands for the bank when it could not be worked out; limits begin at 0 again."""
        out = self.bank.failed(now_ms)
        self._last_ms = self.bank.up_ms
        self._told = {}
        self.steering.governor.restart()
        for steering in self._solos.values():
            steering.governor.restart()
        return out

    def solo(self, key: str) -> "VirtualBattery":
        """One unit, governed as a bank of its own; the same battery until the next tick."""
        told = self._told.get(key)
        if told is not None:
            return told
        bank = self.bank
        steering = self._solos.get(key)
        if steering is None:
            steering = self._solos[key] = Steering()
        passed = bank.up_ms - self._solo_ms.get(key, bank.up_ms)
        self._solo_ms[key] = bank.up_ms
        out = bank.solo(key)
        units: list[Unit] = [bank.units[key]]
        profile = bank.profile.alone(key)
        steering.step(out, units, profile, bank.begun, self.numbers, self.linked, passed)
        steering.watch.events = []
        steering.charge.events = []
        self._told[key] = out
        return out

    def enrol(self, profile: "BankProfile", units: "Sequence[UnitProfile]") -> None:
        """A changed configuration: lower caps act in the next tick, higher ones by the ramp."""
        self.bank.profile = profile
        self.bank.enrol(units)
        self.steering.governor.fixed = False
        for key in [key for key in self._solos if key not in self.bank.units]:
            self.forget(key)

    def forget(self, key: str) -> None:
        """Another battery has this name now."""
        self._solos.pop(key, None)
        self._solo_ms.pop(key, None)
        self._told.pop(key, None)

    def acknowledge(self, key: str) -> bool:
        """A person has seen to a retired unit or, by the bank's name, to a disobedient inverter."""
        if key == self.bank.profile.name and key not in self.bank.units:
            guilty = False
            for steering in [self.steering] + list(self._solos.values()):
                for judge in steering.obedience:
                    guilty = judge.forgive() or guilty
            return guilty
        return self.bank.acknowledge(key)

    def want_full(self) -> None:
        """A person asks for a full charge."""
        self.steering.charge.want()

    def _event(self, kind: str, owner: str, text: str) -> None:
        if len(self.events) >= _MOST_EVENTS:
            del self.events[0]
        self.events.append((kind, owner, text))

    def _drain(self, steering: Steering, name: str) -> None:
        for kind, text in steering.charge.events:
            self._event(kind, name, text)
        for kind, unit, text in steering.watch.events:
            self._event(kind, unit, text)
        steering.charge.events = []
        steering.watch.events = []

    def dump(self) -> "dict[str, object]":
        """What a restart should know, as plain data."""
        charge = self.steering.charge
        latches = {}
        for unit in self.bank.units.values():
            if unit.latches.held:
                latches[unit.key] = unit.latches.held
        return {
            "phase": charge.phase,
            "full": charge.full,
            "full_soc": charge.full_soc,
            "since_full_ms": charge.since_full_ms,
            "latches": latches,
            "zeros": [[ramp.zeros, ramp.zero_left_ms()] for ramp in self.steering.governor.ramps],
        }

    def restore(self, data: "dict[str, object]", away_ms: int | None) -> None:
        """Go on from a `dump`; away_ms: how old it is, None where no clock can tell.

        Anything of the wrong shape is passed over.
        """
        charge = self.steering.charge
        since = data.get("since_full_ms")
        if isinstance(since, int) and since >= 0:
            charge.since_full_ms = since + (away_ms or 0)
        soc = data.get("full_soc")
        recent = away_ms is not None and away_ms <= _KEPT_MS
        if recent and data.get("full") is True and isinstance(soc, int):
            charge.full_soc = soc
            self.steering.resume_full = True
        # What stops a current goes on without a clock, too, and ends by itself when all is calm.
        latches = data.get("latches")
        if isinstance(latches, dict):
            for key in latches:
                held = latches[key]
                unit = self.bank.units.get(key)
                if unit is not None and isinstance(held, int) and 0 < held < 16:
                    unit.latches.held = held
        zeros = data.get("zeros")
        if isinstance(zeros, list) and len(zeros) == 2:
            for ramp, row in zip(self.steering.governor.ramps, zeros):
                if isinstance(row, list) and len(row) == 2:
                    if isinstance(row[0], int) and isinstance(row[1], int):
                        ramp.hold_zero(row[1] - (away_ms or 0), row[0])
