"""Writes the vectors of jk_4e57, pack_chain, ina3221 and dummy: `python tests/vectors/synthesise_serial.py`.

Frames are put together from values by the tables of the protocol documents, and what is expected is
those values; nothing here imports vbms.
"""

import json
import struct
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
SOURCE = "synthetic, from the protocol's tables"
READ_ALL = bytes.fromhex("4e5700130000000006030000000000006800000129")


def nw(cells: list[int], *tags: tuple[int, str, int | bytes]) -> bytes:
    """An answer: the cells, then (tag, struct letter, value) in the order given."""
    data = bytes((0x79, 3 * len(cells)))
    for number, millivolts in enumerate(cells, 1):
        data += struct.pack(">BH", number, millivolts)
    for tag, letter, value in tags:
        data += struct.pack(">B" + letter, tag, value)
    body = bytes(4) + b"\x06\x00\x01" + data + bytes(4) + b"\x68"
    head = b"NW" + struct.pack(">H", len(body) + 6) + body
    return head + bytes(2) + struct.pack(">H", sum(head) & 0xFFFF)


def write(
    folder: str, name: str, requests: list[bytes], frames: list[bytes], **expect: Any
) -> None:
    path = HERE / folder / f"{name}.json"
    path.parent.mkdir(exist_ok=True)
    vector = {
        "source": SOURCE,
        "protocol": folder,
        "requests": [data.hex(" ") for data in requests],
        "frames": [data.hex(" ") for data in frames],
        "expect": expect,
    }
    path.write_text(json.dumps(vector, indent=1) + "\n")


def jk_4e57() -> None:
    cells = [3331 + (7 * n) % 5 for n in range(16)]
    modern = nw(
        cells,
        (0x80, "H", 31),
        (0x81, "H", 24),
        (0x82, "H", 103),  # -3
        (0x83, "H", 5333),
        (0x84, "H", 0x8000 | 1250),
        (0x85, "B", 71),
        (0x86, "B", 2),
        (0x87, "H", 143),
        (0x89, "I", 28600),
        (0x8A, "H", 16),
        (0x8B, "H", 1 << 9 | 1),  # cold, low capacity
        (0x8C, "H", 0x1006),
        (0x90, "H", 3650),
        (0x93, "H", 2600),
        (0x97, "H", 150),
        (0x99, "H", 60),
        (0xA9, "B", 16),
        (0xAA, "I", 200),
        (0xAB, "B", 1),
        (0xAC, "B", 1),
        (0xB4, "8s", b"60230017"),
        (0xB7, "15s", b"11.XW_S11.261__"),
        (0xB9, "I", 197),
        (0xBA, "24s", b"Input UserdaJK_B2A24S20P"),
        (0xC0, "B", 1),
    )
    write(
        "jk_4e57",
        "cold",
        [READ_ALL],
        [modern],
        voltage_mv=53330,
        current_ma=12500,
        soc_permille=710,
        capacity_mah=197000,
        design_mah=200000,
        cells_mv=cells,
        cell_count=16,
        temps_mc=[24000, -3000],
        mosfet_mc=31000,
        cycles_count=143,
        balancing=True,
        ccl_ma=60000,
        ccl_is_trip=True,
        dcl_ma=150000,
        dcl_is_trip=True,
        ovp_mv=3650,
        uvp_mv=2600,
        charge_ok=False,
        discharge_ok=False,
        charge_open=True,
        discharge_open=False,
        warnings=1 << 16,
        protections=1 << 7 | 1 << 9,
        serial="60230017",
        model="JK_B2A24S20P",
    )
    old = nw(
        cells[:8],
        (0x80, "H", 21),
        (0x81, "H", 18),
        (0x82, "H", 19),
        (0x83, "H", 2665),
        (0x84, "H", 10000 + 725),
        (0x85, "B", 100),
        (0x86, "B", 2),
        (0x87, "H", 0),
        (0x8A, "H", 8),
        (0x8B, "H", 0),
        (0x8C, "H", 3),
        (0x97, "H", 200),
        (0x99, "H", 100),
        (0xAA, "I", 280),
        (0xB4, "8s", b"Input Us"),
    )
    write(
        "jk_4e57",
        "old_firmware",
        [READ_ALL],
        [old],
        voltage_mv=26650,
        current_ma=-7250,
        soc_permille=1000,
        capacity_mah=280000,
        design_mah=280000,
        cells_mv=cells[:8],
        cell_count=8,
        temps_mc=[18000, 19000],
        mosfet_mc=21000,
        cycles_count=0,
        balancing=False,
        ccl_ma=100000,
        ccl_is_trip=True,
        dcl_ma=200000,
        dcl_is_trip=True,
        charge_ok=True,
        discharge_ok=True,
        charge_open=False,
        discharge_open=False,
        model="JK BMS",
    )


