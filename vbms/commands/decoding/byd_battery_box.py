"""Every value of a Battery-Box's RTU frames by name, or in words what is wrong with them.

A frame alone does not say which registers it holds; each answer of the known sequence has a length
of its own. Several frames may follow each other: four detail blocks together are one BMS.
"""

import struct

from vbms.commands.decoding import Reading, Values, only, snapshot_values
from vbms.errors import FrameError
from vbms.upstream import byd_battery_box as box
from vbms.wire.crc import crc16_bytes

_READ, _WRITE = 0x03, 0x10
_HIGH_VOLTAGE_MV = 75000  # no low-voltage system is above, no high-voltage one below
_BLOCK = 2 * box.BLOCK_COUNT
_TEMPERATURES = ((180, 195), (196, 213))  # words of a detail, two sensors each
_LOW_VOLTAGE_CELLS, _LOW_VOLTAGE_SENSORS = 16, 8


def read(data: bytes) -> Reading:
    """What the frames in `data` say. Raises FrameError, its first word saying what is wrong."""
    found: list[Values] = []
    blocks: list[bytes] = []
    refusal = None
    at = 0
    while at < len(data) or not at:
        size = _size(data[at:])
        frame = data[at : at + size]
        at += size
        base: Values = {"address": frame[0], "function": frame[1] & 0x7F}
        if frame[1] & 0x80:
            found.append(base | {"exception": frame[2]})
            refusal = "refused: Modbus exception %d" % frame[2]
        elif frame[1] == _WRITE or size == 8:
            base["register"], base["count"] = struct.unpack(">HH", frame[2:6])
            if size > 8:
                base["data"] = frame[7 : size - 2].hex()
            found.append(base)
        elif frame[2] == _BLOCK:
            blocks.append(frame[3 : size - 2])
            if len(blocks) < box.BLOCKS:
                continue
            found.append(base | _detail(b"".join(blocks)))
            blocks = []
        else:
            found.append(base | _answer(frame[3 : size - 2]))
    if blocks:
        found.append({"blocks": [block.hex() for block in blocks]})
    return only(found), refusal


def _size(data: bytes) -> int:
    """The size of the frame that `data` starts with; FrameError says why it starts with none."""
    if len(data) < 5:
        raise FrameError("truncated: %d bytes are less than any frame" % len(data))
    function = data[1]
    if function & 0x80:
        sizes = [5]
    elif function == _READ:
        sizes = [5 + data[2], 8]
    elif function == _WRITE:
        sizes = [8] + ([9 + data[6]] if len(data) > 6 else [])
    else:
        raise FrameError("marker: function 0x%02x, not 0x03 or 0x10" % function)
    for size in sizes:
        if len(data) >= size and crc16_bytes(data[: size - 2]) == data[size - 2 : size]:
            return size
    size = sizes[0] if function != _WRITE else sizes[-1]
    if len(data) < size:
        raise FrameError("truncated: %d of %d bytes" % (len(data), size))
    made = crc16_bytes(data[: size - 2]).hex(" ")
    raise FrameError(
        "checksum: the crc is %s, the frame says %s" % (made, data[size - 2 : size].hex(" "))
    )


def _answer(body: bytes) -> Values:
    """The registers of an answer, by how many they are."""
    count = len(body) // 2
    if count == box.STATUS_COUNT:
        return _status(body)
    if count == box.INFO_COUNT:
        return _info(body)
    if count == 3:
        return _type(body)
    if count == 1:
        return {"ready": box.word(body, 0)}
    raise FrameError("payload: %d registers are none of its answers" % count)


def _status(body: bytes) -> Values:
    snap = box.Codec().decode((body,), 0)
    found = snapshot_values(snap)
    word, (hot, cold, bmu) = box.word, struct.unpack_from(">hhh", body, 12)
    charged = word(body, 17) | word(body, 18) << 16  # low word first
    discharged = word(body, 19) | word(body, 20) << 16
    unit_wh = 100 if (snap.voltage_mv or 0) > _HIGH_VOLTAGE_MV else 1
    found.update(
        max_cell_mv=word(body, 1) * 10,
        min_cell_mv=word(body, 2) * 10,
        max_cell_temp_mc=hot * 1000,
        min_cell_temp_mc=cold * 1000,
        bmu_temp_mc=bmu * 1000,
        errors=word(body, 13),
        pt_version="%d.%02d" % (body[28], body[29]),
        output_voltage_mv=word(body, 16) * 10,
        charge_energy_raw=charged,
        discharge_energy_raw=discharged,
        charge_energy_wh=charged * unit_wh,
        discharge_energy_wh=discharged * unit_wh,
    )
    return found


def _info(body: bytes) -> Values:
    word = box.word
    slots = word(body, 15)
    found: Values = {"serial": box.text_of(body[:20])}
    for at, name in ((12, "bmu_fw_a"), (13, "bmu_fw_b"), (14, "bms_fw")):
        found[name] = "%d.%02d" % (body[2 * at], body[2 * at + 1])
    found["active_slots"] = [slots >> 8, slots & 0xFF]
    found.update(_type(body[32:38]))
    try:
        info = box.Info(body)
    except FrameError as error:
        found["model"] = str(error)
        return found
    found.update(
        model=info.model,
        cell_count=info.cells,
        strings=info.strings,
        design_mah=info.design_mah(),
    )
    return found


def _type(body: bytes) -> Values:
    return {
        "inverter": body[0],
        "towers": body[1] >> 4,
        "modules": body[1] & 0x0F,
        "bms_count": body[1] & 0x0F,
        "battery_type": body[2],
        "application": body[3],
        "phase": body[4],
    }


def _detail(body: bytes) -> Values:
    """Four blocks, as far as they are filled: how many cells there are is not in them."""
    box.check_detail(body)
    word = box.word

    def signed(at: int, factor: int) -> int:
        return int(struct.unpack_from(">h", body, 2 * at)[0]) * factor

    cells = list(box.cells_of(body, box.MOST_CELLS) or ())
    while len(cells) > _LOW_VOLTAGE_CELLS and not cells[-1]:
        cells.pop()
    temps: list[int] = []
    for first, end in _TEMPERATURES:
        temps += struct.unpack_from(">%db" % (2 * (end - first)), body, 2 * first)
    if len(cells) == _LOW_VOLTAGE_CELLS:
        temps = temps[:_LOW_VOLTAGE_SENSORS]
    while temps and not temps[-1]:
        temps.pop()
    return {
        "max_cell_mv": signed(1, 1),
        "min_cell_mv": signed(2, 1),
        "max_cell_no": body[6],
        "min_cell_no": body[7],
        "max_temp_mc": signed(4, 1000),
        "min_temp_mc": signed(5, 1000),
        "balance_masks": [word(body, at) for at in range(7, 15)],
        "charge_energy_wh": word(body, 15) | word(body, 16) << 16,
        "discharge_energy_wh": word(body, 17) | word(body, 18) << 16,
        "voltage_mv": signed(21, 100),
        "switch_state": word(body, 23),
        "output_voltage_mv": signed(24, 100),
        "soc_permille": signed(25, 1),
        "soh_permille": signed(26, 10),
        "current_ma": signed(27, -100),
        "warn1": word(body, 28),
        "warn2": word(body, 29),
        "warn3": word(body, 30),
        "serial": box.text_of(body[68:92]),
        "errors": word(body, 48),
        "cells_mv": cells,
        "temps_mc": [degrees * 1000 for degrees in temps],
    }
