"""The far end of a link out of a recording: what was heard is heard again.

Asked (a polled line): a request is answered as the same one was at about the same time; what was
said nothing to then is said nothing to now. Without requests: all that was heard comes at its time.
Time is the event loop's, so that a loop whose time jumps replays at full speed.
"""

import asyncio
from bisect import bisect_left
from collections import deque
from collections.abc import Sequence

from vbms.errors import LinkError

Event = tuple[int, bool, bytes]  # us, sent, bytes

_NEAR_US = 35_000_000  # the longest wait between two polls of a silent unit is 30 s


class Exchange:
    """A request, and what was heard until the next one."""

    __slots__ = ("at_us", "heard", "request")

    def __init__(self, at_us: int, request: bytes) -> None:
        self.at_us = at_us
        self.request = request
        self.heard: list[tuple[int, bytes]] = []  # us after the request, bytes


class ReplayLink:
    """The four methods of a link, `alone` on its line: nobody is there to be listened for first.

    `origin_us`: the moment of the recording that is played first.
    """

    alone = True

    def __init__(
        self,
        name: str,
        byte_us: int,
        events: Sequence[Event],
        requests: Sequence[bytes] = (),
        origin_us: int = 0,
    ) -> None:
        self.name = name
        self.byte_us = byte_us
        self.written = 0
        self._requests = [request for request in requests if request]
        self._origin_us = origin_us
        self._asked: dict[bytes, list[Exchange]] = {}
        self._due: deque[tuple[int, bytes]] = deque()
        self._began_us: int | None = None
        self._is_open = False
        if self._requests:
            for exchange in exchanges(events, self._requests):
                self._asked.setdefault(exchange.request, []).append(exchange)
        else:
            self._due.extend((us - origin_us, data) for us, sent, data in events if not sent)

    def _now_us(self) -> int:
        now = int(asyncio.get_running_loop().time() * 1_000_000)
        if self._began_us is None:
            self._began_us = now
        return now - self._began_us

    async def open(self) -> None:
        self._now_us()
        self._is_open = True

    def close(self) -> None:
        self._is_open = False

    async def write(self, data: bytes) -> None:
        if not self._is_open:
            raise LinkError(f"{self.name} is not open")
        self.written += 1
        if not self._requests:
            return
        now = self._now_us()
        self._due.clear()
        found = nearest(self._asked.get(data, ()), now + self._origin_us)
        if found is not None:
            self._due.extend((now + after_us, heard) for after_us, heard in found.heard)

    async def read(self, timeout_ms: int) -> bytes:
        if not self._is_open:
            raise LinkError(f"{self.name} is not open")
        now = self._now_us()
        until = now + max(timeout_ms, 0) * 1000
        wake = min(until, self._due[0][0]) if self._due else until
        if wake > now:
            await asyncio.sleep((wake - now) / 1_000_000)
        if self._due and self._due[0][0] <= max(wake, now):
            return self._due.popleft()[1]
        return b""


def nearest(rows: Sequence[Exchange], at_us: int) -> Exchange | None:
    """The one that was at about this time; rows are in their order."""
    at = bisect_left(rows, at_us, key=lambda row: row.at_us)
    near = rows[max(at - 1, 0) : at + 1]
    best = min(near, key=lambda row: abs(row.at_us - at_us), default=None)
    return best if best is not None and abs(best.at_us - at_us) <= _NEAR_US else None


def exchanges(events: Sequence[Event], requests: Sequence[bytes]) -> list[Exchange]:
    """Requests with what followed them. One that was only heard, as by a sniffer, counts as well.

    `requests` are those that are known: what else was sent ends an exchange and begins its own.
    """
    if any(sent for _, sent, _ in events):
        found: list[Exchange] = []
        for us, sent, data in events:
            if sent:
                found.append(Exchange(us, data))
            elif found:
                found[-1].heard.append((us - found[-1].at_us, data))
        return found
    return _overheard(events, requests)


def _overheard(events: Sequence[Event], requests: Sequence[bytes]) -> list[Exchange]:
    """Both sides were heard as one stream, in pieces of any size."""
    stream = b"".join(data for _, _, data in events)
    begins: list[int] = []  # of each event in the stream
    at = 0
    for _, _, data in events:
        begins.append(at)
        at += len(data)
    places: list[tuple[int, bytes]] = []
    for request in set(requests):
        at = stream.find(request)
        while at >= 0:
            places.append((at, request))
            at = stream.find(request, at + len(request))
    places.sort()
    found: list[Exchange] = []
    for number, (at, request) in enumerate(places):
        end = places[number + 1][0] if number + 1 < len(places) else len(stream)
        event = bisect_left(begins, at + 1) - 1
        exchange = Exchange(events[event][0], request)
        at += len(request)
        while event < len(events) and at < end:
            us, _, data = events[event]
            stop = min(begins[event] + len(data), end)
            if stop > at:
                exchange.heard.append((us - exchange.at_us, stream[at:stop]))
                at = stop
            event += 1
        found.append(exchange)
    return found
