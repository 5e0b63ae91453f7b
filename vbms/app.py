"""The site: lines, bank and inverters wired together, supervised, reloaded.

One asyncio loop. Once a second, and at once when a unit's limit falls or its data get old, the bank
is worked out anew and every inverter is told. An inverter's line never waits for a battery's.
"""

import asyncio
import contextlib
import logging
import typing
from pathlib import Path

from vbms import events
from vbms.acknowledge import Acknowledged
from vbms.aggregate.controller import Controller
from vbms.aggregate.ladder import Ladder
from vbms.aggregate.snapshot import Snapshot
from vbms.aggregate.virtual import ERROR, NORMAL, PARTIAL, SILENT, VirtualBattery
from vbms.charging import Charging
from vbms.clock import MonotonicClock
from vbms.config import BatterySettings, ConfigErrors, LinkSettings, Settings, load
from vbms.endings import end
from vbms.journal import Journal
from vbms.lines import kinds
from vbms.lines.battery import BatteryLine
from vbms.lines.inverter import InverterLine, bank_cap_ma
from vbms.lines.line import Line
from vbms.plugs import Simulation
from vbms.ports import Clock, Link
from vbms.relays.panel import Panel
from vbms.state import NAME, State, StateFile
from vbms.view import View

if typing.TYPE_CHECKING:
    from vbms.publisher import Publisher
    from vbms.recording import Recorders

log = logging.getLogger("vbms")

TICK_MS = 1000
URGENT_MS = 100  # between two ticks, however many limits fall
_WORST = (ERROR, SILENT, "zero", "starting", PARTIAL, NORMAL)


