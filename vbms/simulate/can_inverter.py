"""A CAN inverter: speaks like the real ones of its kind, checks what it is told, and obeys.

It is a node of a simulated wire, or plays through a serial adapter (slcan) at a path. What breaks a
rule of its protocol's page becomes a violation. With a world it is the inverter there: it charges
and discharges as it is allowed, and nothing once the battery has been silent for too long.

What it may do wrong (`habits`): heartbeats late by 3.5 s or 6 s, short, with 29 bits, with a clock
in them, none at all; a request to switch off (LuxPower's 0x300); a flood of frames.
"""

import asyncio
import contextlib
import logging
import time
from collections import Counter
from collections.abc import Collection

from vbms.errors import LinkError
from vbms.simulate.can_checks import (
    AFTER_356,
    AFTER_SET,
    CHECKS,
    EACH_SECOND,
    NEVER,
    STYLES,
    Told,
    check_set,
)
from vbms.simulate.can_wire import CanFrame, HostPort, Wire
from vbms.simulate.charger import STEP_S, Allowed, Charger
from vbms.simulate.world import World

log = logging.getLogger(__name__)

COLUMNS = ("U", "I", "T", "SOC", "charge to", "charge", "discharge", "bits")
HABITS = ("late", "later", "stopped", "short", "29bit", "clock", "shutdown", "flood")
_DELAY_S = {"late": 3.5, "later": 6.0}
_ANSWER_S = 0.2  # in which a request is answered
_SIGN_S = 8.0  # of a current that flows the other way than told
_FLOW_A = 3.0
_FLOOD = 300  # frames a tenth of a second
_IDENTITY = (0x250, 0x290, 0x2D0, 0x3D0)
_KEPT = 1000


