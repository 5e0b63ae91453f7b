"""How an inverter reads Pylontech's RS485 frames: for `vbms decode`, and to check what is told.

An answer does not say which command it answers: its length and shape do, or the request that stands
before it.
"""

import struct

from vbms.downstream.pylontech_frames import (
    ABOVE,
    ALARMS,
    ANALOG,
    BASIC,
    BELOW,
    CHARGE_ENABLED,
    CHARGE_NOW,
    CHARGE_SOON,
    DISCHARGE_ENABLED,
    FIRMWARE,
    FULL_CHARGE,
    KELVIN,
    LIMITS,
    MAKER,
    NORMAL,
    OTHER,
    PARAMETER,
    PARAMETERS,
    RETURNS,
    SERIAL,
    TAIL,
    UNIT_ALARMS,
    UNIT_ANALOG,
    UNIT_LIMIT,
    UNIT_LIMITS,
    VERSION,
    analog,
    limits,
)
from vbms.errors import FrameError, RefusedError
from vbms.wire import pylon_ascii
from vbms.wire.pylon_ascii import Message

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    Values = dict[str, object]


class Reader:
    """Reads with the scales that were agreed: milliamperes a bit of 0x61 and of 0x63."""

    def __init__(self, current_unit: int, limit_unit: int):
        self._analog = analog(current_unit)
        self._limits = limits(limit_unit)

    def read(self, frame: bytes) -> "Values":
        """Named values in milli-units. FrameError says what is wrong with the frame; RefusedError
        carries a return code that is no success."""
        end = frame.find(b"\r") + 1
        if 0 < end < len(frame):
            asked = _checked(frame[:end])
            answer = _checked(frame[end:])
            if answer.command in RETURNS or answer.command == 0:
                return self._answer(answer, asked.command)
            raise FrameError("length: %d bytes behind the frame" % (len(frame) - end))
        message = _checked(frame)
        if message.command in RETURNS or message.command == 0:
            return self._answer(message, None)
        found: Values = {"address": message.address, "command": message.command}
        found["version"] = "%02x" % message.version
        info = message.info or b""
        if len(info) == 1:
            found["module"] = info[0]
        elif info:
            found["info"] = "".join(["%02x" % byte for byte in info])
        return found

    def _answer(self, message: Message, command: int | None) -> "Values":
        if message.command:
            text = RETURNS[message.command]
            raise RefusedError("refused: return code %02x, %s" % (message.command, text),
                               message.command)  # fmt: skip
        info = message.info or b""
        found: Values = {"address": message.address}
        if command is None:
            command = _guess(info)
        if command == ANALOG and len(info) == self._analog.size:
            found |= self._analog.read(info)
        elif command == LIMITS and len(info) == self._limits.size:
            found |= self._limits.read(info)
            _add_status(found, LIMITS)
        elif command == ALARMS and len(info) == 4:
            found["alarm_bits"] = info[0] << 8 | info[1]
            found["protection_bits"] = info[2] << 8 | info[3]
        elif command == UNIT_LIMITS and len(info) == 1 + UNIT_LIMIT.size:
            found["module"] = info[0]
            found |= UNIT_LIMIT.read(info, 1)
            _add_status(found, UNIT_LIMITS)
        elif command == PARAMETERS and len(info) == 1 + PARAMETER.size:
            found |= PARAMETER.read(info, 1)
        elif command == BASIC and _is_basic(info):
            found |= _read_maker(info[:10], info[10:30], info[30:32])
            rest = info[33:]
            found["serials"] = [text_of(rest[at : at + 16]) for at in range(0, len(rest), 16)]
        elif command == MAKER and len(info) == 32:
            found |= _read_maker(info[:10], info[12:], info[10:12])
        elif command == SERIAL and len(info) == 17:
            found["module"] = info[0]
            found["serial"] = text_of(info[1:])
        elif command == FIRMWARE and len(info) == 6:
            found["module"] = info[0]
            found["maker_version"] = "%02x%02x" % (info[1], info[2])
            found["main_version"] = "%02x%02x%02x" % (info[3], info[4], info[5])
        elif command == UNIT_ANALOG and (modules := _modules(info, _take_analog)):
            found |= modules
        elif command == UNIT_ALARMS and (modules := _modules(info, _take_alarms)):
            found |= modules
        elif command == VERSION and not info:
            found["version"] = "%02x" % message.version
        else:
            raise FrameError("payload: %d bytes are no answer to any command" % len(info))
        return found


def _checked(frame: bytes) -> Message:
    size = len(frame)
    if not size or frame[0] != 0x7E:
        raise FrameError("marker: a frame begins with ~")
    if frame[size - 1] != 0x0D:
        raise FrameError("truncated: no carriage return at the end of %d characters" % size)
    for byte in frame[1 : size - 1]:
        if not pylon_ascii.is_digit(byte):
            raise FrameError("payload: %02x is no upper-case hex digit" % byte)
    if size < 18:
        raise FrameError("truncated: %d characters are less than any frame" % size)
    if not pylon_ascii.fits(frame):
        raise FrameError("checksum: CHKSUM is not the sum of the characters")
    message = Message(frame)
    if message.kind != pylon_ascii.BATTERY:
        raise FrameError("marker: CID1 %02x, not 46" % message.kind)
    if not message.sum_fits:
        raise FrameError("checksum: LCHKSUM does not fit LENGTH")
    if not message.length_fits or message.info is None:
        raise FrameError("length: INFO has %d characters, LENGTH says otherwise" % (size - 18))
    return message


