"""The two kinds of line a site has: one that batteries are polled on, one that an inverter asks on.

Each owns its link and its task; neither can be taken down by the other's faults.
"""

import asyncio
import contextlib
import logging
from collections.abc import Callable, Coroutine

from vbms.aggregate.bank import Bank
from vbms.aggregate.ladder import Ladder
from vbms.aggregate.present import UNITS, Presenter
from vbms.aggregate.profile import BankProfile
from vbms.aggregate.snapshot import Snapshot
from vbms.aggregate.virtual import NORMAL, PARTIAL, SILENT, VirtualBattery
from vbms.config import BatterySettings, InverterSettings
from vbms.downstream import registry as downstream
from vbms.loops.hold import hold_open
from vbms.loops.poller import PolledUnit, Poller
from vbms.loops.responder import Responder
from vbms.metrics import Histogram
from vbms.ports import Clock, DownstreamCodec, Link
from vbms.upstream import registry as upstream

log = logging.getLogger("vbms")

RESTART_MS = 5000


class Line:
    """A link with a task that keeps it open. `opened` is set once it has been open."""

    def __init__(self, link: Link, clock: Clock) -> None:
        self.link = link
        self.clock = clock
        self.is_open = False
        self.since_ms = clock.now_ms()
        self.first_try: asyncio.Future[bool] | None = None
        self._task: asyncio.Task[None] | None = None

    def start(self, body: Callable[[], Coroutine[None, None, None]]) -> None:
        self.first_try = asyncio.get_running_loop().create_future()
        self._task = asyncio.create_task(self._keep(body), name=self.link.name)

    async def _keep(self, body: Callable[[], Coroutine[None, None, None]]) -> None:
        """A mistake of ours on one line is loud, and costs that line alone some seconds."""
        while True:
            try:
                await hold_open(self.link, self.clock, body, log, self._on_state)
            except Exception:
                log.exception("%s: this line failed, starting it anew", self.link.name)
            self._on_state(False)
            self.link.close()
            await self.clock.sleep_ms(RESTART_MS)

    def _on_state(self, is_open: bool) -> None:
        self.is_open = is_open
        if self.first_try is not None and not self.first_try.done():
            self.first_try.set_result(is_open)

    async def stop(self) -> None:
        if self._task is not None:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task
            self._task = None
        self.link.close()
        self.is_open = False


class BatteryLine(Line):
    """A line with batteries on it, and the poller that asks them."""

    def __init__(self, link: Link, clock: Clock, deliver: Callable[[str, Snapshot], None]) -> None:
        super().__init__(link, clock)
        self.batteries: dict[str, BatterySettings] = {}
        self.polled: dict[str, PolledUnit] = {}
        self.poller = Poller(link, clock, [], deliver, log)
        if log.isEnabledFor(logging.DEBUG):
            self.poller.trace = self._trace

    def _trace(self, sent: bool, data: bytes) -> None:
        log.debug("%s: %s %s", self.link.name, ">" if sent else "<", data.hex(" "))

    def serve(self, batteries: "list[BatterySettings]") -> None:
        """Poll these from now on; those that stay as they were keep what they have said."""
        kept = {}
        for battery in batteries:
            unit = self.polled.get(battery.name)
            before = self.batteries.get(battery.name)
            if unit is None or before is None or voice(before) != voice(battery):
                unit = polled_unit(battery)
            unit.gap_us = battery.timing.gap_us
            unit.reply_timeout_ms = battery.timing.reply_timeout_ms
            unit.slow_timeout_ms = battery.timing.slow_timeout_ms
            unit.silence_ms = battery.timing.silence_ms
            unit.poll_ms = battery.timing.poll_ms
            kept[battery.name] = unit
        self.batteries = {battery.name: battery for battery in batteries}
        self.polled = kept
        self.poller.units = list(kept.values())


def voice(battery: BatterySettings) -> tuple[str, str, dict[str, object]]:
    """What makes a unit the same one for the poller, whatever its profile says of limits."""
    return battery.protocol, battery.link, battery.options


def polled_unit(battery: BatterySettings) -> PolledUnit:
    """A battery's codec and patience, as its profile says."""
    driver = upstream.load(battery.protocol)
    timing = battery.timing
    return PolledUnit(
        battery.name,
        driver.Codec(**battery.options),
        timing.gap_us,
        timing.reply_timeout_ms,
        timing.slow_timeout_ms,
        timing.silence_ms,
        timing.poll_ms,
    )


class InverterLine(Line):
    """A line with an inverter on it: ladders, addresses and the responder that answers."""

    def __init__(
        self, settings: InverterSettings, link: Link, clock: Clock, bank: Bank, path: str | None
    ) -> None:
        super().__init__(link, clock)
        self.settings = settings
        self.path = path  # where a simulated line can be plugged into
        self.reply_us = Histogram()
        self._codecs: dict[int, DownstreamCodec] = {}
        self._ladders: dict[str, Ladder] = {}
        self.presenter = Presenter(settings.present, settings.shards, bank_cap_ma(bank))
        self.responder = Responder(link, clock, [self._codec(0)], settings.turnaround_us, log)
        self.responder.name = settings.name
        self.responder.observe = self.reply_us.observe
        self.state = "starting"
        self.silent = True
        self.told: VirtualBattery | None = None

    def _codec(self, address: int) -> DownstreamCodec:
        codec = self._codecs.get(address)
        if codec is None:
            driver = downstream.load(self.settings.protocol)
            codec = driver.Codec(address=address, **self.settings.options)
            self._codecs[address] = codec
        return codec

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
        self, bank: Bank, whole: VirtualBattery, slots: "list[tuple[int, str]]", now_ms: int
    ) -> None:
        """From now on the inverter is told this. slots: (address, battery) for `present: units`."""
        if self.settings.present == UNITS:
            units = []
            states = []
            served = [key for _, key in slots]
            for key in [key for key in self._ladders if key not in served]:
                del self._ladders[key]
            self.presenter.charge_cap_ma = bank.profile.max_charge_ma
            for address, key in slots:
                alone = whole if bank.broken else bank.solo(key)
                ladder = self._ladder(key, bank)
                units.append((address, ladder.step(alone, now_ms, bank.up_ms)))
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
            self.told = ladder.step(whole, now_ms, bank.up_ms)
            self.state = ladder.state
            pairs = self.presenter.present(self.told)
        if self.presenter.notice:
            log.info("%s: %s", self.settings.name, self.presenter.notice)
            self.presenter.notice = None
        self.silent = all(battery is None for _, battery in pairs)
        self.responder.publish([(self._codec(address), battery) for address, battery in pairs])

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
        self.responder.publish([])

    def next_ms(self) -> int | None:
        """In how many ms a ladder acts by itself."""
        waits = [
            wait for ladder in self._ladders.values() if (wait := ladder.next_ms()) is not None
        ]
        return min(waits) if waits else None

    @property
    def busy_us(self) -> int:
        """For how long our answers were on the wire, about."""
        return self.responder.counters["answered"] * 59 * self.link.byte_us

    @property
    def saturated(self) -> dict[str, int]:
        """How often a value did not fit its field, by field."""
        total = dict(self.presenter.saturated)
        for codec in self._codecs.values():
            for name, count in codec.saturated.items():
                total[name] = total.get(name, 0) + count
        return total


def bank_cap_ma(bank: Bank) -> int | None:
    """The larger of the bank's caps; None where none is set."""
    known = (bank.profile.max_charge_ma, bank.profile.max_discharge_ma)
    return max((cap for cap in known if cap is not None), default=None)
