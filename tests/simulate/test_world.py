"""Cells that charge, sag, warm up and drift; packs that share a current as copper does."""

import pytest

from vbms.simulate.house import House
from vbms.simulate.pack import Pack, rest_voltage
from vbms.simulate.world import World


def bank(seed: int = 1, **kw: float) -> World:
    world = World(seed=seed)
    for name in ("a", "b", "c"):
        world.add(name, "byd_pro", capacity_ah=50.0, **kw)  # type: ignore[arg-type]
    world.add("d", "jk_pb", capacity_ah=200.0, **kw)  # type: ignore[arg-type]
    return world


def test_rest_voltage_rises_with_charge() -> None:
    volts = [rest_voltage(step / 500) for step in range(-20, 520)]
    assert volts == sorted(volts)
    assert rest_voltage(-1) == 2.0 and rest_voltage(2) == pytest.approx(4.2)
    assert rest_voltage(0.5) == pytest.approx(3.295, abs=0.001)


def test_same_seed_same_world_and_another_another() -> None:
    def run(seed: int, slices: tuple[float, ...]) -> list[object]:
        world = bank(seed)
        world.advance(0.0)
        now = 0.0
        for part in slices:
            now += part
            world.advance(now)
        return [pack.reading for pack in world.packs.values()]

    whole = run(3, (60.0,))
    assert whole == run(3, (0.25,) * 240)  # however the clock is cut
    assert whole != run(4, (60.0,))


def test_a_pack_does_not_depend_on_the_order_of_others() -> None:
    first, second = World(seed=5), World(seed=5)
    a = first.add("a", "byd_pro")
    second.add("z", "byd_pro")
    assert second.add("a", "byd_pro").reading == a.reading
    with pytest.raises(ValueError):
        second.add("a", "byd_pro")


def test_charge_goes_in_and_is_counted() -> None:
    world = World(seed=1)
    pack = world.add("a", "byd_pro", capacity_ah=50.0, soc=0.5)
    before = list(pack.cell_soc)
    world.demand_a = 25.0
    world.step(1800)
    assert [after - soc for after, soc in zip(pack.cell_soc, before)] == pytest.approx(
        [0.25] * 16, rel=0.03
    )
    assert pack.reading.soc == pytest.approx(0.75, abs=0.01)
    assert pack.reading.remaining_ah == pytest.approx(pack.reading.full_ah * pack.reading.soc)


def test_load_sags_at_once_and_then_slowly_and_comes_back() -> None:
    world = World(seed=1)
    pack = world.add("a", "byd_pro", capacity_ah=50.0, soc=0.7)
    world.demand_a = 0.0
    world.step(10)
    rest = pack.reading.voltage_v
    world.demand_a = -50.0
    world.step(0.5)
    ohmic = rest - pack.reading.voltage_v
    assert 0.5 < ohmic < 1.4  # 16 cells of about 1 mOhm at 50 A
    world.step(120)
    assert rest - pack.reading.voltage_v > ohmic * 1.4
    world.demand_a = 0.0
    world.step(0.5)
    still_low = rest - pack.reading.voltage_v
    assert still_low > 0.2
    world.step(600)
    assert rest - pack.reading.voltage_v < still_low / 3


def test_parallel_packs_share_by_voltage_and_resistance() -> None:
    world = bank()
    world.demand_a = 80.0
    world.step(5)
    currents = [pack.current_a for pack in world.packs.values()]
    assert sum(currents) == pytest.approx(80.0)
    for pack in world.packs.values():  # Ohm's law at every pack, with what it was before the step
        assert pack.current_a > 0
    assert currents[3] > 2.5 * max(currents[:3])  # the large one carries most
    fresh = World(seed=1)
    high = fresh.add("high", "byd_pro", soc=0.95)
    low = fresh.add("low", "byd_pro", soc=0.05)
    fresh.demand_a = 0.0
    fresh.step(0.5)
    assert low.current_a > 5 and high.current_a == pytest.approx(-low.current_a)
    volts = (high.rest_v + high.current_a * high.resistance_ohm, low.rest_v)
    assert volts[1] < fresh.bus_v < high.rest_v + 0.5


def test_an_open_direction_carries_nothing() -> None:
    world = bank()
    world.packs["a"].charge_switch = False
    world.packs["b"].connected = False
    world.demand_a = 40.0
    world.step(1)
    assert world.packs["a"].current_a == 0.0 and not world.packs["a"].reading.charge_on
    assert world.packs["b"].current_a == 0.0
    assert world.current_a == pytest.approx(40.0, abs=1e-6)
    world.demand_a = -40.0
    world.step(1)
    assert world.packs["a"].current_a < -2  # it still discharges
    for pack in world.packs.values():
        pack.discharge_switch = False
    world.step(1)
    assert world.current_a == 0.0


