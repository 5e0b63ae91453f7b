"""An inverter that asks on a line of bytes, and the responder that answers it."""

import logging

from vbms.aggregate.bank import Bank
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


class AnsweringLine(InverterLine):
    """One codec an address, all on one responder."""

    def __init__(
        self, settings: InverterSettings, link: Link, clock: Clock, bank: Bank, path: str | None
    ) -> None:
        super().__init__(settings, link, clock, bank, path)
        self._codecs: dict[int, DownstreamCodec] = {}
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

    def publish(self, pairs: Pairs) -> None:
        self.responder.publish([(self._codec(address), battery) for address, battery in pairs])

    @property
    def asked_ms(self) -> int | None:
        return self.responder.asked_ms

    @property
    def requests(self) -> int:
        return self.responder.counters["answered"] + self.responder.counters["stale"]

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
