"""BYD B-Box PRO 2.5 over RS485, 9600 8N1: one request, one status of 105 bytes.

    address | size u16 BE | version 01 | 03 or 83 | 55 AA | result, payload (answers) | sum8

`size` counts from the version to the byte before the checksum; the checksum covers all but the
address, so only asking one module and comparing its address tells whose answer it is. The payload
is little-endian. A result other than 0 is a refusal and comes without a payload.

What the wire does not say and a profile has to: capacity, current limits. The sign of the current
is undocumented; positive = charging is an assumption, as is bit n = cell n + 1 in the balance word.

Source: the frame layout of an open implementation; no capture of a real module was at hand.
"""

from vbms.aggregate import alarms
from vbms.aggregate.snapshot import Snapshot
from vbms.errors import FrameError, RefusedError
from vbms.options import EACH_POLL, INT, Option
from vbms.wire.crc import sum8
from vbms.wire.fields import Field, Table

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

OPTIONS = (
    Option("address", INT, low=0, high=255, required=True, help="the module's address on the line"),
)
DECLARES: tuple[str, ...] = ()
NEEDS_SETTINGS = False
BAUD = 9600

VERSION = 1
PAYLOAD = 8  # offset in the frame
FRAME_SIZE = 105
REFUSAL_SIZE = 9

# By the low byte of `size`: a request, a refusal, a status. No other frame exists.
_KINDS = {4: 0x03, 5: 0x83, 101: 0x83}

# The address stands before it and outside the checksum, which is therefore always 07.
_REQUEST = b"\x00\x04\x01\x03\x55\xaa\x07"

_STATUS = Table(
    "<",
    (
        Field("voltage_mv", "i", 8),
        Field("cells_mv", "16h", 16),
        Field("current_ma", "i", 48),
        Field("temps_mc", "4h", 52, 1000),
        Field("ambient_mc", "h", 60, 1000),
        Field("soc_permille", "H", 90, 10),
        Field("soh_permille", "I", 92, 10),
        Field("cycles_count", "I", 96),
    ),
)
_WORDS = Table(
    "<",
    (
        Field("alarm", "I", 72),
        Field("protect", "I", 76),
        Field("fail", "I", 80),
        Field("balance", "I", 84),
    ),
)

# Protect bits that take a permission away, and what each alarm or protect bit is called elsewhere.
_NO_CHARGE = 0x000EC547  # 0-2, 6, 8, 10, 14, 15, 17-19
_NO_DISCHARGE = 0x0000CAB8  # 3-5, 7, 9, 11, 14, 15
_ALARMS = (
    alarms.PACK_OVERVOLTAGE,
    alarms.PACK_OVERVOLTAGE,  # 1 module
    alarms.CELL_OVERVOLTAGE,
    alarms.PACK_UNDERVOLTAGE,
    alarms.PACK_UNDERVOLTAGE,  # 4 module
    alarms.CELL_UNDERVOLTAGE,
    alarms.CHARGE_OVERCURRENT,
    alarms.DISCHARGE_OVERCURRENT,
    alarms.CHARGE_OVERTEMPERATURE,
    alarms.DISCHARGE_OVERTEMPERATURE,
    alarms.CHARGE_UNDERTEMPERATURE,
    alarms.DISCHARGE_UNDERTEMPERATURE,
    alarms.CAPACITY_LOW,  # 12 SOC low
    alarms.INTERNAL,  # 13 not named
    alarms.SHORT_CIRCUIT,
    alarms.INTERNAL,  # 15 reverse connection
    alarms.INTERNAL,  # 16 cycle count high
    alarms.CHARGE_UNDERTEMPERATURE,  # 17, 18 low-temperature overcharge, levels 2 and 3
    alarms.CHARGE_UNDERTEMPERATURE,
    alarms.SHORT_CIRCUIT,  # 19 while charging
)
_FAIL_SENSOR = 0x02
_FAIL_HEATER = 0x20
_FAIL_PANEL = 0x80


def alarm_bits(word: int) -> int:
    """An alarm or protect word in the data model's bits; what has no name is `internal`."""
    found = 0
    for bit in range(32):
        if word >> bit & 1:
            found |= _ALARMS[bit] if bit < len(_ALARMS) else alarms.INTERNAL
    return found


class Codec:
    """What to ask one BYD PRO module, and what its answers mean."""

    def __init__(self, address: int = 1):
        self.address = address
        self._requests = ((EACH_POLL, bytes((address,)) + _REQUEST),)

    def requests(self) -> "Sequence[tuple[int, bytes]]":
        return self._requests

    def take(self, buffer: bytes) -> tuple[int, bytes | None]:
        size = len(buffer)
        for at in range(size):
            # Each byte that is there must fit, so nothing waits here for what cannot be a frame.
            head = buffer[at + 1 : at + 7]
            if head[:1] > b"\x00":
                continue
            if len(head) > 1:
                kind = _KINDS.get(head[1])
                if kind is None or (len(head) > 3 and head[3] != kind):
                    continue
                if head[4:] != b"\x55\xaa"[: len(head[4:])]:
                    continue
            end = at + 4 + (head[1] if len(head) > 1 else 4)
            if size < end:
                return at, None
            if sum8(buffer[at + 1 : end - 1]) == buffer[end - 1]:
                if head[1] == 4:  # a request: ours come back from an adapter with echo
                    return end, None
                return end, buffer[at:end]
        return size, None

    def slot(self, frame: bytes) -> int | None:
        return 0 if frame[:1] == bytes((self.address,)) else None

    def overhears(self, data: bytes) -> bool:
        """Whether these bytes, which nobody here sent, hold a request: another master's."""
        return data.find(_REQUEST) > 0

    def decode(self, frames: "Sequence[bytes | None]", now_ms: int) -> Snapshot:
        frame = frames[0] if frames else None
        if frame is None or len(frame) not in (REFUSAL_SIZE, FRAME_SIZE):
            raise FrameError("expected one status of %d bytes" % FRAME_SIZE)
        if frame[3] != VERSION:
            raise FrameError("version %d, only %d is known" % (frame[3], VERSION))
        if frame[7]:
            raise RefusedError("the module refused with result %d" % frame[7], frame[7])
        if len(frame) != FRAME_SIZE:
            raise FrameError("a result of 0 without a payload")
        words = _WORDS.unpack(frame)
        fail = words[2]
        snap = Snapshot()
        snap.taken_ms = now_ms
        _STATUS.fill(snap, frame)
        snap.balancing = words[3] != 0
        failed = fail & ~_FAIL_HEATER
        snap.charge_ok = not failed and not words[1] & _NO_CHARGE
        snap.discharge_ok = not failed and not words[1] & _NO_DISCHARGE
        snap.warnings = alarm_bits(words[0])
        snap.protections = alarm_bits(words[1])
        if fail & _FAIL_HEATER:
            snap.warnings |= alarms.INTERNAL
        if fail & _FAIL_SENSOR:
            snap.protections |= alarms.TEMPERATURE_SENSOR
        if failed & ~_FAIL_SENSOR:
            snap.protections |= alarms.INTERNAL
        if fail & _FAIL_PANEL:
            snap.note = "switched off at its panel, disable it to go on without"
        snap.model = "BYD PRO 2.5"
        return snap
