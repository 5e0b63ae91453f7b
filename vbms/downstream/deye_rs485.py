"""DEYE's RS485 battery protocol ("Tianbangda RS485 Modbus"), 9600 8N1: the inverter asks.

    addr 04 start count crc   ->   addr 04 bytes registers.. crc       23 registers from 0x1000
    addr 11 crc               ->   addr 11 length text crc             text: who we are

Addresses are 0..14, 0 is a unit like the others. CRC-16/Modbus, low byte first; registers high byte
first. What has no answer is silence, never an exception frame: an inverter takes silence as an
absent battery, which harms nobody.

Every register is rounded to the safe side and saturates: limits and charge left are never told too
high, the hottest and fullest never too low. The protocol has no discharge limit; a bank that may
not be discharged says so in the status bits. Voltage, current, SOC, capacity, cells, cell
temperatures or charge voltage unknown: silence. Other unknowns repeat their nearest relative:
ambient the mean, MOSFETs the hottest cell, design the full capacity; SOH is full / design, else
100 %; cycles 0.

Sources: d4rkmen/virtual-bms inv.c, common.h and its photograph of an inverter's Li-BMS page
(registers, sign, addresses); ai-republic/bms-to-inverter's TIAN reader (the same map up to 0x100E).
"""

import struct

from vbms.aggregate import alarms
from vbms.errors import ConfigError, FrameError, RefusedError
from vbms.integers import ceil_div, half_up, toward_zero
from vbms.options import BOOL, TEXT, Option
from vbms.wire.crc import crc16_bytes
from vbms.wire.modbus_rtu import take

TYPE_CHECKING = False
if TYPE_CHECKING:
    from vbms.aggregate.virtual import VirtualBattery

    Decoded = dict[str, object]

BAUD = 9600
TELLS_DISCHARGE = False  # no register has a number for that limit
OPTIONS = (
    Option(
        "invert_current",
        BOOL,
        False,
        help="tell charging as negative, for an inverter whose battery arrow points the wrong way",
    ),
    Option("model", TEXT, low=1, high=15, help="model to answer with"),
    Option("serial", TEXT, low=1, high=20, help="serial number to answer with"),
)

ADDRESSES = 15
_READ = 0x04
_IDENTIFY = 0x11
_BASE = 0x1000
_MOST = 125  # registers in one answer: its length byte ends at 250
_FLOW_MA = 500  # below this a battery neither charges nor discharges


def _floor(value: int, unit: int) -> int:
    return value // unit


# A capacity or limit of 0xFFFF would read as "no such register": 65534 is the top.
_U16 = (0, 65534)
_S16 = (-32768, 32767)
_BITS = (0, 65535)
_PERMILLE = (0, 1000)
_RESERVED = ("", "H", 1, _floor, (0, 0))

# From 0x1000 on: name, type, milli-units a bit, the safe side, the range that is kept.
_REGISTERS = (
    ("voltage_mv", "H", 10, half_up, _U16),
    ("current_ma", "h", 10, toward_zero, _S16),  # charging > 0
    ("remaining_mah", "H", 10, _floor, _U16),
    ("temp_mean_mc", "h", 100, toward_zero, _S16),
    ("ambient_mc", "h", 100, toward_zero, _S16),
    ("warning_bits", "H", 1, _floor, _BITS),
    ("protection_bits", "H", 1, _floor, _BITS),
    ("status_bits", "H", 1, _floor, _BITS),
    ("soc_permille", "H", 1, _floor, _PERMILLE),
    ("soh_permille", "H", 1, _floor, _PERMILLE),
    ("capacity_mah", "H", 10, _floor, _U16),
    ("cycles_count", "H", 1, _floor, _U16),
    ("charge_limit_ma", "H", 10, _floor, _U16),
    ("cell_max_mv", "H", 1, _floor, _U16),
    ("cell_min_mv", "H", 1, _floor, _U16),
    _RESERVED,
    ("temp_max_mc", "h", 100, ceil_div, _S16),
    ("temp_min_mc", "h", 100, _floor, _S16),
    ("mosfet_max_mc", "h", 100, ceil_div, _S16),
    _RESERVED,
    ("cvl_mv", "H", 10, _floor, _U16),
    ("design_mah", "H", 10, _floor, _U16),
    _RESERVED,
)
_LETTERS = "".join([row[1] for row in _REGISTERS])
_COUNT = len(_REGISTERS)

