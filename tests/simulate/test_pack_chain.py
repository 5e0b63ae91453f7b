"""The simulated chain passes packets on as its description says; CRCs are the published ones."""

from vbms.simulate import pack_chain
from vbms.simulate.pack_chain import PackChain
from vbms.simulate.world import World

ASSIGN, COUNTED = bytes.fromhex("01030001ac"), bytes.fromhex("0103000f86")


def chain(cells: int = 14) -> PackChain:
    world = World(seed=1)
    pack = world.add("chain", "pack_chain", cells, 100.0, 0.5, settings=pack_chain.settings())
    pack.pin(cells_v=[3.3] * cells, temps_c=(25.0,) * 4)
    return PackChain(pack)


def said(device: PackChain, packet: str) -> str:
    return b"".join(data for _, data in device.receive(bytes.fromhex(packet), 0.0)).hex()


def test_fourteen_modules_number_themselves() -> None:
    device = chain()
    assert said(device, ASSIGN.hex()) == COUNTED.hex()
    assert [module.address for module in device.modules] == list(range(1, 15))
    assert said(device, "0306000047") == "02060ce41f"  # voltage of 1
    assert said(device, "030800006b") == "0208001932"  # temperature of 1
    ((delay_s, _),) = device.receive(bytes.fromhex("0306000047"), 1.0)
    assert 13 * 5 * 10 / 9600 < delay_s < 0.09  # each module takes all of a packet first


def test_what_is_for_nobody_comes_back_as_it_went() -> None:
    device = chain()
    assert said(device, "0306000047") == "0306000047"  # not numbered yet
    assert said(device, "02060ce41f") == "02060ce41f"  # an answer is passed on


def test_broken_in_several_ways() -> None:
    device = chain()
    said(device, ASSIGN.hex())
    assert said(device, "0306000048") == ""  # CRC
    device.modules[0].mute = True
    assert said(device, "0306000047") == ""
    device.modules[9].dead = True
    assert said(device, ASSIGN.hex()) == ""
