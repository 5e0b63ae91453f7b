"""Any inverter that asks by Modbus RTU: what it reads where is said by its profile.

    registers:    {address, quantity, type, scale, offset, count, value, unknown}
    bits:         {address, bit, tells, level, when}

What is told is (value - offset) / scale, rounded to the safe side and clamped to the type; where
clamping would hide a danger, both limits are 0. A quantity that is unknown silences the whole,
unless its row says which raw number means "unknown". docs/modbus_map.md is the whole table.
"""

from vbms.aggregate import alarms
from vbms.downstream.safe_side import DANGEROUS, FITS, LESS, LIMITS, QUANTITIES, to_raw
from vbms.errors import FrameError, RefusedError
from vbms.integers import ceil_div
from vbms.options import CHOICE, INT, MICRO, MILLI, Option, Table
from vbms.wire.crc import crc16_bytes
from vbms.wire.modbus_rtu import MOST, READ_HOLDING, READ_INPUT, is_checked, take
from vbms.wire.registers import TYPE_NAMES, TYPES, bounds, number, number_bytes

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

    from vbms.aggregate.virtual import VirtualBattery
    from vbms.options import Rows

    Decoded = dict[str, object]
    Fault = tuple[int, str, str, str]
    Row = dict[str, object]

BAUD = 9600
_TEXTS = ("model", "serial")
_NAMES = tuple(sorted(QUANTITIES)) + ("constant",) + _TEXTS
_SWITCHES = ("charge_enabled", "discharge_enabled")
_STATES = ("charging", "discharging", "any_warning", "any_protection")
_UNIT_ALARMS = alarms.NAMES
_LEVELS = ("warning", "protection", "critical")
_FLOW_MA = 500  # below this a battery neither charges nor discharges
_RECENT = 8  # requests whose answers are made beforehand

_ADDRESS = Option("address", INT, low=0, high=65535, required=True)
REGISTERS = (
    _ADDRESS,
    Option("quantity", CHOICE, choices=_NAMES, required=True),
    Option("type", CHOICE, "u16", choices=TYPE_NAMES),
    Option("scale", MICRO, 1000000, low=-(10**12), high=10**12, help="of one bit"),
    Option("offset", MILLI, 0, low=-(10**9), high=10**9, help="of raw 0"),
    Option("count", INT, 1, low=1, high=32, help="registers of a text"),
    Option("value", INT, low=-(2**31), high=2**32 - 1, help="of a constant"),
    Option("unknown", INT, low=-(2**31), high=2**32 - 1, help="raw number for what is unknown"),
)
BITS = (
    _ADDRESS,
    Option("bit", INT, low=0, high=15, required=True),
    Option("tells", CHOICE, choices=_SWITCHES + _STATES + _UNIT_ALARMS, required=True),
    Option("level", CHOICE, "protection", choices=_LEVELS, help="of an alarm: this or above"),
    Option("when", CHOICE, "set", choices=("set", "clear"), help="clear: turned round"),
)


def _named(columns: "tuple[Option, ...]", rows: object) -> "list[Row]":
    names = [column.name for column in columns]
    return [dict(zip(names, row)) for row in rows] if isinstance(rows, (tuple, list)) else []


def _int(value: object) -> int:
    return value if isinstance(value, int) else 0


def _span(row: "Row") -> tuple[int, int]:
    """The bytes that a row takes, counted from register 0."""
    first = 2 * _int(row["address"])
    if row["quantity"] in _TEXTS:
        return first, first + 2 * _int(row["count"])
    size, at, _ = TYPES[str(row["type"])]
    return first + at, first + at + size


def check_registers(rows: "Rows") -> "list[Fault]":
    """What is wrong between the rows, and between the keys of one."""
    found: list[Fault] = []
    seen: dict[object, int] = {}
    spans: list[tuple[int, int, int]] = []
    for at, row in enumerate(_named(REGISTERS, rows)):
        quantity = row["quantity"]
        if quantity in seen and quantity != "constant":
            text = "%s stands in row %d already" % (quantity, seen[quantity] + 1)
            found.append((at, "quantity", text, "each quantity once"))
        seen.setdefault(quantity, at)
        if not row["scale"]:
            found.append((at, "scale", "0 cannot be divided by", "any other number"))
        if (quantity == "constant") != (row["value"] is not None):
            text = "a constant has a value" if quantity == "constant" else "is of a constant"
            found.append((at, "value", text, "quantity: constant with value:"))
        if _int(row["count"]) > 1 and quantity not in _TEXTS:
            found.append((at, "count", "%s is one value" % quantity, "1"))
        low, high = bounds(str(row["type"]))
        for key in ("value", "unknown"):
            if row[key] is not None and not low <= _int(row[key]) <= high:
                text = "%d does not fit %s" % (_int(row[key]), row["type"])
                found.append((at, key, text, "%d..%d" % (low, high)))
        if row["unknown"] is not None and quantity in LIMITS:
            found.append((at, "unknown", "a limit is never unknown", "a row without it"))
        start, end = _span(row)
        if end > 2 * 65536:
            found.append((at, "address", "goes beyond register 65535", "a lower one"))
        for other_start, other_end, other in spans:
            if start < other_end and other_start < end:
                text = "overlaps row %d" % (other + 1)
                found.append((at, "address", text, "registers of its own"))
        spans.append((start, end, at))
    return found


