"""JK BMS on its GPS/UART port ("NW", 4E 57), 115200 8N1: one request, all there is to know.

    4E 57 | length u16 | terminal u32 | command | source | type | data
          | record u32 | 68 | 00 00 | sum u16

All big-endian; length counts all but the start, the sum all before the zeros ahead of it. Data are
tags of fixed width, 79 (the cells) alone has a length; old firmware leaves some out, so they are
walked, and an unknown one makes all behind it unreadable. An answer may name another command than
the request: its type says that it is one. There is no address: one unit for each line.

Where the unit does not say its actual capacity (B9, from firmware 10.10 on), the one that it is set
to, which its SOC is counted against, stands for it. SOH is not on the wire. A set bit 3 of the
status says that cells are missing, as the one capture has it; the maker's text has it inverted.

Sources: the maker's protocol text for the GPS port; five recorded answers of four models.
"""

import struct

from vbms.aggregate import alarms
from vbms.aggregate.snapshot import Snapshot
from vbms.errors import FrameError
from vbms.options import EACH_POLL, Option
from vbms.wire.framing import keep_from

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

OPTIONS: tuple[Option, ...] = ()
DECLARES = ("ccl_ma", "dcl_ma")
NEEDS_SETTINGS = True  # cells, capacity and limits, which each answer holds
ALONE = True  # no address: one unit for each line
BAUD = 115200

START = b"\x4e\x57"
HEAD = 11  # bytes before the data
TAIL = 9  # and behind them
REQUEST = bytes.fromhex("4e5700130000000006030000000000006800000129")
_SHORTEST = HEAD + TAIL
_LONGEST = 339  # 32 cells and every tag that is known
_COMMANDS = (1, 2, 3, 5, 6)
_LAST_SOURCE = 3
ASKS, ANSWERS, REPORTS = 0, 1, 2  # types
_BMS = 0  # source

CELLS = 0x79
_FIRST = 0x80
_WIDTHS = (
    b"\x02\x02\x02\x02\x02\x01\x01\x02\x00\x04\x02\x02\x02\x00\x02\x02"  # 80 to 8F
    b"\x02\x02\x02\x02\x02\x02\x02\x02\x02\x02\x02\x02\x02\x01\x02\x02"
    b"\x02\x02\x02\x02\x02\x02\x02\x02\x02\x01\x04\x01\x01\x02\x01\x01"
    b"\x02\x01\x0a\x01\x08\x04\x04\x0f\x01\x04\x18\x00\x00\x00\x00\x00"  # B0; BB on: written only
    b"\x01"  # C0
)
_MOST_CELLS = 32

_NO_CHARGE = 0x3736  # alarm bits 1, 2, 4, 5, 8-10, 12, 13
_NO_DISCHARGE = 0x3B5A  # 1, 3, 4, 6, 8, 9, 11-13
_ALARMS = (
    alarms.CAPACITY_LOW,
    alarms.MOSFET_OVERTEMPERATURE,
    alarms.PACK_OVERVOLTAGE,
    alarms.PACK_UNDERVOLTAGE,
    alarms.CHARGE_OVERTEMPERATURE | alarms.DISCHARGE_OVERTEMPERATURE,
    alarms.CHARGE_OVERCURRENT,
    alarms.DISCHARGE_OVERCURRENT,
    alarms.IMBALANCE,
    alarms.CHARGE_OVERTEMPERATURE | alarms.DISCHARGE_OVERTEMPERATURE,  # 8 the box
    alarms.CHARGE_UNDERTEMPERATURE | alarms.DISCHARGE_UNDERTEMPERATURE,
    alarms.CELL_OVERVOLTAGE,
    alarms.CELL_UNDERVOLTAGE,
    alarms.INTERNAL,  # 12, 13 "309" protection A and B
    alarms.INTERNAL,
    alarms.INTERNAL,
    alarms.INTERNAL,
)
_WARNS = 0x81  # low capacity and cell difference are told; the others have acted
_CHARGE_FET, _DISCHARGE_FET, _BALANCING, _CELLS_MISSING = 1, 2, 4, 8

PLACEHOLDER = "Input Userda"  # what a unit says where its owner entered nothing


def sum16(data: bytes) -> int:
    """Sum of all bytes, modulo 65536."""
    return sum(data) & 0xFFFF


