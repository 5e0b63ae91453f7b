"""A battery whose cells are modules in a chain, on a line of bytes of its own."""

import logging

from vbms.config import BatterySettings
from vbms.lines.battery import BatteryLine, Counted, Deliver, voice
from vbms.loops.chain import Chain, ChainPoller
from vbms.metrics import LinkStats
from vbms.ports import Clock, Link
from vbms.upstream import registry as upstream

log = logging.getLogger("vbms")

_ERRORS = ("timeout", "bad_frame")


def make(link: Link, clock: Clock, deliver: Deliver) -> BatteryLine:
    return ChainLine(link, clock, deliver)


class ChainLine(BatteryLine):
    """One chain; the configuration has seen to it that there is no second one."""

    def __init__(self, link: Link, clock: Clock, deliver: Deliver) -> None:
        super().__init__(link, clock, deliver)
        self.poller = ChainPoller(link, clock, deliver, log)
        if log.isEnabledFor(logging.DEBUG):
            self.poller.trace = self._trace

    def _trace(self, sent: bool, data: bytes) -> None:
        log.debug("%s: %s %s", self.link.name, ">" if sent else "<", data.hex(" "))

    @property
    def polled(self) -> dict[str, Counted]:
        chain = self.poller.chain
        return {} if chain is None else {chain.key: chain}

    async def body(self) -> None:
        await self.poller.run()

    def round_ms(self) -> int:
        chain = self.poller.chain
        return 0 if chain is None else chain.round_ms

    def link_stats(self, now_ms: int) -> LinkStats:
        stats = self.poller.stats
        return {
            "frames_in": stats["frames_in"],
            "frames_out": stats["frames_out"],
            "errors": {kind: stats[kind] for kind in _ERRORS},
            "busy_us": stats["busy_us"],
            "up_us": (now_ms - self.since_ms) * 1000,
        }

    def serve(self, batteries: "list[BatterySettings]") -> None:
        battery = batteries[0]
        before = self.batteries.get(battery.name)
        chain = self.poller.chain
        timing = battery.timing
        if chain is None or before is None or voice(before) != voice(battery):
            chain = Chain(
                battery.name,
                upstream.load(battery.protocol).Codec(**battery.options),
                timing.gap_us,
                timing.reply_timeout_ms,
                timing.poll_ms,
            )
        chain.gap_us = timing.gap_us
        chain.reply_timeout_ms = timing.reply_timeout_ms
        chain.poll_ms = timing.poll_ms
        self.poller.chain = chain
        self.batteries = {battery.name: battery}
