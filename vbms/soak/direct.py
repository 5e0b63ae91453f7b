"""The program without its lines: frames go straight to codec and bank, answers straight back.

One second at a time: the world moves, batteries whose turn it is are decoded and admitted, the
controller ticks, the inverter is told and asks. What runs is the program's own controller, ladder,
presenter and codecs; what is left out is who may speak when, which `wires` has.
"""

import random
import typing
import zlib
from collections.abc import Sequence

from vbms.aggregate.controller import Controller
from vbms.aggregate.virtual import VirtualBattery
from vbms.downstream import registry as downstream
from vbms.errors import FrameError, RefusedError
from vbms.lines.inverter import InverterLine, Pairs
from vbms.ports import DownstreamCodec, Link
from vbms.simulate import deye_checks
from vbms.soak.checks import Checks
from vbms.soak.meter import Meter
from vbms.soak.tap import tap
from vbms.soak.world import World
from vbms.upstream import registry as upstream

TICK_MS = 1000
_SAVE_S = 10  # the state file is at most so old


class Clock:
    """The program's clock: the world's seconds and an origin that nobody knows."""

    def __init__(self, origin_ms: int) -> None:
        self.ms = origin_ms

    def now_ms(self) -> int:
        return self.ms

    def now_us(self) -> int:
        return self.ms * 1000

    async def sleep_ms(self, ms: int) -> None:
        raise NotImplementedError

    async def sleep_us(self, us: int) -> None:
        raise NotImplementedError


class DirectLine(InverterLine):
    """The inverter's line without a wire: what is told, and what would be answered."""

    pairs: Pairs = ()

    def publish(self, pairs: Pairs) -> None:
        self.pairs = pairs

    def answers(self, codecs: "dict[int, DownstreamCodec]") -> list[bytes]:
        """The bytes that each address would be answered with."""
        found = []
        for address, battery in self.pairs:
            if battery is None:
                continue
            codec = codecs.get(address)
            if codec is None:
                codec = codecs[address] = downstream.load(self.settings.protocol).Codec(
                    address=address, **self.settings.options
                )
            answer = codec.answer(codec.usual()[0], battery)
            if answer is not None:
                found.append(answer)
        return found


