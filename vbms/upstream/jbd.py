"""JBD (also Xiaoxiang, Overkill Solar, many house brands) over Bluetooth or serial, 9600 8N1.

    request  DD A5 | command | 00 | checksum, u16 BE | 77
    answer   DD | command | status | length | data | checksum, u16 BE | 77

The checksum makes it and all bytes from the third on up to it zero, modulo 65536; the command of an
answer stands outside of it, so its data have to look like what was asked: cells read below 6 V, a
name is printable. Commands: 03 basic data, 04 cells, 05 the hardware's name. All numbers are
big-endian. There is no address and no serial number: one unit for each port, and a name in 05 that
it shares with all of its kind.

Nominal capacity is the one SOC is counted against, so it stands for both: full and design. The BMS
has its limits where they cannot be read this way: the profile gives them.

Sources: the maker's "JBD/Xiaoxiang communication protocol V4"; a public answer of a 15-cell unit.
"""

import struct

from vbms.aggregate import alarms
from vbms.aggregate.snapshot import Snapshot
from vbms.errors import FrameError, RefusedError
from vbms.options import BOOL, DEVICE, EACH_POLL, MILLI, ONCE, Option
from vbms.wire.fields import Field, Table

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

OPTIONS = (
    Option("address", DEVICE, help="over Bluetooth: its MAC, or the name it advertises"),
    Option(
        "stall_s",
        MILLI,
        30000,
        low=5000,
        high=600000,
        unit="s",
        help="Bluetooth: without an answer for so long the connection is ended and made anew",
    ),
    Option("allow_control", BOOL, False, help="true: commands other than reading may be sent"),
)
NEEDS_SETTINGS = True  # the number of cells, which is in each frame
BAUD = 9600
LINES = {"ble": "vbms.lines.ble"}
LINKS = ("serial", "tcp", "ble", "simulate")
GATT = ("ff00", "ff02", "ff01")  # service, write, notify
NO_SERVICE = "is it a JBD, or another make?"

BASIC = 3
CELLS = 4
NAME = 5
_COMMANDS = (BASIC, CELLS, NAME)
_LONGEST = (0, 0, 0, 96, 64, 40)  # data bytes an answer may have, by command
_SHORTEST = 23  # of basic data, without a sensor
_CELL_END_MV = 6000

_BASIC = Table(
    ">",
    (
        Field("voltage_mv", "H", 4, 10),
        Field("current_ma", "h", 6, 10),  # positive = charging
        Field("remaining_mah", "H", 8, 10),
        Field("capacity_mah", "H", 10, 10),
        Field("cycles_count", "H", 12),
        Field("soc_permille", "B", 23, 10),
        Field("cell_count", "B", 25),
    ),
)
_BALANCE_AT = 16  # two words of a bit for each cell
_PROTECTION_AT = 20
_SWITCHES_AT = 24
_SENSORS_AT = 26

_NO_CHARGE = 0x1D35  # 0, 2, 4, 5, 8, 10-12
_NO_DISCHARGE = 0x1ECA  # 1, 3, 6, 7, 9-12
_ALARMS = (
    alarms.CELL_OVERVOLTAGE,
    alarms.CELL_UNDERVOLTAGE,
    alarms.PACK_OVERVOLTAGE,
    alarms.PACK_UNDERVOLTAGE,
    alarms.CHARGE_OVERTEMPERATURE,
    alarms.CHARGE_UNDERTEMPERATURE,
    alarms.DISCHARGE_OVERTEMPERATURE,
    alarms.DISCHARGE_UNDERTEMPERATURE,
    alarms.CHARGE_OVERCURRENT,
    alarms.DISCHARGE_OVERCURRENT,
    alarms.SHORT_CIRCUIT,
    alarms.INTERNAL,  # 11 the measuring chip
    alarms.INTERNAL,  # 12 switched off by software
    alarms.INTERNAL,
    alarms.INTERNAL,
    alarms.INTERNAL,
)


def _sum(data: bytes) -> int:
    return -sum(data) & 0xFFFF


def request(command: int) -> bytes:
    """The seven bytes that ask for an answer."""
    total = _sum(bytes((command, 0)))
    return bytes((0xDD, 0xA5, command, 0, total >> 8, total & 0xFF, 0x77))


