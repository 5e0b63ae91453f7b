"""Two masters on a line, and two batteries at one address, with the simulated devices in no time."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence

import pytest

from tests.loop.bus import Bus
from vbms.aggregate.snapshot import Snapshot
from vbms.errors import LinkError
from vbms.loops.poller import PolledUnit, Poller
from vbms.simulate import byd_pro as byd_sim
from vbms.simulate import jk_4e57 as nw_sim
from vbms.simulate import jk_payload
from vbms.simulate.byd_pro import BydPro
from vbms.simulate.device import Device
from vbms.simulate.jk_4e57 import Jk4e57
from vbms.simulate.jk_pb import JkMaster, JkPb
from vbms.simulate.world import World
from vbms.upstream import byd_pro, jk_4e57, jk_pb

log = logging.getLogger("test.overhear")


class Run:
    """A poller on such a bus; `got` is what it delivered, by unit."""

    def __init__(self, bus: Bus, units: Sequence[PolledUnit], listen_ms: int = 2000) -> None:
        self.bus = bus
        self.got: dict[str, list[Snapshot]] = {unit.key: [] for unit in units}
        self.poller = Poller(bus, bus, units, lambda key, snap: self.got[key].append(snap), log)
        self.poller.listen_first_ms = listen_ms

    def run(self, seconds: float) -> None:
        self.bus.stop_us = self.bus.us + round(seconds * 1e6)

        async def until_over() -> None:
            with pytest.raises(LinkError):
                await self.poller.run()

        asyncio.run(until_over())


def jk_unit(address: int) -> PolledUnit:
    codec = jk_pb.Codec(address=address)
    return PolledUnit(f"jk-{address}", codec, 100_000, 500, 1000, 100, 1000)


def byd_unit(address: int) -> PolledUnit:
    return PolledUnit(f"byd-{address}", byd_pro.Codec(address=address), 3650, 150, 150, 50, 1000)


def jk_devices(*addresses: int) -> list[Device]:
    world = World(seed=2)
    made: list[Device] = []
    for address in addresses:
        soc = 0.5 + address / 100
        pack = world.add(f"jk-{address}", "jk_pb", 16, 200.0, soc, settings=jk_payload.settings())
        pack.pin(soc=round(soc, 2))
        made.append(JkPb(pack, address) if address else JkMaster(pack))
    return made


def byd_device(name: str, address: int, soc: float) -> BydPro:
    pack = World(seed=3).add(name, "byd_pro", 16, 50.0, soc, settings=byd_sim.settings())
    pack.pin(soc=soc)
    return BydPro(pack, address)


def test_a_jk_master_is_listened_to_and_never_spoken_to(caplog) -> None:
    caplog.set_level(logging.INFO)
    run = Run(Bus(115200, *jk_devices(0, 1, 2)), [jk_unit(0), jk_unit(1), jk_unit(2)])
    run.run(60)
    assert run.bus.written == []
    for key, snaps in run.got.items():
        assert 10 <= len(snaps) <= 15, key
        assert {snap.soc_permille for snap in snaps} == {500 + 10 * int(key[-1])}
        complete = [snap for snap in snaps if snap.cell_count == 16 and snap.ccl_ma]
        assert len(complete) >= len(snaps) - 2  # settings come behind live data, of known slaves
    assert 4000 <= run.poller.round_ms() <= 5500
    said = [record.message for record in caplog.records]
    assert said == ["bus: a master is on it (jk-0): listening, never asking"]


def test_a_slave_that_falls_silent_is_not_delivered_any_more() -> None:
    devices = jk_devices(0, 1, 2)
    run = Run(Bus(115200, *devices), [jk_unit(0), jk_unit(1), jk_unit(2)])
    run.run(20)
    devices[2].faults.add("silence")
    run.run(1)
    before = len(run.got["jk-2"])
    run.run(20)
    assert len(run.got["jk-2"]) == before
    assert len(run.got["jk-1"]) > before + 2
    assert run.bus.written == []


def test_a_master_nobody_told_us_of_is_heard_before_the_first_word(caplog) -> None:
    devices = jk_devices(0, 1, 2)
    run = Run(Bus(115200, *devices), [jk_unit(1), jk_unit(2)])
    run.run(40)
    assert run.bus.written == []
    assert all(
        len(snaps) >= 6 for snaps in run.got.values()
    )  # and its slaves are read all the same
    warned = [record for record in caplog.records if record.levelno == logging.WARNING]
    assert [record.message for record in warned] == [
        "bus: another master asks on this line: listening, not asking"
    ]


def test_roles_change_on_a_running_line(caplog) -> None:
    caplog.set_level(logging.INFO)
    slaves = jk_devices(1, 2)
    (master,) = jk_devices(0)
    bus = Bus(115200, *slaves)
    run = Run(bus, [jk_unit(1), jk_unit(2)])
    begun = bus.us

    def comes() -> None:
        master.wake_s = bus.us / 1e6
        bus.devices.append(master)

    bus.plans = [
        (begun + 10_000_000, comes),
        (begun + 40_000_000, lambda: bus.devices.remove(master)),
    ]
    run.run(80)
    spoken = [(at - begun) / 1e6 for at, _ in bus.written]
    assert len([at for at in spoken if at < 10]) > 15
    assert not [at for at in spoken if 11 < at < 45]
    assert len([at for at in spoken if at > 50]) > 20
    assert [record.message for record in caplog.records] == [
        "bus: another master asks on this line: listening, not asking",
        "bus: no other master any more, asking again",
    ]


def test_noise_stops_nobody() -> None:
    bus = Bus(115200, *jk_devices(1))
    run = Run(bus, [jk_unit(1)])
    for n in range(200):
        bus.say(bytes((n, 0x10, 0x16, 0x20, 0)), 370 * n)
    run.run(20)
    assert len(run.got["jk-1"]) > 12


@pytest.mark.parametrize(
    ("unit", "device", "request_"),
    [
        (
            byd_unit(1),
            byd_device("byd-1", 1, 0.5),
            bytes.fromhex("020004010355aa07"),
        ),
        (
            PolledUnit("nw", jk_4e57.Codec(), 100_000, 300, 300, 200, 1000),
            Jk4e57(World(1).add("nw", "jk_4e57", settings=nw_sim.settings())),
            jk_4e57.REQUEST,
        ),
        (jk_unit(1), jk_devices(1)[0], bytes.fromhex("031016200001020000cf91")),
        (jk_unit(1), jk_devices(1)[0], bytes.fromhex("0f1016200001020000 9a91")),
        (jk_unit(1), jk_devices(1)[0], bytes.fromhex("010312900005809c")),  # by function 03
    ],
)
def test_every_protocol_knows_another_master_s_request(unit, device, request_: bytes) -> None:
    bus = Bus(115200, device)
    run = Run(bus, [unit])
    for n in range(60):
        bus.say(request_, 500 + 1000 * n)
    run.run(50)
    assert bus.written == []
    run.run(60)
    assert bus.written  # it went away


def test_a_second_answer_to_each_request_is_not_believed(caplog) -> None:
    """They take turns, so each answer is whole: whose values they are nobody can say."""
    twin = byd_device("twin", 1, 0.9)
    twin.delay_s = 0.1195  # behind the other's answer
    neighbour = byd_device("byd-2", 2, 0.7)
    bus = Bus(9600, byd_device("byd-1", 1, 0.5), twin, neighbour)
    unit = byd_unit(1)
    run = Run(bus, [unit, byd_unit(2)])
    run.run(30)
    assert len(run.got["byd-1"]) < 3  # fewer than a unit needs to join
    assert unit.conflict
    assert len(run.got["byd-2"]) > 20
    assert "byd-1: two batteries answer at its address: none is believed" in caplog.text
    bus.devices.remove(twin)
    run.run(30)
    assert not unit.conflict and run.got["byd-1"][-1].soc_permille == 500


def test_a_late_answer_is_no_second_battery() -> None:
    device = byd_device("byd-1", 1, 0.5)
    device.faults.add("late")
    unit = byd_unit(1)
    run = Run(Bus(9600, device), [unit, byd_unit(9)])
    run.run(60)
    device.faults.clear()
    run.run(30)
    assert not unit.doubles and not unit.conflict
    assert run.got["byd-1"]


def test_answers_that_are_always_garbled_are_two_batteries_or_worse() -> None:
    device = byd_device("byd-1", 1, 0.5)
    device.faults.add("flip")
    unit = byd_unit(1)
    run = Run(Bus(9600, device), [unit])
    run.run(4)
    assert not unit.conflict
    run.run(60)
    assert unit.conflict and not run.got["byd-1"]
    device.faults.clear()
    run.run(60)
    assert not unit.conflict and len(run.got["byd-1"]) > 5
