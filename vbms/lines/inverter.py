"""What the site needs of a line with an inverter on it, whatever the medium."""

import logging

from vbms.aggregate.bank import Bank
from vbms.aggregate.controller import Controller
from vbms.aggregate.ladder import Ladder
from vbms.aggregate.modules import group_of, module_of
from vbms.aggregate.present import MODES, SHARDS, UNITS, WHOLE, Presenter, part_of
from vbms.aggregate.profile import BankProfile
from vbms.aggregate.virtual import NORMAL, PARTIAL, SILENT, VirtualBattery
from vbms.config import InverterSettings
from vbms.downstream import registry as downstream
from vbms.lines.line import Line
from vbms.metrics import Histogram, LinkStats
from vbms.ports import Clock, Link

log = logging.getLogger("vbms")

Pairs = tuple[tuple[int, VirtualBattery | None], ...]


class InverterLine(Line):
    """A line with an inverter on it: its ladders, and who is told what at which address.

    How it is told, by answers, by broadcasts, is `publish` and `body` of the kinds of line.
    """

    def __init__(
        self, settings: InverterSettings, link: Link, clock: Clock, bank: Bank, path: str | None
    ) -> None:
        super().__init__(link, clock)
        self.settings = settings
        self.path = path  # where a simulated line can be plugged into
        self.reply_us = Histogram()
        self._ladders: dict[str, Ladder] = {}
        self.presenter = Presenter(settings.present, settings.shards, bank_cap_ma(bank))
        self.state = "starting"
        self.silent = True
        self.told: VirtualBattery | None = None
        # mA that others charge with: of the bank (""), of a battery
        self.chargers: dict[str, int] = {}
        driver = downstream.load(settings.protocol)
        wanted = settings.options.get("modules", "units") == "units"
        # Shards and the cap on their sum are for protocols that have addresses for them.
        self._has_shards: bool = SHARDS in getattr(driver, "PRESENT", MODES)
        self._has_modules: bool = getattr(driver, "MODULES", False)
        self._most_modules: int = getattr(driver, "MOST_MODULES", 0) if wanted else 1
        self.tells_discharge: bool = getattr(driver, "TELLS_DISCHARGE", True)

    def publish(self, pairs: "Pairs") -> None:
        """From now on this is told: (address, battery) pairs, None: silence there."""
        raise NotImplementedError

    @property
    def asked_ms(self) -> int | None:
        """When the inverter last asked or acknowledged; None: never."""
        raise NotImplementedError

    @property
    def requests(self) -> int:
        """How often it did."""
        raise NotImplementedError

    @property
    def wire_saturated(self) -> "list[dict[str, int]]":
        """What the codecs counted: values that did not fit their field."""
        raise NotImplementedError

    def link_stats(self, now_ms: int) -> LinkStats:
        """For the metrics."""
        raise NotImplementedError

    def _ladder(self, key: str, bank: Bank) -> Ladder:
        ladder = self._ladders.get(key)
        if ladder is None:
            ladder = Ladder(bank.profile, self.settings.silent_after_ms)
            self._ladders[key] = ladder
        # One unit alone is all the units there are.
        profile = bank.profile
        ladder.bank = (
            profile
            if not key
            else BankProfile(key, start_ms=profile.start_ms, steady_ms=profile.steady_ms)
        )
        return ladder

    def tell(
        self,
        controller: Controller,
        whole: VirtualBattery,
        slots: "list[tuple[int, str]]",
        now_ms: int,
    ) -> None:
        """From now on the inverter is told this. slots: (address, battery) for `present: units`."""
        bank = controller.bank
        if self.settings.present == UNITS:
            units = []
            states = []
            served = [key for _, key in slots]
            for key in [key for key in self._ladders if key not in served]:
                del self._ladders[key]
            cap = bank.profile.max_charge_ma
            share = self.settings.share_ppht
            self.presenter.charge_cap_ma = None if cap is None else cap * share // WHOLE
            for address, key in slots:
                alone = whole if bank.broken else controller.solo(key)
                ladder = self._ladder(key, bank)
                units.append((address, self._part(ladder.step(alone, now_ms, bank.up_ms), key)))
                states.append(ladder.state)
            pairs = self.presenter.present(None, units)
            told = [state for (_, battery), state in zip(units, states) if battery is not None]
            if told and all(state == NORMAL for state in states):
                self.state = NORMAL
            elif NORMAL in told or PARTIAL in told:
                self.state = PARTIAL
            else:
                self.state = told[0] if told else (states[0] if states else SILENT)
        else:
            ladder = self._ladder("", bank)
            self.told = self._part(ladder.step(whole, now_ms, bank.up_ms))
            self.state = ladder.state
            if self._has_modules:
                pairs = self._with_modules(controller, self.told, slots, now_ms)
            elif self._has_shards:
                pairs = self.presenter.present(self.told)
            else:
                pairs = ((0, self.told),)
        if self.presenter.notice:
            log.info("%s: %s", self.settings.name, self.presenter.notice)
            self.presenter.notice = None
        self.silent = all(battery is None for _, battery in pairs)
        self.publish(pairs)

    def _part(self, battery: VirtualBattery | None, key: str = "") -> VirtualBattery | None:
        """What of it is this inverter's: others may charge or draw from the same batteries.

        key: of the battery where it is not the bank.
        """
        if battery is None:
            return None
        taken = self.chargers.get(key, 0)
        if taken:
            limit = max(0, battery.charge_limit_ma - taken)
            battery = battery.copy(
                charge_limit_ma=limit,
                charge_enabled=battery.charge_enabled and limit > 0,
                force_charge=battery.force_charge and limit > 0,
            )
        return part_of(battery, self.settings.share_ppht)

    def _with_modules(
        self,
        controller: Controller,
        told: VirtualBattery | None,
        slots: "list[tuple[int, str]]",
        now_ms: int,
    ) -> Pairs:
        """The bank at the first address, its batteries behind it and at addresses of their own.

        Each battery has a ladder as with `present: units`; while the bank is silent all are.
        """
        bank = controller.bank
        served = [""] + [key for _, key in slots]
        for key in [key for key in self._ladders if key not in served]:
            del self._ladders[key]
        modules = {}
        for slot, key in slots:
            if bank.broken or key not in bank.units or not bank.units[key].profile.enabled:
                continue
            ladder = self._ladder(key, bank)
            alone = self._part(ladder.step(controller.solo(key), now_ms, bank.up_ms), key)
            if alone is not None:
                modules[slot] = module_of(alone, bank.units[key])
        if told is None:
            return tuple((slot, None) for slot in range(self._most_modules))
        group = group_of(told, modules, {key: slot for slot, key in slots})
        pairs: list[tuple[int, VirtualBattery | None]] = [(0, group)]
        for slot in range(1, self._most_modules):
            pairs.append((slot, modules.get(slot)))
        return tuple(pairs)

    def inherit(self, other: "InverterLine") -> None:
        """Go on where the same inverter's line with other settings was: nothing has got worse."""
        if other.settings.present == self.settings.present:
            self._ladders = other._ladders
            for ladder in self._ladders.values():
                ladder.silent_after_ms = self.settings.silent_after_ms

    def forget(self, key: str) -> None:
        """Another battery has this name now: what the old one said is nobody's."""
        self._ladders.pop(key, None)

    def hush(self) -> None:
        """Say nothing until told again."""
        self.silent = True
        self.publish(())

    def next_ms(self) -> int | None:
        """In how many ms a ladder acts by itself."""
        waits = [
            wait for ladder in self._ladders.values() if (wait := ladder.next_ms()) is not None
        ]
        return min(waits) if waits else None

    @property
    def saturated(self) -> dict[str, int]:
        """How often a value did not fit its field, by field."""
        total = dict(self.presenter.saturated)
        for counted in self.wire_saturated:
            for name, count in counted.items():
                total[name] = total.get(name, 0) + count
        return total


def bank_cap_ma(bank: Bank) -> int | None:
    """The larger of the bank's caps; None where none is set."""
    known = (bank.profile.max_charge_ma, bank.profile.max_discharge_ma)
    return max((cap for cap in known if cap is not None), default=None)
