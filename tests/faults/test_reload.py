"""Reloading: what changes, what stays. No port opens here; frames are handed to the site by the test."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from vbms.aggregate.snapshot import Snapshot
from vbms.app import Site
from vbms.config import load


class Clock:
    def __init__(self) -> None:
        self.ms = 1_000_000

    def now_ms(self) -> int:
        return self.ms

    def now_us(self) -> int:
        return self.ms * 1000

    async def sleep_ms(self, ms: int) -> None:
        import asyncio

        await asyncio.sleep(3600)

    async def sleep_us(self, us: int) -> None: ...


def write(path: Path, names: dict[str, int], present: str = "units", extra: str = "") -> Path:
    rows = "\n".join(
        f"  - {{name: {name}, profile: byd_pro_2_5, link: bms, address: {address}}}"
        for name, address in names.items()
    )
    path.write_text(
        f"""
links:
  bms: {{kind: serial, port: /dev/vbms-none-1, baud: 9600}}
  inv: {{kind: serial, port: /dev/vbms-none-2, baud: 9600}}
batteries:
{rows}
inverters:
  - {{name: deye, profile: deye_rs485, link: inv, present: {present}}}
{extra or "bank: {rise_percent: 100}"}
"""
    )
    return path


class Plant:
    def __init__(self, path: Path):
        self.clock = Clock()
        self.site = Site(load(path), self.clock)
        self.told: dict[int, Any] = {}

    async def start(self) -> None:
        for inverter in self.site.settings.inverters:
            await self.site._add_inverter(self.site.settings, inverter.name)
        line = self.site.inverters["deye"]
        line.responder.publish = lambda pairs: self.told.update(  # type: ignore[method-assign]
            {codec.address: battery for codec, battery in pairs}
        )

    def seconds(self, count: int, *names: str, **values: Any) -> None:
        for _ in range(count):
            self.clock.ms += 1000
            for name in names:
                self.site._deliver(name, frame(self.clock.ms, **values))
            self.told.clear()
            self.site._tick()

    def limits(self) -> dict[int, int | None]:
        return {at: battery and battery.charge_limit_ma for at, battery in self.told.items()}


def frame(now: int, **values: Any) -> Snapshot:
    row: dict[str, Any] = {
        "taken_ms": now,
        "voltage_mv": 53120,
        "current_ma": now // 1000 % 9 * 100,
        "soc_permille": 600,
        "soh_permille": 1000,
        "cells_mv": (3320,) * 16,
        "temps_mc": (21000, 22000, 21000, 22000),
        "charge_ok": True,
        "discharge_ok": True,
    }
    row.update(values)
    return Snapshot(**row)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "vbms.yaml"


async def test_the_banks_cap_holds_for_all_addresses_together(path: Path) -> None:
    plant = Plant(
        write(path, {"a": 1, "b": 2, "c": 3}, extra="bank: {max_charge_a: 40, rise_percent: 100}")
    )
    await plant.start()
    plant.seconds(20, "a", "b", "c")
    assert plant.limits() == {0: 13333, 1: 13333, 2: 13333}
    await plant.site.close()


async def test_min_fresh_is_the_banks_not_an_addresss(path: Path) -> None:
    plant = Plant(write(path, {"a": 1, "b": 2}, extra="bank: {min_fresh: 2, rise_percent: 100}"))
    await plant.start()
    plant.seconds(20, "a", "b")
    assert plant.limits() == {0: 50000, 1: 50000}
    await plant.site.close()


async def test_a_battery_that_comes_back_by_reload_starts_from_nothing(path: Path) -> None:
    plant = Plant(write(path, {"a": 1, "b": 2}))
    await plant.start()
    plant.seconds(20, "a", "b")
    assert await plant.site.reload(write(path, {"a": 1}))
    plant.seconds(100, "a")
    assert plant.limits() == {0: 50000}
    assert await plant.site.reload(write(path, {"a": 1, "b": 2}))
    plant.seconds(5, "a")
    assert plant.limits() == {0: 50000, 1: None}
    await plant.site.close()


async def test_another_address_is_another_battery(path: Path) -> None:
    plant = Plant(write(path, {"a": 1, "b": 2}, present="bank"))
    await plant.start()
    plant.seconds(20, "a", "b", serial="one")
    assert await plant.site.reload(write(path, {"a": 1, "b": 3}, present="bank"))
    unit = plant.site.bank.units["b"]
    assert unit.snapshot is None and plant.site.bank.units["a"].snapshot is not None
    plant.seconds(5, "b", serial="two")
    assert unit.state == "fresh"
    await plant.site.close()


async def test_a_tick_in_the_middle_of_a_reload_silences_nobody(path: Path) -> None:
    import asyncio

    plant = Plant(write(path, {"a": 1, "b": 2}))
    await plant.start()
    plant.seconds(20, "a", "b")
    task = asyncio.create_task(plant.site.reload(write(path, {"a": 1})))
    while not task.done():
        await asyncio.sleep(0)
        plant.told.clear()
        plant.site._tick()
        assert plant.limits()[0] == 50000
    assert plant.limits() == {0: 50000}
    await plant.site.close()


async def test_a_failed_merge_silences_each_address(path: Path) -> None:
    plant = Plant(write(path, {"a": 1, "b": 2}))
    await plant.start()
    plant.seconds(20, "a", "b")

    def broken(now_ms: int) -> Any:
        raise ZeroDivisionError("on purpose")

    well = type(plant.site.bank).tick
    type(plant.site.bank).tick = broken_method = lambda self, now_ms: broken(now_ms)  # type: ignore
    try:
        plant.seconds(1, "a", "b")
        assert plant.limits() == {0: 0, 1: 0}
        plant.seconds(6, "a", "b")
        assert plant.limits() == {0: None, 1: None} and plant.site.state() == "error"
    finally:
        assert type(plant.site.bank).tick is broken_method
        type(plant.site.bank).tick = well  # type: ignore[method-assign]
    plant.seconds(8, "a", "b")
    assert plant.limits() == {0: 50000, 1: 50000}
    await plant.site.close()


async def test_reloads_wait_for_each_other(path: Path) -> None:
    import asyncio

    plant = Plant(write(path, {"a": 1}))
    await plant.start()
    write(path, {"a": 1}, present="bank")
    assert all(await asyncio.gather(*(plant.site.reload(path) for _ in range(5))))
    done = [row[5] for row in plant.site.journal.events.rows() if row[5].startswith("reload")]
    assert done and all(text.endswith(f", {plant.site.settings.summary()}") for text in done)
    assert "1 inverters" not in done[0] and "1 links" not in done[0]
    lines = [task for task in asyncio.all_tasks() if task.get_name() == "inv"]
    assert len(lines) == 1
    await plant.site.close()
    assert not [task for task in asyncio.all_tasks() if task.get_name() in ("inv", "bms")]


async def test_a_changed_limit_keeps_the_settings_of_a_unit(path: Path) -> None:
    plant = Plant(write(path, {"a": 1}))
    await plant.site._serve_batteries(plant.site.settings, plant.site.settings)
    unit = plant.site.lines["bms"].polled["a"]
    text = path.read_text().replace("address: 1}", "address: 1, max_charge_a: 20, poll_s: 2}")
    path.write_text(text)
    assert await plant.site.reload(path)
    assert plant.site.lines["bms"].polled["a"] is unit and unit.poll_ms == 2000
    await plant.site.close()
