"""Batteries that are read by registers through pymodbus, one after another on one line.

A poll reads what belongs to each poll, then one slow block that is due, then hands on what all of
it means. A block that has to be asked for first (`queue`) takes seconds: it is begun, looked after
between polls, and delays none of them. Three polls in a row without an answer, and a unit is asked
after 2, 4, 8, 16, then each 30 s.
"""

import logging
from typing import cast

from vbms.config import BatterySettings, LinkSettings
from vbms.errors import FrameError, RefusedError, SilentError
from vbms.lines.battery import BatteryLine, Counted, Deliver
from vbms.links.modbus_client import RTU, TCP, ModbusLink
from vbms.loops.counting import unit_counters
from vbms.metrics import LinkStats
from vbms.options import EACH_POLL, ONCE
from vbms.ports import Clock, Link, RegisterCodec
from vbms.upstream import registry as upstream
from vbms.wire.registers import Queue

log = logging.getLogger("vbms")

MISSES_TO_BACK_OFF = 3
LONGEST_BACK_OFF_MS = 30000
_IDLE_MS = 1000
_READY_EACH_MS = 400  # how often a queue is asked whether it is ready
_GIVE_UP_MS = 10000  # a queue that is not ready by then: not in this round
_BUSY_MS = 30000  # after a refusal


def make_link(settings: LinkSettings) -> Link:
    link = ModbusLink(
        settings.name,
        port=settings.port,
        host=settings.host,
        tcp_port=settings.tcp_port or 502,
        baud=settings.baud,
    )
    return cast(Link, link)  # registers go over it, no loose bytes


def make(link: Link, clock: Clock, deliver: Deliver) -> BatteryLine:
    return RegisterLine(cast(ModbusLink, link), clock, deliver)


class RegisterUnit:
    """One battery: its codec, its times, and what it has said so far."""

    def __init__(self, battery: BatterySettings) -> None:
        driver = upstream.load(battery.protocol)
        self.key = battery.name
        self.codec: RegisterCodec = driver.Codec(**battery.options)
        self.hangs_up: bool = getattr(driver, "HANG_UP", False)
        self.timing = battery.timing
        self.reads = self.codec.reads()
        slots = len(self.reads)
        self.frames: list[bytes | None] = [None] * slots
        self.taken_ms = [0] * slots
        self.next_ms = [0] * slots  # slow blocks: not before
        self.queue: Queue | None = None  # the one that is being waited for
        self.queue_slot = 0
        self.queue_since_ms = 0
        self.queue_next_ms = 0
        self.misses = 0
        self.lost = 0
        self.said = False
        self.due_ms: int | None = None
        self.took_ms = 0
        self.counters = unit_counters()

    def acts_ms(self) -> int:
        """When something is to be done for it."""
        due = self.due_ms or 0
        return min(due, self.queue_next_ms) if self.queue is not None and due else due

    def slow_slot(self, now_ms: int) -> int:
        """The slow block that is due, an empty one first; 0: none."""
        found = 0
        for slot, (every_ms, _, _, _) in enumerate(self.reads):
            if every_ms == EACH_POLL or now_ms < self.next_ms[slot]:
                continue
            if self.queue is not None and self.codec.queue(slot) is not None:
                continue
            empty = self.frames[slot] is None
            if not empty and (every_ms == ONCE or now_ms - self.taken_ms[slot] < every_ms):
                continue
            if not self.codec.wanted(slot, self.frames):
                continue
            if empty:
                return slot
            if not found or self.taken_ms[slot] < self.taken_ms[found]:
                found = slot
        return found

    def drop_old(self, now_ms: int) -> None:
        """Slow blocks three rounds late are nobody's news."""
        for slot, (every_ms, _, _, _) in enumerate(self.reads):
            if every_ms > 0 and now_ms - self.taken_ms[slot] > 3 * every_ms:
                self.frames[slot] = None

    def forget(self) -> None:
        """Who knows what was plugged in meanwhile."""
        self.queue = None
        for slot, (every_ms, _, _, _) in enumerate(self.reads):
            if every_ms != EACH_POLL:
                self.frames[slot] = None
                self.next_ms[slot] = 0


