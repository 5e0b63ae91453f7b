"""Finding a header, and a frame of fixed size, anywhere in a stream."""

from hypothesis import given
from hypothesis import strategies as st

from vbms.wire.crc import sum8
from vbms.wire.framing import keep_from, take_fixed
from vbms.wire.receiver import Receiver

HEADER = b"\xa5\x81\xa5"
FEW = st.lists(st.sampled_from(b"\xa5\x81\x00"), max_size=30).map(bytes)


def take(buffer: bytes) -> tuple[int, bytes | None]:
    return take_fixed(buffer, HEADER, 6, sum8)


def frame(body: bytes) -> bytes:
    data = HEADER + body
    return data + bytes([sum(data) % 256])


def test_keep_from() -> None:
    assert keep_from(b"", HEADER) == 0
    assert keep_from(b"\x00\x00" + HEADER, HEADER) == 2
    assert keep_from(b"\x00\xa5\x81", HEADER) == 1
    assert keep_from(b"\x00\x81", HEADER) == 2
    assert keep_from(b"\xa5\x81\xa5\x81", HEADER) == 0


@given(FEW, FEW)
def test_nothing_that_may_become_a_header_is_dropped(before: bytes, after: bytes) -> None:
    whole = (before + after).find(HEADER)
    at = keep_from(before, HEADER)
    assert 0 <= at <= len(before)
    assert whole < 0 or at <= whole


def test_take_fixed() -> None:
    good = frame(b"\x01\x02")
    assert take(good) == (6, good)
    assert take(good + b"x") == (6, good)
    assert take(good[:5]) == (0, None)
    assert take(b"xy" + good) == (2, None)
    bad = good[:-1] + bytes([good[-1] ^ 1])
    assert take(bad) == (1, None)


@given(FEW, st.lists(st.integers(1, 9), max_size=9))
def test_any_chunking_gives_the_same_frames(noise: bytes, sizes: list[int]) -> None:
    stream = noise + frame(b"\x01\x02") + noise[:4] + frame(b"\xa5\x81")
    whole = Receiver(take).feed(stream)
    receiver = Receiver(take)
    pieces = []
    at = 0
    for size in [*sizes, len(stream)]:
        pieces += receiver.feed(stream[at : at + size])
        at += size
    assert pieces == whole