def walk(data: bytes) -> "dict[int, bytes]":
    """The value of each tag, in their order. Raises FrameError where they cannot be told apart."""
    found = {}
    at = 0
    size = len(data)
    while at < size:
        tag = data[at]
        at += 1
        if tag == CELLS:
            width = data[at] if at < size else 0
            at += 1
        else:
            width = _WIDTHS[tag - _FIRST] if _FIRST <= tag < _FIRST + len(_WIDTHS) else 0
            if not width:
                raise FrameError("payload: tag %02x is not known, nor what stands behind it" % tag)
        if at + width > size:
            raise FrameError("payload: tag %02x has %d of %d bytes" % (tag, size - at, width))
        if tag in found:
            raise FrameError("payload: tag %02x comes twice" % tag)
        found[tag] = data[at : at + width]
        at += width
    return found


def number(tags: "dict[int, bytes]", tag: int) -> int | None:
    """An unsigned value; None where the unit does not send the tag."""
    value = tags.get(tag)
    if value is None:
        return None
    total = 0
    for byte in value:
        total = total << 8 | byte
    return total


def cells_of(tags: "dict[int, bytes]") -> "tuple[int, ...]":
    """Millivolts of each cell. Raises FrameError for a list that is none."""
    rows = tags.get(CELLS)
    if not rows or len(rows) % 3 or len(rows) > 3 * _MOST_CELLS:
        raise FrameError("payload: %d bytes are no list of cells" % len(rows or b""))
    cells = []
    for at in range(0, len(rows), 3):
        if rows[at] != at // 3 + 1:
            raise FrameError("payload: cell %d stands at place %d" % (rows[at], at // 3 + 1))
        cells.append(rows[at + 1] << 8 | rows[at + 2])
    count = number(tags, 0x8A)
    if count is not None and count != len(cells):
        raise FrameError("payload: %d cells listed, %d counted" % (len(cells), count))
    return tuple(cells)


def current_ma(tags: "dict[int, bytes]") -> int | None:
    """Positive charges. Two codings: C0 = 1 has a sign bit, without it zero is at 10000."""
    raw = number(tags, 0x84)
    if raw is None:
        return None
    coding = number(tags, 0xC0) or 0
    if coding > 1:
        raise FrameError("version: protocol %d, only 0 and 1 are known" % coding)
    if not coding:
        return (10000 - raw) * 10
    return (raw & 0x7FFF) * 10 if raw & 0x8000 else -raw * 10


def temperature_mc(tags: "dict[int, bytes]", tag: int) -> int | None:
    """0 to 100 as they are, above 100 the negative ones: 105 is -5."""
    code = number(tags, tag)
    if code is None:
        return None
    return (code if code <= 100 else 100 - code) * 1000


def text_of(value: "bytes | None") -> str:
    """Printable characters up to the padding."""
    text = ""
    for byte in value or b"":
        if not byte:
            break
        text += chr(byte) if 32 <= byte < 127 else "?"
    return text.strip(" _")


class Codec:
    """What to ask a JK on its GPS port, and what its answers mean."""

    def requests(self) -> "Sequence[tuple[int, bytes]]":
        return ((EACH_POLL, REQUEST),)

    def take(self, buffer: bytes) -> tuple[int, bytes | None]:
        size = len(buffer)
        at = 0
        while True:
            at += keep_from(buffer[at:], START)
            if size - at < 4:
                return at, None
            total = (buffer[at + 2] << 8 | buffer[at + 3]) + 2
            if _SHORTEST < total <= _LONGEST and _may_be(buffer[at + 8 : at + HEAD]):
                end = at + total
                if size < end:
                    return at, None
                if is_whole(buffer[at:end]):
                    if buffer[at + 10] == ASKS:  # ours come back from an adapter with echo
                        return end, None
                    return end, buffer[at:end]
            at += 1

    def slot(self, frame: bytes) -> int | None:
        ours = len(frame) > HEAD and frame[9] == _BMS and frame[10] == ANSWERS
        return 0 if ours else None

    def overhears(self, data: bytes) -> bool:
        """Whether these bytes hold a request: heard unasked, another master's."""
        at = data.find(START)
        while at >= 0:
            total = (data[at + 2] << 8 | data[at + 3]) + 2 if at + 4 <= len(data) else 0
            frame = data[at : at + total]
            if len(frame) > _SHORTEST and frame[10] == ASKS and is_whole(frame):
                return True
            at = data.find(START, at + 1)
        return False

    def decode(self, frames: "Sequence[bytes | None]", now_ms: int) -> Snapshot:
        frame = frames[0] if frames else None
        if frame is None or len(frame) <= _SHORTEST:
            raise FrameError("truncated: expected one answer")
        tags = walk(frame[HEAD : len(frame) - TAIL])
        snap = Snapshot()
        snap.taken_ms = now_ms
        snap.cells_mv = cells = cells_of(tags)
        count = number(tags, 0xA9)
        snap.cell_count = len(cells) if count is None else count
        snap.current_ma = current_ma(tags)
        snap.mosfet_mc = temperature_mc(tags, 0x80)
        sensors = [temperature_mc(tags, 0x81), temperature_mc(tags, 0x82)]
        fitted = number(tags, 0x86)
        if fitted is not None and fitted < 2:
            sensors = sensors[:fitted]
        snap.temps_mc = tuple([each for each in sensors if each is not None]) or None
        snap.cycles_count = number(tags, 0x87)
        snap.voltage_mv = _times(number(tags, 0x83), 10)
        snap.soc_permille = _times(number(tags, 0x85), 10)
        snap.design_mah = _times(number(tags, 0xAA) or None, 1000)
        snap.capacity_mah = _times(number(tags, 0xB9) or None, 1000) or snap.design_mah
        snap.ccl_ma = _times(number(tags, 0x99), 1000)
        snap.dcl_ma = _times(number(tags, 0x97), 1000)
        snap.ccl_is_trip = snap.dcl_is_trip = True
        snap.ovp_mv = number(tags, 0x90)
        snap.uvp_mv = number(tags, 0x93)
        _switches(snap, tags)
        serial = text_of(tags.get(0xB4))
        snap.serial = serial if serial and not PLACEHOLDER.startswith(serial) else None
        model = text_of(tags.get(0xBA))
        if model.startswith(PLACEHOLDER):
            model = model[len(PLACEHOLDER) :].strip()
        snap.model = model or "JK BMS"
        return snap


def _times(value: int | None, scale: int) -> int | None:
    return None if value is None else value * scale


def _switches(snap: Snapshot, tags: "dict[int, bytes]") -> None:
    """Alarms, and what is allowed: the user's switches, the transistors and no alarm against it."""
    word = number(tags, 0x8B)
    status = number(tags, 0x8C)
    if word is None or status is None:
        return  # without both of them nobody knows what the unit permits
    for bit in range(16):
        if word >> bit & 1:
            if _WARNS >> bit & 1:
                snap.warnings |= _ALARMS[bit]
            else:
                snap.protections |= _ALARMS[bit]
    snap.balancing = bool(status & _BALANCING)
    snap.charge_open = not status & _CHARGE_FET
    snap.discharge_open = not status & _DISCHARGE_FET
    whole = not status & _CELLS_MISSING
    if not whole:
        snap.protections |= alarms.INTERNAL
        snap.note = "the unit says that cells are missing"
    on = (number(tags, 0xAB), number(tags, 0xAC))
    # A switch that an old firmware does not tell forbids nothing: its transistor does.
    snap.charge_ok = whole and not (snap.charge_open or word & _NO_CHARGE or on[0] == 0)
    snap.discharge_ok = whole and not (snap.discharge_open or word & _NO_DISCHARGE or on[1] == 0)


def _may_be(kinds: bytes) -> bool:
    """Whether command, source and type, as far as they are there, are those of a frame."""
    limits = ((kinds[:1], _COMMANDS), (kinds[2:3], (ASKS, ANSWERS, REPORTS)))
    for value, known in limits:
        if value and value[0] not in known:
            return False
    return kinds[1:2] <= bytes((_LAST_SOURCE,))


def is_whole(frame: bytes) -> bool:
    """Whether the end mark, the zeros and the sum are right; frame has the length it states."""
    end = len(frame)
    return (
        frame[end - 5 : end - 2] == b"\x68\x00\x00"
        and sum16(frame[: end - 4]) == (struct.unpack_from(">H", frame, end - 2)[0])
    )