class CanInverter:
    """One inverter. `told` is what it understood, `broken` counts violations by rule."""

    def __init__(
        self,
        kind: str,
        *,
        wire: Wire | None = None,
        port: str | None = None,
        world: World | None = None,
        habits: Collection[str] = (),
    ) -> None:
        """On a wire, or at a port. KeyError for a kind that is none of STYLES."""
        self.kind = kind
        self.style = STYLES[kind]
        self.wire = wire
        self.port = port
        self.world = world
        self.habits = set(habits)
        self.told = Told()
        self.charger = Charger()
        self.violations: list[tuple[float, str, str]] = []
        self.broken: Counter[str] = Counter()
        self.frames = 0
        self.beats = 0
        self.lost = False
        self.lost_count = 0
        self._host: HostPort | None = None
        self._check = CHECKS[self.style.family]
        self._began_s = time.monotonic()
        self._last_s: float | None = None
        self._first_s = 0.0  # of the frames since the last silence
        self._set: set[int] = set()
        self._missing: set[int] = set()
        self._wrong_way_s = 0.0
        self._asked_s = -1.0
        self._answers = 0
        self._wanted = 0
        self._greeted = False
        self._identity: Counter[int] = Counter()

    # ---- for people

    def table(self) -> list[tuple[str, ...]]:
        """One row under COLUMNS."""
        told = self.told

        def shown(value: float | None, form: str) -> str:
            return "-" if value is None or self.lost else form % value

        return [
            (
                shown(told.voltage_v, "%.2fV"),
                shown(told.current_a, "%.1fA"),
                shown(told.temp_c if told.temp_c is not None else told.temp_max_c, "%.1fC"),
                shown(told.soc_percent, "%.0f%%"),
                shown(told.charge_v, "%.1fV"),
                shown(told.charge_a, "%.1fA"),
                shown(told.discharge_a, "%.1fA"),
                f"{told.alarm:X}/{told.protection:X}",
            )
        ]

    def summary(self) -> str:
        """One line for the foot of the table."""
        alarm = "battery communication lost" if self.lost else "no alarm"
        return f"{self.frames} frames, {self.broken.total()} violations, {alarm}"

    def allowed(self) -> Allowed:
        told = self.told
        if self.lost or self._last_s is None or told.charge_v is None:
            return Allowed()
        return Allowed(
            charge_a=0.0 if told.may_charge is False else told.charge_a or 0.0,
            discharge_a=0.0 if told.may_discharge is False else told.discharge_a or 0.0,
            charge_v=told.charge_v,
            discharge_v=told.discharge_v or 0.0,
        )

    # ---- running

    async def run(self, seconds: float = 0) -> None:
        """For so long, 0: for ever. LinkError when the port is missing or gone."""
        if self.port is not None:
            self._host = HostPort(self.port, self.hear)
        elif self.wire is not None:
            self.wire.nodes.append(self)
        self._began_s = time.monotonic()
        tasks = [asyncio.create_task(self._speak()), asyncio.create_task(self._watch_for_ever())]
        if self._host is not None:
            tasks.append(asyncio.create_task(self._host.wait()))
        try:
            done, _ = await asyncio.wait(
                tasks, timeout=seconds or None, return_when=asyncio.FIRST_COMPLETED
            )
            for task in done:
                task.result()
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            if self.world is not None:
                self.charger.stop(self.world)
            if self._host is not None:
                self._host.close()
                self._host = None
            elif self.wire is not None:
                self.wire.nodes.remove(self)

    def listens(self, bitrate: int) -> bool:
        return bitrate == 500_000

    def send(self, can_id: int, data: bytes, extended: bool = False) -> None:
        frame = CanFrame(can_id, data, extended)
        if self._host is not None:
            self._host.send(frame)
        elif self.wire is not None:
            self.wire.send(self, frame)

    async def _speak(self) -> None:
        second = 0
        while True:
            if self.style.family == "hv":
                self._ask(second)
            elif self.style.family == "byd":
                self._greet(second)
            elif self.style.heartbeat == EACH_SECOND:
                self._beat()
            if self.kind == "sma_can":
                self.send(0x306, bytes(8))
            if "shutdown" in self.habits and second % 5 == 0:
                self.send(0x300, b"\x01\0\0\0\0\0\0\0")
            for _ in range(10):
                if "flood" in self.habits:
                    for at in range(_FLOOD):
                        self.send(0x600 + at % 16, bytes(8))
                await asyncio.sleep(0.1)
            second += 1

    def _beat(self) -> None:
        """0x305, in whatever way this inverter sends it."""
        if "stopped" in self.habits or self.style.heartbeat == NEVER:
            return
        delay_s = max((_DELAY_S.get(habit, 0.0) for habit in self.habits), default=0.0)
        if delay_s:
            asyncio.get_running_loop().call_later(delay_s, self._send_beat)
        else:
            self._send_beat()

    def _send_beat(self) -> None:
        data = bytes(8)
        if "short" in self.habits:
            data = bytes(2)
        elif "clock" in self.habits:
            now = time.localtime()
            data = bytes(
                (now.tm_sec, now.tm_min, now.tm_hour, now.tm_mday, now.tm_mon, now.tm_year - 2000)
            ) + bytes(2)
        self.beats += 1
        self.send(0x305, data, "29bit" in self.habits)

    def _ask(self, second: int) -> None:
        """High voltage: values each second, who is there at start and every minute."""
        self._judge_answers()
        kind = 0x02 if second % 60 == 0 else 0x00
        self._asked_s = time.monotonic()
        self._answers = 0
        self._wanted = 4 if kind else 9
        self.beats += 1
        self.send(0x4200, bytes((kind,)) + bytes(7), True)

    def _greet(self, second: int) -> None:
        self._greeted = True
        if second == 0:
            self.send(0x151, b"\x01" + bytes(7))
        elif second % 5 == 1:
            self.send(0x151, b"\x00vbms-si")
        if second % 2 == 0:
            for can_id in (0x091, 0x0D1, 0x111, 0x191):
                self.send(can_id, bytes(8))
            self.beats += 1

    # ---- hearing

    def hear(self, frame: CanFrame) -> None:
        now_s = time.monotonic()
        told, style, can_id = self.told, self.style, frame.can_id
        self.frames += 1
        if self._last_s is None or now_s - self._last_s > style.most_s:
            self._first_s = now_s
            self._missing.clear()
            told.seen.clear()
        self._last_s = now_s
        if frame.extended != (style.family == "hv"):
            self._break("bits", f"{can_id:X} with {29 if frame.extended else 11} bits")
        if style.family == "hv":
            self._answers += 1
            if now_s - self._asked_s > _ANSWER_S:
                self._break("unsolicited", f"{can_id:04X} was not asked for")
        elif style.family == "byd":
            self._hear_byd(can_id)
        before_s = told.seen.get(can_id)
        if before_s is not None and now_s - before_s < style.least_s and can_id != 0x3D0:
            self._break("fast", f"{can_id:03X} twice in {(now_s - before_s) * 1000:.0f} ms")
        told.seen[can_id] = now_s
        for kind, text in self._check(style, told, can_id, frame.data):
            self._break(kind, text)
        if style.family == "pylontech":
            self._hear_pylontech(can_id)

    def _hear_pylontech(self, can_id: int) -> None:
        if can_id in self._set:  # the next set has begun
            self._set.clear()
        self._set.add(can_id)
        complete = self._set.issuperset(self.style.needs)
        if complete and can_id in self.style.needs:
            for kind, text in check_set(self.style, self.told):
                self._break(kind, text)
            if self.style.heartbeat == AFTER_SET:
                self._beat()
        if can_id == 0x356 and self.style.heartbeat == AFTER_356:
            self._beat()

    def _hear_byd(self, can_id: int) -> None:
        if not self._greeted:
            self._break("unsolicited", f"{can_id:03X} before the greeting")
        if can_id in _IDENTITY:
            self._identity[can_id] += 1
        elif can_id == 0x110 and 0x110 not in self.told.seen and self.frames < 12:
            if self._identity.total() < 7:
                self._break("identity", f"only {self._identity.total()} frames say who it is")

    def _judge_answers(self) -> None:
        if self._asked_s >= 0 and 0 < self._answers < self._wanted:
            self._break("incomplete", f"{self._answers} of {self._wanted} answers")

    # ---- watching and driving

    async def _watch_for_ever(self) -> None:
        while True:
            self._watch(time.monotonic())
            if self.world is not None:
                self.charger.step(self.world, self.allowed())
            await asyncio.sleep(STEP_S)

    def _watch(self, now_s: float) -> None:
        since_s = self._began_s if self._last_s is None else self._last_s
        lost = now_s - since_s > self.style.lost_s
        for can_id in (0x351, 0x355) if self.kind == "sma_can" else ():
            seen_s = self.told.seen.get(can_id, self._began_s)
            lost = lost or now_s - seen_s > self.style.lost_s
        if lost and not self.lost:
            self.lost_count += 1
            log.error("%s: the battery's communication is lost", self.kind)
        elif self.lost and not lost:
            log.info("%s: the battery is there again", self.kind)
        self.lost = lost
        speaks = self._last_s is not None and now_s - self._last_s < self.style.most_s / 2
        if speaks and now_s - self._first_s > 2 * self.style.most_s:
            for can_id in self.style.needs:
                gap_s = now_s - self.told.seen.get(can_id, self._first_s)
                if gap_s <= self.style.most_s:
                    self._missing.discard(can_id)
                elif can_id not in self._missing:
                    self._missing.add(can_id)
                    self._break("missing", f"{can_id:03X} for {gap_s:.1f} s")
        self._watch_sign()

    def _watch_sign(self) -> None:
        """A current that is told the other way than it flows, for longer than anything is late."""
        told_a = self.told.current_a
        real_a = 0.0 if self.world is None else self.world.current_a
        if told_a is None or self.lost or told_a * real_a >= 0 or abs(real_a) < _FLOW_A:
            self._wrong_way_s = 0.0
            return
        if abs(told_a) > _FLOW_A:
            self._wrong_way_s += STEP_S
        if self._wrong_way_s == _SIGN_S:
            self._break("sign", f"{told_a} A are told while {real_a:.1f} A flow")

    def _break(self, kind: str, text: str) -> None:
        first = not self.broken[kind]
        self.broken[kind] += 1
        log.log(logging.WARNING if first else logging.DEBUG, "%s: %s: %s", self.kind, kind, text)
        if len(self.violations) < _KEPT:
            self.violations.append((time.monotonic(), kind, text))


async def play(inverter: CanInverter, seconds: float = 0) -> None:
    """Run it; a port that goes is the end, said in the log."""
    with contextlib.suppress(asyncio.CancelledError):
        try:
            await inverter.run(seconds)
        except LinkError as error:
            log.error("%s: %s", inverter.kind, error)
