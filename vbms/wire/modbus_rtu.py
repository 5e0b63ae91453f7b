"""Modbus RTU frames as one who answers hears them: requests, and others' answers, at any offset."""

from vbms.wire.crc import crc16_bytes

READ_HOLDING = 0x03
READ_INPUT = 0x04
IDENTIFY = 0x11
MOST = 125  # registers in one answer: its length byte ends at 250


def take(buffer: bytes) -> tuple[int, bytes | None]:
    """The frame that ends first, at whatever offset it starts; of two with one end the longer.

    Frames that are not for us (other functions, other batteries' answers, our echo) are found too,
    so that their last bytes are not taken for a request that they happen to look like.
    """
    size = len(buffer)
    keep = size
    end = size + 4  # none yet
    start = at = 0
    while at < size and at + 4 < end:
        if at + 1 == size:
            if buffer[at] < 248 and at < keep:
                keep = at
            break
        for length in _lengths(buffer, at, size - at):
            stop = at + length
            if stop > size:
                if at < keep:
                    keep = at
            elif stop < end and crc16_bytes(buffer[at : stop - 2]) == buffer[stop - 2 : stop]:
                end = stop
                start = at
        at += 1
    if end <= size:
        return end, buffer[start:end]
    return keep, None


def _lengths(buffer: bytes, at: int, left: int) -> tuple[int, ...]:
    """How long a frame that starts at this offset may be; nothing for bytes that start none."""
    function = buffer[at + 1]
    if function == READ_INPUT or function == READ_HOLDING:
        body = buffer[at + 2] if left > 2 else 0
        return (8,) if body & 1 or not 0 < body <= 2 * MOST else (8, 5 + body)
    if function == IDENTIFY:
        return (4, 5 + buffer[at + 2]) if left > 2 else (4,)
    if function == 0x06:
        return (8,)
    if function == 0x10:
        return (8, 9 + buffer[at + 6]) if left > 6 else (8,)
    return ()


def is_checked(frame: bytes) -> bool:
    """Whether it ends in its CRC."""
    size = len(frame)
    return size > 3 and crc16_bytes(frame[: size - 2]) == frame[size - 2 :]
