"""The whole program on its lines, under a clock that costs nothing.

What runs is `vbms.app.Site` with its pollers, responder, journal and state; only the links and the
clock are ours. Devices and inverter speak bytes, each of which takes its time on the wire.
"""

import asyncio
import random
import time
import typing
import zlib
from pathlib import Path

from vbms.acknowledge import Acknowledged
from vbms.aggregate.virtual import VirtualBattery
from vbms.app import Site
from vbms.charging import Charging
from vbms.config import BatterySettings, InverterSettings, LinkSettings, Settings
from vbms.lines.inverter import InverterLine
from vbms.plugs import Simulation
from vbms.ports import Link
from vbms.simulate import deye_checks
from vbms.soak.cable import BatteryCable, MemoryLink
from vbms.soak.checks import Checks
from vbms.soak.loop import VirtualClock, VirtualLoop
from vbms.soak.tap import TapSteering, tap
from vbms.soak.world import World
from vbms.state import Section, State, StateFile

_ADDRESSES = range(15)
_TIMEOUT_S = 0.2
_PAUSE_S = 0.02


class MemoryFile(StateFile):
    """A state file that lives as long as the world does."""

    def __init__(self) -> None:
        self._kept: dict[str, Section] = {}
        self.saved_s = 0.0
        self.now_s: typing.Callable[[], float] = lambda: 0.0

    def load(self) -> dict[str, Section]:
        """What was saved, as old as it is in the world's time."""
        found = {owner: dict(section) for owner, section in self._kept.items()}
        for section in found.values():
            if "at" in section:
                section["at"] = int(time.time()) - round(self.now_s() - self.saved_s)
        return found

    def save(self, sections: "typing.Mapping[str, Section]") -> bool:
        self._kept = {owner: dict(section) for owner, section in sections.items()}
        self.saved_s = self.now_s()
        return True


class Links(Simulation):
    """Where the program looks for its links: they are in memory."""

    def __init__(self, settings: Settings, wires: "Wires") -> None:
        super().__init__(settings)
        self._wires = wires

    def changed(self, settings: Settings, name: str) -> bool:
        return False

    async def battery_link(
        self, settings: Settings, link: LinkSettings, batteries: list[BatterySettings]
    ) -> Link:
        return self._wires.links[link.name]

    async def inverter_link(
        self, link: LinkSettings, inverter: InverterSettings
    ) -> tuple[Link, str | None]:
        return self._wires.inverter_link, None


class Program(Site):
    """The program, with a look at each of its ticks."""

    def __init__(self, wires: "Wires") -> None:
        self._wires = wires
        super().__init__(wires.settings, wires.clock)
        self.simulation = Links(wires.settings, wires)
        self.tapped = tap(self.controller)
        self.kept = State(wires.file)
        self.acknowledged = Acknowledged(self.controller, self.journal, self.kept)
        self.acknowledged.recall(self.settings)
        self.charging = Charging(self.controller, self.kept)
        self.charging.recall()

    def _tick(self) -> None:
        super()._tick()
        self._wires.ticked()


