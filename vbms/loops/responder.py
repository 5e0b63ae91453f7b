"""Answering an inverter that asks: finds its requests among whatever is on the line, and answers.

One that asks in two protocols on one pair (binary DEYE and ASCII Pylontech) is answered in both:
each protocol hears everything, and what one of them knows is no noise to the other.

Answers are made when values change (`publish`), so a request costs one look-up. The usual request
comes alone and whole; everything else (noise, a neighbour's frames, our own echo, half a request,
two requests in one piece) goes through the codec's `take`, which looks at every offset.

A request is answered only if it is the last thing heard, also after the turnaround: what stands
behind it is newer. Nothing else is ever written; absent, stale and unknown mean silence.

Without a turnaround a link that can (`ports.PromptLink`) gets its answer in the moment the usual
request comes; all else is as with any link.

A started request is forgotten after 150 ms without a byte. An inverter waits some 200 ms for an
answer, so an older one is not awaited any more; as requests are found at every offset, forgetting
earlier would find none sooner, and would miss one that an adapter delivers in pieces.
"""

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from vbms.aggregate.virtual import VirtualBattery
    from vbms.ports import Clock, DownstreamCodec, Link, Log

    Served = tuple[DownstreamCodec, VirtualBattery | None]

FORGET_MS = 150
QUIET_MS = 60000  # an inverter that has not asked for so long is worth a line in the log
_MOST_OTHERS = 32  # answers kept for requests out of the usual
_MOST_BYTES = 1024

ANSWERED = "answered"
FOREIGN = "foreign"  # good frames that ask for nothing we tell: other functions, others' answers
ABSENT = "absent"  # requests to addresses without a battery
STALE = "stale"  # requests to a battery that must not be told now
OVERTAKEN = "overtaken"  # requests with something newer behind them
BAD_CRC = "bad_crc"  # what looked like a request and was none
NOISE_BYTES = "noise_bytes"  # bytes of no frame
ECHOES = "echoes"  # our own answers, heard again


class _Protocol:
    """One protocol on the line: its ear, what it has heard so far, and the batteries it tells."""

    def __init__(self, codec: "DownstreamCodec"):
        self.codec = codec  # any of them: they hear alike
        self.buffer = b""
        self.served: dict[int, Served] = {}
        self.asked_ms: int | None = None
        self.requests = 0  # answered, or not to be answered now
        self.unknown = 0  # bytes that neither it nor another protocol knows


