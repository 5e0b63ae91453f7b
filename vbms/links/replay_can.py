"""A CAN bus out of a recording: what an inverter said comes again, what is told it is counted."""

from collections.abc import Callable, Sequence

from vbms.links.can_bus import KINDS, Frame, Frames, from_bytes
from vbms.links.replay_link import Event, ReplayLink


class ReplayCan:
    """What a `CanBus` has, without one. `origin_us`: the moment that is played first."""

    def __init__(
        self, name: str, bitrate: int | None, events: Sequence[Event], origin_us: int = 0
    ) -> None:
        self.name = name
        self.bitrate = bitrate or 500_000
        self.byte_us = 0
        self.sent = 0
        self.received = 0
        self.errors = dict.fromkeys(KINDS, 0)
        self.lateness: Callable[[int], None] | None = None
        self._heard = ReplayLink(name, 0, events, (), origin_us)

    async def open(self) -> None:
        await self._heard.open()

    def close(self) -> None:
        self._heard.close()

    async def closed(self) -> None:
        pass

    def send(self, due_us: int, frames: Frames) -> None:
        self.sent += len(frames())

    async def heard(self, timeout_ms: int) -> Sequence[Frame]:
        frame = from_bytes(await self._heard.read(timeout_ms))
        if frame is None:
            return ()
        self.received += 1
        return (frame,)
