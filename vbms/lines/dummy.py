"""Batteries that are not there: nothing is asked, they say what the configuration says."""

from typing import cast

from vbms.config import BatterySettings, LinkSettings
from vbms.lines.battery import BatteryLine, Counted, Deliver
from vbms.loops.counting import unit_counters
from vbms.metrics import LinkStats
from vbms.ports import Clock, Link
from vbms.upstream import registry as upstream

_SHORTEST_MS = 100  # poll_s: 0 is no reason to keep a processor busy


class NoLink:
    """Where a link is wanted and there is none."""

    byte_us = 0

    def __init__(self, name: str) -> None:
        self.name = name

    async def open(self) -> None: ...
    def close(self) -> None: ...


def make_link(settings: LinkSettings) -> Link:
    return cast(Link, NoLink(settings.name))


def make(link: Link, clock: Clock, deliver: Deliver) -> BatteryLine:
    return DummyLine(link, clock, deliver)


class Dummy:
    """One of them."""

    def __init__(self, settings: BatterySettings) -> None:
        self.codec = upstream.load(settings.protocol).Codec(**settings.options)
        self.poll_ms = 0
        self.due_ms = 0
        self.counters = unit_counters()


class DummyLine(BatteryLine):
    """Any number of them."""

    def __init__(self, link: Link, clock: Clock, deliver: Deliver) -> None:
        super().__init__(link, clock, deliver)
        self._dummies: dict[str, Dummy] = {}

    @property
    def polled(self) -> dict[str, Counted]:
        return dict(self._dummies)

    def serve(self, batteries: "list[BatterySettings]") -> None:
        self._dummies = self.stayed(batteries, self._dummies, Dummy)
        for battery in batteries:
            shortest = max(battery.timing.poll_ms, _SHORTEST_MS)
            self._dummies[battery.name].poll_ms = shortest

    async def body(self) -> None:
        while True:
            now = self.clock.now_ms()
            for name, dummy in list(self._dummies.items()):
                if now >= dummy.due_ms:
                    dummy.due_ms = max(dummy.due_ms + dummy.poll_ms, now)
                    dummy.counters["polls"] += 1
                    self.deliver(name, dummy.codec.decode((None,), now))
            waits = [dummy.due_ms - now for dummy in self._dummies.values()]
            await self.clock.sleep_ms(max(1, min([*waits, 1000])))

    def link_stats(self, now_ms: int) -> LinkStats:
        return {
            "frames_in": sum(dummy.counters["polls"] for dummy in self._dummies.values()),
            "frames_out": 0,
            "errors": {},
            "busy_us": 0,
            "up_us": (now_ms - self.since_ms) * 1000,
        }
