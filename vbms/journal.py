"""The log of a day: edges, not levels. A healthy day is a short log.

Also keeps what the pages show of alarms: since when each stands, by the wall clock.
"""

import logging
from datetime import UTC, datetime

from vbms.aggregate import alarms
from vbms.aggregate.bank import Bank, Unit
from vbms.aggregate.limits import CHARGE, DISCHARGE
from vbms.aggregate.member import DISABLED, FRESH, HOLD, JOINING, LOST, RETIRED
from vbms.aggregate.virtual import NORMAL, PARTIAL, Reason, VirtualBattery
from vbms.web.shapes import reason_text

log = logging.getLogger("vbms")

NAMES = ("charge", "discharge")  # by direction
LEVELS = ("ok", "warning", "protection", "critical")
_REASON_EVERY_MS = 300000
_FAULTS_A_LINE = 100  # of a unit whose frames are dropped for changing reasons


def iso_now() -> str:
    """The wall clock, ISO 8601 UTC."""
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


class Journal:
    """Sees every tick and every dropped frame, and writes the changes."""

    def __init__(self) -> None:
        self.alarms: dict[tuple[int, str], tuple[int, str]] = {}  # (bit, unit) -> level, since
        self._states: dict[str, str] = {}
        self._faults: dict[str, tuple[str, int]] = {}
        self._bank_state = ""
        self._reasons: dict[int, str] = {}
        self._reason_ms: dict[int, int] = {}

    def admission(self, name: str, fault: str | None) -> None:
        """One frame was admitted (None) or dropped, with the word for why."""
        before = self._faults.get(name)
        if fault is None:
            if before is not None:
                del self._faults[name]
                log.info("%s: frames are plausible again, %d dropped", name, before[1])
        elif before is None:
            self._faults[name] = (fault, 1)
            log.warning("%s: frame dropped, %s", name, fault.replace("_", " "))
        else:
            if before[0] != fault and before[1] % _FAULTS_A_LINE == 0:
                log.warning("%s: frame dropped, %s", name, fault.replace("_", " "))
            self._faults[name] = (fault, before[1] + 1)

    def tick(self, bank: Bank, virtual: VirtualBattery, state: str) -> None:
        """What has changed since the last tick."""
        for unit in bank.units.values():
            self._unit(unit)
        for name in list(self._states):
            if name not in bank.units:
                del self._states[name]
                log.info("%s: no longer in the configuration", name)
        self._alarms(virtual)
        if state != self._bank_state:
            bad = state not in (NORMAL, PARTIAL) and self._bank_state in (NORMAL, PARTIAL)
            log.log(
                logging.WARNING if bad else logging.INFO,
                "%s: %s, %d of %d units fresh",
                virtual.name,
                state,
                virtual.n_fresh,
                virtual.n_total,
            )
            self._bank_state = state
        self._limit(CHARGE, virtual.charge_limit_ma, virtual.charge_reasons, virtual)
        self._limit(DISCHARGE, virtual.discharge_limit_ma, virtual.discharge_reasons, virtual)

    def _unit(self, unit: Unit) -> None:
        state = unit.state
        before = self._states.get(unit.key)
        if state == before:
            return
        self._states[unit.key] = state
        silent = unit.age_ms // 1000
        if state == FRESH:
            log.info("%s: online, %s cells", unit.key, unit.cells)
        elif state == HOLD:
            log.warning("%s: silent for %d s, its last values are held", unit.key, silent)
        elif state == LOST and before is not None:
            log.warning("%s: silent for %d s, lost", unit.key, silent)
        elif state == RETIRED:
            log.error(
                "%s: silent for %d min, retired; limits stay reserved for it until it is"
                " acknowledged or disabled",
                unit.key,
                silent // 60,
            )
        elif state == DISABLED:
            log.info("%s: disabled", unit.key)
        elif state == JOINING:
            log.debug("%s: answers, joining", unit.key)

    def _alarms(self, virtual: VirtualBattery) -> None:
        now = {(bit, unit): level for bit, level, unit in virtual.alarms}
        for (bit, name), level in now.items():
            before = self.alarms.get((bit, name))
            if before is None or before[0] != level:
                since = before[1] if before else iso_now()
                self.alarms[(bit, name)] = (level, since)
                what = alarms.named(bit)[0].replace("_", " ")
                log.warning("%s: %s (%s)", name, what, LEVELS[level])
        for bit, name in [key for key in self.alarms if key not in now]:
            del self.alarms[(bit, name)]
            log.info("%s: %s is over", name, alarms.named(bit)[0].replace("_", " "))

    def _limit(
        self, direction: int, limit_ma: int, reasons: tuple[Reason, ...], virtual: VirtualBattery
    ) -> None:
        if not reasons or virtual.state not in (NORMAL, PARTIAL):
            return
        cause = reasons[0].rule  # which of several equal units it is may change all day
        if self._reasons.get(direction) == cause:
            return
        last = self._reason_ms.get(direction)
        if last is not None and virtual.taken_ms - last < _REASON_EVERY_MS:
            return
        why = reason_text(reasons[0], direction)
        self._reasons[direction] = cause
        self._reason_ms[direction] = virtual.taken_ms
        log.info("%s %.1f A: %s", NAMES[direction], limit_ma / 1000, why)
