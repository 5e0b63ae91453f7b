"""The log of a day: edges, not levels. A healthy day is a short log.

Also keeps what the pages show: since when each alarm stands, by the wall clock, and what happened.
"""

import logging
from datetime import UTC, datetime

from vbms import events
from vbms.aggregate import alarms
from vbms.aggregate.bank import Bank, Unit
from vbms.aggregate.limits import CHARGE, DISCHARGE
from vbms.aggregate.member import DISABLED, FRESH, HOLD, JOINING, LOST, RETIRED
from vbms.aggregate.virtual import NORMAL, PARTIAL, ZERO, Reason, VirtualBattery
from vbms.alarm_text import reason_of, spoken
from vbms.events import Events
from vbms.web.shapes import reason_text

log = logging.getLogger("vbms")

NAMES = ("charge", "discharge")  # by direction
LEVELS = ("ok", "warning", "protection", "critical")
_REASON_EVERY_MS = 300000
_FOLLOWS = ("ramp", "zero_hold", "cell_latch", "temp_latch")  # what comes after another reason
# Alarms that only repeat what the unit's own line says: events, but no second line.
_SAID_BY_STATE = (alarms.UNIT_LOST, alarms.UNIT_RETIRED)
_ASKS_WITHIN_MS = 60000  # an inverter that asked longer ago has stopped
_FAULTS_A_LINE = 100  # of a unit whose frames are dropped for changing reasons


def iso_now() -> str:
    """The wall clock, ISO 8601 UTC."""
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


# What the controller says: kind -> (what the event is about, how loud, the sentence).
_CONTROLLED = {
    "charge": (events.CHARGE, logging.INFO, "charge phase %s"),
    "charged_by_neighbours": (
        events.UNIT,
        logging.WARNING,
        "charged by its neighbours, which no inverter can stop: %s",
    ),
    "disobey": (
        events.INVERTER,
        logging.WARNING,
        "the inverter does not keep to a limit of 0, %s",
    ),
    "force_charge": (events.CHARGE, logging.INFO, "empty, charge from any source: %s"),
    "full": (events.CHARGE, logging.INFO, "full, %s"),
    "full_failed": (
        events.CHARGE,
        logging.WARNING,
        "absorption timed out and the bank is not full: %s",
    ),
    "soc_drift": (events.CHARGE, logging.WARNING, "the units' SOC has drifted: %s"),
}


