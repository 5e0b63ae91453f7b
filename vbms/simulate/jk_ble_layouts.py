"""Live payloads of JKs that are not 32S: the 24S layout, and the JK04 balancer with its floats.

Offsets are those of the whole frame, from the JK Bluetooth page, frame 02 and section JK04.
"""

import struct

from vbms.simulate import jk_payload
from vbms.simulate.bms import Reading
from vbms.simulate.jk_payload import LIVE, Value
from vbms.simulate.sums import sum8

PLACES = 24

_LIVE_24S = (
    (6, "24H", "cells"),
    (54, "I", "cells_present"),
    (58, "H", "average"),
    (60, "H", "difference"),
    (62, "B", "highest"),
    (63, "B", "lowest"),
    (64, "24H", "wire_resistance"),
    (114, "I", "wire_alarm"),
    (118, "I", "voltage"),
    (122, "I", "power"),
    (126, "i", "current"),
    (130, "h", "temp1"),
    (132, "h", "temp2"),
    (134, "h", "mosfet"),
    (136, "H", "errors"),
    (138, "h", "balance_current"),
    (140, "B", "balancing"),
    (141, "B", "soc"),
    (142, "i", "remaining"),
    (146, "I", "full"),
    (150, "I", "cycles"),
    (154, "I", "throughput"),
    (158, "B", "soh"),
    (162, "I", "uptime"),
    (166, "B", "charge_fet"),
    (167, "B", "discharge_fet"),
    (169, "B", "balancer_working"),
    (182, "B", "sensors_present"),
    (202, "H", "voltage_10mv"),
    (213, "B", "charger_plugged"),
)


def _frame(kind: int, byte5: int) -> bytearray:
    return bytearray(b"\x55\xaa\xeb\x90" + bytes((kind, byte5)) + bytes(294))


def _summed(frame: bytearray) -> bytes:
    frame[299] = sum8(bytes(frame[:299]))
    return bytes(frame)


def live_24s(reading: Reading, byte5: int) -> bytes:
    """Of a pack of up to 24 cells."""
    values = jk_payload.live_values(reading)
    frame = _frame(LIVE, byte5)
    for at, letters, name in _LIVE_24S:
        value: Value = values[name]
        assert not isinstance(value, bytes)
        row = value[:PLACES] if isinstance(value, tuple) else (value,)
        if name == "errors":
            row = (row[0] & 0xFFFF,)
        struct.pack_into(f"<{letters}", frame, at, *row)
    return _summed(frame)


def live_04(reading: Reading, byte5: int) -> bytes:
    """A balancer's: cells, wires, what it balances; nothing else."""
    frame = _frame(LIVE, byte5)
    cells = reading.cells_v
    struct.pack_into(f"<{len(cells)}f", frame, 6, *cells)
    struct.pack_into(f"<{len(cells)}f", frame, 102, *(0.1 for _ in cells))
    struct.pack_into("<2f", frame, 202, sum(cells) / len(cells), max(cells) - min(cells))
    frame[220] = int(reading.balance_a != 0)
    struct.pack_into("<f", frame, 222, reading.balance_a)
    struct.pack_into("<I", frame, 286, reading.uptime_s)
    return _summed(frame)


def settings_04(cells: int, byte5: int) -> bytes:
    frame = _frame(jk_payload.SETTINGS, byte5)
    frame[34] = cells
    for at, value in ((38, 3.0), (74, 3.03), (98, 3.4), (106, 0.005), (110, 2.0)):
        struct.pack_into("<f", frame, at, value)
    frame[114] = 1
    return _summed(frame)
