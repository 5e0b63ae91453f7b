"""The buffer between a link and a codec: bounded, counted, forgetful when told."""

from hypothesis import given
from hypothesis import strategies as st

from vbms.wire.receiver import Receiver


def take(buffer: bytes) -> tuple[int, bytes | None]:
    """A frame is `<`, two bytes, `>`; whatever stands before it goes with it."""
    at = buffer.find(b"<")
    if at < 0:
        return len(buffer), None
    if len(buffer) < at + 4:
        return at, None
    if buffer[at + 3 : at + 4] == b">":
        return at + 4, buffer[at : at + 4]
    return at + 1, None


def test_frames_and_counts() -> None:
    receiver = Receiver(take)
    assert receiver.feed(b"xx<a") == []
    assert (receiver.pending, receiver.dropped) == (2, 2)
    assert receiver.feed(b"b><cd>y") == [b"<ab>", b"<cd>"]
    assert (receiver.pending, receiver.dropped) == (0, 3)
    assert receiver.feed(b"") == []
    assert receiver.feed(b"zz<ef>") == [b"<ef>"]
    assert receiver.dropped == 5


def test_clear_forgets_a_started_frame() -> None:
    receiver = Receiver(take)
    receiver.feed(b"<a")
    assert receiver.clear() == 2
    assert (receiver.pending, receiver.dropped) == (0, 2)
    assert receiver.clear() == 0
    assert receiver.feed(b"b><cd>") == [b"<cd>"]


def test_the_buffer_is_bounded() -> None:
    receiver = Receiver(lambda buffer: (0, None), limit=10)
    for _ in range(100):
        receiver.feed(b"abc")
        assert receiver.pending <= 10
    assert receiver.pending + receiver.dropped == 300
    assert Receiver(lambda buffer: (0, None)).limit == 1024


def test_the_newest_bytes_are_kept() -> None:
    seen: list[bytes] = []

    def look(buffer: bytes) -> tuple[int, bytes | None]:
        seen.append(buffer)
        return 0, None

    receiver = Receiver(look, limit=4)
    receiver.feed(b"abcdef")
    receiver.feed(b"g")
    assert seen[-1] == b"cdefg"


@given(st.lists(st.text("<a>", max_size=12).map(str.encode), max_size=12))
def test_every_byte_is_a_frame_s_or_waits_or_is_counted(chunks: list[bytes]) -> None:
    receiver = Receiver(take)
    frames = [frame for chunk in chunks for frame in receiver.feed(chunk)]
    total = sum(len(frame) for frame in frames) + receiver.pending + receiver.dropped
    assert total == sum(len(chunk) for chunk in chunks)