class Journal:
    """Sees every tick and every dropped frame, and writes the changes."""

    def __init__(self) -> None:
        # (bit, unit or bank) -> level, since when, why at this level
        self.alarms: dict[tuple[int, str], tuple[int, str, str]] = {}
        self.events = Events()
        self._told: dict[str, bool] = {}  # by inverter: whether it is told anything
        self._asks: dict[str, bool] = {}  # by inverter: whether it asks
        self._states: dict[str, str] = {}
        self._faults: dict[str, tuple[str, int]] = {}
        self._bank_state = ""
        self._stopped = {CHARGE: True, DISCHARGE: True}
        self._reasons: dict[int, str] = {}
        self._reason_ms: dict[tuple[int, str], int] = {}

    def say(self, level: int, kind: str, of: str | None, text: str) -> None:
        """One line in the log, and one event unless it is only for who looks for faults."""
        log.log(level, "%s", f"{of}: {text}" if of else text)
        if level > logging.DEBUG:
            self.note(level, kind, of, text)

    def note(self, level: int, kind: str, of: str | None, text: str) -> None:
        """An event only: somebody else has logged it."""
        self.events.add(iso_now(), kind, level, of, text)

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
                self.say(logging.INFO, events.UNIT, name, "no longer in the configuration")
        self._alarms(bank, virtual)
        if state != self._bank_state:
            bad = state not in (NORMAL, PARTIAL) and self._bank_state in (NORMAL, PARTIAL)
            text = "%s, %d of %d units fresh" % (state, virtual.n_fresh, virtual.n_total)
            if state == ZERO:
                text += ": both limits are 0"
            self.say(logging.WARNING if bad else logging.INFO, events.BANK, virtual.name, text)
            self._bank_state = state
        self._limit(CHARGE, virtual.charge_limit_ma, virtual.charge_reasons, virtual)
        self._limit(DISCHARGE, virtual.discharge_limit_ma, virtual.discharge_reasons, virtual)

    def happened(self, rows: "list[tuple[str, str, str]]") -> None:
        """What the controller has to say: (kind, unit or bank, text)."""
        for word, name, text in rows:
            usual = (events.BANK, logging.INFO, word.replace("_", " ") + " %s")
            kind, level, sentence = _CONTROLLED.get(word, usual)
            self.say(level, kind, name, sentence % text)

    def _unit(self, unit: Unit) -> None:
        state = unit.state
        before = self._states.get(unit.key)
        if state == before:
            return
        self._states[unit.key] = state
        silent = spoken(unit.age_ms // 1000)
        level = logging.INFO
        if state == FRESH:
            text = f"online, {unit.cells} cells"
        elif state == HOLD:
            level = logging.WARNING
            text = f"silent for {silent}, its last values are held"
        elif state == LOST and before is not None:
            level = logging.WARNING
            text = f"silent for {silent}, lost"
        elif state == RETIRED and unit.acknowledged:
            text = "retired, and acknowledged before the restart: nothing is reserved for it"
        elif state == RETIRED and unit.profile.retire_auto:
            level = logging.ERROR
            text = f"silent for {silent}, retired; nothing is reserved for it"
        elif state == RETIRED:
            level = logging.ERROR
            text = (
                f"silent for {silent}, retired; limits stay reserved for it until it is"
                " acknowledged or disabled"
            )
        elif state == DISABLED:
            snap = unit.snapshot
            text = f"shown, {snap.note}" if snap is not None and snap.only_shown else "disabled"
        elif state == JOINING:
            level = logging.INFO if before == RETIRED else logging.DEBUG
            text = "answers again, joining" if before == RETIRED else "answers, joining"
        else:
            return
        self.say(level, events.UNIT, unit.key, text)

    def _alarms(self, bank: Bank, virtual: VirtualBattery) -> None:
        now = {(bit, unit): level for bit, level, unit in virtual.alarms}
        for (bit, name), level in now.items():
            before = self.alarms.get((bit, name))
            if before is None or before[0] != level:
                since = before[1] if before else iso_now()
                why = reason_of(bit, name, bank, virtual)
                self.alarms[(bit, name)] = (level, since, why)
                what = alarms.named(bit)[0].replace("_", " ")
                grave = logging.ERROR if level == alarms.CRITICAL else logging.WARNING
                text = f"{what} ({LEVELS[level]})"
                self._alarm(grave, bit, name, f"{text}: {why}" if why else text)
        for bit, name in [key for key in self.alarms if key not in now]:
            del self.alarms[(bit, name)]
            what = alarms.named(bit)[0].replace("_", " ")
            self._alarm(logging.INFO, bit, name, f"{what} is over")

    def _alarm(self, level: int, bit: int, name: str, text: str) -> None:
        tell = self.note if bit in _SAID_BY_STATE else self.say
        tell(level, events.ALARM, name, text)

    def _limit(
        self, direction: int, limit_ma: int, reasons: tuple[Reason, ...], virtual: VirtualBattery
    ) -> None:
        """A stop and its end are told at once, another reason once in five minutes."""
        if not reasons or virtual.state not in (NORMAL, PARTIAL):
            self._stopped[direction] = True
            return
        cause = reasons[0].rule  # which of several equal units it is may change all day
        stopped = limit_ma == 0
        if stopped == self._stopped[direction]:
            if cause in _FOLLOWS or cause == self._reasons.get(direction):
                return
            last = self._reason_ms.get((direction, cause))
            if last is not None and virtual.taken_ms - last < _REASON_EVERY_MS:
                return
        self._stopped[direction] = stopped
        why = reason_text(reasons[0], direction)
        self._reasons[direction] = cause
        self._reason_ms[(direction, cause)] = virtual.taken_ms
        text = "%s %.1f A: %s" % (NAMES[direction], limit_ma // 100 / 10, why)
        self.say(logging.INFO, events.LIMIT, None, text)

    def inverter(self, name: str, told: bool, asked_ms: int | None, now_ms: int) -> None:
        """Whether an inverter is told anything now, and when it last asked."""
        asks = asked_ms is not None and now_ms - asked_ms <= _ASKS_WITHIN_MS
        if told != self._told.get(name, False):
            level = logging.INFO if told else logging.WARNING
            text = "is told the battery" if told else "is told nothing"
            self.say(level, events.INVERTER, name, text)
            self._told[name] = told
        if asks != self._asks.get(name, False):
            level = logging.INFO if asks else logging.WARNING
            again = " again" if name in self._asks else ""
            self.note(
                level, events.INVERTER, name, f"asks{again}" if asks else "has stopped asking"
            )
            self._asks[name] = asks

    def no_inverter(self, name: str) -> None:
        """It is no longer in the configuration."""
        self._told.pop(name, None)
        self._asks.pop(name, None)
