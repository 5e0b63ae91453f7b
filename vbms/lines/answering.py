"""An inverter that asks on a line of bytes, and the responder that answers it.

Where it asks in two protocols on one line, the second one's `AnsweringLine` is a guest of the
first's: one link, one task, one responder, and what each is told of its own.
"""

import logging

from vbms.aggregate.bank import Bank
from vbms.aggregate.virtual import VirtualBattery
from vbms.config import InverterSettings
from vbms.downstream import registry as downstream
from vbms.lines.inverter import InverterLine, Pairs
from vbms.loops.responder import Responder
from vbms.metrics import LinkStats
from vbms.ports import Clock, DownstreamCodec, Link

log = logging.getLogger("vbms")

_ERRORS = ("bad_crc", "foreign", "noise_bytes")


def make(
    settings: InverterSettings, link: Link, clock: Clock, bank: Bank, path: str | None
) -> InverterLine:
    return AnsweringLine(settings, link, clock, bank, path)


def join(settings: InverterSettings, host: InverterLine, bank: Bank) -> InverterLine:
    """A further protocol on a line that is there: a guest."""
    assert isinstance(host, AnsweringLine)
    return AnsweringLine(settings, host.link, host.clock, bank, host.path, host)


class AnsweringLine(InverterLine):
    """One codec an address, all on one responder."""

    def __init__(
        self,
        settings: InverterSettings,
        link: Link,
        clock: Clock,
        bank: Bank,
        path: str | None,
        host: "AnsweringLine | None" = None,
    ) -> None:
        super().__init__(settings, link, clock, bank, path)
        self._codecs: dict[int, DownstreamCodec] = {}
        self._served: list[tuple[DownstreamCodec, VirtualBattery | None]] = []
        self._host = host
        self._guests: list[AnsweringLine] = []
        self.responder: Responder
        if host is not None:
            self.responder = host.responder
            self.responder.add(self._codec(0))
            self.responder.turnaround_us = max(self.responder.turnaround_us, settings.turnaround_us)
            self.reply_us = host.reply_us
            host._guests.append(self)
            return
        self.responder = Responder(link, clock, [self._codec(0)], settings.turnaround_us, log)
        self.responder.name = settings.name
        self.responder.observe = self.reply_us.observe

    def _codec(self, address: int) -> DownstreamCodec:
        codec = self._codecs.get(address)
        if codec is None:
            driver = downstream.load(self.settings.protocol)
            first = getattr(driver, "FIRST_ADDRESS", 0)
            codec = driver.Codec(address=first + address, **self.settings.options)
            self._codecs[address] = codec
        return codec

    async def body(self) -> None:
        await self.responder.run()

    def start(self) -> None:
        if self._host is None:
            super().start()
        else:
            self.first_try = self._host.first_try
            self.is_open = self._host.is_open

    async def stop(self) -> None:
        if self._host is None:
            await super().stop()
        else:
            self.hush()
            self.is_open = False

    def _on_state(self, is_open: bool) -> None:
        super()._on_state(is_open)
        for guest in self._guests:
            guest.is_open = is_open

    def publish(self, pairs: Pairs) -> None:
        self._served = [(self._codec(address), battery) for address, battery in pairs]
        host = self._host or self
        served = list(host._served)
        for guest in host._guests:
            served += guest._served
        self.responder.publish(served)

    @property
    def asked_ms(self) -> int | None:
        return self.responder.heard(self._codec(0))[0]

    @property
    def requests(self) -> int:
        return self.responder.heard(self._codec(0))[1]

    @property
    def wire_saturated(self) -> list[dict[str, int]]:
        return [codec.saturated for codec in self._codecs.values()]

    def link_stats(self, now_ms: int) -> LinkStats:
        counters = self.responder.counters
        return {
            "frames_in": sum(counters[k] for k in ("answered", "foreign", "absent", "stale")),
            "frames_out": counters["answered"],
            "errors": {kind: counters[kind] for kind in _ERRORS},
            # For how long our answers were on the wire, about.
            "busy_us": counters["answered"] * 59 * self.link.byte_us,
            "up_us": (now_ms - self.since_ms) * 1000,
        }