def _guess(info: bytes) -> int | None:
    """The command that this answers, by its shape."""
    size = len(info)
    if not size:
        return VERSION
    if _is_basic(info):
        return BASIC
    if size == 32 and _is_text(info[:10]) and _is_text(info[12:]):
        return MAKER
    if size == 49:
        return ANALOG if _modules(info, _take_analog) is None else UNIT_ANALOG
    if _modules(info, _take_analog) is not None:
        return UNIT_ANALOG
    if _modules(info, _take_alarms) is not None:
        return UNIT_ALARMS
    fixed = {4: ALARMS, 6: FIRMWARE, 9: LIMITS, 10: UNIT_LIMITS, 17: SERIAL, 25: PARAMETERS}
    return fixed.get(size)


def _is_text(raw: bytes) -> bool:
    for byte in raw:
        if byte and not 32 <= byte < 127:
            return False
    return True


def _is_basic(info: bytes) -> bool:
    return len(info) >= 33 and len(info) == 33 + 16 * info[32] and _is_text(info[:30])


def _read_maker(model: bytes, maker: bytes, software: bytes) -> "Values":
    return {
        "model": text_of(model),
        "maker": text_of(maker),
        "software": "%02x%02x" % (software[0], software[1]),
    }


def text_of(raw: bytes) -> str:
    """Without the filling that batteries put behind it: NUL or dashes."""
    return "".join([chr(byte) for byte in raw if byte]).rstrip("- ")


def _add_status(found: "Values", command: int) -> None:
    status = found["status_bits"]
    if isinstance(status, int):
        now = CHARGE_NOW if command == LIMITS else CHARGE_NOW | CHARGE_SOON
        found["charge_ok"] = bool(status & CHARGE_ENABLED)
        found["discharge_ok"] = bool(status & DISCHARGE_ENABLED)
        found["force_charge"] = bool(status & now)
        found["full_charge_request"] = bool(status & FULL_CHARGE[command])


def _modules(
    info: bytes, take: "Callable[[bytes, int], tuple[int, Values] | None]"
) -> "Values | None":
    """One module with its number, or all of them; None: it is something else."""
    if len(info) < 3:
        return None
    found = []
    at = 2
    while at < len(info):
        one = take(info, at)
        if one is None:
            return None
        at = one[0]
        found.append(one[1])
    if at != len(info) or (len(found) > 1 and len(found) != info[1]):
        return None
    if len(found) == 1 and info[1] != 1:  # numbers begin at 2
        return {"module": info[1]} | found[0]
    return {"modules": found}


def _take_analog(info: bytes, at: int) -> "tuple[int, Values] | None":
    """One module of 0x42 that begins here, and where it ends."""
    size = len(info)
    cells = info[at]
    sensors_at = at + 1 + 2 * cells
    if not 1 <= cells <= 32 or sensors_at >= size:
        return None
    sensors = info[sensors_at]
    tail_at = sensors_at + 1 + 2 * sensors
    end = tail_at + TAIL.size
    if not 1 <= sensors <= 32 or end > size:
        return None
    found: Values = {
        "cells_mv": list(struct.unpack_from(">%dh" % cells, info, at + 1)),
    }
    words = struct.unpack_from(">%dH" % sensors, info, sensors_at + 1)
    temps = [(word - KELVIN) * 100 for word in words]
    found["bms_mc"] = temps[0]
    found["temps_mc"] = temps[1:]
    found |= TAIL.read(info, tail_at)
    items = found.pop("items")
    if items == 4 and end + 6 <= size:
        found["remaining_mah"] = _three(info, end)
        found["capacity_mah"] = _three(info, end + 3)
        end += 6
    elif items != 2:
        return None
    return end, found


def _three(info: bytes, at: int) -> int:
    return info[at] << 16 | info[at + 1] << 8 | info[at + 2]


def _take_alarms(info: bytes, at: int) -> "tuple[int, Values] | None":
    """One module of 0x44. A real US3000C sends a sixth status byte; then nothing stands behind."""
    cells = info[at]
    sensors_at = at + 1 + cells
    if not 1 <= cells <= 32 or sensors_at >= len(info):
        return None
    sensors = info[sensors_at]
    rest_at = sensors_at + 1 + sensors
    end = rest_at + 8
    if not 1 <= sensors <= 32 or end > len(info):
        return None
    states = list(info[at + 1 : sensors_at]) + list(info[sensors_at + 1 : rest_at + 3])
    for state in states:
        if state not in (NORMAL, BELOW, ABOVE, OTHER):
            return None
    if end + 1 == len(info):
        end += 1
    found: Values = {
        "cell_states": list(info[at + 1 : sensors_at]),
        "temp_states": list(info[sensors_at + 1 : rest_at]),
        "charge_current_state": info[rest_at],
        "voltage_state": info[rest_at + 1],
        "discharge_current_state": info[rest_at + 2],
        "status": list(info[rest_at + 3 : end]),
    }
    return end, found
