"""Packets of a chain of cell modules, one by one, or in words what is wrong."""

from vbms.commands.decoding import Reading, Values, only
from vbms.errors import FrameError
from vbms.upstream.pack_chain import ASKS, V1, V2, Codec, crc8

_SIZES = {V1: 5, V2: 6}
_REGISTERS = {
    V1: {1: "address", 2: "reference_mv", 3: "voltage_mv", 4: "temp_mc", 5: "balance"},
    V2: {1: "address", 2: "voltage_mv", 3: "balance"},
}


def read(data: bytes) -> Reading:
    """Every packet in `data`, all of one dialect; with all voltages of a chain its cells too.

    Raises FrameError, its first word saying what is wrong.
    """
    if len(data) < _SIZES[V1]:
        raise FrameError("truncated: %d bytes are less than any packet" % len(data))
    for dialect, size in _SIZES.items():
        starts = range(0, len(data) - size + 1, size)
        if len(data) >= size and crc8(data[: size - 1]) == data[size - 1]:
            for at in starts:
                if crc8(data[at : at + size - 1]) != data[at + size - 1]:
                    raise FrameError("checksum: the CRC of packet %d" % (at // size + 1))
            if len(data) % size:
                raise FrameError("length: %d bytes left over behind a packet" % (len(data) % size))
            packets = [_named(data[at : at + size], dialect) for at in starts]
            return _cells(packets) or only(packets), None
    raise FrameError("checksum: the CRC is %02x, the packet says %02x" % (crc8(data[:4]), data[4]))


def _named(frame: bytes, dialect: str) -> Values:
    found: Values = {"id": frame[0]} if dialect == V2 else {}
    head, register = frame[-5], frame[-4] >> 1
    found["address"] = head >> 1
    found["asks"] = bool(head & ASKS)
    found["register"] = register
    found["writes"] = bool(frame[-4] & 1)
    value = Codec(dialect=dialect).value(frame)
    found["value"] = value
    if not found["asks"] and register in _REGISTERS[dialect]:
        name = _REGISTERS[dialect][register]
        if name == "temp_mc":
            value = (value - 0x10000 if value & 0x8000 else value) * 1000
        found[name] = value
    elif not found["address"] and register == 1:
        found["modules"] = max(0, value - 1)
    return found


def _cells(packets: list[Values]) -> Values | None:
    """A whole round as one picture; None for anything less."""
    cells = {each["address"]: each["voltage_mv"] for each in packets if "voltage_mv" in each}
    if len(cells) < 2 or sorted(cells) != list(range(1, len(cells) + 1)):
        return None
    temps = {each["address"]: each["temp_mc"] for each in packets if "temp_mc" in each}
    values = [cells[n] for n in sorted(cells)]
    return {
        "voltage_mv": sum(values),
        "cells_mv": values,
        "temps_mc": [temps[n] for n in sorted(temps)] or None,
    }
