"""Bluetooth out of recordings: the connections that each battery had, one after another."""

from collections.abc import Mapping, Sequence

from vbms.errors import LinkError
from vbms.links.replay_link import Event, ReplayLink


class Session:
    """One connection: its moment, how long it lasted, what went over it."""

    __slots__ = ("began_us", "ended_us", "events")

    def __init__(self, began_us: int) -> None:
        self.began_us = self.ended_us = began_us
        self.events: list[Event] = []


def sessions(events: Sequence[Event]) -> list[Session]:
    """The connections in a recording; one whose beginning is lost begins with its first bytes."""
    found: list[Session] = []
    now: Session | None = None
    for us, sent, data in events:
        if sent and not data or now is None and data:
            now = Session(us)
            found.append(now)
        if now is None:
            continue
        now.ended_us = us
        if data:
            now.events.append((us, sent, data))
        elif not sent:
            now = None
    return found


class ReplaySession(ReplayLink):
    """A connection that ends as it did."""

    def __init__(self, name: str, session: Session, requests: Sequence[bytes]) -> None:
        super().__init__(name, 0, session.events, requests, session.began_us)
        self._lasts_us = session.ended_us - session.began_us

    async def read(self, timeout_ms: int) -> bytes:
        left_us = self._lasts_us - self._now_us()
        if left_us <= 0:
            raise LinkError("the link dropped")
        return await super().read(min(timeout_ms, left_us // 1000 + 1))


class ReplayAir:
    """The adapter; `recorded` has the events of each battery, and which moment is played first."""

    byte_us = 0

    def __init__(self, name: str, recorded: Mapping[str, tuple[Sequence[Event], int]]) -> None:
        self.name = name
        self.recorded = recorded

    async def open(self) -> None:
        pass

    def close(self) -> None:
        pass

    async def write(self, data: bytes) -> None:
        raise LinkError(f"{self.name}: an adapter is not written to")

    async def read(self, timeout_ms: int) -> bytes:
        raise LinkError(f"{self.name}: an adapter is not read from")
