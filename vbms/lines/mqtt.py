"""Batteries that say by themselves how they are, by MQTT: nobody is asked, messages come."""

import logging

from vbms.config import BatterySettings, LinkSettings
from vbms.errors import FrameError
from vbms.lines.battery import BatteryLine, Counted, Deliver
from vbms.links.mqtt_client import MqttClient
from vbms.loops.counting import unit_counters
from vbms.metrics import LinkStats
from vbms.ports import Clock, Link
from vbms.upstream import registry as upstream

log = logging.getLogger("vbms")

_WAIT_MS = 1000
_BAD_A_LINE = 3  # messages in a row that mean nothing, before the log says so


def make(link: Link, clock: Clock, deliver: Deliver) -> BatteryLine:
    return MqttLine(link, clock, deliver)


def make_link(settings: LinkSettings) -> Link:
    return MqttClient(settings.name, settings.url or "", settings.username, settings.password)


class Listened:
    """One battery: its codec and the newest message of each of its topics."""

    def __init__(self, settings: BatterySettings) -> None:
        self.name = settings.name
        self.codec = upstream.load(settings.protocol).Codec(**settings.options)
        self.frames: list[bytes | None] = [None] * len(self.codec.topics)
        self.taken_ms = [0] * len(self.codec.topics)
        self.heard: set[int] = set()  # slots heard since the last snapshot
        self.bad = 0  # messages in a row that mean nothing
        self.counters = unit_counters()  # polls: rounds heard


class MqttLine(BatteryLine):
    """One connection to a broker and the batteries that arrive over it."""

    def __init__(self, link: Link, clock: Clock, deliver: Deliver) -> None:
        super().__init__(link, clock, deliver)
        self._units: dict[str, Listened] = {}
        self._subscribed: set[str] = set()
        self.frames_in = 0
        self.bad_frames = 0

    @property
    def polled(self) -> dict[str, Counted]:
        return dict(self._units)

    def serve(self, batteries: "list[BatterySettings]") -> None:
        self._units = self.stayed(batteries, self._units, Listened)

    async def body(self) -> None:
        self._subscribed = set()
        for unit in self._units.values():
            unit.heard.clear()
        while True:
            await self._subscribe()
            message = await self.link.read(_WAIT_MS)
            if message:
                self.frames_in += 1
                self._hear(message.rstrip(b"\n"), self.clock.now_ms())

    async def _subscribe(self) -> None:
        wanted = {topic for unit in self._units.values() for topic in unit.codec.topics}
        link = self.link
        if wanted != self._subscribed and isinstance(link, MqttClient):
            await link.subscribe(sorted(wanted - self._subscribed))
            await link.unsubscribe(sorted(self._subscribed - wanted))
        self._subscribed = wanted

    def _hear(self, message: bytes, now_ms: int) -> None:
        for unit in self._units.values():
            slot = unit.codec.slot(message)
            if slot is None:
                continue
            unit.frames[slot] = message
            unit.taken_ms[slot] = now_ms
            unit.heard.add(slot)
            if slot in unit.codec.needed and unit.heard.issuperset(unit.codec.needed):
                self._decode(unit, now_ms)

    def _decode(self, unit: Listened, now_ms: int) -> None:
        """A round is whole: as old as the oldest of its messages."""
        oldest_ms = min(unit.taken_ms[slot] for slot in unit.codec.needed)
        fresh_ms = self.batteries[unit.name].unit.fresh_for_ms()
        for slot, taken_ms in enumerate(unit.taken_ms):
            if now_ms - taken_ms > fresh_ms:
                unit.frames[slot] = None  # a sensor that has fallen silent is unknown
        unit.heard.clear()
        unit.counters["polls"] += 1
        try:
            snap = unit.codec.decode(unit.frames, oldest_ms)
        except FrameError as error:
            self.bad_frames += 1
            unit.counters["bad_frames"] += 1
            unit.bad += 1
            if unit.bad == _BAD_A_LINE:
                log.warning("%s: unreadable: %s", unit.name, error)
            return
        if unit.bad >= _BAD_A_LINE:
            log.info("%s: readable again, after %d messages that were not", unit.name, unit.bad)
        unit.bad = 0
        self.deliver(unit.name, snap)

    def link_stats(self, now_ms: int) -> LinkStats:
        counts: dict[str, int] = getattr(self.link, "counts", {})
        return {
            "frames_in": self.frames_in,
            "frames_out": 0,
            "errors": {"bad_frame": self.bad_frames, **counts},
            "busy_us": 0,
            "up_us": (now_ms - self.since_ms) * 1000,
        }
