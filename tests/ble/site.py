"""Bluetooth batteries on a simulated air, and the line that serves them, without the rest of a site."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

from vbms.aggregate.snapshot import Snapshot
from vbms.clock import MonotonicClock
from vbms.config import Settings, load_text
from vbms.lines.ble import BleLine
from vbms.links.ble_link import BleLink
from vbms.simulate.bluez_device import Peripheral
from vbms.simulate.bluez_site import Air
from vbms.simulate.jk_ble import JkBle


def quick(
    air: Air, name: str, protocol: str = "jk_ble", address: str = "", **more: object
) -> Peripheral:
    """A battery on the air that connects and talks at once."""
    number = len(air.peripherals) + 1
    air.add([(name, protocol, address or f"C8:47:80:00:00:{number:02X}", None, None)])
    found = air.peripherals[name]
    found.connect_s = found.resolve_s = 0.02
    found.piece_s = 0.002
    if isinstance(found.device, JkBle):
        found.device.stream_s = 0.1
    for key, value in more.items():
        setattr(found, key, value)
    return found


def settings(rows: list[str]) -> Settings:
    """The YAML of batteries on one Bluetooth link."""
    text = "links: {air: {kind: ble}}\nbatteries:\n" + "".join(f"  - {{{row}}}\n" for row in rows)
    loaded = load_text(text, Path("vbms.yaml"))
    return loaded


def jk_row(name: str, address: str, more: str = "") -> str:
    return f'name: {name}, profile: jk_ble, link: air, address: "{address}", gap_ms: 10{more}'


class Served:
    """A BleLine at work; `got` holds what it delivered, by battery."""

    def __init__(self, rows: list[str], slots: int = 8) -> None:
        self.settings = settings(rows)
        self.got: dict[str, list[tuple[float, Snapshot]]] = {}
        self.link = BleLink("air", "hci0", slots)
        self.line = BleLine(self.link, MonotonicClock(), self._take)
        self.line.serve(list(self.settings.batteries))

    def _take(self, name: str, snap: Snapshot) -> None:
        self.got.setdefault(name, []).append((time.monotonic(), snap))

    async def __aenter__(self) -> Served:
        self.line.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.line.stop()

    def last(self, name: str) -> Snapshot:
        return self.got[name][-1][1]

    def age_s(self, name: str) -> float:
        return time.monotonic() - self.got[name][-1][0] if name in self.got else 1e9

    def are_fresh(self, *names: str, within_s: float = 0.5) -> bool:
        return all(self.age_s(name) < within_s for name in names)


async def until(
    is_true: Callable[[], bool], within_s: float = 15.0, also: Awaitable[None] | None = None
) -> float:
    """Wait for it; how long it took. Tolerant of a busy machine, never idle for long."""
    begun = time.monotonic()
    while not is_true():
        assert time.monotonic() - begun < within_s, "it never came true"
        await asyncio.sleep(0.02)
    if also is not None:
        await also
    return time.monotonic() - begun
