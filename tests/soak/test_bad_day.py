"""What must hold on the bad day, seen from outside: noise, a lost unit, a cell that runs away."""

import asyncio
import random

import pytest

from vbms.aggregate.controller import Controller
from vbms.aggregate.member import HOLD
from vbms.aggregate.profile import BankProfile, UnitProfile
from vbms.aggregate.snapshot import Snapshot
from vbms.simulate import deye_checks
from vbms.soak.direct import Direct
from vbms.soak.lived import Lived
from vbms.soak.wires import Wires
from vbms.soak.world import World

THRESHOLDS = (3400, 3450, 3480, 3500, 3550, 3580, 3100, 3050, 3000, 2950, 2900, 2850, 2800)


@pytest.mark.parametrize("threshold", THRESHOLDS)
@pytest.mark.parametrize("amps", [-3, 3])
def test_noise_at_a_threshold_raises_a_flag_once_a_minute(threshold: int, amps: int) -> None:
    """I16: +-5 mV and +-1 A around any point of the cell curves, for half an hour."""
    rng = random.Random(f"{threshold}/{amps}")
    profile = UnitProfile("a", cells=16, capacity_mah=100000, mosfet_present=False)
    profile.max_charge_ma = profile.max_discharge_ma = 50000
    controller = Controller(BankProfile(start_ms=0), [profile])
    enabled = [False, False]
    rose: list[list[int]] = [[], []]
    for second in range(1800):
        now = 1000 * second
        cell = threshold + rng.randint(-5, 5)
        snap = Snapshot(taken_ms=now, cells_mv=[cell] + [min(cell, 3300)] * 15)
        if threshold < 3200:
            snap.cells_mv = [cell] + [3200] * 15
        snap.voltage_mv = sum(snap.cells_mv or ()) + rng.randint(0, 9)
        snap.current_ma = amps * 1000 + rng.randint(-1000, 1000)
        snap.soc_permille = 500
        snap.temps_mc = [22000, 22000]
        snap.charge_ok = snap.discharge_ok = True
        controller.bank.accept("a", snap, now)
        out = controller.tick(now)
        for at, limit in enumerate((out.charge_limit_ma, out.discharge_limit_ma)):
            if limit and not enabled[at]:
                rose[at].append(now)
            enabled[at] = limit > 0
    for times in rose:
        assert all(b - a >= 60000 for a, b in zip(times, times[1:], strict=False)), times
    assert len(rose[0]) + len(rose[1]) >= 1


def test_one_unit_lost_at_full_current() -> None:
    """The rest is safe in the tick that misses it; SOC and charge voltage do not jump."""
    world = World(5, 4, 0.0, mild=True, soc=0.5)
    world.house.sunny_morning()
    world.house._sun_a = 1e4
    site = Direct(world)
    for _ in range(400):
        site.step()
    told = site.line.told
    assert told is not None and told.current_ma is not None
    assert told.current_ma > told.charge_limit_ma * 95 // 100, "all that is allowed"
    meter = world.meters[0]
    meter.silent = True
    seen_hold = False
    for _ in range(2000):  # through HOLD, LOST and into RETIRED
        before = told
        site.step()
        told = site.line.told
        assert told is not None and before is not None
        assert site.checks.broken == {}
        assert told.charge_limit_ma <= site.tapped.x_ma[0]
        assert abs((told.soc_permille or 0) - (before.soc_permille or 0)) <= 5
        assert abs((told.cvl_mv or 0) - (before.cvl_mv or 0)) <= 50
        if site.bank.units[meter.name].state == HOLD and not seen_hold:
            seen_hold = True
            rest = [unit for unit in site.bank.units.values() if unit.state != HOLD]
            assert told.charge_limit_ma <= sum(unit.allowed[0].limit_ma for unit in rest)
    assert seen_hold


def test_a_cell_at_3600_mv_stops_the_charge_within_a_second() -> None:
    """From the frame that is believed to 0x100C = 0 on the wire; back by latch and ramp only."""
    lived = Lived(6, 3, 0.0, mild=True, mode="bytes", soc=0.4)
    wires = lived.site
    assert isinstance(wires, Wires)
    lived.live(90)
    request = deye_checks.read_request(0)

    def row() -> deye_checks.Row:
        responder = wires.line.responder  # type: ignore[attr-defined]
        return deye_checks.decode(responder._answers[request])

    assert row().charge_limit_a > 10
    meter = wires.world.meters[1]
    unit = wires.bank.units[meter.name]
    highest = max(meter.unit.cells)
    meter.lie(0, 3.62 - meter.unit.cells[1])
    assert 3.62 - highest > 0.3, "beyond the jump filter: only the third frame is believed"
    believed_s = stopped_s = -1.0

    async def watch() -> None:
        nonlocal believed_s, stopped_s
        for _ in range(400):
            await asyncio.sleep(0.05)
            now_s = wires.loop.time()
            if believed_s < 0 and (unit.cell_max_mv or 0) >= 3600:
                believed_s = now_s
            if stopped_s < 0 and row().charge_limit_a == 0:
                stopped_s = now_s

    wires.loop.run_until_complete(watch())
    assert believed_s > 0
    assert 0 <= stopped_s - believed_s <= 1.0
    told = row()
    assert not told.status & deye_checks.MAY_CHARGE
    assert told.charge_voltage_v >= 16 * 3.3
    meter.tell_the_truth()
    lived.live(50)
    assert row().charge_limit_a == 0, "the latch holds for a minute"
    rising = []
    for _ in range(90):
        lived.live(1)
        rising.append(row().charge_limit_a)
    assert rising == sorted(rising)
    assert rising[-1] > 100
    steps = [later - before for before, later in zip(rising, rising[1:], strict=False)]
    assert max(steps) <= 2 * 0.02 * 150 + 0.01, "2 % of 150 A a second, ticks a little apart"
    assert wires.checks.broken == {}
    lived.close()
