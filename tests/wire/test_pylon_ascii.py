"""Pylontech's framing: the page's own examples, any chunking, any flipped bit."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vbms.wire import pylon_ascii
from vbms.wire.pylon_ascii import Message, build, length_word, take
from vbms.wire.receiver import Receiver

GOOD = b"~200246610000FDAB\r"


@pytest.mark.parametrize(
    ("characters", "word"), [(0, 0), (0x12, 0xD012), (0x62, 0x8062), (0x40, 0xC040), (0x88, 0x0088)]
)
def test_length(characters: int, word: int) -> None:
    """0x088: the digits add up to 16, and the short formula would give one character too many."""
    assert length_word(characters) == word


@pytest.mark.parametrize(
    ("address", "command", "frame"),
    [
        (0x02, 0x60, b"~200246600000FDAC\r"),
        (0x02, 0x61, GOOD),
        (0x02, 0x63, b"~200246630000FDA9\r"),
        (0x12, 0x61, b"~201246610000FDAA\r"),
        (0x02, 0x02, b"~200246020000FDB0\r"),
    ],
)
def test_build(address: int, command: int, frame: bytes) -> None:
    assert build(0x20, address, command) == frame
    message = Message(frame)
    assert (message.address, message.command, message.info) == (address, command, b"")
    assert message.sum_fits and message.length_fits


def test_info() -> None:
    frame = build(0x20, 2, 0x42, b"\xff")
    assert frame == b"~20024642E002FFFD09\r"
    assert Message(frame).info == b"\xff"
    with pytest.raises(ValueError, match="2048"):
        build(0x20, 2, 0, bytes(2048))


@pytest.mark.parametrize(
    "bad",
    [
        b"~200246610000FDAA\r",
        b"~200246610000fdab\r",
        b"~20024661 0000FDAB\r",
        b"200246610000FDAB\r",
        b"~0246610000FDAB\r",
        b"~\r",
        b"\x00\x04\x10\x00\x00\x17\xb5\x15",
        b"~" + b"0" * 4300 + b"\r",
    ],
)
def test_what_is_no_frame(bad: bytes) -> None:
    receiver = Receiver(take, 5000)
    assert receiver.feed(bad) == []
    assert receiver.feed(GOOD) == [GOOD]
    assert receiver.dropped == len(bad)


def test_a_start_begins_anew() -> None:
    assert Receiver(take).feed(b"~2002" + GOOD + b"~200") == [GOOD]
    assert take(b"~2002466") == (0, None)


@given(
    st.lists(st.sampled_from([GOOD, b"~", b"\r", b"\x00\x04", b"~20024642E00202FD33\r", b"F00"])),
    st.lists(st.integers(1, 9)),
)
def test_any_chunking(parts: list[bytes], sizes: list[int]) -> None:
    data = b"".join(parts)
    whole = Receiver(take).feed(data)
    receiver = Receiver(take)
    found = []
    for size in sizes:
        found += receiver.feed(data[:size])
        data = data[size:]
    assert found + receiver.feed(data) == whole
    assert receiver.pending <= pylon_ascii.LONGEST


@given(st.binary(max_size=60), st.integers(0, 255), st.data())
def test_one_flipped_bit_is_no_frame(info: bytes, command: int, data: st.DataObject) -> None:
    frame = build(0x20, 2, command, info)
    assert Receiver(take).feed(frame) == [frame]
    bit = data.draw(st.integers(0, 8 * len(frame) - 1))
    spoilt = bytearray(frame)
    spoilt[bit // 8] ^= 1 << bit % 8
    assert Receiver(take).feed(bytes(spoilt)) == []


@given(st.binary(max_size=200))
def test_any_bytes(noise: bytes) -> None:
    receiver = Receiver(take)
    receiver.feed(noise)
    receiver.clear()
    assert receiver.feed(GOOD) == [GOOD]
