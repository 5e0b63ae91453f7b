"""JK over Bluetooth: any pieces, any noise, and the layout that a frame really has."""

import json
import random
import struct
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vbms.errors import FrameError, RefusedError
from vbms.upstream import jk04
from vbms.upstream.jk_ble import Codec, command, fits, layout_of, picked
from vbms.wire.receiver import Receiver

OWN = Path(__file__).resolve().parents[1] / "vectors" / "jk_ble"
READY = bytes.fromhex("aa5590ebc8010100000000000000000000000044")


def frames(name: str) -> list[bytes]:
    return [
        bytes.fromhex(each) for each in json.loads((OWN / f"{name}.json").read_text())["frames"]
    ]


def payload(kind: int = 2, seed: int = 0) -> bytes:
    frame = bytearray(random.Random(seed).randbytes(300))
    frame[:5] = bytes([0x55, 0xAA, 0xEB, 0x90, kind])
    frame[299] = sum(frame[:299]) % 256
    return bytes(frame)


def through(data: bytes, sizes: list[int] | None = None) -> list[bytes]:
    receiver = Receiver(Codec().take)
    found = []
    at = 0
    for size in (sizes or []) + [len(data)]:
        found += receiver.feed(data[at : at + size])
        at += size
    return found


def test_requests_and_their_cadence() -> None:
    settings = "aa5590eb" + "96" + "00" * 14 + "10"
    info = "aa5590eb" + "97" + "00" * 14 + "11"
    assert [(every, data.hex()) for every, data in Codec().requests()] == [
        (5000, settings),
        (-1, settings),
        (-1, info),
    ]
    assert command(4, struct.pack("<I", 3650)).hex() == "aa5590eb0404420e0000000000000000000000d2"


@given(st.lists(st.integers(1, 200), max_size=14), st.integers(0, 3), st.integers(0, 3))
def test_any_chunking_gives_the_same_frames(sizes: list[int], seed: int, floods: int) -> None:
    at = b"AT\r\n"
    stream = (
        Codec().requests()[2][1]
        + payload(3, seed)
        + READY
        + at * floods
        + payload(1)[:171]  # the rest was lost
        + payload(1, seed)
        + payload(2, seed)  # glued
        + b"\x55\xaa\xeb"
        + payload(2, seed + 1)
        + at
    )
    found = through(stream)
    assert [frame[4] for frame in found] == [3, 1, 2, 2]
    assert through(stream, sizes) == found
    pieces = [128, 128, 44, 20] * 4
    assert through(stream, pieces) == found


@given(st.integers(0, 300 * 8 - 1))
def test_a_flipped_bit_gives_no_frame(bit: int) -> None:
    flipped = bytearray(payload())
    flipped[bit // 8] ^= 1 << bit % 8
    assert through(bytes(flipped) + bytes(20)) == []


@given(st.binary(max_size=400))
def test_noise_never_eats_the_frame_behind_it(noise: bytes) -> None:
    assert payload() in through(noise + payload() + bytes(320))


@given(
    st.lists(st.integers(5, 300), min_size=1, max_size=6),
    st.lists(st.integers(1, 200), max_size=14),
    st.integers(0, 3),
)
def test_noise_between_the_pieces_of_a_frame(
    places: list[int], sizes: list[int], seed: int
) -> None:
    frame = payload(2, seed)
    spoilt = b""
    before = 0
    for place in sorted(places):
        spoilt += frame[before:place] + b"AT\r\n"
        before = place
    stream = spoilt + frame[before:] + payload(1, seed) + bytes(8)
    assert through(stream) == [frame, payload(1, seed)]
    assert through(stream, sizes) == [frame, payload(1, seed)]


def test_counters_are_never_looked_at() -> None:
    """Standing still, stepping by ten, wrapping: the same frame thrice is three frames."""
    assert len(through(payload() * 3)) == 3


@pytest.mark.parametrize("kind", [0, 4, 5, 6, 255])
def test_other_types_are_no_frames(kind: int) -> None:
    assert through(payload(kind) + payload(2) + bytes(8)) == [payload(2)]


FRAMES = st.one_of(
    st.none(), st.binary(max_size=320), st.sampled_from([payload(2), payload(1), payload(3)])
)


@given(st.lists(FRAMES, max_size=4))
def test_any_bytes_give_a_snapshot_or_a_named_error(slots: list[bytes | None]) -> None:
    try:
        snap = Codec().decode(slots, 11)
    except (FrameError, RefusedError):
        return
    assert snap.taken_ms == 11


@pytest.mark.parametrize(
    ("model", "hardware", "software", "layout"),
    [
        ("JK-B2A24S20P", "10.XG", "10.07", 24),
        ("JK-BD6A17S6P", "7.X", "7.1.0H", 24),
        ("JK-B2A24S", "3.0", "3.2.3", 24),
        ("JK_PB2A16S20P", "19A", "19.27", 32),
        ("JK_B2A20S20P", "11.XW", "11.288H", 32),
        ("JK-B2A16S", "3.0", "3.3.0", 4),
        ("JK-B5A24S", "8.X", "8.0.3M", 4),
        ("", "", "", 0),
        ("JK", "x", "beta", 0),
    ],
)
def test_what_firmware_promises(model: str, hardware: str, software: str, layout: int) -> None:
    info = bytearray(300)
    for at, text in ((6, model), (22, hardware), (30, software)):
        info[at : at + len(text)] = text.encode()
    assert layout_of(bytes(info)) == layout


def test_a_live_frame_has_the_last_word() -> None:
    for name, layout in (("24s", 24), ("32s", 32)):
        live = frames(name)[0]
        assert fits(live, layout) and not fits(live, 56 - layout)
        for promised in (0, 24, 32, 4):
            assert picked(live, promised) == layout
    live = frames("jk04")[0]
    assert [picked(live, promised) for promised in (0, 24, 32, 4)] == [4] * 4


def test_a_frame_that_fits_nothing_is_read_as_promised() -> None:
    """Without any cell, or with a broken wire: a cell of the mask that reads 0."""
    broken = bytearray(frames("24s")[0])
    broken[6:8] = bytes(2)
    for live in (bytes(broken), bytes(300)):
        assert [picked(live, promised) for promised in (0, 24, 32, 4)] == [32, 24, 32, 4]


@given(st.floats(-1000, 1000, width=32))
def test_floats_in_integers(value: float) -> None:
    (bits,) = struct.unpack("<I", struct.pack("<f", value))
    found = jk04.milli(bits)
    assert found is not None and abs(found - value * 1000) <= 0.5 + 1e-6


@pytest.mark.parametrize("bits", [0x7F800000, 0xFF800000, 0x7FC00000, 0x7F000000])
def test_what_is_no_number(bits: int) -> None:
    assert jk04.milli(bits) is None
