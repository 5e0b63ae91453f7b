"""Sampling the sensors on one I2C bus, each at its own rate, and bringing a stuck bus back.

A sensor that does not answer is asked again; three times in a row, and the bus is recovered and the
sensor asked after 1, 2, 4 and at most each 30 s. A sample that takes longer than its period is one
warning, and one word with a count when it is over.
"""

from vbms.errors import FrameError, SilentError
from vbms.loops.counting import unit_counters
from vbms.options import EACH_POLL

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from logging import Logger

    from vbms.aggregate.snapshot import Snapshot
    from vbms.ports import Clock, RegisterBus
    from vbms.upstream.ina3221 import Codec

MISSES_TO_RECOVER = 3
FIRST_WAIT_MS = 1000
LONGEST_WAIT_MS = 30000
_IDLE_MS = 1000


class Sensor:
    """One chip: its codec, its rate and what it has said."""

    def __init__(self, key: str, codec: "Codec"):
        self.key = key
        self.codec = codec
        self.requests = codec.requests()
        self.frames: list[bytes | None] = [None] * len(self.requests)
        self.due_us: int | None = None
        self.misses = 0  # in a row
        self.late = 0  # samples that took too long, in a row
        self.bad = ""  # what the log knows to be wrong
        self.counters = unit_counters()

    def period_us(self) -> int:
        return 1000000 // self.codec.rate_hz


class Sampler:
    """Owns the bus. `sensors` may be replaced at any time."""

    def __init__(
        self,
        bus: "RegisterBus",
        clock: "Clock",
        sensors: "Sequence[Sensor]",
        deliver: "Callable[[str, Snapshot], None]",
        log: "Logger",
    ):
        self.bus = bus
        self.clock = clock
        self.sensors = list(sensors)
        self.deliver = deliver
        self.log = log
        self.stats = {"frames_in": 0, "frames_out": 0, "timeout": 0, "bad_frame": 0, "busy_us": 0}

    async def run(self) -> None:
        """For ever; LinkError comes out when the bus goes."""
        for known in self.sensors:  # who knows what was plugged in meanwhile
            known.frames = [None] * len(known.requests)
        while True:
            sensor = self._next()
            if sensor is None:
                await self.clock.sleep_ms(_IDLE_MS)
                continue
            left = (sensor.due_us or 0) - self.clock.now_us()
            if sensor.due_us is not None and left > 0:
                # In parts, so that other sensors are taken up soon.
                await self.clock.sleep_us(min(left, _IDLE_MS * 1000))
                if left > _IDLE_MS * 1000:
                    continue
            await self._sample(sensor)

    def _next(self) -> Sensor | None:
        best = None
        for sensor in self.sensors:
            if sensor.due_us is None:
                return sensor
            if best is None or sensor.due_us < (best.due_us or 0):
                best = sensor
        return best

    async def _sample(self, sensor: Sensor) -> None:
        began = self.clock.now_us()
        sensor.counters["polls"] += 1
        period = sensor.period_us()
        due = began if sensor.due_us is None else sensor.due_us
        sensor.due_us = due + period
        try:
            for slot in range(len(sensor.requests) - 1, -1, -1):
                every_ms, registers = sensor.requests[slot]
                if every_ms == EACH_POLL or sensor.frames[slot] is None:
                    self.stats["frames_out"] += 1
                    sensor.frames[slot] = await self.bus.registers(sensor.codec.address, registers)
                    self.stats["frames_in"] += 1
        except SilentError as error:
            await self._missed(sensor, str(error))
            return
        now = self.clock.now_us()
        self.stats["busy_us"] += now - began
        sensor.misses = 0
        self._judge_time(sensor, now - began, period)
        if sensor.due_us < now:  # samples that nobody can take any more are left out
            sensor.due_us = now
        try:
            snap = sensor.codec.decode(sensor.frames, now // 1000)
        except FrameError as error:
            sensor.counters["bad_frames"] += 1
            self.stats["bad_frame"] += 1
            sensor.frames = [None] * len(sensor.requests)
            self._wrong(sensor, str(error))
            return
        if sensor.bad:
            self.log.info("%s: answers well again", sensor.key)
            sensor.bad = ""
        self.deliver(sensor.key, snap)

    async def _missed(self, sensor: Sensor, why: str) -> None:
        sensor.counters["timeouts"] += 1
        self.stats["timeout"] += 1
        sensor.misses += 1
        over = sensor.misses - MISSES_TO_RECOVER
        if over < 0:
            return
        self._wrong(sensor, why)
        sensor.frames = [None] * len(sensor.requests)  # another chip may be there by then
        wait_ms = min(FIRST_WAIT_MS << min(over, 5), LONGEST_WAIT_MS)
        await self.bus.recover()
        sensor.due_us = self.clock.now_us() + wait_ms * 1000

    def _wrong(self, sensor: Sensor, why: str) -> None:
        if why != sensor.bad:
            self.log.warning("%s: %s", sensor.key, why)
            sensor.bad = why

    def _judge_time(self, sensor: Sensor, took_us: int, period: int) -> None:
        if took_us > period:
            if not sensor.late:
                text = "%s: a sample took %d ms, %d Hz leave %d ms: lower rate_hz"
                self.log.warning(
                    text, sensor.key, took_us // 1000, sensor.codec.rate_hz, period // 1000
                )
            sensor.late += 1
        elif sensor.late:
            self.log.info("%s: in time again, after %d late samples", sensor.key, sensor.late)
            sensor.late = 0