# What each bit tells. Warnings: any level. Bits 8 and 9 (ambient) have no alarm that feeds them.
WARNINGS = (
    (0, alarms.CELL_OVERVOLTAGE),
    (1, alarms.CELL_UNDERVOLTAGE),
    (2, alarms.PACK_OVERVOLTAGE),
    (3, alarms.PACK_UNDERVOLTAGE),
    (4, alarms.CHARGE_OVERCURRENT),
    (5, alarms.DISCHARGE_OVERCURRENT),
    (6, alarms.CHARGE_OVERTEMPERATURE | alarms.DISCHARGE_OVERTEMPERATURE),
    (7, alarms.CHARGE_UNDERTEMPERATURE | alarms.DISCHARGE_UNDERTEMPERATURE),
    (10, alarms.MOSFET_OVERTEMPERATURE),
    (11, alarms.CAPACITY_LOW),
)
# Protections and faults: protection level and above, so that one unit's trouble in a bank that goes
# on without it stays a warning.
PROTECTIONS = (
    (0, alarms.CELL_OVERVOLTAGE),
    (1, alarms.CELL_UNDERVOLTAGE),
    (2, alarms.PACK_OVERVOLTAGE),
    (3, alarms.PACK_UNDERVOLTAGE),
    (4, alarms.SHORT_CIRCUIT),
    (5, alarms.CHARGE_OVERCURRENT | alarms.DISCHARGE_OVERCURRENT),
    (6, alarms.CHARGE_OVERTEMPERATURE),
    (7, alarms.CHARGE_UNDERTEMPERATURE),
    (8, alarms.DISCHARGE_OVERTEMPERATURE),
    (9, alarms.DISCHARGE_UNDERTEMPERATURE),
)
FAULTS = (
    (0, alarms.INTERNAL | alarms.COMMS),
    (1, alarms.TEMPERATURE_SENSOR),
)
CHARGING = 1 << 8
DISCHARGING = 1 << 9
CHARGE_ENABLED = 1 << 10
DISCHARGE_ENABLED = 1 << 11
CHARGE_LIMITED = 1 << 12


