"""Writes the vectors of jk_ble and jbd: `python tests/vectors/synthesise_ble.py`.

Frames are put together from values by the offsets of the protocol documents, and what is expected
is those values; nothing here imports vbms.
"""

import json
import struct
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
SOURCE = "synthetic, from the protocol's tables"
CELLS = [
    3310,
    3314,
    3313,
    3312,
    3312,
    3308,
    3312,
    3309,
    3309,
    3309,
    3309,
    3312,
    3313,
    3309,
    3310,
    3309,
]


def jk(kind: int, *rows: tuple[int, str, Any]) -> bytes:
    frame = bytearray(300)
    frame[:6] = b"\x55\xaa\xeb\x90" + bytes((kind, 7))
    for at, letter, value in rows:
        values = value if isinstance(value, list) else [value]
        struct.pack_into("<" + letter, frame, at, *values)
    frame[299] = sum(frame) % 256
    return bytes(frame)


def jk_command(code: int) -> bytes:
    body = b"\xaa\x55\x90\xeb" + bytes((code,)) + bytes(14)
    return body + bytes((sum(body) % 256,))


def jk_live(places: int) -> bytes:
    near, far = (0, 0) if places == 32 else (-16, -32)
    return jk(
        2,
        (6, "16H", CELLS),
        (70 + near, "I", 0xFFFF),
        (144 if places == 32 else 134, "h", 228),
        (150 + far, "I", 52971),
        (158 + far, "i", -2329),
        (162 + far, "2h", [181, -15]),
        (166 if places == 32 else 136, "I" if places == 32 else "H", 1 << 9),
        (172 + far, "2B", [2, 56]),
        (174 + far, "3I", [113245, 202000, 60]),
        (190 + far, "B", 98),
        (198 + far, "2B", [1, 1]),
        (214 + far, "B", 7),
        *([(254, "3h", [-2000, -2000, -2000])] if places == 32 else []),
    )


JK_SETTINGS = jk(
    1,
    (10, "I", 2600),
    (18, "I", 3650),
    (38, "I", 3450),
    (50, "I", 50000),
    (62, "I", 180000),
    (114, "4I", [16, 1, 1, 1]),
    (130, "I", 200000),
)
JK_EXPECT = {
    "voltage_mv": 52971,
    "current_ma": -2329,
    "soc_permille": 560,
    "soh_permille": 980,
    "capacity_mah": 202000,
    "design_mah": 200000,
    "remaining_mah": 113245,
    "cells_mv": CELLS,
    "cell_count": 16,
    "temps_mc": [18100, -1500],
    "mosfet_mc": 22800,
    "cycles_count": 60,
    "balancing": True,
    "ccl_ma": 50000,
    "ccl_is_trip": True,
    "dcl_ma": 180000,
    "dcl_is_trip": True,
    "cvl_mv": 16 * 3450,
    "ovp_mv": 3650,
    "uvp_mv": 2600,
    "charge_ok": False,  # too cold to charge
    "discharge_ok": True,
    "charge_open": False,
    "discharge_open": False,
    "protections": 1 << 7,
    "serial": "20328160",
}


def jk_info(model: str, hardware: str, software: str) -> bytes:
    texts = ((6, model), (22, hardware), (30, software), (86, "20328160"))
    return jk(3, *((at, "%ds" % len(text), text.encode()) for at, text in texts))


def jk_vector(frames: list[bytes], expect: dict[str, Any]) -> dict[str, Any]:
    asked = {1: 0x96, 2: 0x96, 3: 0x97}
    return {
        "source": SOURCE,
        "protocol": "jk_ble",
        "requests": [jk_command(asked[frame[4]]).hex(" ") for frame in frames],
        "frames": [frame.hex(" ") for frame in frames],
        "expect": expect,
    }