def packet(*four: int) -> bytes:
    """With its CRC-8, bit by bit as a shift register does it: polynomial 7, start 0."""
    register = 0
    for byte in four:
        for bit in range(7, -1, -1):
            top = register >> 7
            register = (register << 1 | byte >> bit & 1) & 0xFF
            register ^= 0x07 if top else 0
    for _ in range(8):
        top = register >> 7
        register = register << 1 & 0xFF
        register ^= 0x07 if top else 0
    return bytes((*four, register))


def pack_chain() -> None:
    cells = [3287 + 3 * n for n in range(14)]
    cells[9] = 3351
    temps = [21] * 14
    temps[3], temps[13] = -4, 31
    requests, frames = [], []
    for n in range(14):
        requests.append(packet(n + 1 << 1 | 1, 6, 0, 0))
        frames.append(packet(n + 1 << 1, 6, cells[n] >> 8, cells[n] & 255))
    for n in range(14):
        requests.append(packet(n + 1 << 1 | 1, 8, 0, 0))
        frames.append(packet(n + 1 << 1, 8, temps[n] >> 8 & 255, temps[n] & 255))
    requests.append(packet(1, 3, 0, 1))
    frames.append(packet(1, 3, 0, 15))
    write(
        "pack_chain",
        "fourteen_modules",
        requests,
        frames,
        voltage_mv=sum(cells),
        cells_mv=cells,
        temps_mc=[1000 * t for t in temps],
        model="chain of 14 modules",
    )


def ina3221() -> None:
    """Shunt voltages in steps of 40 uV, taps in steps of 8 mV, three bits up."""
    steps = [(250, 489), (250, 984), (-500, 1480)]  # 100, 100, -200 mA of 0.1 Ohm
    live = b""
    for channel, (shunt, tap) in enumerate(steps):
        for register, value in ((2 * channel + 1, shunt), (2 * channel + 2, tap)):
            live += struct.pack(">Bh", register, value * 8)
    taps = [8 * tap for _, tap in steps]
    write(
        "ina3221",
        "three_cells",
        [bytes((1, 2, 3, 4, 5, 6)), bytes((0xFE, 0xFF))],
        [live, bytes.fromhex("fe5449 ff3220")],
        voltage_mv=taps[2],
        cells_mv=[taps[0], taps[1] - taps[0], taps[2] - taps[1]],
        current_ma=0,  # their mean
        model="INA3221 at 0x40",
    )


def dummy() -> None:
    """At 1.234 s: second 1, so cell n trembles by (1 + 5 n) % 3 - 1 mV."""
    cells = [3300 + (1 + 5 * n) % 3 - 1 for n in range(16)]
    write(
        "dummy",
        "default",
        [],
        [],
        voltage_mv=sum(cells),
        cells_mv=cells,
        current_ma=0,
        soc_permille=500,
        temps_mc=[25000] * 4,
        charge_ok=True,
        discharge_ok=True,
        note="a dummy: there is no battery",
        model="DUMMY",
        serial="DUMMY",
    )


if __name__ == "__main__":
    jk_4e57()
    pack_chain()
    ina3221()
    dummy()
