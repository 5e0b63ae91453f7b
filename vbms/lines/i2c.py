"""Sensors on an I2C bus, each a battery."""

import logging
from typing import cast

from vbms.config import BatterySettings, LinkSettings
from vbms.lines.battery import BatteryLine, Counted, Deliver
from vbms.links.i2c_bus import I2cBus
from vbms.loops.i2c import Sampler, Sensor
from vbms.metrics import LinkStats
from vbms.ports import Clock, Link, RegisterBus
from vbms.upstream import registry as upstream

log = logging.getLogger("vbms")

_ERRORS = ("timeout", "bad_frame")


def make_link(settings: LinkSettings) -> Link:
    number = 1 if settings.i2c_bus is None else settings.i2c_bus
    return cast(Link, I2cBus(settings.name, number))  # registers go over it, no loose bytes


def make(link: Link, clock: Clock, deliver: Deliver) -> BatteryLine:
    return I2cLine(link, clock, deliver)


class I2cLine(BatteryLine):
    """A bus with sensors on it, and the loop that samples them."""

    def __init__(self, link: Link, clock: Clock, deliver: Deliver) -> None:
        super().__init__(link, clock, deliver)
        self._sensors: dict[str, Sensor] = {}
        self.sampler = Sampler(cast(RegisterBus, link), clock, [], deliver, log)

    @property
    def polled(self) -> dict[str, Counted]:
        return dict(self._sensors)

    async def body(self) -> None:
        await self.sampler.run()

    def link_stats(self, now_ms: int) -> LinkStats:
        stats = self.sampler.stats
        return {
            "frames_in": stats["frames_in"],
            "frames_out": stats["frames_out"],
            "errors": {kind: stats[kind] for kind in _ERRORS},
            "busy_us": stats["busy_us"],
            "up_us": (now_ms - self.since_ms) * 1000,
        }

    def serve(self, batteries: "list[BatterySettings]") -> None:
        self._sensors = self.stayed(batteries, self._sensors, _sensor)
        self.sampler.sensors = list(self._sensors.values())


def _sensor(battery: BatterySettings) -> Sensor:
    codec = upstream.load(battery.protocol).Codec(**battery.options)
    return Sensor(battery.name, codec)
