"""Blocks of registers as the codecs of batteries read by registers ask for them.

A codec has `reads() -> ((every_ms, function, start, count), ...)`, a slot each, in place of
requests and take. Its frames are the registers' bytes, high byte first, without any framing.
"""


class Queue:
    """A slot that has to be asked for: write a wish, wait until ready, read the blocks in turn.

    The write starts a measurement and sets nothing. `marker` is the first register of each block.
    """

    __slots__ = ("blocks", "marker", "ready_at", "ready_value", "write_at", "write_values")

    def __init__(
        self,
        write_at: int,
        write_values: "tuple[int, ...]",
        ready_at: int,
        ready_value: int,
        blocks: int,
        marker: int,
    ):
        self.write_at = write_at
        self.write_values = write_values
        self.ready_at = ready_at
        self.ready_value = ready_value
        self.blocks = blocks
        self.marker = marker


# How a number stands in registers: how many bytes, at which byte of its first register, signed.
TYPES = {
    "u16": (2, 0, False),
    "s16": (2, 0, True),
    "u32": (4, 0, False),
    "s32": (4, 0, True),
    "u8_high": (1, 0, False),
    "u8_low": (1, 1, False),
    "s8_high": (1, 0, True),
    "s8_low": (1, 1, True),
}
TYPE_NAMES = ("u16", "s16", "u32", "s32", "u8_high", "u8_low", "s8_high", "s8_low")


def bounds(kind: str) -> "tuple[int, int]":
    """The lowest and highest number of a type."""
    size, _, signed = TYPES[kind]
    span = 1 << 8 * size
    return (-(span // 2), span // 2 - 1) if signed else (0, span - 1)


def number(block: bytes, register: int, kind: str, low_first: bool = False) -> int:
    """The number at a register of a block; low_first: of two registers the low word comes first."""
    size, at, signed = TYPES[kind]
    at += 2 * register
    raw = block[at : at + size]
    if size == 4 and low_first:
        raw = raw[2:] + raw[:2]
    value = 0
    for byte in raw:
        value = value << 8 | byte
    return value - (1 << 8 * size) if signed and raw[0] & 0x80 else value


def number_bytes(value: int, kind: str, low_first: bool = False) -> bytes:
    """The bytes of a number within `bounds`; the opposite of `number`."""
    size = TYPES[kind][0]
    value &= (1 << 8 * size) - 1
    raw = bytes([value >> 8 * (size - 1 - at) & 0xFF for at in range(size)])
    return raw[2:] + raw[:2] if size == 4 and low_first else raw