def check_bits(rows: "Rows") -> "list[Fault]":
    found: list[Fault] = []
    seen: dict[object, int] = {}
    for at, row in enumerate(_named(BITS, rows)):
        key = (row["address"], row["bit"], row["when"])
        turned = (row["address"], row["bit"], "clear" if row["when"] == "set" else "set")
        switch = row["tells"] in _SWITCHES
        if turned in seen or (key in seen and switch):
            text = "this bit stands in row %d already" % (seen.get(turned, seen.get(key, 0)) + 1)
            found.append((at, "bit", text, "several alarms may share a bit, no switch"))
        seen.setdefault(key, at)
    return found


def check(options: "Mapping[str, object]") -> "list[tuple[str, str, str]]":
    """A map that could never say stop is of no use."""
    rows = _named(REGISTERS, options.get("registers"))
    bits = _named(BITS, options.get("bits"))
    if not rows:
        return [("registers", "is missing", "rows of {address, quantity, type, scale}")]
    found = []
    told = [row["quantity"] for row in rows] + [row["tells"] for row in bits]
    for word in ("charge", "discharge"):
        if word + "_limit_a" not in told and word + "_enabled" not in told:
            text = "nothing tells the inverter to stop to %s" % word
            allowed = "a %s_limit_a row, or a bit that tells %s_enabled" % (word, word)
            found.append(("registers", text, allowed))
    taken = [_span(row) for row in rows]
    for row in bits:
        at = 2 * _int(row["address"])
        if [True for start, end in taken if start < at + 2 and at < end]:
            text = "register %d holds bits and a quantity" % _int(row["address"])
            found.append(("bits", text, "one of them"))
    return found


OPTIONS = (
    Option("unit", INT, 1, low=0, high=247, help="the Modbus address it asks, further ones follow"),
    Table("registers", REGISTERS, check_registers, help="what it reads where"),
    Table("bits", BITS, check_bits, help="alarms, switches and states by bit"),
    Option("function", INT, low=3, high=4, help="3 or 4; unset: both, with the same registers"),
    Option(
        "word_order",
        CHOICE,
        "high_first",
        choices=("high_first", "low_first"),
        help="of numbers in two registers",
    ),
    Option(
        "outside",
        CHOICE,
        "silence",
        choices=("silence", "exception", "zero", "ffff"),
        help="a register without a row: no answer, exception 2, or it reads so",
    ),
    Option("model", "text", "VBMS", low=1, high=64, help="model to answer with"),
    Option("serial", "text", low=1, high=64, help="serial number; unset: the battery's own"),
)


