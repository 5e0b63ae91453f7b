"""A DEYE inverter on its battery RS485 port, 9600 8N1: asks like the real one, checks every answer, obeys.

It polls addresses 0..14: 0x11 (who are you) until answered, 0x04 for the 23 registers from 0x1000 in
every round. What it reads becomes the rows of its Li-BMS page; what breaks the rules of the DEYE
protocol page (section 12, "What an inverter simulator must send and check") becomes a violation.
With a world it also is the inverter there: it charges and discharges as it was allowed.
"""

import asyncio
import logging
import os
import struct
import time
from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import dataclass

from vbms.errors import LinkError
from vbms.simulate.deye_wrong import WRONG, Wrong
from vbms.simulate.house import House
from vbms.simulate.sums import crc_fits, with_crc
from vbms.simulate.tty_port import open_tty
from vbms.simulate.world import World

log = logging.getLogger(__name__)

ADDRESSES = range(15)
FIRST, COUNT = 0x1000, 23
COLUMNS = ("Addr", "Volt", "Curr", "Temp", "SOC", "Energy", "Charge Volt", "Charge Curr", "Fault")

_REGISTERS = struct.Struct(">HhHhhHHHHHHHHHHHhhhHHHH")
_BAUD = 9600
_LATEST_S = 0.100
_BYTE_GAP_S = 0.050
_KEPT_VIOLATIONS = 1000

_CHARGING, _DISCHARGING, _MAY_CHARGE, _MAY_DISCHARGE = 1 << 8, 1 << 9, 1 << 10, 1 << 11
# Bits of 0x1006 that stop a charge (cell and pack over voltage, charge temperature high and low) ...
_CHARGE_PROTECTIONS = 1 << 0 | 1 << 2 | 1 << 6 | 1 << 7
# ... and a discharge (cell and pack under voltage, short circuit, discharge temperature high and low).
_DISCHARGE_PROTECTIONS = 1 << 1 | 1 << 3 | 1 << 4 | 1 << 8 | 1 << 9


@dataclass(slots=True)
class Row:
    """One address as last read, in human units; `seen_s` is when, on the monotonic clock."""

    address: int
    seen_s: float
    start_ms: float  # from the end of the request to the first bit of the answer
    voltage_v: float
    current_a: float
    remaining_ah: float
    temp_c: float
    ambient_c: float
    warnings: int
    protections: int
    status: int
    soc_percent: float
    soh_percent: float
    full_ah: float
    cycles: int
    charge_limit_a: float
    cell_max_v: float
    cell_min_v: float
    temp_max_c: float
    temp_min_c: float
    mosfet_c: float
    charge_voltage_v: float
    design_ah: float

    def columns(self) -> tuple[str, ...]:
        """As the Li-BMS page shows it; faults are warning/protection/fault in hex."""
        return (
            f"{self.address:02d}",
            f"{self.voltage_v:.2f}V",
            f"{self.current_a:.2f}A",
            f"{self.temp_c:.1f}C",
            f"{self.soc_percent:.1f}%",
            f"{self.remaining_ah:.1f}Ah",
            f"{self.charge_voltage_v:.1f}V",
            f"{self.charge_limit_a:.1f}A",
            f"{self.warnings:X}/{self.protections:X}/{self.status & 0xFF:X}",
        )


_EMPTY = ("0.00V", "0.00A", "0.0C", "0.0%", "0.0Ah", "0.0V", "0.0A", "0/0/0")


