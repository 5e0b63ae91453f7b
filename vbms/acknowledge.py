"""A person's word about batteries that are gone for good, and what of it outlives a restart."""

import logging

from vbms import events
from vbms.aggregate.controller import Controller
from vbms.aggregate.member import RETIRED
from vbms.alarm_text import spoken
from vbms.config import BatterySettings, Settings
from vbms.journal import Journal
from vbms.state import State, wall_s

_SECTION = "acknowledged"


class Acknowledged:
    """Which retired batteries a person took out of the account; what a person has seen."""

    def __init__(self, controller: Controller, journal: Journal, state: State) -> None:
        self._controller = controller
        self._bank = controller.bank
        self._journal = journal
        self._state = state

    def recall(self, settings: Settings) -> None:
        """At start: those acknowledged before that stayed where they were."""
        kept = self._state.recall(_SECTION)
        names = []
        for battery in settings.batteries:
            row = kept.get(battery.name)
            if isinstance(row, dict) and row.get("place") == _spelt(battery):
                names.append(battery.name)
        self._bank.recall(names)

    def keep(self, settings: Settings) -> None:
        """Each tick: the state file follows the bank."""
        names = self._bank.acknowledged()
        kept = self._state.recall(_SECTION)
        if not names and not kept:
            return
        places = {battery.name: _spelt(battery) for battery in settings.batteries}
        now = {
            name: kept.get(name, {"at": wall_s(), "place": places[name]})
            for name in names
            if name in places
        }
        self._state.keep(_SECTION, now, at_once=True)

    def say(self, name: str) -> str | None:
        """A person has seen that a battery is retired; by the bank's name, to an inverter that was
        silenced. None: done; else why not."""
        if name not in self._bank.units:
            return self._forgive(name)
        unit = self._bank.units[name]
        state = unit.state
        if not self._bank.acknowledge(name):
            silent = spoken(unit.profile.retire_ms // 1000)
            return (
                f"{name} is {state}, not retired: only a battery that has been silent for"
                f" {silent} can be taken out of the account"
            )
        text = "acknowledged, nothing is reserved for it any more until it answers again"
        if state != RETIRED:
            text = "acknowledged that it was retired; it is back"
        self._journal.say(logging.WARNING, events.ACKNOWLEDGE, name, text)
        return None

    def _forgive(self, name: str) -> str | None:
        if not self._controller.acknowledge(name):
            return f"{name}: no inverter was silenced for taking what it may not"
        text = "acknowledged that the inverter did not obey; it is told again once it rests"
        self._journal.say(logging.WARNING, events.ACKNOWLEDGE, name, text)
        return None


def _spelt(battery: BatterySettings) -> str:
    """Where a battery is: elsewhere it is another one."""
    return f"{battery.protocol} {battery.link} {battery.address}"
