"""Every value of a JK "4E 57" frame by name, or in words what is wrong with it."""

from vbms.commands.decoding import Reading, Values, only, snapshot_values
from vbms.errors import FrameError
from vbms.upstream import jk_4e57

# Tags that no field of a Snapshot says, with the factor to the unit in the name.
_NUMBERS = (
    (0x86, "temp_sensor_count", 1),
    (0x89, "cycle_capacity_mah", 1000),
    (0x8A, "cells_counted", 1),
    (0x8B, "alarms", 1),
    (0x8C, "status", 1),
    (0x8E, "pack_ovp_mv", 10),
    (0x8F, "pack_uvp_mv", 10),
    (0x91, "ovp_release_mv", 1),
    (0x92, "ovp_delay_s", 1),
    (0x94, "uvp_release_mv", 1),
    (0x95, "uvp_delay_s", 1),
    (0x96, "cell_difference_limit_mv", 1),
    (0x98, "discharge_delay_s", 1),
    (0x9A, "charge_delay_s", 1),
    (0x9B, "balance_start_mv", 1),
    (0x9C, "balance_difference_mv", 1),
    (0x9E, "mosfet_limit_mc", 1000),
    (0x9F, "mosfet_release_mc", 1000),
    (0xA0, "box_limit_mc", 1000),
    (0xA1, "box_release_mc", 1000),
    (0xA2, "temp_difference_limit_mc", 1000),
    (0xA3, "charge_hot_mc", 1000),
    (0xA4, "discharge_hot_mc", 1000),
    (0xAA, "nominal_mah", 1000),
    (0xAD, "current_calibration_ma", 1),
    (0xAE, "board_address", 1),
    (0xAF, "chemistry", 1),
    (0xB0, "sleep_delay_s", 1),
    (0xB1, "low_capacity_percent", 1),
    (0xB6, "runtime_min", 1),
    (0xB9, "actual_mah", 1000),
    (0xC0, "protocol_version", 1),
)
_COLD = (
    (0xA5, "charge_cold_mc"),
    (0xA6, "charge_cold_release_mc"),
    (0xA7, "discharge_cold_mc"),
    (0xA8, "discharge_cold_release_mc"),
)
_SWITCHES = (
    (0x9D, "balance_switch"),
    (0xAB, "charge_switch"),
    (0xAC, "discharge_switch"),
    (0xB3, "dedicated_charger"),
    (0xB8, "calibrating"),
)
_TEXTS = ((0xB4, "device_id"), (0xB5, "mfg_date"), (0xBA, "manufacturer_id"))
_VERSION = 0xB7
_PASSWORD = 0xB2


def read(data: bytes) -> Reading:
    """What the frames in `data` say: the newest answer, else the requests.

    Raises FrameError, its first word saying what is wrong.
    """
    answers: list[Values] = []
    requests: list[Values] = []
    at = 0
    while at < len(data) or not at:
        rest = data[at:]
        if at and rest[:2] != jk_4e57.START:
            raise FrameError("length: %d bytes left over behind the frame" % len(rest))
        size = _check(rest)
        frame = rest[:size]
        found: Values = {"command": frame[8], "source": frame[9], "type": frame[10]}
        if frame[10] == jk_4e57.ASKS:
            body = frame[jk_4e57.HEAD : size - jk_4e57.TAIL]
            if body != b"\x00":
                found["data"] = body.hex()
            requests.append(found)
        else:
            answers.append(_picture(frame) | found)
        at += size
    return (answers[-1] if answers else only(requests)), None


def _check(data: bytes) -> int:
    """The size of the frame that `data` starts with. Raises FrameError."""
    if data[:2] != jk_4e57.START[: len(data[:2])]:
        raise FrameError("marker: a frame starts with 4e 57, not with %s" % data[:2].hex(" "))
    if len(data) < 4:
        raise FrameError("truncated: %d bytes are less than any frame" % len(data))
    size = (data[2] << 8 | data[3]) + 2
    if size <= jk_4e57.HEAD + jk_4e57.TAIL:
        raise FrameError("length: a frame of %d bytes does not exist" % size)
    if len(data) < size:
        raise FrameError("truncated: %d of %d bytes" % (len(data), size))
    total = jk_4e57.sum16(data[: size - 4])
    said = data[size - 2] << 8 | data[size - 1]
    if total != said:
        raise FrameError("checksum: the sum is %04x, the frame says %04x" % (total, said))
    if not jk_4e57.is_whole(data[:size]):
        end = data[size - 5 : size - 2].hex(" ")
        raise FrameError("marker: 68 00 00 before the sum, not %s" % end)
    return size


def _picture(frame: bytes) -> Values:
    tags = jk_4e57.walk(frame[jk_4e57.HEAD : len(frame) - jk_4e57.TAIL])
    values = snapshot_values(jk_4e57.Codec().decode((frame,), 0))
    values["temp1_mc"] = jk_4e57.temperature_mc(tags, 0x81)
    values["temp2_mc"] = jk_4e57.temperature_mc(tags, 0x82)
    status = jk_4e57.number(tags, 0x8C)
    if status is not None:
        values["charge_fet"] = bool(status & 1)
        values["discharge_fet"] = bool(status & 2)
        values["cells_missing"] = bool(status & 8)
    for tag, name, scale in _NUMBERS:
        value = jk_4e57.number(tags, tag)
        if value is not None:
            values[name] = value * scale
    for tag, name in _COLD:
        value = jk_4e57.number(tags, tag)
        if value is not None:
            values[name] = (value - 0x10000 if value & 0x8000 else value) * 1000
    for tag, name in _SWITCHES:
        value = jk_4e57.number(tags, tag)
        if value is not None:
            values[name] = value != 0
    for tag, name in _TEXTS:
        if tag in tags:
            values[name] = jk_4e57.text_of(tags[tag])
    if _VERSION in tags:  # its padding is part of what people quote
        padded = tags[_VERSION].rstrip(b"\0")
        values["sw"] = "".join(chr(byte) if 32 <= byte < 127 else "?" for byte in padded)
    if _PASSWORD in tags:
        values["parameter_password"] = "***"
    return values