class Site:
    """Everything that runs. `start`, then `run` until `stop`; `reload` in between."""

    def __init__(self, settings: Settings, clock: Clock | None = None) -> None:
        self.settings = settings
        self.clock = clock or MonotonicClock()
        units = [battery.unit for battery in settings.batteries]
        self.controller = Controller(settings.bank, units)
        self.bank = self.controller.bank
        self.virtual = VirtualBattery(name=settings.bank.name)
        self.lines: dict[str, BatteryLine] = {}
        self.inverters: dict[str, InverterLine] = {}
        self.journal = Journal()
        self.kept = State(StateFile(settings.state_dir / NAME))
        self.acknowledged = Acknowledged(self.controller, self.journal, self.kept)
        self.acknowledged.recall(settings)
        self.panel = Panel(self.clock, self.journal, self.kept)
        self.charging = Charging(self.controller, self.kept)
        self.charging.recall()
        self.view = View(self)
        self._ladder = Ladder(settings.bank)  # the bank's own, for a site that only watches
        self.simulation = Simulation(settings)
        self.publisher: Publisher | None = None
        self.recorders: Recorders | None = None
        self._wake = asyncio.Event()
        self._stopping = asyncio.Event()
        self._reloading = asyncio.Lock()
        self._tasks: list[asyncio.Task[None]] = []
        self._failure = ""
        self._unwritten = ""

    # ---- start and stop

    async def start(self) -> None:
        """Open everything. Raises LinkError's sentence as ConfigError when no port at all opens."""
        await self.panel.serve(self.settings.relays)  # off, before anything else
        await self._serve_batteries(self.settings, self.settings)
        for inverter in self.settings.inverters:
            await self._add_inverter(self.settings, inverter.name)
        self._tick()
        self._tasks.append(asyncio.create_task(self._tick_for_ever(), name="bank"))
        await self._publish()

    async def any_open(self) -> bool:
        """Whether at least one line opened at its first try."""
        lines: list[Line] = [*self.lines.values(), *self.inverters.values()]
        tries = [line.first_try for line in lines if line.first_try is not None]
        if not tries:
            return True
        return any(await asyncio.gather(*tries))

    async def none_opens(self) -> bool:
        """Wait for the first tries, unless told to stop: whether not one port opened."""
        tried = asyncio.create_task(self.any_open())
        stopped = asyncio.create_task(self._stopping.wait())
        await asyncio.wait({tried, stopped}, return_when=asyncio.FIRST_COMPLETED)
        stopped.cancel()
        if tried.done():
            return not tried.result()
        tried.cancel()
        return False

    async def run(self) -> int:
        """Until told to stop; 0, or 1 when something that must not end has ended."""
        stopped = asyncio.create_task(self._stopping.wait())
        tasks: list[asyncio.Task[None]] = list(self._tasks)
        done, _ = await asyncio.wait([stopped, *tasks], return_when=asyncio.FIRST_COMPLETED)
        stopped.cancel()
        for task in done:
            if task is not stopped and not task.cancelled() and task.exception() is not None:
                error = task.exception()
                log.error("%s ended: %s", task.get_name(), error, exc_info=error)
                return 1
        return 0

    def stop(self) -> None:
        self._stopping.set()

    async def close(self) -> None:
        """Release every port: the inverters' first, so that nobody is told anything old."""
        for inverter in self.inverters.values():
            inverter.hush()
        lines: list[Line] = [*self.inverters.values(), *self.lines.values()]
        lines += [self.publisher] if self.publisher is not None else []
        stops = [line.stop() for line in lines]
        await asyncio.gather(end(*self._tasks), self.panel.close(), *stops)
        await self.simulation.close()
        self.charging.keep(self.clock.now_ms(), last=True)
        await self.kept.close()

    # ---- batteries

    async def _serve_batteries(self, old: Settings, settings: Settings) -> None:
        by_link: dict[str, list[BatterySettings]] = {}
        for battery in settings.batteries:
            if battery.unit.enabled:
                by_link.setdefault(battery.link, []).append(battery)
        for name in list(self.lines):
            moved = name not in by_link or old.links.get(name) != settings.links[name]
            if moved or self.simulation.changed(settings, name):
                await self.lines.pop(name).stop()
                await self.simulation.drop(name)
        for name, batteries in by_link.items():
            line = self.lines.get(name)
            if line is None:
                where = settings.links[name]
                first = batteries[0]
                link = await self.simulation.battery_link(settings, where, batteries)
                kind = kinds.of_battery(first.protocol, where.kind, first.address)
                line = kind.make(link, self.clock, self._deliver)
                self._record(link, where, [battery.protocol for battery in batteries])
                self.lines[name] = line
                line.serve(batteries)
                line.start()
            else:
                line.serve(batteries)

    def _deliver(self, name: str, snap: Snapshot) -> None:
        """A decoded frame from a poller."""
        fault = self.bank.accept(name, snap, self.clock.now_ms())
        self.journal.admission(name, fault)
        if fault is not None:
            for line in self.lines.values():
                unit = line.polled.get(name)
                if unit is not None:
                    unit.counters["implausible"] += 1
        if self.bank.urgent:
            self._wake.set()

    # ---- what a person says

    def want_full(self) -> None:
        """Charge once to the full, whatever phase it is in."""
        self.controller.want_full()
        name = self.settings.bank.name
        self.journal.say(logging.INFO, events.CHARGE, name, "a person asks for a full charge")
        self._wake.set()

    def acknowledge(self, name: str) -> str | None:
        """Take a retired battery out of the account; by the bank's name, tell an inverter again
        that was silenced. None: done; else why not."""
        refusal = self.acknowledged.say(name)
        if refusal is None:
            self._wake.set()
        return refusal

    # ---- inverters

    async def _add_inverter(self, settings: Settings, name: str) -> None:
        inverter = next(each for each in settings.inverters if each.name == name)
        kind = kinds.of_inverter(inverter.protocol)
        where = settings.links[inverter.link]
        for host in self.inverters.values():
            if host.settings.link == inverter.link:
                line = kind.join(inverter, host, self.bank)
                break
        else:
            link, path = await self.simulation.inverter_link(where, inverter)
            spoken = [one.protocol for one in settings.inverters if one.link == inverter.link]
            self._record(link, where, spoken)
            if path is not None:
                log.info("%s: simulated line, plug the inverter into %s", name, path)
            line = kind.make(inverter, link, self.clock, self.bank, path)
        self.inverters[name] = line
        line.start()

    # ---- for whoever wants to know

    def _record(self, link: Link, settings: LinkSettings, protocols: list[str]) -> None:
        if self.recorders is not None:
            self.recorders.attach(link, settings, protocols)

    async def _publish(self) -> None:
        """As `mqtt:` says now; without it nothing of MQTT is ever loaded."""
        wanted = self.settings.mqtt
        if self.publisher is not None and self.publisher.settings != wanted:
            await self.publisher.stop()
            self.publisher = None
        if self.publisher is None and wanted is not None:
            from vbms.publisher import Publisher

            self.publisher = Publisher(wanted, self.clock, self.view, self.bank)
            self.publisher.start()

    # ---- the tick

    def _tick(self) -> None:
        now = self.clock.now_ms()
        try:
            self._judge_links()
            self.virtual = self.controller.tick(now)
            if self._failure:
                log.warning("bank: the merge works again")
                self._failure = ""
        except Exception as error:
            if repr(error) != self._failure:
                self._failure = repr(error)
                log.exception("bank: the merge failed, limits are 0, then silence")
            self.virtual = self.controller.failed(now)
        slots = [(battery.slot, battery.name) for battery in self.settings.batteries]
        self._ladder.step(self.virtual, now, self.bank.up_ms)
        self._switch(now)
        chargers = self.panel.taken_ma(self.bank)
        for inverter in self.inverters.values():
            inverter.chargers = chargers
            try:
                inverter.tell(self.controller, self.virtual, slots, now)
            except Exception:
                inverter.hush()
                log.exception("%s: what it is to be told failed, silent", inverter.settings.name)
        self.view.state = self.state()
        try:
            self._write_down(now)
            self._unwritten = ""
        except Exception as error:  # no current depends on it: what is told goes on
            if repr(error) != self._unwritten:
                self._unwritten = repr(error)
                log.exception("journal: what happened could not be written down")

    def _write_down(self, now: int) -> None:
        """What is told is told: the log, the events, what outlives a restart."""
        self.journal.tick(self.bank, self.virtual, self.view.state)
        for name, inverter in self.inverters.items():
            self.journal.inverter(name, not inverter.silent, inverter.asked_ms, now)
        self.acknowledged.keep(self.settings)
        self.charging.keep(now)
        self.kept.tick(now)
        self.journal.happened(self.controller.events)
        self.controller.events.clear()

    def _judge_links(self) -> None:
        """Whether anybody hears what is told, and has a number for each limit."""
        lines = list(self.inverters.values())
        self.controller.linked = any(not line.silent for line in lines)
        self.controller.numbers = (True, all(line.tells_discharge for line in lines))

    def _switch(self, now: int) -> None:
        """The relays follow the bank; what fails switches them off."""
        try:
            self.panel.step(self.virtual, self.controller, now)
        except Exception:
            self.panel.all_off()
            log.exception("relays: the decision failed, all are off")

    async def _tick_for_ever(self) -> None:
        due = self.clock.now_ms() + TICK_MS
        while True:
            wait = due - self.clock.now_ms()
            hints: list[int | None] = [inverter.next_ms() for inverter in self.inverters.values()]
            for hint in [self.bank.next_change_ms(), *hints]:
                if hint is not None and hint < wait:
                    wait = hint
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(max(wait, 0) / 1000):
                    await self._wake.wait()
            urgent = self._wake.is_set()
            self._wake.clear()
            self._measure_rounds()
            self._tick()
            now = self.clock.now_ms()
            if now >= due:
                due = max(due + TICK_MS, now)
            if urgent:
                await self.clock.sleep_ms(URGENT_MS)

    def _measure_rounds(self) -> None:
        """A line slower than its profiles' poll time makes its units' data older, not stale."""
        for line in self.lines.values():
            round_ms = line.round_ms()
            for name, polled in line.polled.items():
                unit = self.bank.units.get(name)
                if unit is not None:
                    unit.set_poll(round_ms)
                    unit.doubted = getattr(polled, "conflict", False)

    # ---- reload

    async def reload(self, path: Path) -> bool:
        """Check everything, then restart only what changed. False: the old configuration stays."""
        async with self._reloading:
            return await self._reload(path)

    async def _reload(self, path: Path) -> bool:
        try:
            settings = await asyncio.to_thread(load, path)
        except ConfigErrors as errors:
            for problem in errors.problems:
                log.error("reload: %s", problem)
            text = "reload: nothing changed, the old configuration stays"
            self.journal.say(logging.ERROR, events.SERVICE, None, text)
            return False
        old = self.settings
        for what in ("web", "state_dir"):
            if getattr(settings, what) != getattr(old, what):
                log.warning("reload: %s needs a restart to change", what)
        # Bank and settings change in one step, so that a tick in between sees one or the other.
        moved = {battery.name: place(battery) for battery in settings.batteries}
        for battery in old.batteries:
            if moved.get(battery.name, place(battery)) != place(battery):
                # Another battery, though of the same name.
                del self.bank.units[battery.name]
                self.controller.forget(battery.name)
                for inverter in self.inverters.values():
                    inverter.forget(battery.name)
        self.settings = settings
        self._ladder.bank = settings.bank
        self.controller.enrol(settings.bank, [battery.unit for battery in settings.batteries])
        for inverter in self.inverters.values():
            inverter.presenter.cap_ma = bank_cap_ma(self.bank)
        await self._reload_inverters(old, settings)
        await self._serve_batteries(old, settings)
        await self._publish()
        await self.panel.serve(settings.relays)
        self._tick()
        self.journal.say(logging.INFO, events.SERVICE, None, f"reload: done, {settings.summary()}")
        return True

    async def _reload_inverters(self, old: Settings, settings: Settings) -> None:
        wanted = {inverter.name: inverter for inverter in settings.inverters}
        before: dict[str, InverterLine] = {}
        # Those that share a link begin anew together.
        touched = {one.link for one in settings.inverters if one.name not in self.inverters}
        for name, line in self.inverters.items():
            new = wanted.get(name)
            where = line.settings.link
            if new != line.settings or settings.links[where] != old.links[where]:
                touched.add(where)
                if new is not None:
                    touched.add(new.link)
        for name, line in list(self.inverters.items()):
            where = line.settings.link
            if where in touched:
                line.hush()
                before[name] = self.inverters.pop(name)
                await line.stop()
                await self.simulation.drop(where)
        for name in wanted:
            if name not in self.inverters:
                self.journal.no_inverter(name)
                await self._add_inverter(settings, name)
                if name in before:
                    self.inverters[name].inherit(before[name])

    # ---- for the web page and metrics

    def state(self) -> str:
        """The worst any inverter is in; without inverters the bank's own."""
        states = [inverter.state for inverter in self.inverters.values()] or [self._ladder.state]
        for state in _WORST:
            if state in states:
                return state
        return states[0]


def place(battery: BatterySettings) -> tuple[str, str, object]:
    """Where a battery is; elsewhere it is another one."""
    return battery.protocol, battery.link, battery.address
