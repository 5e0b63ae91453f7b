"""Bluetooth batteries out of recordings: connected when they were, for as long as they were.

No adapter and no turns: when a connection was made and when it ended is in the recording. What was
said on it goes through the same loops as on the day.
"""

import asyncio

from vbms.config import BatterySettings
from vbms.errors import VbmsError
from vbms.lines.battery import BatteryLine, Counted, Deliver
from vbms.lines.ble_session import BleUnit
from vbms.links.replay_ble import ReplayAir, ReplaySession, sessions
from vbms.metrics import LinkStats
from vbms.options import EACH_POLL
from vbms.ports import Clock, Link

_COUNTS = ("timeout", "bad_frame", "foreign", "stray_bytes", "disconnect")


class ReplayedLine(BatteryLine):
    """All batteries of one adapter."""

    def __init__(self, link: Link, clock: Clock, deliver: Deliver) -> None:
        super().__init__(link, clock, deliver)
        assert isinstance(link, ReplayAir)
        self._recorded = link.recorded
        self._units: dict[str, BleUnit] = {}
        self.stats = dict.fromkeys((*_COUNTS, "frames_in", "frames_out", "echo", "busy_us"), 0)

    @property
    def polled(self) -> dict[str, Counted]:
        return {name: unit.polled for name, unit in self._units.items()}

    def serve(self, batteries: "list[BatterySettings]") -> None:
        self._units = self.stayed(batteries, self._units, BleUnit)

    async def body(self) -> None:
        async with asyncio.TaskGroup() as all_of_them:
            for name, unit in self._units.items():
                all_of_them.create_task(self._play(unit), name=f"replay {name}")
        await asyncio.Event().wait()  # no more in the recordings

    async def _play(self, unit: BleUnit) -> None:
        events, origin_us = self._recorded.get(unit.settings.name, ((), 0))
        began_us = self.clock.now_us()
        requests: list[bytes] = []
        if unit.polled.requests[0][0] == EACH_POLL:  # nothing comes unasked
            requests = [request for _, request in unit.polled.requests]
        for session in sessions(events):
            wait_us = session.began_us - origin_us - (self.clock.now_us() - began_us)
            if wait_us > 0:
                await self.clock.sleep_us(wait_us)
            connection = ReplaySession(unit.settings.name, session, requests)
            await connection.open()
            try:
                await unit.loop_on(connection, self.clock, self.deliver, self.stats).run()
            except VbmsError:
                self.stats["disconnect"] += 1

    def link_stats(self, now_ms: int) -> LinkStats:
        return {
            "frames_in": self.stats["frames_in"],
            "frames_out": self.stats["frames_out"],
            "errors": {kind: self.stats[kind] for kind in _COUNTS},
            "busy_us": 0,
            "up_us": (now_ms - self.since_ms) * 1000,
        }
