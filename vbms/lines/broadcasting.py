"""An inverter on a CAN bus, and the broadcaster that tells it."""

import logging
import typing

from vbms.aggregate.bank import Bank
from vbms.aggregate.present import Undivided
from vbms.config import InverterSettings, LinkSettings
from vbms.downstream import registry as downstream
from vbms.lines.inverter import InverterLine, Pairs
from vbms.links.can_bus import BUS, FLOOD, QUEUE_FULL, REFUSED, CanBus
from vbms.loops.broadcaster import FOREIGN, HEARD, STALE, Broadcaster
from vbms.metrics import LinkStats
from vbms.ports import BroadcastCodec, Clock, Link

log = logging.getLogger("vbms")

_FRAME_BITS = 125  # eight bytes, stuffing bits and the gap included, about
_WELL_MS = 60000  # so long without an error, and it is over
# What a person should know of, and what to look at. A bus without a listener is normal: no word.
_WORDS = (
    (BUS, "errors on the bus: does everybody on it run at %d bit/s, are the wires right?"),
    (REFUSED, "the adapter does not take frames: is the bus at %d bit/s, does anybody listen?"),
    (QUEUE_FULL, "the adapter's queue is full: does anybody listen, at %d bit/s?"),
    (FLOOD, "more than 2000 frames a second are heard, the rest is dropped (bus at %d bit/s)"),
)


def make(
    settings: InverterSettings, link: Link, clock: Clock, bank: Bank, path: str | None
) -> InverterLine:
    return BroadcastingLine(settings, link, clock, bank, path)


def make_link(link: LinkSettings) -> CanBus:
    return CanBus(link.name, link.interface or "", link.channel or "", link.bitrate or 0)


def simulated_link(name: str, path: str) -> CanBus:
    """Our end of a simulated bus: a serial adapter that needs no time to wake up."""
    return CanBus(name, "slcan", path, 500_000, sleep_after_open=0)


class BroadcastingLine(InverterLine):
    """One codec, told to one bus."""

    def __init__(
        self, settings: InverterSettings, link: Link, clock: Clock, bank: Bank, path: str | None
    ) -> None:
        super().__init__(settings, link, clock, bank, path)
        self.bus = typing.cast(CanBus, link)
        self.presenter = Undivided()
        self.codec: BroadcastCodec = downstream.load(settings.protocol).Codec(**settings.options)
        self.broadcaster = Broadcaster(self.bus, clock, self.codec, log)
        self.broadcaster.name = settings.name
        self._untold = False
        self._before = dict(self.bus.errors)
        self._wrong: dict[str, tuple[int, int]] = {}  # kind -> errors before it began, last at

    async def body(self) -> None:
        await self.broadcaster.run()

    async def stop(self) -> None:
        await super().stop()
        await self.bus.closed()

    def publish(self, pairs: Pairs) -> None:
        battery = pairs[0][1] if pairs else None
        told = self.broadcaster.publish(battery)
        self.silent = not told or self.broadcaster.paused
        untold = battery is not None and not told
        if untold and not self._untold:
            log.warning("%s: nothing is sent: %s", self.settings.name, self.codec.untold)
        elif self._untold and told:
            log.info("%s: told again", self.settings.name)
        self._untold = untold
        self._watch_errors()

    def _watch_errors(self) -> None:
        """One line when errors of a kind begin, one when they are over."""
        now = self.clock.now_ms()
        for kind, words in _WORDS:
            count = self.bus.errors[kind]
            wrong = self._wrong.get(kind)
            if count != self._before[kind]:
                if wrong is None:
                    log.warning("%s: %s", self.settings.name, words % self.bus.bitrate)
                    wrong = (self._before[kind], now)
                self._wrong[kind] = (wrong[0], now)
                self._before[kind] = count
            elif wrong is not None and now - wrong[1] >= _WELL_MS:
                log.info(
                    "%s: no %s errors any more, there were %d",
                    self.settings.name,
                    kind,
                    count - wrong[0],
                )
                del self._wrong[kind]

    @property
    def asked_ms(self) -> int | None:
        return self.broadcaster.heard_ms

    @property
    def requests(self) -> int:
        return self.broadcaster.counters[HEARD]

    @property
    def wire_saturated(self) -> list[dict[str, int]]:
        return [self.codec.saturated]

    def link_stats(self, now_ms: int) -> LinkStats:
        errors = dict(self.bus.errors)
        errors["foreign"] = self.broadcaster.counters[FOREIGN]
        errors["stale"] = self.broadcaster.counters[STALE]
        frames = self.bus.sent + self.bus.received
        return {
            "frames_in": self.bus.received,
            "frames_out": self.bus.sent,
            "errors": errors,
            "busy_us": frames * _FRAME_BITS * 1_000_000 // self.bus.bitrate,
            "up_us": (now_ms - self.since_ms) * 1000,
        }
