"""Pylontech's RS485 frames: upper-case hex text between `~` and a carriage return.

    ~ VER ADR CID1 CID2 LENGTH INFO CHKSUM CR      two characters a byte, LENGTH and CHKSUM four

LENGTH is one digit of its own checksum and three with the number of INFO characters. CHKSUM is the
sum of all characters between `~` and itself, negated, 16 bits. In an answer CID2 is the return
code, 00: normal.

Source: RS485-protocol-pylon-low-voltage-V3.3-20180821, sections 2 and 3; its own examples carry
some wrong checksums, which are refused here as any others.
"""

import struct
from binascii import hexlify, unhexlify

BATTERY = 0x46  # CID1
LONGEST = 4200  # characters; LENID ends at 4095
_SHORTEST = 18
_START = 0x7E
_END = 0x0D


class Message:
    """A frame taken apart. `info` is None where its characters do not make whole bytes."""

    __slots__ = ("address", "command", "info", "kind", "length_fits", "sum_fits", "version")

    def __init__(self, frame: bytes):
        head = unhexlify(frame[1:13])
        self.version, self.address, self.kind, self.command = head[0], head[1], head[2], head[3]
        length = head[4] << 8 | head[5]
        text = frame[13 : len(frame) - 5]
        self.sum_fits = length == length_word(length & 0xFFF)  # LENGTH's own checksum digit
        self.length_fits = length & 0xFFF == len(text)
        self.info: bytes | None = unhexlify(text) if not len(text) & 1 else None


def length_word(characters: int) -> int:
    """LENGTH for so many INFO characters. A digit sum that 16 divides needs a 0, not a 16."""
    total = (characters >> 8) + (characters >> 4 & 15) + (characters & 15)
    return (-total & 15) << 12 | characters


def build(version: int, address: int, command: int, info: bytes = b"") -> bytes:
    """A whole frame around INFO given as bytes. ValueError where it is longer than LENGTH holds."""
    if len(info) > 2047:
        raise ValueError("INFO of %d bytes" % len(info))
    length = length_word(2 * len(info))
    head = bytes((version, address, BATTERY, command, length >> 8, length & 0xFF))
    text = hexlify(head + info).decode().upper().encode()
    return b"~" + text + ("%04X\r" % (-sum(text) & 0xFFFF)).encode()


def fits(frame: bytes) -> bool:
    """Whether CHKSUM is the sum; for a frame whose characters are known to be hex digits."""
    size = len(frame)
    said = struct.unpack(">H", unhexlify(frame[size - 5 : size - 1]))[0]
    return bool(said == -sum(frame[1 : size - 5]) & 0xFFFF)


def is_digit(byte: int) -> bool:
    """One of 0-9 and A-F: lower case is not."""
    return 0x30 <= byte <= 0x39 or 0x41 <= byte <= 0x46


def take(buffer: bytes) -> tuple[int, bytes | None]:
    """What a codec's `take` returns; a frame has hex digits alone and a CHKSUM that fits.

    A new `~` begins anew, anything that is no digit ends what was begun. LENGTH is not judged: a
    wrong one has an answer.
    """
    start = buffer.find(b"~")
    if start < 0:
        return len(buffer), None
    size = len(buffer)
    at = start + 1
    while at < size:
        byte = buffer[at]
        if byte == _END:
            frame = buffer[start : at + 1]
            if _SHORTEST <= len(frame) <= LONGEST and fits(frame):
                return at + 1, frame
            return at + 1, None
        if byte == _START:
            return at, None
        if not is_digit(byte):
            return at + 1, None
        at += 1
    if size - start > LONGEST:
        return size, None
    return start, None
