"""`kind: simulate`: the named batteries on their line, one world behind all lines."""

import asyncio

import pytest

from tests.simulate.host import Host
from vbms.errors import ConfigError
from vbms.simulate.faults import Fault
from vbms.simulate.jk_pb import JkMaster, trigger
from vbms.simulate.site import inverter_line, make_device, simulated_line
from vbms.simulate.world import World

READ_3 = bytes.fromhex("030004010355aa07")
BYD = [(f"byd-{k}", "byd_pro", k, None, None, k - 1) for k in (1, 2, 3)]
JK = [("jk-1", "jk_pb", 1, 280.0, 8, 3), ("jk-2", "jk_pb", 2, None, None, 4)]


async def test_every_battery_answers_on_its_line() -> None:
    world = World(seed=1)
    byd, jk = simulated_line("byd", 9600, BYD, world), simulated_line("jk", 115200, JK, world)
    await byd.start()
    await jk.start()
    hosts = Host(byd.path), Host(jk.path)
    try:
        assert (await hosts[0].ask(READ_3, 105))[0] == 3
        settings = await hosts[1].ask(trigger(1, 1), 310)
        assert int.from_bytes(settings[130:134], "little") == 280_000
        assert int.from_bytes(settings[114:118], "little") == 8
        assert (
            int.from_bytes((await hosts[1].ask(trigger(2, 1), 310))[130:134], "little") == 200_000
        )
        await asyncio.sleep(1.1)
        assert 0 < world.now_s < 3  # it moves, once, although two lines push it
    finally:
        for thing in (*hosts, byd, jk):
            thing.close()


async def test_a_line_built_anew_keeps_its_batteries_as_they_were() -> None:
    world = World(seed=1)
    first = simulated_line("byd", 9600, BYD[:1], world)
    pack = world.packs["byd-1"]
    first.close()
    again = simulated_line("byd", 9600, BYD, world, [Fault("byd-2", "flip"), Fault("jk-1", "cut")])
    assert again.devices[0].pack is pack and len(world.packs) == 3
    again.close()


def test_same_seed_same_bank() -> None:
    readings = []
    for _ in range(2):
        world = World(seed=9)
        make_device(world, "byd-1", "byd_pro", 1)
        make_device(world, "jk-1", "jk_pb", 1)
        readings.append([pack.reading for pack in world.packs.values()])
    assert readings[0] == readings[1]


def test_address_zero_is_a_master_and_unknown_protocols_are_named() -> None:
    assert isinstance(make_device(World(), "jk-0", "jk_pb", 0), JkMaster)
    with pytest.raises(ConfigError, match="x: no simulator speaks acme .*byd_pro"):
        simulated_line("l", 9600, [("x", "acme", 1, None, None, 0)], World())


async def test_inverter_line_joins_two_ends() -> None:
    line = inverter_line("inv", 9600)
    await line.start()
    near, far = Host(line.path), Host(line.far_path)
    try:
        far.say(b"ask")
        assert await near.hear(3, 0.2) == b"ask"
    finally:
        near.close()
        far.close()
        line.close()
