"""A line and a clock that follow a script: microsecond-exact, without sleeping."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence

from vbms.aggregate.virtual import VirtualBattery
from vbms.errors import LinkError
from vbms.loops.responder import Responder
from vbms.ports import DownstreamCodec

Event = tuple[int, "bytes | Callable[[], None]"]


class ScriptedClock:
    def __init__(self) -> None:
        self.us = 1_000_000

    def now_ms(self) -> int:
        return self.us // 1000

    def now_us(self) -> int:
        return self.us

    async def sleep_ms(self, ms: int) -> None:
        self.us += ms * 1000

    async def sleep_us(self, us: int) -> None:
        self.us += us


class ScriptedLine:
    """Plays events (ms from the start, bytes or something to do); raises LinkError at the end."""

    name = "inv"
    byte_us = 1042

    def __init__(self, clock: ScriptedClock, events: Sequence[Event]):
        self.clock = clock
        self.start = clock.us
        self.events = list(events)
        self.written: list[tuple[int, bytes]] = []  # us from the start
        self.echo = False

    async def open(self) -> None:
        pass

    def close(self) -> None:
        pass

    def offered(self, data: bytes) -> bytes | None:
        return None

    async def write(self, data: bytes) -> None:
        self.wrote(data)

    def wrote(self, data: bytes) -> None:
        assert data
        self.written.append((self.clock.us - self.start, data))
        if self.echo:
            self.events.insert(0, ((self.clock.us - self.start) // 1000, data))

    async def read(self, timeout_ms: int) -> bytes:
        assert timeout_ms > 0
        until = self.clock.us + timeout_ms * 1000
        while self.events and self.start + self.events[0][0] * 1000 <= until:
            at, what = self.events.pop(0)
            self.clock.us = max(self.clock.us, self.start + at * 1000)
            if callable(what):
                what()
                continue
            data = what
            while self.events and self.start + self.events[0][0] * 1000 <= self.clock.us:
                following = self.events[0][1]
                if callable(following):
                    break
                data += following
                self.events.pop(0)
            answer = self.offered(data)
            if answer is None:
                return data
            self.wrote(answer)
        if not self.events and until > self.clock.us + 1_000_000:
            raise LinkError("the script ends")
        self.clock.us = until
        return b""


class PromptLine(ScriptedLine):
    """The same as a `ports.PromptLink`."""

    at_once: Callable[[bytes], bytes | None] | None = None

    def offered(self, data: bytes) -> bytes | None:
        return None if self.at_once is None else self.at_once(data)


class Stage:
    """A responder on a scripted line; `lines` is the kind of line, for tests to choose."""

    lines: type[ScriptedLine] = ScriptedLine

    def __init__(
        self,
        codecs: Sequence[DownstreamCodec],
        battery: VirtualBattery | None = None,
        turnaround_us: int = 0,
    ):
        self.clock = ScriptedClock()
        self.line = self.lines(self.clock, [])
        self.codecs = codecs
        log = logging.getLogger("test.responder")
        self.responder = Responder(self.line, self.clock, codecs, turnaround_us, log)
        if battery is not None:
            self.publish(battery)

    def publish(self, battery: VirtualBattery | None) -> None:
        self.responder.publish([(codec, battery) for codec in self.codecs])

    async def play(self, *events: Event | bytes) -> list[bytes]:
        """What is answered to these events; bytes alone come a second after what went before."""
        script: list[Event] = []
        at = 0
        for event in events:
            if isinstance(event, bytes):
                script.append((at, event))
            else:
                script.append(event)
            at = script[-1][0] + 1000
        self.line.start = self.clock.us
        self.line.events = script
        self.line.written = []
        try:
            await self.responder.run()
        except LinkError:
            pass
        return [data for _, data in self.line.written]

    def counted(self, **expected: int) -> None:
        """Every counter not named is 0."""
        found = {name: value for name, value in self.responder.counters.items() if value}
        assert found == expected
