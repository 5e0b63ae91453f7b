"""Finding frames in a stream, for shapes that two or more protocols share."""

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable


def keep_from(buffer: bytes, header: bytes) -> int:
    """How many bytes can be dropped: up to `header`, or to a tail that may still become it."""
    at = buffer.find(header)
    if at >= 0:
        return at
    for keep in range(min(len(header) - 1, len(buffer)), 0, -1):
        if buffer[len(buffer) - keep :] == header[:keep]:
            return len(buffer) - keep
    return len(buffer)


def take_fixed(
    buffer: bytes, header: bytes, size: int, check: "Callable[[bytes], int]"
) -> tuple[int, bytes | None]:
    """A frame of `size` bytes that starts with `header` and ends in one byte of `check`.

    Returns what a codec's `take` returns: (0, None) more needed, (n, None) drop n, (n, frame).
    """
    at = keep_from(buffer, header)
    if at:
        return at, None
    if len(buffer) < size:
        return 0, None
    frame = buffer[:size]
    if check(frame[: size - 1]) == frame[size - 1]:
        return size, frame
    return 1, None
