"""A DEYE inverter on its battery RS485 port, 9600 8N1: asks like the real one, checks, obeys.

It polls addresses 0..14: 0x11 (who are you) at start, 0x04 for the 23 registers from 0x1000 in
every round. What it reads becomes the rows of its Li-BMS page; what breaks a rule of the DEYE RS485
page (section 12, "What an inverter simulator must send and check") becomes a violation. With a
world it also is the inverter there: it charges and discharges as it is allowed.
"""

import asyncio
import contextlib
import logging
import os
import time
from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import dataclass

from vbms.errors import LinkError
from vbms.simulate import deye_checks as checks
from vbms.simulate.deye_checks import COLUMNS, Row, name_request, read_request
from vbms.simulate.deye_wrong import WRONG
from vbms.simulate.tty_port import open_tty
from vbms.simulate.world import World

__all__ = ["ADDRESSES", "COLUMNS", "Allowed", "Deye", "Row", "Violation"]

log = logging.getLogger(__name__)

ADDRESSES = range(15)

_LATEST_S = 0.100
_BYTE_GAP_S = 0.050
_ABSENT_AFTER = 3  # rounds without an answer
_KEPT_VIOLATIONS = 1000

_DRIVE_S = 0.5
_RAMP_A_PER_S = 40.0
_OWN_STOP_SOC = 10.0  # the inverter's own settings stop a discharge here, whatever the battery says
_OWN_STOP_V_PER_CELL = 2.9


@dataclass(frozen=True, slots=True)
class Violation:
    """A rule that was broken: when (monotonic), by which address (-1: nobody's), which, how."""

    at_s: float
    address: int
    kind: str
    text: str


@dataclass(frozen=True, slots=True)
class Allowed:
    """What the batteries let the inverter do at the moment."""

    charge_a: float
    charge_v: float
    may_discharge: bool