def test_heat_follows_current() -> None:
    world = World(seed=1)
    pack = world.add("a", "byd_pro", capacity_ah=50.0, soc=0.9, temperature_c=20.0)
    start = pack.temperature_c
    world.demand_a = -45.0
    world.step(2400)
    assert 1.0 < pack.temperature_c - start < 20.0
    assert pack.reading.mosfet_c > pack.temperature_c + 5


def test_over_voltage_opens_the_charge_path_and_lets_go_again() -> None:
    world = World(seed=1)
    pack = world.add("a", "byd_pro", capacity_ah=50.0, soc=0.98)
    world.demand_a = 30.0
    world.step(1200)
    assert "cell_high" in pack.reading.protections and not pack.reading.charge_on
    assert pack.current_a == 0.0 and max(pack.reading.cells_v) < 3.75
    world.demand_a = -20.0
    world.step(900)
    assert pack.reading.protections == frozenset() and pack.reading.charge_on
    assert pack.reading.soc < 1.0


def test_full_sets_the_counter_right() -> None:
    world = World(seed=1)
    pack = world.add("a", "byd_pro", capacity_ah=50.0, soc=0.9)
    pack.cell_soc = [0.999] * 16  # the counter is wrong by a tenth
    world.demand_a = 1.0
    world.step(240)
    assert pack.reading.soc == 1.0


@pytest.mark.parametrize("active", [False, True])
def test_balancing_narrows_the_spread(active: bool) -> None:
    world = World(seed=2)
    pack = world.add("a", "jk_pb", capacity_ah=50.0, soc=0.98)
    pack.settings.active_balancer = active
    pack.settings.balance_a = 1.0
    pack.cell_soc = [0.99] * 15 + [0.998]
    world.demand_a = 0.5
    world.step(60)
    assert pack.reading.balance_bits and (pack.reading.balance_a != 0) == active
    spread = max(pack.cell_soc) - min(pack.cell_soc)
    world.step(600)
    assert max(pack.cell_soc) - min(pack.cell_soc) < spread - 0.001


def test_force_and_pin_change_what_is_measured() -> None:
    pack = Pack("a", "byd_pro")
    truth = list(pack.cell_soc)
    pack.force(cell=13, voltage_v=3.6)
    assert pack.reading.cells_v[12] == 3.6 and "cell_high" in pack.reading.alarms
    pack.pin(cells_v=[3.3] * 16, current_a=-12.5, soc=0.5, full_ah=48.0)
    assert pack.reading.cells_v == (3.3,) * 12 + (3.6,) + (3.3,) * 3
    assert pack.reading.voltage_v == pytest.approx(15 * 3.3 + 3.6)
    assert pack.reading.current_a == -12.5 and pack.reading.remaining_ah == 24.0
    pack.move(5.0, 1.0)
    assert pack.reading.current_a == -12.5
    pack.unpin()
    assert pack.reading.current_a == pytest.approx(5.0, abs=0.3)
    assert pack.cell_soc == pytest.approx(truth, abs=0.001)
    with pytest.raises(TypeError, match="volts"):
        pack.pin(volts=3)


def test_speed_and_long_pauses() -> None:
    fast, slow = World(seed=1, speed=10), World(seed=1)
    for world in (fast, slow):
        world.add("a", "byd_pro")
        world.advance(100.0)
    fast.advance(106.0)
    slow.advance(160.0)
    assert fast.now_s == slow.now_s == 60.0
    slow.advance(1e6)  # a night asleep: skipped, not caught up tick by tick
    assert slow.now_s < 400


def test_the_house_has_days_and_stays_within_reason() -> None:
    house = House(seed=1)
    wishes = [house.wish_a(second, 550.0) for second in range(0, 1800, 5)]
    assert wishes == [House(seed=1).wish_a(second, 550.0) for second in range(0, 1800, 5)]
    assert max(wishes) > 40 and min(wishes) < -20
    assert max(abs(wish) for wish in wishes) < 0.25 * 550
    first_minute = wishes[:12]
    assert max(first_minute) - min(first_minute) > 3  # it moves while somebody watches


def test_without_an_inverter_the_house_is_careful() -> None:
    world = World(seed=1)
    for soc, name in ((0.995, "full"), (0.02, "empty")):
        world = World(seed=1)
        pack = world.add(name, "byd_pro", soc=soc)
        for _ in range(60):
            world.step(30)
            assert not pack.reading.protections
