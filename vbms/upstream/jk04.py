"""The JK04 payload of old JK balancers: 300 bytes in the frame of JK02, values as 32-bit floats.

    55 AA EB 90 | type: 01 settings, 02 live, 03 device info | counter | data | sum8 at 299

Hardware 3.x with firmware 3.3.x, and JK-B5A24S. It measures cells and moves charge between them; it
knows no current, no SOC and no switch. So it is shown, and never part of a bank: the battery below
it is another BMS's to tell. Device info is laid out as in JK02.

Sources: JK BLE notes of three projects; checked against annotated frames of firmware 3.3.0.
"""

import struct

from vbms.aggregate.snapshot import Snapshot
from vbms.upstream import jk02

PLACES = 24
NOTE = "a balancer: it knows neither current nor SOC, so it is shown and not merged"


def milli(bits: int) -> int | None:
    """An IEEE-754 single as an int in thousandths, half up; None: no such number, or 2^20 and more.

    In integers alone: a board's floats are single precision themselves, and live on its heap.
    """
    exponent = bits >> 23 & 0xFF
    if exponent > 127 + 19:
        return None
    shift = 150 - exponent
    if not exponent or shift > 40:
        return 0
    scaled = ((bits & 0x7FFFFF | 0x800000) * 1000 + (1 << shift - 1)) >> shift
    return -scaled if bits >> 31 else scaled


def cells(live: bytes) -> "list[int]":
    """The cells that exist, in mV: those that read anything at all, by rising number."""
    found = []
    for bits in struct.unpack_from("<%dI" % PLACES, live, 6):
        value = milli(bits)
        if value:
            found.append(value)
    return found


def is_likely(live: bytes) -> bool:
    """Whether the first two cells read as floats between 0.5 and 8 V."""
    for at in (6, 10):
        value = milli(struct.unpack_from("<I", live, at)[0])
        if value is None or not 500 <= value < 8000:
            return False
    return True


def is_settings(settings: bytes) -> bool:
    """Whether settings are JK04's: a power-off voltage as a float, and a count of cells before."""
    value = milli(struct.unpack_from("<I", settings, 38)[0])
    return value is not None and 500 <= value < 8000 and 0 < settings[34] <= PLACES


def snapshot(live: bytes, settings: bytes | None, info: bytes | None, now_ms: int) -> Snapshot:
    """Payloads to a Snapshot that no bank counts. Raises FrameError for a frame of another type."""
    jk02.check(live, jk02.LIVE)
    snap = Snapshot(taken_ms=now_ms)
    snap.only_shown = True
    snap.note = NOTE
    snap.cells_mv = found = cells(live)
    snap.voltage_mv = sum(found)
    snap.balancing = live[220] != 0
    if settings is not None:
        jk02.check(settings, jk02.SETTINGS)
        snap.cell_count = settings[34]
    if info is not None:
        jk02.check(info, jk02.INFO)
        snap.serial = jk02.text(info, 86, 16) or None
        snap.model = jk02.text(info, 6, 16) or None
    return snap
