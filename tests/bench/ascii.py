"""How soon an ASCII answer begins: ours beside a bare asyncio timer on a raw file descriptor.

The bare one waits for the carriage return, sets a timer for the same turnaround and writes a prepared
answer. Ours is the whole way: serial link, responder, a bank of five batteries told anew each second,
unit commands encoded when they are asked. Each runs in its own process on its own pty; one inverter
asks both in turns, block by block. Met within 20 ms at p99, or within three times the bare one.
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

from vbms.aggregate.member import Member
from vbms.aggregate.modules import Group, group_of, module_of
from vbms.aggregate.profile import UnitProfile
from vbms.aggregate.snapshot import Snapshot
from vbms.aggregate.virtual import VirtualBattery
from vbms.clock import MonotonicClock
from vbms.downstream.pylontech_rs485 import Codec
from vbms.links.serial_line import SerialLine
from vbms.loops.responder import Responder

BOUND_MS = 20.0
BOUND = 3.0
BLOCKS = 20
TURNAROUND_US = 5000  # the profile's
_REQUESTS = (
    b"~200246610000FDAB\r",
    b"~200246620000FDAA\r",
    b"~200246630000FDA9\r",
    b"~20024642E002FFFD09\r",
    b"~20024692E00202FD2E\r",
)
_ANSWER = b"~20024600D012D7A0B3B003E805DCC0F989\r"
UNITS = 5


def _battery(name: str, mah: int) -> VirtualBattery:
    return VirtualBattery(
        name=name,
        voltage_mv=53120,
        current_ma=12000,
        soc_permille=500,
        soh_permille=1000,
        capacity_mah=mah,
        design_mah=mah,
        remaining_mah=mah // 2,
        cell_max_mv=3322,
        cell_min_mv=3318,
        temp_max_mc=25600,
        temp_min_mc=24400,
        temp_mean_mc=25000,
        charge_limit_ma=100000,
        discharge_limit_ma=100000,
        cvl_mv=55200,
        dvl_mv=46400,
    )


def _bank() -> Group:
    modules = {}
    for slot in range(UNITS):
        unit = Member(UnitProfile(f"unit-{slot}", cells=16))
        unit.take(Snapshot(cells_mv=(3320,) * 16, temps_mc=(25000,) * 4))
        modules[slot] = module_of(_battery(unit.key, 100000), unit)
    return group_of(_battery("bank", 500000), modules, {f"unit-{n}": n for n in range(UNITS)})


async def _bare(path: str) -> None:
    fd = os.open(path, os.O_RDWR | os.O_NOCTTY | os.O_NONBLOCK)
    tty.setraw(fd)
    loop = asyncio.get_running_loop()
    buffer = b""

    def ready() -> None:
        nonlocal buffer
        buffer += os.read(fd, 256)
        if buffer.endswith(b"\r"):
            buffer = b""
            loop.call_later(TURNAROUND_US / 1e6, os.write, fd, _ANSWER)

    loop.add_reader(fd, ready)
    print("ready", flush=True)
    await asyncio.Event().wait()


async def _ours(path: str) -> None:
    line = SerialLine("inv", path, 9600)
    await line.open()
    codec = Codec()
    responder = Responder(
        line, MonotonicClock(), [codec], TURNAROUND_US, logging.getLogger("ascii")
    )

    async def publish() -> None:
        while True:
            responder.publish([(codec, _bank())])
            await asyncio.sleep(1)

    task = asyncio.create_task(publish())
    print("ready", flush=True)
    await responder.run()
    await task


class _Server:
    """One responder in a process of its own, and the inverter's end of its pty."""

    def __init__(self, kind: str):
        self.fd, slave = os.openpty()
        tty.setraw(self.fd)
        command = [sys.executable, "-m", "tests.bench.ascii", kind, os.ttyname(slave)]
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE)
        assert self.process.stdout is not None
        assert self.process.stdout.readline() == b"ready\n", f"{kind} did not start"
        os.close(slave)
        self.times_ms: list[float] = []

    def block(self) -> None:
        """Ask a few times for everything; note when each answer began."""
        for request in _REQUESTS * 4:
            began = time.perf_counter()
            os.write(self.fd, request)
            heard = b""
            first = 0.0
            while not heard.endswith(b"\r"):
                if not select.select([self.fd], [], [], 2)[0]:
                    raise RuntimeError("no answer within 2 s")
                first = first or time.perf_counter()
                heard += os.read(self.fd, 4096)
            self.times_ms.append((first - began) * 1000)

    def p99_ms(self) -> float:
        return statistics.quantiles(self.times_ms, n=100)[98]

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
            server.times_ms.clear()
        for turn in range(BLOCKS):
            for server in (bare, ours) if turn & 1 else (ours, bare):
                server.block()
    finally:
        bare.close()
        ours.close()
    own, other = ours.p99_ms(), bare.p99_ms()
    median = statistics.median(ours.times_ms)
    detail = f"p99 {own:.1f} ms of {TURNAROUND_US / 1000:g} ms turnaround, bare {other:.1f} ms; "
    detail += f"median {median:.1f} ms; within {BOUND_MS:g} ms counts as well"
    ratio = own / other
    return [("RS485 ASCII answer, p99", ratio, BOUND, ratio <= BOUND or own <= BOUND_MS, detail)]


if __name__ == "__main__":
    if len(sys.argv) == 3:
        asyncio.run((_bare if sys.argv[1] == "bare" else _ours)(sys.argv[2]))
    else:
        for row in run():
            print(row)
