"""Chunks in, frames out, bounded: the buffer between a link and a codec's `take`."""

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    Take = Callable[[bytes], tuple[int, bytes | None]]


class Receiver:
    """Holds the bytes that may still become a frame, never more than `limit` of them.

    `dropped` counts bytes that belonged to no frame: noise, echoes, bad checksums.
    """

    __slots__ = ("_buffer", "_take", "dropped", "limit")

    def __init__(self, take: "Take", limit: int = 1024):
        self._take = take
        self._buffer = b""
        self.limit = limit
        self.dropped = 0

    def feed(self, chunk: bytes) -> "list[bytes]":
        """The frames that this chunk completes, oldest first."""
        buffer = self._buffer + chunk if self._buffer else chunk
        frames = []
        take = self._take
        while buffer:
            used, frame = take(buffer)
            if not used:
                break
            if frame is None:
                self.dropped += used
            else:
                self.dropped += used - len(frame)
                frames.append(frame)
            buffer = buffer[used:]
        if len(buffer) > self.limit:
            self.dropped += len(buffer) - self.limit
            buffer = buffer[len(buffer) - self.limit :]
        self._buffer = buffer
        return frames

    @property
    def pending(self) -> int:
        """Bytes that wait for more."""
        return len(self._buffer)

    def clear(self) -> int:
        """Forget a started frame; returns how many bytes that cost."""
        lost = len(self._buffer)
        self.dropped += lost
        self._buffer = b""
        return lost
