"""The simulated JK on its GPS port answers as the document says; checked by hand, not by a codec."""

import struct

from vbms.simulate import jk_4e57
from vbms.simulate.jk_4e57 import Jk4e57
from vbms.simulate.world import World

READ_ALL = bytes.fromhex("4e5700130000000006030000000000006800000129")


def unit(**options: object) -> Jk4e57:
    world = World(seed=1)
    pack = world.add("jk-1", "jk_4e57", 14, 100.0, 0.5, settings=jk_4e57.settings())
    return Jk4e57(pack, **options)  # type: ignore[arg-type]


def answer(device: Jk4e57, data: bytes = READ_ALL) -> bytes:
    return b"".join(data for _, data in device.receive(data, 0.0))


def test_one_request_one_answer_in_time() -> None:
    device = unit()
    ((delay_s, frame),) = device.receive(READ_ALL, 0.0)
    assert delay_s + len(frame) * 10 / 115200 < 0.1
    assert frame[:2] == b"NW" and len(frame) == struct.unpack(">H", frame[2:4])[0] + 2 == 285
    assert frame[8:11] == b"\x06\x00\x01" and frame[-9:-2] == b"\0\0\0\0\x68\0\0"
    assert sum(frame[:-4]) & 0xFFFF == struct.unpack(">H", frame[-2:])[0]
    assert frame[11:13] == b"\x79\x2a"  # 14 cells
    assert frame[-11:-9] == b"\xc0\x01"


def test_both_codings_of_current() -> None:
    for amps, signed, counted in ((2.08, 0x80D0, 9792), (-5.0, 500, 10500), (0.0, 0, 10000)):
        for coding, raw in ((1, signed), (0, counted)):
            device = unit(coding=coding)
            device.pack.pin(current_a=amps)
            frame = answer(device)
            at = frame.index(b"\x83", 11 + 2 + 42) + 3
            assert frame[at : at + 3] == b"\x84" + struct.pack(">H", raw)
            assert (frame[-11:-9] == b"\xc0\x01") == bool(coding)


def test_cold_is_coded() -> None:
    device = unit()
    device.pack.pin(mosfet_c=-5.0)
    assert answer(device)[55:58] == b"\x80\x00\x69"


def test_silent_to_what_is_no_request() -> None:
    device = unit()
    for bad in (READ_ALL[:-1] + b"\x2a", READ_ALL[:20], b"", answer(device)):
        assert answer(unit(), bad) == b""
    assert answer(device, b"\x00\xff" + READ_ALL)


def test_asleep_it_needs_a_second_request() -> None:
    device = unit(asleep=True)
    assert answer(device) == b""
    assert answer(device)
