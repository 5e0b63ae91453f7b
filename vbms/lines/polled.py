"""Batteries that share a line of bytes and are asked one after another."""

import logging

from vbms.config import BatterySettings
from vbms.lines.battery import BatteryLine, Counted, Deliver
from vbms.loops.poller import PolledUnit, Poller
from vbms.metrics import LinkStats
from vbms.ports import Clock, Link
from vbms.upstream import registry as upstream

log = logging.getLogger("vbms")

LISTEN_MS = 2000  # before the first request, where another master's would be recognised
_ERRORS = ("timeout", "bad_frame", "foreign", "echo", "stray_bytes")


def make(link: Link, clock: Clock, deliver: Deliver) -> BatteryLine:
    return PolledLine(link, clock, deliver)


class PolledLine(BatteryLine):
    """A line with batteries on it, and the poller that asks them."""

    def __init__(self, link: Link, clock: Clock, deliver: Deliver) -> None:
        super().__init__(link, clock, deliver)
        self._units: dict[str, PolledUnit] = {}
        self.poller = Poller(link, clock, [], deliver, log)
        if log.isEnabledFor(logging.DEBUG):
            self.poller.trace = self._trace

    def _trace(self, sent: bool, data: bytes) -> None:
        log.debug("%s: %s %s", self.link.name, ">" if sent else "<", data.hex(" "))

    @property
    def polled(self) -> dict[str, Counted]:
        return dict(self._units)

    async def body(self) -> None:
        await self.poller.run()

    def round_ms(self) -> int:
        return self.poller.round_ms()

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
        kept = self.stayed(batteries, self._units, polled_unit)
        for battery in batteries:
            unit = kept[battery.name]
            unit.gap_us = battery.timing.gap_us
            unit.reply_timeout_ms = battery.timing.reply_timeout_ms
            unit.slow_timeout_ms = battery.timing.slow_timeout_ms
            unit.silence_ms = battery.timing.silence_ms
            unit.poll_ms = battery.timing.poll_ms
        self._units = kept
        self.poller.units = list(kept.values())
        known = any(unit.overhears is not None for unit in kept.values())
        alone = getattr(self.link, "alone", False)  # a recording: no other master can come
        self.poller.listen_first_ms = LISTEN_MS if known and not alone else 0


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
