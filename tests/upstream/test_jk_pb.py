"""JK PB on a shared line: payload and acknowledge, filler, echoes, neighbours, a master."""

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vbms.errors import FrameError, RefusedError
from vbms.upstream.jk_pb import Codec
from vbms.wire.receiver import Receiver

REGISTERS = {1: 0x1E, 2: 0x20, 3: 0x1C}


def crc(data: bytes) -> bytes:
    value = 0xFFFF
    for byte in data:
        value ^= byte
        for _ in range(8):
            value = (value >> 1) ^ (0xA001 if value & 1 else 0)
    return value.to_bytes(2, "little")


def payload(kind: int = 2, seed: int = 0, counter: int = 0) -> bytes:
    frame = bytearray(random.Random(seed).randbytes(300))
    frame[:6] = bytes([0x55, 0xAA, 0xEB, 0x90, kind, counter])
    frame[299] = sum(frame[:299]) % 256
    return bytes(frame)


def ack(address: int = 1, kind: int = 2) -> bytes:
    head = bytes([address, 0x10, 0x16, REGISTERS[kind], 0, 1])
    return head + crc(head)


def through(data: bytes, sizes: list[int] | None = None, address: int = 1) -> list[bytes]:
    receiver = Receiver(Codec(address=address).take)
    frames = []
    at = 0
    for size in (sizes or []) + [len(data)]:
        frames += receiver.feed(data[at : at + size])
        at += size
    return frames


GOOD = payload() + ack()


def test_requests() -> None:
    assert [(ms, data.hex(" ")) for ms, data in Codec(address=1).requests()] == [
        (0, "01 10 16 20 00 01 02 00 00 d6 f1"),
        (10000, "01 10 16 1e 00 01 02 00 00 d2 2f"),
        (-1, "01 10 16 1c 00 01 02 00 00 d3 cd"),
    ]
    assert Codec(address=15).requests()[0][1].hex() == "0f10162000010200009a91"


@pytest.mark.parametrize("filler", [b"", b"\x00"])
@pytest.mark.parametrize("behind", [b"", b"\x00"])
@pytest.mark.parametrize("counter", [0, 5, 99])
@pytest.mark.parametrize(("kind", "slot"), [(2, 0), (1, 1), (3, 2)])
def test_answers(filler: bytes, behind: bytes, counter: int, kind: int, slot: int) -> None:
    body = payload(kind, counter=counter)
    receiver = Receiver(Codec().take)
    frames = receiver.feed(body + filler + ack(1, kind) + behind)
    assert frames == [body + ack(1, kind)]
    assert receiver.pending == 0
    assert Codec(address=1).slot(frames[0]) == slot
    assert Codec(address=2).slot(frames[0]) is None


@given(st.lists(st.integers(1, 200), max_size=12), st.integers(0, 3))
def test_any_chunking_gives_the_same_frames(sizes: list[int], seed: int) -> None:
    echo = Codec().requests()[0][1]
    stream = (
        echo
        + payload(2, seed)
        + b"\x00"
        + ack()
        + b"\x00"
        + payload(1)[:287]
        + payload(1, seed)
        + ack(0, 1)
        + payload(3)
        + ack(1, 2)
        + b"\x55\xaa\xeb"
        + payload(3, seed)
        + ack(1, 3)
    )
    frames = through(stream)
    assert [frame[4] for frame in frames] == [2, 1, 3]
    assert through(stream, sizes) == frames


@given(st.integers(0, len(GOOD) * 8 - 1))
def test_a_flipped_bit_gives_no_frame(bit: int) -> None:
    flipped = bytearray(GOOD)
    flipped[bit // 8] ^= 1 << bit % 8
    assert through(bytes(flipped) + bytes(20)) == []


@given(st.binary(max_size=400))
def test_noise_never_eats_the_frame_behind_it(noise: bytes) -> None:
    assert GOOD in through(noise + GOOD + bytes(320))


@pytest.mark.parametrize("at", [0, 1, 50, 299, 300, 307])
def test_a_header_in_the_noise_does_not_swallow_the_frame(at: int) -> None:
    noise = bytearray(308)
    noise[at : at + 5] = payload()[:5]
    assert through(bytes(noise) + GOOD + bytes(320))[-1:] == [GOOD]


def test_an_unknown_type_is_not_waited_for() -> None:
    receiver = Receiver(Codec().take)
    assert receiver.feed(b"\x55\xaa\xeb\x90\x05" + bytes(40)) == []
    assert receiver.pending == 0
    assert receiver.feed(GOOD) == [GOOD]


@pytest.mark.parametrize(
    "behind",
    [
        bytes(8),
        b"\x00\x00" + ack(),
        ack(1, 1),
        ack()[:-1] + b"\x00",
        ack()[:4] + b"\x00\x02" + crc(ack()[:4] + b"\x00\x02"),
        b"\x37" + ack(),
        Codec().requests()[0][1],
    ],
    ids=["zeros", "two fillers", "other register", "crc", "count", "noise", "echo"],
)
def test_a_payload_without_its_acknowledge_is_no_frame(behind: bytes) -> None:
    assert through(payload() + behind + bytes(20)) == []
    assert through(payload() + behind + GOOD) == [GOOD]


def test_a_payload_waits_for_its_acknowledge() -> None:
    receiver = Receiver(Codec().take)
    assert receiver.feed(payload()) == []
    for byte in (b"\x00" + ack())[:-1]:
        assert receiver.feed(bytes([byte])) == []
        assert receiver.pending
    assert receiver.feed(ack()[-1:]) == [GOOD]


@pytest.mark.parametrize("address", [0, 2, 15, 16])
@pytest.mark.parametrize("filler", [b"", b"\x00"])
def test_somebody_else_s_answer(address: int, filler: bytes) -> None:
    """A neighbour's frame, or the master's broadcast, is a frame and never ours."""
    for sizes in ([], [300], [301], [302], [303]):
        (frame,) = through(payload() + filler + ack(address), sizes)
        assert frame == payload() + ack(address)
        assert Codec(address=1).slot(frame) is None


@pytest.mark.parametrize("size", [0, 1, 5, 8, 299, 307, 309])
def test_slot_of_what_is_no_frame(size: int) -> None:
    assert Codec().slot((GOOD + GOOD)[:size]) is None


FRAMES = st.one_of(
    st.none(), st.binary(max_size=320), st.sampled_from([GOOD, payload(1), payload(3)])
)


@given(st.lists(FRAMES, max_size=4))
def test_any_bytes_give_a_snapshot_or_a_named_error(frames: list[bytes | None]) -> None:
    try:
        snap = Codec().decode(frames, 11)
    except (FrameError, RefusedError):
        return
    assert snap.taken_ms == 11
    assert frames[0] is not None and len(frames) == 3


@given(st.binary(max_size=900))
def test_take_always_moves_or_waits(data: bytes) -> None:
    receiver = Receiver(Codec().take)
    assert receiver.feed(data) == []
    assert receiver.pending < 310