def jk_vectors() -> dict[str, dict[str, Any]]:
    old = jk_info("JK-B2A20S20P", "10.XG", "10.08")
    new = jk_info("JK_PB2A16S20P", "15A", "15.38")
    balancer = jk_info("JK-B2A16S", "3.0", "3.3.0")
    other = "its frames have the layout of %dS, not that of its firmware"
    live04 = jk(2, (6, "16f", [each / 1000 for each in CELLS]), (220, "B", 1), (286, "I", 99))
    said = ("ccl_ma", "ccl_is_trip", "dcl_ma", "dcl_is_trip", "cvl_mv", "ovp_mv", "uvp_mv")
    unset = (*said, "serial", "design_mah", "cell_count", "discharge_ok")
    live = {name: value for name, value in JK_EXPECT.items() if name not in unset}
    return {
        "24s": jk_vector([jk_live(24), JK_SETTINGS, old], JK_EXPECT | {"model": "JK-B2A20S20P"}),
        "32s": jk_vector([jk_live(32), JK_SETTINGS, new], JK_EXPECT | {"model": "JK_PB2A16S20P"}),
        "24s_without_info": jk_vector([jk_live(24)], live),
        "32s_without_info": jk_vector([jk_live(32)], live),
        "24s_of_new_firmware": jk_vector(
            [jk_live(24), JK_SETTINGS, new],
            JK_EXPECT | {"model": "JK_PB2A16S20P", "note": other % 24},
        ),
        "32s_of_old_firmware": jk_vector(
            [jk_live(32), JK_SETTINGS, old],
            JK_EXPECT | {"model": "JK-B2A20S20P", "note": other % 32},
        ),
        "jk04": jk_vector(
            [live04, jk(1, (34, "B", 16), (38, "f", 3.0)), balancer],
            {
                "voltage_mv": sum(CELLS),
                "cells_mv": CELLS,
                "cell_count": 16,
                "balancing": True,
                "note": "a balancer: it knows neither current nor SOC, so it is shown and not merged",
                "serial": "20328160",
                "model": "JK-B2A16S",
            },
        ),
    }


def jbd(command: int, data: bytes, status: int = 0) -> bytes:
    body = bytes((status, len(data))) + data
    return b"\xdd" + bytes((command,)) + body + struct.pack(">H", -sum(body) & 0xFFFF) + b"\x77"


def jbd_basic(
    amps_10ma: int, protection: int, switches: int, balance: int, temps: list[int]
) -> bytes:
    head = struct.pack(">HhHHHHHHHBBBBB", 5297, amps_10ma, 8512, 10000, 60, 0x2F4C, balance, 0,
                       protection, 0x21, 85, switches, 16, len(temps))  # fmt: skip
    return jbd(3, head + b"".join(struct.pack(">H", each + 2731) for each in temps))


def jbd_vector(frames: list[bytes], source: str = SOURCE, **expect: Any) -> dict[str, Any]:
    asks = {3: "dd a5 03 00 ff fd 77", 4: "dd a5 04 00 ff fc 77", 5: "dd a5 05 00 ff fb 77"}
    usual = {
        "voltage_mv": 52970,
        "soc_permille": 850,
        "capacity_mah": 100000,
        "design_mah": 100000,
        "remaining_mah": 85120,
        "cell_count": 16,
        "cycles_count": 60,
        "balancing": False,
        "charge_ok": True,
        "discharge_ok": True,
        "charge_open": False,
        "discharge_open": False,
    }
    return {
        "source": source,
        "protocol": "jbd",
        "requests": [asks[frame[1]] for frame in frames],
        "frames": [frame.hex(" ") for frame in frames],
        "expect": usual | expect,
    }


def jbd_vectors() -> dict[str, dict[str, Any]]:
    cells = jbd(4, struct.pack(">16H", *CELLS))
    name = jbd(5, b"JBD-SP16S020")
    temps = [181, -52, 250, 0]
    celsius = [100 * each for each in temps]
    public = "dd 03 00 1b 17 00 00 00 02 d0 03 e8 00 00 20 78 00 00 00 00 00 00 10 48 03 0f 02 0b 76 0b 82 fb ff 77"
    return {
        "discharging": jbd_vector(
            [jbd_basic(-500, 0, 3, 0, temps), cells, name],
            current_ma=-5000, temps_mc=celsius, cells_mv=CELLS, model="JBD-SP16S020",
        ),
        "full_and_balancing": jbd_vector(
            [jbd_basic(0, 0b101, 2, 9, temps[:2]), cells],
            current_ma=0, temps_mc=celsius[:2], cells_mv=CELLS, balancing=True,
            charge_ok=False, charge_open=True, protections=0b101,
        ),
        "short_circuit": jbd_vector(
            [jbd_basic(0, 1 << 10, 3, 0, [])],
            current_ma=0, temps_mc=[], charge_ok=False, discharge_ok=False, protections=1 << 11,
        ),
        "public_15_cells": jbd_vector(
            [bytes.fromhex(public)],
            "a public answer, quoted by many programs",
            voltage_mv=58880, current_ma=0, soc_permille=720, capacity_mah=10000, design_mah=10000,
            remaining_mah=7200, cell_count=15, cycles_count=0, temps_mc=[20300, 21500],
        ),
    }  # fmt: skip


def main() -> None:
    for protocol, vectors in (("jk_ble", jk_vectors()), ("jbd", jbd_vectors())):
        folder = HERE / protocol
        folder.mkdir(exist_ok=True)
        for name, vector in vectors.items():
            (folder / f"{name}.json").write_text(json.dumps(vector, indent=1) + "\n")


if __name__ == "__main__":
    main()
