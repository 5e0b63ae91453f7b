"""A battery on a Bluetooth adapter: what it said so far, and its session while it is connected."""

import asyncio
import logging
from collections.abc import Callable
from types import ModuleType
from typing import TYPE_CHECKING

from vbms.config import BatterySettings
from vbms.endings import end
from vbms.errors import VbmsError
from vbms.lines.ble_turns import Turn
from vbms.lines.polled import polled_unit
from vbms.links.ble_device import BleConnection
from vbms.links.ble_link import BleLink
from vbms.loops.poller import PolledUnit, Poller
from vbms.loops.streamer import Streamer
from vbms.options import EACH_POLL
from vbms.ports import Clock, Link
from vbms.upstream import registry as upstream

if TYPE_CHECKING:
    from vbms.aggregate.snapshot import Snapshot

log = logging.getLogger("vbms")

_LOOK_S = 1.0  # between two looks at how long it has been silent


class BleUnit:
    """A battery, its turn, and its connection while it has one."""

    def __init__(self, battery: BatterySettings) -> None:
        options = battery.options
        self.settings = battery
        self.driver: ModuleType = upstream.load(battery.protocol)
        self.polled: PolledUnit = polled_unit(battery)
        self.turn = Turn(
            battery.name,
            str(options["address"]),
            int(str(options["stall_s"])),
            battery.unit.fresh_for_ms(),
        )
        self.connection: BleConnection | None = None
        self.session: asyncio.Task[None] | None = None
        self.freed = False  # a link of an earlier life was looked for

    def retime(self, battery: BatterySettings) -> None:
        """The same battery with other times or limits."""
        timing = battery.timing
        self.settings = battery
        self.turn.fresh_ms = battery.unit.fresh_for_ms()
        self.polled.gap_us = timing.gap_us
        self.polled.reply_timeout_ms = timing.reply_timeout_ms
        self.polled.slow_timeout_ms = timing.slow_timeout_ms
        self.polled.silence_ms = timing.silence_ms
        self.polled.poll_ms = timing.poll_ms

    def connection_for(self, link: BleLink) -> BleConnection:
        reads = [request for _, request in self.polled.requests]
        allowed = bool(self.settings.options.get("allow_control"))
        made = BleConnection(self.turn.name, self.driver.GATT, reads, allowed)
        if link.trace_for is not None:
            made.trace = link.trace_for(self.turn.name, self.settings.protocol)
        return made

    async def serve(
        self,
        connection: BleConnection,
        clock: Clock,
        deliver: "Callable[[str, Snapshot], None]",
        stats: dict[str, int],
        is_contested: Callable[[], bool],
    ) -> str:
        """Ask and listen until the link ends, or its silence is believed: why it is over."""
        turn = self.turn
        loop = self.loop_on(connection, clock, deliver, stats)
        runner = asyncio.create_task(loop.run(), name=f"{turn.name} loop")
        try:
            while True:
                now = clock.now_ms()
                left_ms = turn.stalls_at_ms(is_contested()) - now
                if left_ms <= 0:
                    silent_s = (now - max(turn.since_ms, turn.good_ms)) // 1000
                    return "connected, but silent for %d s" % silent_s
                await asyncio.wait({runner}, timeout=min(left_ms / 1000, _LOOK_S))
                if runner.done():
                    error = runner.exception()
                    if error is not None and not isinstance(error, VbmsError):
                        log.error("%s: its session failed", turn.name, exc_info=error)
                    return str(error)
        finally:
            await end(runner)
            await connection.end()

    def loop_on(
        self,
        connection: Link,
        clock: Clock,
        deliver: "Callable[[str, Snapshot], None]",
        stats: dict[str, int],
    ) -> Poller | Streamer:
        """One that asks for all, or one that listens to a stream, as the driver's cadence is."""
        polled = self.polled
        loop: Poller | Streamer
        if polled.requests[0][0] == EACH_POLL:
            polled.due_ms = None
            loop = Poller(connection, clock, [polled], deliver, log)
        else:
            loop = Streamer(connection, clock, polled, deliver, log)
        loop.stats = stats
        if log.isEnabledFor(logging.DEBUG):
            loop.trace = self._trace
        return loop

    def _trace(self, sent: bool, data: bytes) -> None:
        log.debug("%s: %s %s", self.polled.key, ">" if sent else "<", data.hex(" "))
