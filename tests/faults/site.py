"""A whole site for tests: the real program on paced ptys, simulated batteries at one end, a raw
inverter at the other. Times are shortened in the YAML, never in the code."""

from __future__ import annotations

import asyncio
import os
import select
import tempfile
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

from vbms.app import Site
from vbms.config import load_text
from vbms.simulate import byd_pro, jk_payload
from vbms.simulate.byd_pro import BydPro
from vbms.simulate.device import Device
from vbms.simulate.jk_pb import JkPb
from vbms.simulate.line import PacedLine
from vbms.simulate.world import World

READ_0 = bytes.fromhex("000410000017B515")
NAME_0 = bytes.fromhex("0011C1BC")
QUICK = "fresh_s: 1, hold_s: 3, retire_s: 60, poll_s: 0.2"
BYD_VALUES = {
    "cells_v": (3.312,) * 16,
    "current_a": 3.0,
    "temps_c": (21.0, 22.0, 21.0, 23.0),
    "ambient_c": 20.0,
    "soc": 0.60,
    "soh": 0.98,
    "cycles": 100,
}
JK_VALUES = {
    "cells_v": (3.320,) * 16,
    "current_a": 10.0,
    "temps_c": (24.5, 23.0),
    "mosfet_c": 30.0,
    "soc": 0.70,
    "soh": 0.98,
    "full_ah": 196.0,
    "design_ah": 200.0,
    "cycles": 50,
}


def crc16(data: bytes) -> bytes:
    crc = 0xFFFF
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = crc >> 1 ^ 0xA001 if crc & 1 else crc >> 1
    return crc.to_bytes(2, "little")


def read_request(address: int, start: int = 0x1000, count: int = 23) -> bytes:
    body = bytes((address, 4)) + start.to_bytes(2, "big") + count.to_bytes(2, "big")
    return body + crc16(body)


class Plant:
    """Two battery lines, the inverter's line, and the program between them."""

    def __init__(self, byd: int = 3, jk: int = 2, present: str = "bank", extra: str = "") -> None:
        self.world = World(7)
        self._state = tempfile.TemporaryDirectory(prefix="vbms-state-")
        self.devices: dict[str, Device] = {}
        self.lines: dict[str, PacedLine] = {}
        self.inverter = PacedLine(9600, "inv", far=True)
        rows = []
        for kind, count, baud in (("byd", byd, 9600), ("jk", jk, 115200)):
            if not count:
                continue
            line = PacedLine(baud, kind, steady=True)
            self.lines[kind] = line
            for address in range(1, count + 1):
                name = f"{kind}-{address}"
                if kind == "byd":
                    pack = self.world.add(
                        name, "byd_pro", 16, 50.0, 0.6, settings=byd_pro.settings()
                    )
                    pack.pin(**BYD_VALUES)
                    device: Device = BydPro(pack, address)
                    profile = "byd_pro_2_5"
                else:
                    settings = jk_payload.settings()
                    settings.charge_a = 100.0
                    settings.discharge_a = 120.0
                    pack = self.world.add(name, "jk_pb", 16, 200.0, 0.7, settings=settings)
                    pack.pin(**JK_VALUES)
                    device = JkPb(pack, address)
                    profile = "jk_pb"
                self.devices[name] = device
                line.attach(device)
                rows.append(
                    f"  - {{name: {name}, profile: {profile}, link: {kind}, address: {address}, {QUICK}}}"
                )
        links = "\n".join(
            f"  {kind}: {{kind: serial, port: {line.path}, baud: {line.baud}}}"
            for kind, line in self.lines.items()
        )
        self.yaml = f"""
links:
{links}
  inv: {{kind: serial, port: {self.inverter.path}, baud: 9600}}
batteries:
{chr(10).join(rows)}
inverters:
  - {{name: deye, profile: deye_rs485, link: inv, present: {present}, silent_after_s: 2}}
bank: {{steady_s: 0.5, start_s: 4, rise_percent: 100}}
state_dir: {self._state.name}
{extra}
"""
        self.site: Site | None = None
        self._fd = -1
        self._clear_s = 0.0  # when all that was asked has gone over the wire

    async def __aenter__(self) -> Plant:
        for line in self.lines.values():
            await line.start()
        await self.inverter.start()
        self._fd = os.open(self.inverter.far_path, os.O_RDWR | os.O_NOCTTY | os.O_NONBLOCK)
        self.site = Site(load_text(self.yaml, Path("vbms.yaml")))
        await self.site.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self.site is not None
        await self.site.close()
        self._state.cleanup()
        os.close(self._fd)
        self.inverter.close()
        for line in self.lines.values():
            line.close()

    async def ask(self, request: bytes = READ_0, wait_s: float = 0.25) -> bytes:
        """What comes within wait_s, or until a whole answer has come."""
        return await asyncio.to_thread(self._ask, request, wait_s)

    def _ask(self, request: bytes, wait_s: float) -> bytes:
        while select.select([self._fd], [], [], 0)[0]:
            os.read(self._fd, 4096)
        os.write(self._fd, request)
        self._clear_s = max(self._clear_s, time.monotonic()) + len(request) * 10 / 9600
        end = time.monotonic() + wait_s
        heard = b""
        while (left := end - time.monotonic()) > 0:
            if select.select([self._fd], [], [], left)[0]:
                heard += os.read(self._fd, 4096)
                end = time.monotonic() + 1  # what has begun is waited for, on a busy machine too
                if len(heard) > 4 and len(heard) >= heard[2] + 5:
                    break
        return heard

    async def registers(self, address: int = 0, wait_s: float = 1.0) -> list[int] | None:
        """The 23 registers, checked frame and all; None for silence."""
        answer = await self.ask(read_request(address), wait_s)
        if not answer:
            return None
        assert len(answer) == 51 and answer[:3] == bytes((address, 4, 46)), answer.hex()
        assert crc16(answer[:-2]) == answer[-2:]
        return [int.from_bytes(answer[at : at + 2], "big") for at in range(3, 49, 2)]

    async def quiet(self, seconds: float) -> None:
        """Wait until the wire has been silent for so long."""
        await asyncio.sleep(max(0.0, self._clear_s - time.monotonic()) + seconds)

    async def until(self, what: Callable[[], Awaitable[bool]], seconds: float = 10) -> float:
        """Wait for it; how long it took."""
        began = time.monotonic()
        while not await what():
            assert time.monotonic() - began < seconds, "it did not come to pass"
            await asyncio.sleep(0.05)
        return time.monotonic() - began

    async def answered(self) -> bool:
        return await self.registers() is not None