class Codec:
    """One battery at one address. `saturated` counts, by quantity, values that did not fit."""

    def __init__(
        self,
        address: int = 0,
        unit: int = 1,
        registers: "Rows" = (),
        bits: "Rows" = (),
        function: int | None = None,
        word_order: str = "high_first",
        outside: str = "silence",
        model: str | None = None,
        serial: str | None = None,
    ):
        self.address = unit + address
        self.saturated: dict[str, int] = {}
        self._rows = _named(REGISTERS, registers)
        self._bits = _named(BITS, bits)
        self._functions = (READ_HOLDING, READ_INPUT) if function is None else (function,)
        self._low_first = word_order == "low_first"
        self._outside = outside
        self._model = model
        self._serial = serial
        self._battery: VirtualBattery | None = None
        self._image: dict[int, int] | None = None  # bytes by their place, from register 0
        self._recent: list[bytes] = []

    def usual(self) -> "tuple[bytes, ...]":
        """What was asked lately: an inverter goes on with it."""
        return tuple(self._recent)

    def take(self, buffer: bytes) -> tuple[int, bytes | None]:
        """The frame that ends first, see wire/modbus_rtu.py."""
        return take(buffer)

    def asks(self, frame: bytes) -> int | None:
        """Which address a frame wants to be answered; None: it asks for nothing we could tell."""
        if len(frame) == 8 and frame[1] in self._functions:
            count = frame[4] << 8 | frame[5]
            return frame[0] if 0 < count <= MOST else None
        return None

    def spoilt(self, lost: bytes) -> bool:
        """Whether bytes that made no frame look like a request that was damaged on its way."""
        return len(lost) >= 4 and lost[0] == self.address and lost[1] in self._functions

    def answer(self, request: bytes, battery: "VirtualBattery") -> bytes | None:
        """The whole answer; None is silence: another address, a bad request, unknown values."""
        if self.asks(request) != self.address or not is_checked(request):
            return None
        if battery is not self._battery:
            self._battery = battery
            self._image = self._told(battery)
        image = self._image
        if image is None:
            return None
        first = 2 * (request[2] << 8 | request[3])
        body = bytearray()
        for at in range(first, first + 2 * (request[4] << 8 | request[5]), 2):
            if at in image or at + 1 in image:
                body.append(image.get(at, 0))
                body.append(image.get(at + 1, 0))
            elif self._outside == "silence":
                return None
            elif self._outside == "exception":
                return _framed(bytes((self.address, request[1] | 0x80, 2)))
            else:
                body.extend(b"\xff\xff" if self._outside == "ffff" else b"\0\0")
        if request not in self._recent:
            self._recent = self._recent[-(_RECENT - 1) :] + [request]
        return _framed(bytes((self.address, request[1], len(body))) + bytes(body))

    def _told(self, battery: "VirtualBattery") -> "dict[int, int] | None":
        """Every byte that is told; None where too little is known, or a danger cannot be told."""
        image: dict[int, int] = {}
        limits: list[Row] = []
        dangerous = False
        allowed = {"charge": battery.charge_limit_ma > 0}
        allowed["discharge"] = battery.discharge_limit_ma > 0
        for row in self._rows:
            quantity = str(row["quantity"])
            if quantity in _TEXTS:
                own = self._model if quantity == "model" else self._serial
                text = own or getattr(battery, quantity) or ""
                _put(image, _span(row)[0], _ascii(text, 2 * _int(row["count"])))
                continue
            raw = row["value"]
            if quantity != "constant":
                value: int | None = getattr(battery, QUANTITIES[quantity][0])
                raw, how = self._raw(row, quantity, value)
                if raw is None:
                    return None
                dangerous = dangerous or how == DANGEROUS
            if quantity in LIMITS:
                limits.append(row)
                word = quantity.split("_")[0]
                zero = to_raw(0, quantity, _int(row["scale"]), _int(row["offset"]), *_range(row))[0]
                allowed[word] = allowed[word] and raw != zero
            self._number(image, row, _int(raw))
        if dangerous:
            if not self._can_stop():
                return None
            allowed["charge"] = allowed["discharge"] = False
        for row in limits:
            word = str(row["quantity"]).split("_")[0]
            if not allowed[word]:
                raw, how = self._raw(row, str(row["quantity"]), 0)
                if raw is None or how == DANGEROUS:
                    return None  # the row cannot say 0
                self._number(image, row, raw)
        self._put_bits(image, battery, allowed)
        return image

    def _raw(self, row: "Row", quantity: str, value: int | None) -> "tuple[int | None, int]":
        if value is None:
            unknown = row["unknown"]
            return (unknown if isinstance(unknown, int) else None), FITS
        raw, how = to_raw(value, quantity, _int(row["scale"]), _int(row["offset"]), *_range(row))
        if how != FITS:
            self.saturated[quantity] = self.saturated.get(quantity, 0) + 1
        if raw == row["unknown"]:  # the one number that a value may not have
            return None, how
        return raw, how

    def _can_stop(self) -> bool:
        """Whether both directions can be stopped: a limit or a switch of each."""
        told = [row["quantity"] for row in self._rows] + [row["tells"] for row in self._bits]
        return ("charge_limit_a" in told or "charge_enabled" in told) and (
            "discharge_limit_a" in told or "discharge_enabled" in told
        )

    def _number(self, image: "dict[int, int]", row: "Row", raw: int) -> None:
        _put(image, _span(row)[0], number_bytes(raw, str(row["type"]), self._low_first))

    def _put_bits(
        self, image: "dict[int, int]", battery: "VirtualBattery", allowed: "dict[str, bool]"
    ) -> None:
        current = getattr(battery, "whole", battery).current_ma or 0
        acted = battery.protections | battery.criticals
        at_level = {
            "warning": battery.warnings | acted,
            "protection": acted,
            "critical": battery.criticals,
        }
        is_so = {
            "charge_enabled": allowed["charge"],
            "discharge_enabled": allowed["discharge"],
            "charging": current > _FLOW_MA,
            "discharging": current < -_FLOW_MA,
            "any_warning": at_level["warning"] != 0,
            "any_protection": acted != 0,
        }
        words: dict[int, int] = {}
        turned: dict[int, int] = {}
        for row in self._bits:
            tells = str(row["tells"])
            claim = is_so.get(tells)
            if claim is None:
                claim = at_level[str(row["level"])] >> _UNIT_ALARMS.index(tells) & 1 == 1
            address, mask = _int(row["address"]), 1 << _int(row["bit"])
            words[address] = words.get(address, 0) | (mask if claim else 0)
            if row["when"] == "clear":
                turned[address] = turned.get(address, 0) | mask
        for address in words:
            word = words[address] ^ turned.get(address, 0)
            _put(image, 2 * address, bytes((word >> 8, word & 0xFF)))

    def read(self, frame: bytes) -> "Decoded":
        """What a request asks or, behind it in `frame`, an answer tells: by quantity and bit."""
        if len(frame) < 5:
            raise FrameError("truncated: %d bytes" % len(frame))
        function = frame[1] & 0x7F
        if function not in (READ_HOLDING, READ_INPUT):
            raise FrameError("marker: function 0x%02x, not 0x03 or 0x04" % frame[1])
        if frame[1] & 0x80:
            if len(frame) != 5 or not is_checked(frame):
                raise FrameError("checksum: a refusal, but the CRC is wrong")
            raise RefusedError("refused: Modbus exception %d" % frame[2], frame[2])
        found: Decoded = {"address": frame[0], "function": function}
        first = None
        if len(frame) >= 8 and is_checked(frame[:8]):
            first = frame[2] << 8 | frame[3]
            found["register"], found["count"] = first, frame[4] << 8 | frame[5]
            if len(frame) == 8:
                return found
            frame = frame[8:]
        if len(frame) < 5 or len(frame) < 5 + frame[2]:
            raise FrameError("truncated: %d bytes of an answer" % len(frame))
        if len(frame) > 5 + frame[2]:
            raise FrameError("length: %d bytes behind the answer" % (len(frame) - 5 - frame[2]))
        if not is_checked(frame):
            raise FrameError("checksum: an answer, but the CRC is wrong")
        body = frame[3 : len(frame) - 2]
        if first is None or len(body) != 2 * _int(found["count"]):
            found["registers"] = [number(body, at, "u16") for at in range(len(body) // 2)]
            return found
        for row in self._rows:
            start, end = _span(row)
            start, end = start - 2 * first, end - 2 * first
            if start >= 0 and end <= len(body):
                self._read_row(found, row, body, start // 2)
        for row in self._bits:
            at = _int(row["address"]) - first
            if 0 <= at < len(body) // 2:
                claim = bool(number(body, at, "u16") >> _int(row["bit"]) & 1)
                found[str(row["tells"])] = claim != (row["when"] == "clear")
        return found

    def _read_row(self, found: "Decoded", row: "Row", body: bytes, at: int) -> None:
        quantity = str(row["quantity"])
        if quantity in _TEXTS:
            raw_text = body[2 * at : 2 * (at + _int(row["count"]))]
            found[quantity] = "".join([chr(byte) for byte in raw_text if byte])
            return
        raw = number(body, at, str(row["type"]), self._low_first)
        if quantity == "constant":
            return
        field, per_human, _, danger = QUANTITIES[quantity]
        if raw == row["unknown"]:
            found[field] = None
            return
        exact = (raw * _int(row["scale"]) + _int(row["offset"]) * 1000) * per_human
        found[field] = ceil_div(exact, 1000000) if danger == LESS else exact // 1000000


def _range(row: "Row") -> tuple[int, int]:
    return bounds(str(row["type"]))


def _put(image: "dict[int, int]", at: int, raw: bytes) -> None:
    for byte in raw:
        image[at] = byte
        at += 1


def _ascii(text: str, size: int) -> bytes:
    """Printable ASCII, filled with 00."""
    codes = [ord(letter) for letter in text[:size]]
    raw = bytes([code if 32 <= code < 127 else 63 for code in codes])
    return raw + bytes(size - len(raw))


def _framed(frame: bytes) -> bytes:
    return frame + crc16_bytes(frame)