class Responder:
    """One line with an inverter on it. `codecs`: at least one of each protocol spoken there."""

    def __init__(
        self,
        link: "Link",
        clock: "Clock",
        codecs: "Sequence[DownstreamCodec]",
        turnaround_us: int,
        log: "Log",
    ):
        self.name = link.name  # what the log calls this inverter
        self.link = link
        self.clock = clock
        self.turnaround_us = turnaround_us
        self.log = log
        self.asked_ms: int | None = None  # when a request to one of our batteries was last heard
        self.observe: Callable[[int], None] | None = None  # told each answer's time in us
        self.counters = {
            ANSWERED: 0,
            FOREIGN: 0,
            ABSENT: 0,
            STALE: 0,
            OVERTAKEN: 0,
            BAD_CRC: 0,
            NOISE_BYTES: 0,
            ECHOES: 0,
        }
        self._protocols: list[_Protocol] = []
        self._answers: dict[bytes, bytes] = {}
        self._others: dict[bytes, bytes] = {}
        self._owners: dict[bytes, _Protocol] = {}  # whose each prepared request is
        self._heard = False  # bytes wait in a buffer for more
        self._echo = b""  # what was written last, until something else is heard
        self._echoed = b""  # how much of it has come back
        self._quiet = False
        for codec in codecs:
            self._protocol(codec).served[codec.address] = (codec, None)

    def add(self, codec: "DownstreamCodec") -> None:
        """A further protocol on the line; silent until it is published for."""
        protocol = self._protocol(codec)
        protocol.served.setdefault(codec.address, (codec, None))

    def heard(self, codec: "DownstreamCodec") -> tuple[int | None, int]:
        """When this codec's protocol was last asked in, None: never; and how many requests."""
        protocol = self._protocol(codec)
        return protocol.asked_ms, protocol.requests

    def _protocol(self, codec: "DownstreamCodec") -> _Protocol:
        for protocol in self._protocols:
            if type(protocol.codec) is type(codec):
                return protocol
        self._protocols.append(_Protocol(codec))
        return self._protocols[-1]

    def publish(self, pairs: "Sequence[Served]") -> None:
        """From now on each codec's address is told its battery; None, or not listed: silence.

        Everything is replaced in one step, so an answer never mixes two moments.
        """
        answers = {}
        owners = {}
        for protocol in self._protocols:
            protocol.served = {}
        for codec, battery in pairs:
            protocol = self._protocol(codec)
            protocol.served[codec.address] = (codec, battery)
            if battery is not None:
                for request in codec.usual():
                    answer = codec.answer(request, battery)
                    if answer is not None:
                        answers[request] = answer
                        owners[request] = protocol
        self._answers = answers
        self._owners = owners
        self._others = {}

    async def run(self) -> None:
        """Answers for ever; LinkError comes out when the port goes."""
        link = self.link
        clock = self.clock
        self._forget()
        if hasattr(link, "at_once"):
            link.at_once = None if self.turnaround_us else self._at_once
        while True:
            chunk = await link.read(FORGET_MS if self._heard else QUIET_MS)
            if not chunk:
                self._silence()
                continue
            began = clock.now_us()
            request = self._hear(chunk, began)
            if request is not None and self.turnaround_us:
                request = await self._turn_round(request, began)
            if request is None:
                continue
            answer = self._answers.get(request)
            if answer is not None:
                self._owners[request].requests += 1
            else:
                answer = self._answer(request)
            if answer is None:
                continue
            await link.write(answer)
            self._echo = answer
            self.counters[ANSWERED] += 1
            if self.observe is not None:
                self.observe(clock.now_us() - began)

    def _at_once(self, chunk: bytes) -> bytes | None:
        """The answer to the usual request, if it came alone and nothing else is going on."""
        answer = self._answers.get(chunk)
        if answer is None or self._heard:
            return None
        began = self.clock.now_us()
        self._asked(began, self._owners[chunk])
        self._owners[chunk].requests += 1
        self._echo = answer
        self.counters[ANSWERED] += 1
        if self.observe is not None:
            self.observe(self.clock.now_us() - began)
        return answer

    async def _turn_round(self, request: bytes, began: int) -> bytes | None:
        """Give the inverter's driver time to let go of the line; listen to what comes meanwhile."""
        due = began + self.turnaround_us
        while True:
            left = due - self.clock.now_us()
            if left <= 0:
                return request
            chunk = await self.link.read((left + 999) // 1000)
            if chunk:
                now = self.clock.now_us()
                due = now + self.turnaround_us
                self.counters[OVERTAKEN] += 1
                newer = self._hear(chunk, now)
                if newer is None:
                    return None
                request = newer

    def _hear(self, chunk: bytes, now_us: int) -> bytes | None:
        """The request that these bytes end with, if they end with one to a battery of ours."""
        if self._echo:
            echoed = self._echoed + chunk
            if self._echo.startswith(echoed) and len(echoed) < len(self._echo):
                self._echoed = echoed
                self._heard = True
                return None
            if echoed.startswith(self._echo):
                self.counters[ECHOES] += 1
                chunk = echoed[len(self._echo) :]
            else:
                chunk = echoed
            self._echo = self._echoed = b""
            self._heard = False
            if not chunk:
                return None
        if not self._heard and chunk in self._answers:
            self._asked(now_us, self._owners[chunk])
            return chunk
        self._heard = False
        request = None
        for protocol in self._protocols:
            frame = self._scan(protocol, chunk, now_us)
            if frame is not None:
                request = frame
            if protocol.buffer:
                self._heard = True
        self._count_noise()
        return request

    def _scan(self, protocol: _Protocol, chunk: bytes, now_us: int) -> bytes | None:
        codec = protocol.codec
        buffer = protocol.buffer + chunk
        request = None
        while buffer:
            used, frame = codec.take(buffer)
            if not used:
                break
            if request is not None:
                self.counters[OVERTAKEN] += 1
                request = None
            if frame is None:
                self._lose(protocol, buffer[:used])
            else:
                self._lose(protocol, buffer[: used - len(frame)])
                for other in self._protocols:
                    if other is not protocol:
                        other.unknown -= len(frame)
                request = self._sort(protocol, frame, now_us)
            buffer = buffer[used:]
        if buffer and request is not None:
            self.counters[OVERTAKEN] += 1
            request = None
        protocol.buffer = buffer[-_MOST_BYTES:]
        return request

    def _sort(self, protocol: _Protocol, frame: bytes, now_us: int) -> bytes | None:
        """The frame, if one of our batteries is asked; else it is counted as what it is."""
        address = protocol.codec.asks(frame)
        if address is None:
            self.counters[FOREIGN] += 1
        elif address not in protocol.served:
            self.counters[ABSENT] += 1
        else:
            self._asked(now_us, protocol)
            return frame
        return None

    def _answer(self, request: bytes) -> bytes | None:
        """The answer to a request that has none prepared."""
        answer = self._others.get(request)
        for protocol in self._protocols:
            address = protocol.codec.asks(request)
            if address is not None and address in protocol.served:
                protocol.requests += 1
                codec, battery = protocol.served[address]
                if battery is not None and answer is None:
                    answer = codec.answer(request, battery)
        if answer is None:
            self.counters[STALE] += 1
        elif request not in self._others and len(self._others) < _MOST_OTHERS:
            self._others[request] = answer
        return answer

    def _lose(self, protocol: _Protocol, lost: bytes) -> None:
        if lost:
            protocol.unknown += len(lost)
            if protocol.codec.spoilt(lost):
                self.counters[BAD_CRC] += 1

    def _count_noise(self) -> None:
        """What no protocol knows; each of them loses a frame of the other's once."""
        unknown = min([protocol.unknown for protocol in self._protocols])
        if unknown > self.counters[NOISE_BYTES]:
            self.counters[NOISE_BYTES] = unknown

    def _asked(self, now_us: int, protocol: _Protocol) -> None:
        now = now_us // 1000
        protocol.asked_ms = now
        if self._quiet or self.asked_ms is None:
            if self.asked_ms is None:
                self.log.info("%s: the inverter asks", self.name)
            else:
                silent = (now - self.asked_ms) // 1000
                self.log.info("%s: the inverter asks again after %d s", self.name, silent)
            self._quiet = False
        self.asked_ms = now

    def _silence(self) -> None:
        self._forget()
        if self.asked_ms is None or self._quiet:
            return
        if self.clock.now_ms() - self.asked_ms >= QUIET_MS:
            self._quiet = True
            self.log.warning("%s: the inverter has stopped asking", self.name)

    def _forget(self) -> None:
        """Nobody goes on with what was begun."""
        for protocol in self._protocols:
            self._lose(protocol, protocol.buffer)
            protocol.buffer = b""
        self._count_noise()
        self._echo = self._echoed = b""
        self._heard = False
