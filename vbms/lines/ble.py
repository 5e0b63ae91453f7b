"""Batteries over Bluetooth: one adapter, a session for each unit that is connected, and turns.

The adapter does one thing at a time: it scans, or it makes a connection. What it says of a link is
not believed: a unit that delivers no frame for `stall_s` is disconnected and connected to anew.
Where nothing helps for long, the adapter's power is switched off and on. A bus or an adapter that
is gone ends all sessions; the line tries it again with back-off, and every other line runs on.
"""

import asyncio
import contextlib
import logging
import random
import time
from collections.abc import Iterable
from typing import TYPE_CHECKING

from vbms.config import BatterySettings, LinkSettings
from vbms.endings import end
from vbms.errors import LinkError, SilentError, VbmsError
from vbms.lines.battery import BatteryLine, Counted, Deliver, voice
from vbms.lines.ble_session import BleUnit
from vbms.lines.ble_turns import HEARD_MS, next_turn, waiting
from vbms.links import ble_reset
from vbms.links.ble_device import BleConnection, NoService, Unknown
from vbms.links.ble_link import BleLink
from vbms.links.ble_radio import SCAN_S, Heard
from vbms.metrics import LinkStats
from vbms.ports import Clock, Link

if TYPE_CHECKING:
    from vbms.aggregate.snapshot import Snapshot

log = logging.getLogger("vbms")

CONNECT_MS = 5000  # for a connection while others wait for one: a scan's length
ALONE_MS = 12000  # and while nobody does
SETTLE_MS = 2000  # a scan goes on for so long after the first that can be connected to
RESET_AFTER_MS = 90000  # without a frame from anybody, though connections were tried
RESET_TRIES = 5
RESET_EVERY_MS = 600000
CROWDED_MS = 600000  # how long a number of links that was found out is believed
TROUBLES_TO_TELL = 3
_TICK_MS = 500
_END_S = 1.5
_ERRORS = ("timeout", "bad_frame", "foreign", "stray_bytes", "disconnect", "connect_failed")


def make_link(settings: LinkSettings) -> Link:
    return BleLink(settings.name, settings.adapter, settings.connections)


def make(link: Link, clock: Clock, deliver: Deliver) -> BatteryLine:
    if isinstance(link, BleLink):
        return BleLine(link, clock, deliver)
    from vbms.lines.ble_replayed import ReplayedLine

    return ReplayedLine(link, clock, deliver)


