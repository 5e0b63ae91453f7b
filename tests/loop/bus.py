"""A wire with simulated devices whose time passes only when somebody waits; its own clock."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from vbms.errors import LinkError
from vbms.simulate.device import Device


class Bus:
    """Devices, and who is plugged in: `written` is what that one said, in microseconds."""

    name = "bus"

    def __init__(self, baud: int, *devices: Device) -> None:
        self.byte_us = 10_000_000 // baud
        self.us = 1_000_000
        self.devices = list(devices)
        # (when, bytes, all of the message once it is over, who says it)
        self.coming: list[tuple[int, bytes, bytes, Device | None]] = []
        self.written: list[tuple[int, bytes]] = []
        self.stop_us = 0
        self.plans: list[tuple[int, Callable[[], None]]] = []
        for device in devices:
            device.byte_s = self.byte_us / 1e6
            if device.wake_s is not None:
                device.wake_s = self.us / 1e6

    def now_ms(self) -> int:
        return self.us // 1000

    def now_us(self) -> int:
        return self.us

    async def sleep_ms(self, ms: int) -> None:
        await self.sleep_us(ms * 1000)

    async def sleep_us(self, us: int) -> None:
        self.us += us
        await asyncio.sleep(0)

    def _say(self, data: bytes, end_us: int, source: Device | None) -> None:
        """Everybody else hears it; what they answer comes when its last byte does."""
        for device in self.devices:
            if device is not source:
                for delay_s, answer in device.receive(data, end_us / 1e6):
                    self._come(end_us + round(delay_s * 1e6), answer, device)

    def _come(self, start_us: int, data: bytes, source: Device | None) -> None:
        """In small pieces, as on a wire."""
        for at in range(0, len(data), 3):
            end = min(at + 3, len(data))
            whole = data if end == len(data) else b""
            self.coming.append((start_us + end * self.byte_us, data[at:end], whole, source))
        self.coming.sort(key=lambda row: row[0])

    def say(self, data: bytes, after_ms: int) -> None:
        """Another program's words, so long from now."""
        self._come(self.us + after_ms * 1000, data, None)

    async def write(self, data: bytes) -> None:
        self.written.append((self.us, data))
        self._say(data, self.us + len(data) * self.byte_us, None)

    async def read(self, timeout_ms: int) -> bytes:
        await asyncio.sleep(0)
        if self.us >= self.stop_us:
            raise LinkError("the test is over")
        while self.plans and self.plans[0][0] <= self.us:
            self.plans.pop(0)[1]()
        until = self.us + timeout_ms * 1000
        while True:
            for device in self.devices:
                if device.wake_s is not None and device.wake_s * 1e6 <= until:
                    moment = round(device.wake_s * 1e6)
                    for delay_s, data in device.wake(device.wake_s):
                        self._come(moment + round(delay_s * 1e6), data, device)
            if not self.coming or self.coming[0][0] > until:
                self.us = max(self.us, until)
                return b""
            done, data, whole, source = self.coming.pop(0)
            self.us = max(self.us, done)
            if whole:
                self._say(whole, done, source)
            return data

    async def open(self) -> None: ...
    def close(self) -> None: ...
