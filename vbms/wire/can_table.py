"""CAN frames as tables: each field once, written to the safe side and read back.

    LIMITS = Frame(0x351, "<", (Cell("cvl_mv", "H", 0, 100, low=1, side=DOWN), ...))

A cell is a value in milli-units, a struct letter, an offset, how many milli-units one bit is worth,
what is added first, and to which side it may be told wrong: a limit only too low (DOWN), the
hottest cell only too high (UP), a measured voltage either way (NEAR). Values saturate, counted by
name, but never to the wrong side: what would have to be told better than it is, is not told.
"""

import struct

from vbms.integers import ceil_div, half_up, toward_zero
from vbms.wire.printable import printable

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

    Message = tuple[int, bytes]
    Decoded = dict[str, object]

DOWN = -1
NEAR = 0
UP = 1
ZERO = 2  # a fraction is cut off: a current is never told larger than it is

SIZE = 8  # of every frame that is sent; what is shorter is read as well
_RANGES = {"B": (0, 255), "H": (0, 65535), "h": (-32768, 32767), "I": (0, 0xFFFFFFFF)}


class Cell:
    """One number in a frame."""

    __slots__ = ("at", "high", "kind", "low", "name", "plus", "side", "size", "unit")

    def __init__(
        self,
        name: str,
        kind: str,
        at: int,
        unit: int = 1,
        plus: int = 0,
        low: int | None = None,
        high: int | None = None,
        side: int = NEAR,
    ):
        """low and high are raw values, where narrower than the kind's."""
        least, most = _RANGES[kind]
        self.name = name
        self.kind = kind
        self.at = at
        self.unit = unit
        self.plus = plus
        self.low = least if low is None else low
        self.high = most if high is None else high
        self.side = side
        self.size = struct.calcsize("<" + kind)

    def raw(self, value: int, saturated: "dict[str, int]") -> int | None:
        """As it is sent; None: it does not fit, and what fits would be too good."""
        side = self.side
        value += self.plus
        if side == DOWN:
            word = value // self.unit
        elif side == UP:
            word = ceil_div(value, self.unit)
        elif side == ZERO:
            word = toward_zero(value - self.plus, self.unit) + self.plus // self.unit
        else:
            word = half_up(value, self.unit)
        if self.low <= word <= self.high:
            return word
        saturated[self.name] = saturated.get(self.name, 0) + 1
        if word < self.low:
            return None if side == DOWN else self.low
        return None if side == UP else self.high


class Text:
    """ASCII in a frame, filled up with `fill`."""

    __slots__ = ("at", "fill", "name", "size")

    def __init__(self, name: str, at: int = 0, size: int = SIZE, fill: bytes = b"\0"):
        self.name = name
        self.at = at
        self.size = size
        self.fill = fill


class Frame:
    """One identifier and what its eight bytes hold. `least`: bytes without which it says nothing.

    `constant` is what stands where no cell does. Without `needed` a frame with an unknown value is
    left out, with it nothing at all may be told.
    """

    __slots__ = ("can_id", "cells", "constant", "least", "missing", "needed", "order", "texts")

    def __init__(
        self,
        can_id: int,
        order: str,
        cells: "tuple[Cell, ...]" = (),
        texts: "tuple[Text, ...]" = (),
        constant: bytes = b"",
        least: int = 1,
        needed: bool = False,
    ):
        self.can_id = can_id
        self.order = order
        self.cells = cells
        self.texts = texts
        self.constant = constant + bytes(SIZE - len(constant))
        self.least = least
        self.needed = needed
        self.missing = ""  # why nothing was written the last time

    def write(
        self, values: "Mapping[str, int | str | None]", saturated: "dict[str, int]"
    ) -> bytes | None:
        """Eight bytes; None where a value is unknown or cannot be told."""
        data = bytearray(self.constant)
        for cell in self.cells:
            value = values[cell.name]
            word = cell.raw(value, saturated) if isinstance(value, int) else None
            if word is None:
                self.missing = cell.name + " is unknown"
                if isinstance(value, int):
                    low, high = cell.low * cell.unit - cell.plus, cell.high * cell.unit - cell.plus
                    self.missing = "%s is %d, not %d..%d" % (cell.name, value, low, high)
                return None
            struct.pack_into(self.order + cell.kind, data, cell.at, word)
        for text in self.texts:
            words = values[text.name]
            if not isinstance(words, str):
                self.missing = text.name + " is unknown"
                return None
            for at, byte in enumerate(printable(words, text.size, text.fill)):
                data[text.at + at] = byte
        return bytes(data)

    def read(self, data: bytes) -> "Decoded":
        """The values of the cells that are wholly there, in milli-units."""
        found: Decoded = {}
        for cell in self.cells:
            if cell.at + cell.size <= len(data):
                word = struct.unpack_from(self.order + cell.kind, data, cell.at)[0]
                found[cell.name] = word * cell.unit - cell.plus
        for text in self.texts:
            found[text.name] = text_of(data[text.at : text.at + text.size])
        return found


def text_of(raw: bytes) -> str:
    """Up to the first NUL, without blanks at the end."""
    letters = ""
    for byte in raw:
        if not byte:
            break
        letters += chr(byte) if 32 <= byte < 127 else "?"
    return letters.rstrip()


def bits_of(rows: "tuple[tuple[int, int], ...]", told: int) -> int:
    """(value to set, alarms that set it) rows as one word."""
    word = 0
    for value, mask in rows:
        if told & mask:
            word |= value
    return word
