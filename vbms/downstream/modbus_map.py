"""Any inverter that asks by Modbus RTU: what it reads where is said by its profile.

    registers:    {address, quantity, type, scale, offset, count, value, unknown}
    bits:         {address, bit, tells, level, when}

What is told is (value - offset) / scale, rounded to the safe side and clamped to the type; where
clamping would hide a danger, both limits are 0. A quantity that is unknown silences the whole,
unless its row says which raw number means "unknown". docs/modbus_map.md is the whole table.
"""

from vbms.downstream.modbus_rows import (
    BITS,
    OPTIONS,
    REGISTERS,
    TEXTS,
    UNIT_ALARMS,
    check,
    named,
    span,
    whole,
)
from vbms.downstream.safe_side import DANGEROUS, FITS, LESS, LIMITS, QUANTITIES, to_raw
from vbms.errors import FrameError, RefusedError
from vbms.integers import ceil_div
from vbms.wire.crc import crc16_bytes
from vbms.wire.modbus_rtu import MOST, READ_HOLDING, READ_INPUT, is_checked, take
from vbms.wire.printable import printable
from vbms.wire.registers import bounds, number, number_bytes

TYPE_CHECKING = False
if TYPE_CHECKING:
    from vbms.aggregate.virtual import VirtualBattery
    from vbms.options import Rows

    Decoded = dict[str, object]
    Row = dict[str, object]

__all__ = ["BAUD", "BITS", "Codec", "OPTIONS", "REGISTERS", "check"]

BAUD = 9600
_FLOW_MA = 500  # below this a battery neither charges nor discharges
_RECENT = 8  # requests whose answers are made beforehand


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
        self._rows = named(REGISTERS, registers)
        self._bits = named(BITS, bits)
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
            if quantity in TEXTS:
                own = self._model if quantity == "model" else self._serial
                text = own or getattr(battery, quantity) or ""
                _put(image, span(row)[0], printable(text, 2 * whole(row["count"])))
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
                scale, offset = whole(row["scale"]), whole(row["offset"])
                zero = to_raw(0, quantity, scale, offset, *_range(row))[0]
                allowed[word] = allowed[word] and raw != zero
            self._number(image, row, whole(raw))
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
        raw, how = to_raw(value, quantity, whole(row["scale"]), whole(row["offset"]), *_range(row))
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
        _put(image, span(row)[0], number_bytes(raw, str(row["type"]), self._low_first))

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
                claim = at_level[str(row["level"])] >> UNIT_ALARMS.index(tells) & 1 == 1
            address, mask = whole(row["address"]), 1 << whole(row["bit"])
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
        if first is None or len(body) != 2 * whole(found["count"]):
            found["registers"] = [number(body, at, "u16") for at in range(len(body) // 2)]
            return found
        for row in self._rows:
            start, end = span(row)
            start, end = start - 2 * first, end - 2 * first
            if start >= 0 and end <= len(body):
                self._read_row(found, row, body, start // 2)
        for row in self._bits:
            at = whole(row["address"]) - first
            if 0 <= at < len(body) // 2:
                claim = bool(number(body, at, "u16") >> whole(row["bit"]) & 1)
                found[str(row["tells"])] = claim != (row["when"] == "clear")
        return found

    def _read_row(self, found: "Decoded", row: "Row", body: bytes, at: int) -> None:
        quantity = str(row["quantity"])
        if quantity in TEXTS:
            raw_text = body[2 * at : 2 * (at + whole(row["count"]))]
            found[quantity] = "".join([chr(byte) for byte in raw_text if byte])
            return
        raw = number(body, at, str(row["type"]), self._low_first)
        if quantity == "constant":
            return
        field, per_human, _, danger = QUANTITIES[quantity]
        if raw == row["unknown"]:
            found[field] = None
            return
        exact = (raw * whole(row["scale"]) + whole(row["offset"]) * 1000) * per_human
        found[field] = ceil_div(exact, 1000000) if danger == LESS else exact // 1000000


def _range(row: "Row") -> tuple[int, int]:
    return bounds(str(row["type"]))


def _put(image: "dict[int, int]", at: int, raw: bytes) -> None:
    for byte in raw:
        image[at] = byte
        at += 1


def _framed(frame: bytes) -> bytes:
    return frame + crc16_bytes(frame)