class Wires:
    """One site in bytes mode: `live` runs it."""

    def __init__(self, world: World, origin_ms: int = 1_000_000) -> None:
        self.world = world
        self.settings = world.settings
        self.settings.state_dir = Path("/nonexistent")  # whose state this is, is in memory
        self.loop = VirtualLoop()
        self.clock = VirtualClock(self.loop, origin_ms)
        self.file = MemoryFile()
        self.file.now_s = self.loop.time
        rng = random.Random(f"soak/{world.seed}/wires")
        self.links: dict[str, MemoryLink] = {}
        self._by_protocol: dict[str, MemoryLink] = {}
        for name, link in self.settings.links.items():
            held = MemoryLink(name, link.baud or 9600)
            self.links[name] = held
            meters = [
                meter
                for meter, battery in zip(world.meters, self.settings.batteries, strict=True)
                if battery.link == name
            ]
            if meters:
                self._by_protocol[meters[0].unit.protocol] = held
                BatteryCable(held, self.loop, meters, rng, self._world_s)
        self.inverter_link = self.links[self.settings.inverters[0].link]
        self.inverter_link.written = self._answered
        self._answer: asyncio.Future[bytes] | None = None
        self._heard = b""
        self.program: Program | None = None
        self.ticks = 0
        self.digest = 0
        self._restart_s: float | None = None
        self._gone: set[str] = set()
        world.restart = self._want_restart
        self.checks = Checks(self)

    def _world_s(self) -> float:
        return self.world.now_s

    # ---- what the checks look at

    @property
    def controller(self) -> "typing.Any":
        assert self.program is not None
        return self.program.controller

    @property
    def bank(self) -> "typing.Any":
        return self.controller.bank

    @property
    def tapped(self) -> TapSteering:
        assert self.program is not None
        return self.program.tapped

    @property
    def line(self) -> InverterLine:
        assert self.program is not None
        (line,) = self.program.inverters.values()
        return line

    @property
    def virtual(self) -> VirtualBattery:
        assert self.program is not None
        return self.program.virtual

    @property
    def frames(self) -> int:
        lines: list[typing.Any] = list(self.program.lines.values()) if self.program else []
        return sum(line.poller.stats["frames_in"] for line in lines)

    dropped = 0

    def ticked(self) -> None:
        program = self.program
        if program is None or not program.inverters:
            return
        told = self.line.told
        self.ticks += 1
        if told is not None:
            row = (told.charge_limit_ma, told.discharge_limit_ma, told.cvl_mv, told.soc_permille)
            self.digest = zlib.crc32(repr(row).encode(), self.digest)
        self.checks.tick()

    # ---- living

    def live(self, seconds: int) -> None:
        """So many seconds more."""
        asyncio.set_event_loop(self.loop)
        try:
            self.loop.run_until_complete(self._live(seconds))
        finally:
            asyncio.set_event_loop(None)

    def close(self) -> None:
        """The program ends."""
        if self.program is not None:
            self.loop.run_until_complete(self.program.close())
            self.program = None
        self.loop.close()

    async def _live(self, seconds: int) -> None:
        if self.program is None:
            await self._start()
        asking = self.loop.create_task(self._ask_for_ever())
        try:
            for _ in range(seconds):
                await asyncio.sleep(1.0)
                await self._second()
                if asking.done():
                    asking.result()
        finally:
            asking.cancel()
            await asyncio.gather(asking, return_exceptions=True)

    async def _second(self) -> None:
        world = self.world
        world.step(1.0)
        if world.gone != self._gone:
            for protocol, link in self._by_protocol.items():
                if protocol in world.gone and not link.gone:
                    link.unplug()
                elif protocol not in world.gone and link.gone:
                    link.plug()
            self._gone = set(world.gone)
        if self._restart_s is not None:
            if self.program is not None:
                await self.program.close()
                self.program = None
                self.checks.restarted()
            if world.now_s >= self._restart_s:
                self._restart_s = None
                await self._start()
        if self.program is None:
            self.checks.plant_only()

    async def _start(self) -> None:
        self.program = program = Program(self)
        await program.start()

    def _want_restart(self, away_s: float) -> None:
        self._restart_s = self.world.now_s + away_s

    # ---- the inverter

    async def _ask_for_ever(self) -> None:
        while True:
            began_s = self.loop.time()
            rows = []
            for address in _ADDRESSES:
                row = await self._ask(address)
                if row is not None:
                    rows.append(row)
            inverter = self.world.inverter
            discharge_a = None
            if self.program is not None and self.program.inverters:
                told = self.line.told
                if inverter.reads_discharge and told is not None:
                    discharge_a = told.discharge_limit_ma / 1000
            inverter.hear(self.world.now_s, rows, discharge_a)
            await asyncio.sleep(max(_PAUSE_S, began_s + inverter.round_s - self.loop.time()))

    async def _ask(self, address: int) -> "deye_checks.Row | None":
        request = deye_checks.read_request(address)
        link = self.inverter_link
        self._heard = b""
        self._answer = answer = self.loop.create_future()
        self.loop.call_later(len(request) * link.byte_s, link.deliver, request)
        wait_s = len(request) * link.byte_s + _TIMEOUT_S
        timer = self.loop.call_later(wait_s, _give_up, answer)
        data = await answer
        timer.cancel()
        self._answer = None
        await asyncio.sleep(_PAUSE_S)
        if not data:
            return None
        findings = deye_checks.check_frame(request, data)
        if findings:
            self.checks.wire(findings)
            return None
        row = deye_checks.decode(data)
        findings = deye_checks.check_row(row)
        if findings:
            self.checks.wire(findings)
        return row

    def _answered(self, data: bytes) -> None:
        """What the program has written, once its last byte has passed."""
        answer = self._answer
        if answer is None or answer.done():
            self.checks.fail("I14", f"bytes nobody asked for: {data[:20].hex()}")
            return
        self._heard += data
        length = deye_checks.answer_length(self._heard[:3])
        if length and len(self._heard) >= length:
            answer.set_result(self._heard)


def _give_up(answer: "asyncio.Future[bytes]") -> None:
    if not answer.done():
        answer.set_result(b"")
