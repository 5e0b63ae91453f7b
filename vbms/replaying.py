"""A recording through the whole program: the real loops, merge and ladders, a played far end.

At full speed the event loop's time jumps to whatever is due next, so an hour takes seconds and
gives the same each time. Nothing real is opened: no port, broker, page or state file.
"""

import asyncio
import selectors
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import cast

from vbms import plugs
from vbms.app import Site
from vbms.config import BatterySettings, InverterSettings, LinkSettings, Settings
from vbms.endings import end
from vbms.errors import ConfigError
from vbms.lines import kinds
from vbms.links.replay_link import ReplayLink
from vbms.ports import Link
from vbms.recording import Recording
from vbms.upstream import registry as upstream

_TAIL_S = 1.0  # the program goes on for so long after the last byte
_REGISTERS = "vbms.lines.registers"
_BROADCASTING = "vbms.lines.broadcasting"
_PLAYABLE = {
    kinds.POLLED,
    kinds.ANSWERING,
    kinds.BLE,
    "vbms.lines.mqtt",
    "vbms.lines.chain",
    _BROADCASTING,
    _REGISTERS,
}


class _Selector(selectors.DefaultSelector):
    """Waits for nothing: time moves on by as much as was to be waited."""

    jumped = 0.0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        found = super().select(0)
        if not found and timeout is None:
            return super().select(None)
        if not found and timeout:
            self.jumped += timeout
        return found


class JumpingLoop(asyncio.SelectorEventLoop):
    """An event loop whose time is what was waited for, however little that took."""

    def __init__(self) -> None:
        self._jumping = _Selector()
        super().__init__(self._jumping)

    def time(self) -> float:
        return self._jumping.jumped


class LoopClock:
    """The event loop's time as the program's clock."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()

    def now_us(self) -> int:
        return round(self._loop.time() * 1_000_000)

    def now_ms(self) -> int:
        return self.now_us() // 1000

    async def sleep_us(self, us: int) -> None:
        await asyncio.sleep(us / 1_000_000)

    async def sleep_ms(self, ms: int) -> None:
        await asyncio.sleep(ms / 1000)


class Recorded(plugs.Simulation):
    """Links out of recordings, in place of real and simulated ones."""

    def __init__(self, settings: Settings, recordings: "dict[str, Recording]") -> None:
        super().__init__(settings)
        self._recordings = recordings
        firsts = [_at_us(each, each.events[0][0]) for each in recordings.values() if each.events]
        self._origin_us = min(firsts, default=0)
        lasts = [_at_us(each, each.events[-1][0]) for each in recordings.values() if each.events]
        self.length_s = (max(lasts, default=0) - self._origin_us) / 1_000_000

    def changed(self, settings: Settings, name: str) -> bool:
        return False

    async def battery_link(
        self, settings: Settings, link: LinkSettings, batteries: list[BatterySettings]
    ) -> Link:
        kind = _line_of(settings, batteries[0])
        if kind == kinds.BLE:
            from vbms.links.replay_ble import ReplayAir

            return ReplayAir(
                link.name,
                {
                    recording.battery: (recording.events, self._origin_us - recording.started_us)
                    for recording in self._recordings.values()
                    if recording.link == link.name
                },
            )
        if kind == _REGISTERS:
            from vbms.links.replay_modbus import ReplayModbus

            recording = self._recordings[link.name]
            origin_us = self._origin_us - recording.started_us
            return cast(Link, ReplayModbus(link.name, recording.events, origin_us))
        requests: list[bytes] = []
        for battery in batteries:
            codec = upstream.load(battery.protocol).Codec(**battery.options)
            requests += [request for _, request in codec.requests()]
        return self._link(link, requests)

    async def inverter_link(
        self, link: LinkSettings, inverter: InverterSettings
    ) -> tuple[Link, str | None]:
        if kinds.of_inverter(inverter.protocol).__name__ == _BROADCASTING:
            from vbms.links.replay_can import ReplayCan

            recording = self._recordings[link.name]
            origin_us = self._origin_us - recording.started_us
            return cast(Link, ReplayCan(link.name, link.bitrate, recording.events, origin_us)), None
        return self._link(link, ()), None

    def _link(self, link: LinkSettings, requests: Sequence[bytes]) -> Link:
        recording = self._recordings[link.name]
        origin_us = self._origin_us - recording.started_us
        return ReplayLink(link.name, link.byte_us, recording.events, requests, origin_us)


def _at_us(recording: Recording, us: int) -> int:
    return recording.started_us + us


def narrowed(settings: Settings, recordings: "dict[str, Recording]") -> list[str]:
    """Leave only what the recordings can play; what was left out, in words.

    Raises ConfigError when a recording's link is not configured, or nothing is left.
    """
    batteries = {each.name: each.link for each in settings.batteries}
    for recording in recordings.values():
        name = recording.link
        if name not in settings.links:
            known = ", ".join(settings.links)
            raise ConfigError(f"the recording is of link {name}, the configuration has: {known}")
        if recording.battery and batteries.get(recording.battery) != name:
            known = ", ".join(each for each, link in batteries.items() if link == name)
            raise ConfigError(
                f"the recording is of {recording.battery} on {name}, the configuration has"
                f" there: {known or 'nobody'}"
            )
    left_out = []

    def is_played(what: BatterySettings | InverterSettings, kind: str) -> bool:
        name = f"{what.link}@{what.name}" if kind == kinds.BLE else what.link
        if name not in recordings:
            left_out.append(f"{what.name}: there is no recording of {what.link}")
        elif kind not in _PLAYABLE:
            left_out.append(f"{what.name}: a line of {what.protocol} cannot be replayed")
        else:
            return True
        return False

    settings.batteries = tuple(
        each for each in settings.batteries if is_played(each, _line_of(settings, each))
    )
    settings.inverters = tuple(
        each
        for each in settings.inverters
        if is_played(each, kinds.of_inverter(each.protocol).__name__)
    )
    if not settings.batteries:
        raise ConfigError("no battery of the configuration is on a recorded link")
    settings.mqtt = settings.history = None
    settings.relays = ()
    return left_out


def _line_of(settings: Settings, battery: BatterySettings) -> str:
    kind = settings.links[battery.link].kind
    return kinds.of_battery(battery.protocol, kind, battery.address).__name__


async def play(
    settings: Settings,
    recordings: "dict[str, Recording]",
    show: Callable[[Site, float], None],
    every_s: float,
) -> None:
    """Until the recordings end; `show` is called each `every_s` of their time, and at the end."""
    with tempfile.TemporaryDirectory(prefix="vbms-replay-") as folder:
        settings.state_dir = Path(folder)
        site = Site(settings, LoopClock())
        recorded = Recorded(settings, recordings)
        site.simulation = recorded
        await site.start()
        running = asyncio.create_task(site.run())
        try:
            end_s = recorded.length_s + _TAIL_S
            now_s = 0.0
            while now_s < end_s and not running.done():
                step_s = min(every_s, end_s - now_s)
                await asyncio.sleep(step_s)
                now_s += step_s
                show(site, now_s)
        finally:
            await end(running)
            await site.close()


def run(
    settings: Settings,
    recordings: "dict[str, Recording]",
    show: Callable[[Site, float], None],
    every_s: float,
    full_speed: bool,
) -> None:
    """The same, with a loop of its own."""
    factory = JumpingLoop if full_speed else asyncio.new_event_loop
    with asyncio.Runner(loop_factory=factory) as runner:
        runner.run(play(settings, recordings, show, every_s))