class Direct:
    """One site in direct mode. `step` lives one second; `checks` holds what was broken."""

    def __init__(self, world: World, origin_ms: int = 1_000_000) -> None:
        self.world = world
        self.settings = world.settings
        self.clock = Clock(origin_ms)
        self._rng = random.Random(f"soak/{world.seed}/direct")
        self._codecs = {
            battery.name: upstream.load(battery.protocol).Codec(**battery.options)
            for battery in self.settings.batteries
        }
        self._answering: dict[int, DownstreamCodec] = {}
        self._slots = [(battery.slot, battery.name) for battery in self.settings.batteries]
        on_line: dict[str, int] = {}
        for meter in world.meters:
            on_line[meter.unit.protocol] = on_line.get(meter.unit.protocol, 0) + 1
        # About 150 ms of the line for each battery: fifteen are asked every third second.
        self._every = {}
        for meter in world.meters:
            every = -(-on_line[meter.unit.protocol] * 15 // 100)
            if len(world.meters) < 10:
                every = max(every, self._rng.choice((1, 2, 4)))
            self._every[meter.name] = every
        self._turn = {meter.name: at for at, meter in enumerate(world.meters)}
        self._requests = {address: deye_checks.read_request(address) for address in range(15)}
        self.ticks = 0
        self.down_until = -1.0  # while the program is away
        self._kept: dict[str, object] | None = None
        self._kept_acknowledged: Sequence[str] = ()
        self._kept_s = 0.0
        self.virtual = VirtualBattery()
        self.digest = 0
        self.frames = self.dropped = 0
        self._begin()
        world.restart = self.restart
        world.clock_back = self.clock_back
        self.checks = Checks(self)

    # ---- start, restart, clock

    def _begin(self) -> None:
        units = [battery.unit for battery in self.settings.batteries]
        self.controller = Controller(self.settings.bank, units)
        self.bank = self.controller.bank
        self.tapped = tap(self.controller)
        self.line = DirectLine(
            self.settings.inverters[0], typing.cast(Link, None), self.clock, self.bank, None
        )

    def restart(self, away_s: float) -> None:
        """The program ends now, at any tick, and is back after away_s with what was last saved."""
        self.down_until = self.world.now_s + away_s
        self.line.publish(())
        self.checks.restarted()

    def _come_back(self) -> None:
        away_ms = round((self.world.now_s - self._kept_s) * 1000)
        self.clock.ms += self._rng.randrange(1 << 20)
        self._begin()
        if self._kept is not None:
            self.controller.restore(self._kept, away_ms)
            self.bank.recall(self._kept_acknowledged)
        for battery in self.settings.batteries:
            self._codecs[battery.name] = upstream.load(battery.protocol).Codec(**battery.options)

    def clock_back(self, ms: float) -> None:
        self.clock.ms -= round(ms)

    # ---- one second

    def step(self) -> None:
        world = self.world
        world.step(1.0)
        self.ticks += 1
        self.clock.ms += TICK_MS
        now_s = world.now_s
        if now_s < self.down_until:
            self.checks.plant_only()
            return
        if self.down_until >= 0:
            self.down_until = -1.0
            self._come_back()
        now_ms = self.clock.ms
        tick = self.ticks
        for meter in world.meters:
            if (tick + self._turn[meter.name]) % self._every[meter.name] == 0:
                self._poll(meter, now_s, now_ms)
        controller = self.controller
        controller.linked = not self.line.silent
        controller.numbers = (True, world.inverter.reads_discharge)
        self.virtual = virtual = controller.tick(now_ms)
        self.line.tell(controller, virtual, self._slots, now_ms)
        if tick % world.inverter.round_s == 0:
            self._ask(now_s)
        if tick % _SAVE_S == 0:
            self._kept = controller.dump()
            self._kept_acknowledged = self.bank.acknowledged()
            self._kept_s = now_s
        told = self.line.told
        row = (
            (virtual.charge_limit_ma, virtual.discharge_limit_ma, virtual.cvl_mv)
            if told is None
            else (told.charge_limit_ma, told.discharge_limit_ma, told.cvl_mv, told.soc_permille)
        )
        self.digest = zlib.crc32(repr(row).encode(), self.digest)
        self.checks.tick()

    def _poll(self, meter: Meter, now_s: float, now_ms: int) -> None:
        if meter.silent or meter.unit.protocol in self.world.gone:
            return
        codec = self._codecs[meter.name]
        frames = meter.frames(now_s)
        if meter.flips and self._rng.random() < meter.flips:
            frame = bytearray(frames[0] or b"")
            bit = self._rng.randrange(8, len(frame) * 8)
            frame[bit // 8] ^= 1 << bit % 8
            _, found = codec.take(bytes(frame))
            if found is None:
                self.dropped += 1
                return
            frames[0] = found
        try:
            snap = codec.decode(frames, now_ms)
        except (FrameError, RefusedError):
            self.dropped += 1
            return
        self.frames += 1
        if self.bank.accept(meter.name, snap, now_ms) is not None:
            self.dropped += 1

    def _ask(self, now_s: float) -> None:
        inverter = self.world.inverter
        rows = []
        for answer in self.line.answers(self._answering):
            findings = deye_checks.check_frame(self._requests[answer[0]], answer)
            row = deye_checks.decode(answer)
            findings += deye_checks.check_row(row)
            if findings:
                self.checks.wire(findings)
            rows.append(row)
        discharge_a = None
        if inverter.reads_discharge and self.line.told is not None:
            discharge_a = self.line.told.discharge_limit_ma / 1000
        self.checks.asked(rows)
        inverter.hear(now_s, rows, discharge_a)
