"""JK PB inverter-type BMS over RS485-2, 115200 8N1: a dummy register write makes it talk.

    request  address 10 16 xx 00 01 02 00 00 crc16         xx: 20 live, 1E settings, 1C device info
    answer   payload (300 bytes, jk02.py) | 00? | address 10 16 xx 00 01 crc16 | 00?

The payload carries no address: only the acknowledge names the sender, so a frame here is a payload
with an acknowledge whose register fits its type (308 bytes, the filler taken out). A payload alone
is not a frame: on a shared line nobody knows whose it is. The unit at address 0 is a master: it
asks the others itself, then sends its own data unasked, acknowledged as 00. Who has one on
the line only listens there, and hears all of them; device info, and so serial numbers, never come.

Sources: the maker's RS485 Modbus V1.0 and V1.1 documents; captures of lines, firmware 14 to 19.
"""

from vbms.aggregate.snapshot import Snapshot
from vbms.errors import FrameError
from vbms.options import EACH_POLL, INT, ONCE, Option
from vbms.upstream.jk02 import HEADER, INFO, LIVE, SETTINGS, SIZE, Reader
from vbms.wire.crc import crc16_bytes, sum8
from vbms.wire.framing import keep_from

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

OPTIONS = (
    Option(
        "address",
        INT,
        low=0,
        high=15,
        required=True,
        help="DIP switch 1..15; 0 is a master, which asks the others: its line is only listened to",
    ),
)
DECLARES = ("ccl_ma", "dcl_ma")
NEEDS_SETTINGS = True  # limits and switches stand there: slot 1 before the unit may join
BAUD = 115200
MASTER = 0  # a unit at this address asks the others: nobody else may

SETTINGS_MS = 10000
FRAME_SIZE = SIZE + 8

# Low byte of the register by payload type; slot by payload type.
_REGISTER = (0, 0x1E, 0x20, 0x1C)
_SLOT = (0, 1, 0, 2)

_STARTS = (HEADER + b"\x01", HEADER + b"\x02", HEADER + b"\x03")
_MORE = (0, None)


def acknowledge(address: int, kind: int) -> bytes:
    """What a unit sends behind a payload of this type."""
    head = bytes((address, 0x10, 0x16, _REGISTER[kind], 0, 1))
    return head + crc16_bytes(head)


def trigger(address: int, kind: int) -> bytes:
    """The write that asks for a payload of this type."""
    head = bytes((address, 0x10, 0x16, _REGISTER[kind], 0, 1, 2, 0, 0))
    return head + crc16_bytes(head)


class Codec:
    """What to ask one JK PB unit, and what its answers mean."""

    def __init__(self, address: int = 1):
        self.address = address
        self.listens = address == MASTER
        self._ours = (
            b"",
            acknowledge(address, 1),
            acknowledge(address, 2),
            acknowledge(address, 3),
        )
        asked = (EACH_POLL, LIVE), (SETTINGS_MS, SETTINGS), (ONCE, INFO)
        self._requests = tuple(
            [(every, b"" if self.listens else trigger(address, kind)) for every, kind in asked]
        )
        self._reader = Reader()

    def requests(self) -> "Sequence[tuple[int, bytes]]":
        return self._requests

    def take(self, buffer: bytes) -> tuple[int, bytes | None]:
        size = len(buffer)
        if size < SIZE and buffer[:5] in _STARTS:  # an answer on its way
            return _MORE
        at = 0
        while True:
            if buffer[at : at + 4] != HEADER:
                at += keep_from(buffer[at:], HEADER)
                if size - at < 4:
                    return at, None
            if size - at < 5:
                return at, None
            kind = buffer[at + 4]
            if 1 <= kind <= 3:
                end = at + SIZE
                if size < end:
                    return at, None
                if sum8(buffer[at : end - 1]) == buffer[end - 1]:
                    if buffer[end : end + 8] == self._ours[kind]:
                        return end + 8, buffer[at : end + 8]
                    used = _acknowledged(buffer, end, kind)
                    if used > 0:
                        return used, buffer[at:end] + buffer[used - 8 : used]
                    if used == 0:
                        return at, None
            at += 1

    def slot(self, frame: bytes) -> int | None:
        if len(frame) != FRAME_SIZE or frame[SIZE] != self.address:
            return None
        return _SLOT[frame[4]] if 1 <= frame[4] <= 3 else None

    def overhears(self, data: bytes) -> bool:
        """Whether these bytes, which nobody here asked for, are a master's: a request, a broadcast.

        Programs that read by function 03 count too.
        """
        for at in range(len(data) - 7):
            function = data[at + 1]
            if function == 0x10 and data[at + 2] == 0x16:
                size = 11 if data[at + 6] == 2 and len(data) - at >= 11 else 8
                if size == 8 and data[at] != MASTER:
                    continue
            elif function == 0x03 and 0x10 <= data[at + 2] <= 0x16 and not data[at + 4]:
                size = 8
            else:
                continue
            if crc16_bytes(data[at : at + size - 2]) == data[at + size - 2 : at + size]:
                return True
        return False

    def decode(self, frames: "Sequence[bytes | None]", now_ms: int) -> Snapshot:
        if len(frames) != 3 or frames[0] is None:
            raise FrameError("expected three slots, the live frame first")
        return self._reader.snapshot(frames[0], frames[1], frames[2], now_ms)


def _acknowledged(buffer: bytes, at: int, kind: int) -> int:
    """Where the acknowledge at `at`, or behind one 00, ends; 0: more bytes needed; -1: none."""
    for start in (at, at + 1):
        ack = buffer[start : start + 8]
        wanted = acknowledge(ack[0], kind) if ack else b""
        if ack == wanted[: len(ack)]:
            return 0 if len(ack) < 8 else start + 8
        if ack[:1] != b"\x00":
            break
    return -1
