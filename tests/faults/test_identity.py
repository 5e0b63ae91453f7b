"""Who answers is not who should: a named alarm, and nothing of it counts."""

from __future__ import annotations

import pytest

from vbms.aggregate import alarms
from vbms.simulate.byd_pro import BydPro
from vbms.simulate.jk_pb import JkPb

from .site import BYD_VALUES, Plant


def told(plant: Plant, bit: int) -> list[str]:
    """The batteries that the bank gives this alarm."""
    assert plant.site is not None
    return [key for found, _, key in plant.site.virtual.alarms if found == bit]


async def _alarmed(plant: Plant, bit: int, name: str) -> None:
    async def yes() -> bool:
        return name in told(plant, bit)

    await plant.until(yes, 20)


def _fresh(plant: Plant, name: str) -> bool:
    assert plant.site is not None
    return plant.site.bank.units[name].state == "fresh"


async def test_two_batteries_at_one_address() -> None:
    """Both hear the request and answer at once: what comes is neither's."""
    async with Plant(byd=2, jk=0) as plant:
        pack = plant.world.add("twin", "byd_pro", 16, 50.0, 0.9)
        pack.pin(**BYD_VALUES | {"soc": 0.9, "current_a": -20.0})
        plant.lines["byd"].attach(BydPro(pack, 1))
        await _alarmed(plant, alarms.UNIT_MISMATCH, "byd-1")
        assert plant.site is not None
        assert plant.site.bank.units["byd-1"].snapshot is None
        assert plant.site.view.units()[0].state == "mismatch"

        async def alone() -> bool:
            return plant.site is not None and plant.site.virtual.n_fresh == 1

        await plant.until(alone)
        assert plant.site.virtual.current_ma == 3000  # byd-2's alone


@pytest.mark.parametrize("change", ["another serial", "fewer cells"])
async def test_a_stranger_at_a_known_address(change: str) -> None:
    async with Plant(byd=0, jk=2) as plant:

        async def both() -> bool:
            return _fresh(plant, "jk-1") and _fresh(plant, "jk-2")

        await plant.until(both, 20)
        line = plant.lines["jk"]
        device = line.devices[0]
        if change == "another serial":
            stranger = JkPb(device.pack, 1, serial="999900001111")
            bit = alarms.UNIT_MISMATCH
        else:
            device.pack.pin(cells_v=(3.32,) * 15)
            stranger = JkPb(device.pack, 1)
            bit = alarms.CONFIG
        line.devices[0] = stranger
        if change == "another serial":  # it was away for long enough to be asked who it is
            line.unplug()
            line.plug()
        await _alarmed(plant, bit, "jk-1")
        assert plant.site is not None
        snap = plant.site.bank.units["jk-1"].snapshot
        assert snap and len(snap.cells_mv or ()) == 16

        async def not_counted() -> bool:
            return plant.site is not None and plant.site.virtual.n_fresh <= 1

        await plant.until(not_counted)
        assert not _fresh(plant, "jk-1")