@dataclass(frozen=True, slots=True)
class Violation:
    """A rule of the protocol page that was broken: when (monotonic), who, which rule, how."""

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

    `wrong` names bad requests to mix in (see deye_wrong.WRONG), one after each round. `expect`: addresses
    that must answer, all others must not (None: whoever answers). `wire` False: the port is a bare pty
    whose bytes take no time.
    """

    def __init__(
        self,
        port: str | int,
        *,
        baud: int = _BAUD,
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
        # 3.5 characters of silence, Modbus' own rule; a battery set to answer at once breaks it.
        self.earliest_s = 3.5 * self.byte_s if earliest_s is None else earliest_s
        self.cells = cells
        self.wrong = tuple(wrong)
        self.expect = expect
        self.world = world
        self.rows: dict[int, Row] = {}
        self.names: dict[int, tuple[str, str]] = {}  # address: model, serial
        self.violations: list[Violation] = []
        self.broken: Counter[str] = Counter()
        self.rounds = 0
        self.requests = 0
        self.answers = 0
        self.f58 = False
        self.f58_count = 0
        self.wish_a = 0.0
        self.heard_s: float | None = None  # the last good answer of anybody
        self._fd = -1
        self._buffer = bytearray()
        self._first_s = 0.0
        self._last_s = 0.0
        self._woken = asyncio.Event()
        self._missed: Counter[int] = Counter()
        self._present: set[int] = set()
        self._started_s = 0.0
        self._gone: str | None = None
        self._wrong_turn = 0
        self._house = House(world.seed if world else 1)
        self._amps = 0.0

    # ---- for people

    def table(self) -> list[tuple[str, ...]]:
        """The Li-BMS page: fifteen rows under COLUMNS; an address that does not answer is all zero."""
        return [
            self.rows[address].columns() if self._is_here(address) else (f"{address:02d}", *_EMPTY)
            for address in self.addresses
        ]

    def summary(self) -> str:
        """One line for the foot of the table."""
        alarm = "F58 BMS communication fault" if self.f58 else "no alarm"
        here = sum(self._is_here(address) for address in self.addresses)
        return (
            f"{here} answering, round {self.rounds}, {self.answers}/{self.requests} answered, "
            f"{sum(self.broken.values())} violations, {alarm}"
        )

    @property
    def current_a(self) -> float:
        """What it puts into the batteries (> 0) or takes out."""
        return self._amps

    # ---- polling

    async def run(self, rounds: int = 0) -> None:
        """Poll for `rounds` rounds, 0: for ever. LinkError when the port is missing or goes away."""
        loop = asyncio.get_running_loop()
        own = isinstance(self.port, str)
        self._fd = open_tty(self.port, self.baud) if isinstance(self.port, str) else self.port
        self._gone = None
        loop.add_reader(self._fd, self._fetch)
        driver = loop.create_task(self._drive()) if self.world is not None else None
        self._started_s = time.monotonic()
        try:
            while rounds == 0 or self.rounds < rounds:
                began_s = time.monotonic()
                await self._round()
                self.rounds += 1
                await self._quiet(max(self.pause_s, began_s + self.round_s - time.monotonic()))
        finally:
            loop.remove_reader(self._fd)
            if driver is not None:
                driver.cancel()
            if self.world is not None:
                self.world.demand_a = 0.0
            if own:
                os.close(self._fd)
            self._fd = -1

    async def _round(self) -> None:
        for address in self.addresses:
            if address not in self.names and (self.rounds == 0 or self._is_here(address)):
                await self._identify(address)
            await self._poll(address)
            self._watch()
        total_a = sum(row.charge_limit_a for row in self.rows.values() if self._is_here(row.address))
        if total_a > 655.345:
            self._break(0, "sum", f"charge limits add up to {total_a:.2f} A, over 655.34 A")
        if self.wrong:
            name = self.wrong[self._wrong_turn % len(self.wrong)]
            self._wrong_turn += 1
            await self.ask_wrongly(name)

    async def _identify(self, address: int) -> None:
        request = with_crc(bytes((address, 0x11)))
        answer = await self.exchange(request)
        if answer and self._check_frame(request, answer):
            name = self._name(address, answer)
            if name is not None:
                self.names[address] = name

    async def _poll(self, address: int) -> None:
        request = read_request(address)
        answer = await self.exchange(request)
        if not answer:
            self._missed[address] += 1
            if self.expect is not None and address in self.expect and self._missed[address] == 2:
                self._break(address, "missing", "no answer in two rounds")
            if self._missed[address] == 3 and address in self._present:
                self._present.discard(address)
                self.names.pop(address, None)
                log.info("deye: address %d stopped answering", address)
            return
        if self.expect is not None and address not in self.expect:
            self._break(address, "unexpected", "an address that has no battery answers")
        if self._check_frame(request, answer) and self._check_read(address, answer):
            self._missed[address] = 0
            if address not in self._present:
                self._present.add(address)
                log.info("deye: address %d answers", address)

    async def exchange(self, request: bytes) -> bytes:
        """Send, and what came back in time (b"": nothing); judges when it started."""
        self._silent_until_now()
        self.requests += 1
        sent_s = self._write(request)
        answer = await self._collect(sent_s, _length_of)
        if answer:
            self.answers += 1
            started_s = self._first_s - sent_s
            if started_s < self.earliest_s:
                self._break(request[0], "early", f"answer after {started_s * 1000:.2f} ms")
            elif started_s > _LATEST_S:
                self._break(request[0], "late", f"answer after {started_s * 1000:.1f} ms")
        await self._quiet(self.pause_s)
        return answer

    async def ask_wrongly(self, name: str) -> None:
        """One of the bad requests, then what the page says must follow; address 0 is the one asked."""
        wrong: Wrong = WRONG[name]
        self._silent_until_now()
        for pause_s, data in wrong.pieces:
            await self._quiet(pause_s, judge=False)
            sent_s = self._write(data)
        answer = await self._collect(sent_s, _length_of)
        if not answer and wrong.must_answer and self._is_here(0):
            self._break(0, "missing", f"{name}: a good request was not answered")
        elif answer and not wrong.may_answer:
            self._break(answer[0], "answered", f"{name}: must be met with silence: {answer.hex()}")
        elif answer and self._check_frame(wrong.answered, answer) and len(answer) == 5 + 2 * COUNT:
            self._check_read(answer[0], answer)
        await self._quiet(max(self.pause_s, wrong.rest_s))

    # ---- bytes

    def _write(self, data: bytes) -> float:
        """Send; returns when the last byte has left on the wire."""
        self._buffer.clear()
        try:
            os.write(self._fd, data)
        except OSError as error:
            raise LinkError(f"deye: {self.port}: {error.strerror}") from None
        return time.monotonic() + len(data) * self.byte_s

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

    async def _wait(self, until_s: float) -> None:
        """Until bytes come or the moment has passed."""
        if self._gone is not None:
            raise LinkError(f"deye: {self.port}: {self._gone}")
        self._woken.clear()
        try:
            async with asyncio.timeout(max(0.0, until_s - time.monotonic())):
                await self._woken.wait()
        except TimeoutError:
            pass

    async def _collect(self, sent_s: float, length: "type[_Length] | object") -> bytes:
        """An answer: its first byte within the time-out, each next one soon after."""
        deadline_s = sent_s + self.timeout_s
        while True:
            expected = _length_of(bytes(self._buffer[:3]))
            if expected and len(self._buffer) >= expected:
                answer = bytes(self._buffer[:expected])
                del self._buffer[:expected]
                return answer
            if self._buffer:
                deadline_s = self._last_s + _BYTE_GAP_S
            if time.monotonic() >= deadline_s:
                answer = bytes(self._buffer)
                self._buffer.clear()
                return answer
            await self._wait(deadline_s)

    async def _quiet(self, seconds: float, judge: bool = True) -> None:
        """A pause in which nobody may speak."""
        until_s = time.monotonic() + seconds
        while time.monotonic() < until_s:
            await self._wait(until_s)
        if judge:
            self._silent_until_now()

    def _silent_until_now(self) -> None:
        if self._buffer:
            self._break(-1, "unsolicited", f"bytes without a request: {self._buffer[:40].hex()}")
            self._buffer.clear()
