"""P1: an idle responder beside a bare asyncio one on a raw file descriptor: latency and CPU.

The bare one does the least a program could: `add_reader`, `os.read`, the CRC, a prepared answer,
`os.write`, all within the callback. Ours is the whole way: serial link, responder, answers published
once a second as in a real bank; turnaround 0. Each runs in its own process on its own pty; one
inverter asks both in turns, block by block, so that whatever else the machine does hits both.
"""

import asyncio
import logging
import os
import select
import statistics
import subprocess
import sys
import time
import tty

from vbms.aggregate.virtual import VirtualBattery
from vbms.clock import MonotonicClock
from vbms.downstream.deye_rs485 import Codec
from vbms.links.serial_line import SerialLine
from vbms.loops.responder import Responder
from vbms.wire.crc import crc16_modbus

LATENCY_BOUND = 1.3
CPU_BOUND = 1.5
BLOCKS = 40
REQUESTS = 100  # a block
_REQUEST = bytes.fromhex("000410000017B515")


def _battery() -> VirtualBattery:
    return VirtualBattery(
        voltage_mv=53120,
        current_ma=12000,
        soc_permille=500,
        soh_permille=1000,
        capacity_mah=280000,
        design_mah=280000,
        remaining_mah=140000,
        cell_max_mv=3322,
        cell_min_mv=3318,
        temp_max_mc=25600,
        temp_min_mc=24400,
        temp_mean_mc=25000,
        charge_limit_ma=100000,
        discharge_limit_ma=100000,
        cvl_mv=55200,
    )


async def _bare(path: str) -> None:
    answer = Codec().answer(_REQUEST, _battery())
    assert answer is not None
    fd = os.open(path, os.O_RDWR | os.O_NOCTTY | os.O_NONBLOCK)
    tty.setraw(fd)
    buffer = b""

    def ready() -> None:
        nonlocal buffer
        buffer += os.read(fd, 256)
        if len(buffer) >= 8:
            if buffer[0] == 0 and buffer[1] == 4 and crc16_modbus(buffer) == 0:
                os.write(fd, answer)
            buffer = b""

    asyncio.get_running_loop().add_reader(fd, ready)
    print("ready", flush=True)
    await asyncio.Event().wait()


async def _ours(path: str) -> None:
    line = SerialLine("inv", path, 9600)
    await line.open()
    codec = Codec()
    responder = Responder(line, MonotonicClock(), [codec], 0, logging.getLogger("p1"))

    async def publish() -> None:
        while True:
            responder.publish([(codec, _battery())])
            await asyncio.sleep(1)

    task = asyncio.create_task(publish())
    print("ready", flush=True)
    await responder.run()
    await task


def _cpu_s(pid: int) -> float:
    """CPU time of another process, to the nanosecond (clock_getcpuclockid)."""
    return time.clock_gettime(~pid << 3 | 2)


class _Server:
    """One responder in a process of its own, and the inverter's end of its pty."""

    def __init__(self, kind: str):
        self.fd, slave = os.openpty()
        tty.setraw(self.fd)
        command = [sys.executable, "-m", "tests.bench.p1", kind, os.ttyname(slave)]
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE)
        assert self.process.stdout is not None
        assert self.process.stdout.readline() == b"ready\n", f"{kind} did not start"
        os.close(slave)
        self.times: list[float] = []
        self.cpu_s = 0.0

    def block(self) -> tuple[float, float]:
        """Ask a hundred times: median latency and CPU of this block, in us a request."""
        times = []
        cpu = _cpu_s(self.process.pid)
        for _ in range(REQUESTS):
            began = time.perf_counter()
            os.write(self.fd, _REQUEST)
            heard = 0
            while heard < 51:
                if not select.select([self.fd], [], [], 2)[0]:
                    raise RuntimeError("no answer within 2 s")
                heard += len(os.read(self.fd, 256))
            times.append(time.perf_counter() - began)
        spent = _cpu_s(self.process.pid) - cpu
        return statistics.median(times) * 1e6, spent / REQUESTS * 1e6

    def close(self) -> None:
        self.process.terminate()
        self.process.wait()
        if self.process.stdout is not None:
            self.process.stdout.close()
        os.close(self.fd)


def run() -> list[tuple[str, float, float, bool, str]]:
    bare, ours = _Server("bare"), _Server("ours")
    try:
        for server in (bare, ours):
            server.block()  # warm up
        rows = []
        for turn in range(BLOCKS):
            if turn & 1:
                second, first = ours.block(), bare.block()
            else:
                first, second = bare.block(), ours.block()
            rows.append((first, second))
    finally:
        bare.close()
        ours.close()
    found = []
    for name, at, bound in (("latency", 0, LATENCY_BOUND), ("cpu", 1, CPU_BOUND)):
        ratio = statistics.median(second[at] / first[at] for first, second in rows)
        theirs = statistics.median(first[at] for first, _ in rows)
        own = statistics.median(second[at] for _, second in rows)
        detail = f"{own:.0f} us a request, bare {theirs:.0f} us"
        found.append((f"P1 {name}", ratio, bound, ratio <= bound, detail))
    return found


if __name__ == "__main__":
    if len(sys.argv) == 3:
        asyncio.run((_bare if sys.argv[1] == "bare" else _ours)(sys.argv[2]))
    else:
        for row in run():
            print(row)
