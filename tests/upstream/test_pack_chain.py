"""Packets of cell modules: the published examples, any split, no flipped bit, no odd value."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vbms.errors import FrameError
from vbms.upstream.pack_chain import Codec, crc8
from vbms.wire.receiver import Receiver

# Computed from the packet's definition, as published: (packet, what it is).
ASSIGN = bytes.fromhex("01030001ac")
COUNTED = bytes.fromhex("0103000f86")  # 14 modules
READ_V, SAID_V = bytes.fromhex("0306000047"), bytes.fromhex("02060ce41f")  # 3300 mV
READ_T, SAID_T = bytes.fromhex("030800006b"), bytes.fromhex("0208001932")  # 25 degrees


def packet(*four: int, name: int | None = None) -> bytes:
    body = bytes(four) if name is None else bytes((name, *four))
    return body + bytes((crc8(body),))


def said(address: int, register: int, value: int, name: int | None = None) -> bytes:
    return packet(address << 1, register << 1, value >> 8, value & 255, name=name)


def through(codec: Codec, data: bytes, sizes: list[int] | None = None) -> list[bytes]:
    receiver = Receiver(codec.take)
    frames = []
    at = 0
    for size in (sizes or []) + [len(data)]:
        frames += receiver.feed(data[at : at + size])
        at += size
    return frames


def test_the_six_published_packets() -> None:
    codec = Codec(cells=14)
    requests = [request for _, request in codec.requests()]
    assert requests[0] == READ_V and requests[14] == READ_T and requests[28] == ASSIGN
    for frame, slot in ((COUNTED, 28), (SAID_V, 0), (SAID_T, 14)):
        assert through(codec, frame) == [frame]
        assert codec.slot(frame) == slot
    assert codec.count(COUNTED) == 14 and codec.count(ASSIGN) == 0
    assert codec.value(SAID_V) == 3300 and codec.value(SAID_T) == 25
    for frame in (READ_V, READ_T):  # back as it went: for nobody
        assert through(codec, frame) == [frame]
        assert codec.slot(frame) is None


@given(st.integers(0, 39), st.sampled_from([ASSIGN, COUNTED, READ_V, SAID_V, READ_T, SAID_T]))
def test_a_flipped_bit_gives_no_packet(bit: int, frame: bytes) -> None:
    flipped = bytearray(frame)
    flipped[bit // 8] ^= 1 << bit % 8
    assert through(Codec(), bytes(flipped)) == []


@given(st.lists(st.integers(1, 9), max_size=20), st.integers(1, 14), st.integers(0, 0xFFFF))
def test_any_chunking_gives_the_same_packets(sizes: list[int], address: int, value: int) -> None:
    codec = Codec()
    stream = READ_V + said(address, 3, value) + b"\x02" + said(address, 4, 25) + COUNTED
    assert through(codec, stream, sizes) == through(codec, stream)
    assert through(codec, stream)[0] == READ_V


@given(
    st.lists(
        st.one_of(st.none(), st.binary(max_size=8), st.builds(packet, *[st.integers(0, 255)] * 4)),
        min_size=5,
        max_size=5,
    ),
    st.sampled_from(["v1", "v2"]),
)
def test_any_bytes_give_a_snapshot_or_a_named_error(frames: list, dialect: str) -> None:
    for codec in (Codec(cells=2, dialect=dialect), Codec(cells=4, dialect="v2")):
        try:
            snap = codec.decode(frames, 5)
        except FrameError:
            continue
        assert snap.taken_ms == 5 and snap.cells_mv


@given(st.binary(max_size=60))
def test_noise_never_eats_the_packet_that_is_asked_for(noise: bytes) -> None:
    """The loop starts each exchange with an empty receiver; what is noise before is dropped."""
    codec = Codec()
    receiver = Receiver(codec.take)
    receiver.feed(noise)
    receiver.clear()
    assert receiver.feed(SAID_V) == [SAID_V]


def chain(cells: int = 3, **options: object) -> tuple[Codec, list[bytes | None]]:
    codec = Codec(cells=cells, **options)  # type: ignore[arg-type]
    frames: list[bytes | None] = [said(n + 1, 3, 3300 + n) for n in range(cells)]
    frames += [said(n + 1, 4, 20 + n) for n in range(cells)]
    frames.append(packet(1, 3, 0, cells + 1))
    return codec, frames


def test_values() -> None:
    codec, frames = chain()
    snap = codec.decode(frames, 7)
    assert snap.cells_mv == (3300, 3301, 3302) and snap.voltage_mv == 9903
    assert snap.temps_mc == (20000, 21000, 22000)
    assert snap.current_ma is None and snap.soc_permille is None and snap.capacity_mah is None
    assert snap.charge_ok is None and snap.discharge_ok is None
    codec, frames = chain(switches="absent")
    snap = codec.decode(frames, 7)
    assert snap.charge_ok is True and snap.discharge_ok is True


def test_below_zero() -> None:
    codec, frames = chain()
    frames[3] = said(1, 4, 0x10000 - 7)
    assert codec.decode(frames, 7).temps_mc == (-7000, 21000, 22000)


def test_what_a_module_has_not_said_is_unknown() -> None:
    codec, frames = chain()
    frames[1] = frames[4] = None
    snap = codec.decode(frames, 7)
    assert snap.cells_mv == (3300, None, 3302) and snap.voltage_mv is None
    assert snap.temps_mc == (20000, None, 22000)
    frames[3] = frames[5] = None
    assert codec.decode(frames, 7).temps_mc is None


@pytest.mark.parametrize("count", [2, 5])
def test_as_many_cells_as_there_are_modules(count: int) -> None:
    """So that admission sees a chain that is not as its profile says."""
    codec, frames = chain()
    frames[6] = packet(1, 3, 0, count + 1)
    assert len(codec.decode(frames, 7).cells_mv or ()) == count


def test_what_is_refused() -> None:
    codec, frames = chain()
    for broken, reason in (
        (frames[:6], "7 slots"),
        ([*frames[:6], None], "numbered"),
        ([None] * 6 + [frames[6]], "voltage"),
        ([b"\x00", *frames[1:]], "1 bytes"),
        ([*frames[:6], packet(1, 3, 1, 0)], "255 modules"),
    ):
        with pytest.raises(FrameError, match=reason):
            codec.decode(broken, 7)


def test_v2_has_an_id_and_other_registers() -> None:
    codec = Codec(cells=3, dialect="v2")
    assert len(codec.requests()) == 4
    assert codec.requests()[2][1] == packet(7, 4, 0, 0, name=2)
    answer = said(3, 2, 3310, name=2)
    assert through(codec, b"\x05" + answer) == [answer]
    assert codec.slot(answer) == 2 and codec.value(answer) == 3310
    assert codec.slot(said(3, 2, 3310, name=1)) is None  # an answer to an earlier request
    assert codec.slot(said(3, 2, 3310)) is None
    count = packet(1, 3, 0, 4, name=3)
    assert codec.slot(count) == 3
    snap = codec.decode([said(1, 2, 3300, name=0), None, answer, count], 7)
    assert snap.cells_mv == (3300, None, 3310) and snap.temps_mc is None