class RegisterLine(BatteryLine):
    """A line with its client and the batteries that are read through it."""

    def __init__(self, link: ModbusLink, clock: Clock, deliver: Deliver) -> None:
        super().__init__(cast(Link, link), clock, deliver)
        self.modbus = link
        self._units: dict[str, RegisterUnit] = {}
        self._quiet_us = 0
        self._refused = 0
        if log.isEnabledFor(logging.DEBUG):
            link.trace = self._trace

    def _trace(self, sent: bool, data: bytes) -> None:
        log.debug("%s: %s %s", self.link.name, ">" if sent else "<", data.hex(" "))

    @property
    def polled(self) -> dict[str, Counted]:
        return dict(self._units)

    def serve(self, batteries: "list[BatterySettings]") -> None:
        self._units = self.stayed(batteries, self._units, RegisterUnit)
        for battery in batteries:
            self._units[battery.name].timing = battery.timing
        framing = framing_of(batteries[0])
        if framing != self.modbus.framing:
            self.modbus.framing = framing
            self.modbus.close()

    def round_ms(self) -> int:
        awake = [u for u in self._units.values() if u.misses < MISSES_TO_BACK_OFF]
        return sum(unit.took_ms for unit in awake)

    def link_stats(self, now_ms: int) -> LinkStats:
        stats = self.modbus.stats
        return {
            "frames_in": stats["frames_in"],
            "frames_out": stats["frames_out"],
            "errors": {
                "timeout": stats["timeout"],
                "bad_frame": stats["bad_frame"],
                "refused": self._refused,
            },
            "busy_us": stats["busy_us"],
            "up_us": (now_ms - self.since_ms) * 1000,
        }

    async def body(self) -> None:
        for unit in self._units.values():
            unit.forget()
        while True:
            units = list(self._units.values())
            unit = min(units, key=RegisterUnit.acts_ms)
            now = self.clock.now_ms()
            if unit.acts_ms() > now:
                await self.clock.sleep_ms(min(_IDLE_MS, unit.acts_ms() - now))
                continue
            if not self.modbus.connected:
                await self.modbus.open()
            if unit.due_ms is None or unit.due_ms <= now:
                await self._poll(unit, now)
                unit.took_ms = self.clock.now_ms() - now
            else:
                await self._attend(unit)
            if unit.hangs_up and unit.queue is None:
                self.modbus.close()

    async def _poll(self, unit: RegisterUnit, now_ms: int) -> None:
        due_ms = now_ms if unit.due_ms is None else unit.due_ms
        unit.due_ms = max(due_ms + unit.timing.poll_ms, now_ms + 1)
        unit.counters["polls"] += 1
        live: dict[int, bytes] = {}
        try:
            for slot, (every_ms, function, start, count) in enumerate(unit.reads):
                if every_ms == EACH_POLL:
                    live[slot] = await self._read(unit, function, start, count)
        except SilentError:
            unit.counters["timeouts"] += 1
            self._missed(unit, now_ms, "no answer: is it on, is its address right?")
            return
        except FrameError as error:
            unit.counters["bad_frames"] += 1
            self._missed(unit, now_ms, "unreadable: %s" % error)
            return
        except RefusedError as error:
            self._count_refusal(unit)
            self._lost(unit, "refuses: %s" % error)
            unit.misses = 0
            return
        unit.misses = 0
        for slot, frame in live.items():
            unit.frames[slot] = frame
        unit.drop_old(now_ms)
        await self._slow(unit, now_ms)
        if unit.key not in self._units:
            return
        try:
            # The first block of a poll is its oldest, so that is when it was.
            snap = unit.codec.decode(unit.frames, now_ms)
        except RefusedError as error:
            self._count_refusal(unit)
            self._lost(unit, "refuses: %s" % error)
            return
        except FrameError as error:
            unit.counters["bad_frames"] += 1
            self.modbus.stats["bad_frame"] += 1
            unit.forget()
            self._lost(unit, "unreadable: %s" % error)
            return
        if unit.said:
            log.info("%s: answers well, after %d polls without", unit.key, unit.lost)
            unit.said = False
        unit.lost = 0
        self.deliver(unit.key, snap)

    async def _slow(self, unit: RegisterUnit, now_ms: int) -> None:
        """One slow block, or the beginning of a queue; no answer to it spoils no poll."""
        slot = unit.slow_slot(now_ms)
        if not slot:
            return
        every_ms, function, start, count = unit.reads[slot]
        unit.next_ms[slot] = now_ms + max(every_ms, MISSES_TO_BACK_OFF * unit.timing.poll_ms, 1000)
        queue = unit.codec.queue(slot)
        try:
            if queue is None:
                unit.frames[slot] = await self._read(unit, function, start, count, slow=True)
                unit.taken_ms[slot] = now_ms
                return
            await self._gap(unit)
            await self.modbus.write(
                unit.codec.address,
                queue.write_at,
                queue.write_values,
                unit.timing.slow_timeout_ms,
            )
            unit.queue, unit.queue_slot, unit.queue_since_ms = queue, slot, now_ms
            unit.queue_next_ms = now_ms + _READY_EACH_MS
        except (SilentError, FrameError):
            unit.counters["bad_frames"] += 1
            self._reset()
        except RefusedError:
            self._count_refusal(unit)
            unit.next_ms[slot] = now_ms + _BUSY_MS

    async def _attend(self, unit: RegisterUnit) -> None:
        """A queue that was begun: is it ready, and what is in it?"""
        queue, slot = unit.queue, unit.queue_slot
        assert queue is not None
        now = self.clock.now_ms()
        unit.queue_next_ms = now + _READY_EACH_MS
        _, function, start, count = unit.reads[slot]
        try:
            word = await self._read(unit, function, queue.ready_at, 1, slow=True)
            if int.from_bytes(word, "big") != queue.ready_value:
                if now - unit.queue_since_ms > _GIVE_UP_MS:
                    unit.queue = None
                return
            blocks = []
            for _ in range(queue.blocks):
                part = count // queue.blocks
                blocks.append(await self._read(unit, function, start, part, slow=True))
            unit.queue = None
            if all(int.from_bytes(block[:2], "big") == queue.marker for block in blocks):
                unit.frames[slot] = b"".join(blocks)
                unit.taken_ms[slot] = now
            else:
                unit.counters["bad_frames"] += 1
        except (SilentError, FrameError):
            unit.counters["bad_frames"] += 1
            unit.queue = None
            self._reset()
        except RefusedError:
            self._count_refusal(unit)
            unit.queue = None
            unit.next_ms[slot] = now + _BUSY_MS

    async def _read(
        self, unit: RegisterUnit, function: int, start: int, count: int, slow: bool = False
    ) -> bytes:
        timing = unit.timing
        timeout_ms = timing.slow_timeout_ms if slow else timing.reply_timeout_ms
        await self._gap(unit)
        try:
            return await self.modbus.read(unit.codec.address, function, start, count, timeout_ms)
        finally:
            self._quiet_us = self.clock.now_us()

    async def _gap(self, unit: RegisterUnit) -> None:
        left = self._quiet_us + unit.timing.gap_us - self.clock.now_us()
        if left > 0:
            await self.clock.sleep_us(left)

    def _missed(self, unit: RegisterUnit, now_ms: int, why: str) -> None:
        unit.misses += 1
        over = unit.misses - MISSES_TO_BACK_OFF
        if over >= 0:
            unit.due_ms = now_ms + min(2000 << min(over, 4), LONGEST_BACK_OFF_MS)
        if not over:
            unit.forget()
        self._reset()
        self._lost(unit, why)

    def _reset(self) -> None:
        """RTU has no numbers: what comes late over TCP must not answer the next request."""
        if self.modbus.framing == RTU and self.modbus.host is not None:
            self.modbus.close()

    def _count_refusal(self, unit: RegisterUnit) -> None:
        unit.counters["refused"] += 1
        self._refused += 1

    def _lost(self, unit: RegisterUnit, why: str) -> None:
        unit.lost += 1
        if unit.lost >= MISSES_TO_BACK_OFF and not unit.said:
            unit.said = True
            log.warning("%s: %s", unit.key, why)


def framing_of(battery: BatterySettings) -> str:
    """How frames stand on the battery's line: its driver says, or its profile."""
    said = getattr(upstream.load(battery.protocol), "FRAMING", None) or battery.options.get(
        "framing"
    )
    return RTU if said == RTU else TCP