def is_like(command: int, data: bytes) -> bool:
    """Whether data look like an answer to this command; empty data never do."""
    if command == BASIC:
        return len(data) >= _SHORTEST and len(data) >= _SHORTEST + 2 * data[22]
    if command == CELLS:
        if not data or len(data) & 1:
            return False
        highest: int = max(struct.unpack(">%dH" % (len(data) // 2), data))
        return highest < _CELL_END_MV
    for byte in data:
        if not 32 <= byte < 127:
            return False
    return len(data) > 0


class Codec:
    """What to ask a JBD, and what its answers mean."""

    def __init__(self, address: str = "", stall_s: int = 30000, allow_control: bool = False):
        self._requests = (
            (EACH_POLL, request(BASIC)),
            (EACH_POLL, request(CELLS)),
            (ONCE, request(NAME)),
        )

    def requests(self) -> "Sequence[tuple[int, bytes]]":
        return self._requests

    def take(self, buffer: bytes) -> tuple[int, bytes | None]:
        size = len(buffer)
        at = buffer.find(b"\xdd")
        while at >= 0:
            if size - at < 4:
                if size - at < 2 or buffer[at + 1] in _COMMANDS:
                    return at, None
            else:
                command, status, length = buffer[at + 1], buffer[at + 2], buffer[at + 3]
                if command in _COMMANDS and length <= _LONGEST[command]:
                    # Only basic data are refused: the sum cannot tell what else would have been.
                    if not status or status == 0x80 and command == BASIC and not length:
                        end = at + length + 7
                        if size < end:
                            return at, None
                        if _is_whole(buffer[at:end]):
                            return end, buffer[at:end]
            at = buffer.find(b"\xdd", at + 1)
        return size, None

    def slot(self, frame: bytes) -> int | None:
        if len(frame) < 7 or frame[1] not in _COMMANDS:
            return None
        return frame[1] - BASIC

    def decode(self, frames: "Sequence[bytes | None]", now_ms: int) -> Snapshot:
        if len(frames) != 3:
            raise FrameError("expected three slots, basic data first")
        basic, cells, name = frames
        snap = _basic(basic, now_ms)
        if cells is not None:
            data = _data(cells, CELLS)
            snap.cells_mv = struct.unpack(">%dH" % (len(data) // 2), data)
        if name is not None:
            snap.model = _data(name, NAME).decode()
        return snap


def _is_whole(frame: bytes) -> bool:
    if frame[-1] != 0x77 or _sum(frame[2:-3]) != frame[-3] << 8 | frame[-2]:
        return False
    return frame[2] != 0 or is_like(frame[1], frame[4:-3])


def _data(frame: bytes | None, command: int) -> bytes:
    """What stands in a checked answer. Raises FrameError, RefusedError."""
    if frame is None or len(frame) < 7 or frame[:1] != b"\xdd" or frame[1] != command:
        raise FrameError("expected an answer to command %02x" % command)
    if frame[2]:
        raise RefusedError("status %02x" % frame[2], frame[2])
    data = frame[4:-3]
    if len(data) != frame[3] or not is_like(command, data):
        raise FrameError("an answer to command %02x with %d bytes" % (command, len(data)))
    return data


def _basic(frame: bytes | None, now_ms: int) -> Snapshot:
    data = _data(frame, BASIC)
    frame = frame or b""
    snap = Snapshot(taken_ms=now_ms)
    _BASIC.fill(snap, frame)
    snap.design_mah = snap.capacity_mah
    sensors = struct.unpack_from(">%dH" % data[22], frame, _SENSORS_AT + 1)
    snap.temps_mc = [(kelvin - 2731) * 100 for kelvin in sensors]
    snap.balancing = frame[_BALANCE_AT : _BALANCE_AT + 4] != bytes(4)
    protection = frame[_PROTECTION_AT] << 8 | frame[_PROTECTION_AT + 1]
    switches = frame[_SWITCHES_AT]
    snap.charge_open = not switches & 1
    snap.discharge_open = not switches & 2
    snap.charge_ok = not snap.charge_open and not protection & _NO_CHARGE
    snap.discharge_ok = not snap.discharge_open and not protection & _NO_DISCHARGE
    for bit in range(16):
        if protection >> bit & 1:
            snap.protections |= _ALARMS[bit]
    return snap
