"""The batteries of the site: currents that add up, paths that are open, protections that act."""

import random

import pytest

from vbms.aggregate.snapshot import FIELDS
from vbms.simulate import byd_pro, jk_payload
from vbms.simulate import jk_pb as jk_sim
from vbms.soak.meter import Meter
from vbms.soak.plant import Plant, Unit, rest
from vbms.upstream import byd_pro as byd_codec
from vbms.upstream import jk_pb as jk_codec


def units(count: int = 3, soc: float = 0.6) -> list[Unit]:
    made = []
    for at in range(count):
        rng = random.Random(f"t/{at}")
        made.append(Unit(f"u{at}", "jk_pb", jk_payload.settings(), 200.0, soc, rng))
    return made


def test_currents_add_up_and_the_stiffer_takes_more() -> None:
    plant = Plant(units())
    plant.step(90.0, 1.0, 22.0)
    flows = [unit.current_a for unit in plant.units]
    assert sum(flows) == pytest.approx(90.0)
    assert plant.current_a == pytest.approx(90.0)
    assert all(flow > 0 for flow in flows)


def test_an_open_path_carries_nothing_in_its_direction() -> None:
    plant = Plant(units())
    plant.units[1].charge_forced_open = True
    plant.step(60.0, 1.0, 22.0)
    assert plant.units[1].current_a == 0.0
    assert plant.current_a == pytest.approx(60.0, abs=1e-3)
    plant.step(-60.0, 1.0, 22.0)
    assert plant.units[1].current_a < 0


def test_nobody_can_take_it() -> None:
    plant = Plant(units(2))
    for unit in plant.units:
        unit.charge_forced_open = True
    plant.step(60.0, 1.0, 22.0)
    assert plant.current_a == pytest.approx(0.0, abs=1e-6)


def test_inrush_is_told_apart_from_what_is_commanded() -> None:
    plant = Plant(units(2))
    plant.units[0].soc = [0.98, 0.97, 0.96]
    plant.units[0].move(0.0, 1.0, 22.0)
    plant.step(0.0, 1.0, 22.0)
    assert plant.units[1].current_a == pytest.approx(plant.units[1].circulating_a)
    assert plant.units[1].current_a > 1.0


def test_a_cell_too_high_opens_the_charge_path_after_two_seconds() -> None:
    (unit,) = made = units(1, 0.99)
    plant = Plant(made)
    for _ in range(1200):
        plant.step(100.0, 1.0, 22.0)
        if unit.trips:
            break
    assert [(trip.rule, trip.direction) for trip in unit.trips] == [("high", "+")]
    assert max(unit.cells) > 3.65
    assert not unit.may_charge
    assert unit.may_discharge
    for _ in range(3600):
        plant.step(-20.0, 1.0, 22.0)
    assert unit.may_charge


def test_both_knees() -> None:
    assert rest(0.5) == pytest.approx(3.295, abs=0.002)
    assert rest(1.01) > 3.65
    assert rest(0.0) < 2.6
    assert rest(-1.0) == pytest.approx(2.0)
    assert rest(2.0) > 4.0


@pytest.mark.parametrize("protocol", ["jk_pb", "byd_pro"])
def test_a_frame_says_what_the_unit_is(protocol: str) -> None:
    rng = random.Random(protocol)
    settings = jk_payload.settings() if protocol == "jk_pb" else byd_pro.settings()
    unit = Unit("u", protocol, settings, 50.0, 0.5, rng)
    Plant([unit]).step(-20.0, 1.0, 22.0)
    meter = Meter(unit, 3, rng, "401100000001")
    driver = jk_codec if protocol == "jk_pb" else byd_codec
    snap = driver.Codec(address=3).decode(meter.frames(1.0), 1000)
    assert snap.cells_mv is not None
    assert max(snap.cells_mv) == pytest.approx(unit.cells[0] * 1000, abs=12)
    assert snap.current_ma == pytest.approx(-20000, abs=500)
    assert snap.charge_ok is True
    assert snap.serial == ("401100000001" if protocol == "jk_pb" else None)


def test_a_lying_cell_lies_to_its_own_protection_too() -> None:
    (unit,) = units(1, 0.9)
    meter = Meter(unit, 1, random.Random(1), "1")
    meter.lie(0, 0.4)
    for _ in range(3):
        unit.move(1.0, 1.0, 22.0)
    assert [trip.rule for trip in unit.trips] == ["high"]


def test_a_patched_payload_is_the_simulators_own() -> None:
    """Everything that a codec reads, over a day of changes."""
    rng = random.Random(4)
    unit = Unit("u", "jk_pb", jk_payload.settings(), 280.0, 0.5, rng)
    meter = Meter(unit, 3, rng, "401100000001")
    plant = Plant([unit])
    for at in range(300):
        plant.step(rng.uniform(-150, 150), 1.0, rng.uniform(-9, 40))
        unit.balance_a = rng.choice((0.0, 0.5))
        unit.charge_forced_open = rng.random() < 0.2
        state = meter.rng.getstate()
        patched = jk_codec.Codec(address=3).decode(meter.frames(float(at)), 0)
        meter.rng.setstate(state)
        meter.refresh(float(at))
        whole = [meter.jk.payload(2) + jk_sim.acknowledge(3, 2), *meter.frames(float(at))[1:]]
        expected = jk_codec.Codec(address=3).decode(whole, 0)
        for name in FIELDS:
            assert getattr(patched, name) == getattr(expected, name), name