class BleLine(BatteryLine):
    """All batteries of one adapter."""

    def __init__(self, link: BleLink, clock: Clock, deliver: Deliver) -> None:
        super().__init__(link, clock, deliver)
        self.radio = link.radio
        self.slots = link.connections
        self.stats = dict.fromkeys((*_ERRORS, "frames_in", "frames_out", "echo", "busy_us"), 0)
        self.resets = 0
        self._air = link
        self._adapter = link.adapter
        self._units: dict[str, BleUnit] = {}
        self._wake = asyncio.Event()
        self._rng = random.Random()
        self._learned = 0  # links the adapter turned out to hold; 0: as configured
        self._learned_ms = 0
        self._crowded: set[str] = set()  # who got no link while others had one
        self._good_ms = clock.now_ms()
        self._tries = 0  # connections in vain, since any frame
        self._reset_ms = -RESET_EVERY_MS
        self._ending: set[asyncio.Task[None]] = set()

    # ---- for the site

    @property
    def polled(self) -> dict[str, Counted]:
        return {name: unit.polled for name, unit in self._units.items()}

    def serve(self, batteries: "list[BatterySettings]") -> None:
        kept = {}
        for battery in batteries:
            unit = self._units.pop(battery.name, None)
            if unit is not None and voice(unit.settings) != voice(battery):
                self._end(unit)
                unit = None
            if unit is None:
                unit = BleUnit(battery)
            unit.retime(battery)
            kept[battery.name] = unit
        for gone in self._units.values():
            self._end(gone)
        self.batteries = {battery.name: battery for battery in batteries}
        self._units = kept
        self._wake.set()

    def link_stats(self, now_ms: int) -> LinkStats:
        return {
            "frames_in": self.stats["frames_in"],
            "frames_out": self.stats["frames_out"],
            "errors": {kind: self.stats[kind] for kind in _ERRORS},
            "busy_us": 0,
            "up_us": (now_ms - self.since_ms) * 1000,
        }

    async def control(self, name: str, command: bytes) -> None:
        """Send a command that changes something; logged.

        Raises LinkError where the battery does not have `allow_control: true` or is not connected.
        """
        unit = self._units.get(name)
        if unit is None:
            raise LinkError(f"{name}: is not on {self.link.name}")
        connection = unit.connection or unit.connection_for(self._air)
        await connection.write(command)

    # ---- the adapter's day

    async def body(self) -> None:
        now = self.clock.now_ms()
        for unit in self._units.values():  # the adapter was away: all begin anew
            unit.turn.is_up = False
            unit.turn.heard_ms = now - HEARD_MS - 1
            unit.turn.due_ms = unit.turn.scan_due_ms = now
        try:
            while True:
                await self._step()
        finally:
            self.radio.connecting = False
            await self.radio.stop()
            await self._end_all()

    async def _step(self) -> None:
        now = self.clock.now_ms()
        turns = [unit.turn for unit in self._units.values()]
        silent_ms = now - max(self._good_ms, self.since_ms)
        if self._tries >= RESET_TRIES and silent_ms >= RESET_AFTER_MS:
            await self._reset(now, "nobody can be connected")
        if self._learned and now - self._learned_ms > CROWDED_MS:
            self._learned = 0
        chosen, leaving = next_turn(turns, now, self._learned or self.slots)
        if leaving is not None:
            await self._let_go(self._units[leaving.name])
        if chosen is not None:
            await self._connect(self._units[chosen.name])
            return
        if any(turn.is_sought(now) for turn in turns):
            await self._scan()
            return
        self._wake.clear()
        all_up = all(turn.is_up for turn in turns)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(None if all_up else _TICK_MS / 1000):
                await self._wake.wait()

    async def _scan(self) -> None:
        begun = self.clock.now_ms()
        sought = [unit for unit in self._units.values() if unit.turn.is_sought(begun)]

        def enough() -> bool:
            now = self.clock.now_ms()
            self._note_heard(sought, begun)
            if all(unit.turn.heard_ms >= begun for unit in sought):
                return True
            turns = [unit.turn for unit in self._units.values()]
            return now - begun >= SETTLE_MS and next_turn(turns, now, self.slots)[0] is not None

        await self.radio.scan(SCAN_S, enough)
        self._note_heard(sought, begun)
        now = self.clock.now_ms()
        complete = now - begun >= SCAN_S * 1000 - 500
        for unit in sought:
            if unit.turn.heard_ms >= begun:
                unit.turn.scans_in_vain = 0
            elif complete or unit.turn.scans_in_vain:
                unit.turn.unheard(now)
                await self._unheard(unit)
        if not self.radio.heard and self.radio.any_heard_s:
            silent_ms = (time.monotonic() - self.radio.any_heard_s) * 1000
            if silent_ms > 2 * RESET_AFTER_MS and not any(u.turn.is_up for u in sought):
                await self._reset(now, "nothing at all is heard any more")

    async def _unheard(self, unit: BleUnit) -> None:
        """It may be connected from before this program started: then it does not advertise."""
        if not unit.freed and ":" in unit.turn.address:
            unit.freed = True
            await ble_reset.free(unit.turn.address)
        if unit.turn.scans_in_vain >= TROUBLES_TO_TELL and not unit.turn.told.startswith("two "):
            self._tell(unit, "is not heard: out of range, off, or is another app connected to it?")

    def _note_heard(self, sought: "Iterable[BleUnit]", since_ms: int) -> None:
        now_s = time.monotonic()
        now = self.clock.now_ms()
        for unit in sought:
            heard = self._heard(unit)
            if heard is not None:
                at = now - int((now_s - heard.heard_s) * 1000)
                if at >= since_ms - 1:
                    unit.turn.heard_ms = max(unit.turn.heard_ms, at, since_ms)

    def _heard(self, unit: BleUnit) -> Heard | None:
        """The device that is this unit; two of one name are nobody."""
        address = unit.turn.address
        if address in self.radio.heard:
            return self.radio.heard[address]
        named = [each for each in self.radio.heard.values() if each.name == address]
        if len(named) > 1:
            macs = " and ".join(sorted(each.address for each in named))
            self._tell(unit, f"two devices call themselves {address}, {macs}: give the MAC")
            return None
        return named[0] if named else None

    # ---- one unit

    async def _connect(self, unit: BleUnit) -> None:
        turn = unit.turn
        heard = self._heard(unit)
        begun = self.clock.now_ms()
        held = sum(each.turn.is_up for each in self._units.values())
        self.radio.connecting = True
        connection = unit.connection_for(self._air)
        attempt = asyncio.create_task(connection.open(heard), name=f"connect {turn.name}")
        try:
            while not attempt.done():
                await asyncio.wait({attempt}, timeout=0.25)
                took = self.clock.now_ms() - begun
                if took >= ALONE_MS or took >= CONNECT_MS and self._others_wait(unit):
                    attempt.cancel()
                    await asyncio.wait({attempt}, timeout=_END_S)
                    raise SilentError("no connection in %d s" % (took // 1000))
            attempt.result()
        except (LinkError, SilentError) as error:
            await connection.end()
            self._failed(unit, error, heard, held)
            return
        except BaseException:
            attempt.cancel()
            await asyncio.wait({attempt}, timeout=_END_S)
            await connection.end()
            raise
        finally:
            self.radio.connecting = False
        if self._units.get(turn.name) is not unit:  # taken out of the configuration meanwhile
            await connection.end()
            return
        self._crowded.clear()
        turn.up(self.clock.now_ms())
        unit.connection = connection
        unit.session = asyncio.create_task(self._session(unit, connection), name=turn.name)

    def _others_wait(self, unit: BleUnit) -> bool:
        now = self.clock.now_ms()
        others = [each.turn for each in self._units.values() if each is not unit]
        return any(turn.is_sought(now) for turn in others) or bool(waiting(others, now))

    def _failed(self, unit: BleUnit, error: VbmsError, heard: Heard | None, held: int) -> None:
        now = self.clock.now_ms()
        if heard is not None:
            self.radio.forget(heard.address)
        if isinstance(error, Unknown):
            unit.turn.lost(now)
            return
        self.stats["connect_failed"] += 1
        self._tries += 1
        text = str(error)
        unit.turn.failed(now, self._rng)
        if isinstance(error, NoService):
            text += f"; {unit.driver.NO_SERVICE}"
            self._tell(unit, text)
        elif unit.turn.failures >= TROUBLES_TO_TELL:
            self._tell(unit, f"cannot be connected: {text}")
        if held and ("limit" in text or isinstance(error, SilentError)):
            self._crowded.add(unit.turn.name)
            if "limit" in text or len(self._crowded) > 1:
                # Two units in a row were heard and got no link, while others have one.
                self._learned = held
                self._learned_ms = now
                self._crowded.clear()
                log.info("%s: the adapter holds %d links, units take turns", self.link.name, held)

    async def _session(self, unit: BleUnit, connection: BleConnection) -> None:
        why = await unit.serve(connection, self.clock, self._take, self.stats, self._are_some_away)
        self._ended(unit, why)

    def _are_some_away(self) -> bool:
        return any(not unit.turn.is_up for unit in self._units.values())

    def _ended(self, unit: BleUnit, why: str) -> None:
        """A session is over by itself."""
        now = self.clock.now_ms()
        delivered = unit.turn.has_delivered
        heard = self._heard(unit)
        if heard is not None:
            self.radio.forget(heard.address)
        self.stats["disconnect"] += 1
        unit.connection = unit.session = None
        if not delivered:
            self._tries += 1
        unit.turn.failed(now, self._rng)
        log.debug("%s: %s", unit.turn.name, why)
        if unit.turn.failures >= TROUBLES_TO_TELL:
            self._tell(unit, why)
        self._wake.set()

    def _take(self, name: str, snap: "Snapshot") -> None:
        now = self.clock.now_ms()
        unit = self._units.get(name)
        if unit is not None:
            unit.turn.good(now)
            if unit.turn.told:
                log.info("%s: is heard again", name)
                unit.turn.told = ""
        self._good_ms = now
        self._tries = 0
        self.deliver(name, snap)

    async def _let_go(self, unit: BleUnit) -> None:
        """Its visit is over: another one waits."""
        await self._stop(unit)
        unit.turn.let_go(self.clock.now_ms())
        heard = self._heard(unit)
        if heard is not None:
            heard.heard_s = time.monotonic()

    # ---- trouble

    def _tell(self, unit: BleUnit, text: str) -> None:
        """Once per change."""
        if unit.turn.told != text:
            unit.turn.told = text
            log.warning("%s: %s", unit.turn.name, text)

    async def _reset(self, now_ms: int, why: str) -> None:
        if now_ms - self._reset_ms < RESET_EVERY_MS:
            return
        self._reset_ms = now_ms
        self._tries = 0
        self.resets += 1
        log.warning("%s: %s, %s is switched off and on", self.link.name, why, self._adapter)
        trouble = await ble_reset.reset(self._adapter)
        if trouble is not None:
            log.error("%s: %s could not be reset: %s", self.link.name, self._adapter, trouble)

    # ---- the end

    def _end(self, unit: BleUnit) -> None:
        task = asyncio.get_running_loop().create_task(self._stop(unit))
        self._ending.add(task)
        task.add_done_callback(self._ending.discard)

    async def _stop(self, unit: BleUnit) -> None:
        session, unit.session = unit.session, None
        unit.connection = None
        await end(session)
        unit.turn.is_up = False

    async def _end_all(self) -> None:
        stops = [asyncio.ensure_future(self._stop(unit)) for unit in self._units.values()]
        stops += list(self._ending)
        if stops:
            await asyncio.wait(stops, timeout=_END_S)
