"""The responder on a real pty, asked by pymodbus and by hand."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import select
import time
import tty
from collections.abc import AsyncIterator, Sequence

import pytest
from pymodbus.client import ModbusSerialClient

from tests.downstream.batteries import healthy
from tests.downstream.far_end import Row, ask, ask_who, sealed, signed
from vbms.aggregate.virtual import VirtualBattery
from vbms.clock import MonotonicClock
from vbms.downstream.deye_rs485 import Codec
from vbms.links.serial_line import SerialLine
from vbms.loops.responder import Responder


class Inverter:
    """The other end of the pty, blocking: to be used in a thread."""

    def __init__(self, fd: int):
        self.fd = fd

    def hear(self, quiet_s: float) -> bytes:
        """All that comes until it has been quiet for so long."""
        heard = b""
        while select.select([self.fd], [], [], quiet_s)[0]:
            heard += os.read(self.fd, 4096)
        return heard

    def exchange(self, *pieces: bytes | float, answered: bool = True) -> bytes:
        """Send pieces with pauses between; what is answered."""
        for piece in pieces:
            if isinstance(piece, bytes):
                os.write(self.fd, piece)
            else:
                time.sleep(piece)
        if answered:  # a busy machine may take its time
            select.select([self.fd], [], [], 2)
        return self.hear(0.1)


@contextlib.asynccontextmanager
async def running(
    codecs: Sequence[Codec], battery: VirtualBattery | None, turnaround_us: int = 4000
) -> AsyncIterator[tuple[Responder, Inverter]]:
    """A responder on a serial line, which is one end of a pty, and an inverter at the other."""
    master, slave = os.openpty()
    tty.setraw(master)
    line = SerialLine("inv", os.ttyname(slave), 9600)
    await line.open()
    log = logging.getLogger("test.responder")
    responder = Responder(line, MonotonicClock(), codecs, turnaround_us, log)
    responder.publish([(codec, battery) for codec in codecs])
    task = asyncio.create_task(responder.run())
    try:
        yield responder, Inverter(master)
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task
        line.close()
        os.close(master)
        os.close(slave)


@pytest.mark.parametrize("turnaround_us", [0, 4000])
async def test_pymodbus_reads_address_0_and_3(turnaround_us: int) -> None:
    """An independent master: 23 input registers, through its own framing and CRC."""
    master, slave = os.openpty()  # a pty for pymodbus, wired to the responder's
    tty.setraw(master)

    def ask_all() -> tuple[list[int], list[int], list[int]]:
        client = ModbusSerialClient(os.ttyname(slave), baudrate=9600, timeout=1, retries=0)
        assert client.connect()
        try:
            first = client.read_input_registers(0x1000, count=23, device_id=0)
            second = client.read_input_registers(0x1000, count=23, device_id=3)
            part = client.read_input_registers(0x1008, count=2, device_id=3)
            return first.registers, second.registers, part.registers
        finally:
            client.close()

    codecs = [Codec(address=0), Codec(address=3)]
    async with running(codecs, None, turnaround_us) as (responder, inverter):
        responder.publish(
            [(codecs[0], healthy(current_ma=-87650)), (codecs[1], healthy(soc_permille=321))]
        )
        loop = asyncio.get_running_loop()
        loop.add_reader(master, lambda: os.write(inverter.fd, os.read(master, 512)))
        loop.add_reader(inverter.fd, lambda: os.write(master, os.read(inverter.fd, 512)))
        try:
            first, second, part = await asyncio.to_thread(ask_all)
        finally:
            loop.remove_reader(master)
            loop.remove_reader(inverter.fd)
            os.close(master)
            os.close(slave)
    assert (first[0], signed(first[1]), first[8], first[12]) == (5312, -8765, 500, 10000)
    assert (second[0], second[1], second[8], second[22]) == (5312, 0, 321, 0)
    assert part == [321, 1000]
    assert responder.counters["answered"] == 3


@pytest.mark.parametrize("turnaround_us", [0, 4000])
@pytest.mark.parametrize(
    ("pieces", "request_"),
    [
        ((ask(0),), ask(0)),
        ((ask_who(0),), ask_who(0)),
        ((b"\xf7\x00\x04\x31", ask(0)), ask(0)),
        ((sealed(b"\x01\x03\x00\x10\x00\x02") + ask(0),), ask(0)),
        ((ask(0)[:5], 0.2, ask(0)), ask(0)),
        ((ask_who(0) + ask(0),), ask(0)),
        ((b"~200246610000FDAB\r" + ask(0),), ask(0)),
        (tuple(x for byte in ask(0) for x in (bytes([byte]), 0.05))[:-1], ask(0)),
        ((ask(0)[:3], 0.016, ask(0)[3:]), ask(0)),
    ],
    ids="plain who noise foreign half two ascii bytewise lumps".split(),
)
async def test_what_the_inverter_hears(
    pieces: Sequence[bytes | float], request_: bytes, turnaround_us: int
) -> None:
    async with running([Codec()], healthy(), turnaround_us) as (_, inverter):
        heard = await asyncio.to_thread(inverter.exchange, *pieces)
        assert heard == Codec().answer(request_, healthy())


async def test_silence_and_back() -> None:
    codec = Codec()
    async with running([codec], None) as (responder, inverter):
        assert await asyncio.to_thread(inverter.exchange, ask(0), ask_who(0), answered=False) == b""
        responder.publish([(codec, healthy())])
        heard = await asyncio.to_thread(inverter.exchange, ask(0))
        assert Row(heard, 0).soc_pm == 500
        responder.publish([(codec, None)])
        assert await asyncio.to_thread(inverter.exchange, ask(0), answered=False) == b""
        assert await asyncio.to_thread(inverter.exchange, ask(4), ask(15), answered=False) == b""


async def test_never_before_the_turnaround_and_never_late() -> None:
    def measure(inverter: Inverter) -> list[float]:
        times = []
        for _ in range(20):
            began = time.monotonic()
            os.write(inverter.fd, ask(0))
            assert select.select([inverter.fd], [], [], 1)[0]
            times.append(time.monotonic() - began)
            inverter.hear(0.01)
        return times

    async with running([Codec()], healthy(), 8000) as (_, inverter):
        times = await asyncio.to_thread(measure, inverter)
    assert min(times) >= 0.008
    assert sorted(times)[10] < 0.1


async def test_an_answer_is_of_one_moment() -> None:
    """Values change a thousand times a second while the inverter asks: never a mixture."""

    def moment(n: int) -> VirtualBattery:
        return healthy(
            voltage_mv=10 * n, soc_permille=n, cell_max_mv=n, cell_min_mv=n, cycles_count=n
        )

    def poll(inverter: Inverter) -> list[list[int]]:
        rows = []
        for _ in range(150):
            os.write(inverter.fd, ask(0))
            heard = b""
            while len(heard) < 51:
                assert select.select([inverter.fd], [], [], 1)[0]
                heard += os.read(inverter.fd, 100)
            rows.append(Row(heard, 0).words)
        return rows

    codec = Codec()
    async with running([codec], moment(1), 1000) as (responder, inverter):
        polling = asyncio.create_task(asyncio.to_thread(poll, inverter))
        n = 1
        while not polling.done():
            n = n % 1000 + 1
            responder.publish([(codec, moment(n))])
            await asyncio.sleep(0.001)
        rows = await polling
    for w in rows:
        assert w[0] == w[8] == w[11] == w[13] == w[14]
    assert len({w[0] for w in rows}) > 50
