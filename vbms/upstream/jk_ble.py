"""JK BMS over Bluetooth: two commands, and 300-byte payloads that then come by themselves.

    command  AA 55 90 EB | command | length of value | value (13) | sum8      20 bytes
    answer   a payload of jk02.py or jk04.py, cut into notifications of any size

0x97 asks for device info, 0x96 for settings; after it live data stream, one or two a second, and
0x96 is repeated only when they stop. A module says other things too: "AT\\r\\n", once or as a
flood, between payloads and between the pieces of one, and a ready frame AA 55 90 EB C8 behind
device info. The counter in byte 5 may stand
still, wrap or step by ten, and is never looked at.

Which layout: by the firmware that device info names (below 11: 24S; from 11 on: 32S; JK04: see
there). A live frame has the last word: its cell mask and the sum of its cells fit one layout only.

Source: JK BLE notes of three projects; checked against frames of firmware 3 to 19.
"""

import struct

from vbms.aggregate.snapshot import Snapshot
from vbms.errors import FrameError
from vbms.options import BOOL, DEVICE, MILLI, ONCE, Option
from vbms.upstream import jk02, jk04
from vbms.upstream.jk02 import HEADER, INFO, LIVE, SETTINGS, SIZE
from vbms.wire.crc import sum8
from vbms.wire.framing import keep_from

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

OPTIONS = (
    Option("address", DEVICE, required=True, help="its MAC, or the name it advertises"),
    Option(
        "stall_s",
        MILLI,
        30000,
        low=5000,
        high=600000,
        unit="s",
        help="without a live frame for so long the connection is ended and made anew",
    ),
    Option("allow_control", BOOL, False, help="true: commands other than reading may be sent"),
)
DECLARES = ("ccl_ma", "dcl_ma")
NEEDS_SETTINGS = True  # limits and switches stand there: slot 1 before the unit may join
LINE = "vbms.lines.ble"
LINKS = ("ble", "simulate")
# Service; characteristics to write and to listen at. A module has one FFE1 for both, or two of that
# name: which one does what, only their properties tell.
GATT = ("ffe0", "ffe1", "ffe1")
NO_SERVICE = "firmware 19 may do so: switch its Bluetooth off and on, or power it anew"

QUIET_MS = 5000  # without a live frame: ask again

_NOISE = b"AT\r\n"
_ASK_INFO = 0x97
_ASK_SETTINGS = 0x96
_SLOT = (0, 1, 0, 2)  # by payload type
JK04 = 4  # a layout like 24 and 32


def command(register: int, value: bytes = b"") -> bytes:
    """The 20 bytes of a command; a value is little-endian, 13 bytes at most."""
    head = HEADER[1:2] + HEADER[:1] + HEADER[3:] + HEADER[2:3] + bytes((register, len(value)))
    head += value + bytes(13 - len(value))
    return head + bytes((sum8(head),))


def layout_of(info: bytes) -> int:
    """32, 24 or JK04: what device info promises; 0 where it names no firmware."""
    model = jk02.text(info, 6, 16)
    hardware = jk02.text(info, 22, 8)
    software = jk02.text(info, 30, 8)
    if model.startswith("JK-B5A24S") or hardware.startswith("3.") and software.startswith("3.3"):
        return JK04
    major = software.split(".")[0]
    if not major.isdigit():
        return 0
    return 24 if int(major) < 11 else 32


def fits(live: bytes, places: int) -> bool:
    """Whether a live frame makes sense in a layout of 24 or 32 places.

    As many cells read something as the mask names, and they add up to the voltage.
    """
    cells = struct.unpack_from("<%dH" % places, live, 6)
    mask = struct.unpack_from("<I", live, 6 + 2 * places)[0]
    voltage = struct.unpack_from("<I", live, 118 if places == 24 else 150)[0]
    count = 0
    while mask:
        count += 1
        mask &= mask - 1
    total = sum(cells)
    apart = total - voltage if total > voltage else voltage - total
    return count > 0 and count + cells.count(0) == places and apart <= max(voltage // 50, 500)


class Codec:
    """What to ask one JK, and what comes from it."""

    def __init__(self, address: str = "", stall_s: int = 30000, allow_control: bool = False):
        ask = command(_ASK_SETTINGS)
        self._requests = ((QUIET_MS, ask), (ONCE, ask), (ONCE, command(_ASK_INFO)))
        self._readers: dict[int, jk02.Reader] = {}
        self._info: bytes | None = None
        self._promised = 0

    def requests(self) -> "Sequence[tuple[int, bytes]]":
        return self._requests

    def take(self, buffer: bytes) -> tuple[int, bytes | None]:
        size = len(buffer)
        at = 0
        while True:
            if buffer[at : at + 4] != HEADER:
                at += keep_from(buffer[at:], HEADER)
                if size - at < 4:
                    return at, None
            if size - at < 5:
                return at, None
            if SETTINGS <= buffer[at + 4] <= INFO:
                end = at + SIZE
                if size < end:
                    return at, None
                if sum8(buffer[at : end - 1]) == buffer[end - 1]:
                    return end, buffer[at:end]
                if buffer.find(_NOISE[:2], at, end) >= 0 or buffer[end - 1 : end] == _NOISE[:1]:
                    end, frame = _without_noise(buffer, at)
                    if not end:
                        return at, None
                    if sum8(frame[:-1]) == frame[-1]:
                        return end, frame
            at += 1

    def slot(self, frame: bytes) -> int | None:
        if len(frame) != SIZE or not SETTINGS <= frame[4] <= INFO:
            return None
        return _SLOT[frame[4]]

    def decode(self, frames: "Sequence[bytes | None]", now_ms: int) -> Snapshot:
        live, settings, info = frames if len(frames) == 3 else (None, None, None)
        if live is None:
            raise FrameError("expected three slots, the live frame first")
        jk02.check(live, LIVE)
        if info is not self._info:
            if info is not None:
                jk02.check(info, INFO)
            self._promised = 0 if info is None else layout_of(info)
            self._info = info
        layout = picked(live, self._promised)
        if layout == JK04:
            return jk04.snapshot(live, settings, info, now_ms)
        reader = self._readers.get(layout)
        if reader is None:
            reader = self._readers[layout] = jk02.Reader(layout)
        snap = reader.snapshot(live, settings, info, now_ms)
        if self._promised and layout != self._promised:
            snap.note = "its frames have the layout of %dS, not that of its firmware" % layout
        return snap


def _without_noise(buffer: bytes, at: int) -> tuple[int, bytes]:
    """300 bytes from `at` on with the noise left out, and where they end; 0: more bytes needed."""
    frame = b""
    while True:
        need = SIZE - len(frame)
        noise = buffer.find(_NOISE, at, at + need + 3)
        end = at + need if noise < 0 else noise
        frame += buffer[at:end]
        at = noise + 4
        if noise < 0:
            # What ends in the beginning of noise is known a few bytes later.
            return (end, frame) if len(buffer) >= end + 3 and len(frame) == SIZE else (0, frame)


def picked(live: bytes, promised: int) -> int:
    """The layout of a live frame: the promised one, unless another one fits and this one does not.

    With no promise, and nothing that fits (no cell connected), it is the usual one, 32.
    """
    order = (24, 32) if promised == 24 else (32, 24)
    if promised == JK04:
        if jk04.is_likely(live):
            return JK04
    elif fits(live, order[0]):
        return order[0]
    for places in order:
        if fits(live, places):
            return places
    if jk04.is_likely(live):
        return JK04
    return promised or 32
