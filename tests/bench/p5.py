"""P5: CPU of our client for a poll, beside pymodbus' asyncio client reading as many bytes.

Both ask a far end in a process of its own that answers at once, 8 bytes out and 105 back, back to
back, from request to checked frame. Ours runs the poller's own exchange with a gap of 0; pymodbus
reads 50 input registers, which are unpacked before it hands them over, so ours decodes its frame
too: the comparison errs against us. Interleaved blocks, each side first in turn; the median of the
pairs counts.
"""

import asyncio
import logging
import statistics
import time

from pymodbus.client import AsyncModbusSerialClient

from tests.bench.lines import FarEnd, log
from vbms.clock import MonotonicClock
from vbms.links.serial_line import SerialLine
from vbms.loops.poller import PolledUnit, Poller
from vbms.upstream.byd_pro import Codec

BOUND = 0.7
PAIRS = 9
POLLS = 1000


async def _ours(path: str) -> float:
    link = SerialLine("bench", path, 1_000_000)
    await link.open()
    codec = Codec(address=1)
    unit = PolledUnit("byd-1", codec, 0, 150, 150, 50, 0)
    poller = Poller(link, MonotonicClock(), [unit], lambda key, snap: None, log)
    began = time.process_time()
    for _ in range(POLLS):
        frame = await poller._exchange(unit, 0, 150)
        assert codec.decode((frame,), 0).voltage_mv
    spent = time.process_time() - began
    link.close()
    return spent / POLLS


async def _theirs(path: str) -> float:
    client = AsyncModbusSerialClient(path, baudrate=115200, timeout=0.15, retries=0)
    assert await client.connect()
    began = time.process_time()
    for _ in range(POLLS):
        answer = await client.read_input_registers(0x1000, count=50, device_id=1)
        assert not answer.isError()
    spent = time.process_time() - began
    client.close()
    await asyncio.sleep(0.01)
    return spent / POLLS


def run() -> list[tuple[str, str, str, bool, str]]:
    logging.getLogger("pymodbus").setLevel(logging.CRITICAL)
    far = FarEnd(0)
    try:
        asyncio.run(_ours(far.path))
        asyncio.run(_theirs(far.path))
        pairs = []
        for turn in range(PAIRS):
            first = asyncio.run((_theirs if turn & 1 else _ours)(far.path))
            second = asyncio.run((_ours if turn & 1 else _theirs)(far.path))
            pairs.append((second, first) if turn & 1 else (first, second))
    finally:
        far.close()
    ratio = statistics.median(ours / theirs for ours, theirs in pairs)
    ours = statistics.median(pair[0] for pair in pairs) * 1e6
    theirs = statistics.median(pair[1] for pair in pairs) * 1e6
    detail = f"{ours:.0f} us a poll, pymodbus {theirs:.0f} us"
    return [("P5 client CPU", f"{ratio:.2f}", f"<= {BOUND}", ratio <= BOUND, detail)]
