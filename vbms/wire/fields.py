"""Field tables: a frame's layout as data, decoded by one struct call.

    LIVE = Table("<", (Field("voltage_mv", "I", 150), Field("soc_permille", "B", 173, 10)))
    LIVE.fill(snapshot, payload)

A field is a name, a struct letter (with a count for an array), an offset and an integer factor to
milli-units; a negative factor flips a sign. Bytes between fields become padding, so the whole frame
is read by a single `struct.unpack_from`, on the PC as on a board.
"""

import struct

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import Any

    Buffer = bytes | bytearray | memoryview


class Field:
    """Where one value stands in a frame, and what one bit of it is worth."""

    __slots__ = ("at", "kind", "name", "scale")

    def __init__(self, name: str, kind: str, at: int, scale: int = 1):
        self.name = name
        self.kind = kind
        self.at = at
        self.scale = scale


class Table:
    """Fields of one frame, compiled. `size` is the shortest frame that holds them all."""

    __slots__ = ("_arrays", "_plain", "_scaled", "format", "size")

    def __init__(self, order: str, fields: "Iterable[Field]"):
        plain = []
        scaled = []
        arrays = []
        text = order
        end = 0
        index = 0
        for field in sorted(fields, key=lambda f: f.at):
            if field.at < end:
                raise ValueError("%s overlaps the field before it" % field.name)
            if field.at > end:
                text += "%dx" % (field.at - end)
            text += field.kind
            end = field.at + struct.calcsize(order + field.kind)
            count = field.kind[:-1]
            if count and field.kind[-1] != "s":
                arrays.append((field.name, index, index + int(count), field.scale))
                index += int(count)
            elif field.scale == 1:
                plain.append((field.name, index))
                index += 1
            else:
                scaled.append((field.name, index, field.scale))
                index += 1
        self.format = text
        self.size = end
        self._plain = tuple(plain)
        self._scaled = tuple(scaled)
        self._arrays = tuple(arrays)

    def unpack(self, frame: "Buffer", at: int = 0) -> "tuple[Any, ...]":
        """The raw values by rising offset, for a codec that takes them apart itself."""
        return struct.unpack_from(self.format, frame, at)

    def fill(self, target: object, frame: "Buffer", at: int = 0) -> None:
        """Set fields as attributes of target, arrays as tuples. The caller checks the length."""
        values = struct.unpack_from(self.format, frame, at)
        for name, index in self._plain:
            setattr(target, name, values[index])
        for name, index, scale in self._scaled:
            setattr(target, name, values[index] * scale)
        for name, start, stop, scale in self._arrays:
            row = values[start:stop]
            setattr(target, name, row if scale == 1 else tuple([value * scale for value in row]))

    def read(self, frame: "Buffer", at: int = 0) -> "dict[str, int | bytes | tuple[int, ...]]":
        """The same as a dict, for `vbms decode` and tests."""
        values = struct.unpack_from(self.format, frame, at)
        found = {}
        for name, index in self._plain:
            found[name] = values[index]
        for name, index, scale in self._scaled:
            found[name] = values[index] * scale
        for name, start, stop, scale in self._arrays:
            found[name] = tuple([value * scale for value in values[start:stop]])
        return found