class Codec:
    """One battery at one address. `saturated` counts, by field, values that did not fit."""

    def __init__(
        self,
        address: int = 0,
        invert_current: bool = False,
        model: str | None = None,
        serial: str | None = None,
    ):
        if not 0 <= address < ADDRESSES:
            raise ConfigError("address %d: this protocol has 0 to %d" % (address, ADDRESSES - 1))
        self.address = address
        self.saturated: dict[str, int] = {}
        self._sign = -1 if invert_current else 1
        self._model = model
        self._serial = serial
        self._battery: VirtualBattery | None = None
        self._block: bytes | None = None
        read = bytes((address, _READ, _BASE >> 8, _BASE & 0xFF, 0, _COUNT))
        identify = bytes((address, _IDENTIFY))
        self._usual = (read + crc16_bytes(read), identify + crc16_bytes(identify))

    def usual(self) -> tuple[bytes, bytes]:
        """What an inverter sends all day."""
        return self._usual

    def take(self, buffer: bytes) -> tuple[int, bytes | None]:
        """The frame that ends first, see wire/modbus_rtu.py."""
        return take(buffer)

    def asks(self, frame: bytes) -> int | None:
        """Which address a frame wants to be answered; None: it asks for nothing we could tell."""
        if len(frame) == 8 and frame[1] == _READ:
            count = frame[4] << 8 | frame[5]
            return frame[0] if 0 < count <= _MOST else None
        if len(frame) == 4 and frame[1] == _IDENTIFY:
            return frame[0]
        return None

    def spoilt(self, lost: bytes) -> bool:
        """Whether bytes that made no frame look like a request that was damaged on its way."""
        return len(lost) >= 4 and lost[0] < ADDRESSES and lost[1] in (_READ, _IDENTIFY)

    def answer(self, request: bytes, battery: "VirtualBattery") -> bytes | None:
        """The whole answer; None (silence) for another address, a bad request, unknown values.

        Any start is answered: registers beyond the map read FFFF.
        """
        if self.asks(request) != self.address or not _checked(request):
            return None
        if battery is not self._battery:
            self._battery = battery
            self._block = self._registers(battery)
        if self._block is None:
            return None
        if request[1] == _IDENTIFY:
            head = bytes((self.address, _IDENTIFY))
            body = self._identity(battery)
        else:
            head = bytes((self.address, _READ))
            first = (request[2] << 8 | request[3]) - _BASE
            count = request[4] << 8 | request[5]
            before = min(count, max(0, -first))
            inside = self._block[2 * max(0, first) : 2 * max(0, first + count)]
            body = b"\xff\xff" * before + inside
            body += b"\xff" * (2 * count - len(body))
        frame = head + bytes((len(body),)) + body
        return frame + crc16_bytes(frame)

    def _registers(self, battery: "VirtualBattery") -> bytes | None:
        """0x1000 to 0x1016 as they go on the wire; None where too little is known to speak."""
        values = self._values(battery)
        if None in values:
            return None
        words = []
        for row, value in zip(_REGISTERS, values):
            word = row[3](value or 0, row[2])
            low, high = row[4]
            if not low <= word <= high:
                word = low if word < low else high
                self.saturated[row[0]] = self.saturated.get(row[0], 0) + 1
            words.append(word)
        return struct.pack(">" + _LETTERS, *words)

    def _values(self, battery: "VirtualBattery") -> "tuple[int | None, ...]":
        """The registers' values in milli-units, in their order."""
        current = battery.current_ma
        soc = battery.soc_permille
        full = battery.capacity_mah
        design = battery.design_mah
        remaining = battery.remaining_mah
        soh = battery.soh_permille
        cvl = battery.cvl_mv
        mean = battery.temp_mean_mc
        hot = battery.temp_max_mc
        acted = battery.protections | battery.criticals
        if full is not None:
            if remaining is None and soc is not None:
                remaining = soc * full // 1000
            if soh is None:
                soh = min(1000, full * 1000 // design) if design else 1000
        return (
            battery.voltage_mv,
            None if current is None else current * self._sign,
            remaining,
            mean,
            mean if battery.ambient_mc is None else battery.ambient_mc,
            _word(WARNINGS, battery.warnings | acted),
            _word(PROTECTIONS, acted),
            _word(FAULTS, acted) | _flow(battery),
            soc,
            soh,
            full,
            battery.cycles_count or 0,
            battery.charge_limit_ma,
            battery.cell_max_mv,
            battery.cell_min_mv,
            0,
            hot,
            battery.temp_min_mc,
            hot if battery.mosfet_max_mc is None else battery.mosfet_max_mc,
            0,
            cvl if cvl is not None and cvl >= 10 else None,  # 0 V is never told
            full if design is None else design,
            0,
        )

    def _identity(self, battery: "VirtualBattery") -> bytes:
        """Model * software version * hardware version * serial number *."""
        model = _ascii(self._model or battery.model or "VBMS", 15)
        serial = _ascii(self._serial or battery.serial or "0" * 20, 20)
        padded = serial + bytes(20 - len(serial))
        return model + b"*\x10\x11*\x20\x21*" + padded + b"*"

    def read(self, frame: bytes) -> "Decoded":
        """What a request asks or an answer tells, named and in milli-units.

        An answer does not say which registers it holds: the usual 23 (or 22) are named; others are
        a plain list, or named when the request stands before the answer in `frame`.
        """
        size = len(frame)
        if size < 2:
            raise FrameError("truncated: %d bytes" % size)
        function = frame[1]
        if function & 0x80 and size == 5 and _checked(frame):
            raise RefusedError("refused: Modbus exception %d" % frame[2], frame[2])
        if function != _READ and function != _IDENTIFY:
            raise FrameError("marker: function 0x%02x, not 0x04 or 0x11" % function)
        asked = 8 if function == _READ else 4
        if size >= asked and _checked(frame[:asked]):
            found: Decoded = {"address": frame[0], "function": function}
            if function == _READ:
                found["register"] = frame[2] << 8 | frame[3]
                found["count"] = frame[4] << 8 | frame[5]
            if size == asked:
                return found
            answer = frame[asked:]
            if answer[:2] != frame[:2]:
                raise FrameError("payload: the answer is another unit's or function's")
            return self._read_answer(answer, frame[:asked])
        if size == asked:
            raise FrameError("checksum: a request, but the CRC is wrong")
        return self._read_answer(frame, b"")

    def _read_answer(self, frame: bytes, request: bytes) -> "Decoded":
        size = len(frame)
        if size < 5 or size < 5 + frame[2]:
            raise FrameError("truncated: %d bytes of an answer" % size)
        if size > 5 + frame[2]:
            raise FrameError("length: %d bytes after the answer" % (size - 5 - frame[2]))
        if not _checked(frame):
            raise FrameError("checksum: an answer, but the CRC is wrong")
        found: Decoded = {"address": frame[0], "function": frame[1]}
        body = frame[3 : size - 2]
        if frame[1] == _IDENTIFY:
            n = len(body) - 28
            if n < 0 or body[n] != 42 or body[n + 3] != 42 or body[n + 6] != 42 or body[-1] != 42:
                raise FrameError("payload: no model * version * version * serial *")
            found["model"] = _text(body[:n])
            found["serial"] = _text(body[n + 7 : n + 27])
            found["software"] = "%02x %02x" % (body[n + 1], body[n + 2])
            found["hardware"] = "%02x %02x" % (body[n + 4], body[n + 5])
            return found
        count = len(body) // 2
        if len(body) & 1 or not count:
            raise FrameError("payload: %d bytes are no registers" % len(body))
        if request:
            if request[4] << 8 | request[5] != count:
                raise FrameError("payload: %d registers were not asked for" % count)
            first = (request[2] << 8 | request[3]) - _BASE
        elif count == _COUNT or count == _COUNT - 1:
            first = 0
        else:
            found["registers"] = list(struct.unpack(">%dH" % count, body))
            return found
        for at in range(count):
            if 0 <= first + at < _COUNT:
                name, kind, unit, _, _ = _REGISTERS[first + at]
                if name:
                    value = struct.unpack_from(">" + kind, body, 2 * at)[0] * unit
                    found[name] = value * self._sign if name == "current_ma" else value
        return found


def _checked(frame: bytes) -> bool:
    size = len(frame)
    return crc16_bytes(frame[: size - 2]) == frame[size - 2 :]


def _word(rows: tuple[tuple[int, int], ...], told: int) -> int:
    word = 0
    for bit, mask in rows:
        if told & mask:
            word |= 1 << bit
    return word


def words(battery: "VirtualBattery") -> tuple[int, int, int]:
    """Warning, protection, and fault and status bits, as 0x1005 to 0x1007 carry them."""
    acted = battery.protections | battery.criticals
    return (
        _word(WARNINGS, battery.warnings | acted),
        _word(PROTECTIONS, acted),
        _word(FAULTS, acted) | _flow(battery),
    )


def _flow(battery: "VirtualBattery") -> int:
    """The status bits. Of a shard it is the whole bank that charges or is held back."""
    whole: VirtualBattery = getattr(battery, "whole", battery)
    bits = 0
    if whole.current_ma is not None:
        if whole.current_ma > _FLOW_MA:
            bits = CHARGING
        elif whole.current_ma < -_FLOW_MA:
            bits = DISCHARGING
    if battery.charge_limit_ma >= 10:  # what is told as 0 A is no permission
        bits |= CHARGE_ENABLED
    if battery.discharge_limit_ma > 0:
        bits |= DISCHARGE_ENABLED
    if whole.charge_limit_ma < whole.own_charge_ma:
        bits |= CHARGE_LIMITED
    return bits


def _ascii(text: str, most: int) -> bytes:
    """Printable ASCII without the separator; what is neither becomes a question mark."""
    codes = [ord(letter) for letter in text[:most]]
    return bytes([code if 32 <= code < 127 and code != 42 else 63 for code in codes])


def _text(raw: bytes) -> str:
    return "".join([chr(byte) for byte in raw if byte])