class Deye:
    """Polls over `port`: a path, or a descriptor that is open, raw and non-blocking.

    `wrong` names bad requests to mix in (deye_wrong.WRONG), one after each round. `expect`: the
    addresses that must answer, all others must not (None: whoever answers). `wire=False`: a bare
    pty, whose bytes take no time.
    """

    def __init__(
        self,
        port: str | int,
        *,
        baud: int = 9600,
        addresses: Sequence[int] = ADDRESSES,
        round_s: float = 3.0,
        timeout_s: float = 0.2,
        pause_s: float = 0.020,
        f58_s: float = 30.0,
        earliest_s: float | None = None,
        cells: int = 16,
        wire: bool = True,
        wrong: Collection[str] = (),
        expect: Collection[int] | None = None,
        world: World | None = None,
    ) -> None:
        self.port = port
        self.baud = baud
        self.addresses = addresses
        self.round_s = round_s
        self.timeout_s = timeout_s
        self.pause_s = pause_s
        self.f58_s = f58_s
        self.byte_s = 10 / baud if wire else 0.0
        # "At least 3.5 characters"; a battery set to answer at once is asked with earliest_s=0.
        self.earliest_s = 3.5 * self.byte_s if earliest_s is None else earliest_s
        self.cells = cells
        self.wrong = tuple(wrong)
        self.expect = expect
        self.world = world
        self.mute = False  # stop asking: what an inverter that is switched off does
        self.rows: dict[int, Row] = {}
        self.names: dict[int, tuple[str, str]] = {}  # address -> model, serial
        self.violations: list[Violation] = []
        self.broken: Counter[str] = Counter()  # violations by kind
        self.rounds = self.requests = self.answers = 0
        self.f58 = False
        self.f58_count = 0
        self.wish_a = 0.0  # what the house would like
        self.current_a = 0.0  # what the inverter puts into the batteries
        self._fd = -1
        self._gone: str | None = None
        self._buffer = bytearray()
        self._first_s = self._last_s = 0.0  # of the bytes in the buffer
        self._woken = asyncio.Event()
        self._missed: Counter[int] = Counter()
        self._here: set[int] = set()
        self._heard_s: float | None = None  # the last good answer of anybody
        self._wrong_turn = 0

    # ---- for people

    def table(self) -> list[tuple[str, ...]]:
        """The Li-BMS page under COLUMNS; an address that does not answer is all zero."""
        return [
            self.rows[address].columns()
            if address in self._here
            else (f"{address:02d}", *checks.EMPTY)
            for address in self.addresses
        ]

    def summary(self) -> str:
        """One line for the foot of the table."""
        alarm = "F58 BMS communication fault" if self.f58 else "no alarm"
        return (
            f"round {self.rounds}: {len(self._here)} of {len(self.addresses)} addresses answer, "
            f"{self.answers} answers, {self.broken.total()} violations, {alarm}"
        )

    def allowed(self) -> Allowed:
        """What the rows of those who answer add up to; nothing while nobody does."""
        rows = [self.rows[address] for address in self._here]
        if self.f58 or not rows:
            return Allowed(0.0, 0.0, False)
        return Allowed(
            sum(row.charge_limit_a for row in rows if row.status & checks.MAY_CHARGE),
            min(row.charge_voltage_v for row in rows),
            any(
                row.status & checks.MAY_DISCHARGE
                and not row.protections & checks.DISCHARGE_PROTECTIONS
                and row.soc_percent > _OWN_STOP_SOC
                for row in rows
            ),
        )

    # ---- asking

    async def run(self, rounds: int = 0) -> None:
        """Poll for this many rounds, 0: for ever. LinkError when the port is missing or gone."""
        loop = asyncio.get_running_loop()
        self._fd = self.port if isinstance(self.port, int) else open_tty(self.port, self.baud)
        self._gone = None
        if self._heard_s is None:
            self._heard_s = time.monotonic()
        loop.add_reader(self._fd, self._fetch)
        driver = loop.create_task(self._drive()) if self.world is not None else None
        last = self.rounds + rounds
        try:
            while rounds == 0 or self.rounds < last:
                began_s = time.monotonic()
                if not self.mute:
                    await self._round()
                    self.rounds += 1
                await self._quiet(max(self.pause_s, began_s + self.round_s - time.monotonic()))
                self._watch()
        finally:
            loop.remove_reader(self._fd)
            if driver is not None:
                driver.cancel()
            if self.world is not None:
                self.world.demand_a = self.current_a = 0.0
            if not isinstance(self.port, int):
                os.close(self._fd)
            self._fd = -1

    async def _round(self) -> None:
        for address in self.addresses:
            if address not in self.names and (self.rounds == 0 or address in self._here):
                await self._identify(address)
            await self._poll(address)
            self._watch()
        total_a = sum(self.rows[address].charge_limit_a for address in self._here)
        if total_a > checks.LIMITS_SUM_A + 0.005:
            self._break(-1, "sum", f"charge limits add up to {total_a:.2f} A")
        if self.wrong:
            await self.ask_wrongly(self.wrong[self._wrong_turn % len(self.wrong)])
            self._wrong_turn += 1

    async def _identify(self, address: int) -> None:
        request = name_request(address)
        answer = await self.exchange(request)
        if answer and self._is_fine(request, answer):
            name = checks.check_name(answer)
            if name is None:
                self._break(address, "identity", f"no model*sw*hw*serial* in {answer.hex()}")
            else:
                self.names[address] = name

    async def _poll(self, address: int) -> None:
        request = read_request(address)
        answer = await self.exchange(request)
        if not answer:
            self._miss(address)
            return
        if self.expect is not None and address not in self.expect:
            self._break(address, "unexpected", "an address without a battery answers")
        if self._is_fine(request, answer):
            self._enter(answer)

    async def exchange(self, request: bytes) -> bytes:
        """Send; what came back in time (b"": nothing), judged by when it began."""
        self.requests += 1
        sent_s = self._write(request)
        answer = await self._collect(sent_s)
        if answer:
            self.answers += 1
            start_s = self._first_s - sent_s
            if start_s < self.earliest_s:
                self._break(request[0], "early", f"answer after {start_s * 1000:.2f} ms")
            elif start_s > _LATEST_S:
                self._break(request[0], "late", f"answer after {start_s * 1000:.1f} ms")
        await self._quiet(self.pause_s)
        return answer

    async def ask_wrongly(self, name: str) -> None:
        """One of the bad requests and what must follow; what may be answered is for address 0."""
        wrong = WRONG[name]
        sent_s = 0.0
        for pause_s, data in wrong.pieces:
            await asyncio.sleep(pause_s)
            sent_s = self._write(data)
        answer = await self._collect(sent_s)
        if wrong.request is None:
            if answer:
                self._break(answer[0], "answered", f"{name} must meet silence, not {answer.hex()}")
        elif answer:
            if self._is_fine(wrong.request, answer) and len(answer) == 5 + 2 * checks.COUNT:
                self._enter(answer)
        elif wrong.must_answer and 0 in self._here:
            self._break(0, "missing", f"{name}: the good request in it was not answered")
        await self._quiet(max(self.pause_s, wrong.rest_s))

    # ---- judging

    def _is_fine(self, request: bytes, answer: bytes) -> bool:
        findings = checks.check_frame(request, answer)
        for kind, text in findings:
            self._break(request[0], kind, text)
        return not findings

    def _enter(self, answer: bytes) -> None:
        """A good answer becomes the row of its address."""
        row = checks.decode(answer)
        row.seen_s = self._heard_s = time.monotonic()
        row.start_ms = (self._first_s - self._sent_s) * 1000
        for kind, text in checks.check_row(row, self.cells):
            self._break(row.address, kind, text)
        self.rows[row.address] = row
        self._missed[row.address] = 0
        if row.address not in self._here:
            self._here.add(row.address)
            log.info("deye: address %d answers", row.address)

    def _miss(self, address: int) -> None:
        self._missed[address] += 1
        missed = self._missed[address]
        if self.expect is not None and address in self.expect and missed == 2:
            self._break(address, "missing", "no answer in two rounds")
        if missed == _ABSENT_AFTER and address in self._here:
            self._here.discard(address)
            self.names.pop(address, None)
            log.info("deye: address %d stopped answering", address)

    def _watch(self) -> None:
        """F58: lithium mode is selected and no battery is heard."""
        silent = self._heard_s is not None and time.monotonic() - self._heard_s > self.f58_s
        if silent and not self.f58:
            self.f58_count += 1
            log.error("deye: F58 BMS communication fault, nobody answered for %g s", self.f58_s)
        elif self.f58 and not silent:
            log.info("deye: F58 is over")
        self.f58 = silent

    def _break(self, address: int, kind: str, text: str) -> None:
        first = not self.broken[kind]
        self.broken[kind] += 1
        log.log(
            logging.WARNING if first else logging.DEBUG, "deye: %d: %s: %s", address, kind, text
        )
        if len(self.violations) < _KEPT_VIOLATIONS:
            self.violations.append(Violation(time.monotonic(), address, kind, text))

    # ---- bytes

    def _write(self, data: bytes) -> float:
        """Send; returns when the last byte has left on the wire."""
        self._judge_silence()
        try:
            os.write(self._fd, data)
        except OSError as error:
            raise LinkError(f"deye: {self.port}: {error.strerror}") from None
        self._sent_s = time.monotonic() + len(data) * self.byte_s
        return self._sent_s

    def _fetch(self) -> None:
        try:
            data = os.read(self._fd, 4096)
        except BlockingIOError:
            return
        except OSError as error:
            data = b""
            self._gone = error.strerror or str(error)
        now_s = time.monotonic()
        if not data:
            self._gone = self._gone or "closed by the other side"
            asyncio.get_running_loop().remove_reader(self._fd)
        if not self._buffer:
            self._first_s = now_s - len(data) * self.byte_s
        self._buffer += data
        self._last_s = now_s
        self._woken.set()

    async def _collect(self, sent_s: float) -> bytes:
        """An answer: its first byte within the time-out, each next one soon after."""
        deadline_s = sent_s + self.timeout_s
        while True:
            length = checks.answer_length(bytes(self._buffer[:3]))
            if self._buffer:
                deadline_s = self._last_s + _BYTE_GAP_S
            if (length and len(self._buffer) >= length) or time.monotonic() >= deadline_s:
                length = length or len(self._buffer)
                answer = bytes(self._buffer[:length])
                del self._buffer[:length]
                return answer
            await self._wait(deadline_s)

    async def _quiet(self, seconds: float) -> None:
        """A pause in which nobody may speak."""
        until_s = time.monotonic() + seconds
        while time.monotonic() < until_s:
            await self._wait(until_s)
        self._judge_silence()

    async def _wait(self, until_s: float) -> None:
        """Until bytes come or the moment has passed."""
        if self._gone is not None:
            raise LinkError(f"deye: {self.port}: {self._gone}")
        self._woken.clear()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(max(0.0, until_s - time.monotonic())):
                await self._woken.wait()

    def _judge_silence(self) -> None:
        if self._buffer:
            text = bytes(self._buffer[:40]).hex()
            self._buffer.clear()
            self._break(-1, "unsolicited", f"bytes nobody asked for: {text}")

    # ---- charging and discharging

    async def _drive(self) -> None:
        while self.world is not None:
            self._follow(self.world, _DRIVE_S)
            await asyncio.sleep(_DRIVE_S)

    def _follow(self, world: World, dt_s: float) -> None:
        """The house's wish within what is allowed, tapered at the charge voltage, ramped."""
        allowed = self.allowed()
        self.wish_a = world.house.wish_a(world.now_s, world.capacity_ah)
        target_a = self.wish_a
        if target_a > 0:
            target_a = min(target_a, allowed.charge_a)
            above_v = world.bus_v - allowed.charge_v
            if above_v > -0.1:
                # At the wanted voltage the current follows the error, as in any charger's CV phase.
                target_a = min(target_a, max(0.0, self.current_a - 20 * above_v))
        elif not allowed.may_discharge or world.bus_v < self.cells * _OWN_STOP_V_PER_CELL:
            target_a = 0.0
        step_a = _RAMP_A_PER_S * dt_s
        low_a, high_a = self.current_a - step_a, self.current_a + step_a
        if abs(target_a) < abs(self.current_a) and target_a * self.current_a >= 0:
            self.current_a = target_a  # a limit that falls is obeyed at once
        else:
            self.current_a = min(max(target_a, low_a), high_a)
        world.demand_a = self.current_a
