"""All relays of a site: each tick decides, the switches follow, a restart goes on from there."""

import asyncio
import contextlib
import logging

from vbms import events
from vbms.aggregate import relay as core
from vbms.aggregate.bank import Bank
from vbms.aggregate.controller import Controller
from vbms.aggregate.member import FRESH
from vbms.aggregate.relay import Relay, RelayProfile
from vbms.aggregate.virtual import VirtualBattery
from vbms.config import RelaySettings
from vbms.errors import LinkError
from vbms.integers import ceil_div
from vbms.journal import Journal
from vbms.ports import Clock
from vbms.relays import output
from vbms.relays.deadman import Deadman
from vbms.relays.switch import Switch
from vbms.state import State
from vbms.web.relays import why_text

log = logging.getLogger("vbms")

_SECTION = "relay"
_DAY_MS = 86_400_000
_GRAVE = (core.TIMEOUT, core.FAULT)


class One:
    """A relay with its settings, its decisions and its switch."""

    def __init__(self, settings: RelaySettings, clock: Clock) -> None:
        self.settings = settings
        self.relay = Relay(_profile(settings))
        self.switch = Switch(settings.name, output.make(settings), clock, settings.repeat_ms)
        self.said: tuple[str, bool] = ("", False)  # state and on, as last logged

    # As web/site.py's RelayRow
    @property
    def name(self) -> str:
        return self.settings.name

    @property
    def of(self) -> str | None:
        return self.settings.of

    @property
    def output(self) -> str:
        return self.settings.output

    @property
    def state(self) -> str:
        return self.relay.state

    @property
    def on(self) -> bool | None:
        return self.switch.stands

    @property
    def why(self) -> str:
        return self.relay.why

    @property
    def error(self) -> str | None:
        return self.switch.why_broken

    @property
    def on_ms(self) -> int:
        return self.relay.on_ms

    @property
    def charger_ma(self) -> int:
        return self.settings.charger_ma

    @property
    def low_permille(self) -> int:
        return self.settings.low_permille

    @property
    def timeout_ms(self) -> int:
        return self.relay.profile.timeout_ms


class Panel:
    """`serve` before anything else, `step` each tick, `close` at the end: off, as told, off."""

    def __init__(self, clock: Clock, journal: Journal, state: State) -> None:
        self.relays: dict[str, One] = {}
        self._clock = clock
        self._journal = journal
        self._state = state
        self._deadman: Deadman | None = None
        self._loop: asyncio.AbstractEventLoop | None = None

    async def serve(self, settings: "tuple[RelaySettings, ...]") -> None:
        """These relays from now on. New and changed ones are switched off first."""
        self._loop = asyncio.get_running_loop()
        wanted = {each.name: each for each in settings}
        gone = [one for one in self.relays.values() if wanted.get(one.name) != one.settings]
        kept = self._state.recall(_SECTION) | {one.name: one.relay.kept() for one in gone}
        for one in gone:
            del self.relays[one.name]
        await asyncio.gather(*(one.switch.close() for one in gone))
        new = [One(each, self._clock) for each in settings if each.name not in self.relays]
        for one in new:
            before = kept.get(one.name)
            if isinstance(before, dict):
                one.relay.resume(before)
            self.relays[one.name] = one
        await asyncio.gather(*(one.switch.start() for one in new))
        self.relays = {name: self.relays[name] for name in wanted}
        if self.relays and self._deadman is None:
            self._deadman = Deadman(self._force_off)
            self._deadman.start()

    def step(self, whole: VirtualBattery, controller: Controller, now_ms: int) -> None:
        """Decide anew, from the bank as it is merged now."""
        if not self.relays:
            return
        bank = controller.bank
        for one in self.relays.values():
            of = one.settings.of
            battery = whole
            if of is not None and not bank.broken:
                known = of in bank.units
                battery = controller.solo(of) if known else VirtualBattery(name=of)
            one.relay.broken = one.switch.broken
            own_soc = _own_soc(bank, of)
            one.switch.want(one.relay.step(battery, now_ms, own_soc))
            self._say(one, battery.soc_permille if own_soc is None else own_soc)
        self._state.keep(_SECTION, {one.name: one.relay.kept() for one in self.relays.values()})
        if self._deadman is not None:
            self._deadman.feed()

    def taken_ma(self, bank: Bank) -> dict[str, int]:
        """What the chargers give that are on, or may be: under "" all, and by battery its part.

        No inverter may charge with that, too. A charger of the whole bank counts for each fresh
        battery by its capacity, rounded up.
        """
        live = [
            one for one in self.relays.values() if one.relay.on or one.switch.stands is not False
        ]
        if not live:
            return {}
        taken = {"": sum(one.charger_ma for one in live)}
        fresh = [unit for unit in bank.units.values() if unit.state == FRESH]
        weights = sum(unit.weight_mah or 1 for unit in fresh)
        for unit in fresh:
            for one in live:
                if one.of is None:
                    part = ceil_div(one.charger_ma * (unit.weight_mah or 1), weights)
                    taken[unit.key] = taken.get(unit.key, 0) + part
                elif one.of == unit.key:
                    taken[unit.key] = taken.get(unit.key, 0) + one.charger_ma
        return taken

    def all_off(self) -> None:
        """The decisions failed."""
        for one in self.relays.values():
            one.switch.want(False)

    def clear(self, name: str) -> str | None:
        """A person ends a time-out. None: done; else why not."""
        one = self.relays[name]
        if not one.relay.clear():
            return f"{name} is in state {one.state}: only a time-out can be cleared"
        self._journal.say(logging.WARNING, events.RELAY, name, "time-out cleared, charging again")
        return None

    async def close(self) -> None:
        """All off."""
        if self._deadman is not None:
            self._deadman.stop()
        await asyncio.gather(*(one.switch.close() for one in self.relays.values()))

    def _say(self, one: One, soc: int | None) -> None:
        """What changed, once; soc: the one that decided."""
        now = (one.state, one.relay.on)
        if now == one.said:
            return
        grave = one.state in _GRAVE and one.said[0] != one.state
        at = "" if soc is None else f" at {soc // 10} %"
        word = "on" if one.relay.on else "off"
        text = f"{word}{at}, {one.state.replace('_', ' ')}: {why_text(one)}"
        level = logging.ERROR if grave else logging.INFO
        self._journal.say(level, events.RELAY, one.name, text)
        one.said = now

    def _force_off(self) -> None:
        """From the dead man's thread."""
        for one in list(self.relays.values()):
            try:
                one.switch.output.force_off()
            except LinkError as error:
                log.error("%s: cannot be switched off: %s", one.name, error)
            if self._loop is not None:
                with contextlib.suppress(RuntimeError):  # it is closed
                    self._loop.call_soon_threadsafe(one.switch.forced_off)


def _own_soc(bank: Bank, of: str | None) -> int | None:
    """SOC in permille by the units' own word; what is told moves slower."""
    soc = weights = 0
    for unit in bank.units.values():
        snap = unit.snapshot
        if unit.state == FRESH and of in (None, unit.key) and snap is not None:
            if snap.soc_permille is None:
                return None
            soc += snap.soc_permille * (unit.weight_mah or 1)
            weights += unit.weight_mah or 1
    return soc // weights if weights else None


def _profile(settings: RelaySettings) -> RelayProfile:
    return RelayProfile(
        charger_ma=settings.charger_ma,
        low_permille=settings.low_permille,
        timeout_ms=settings.timeout_min * 60_000,
        retry_ms=_DAY_MS if settings.retry_daily else None,
        full_cell_mv=settings.full_cell_mv,
    )
