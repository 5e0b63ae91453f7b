"""Writes the vectors of byd_pro and jk_pb: `python tests/vectors/synthesise.py`.

Frames are put together, and what they mean is worked out, from the protocol documents alone; nothing
here imports vbms, so a misreading in a codec does not show up twice. `recorded` vectors keep the
frames that stand in their file: only what is expected of them is worked out anew.
"""

import json
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent

A, P = "warnings", "protections"
BITS = {
    name: 1 << number
    for number, name in enumerate(
        "cell_overvoltage cell_undervoltage pack_overvoltage pack_undervoltage charge_overcurrent"
        " discharge_overcurrent charge_overtemperature charge_undertemperature"
        " discharge_overtemperature discharge_undertemperature mosfet_overtemperature short_circuit"
        " internal temperature_sensor imbalance comms capacity_low".split()
    )
}


def bits(names: str) -> int:
    return sum(BITS[name] for name in names.split())


def spaced(data: bytes) -> str:
    return data.hex(" ")


def crc(data: bytes) -> bytes:
    """CRC-16/Modbus bit by bit, low byte first."""
    value = 0xFFFF
    for byte in data:
        value ^= byte
        for _ in range(8):
            value = (value >> 1) ^ (0xA001 if value & 1 else 0)
    return value.to_bytes(2, "little")


# --- BYD PRO -------------------------------------------------------------------------------------


def byd_request(address: int) -> bytes:
    body = bytes([0x00, 0x04, 0x01, 0x03, 0x55, 0xAA])
    return bytes([address]) + body + bytes([sum(body) % 256])


def byd_answer(
    *,
    address: int = 1,
    cells: list[int],
    amps_ma: int,
    temps: list[int],
    soc: int,
    soh: int,
    cycles: int,
    others: int = 0,
    alarm: int = 0,
    protect: int = 0,
    fail: int = 0,
    balance: int = 0,
    state: int = 8,
) -> bytes:
    payload = b"".join(
        [
            sum(cells).to_bytes(4, "little", signed=True),
            (sum(cells) - 10).to_bytes(4, "little", signed=True),
            b"".join(mv.to_bytes(2, "little", signed=True) for mv in cells),
            amps_ma.to_bytes(4, "little", signed=True),
            b"".join(t.to_bytes(2, "little", signed=True) for t in temps),
            b"".join(w.to_bytes(4, "little") for w in (others, alarm, protect, fail, balance)),
            state.to_bytes(2, "little"),
            soc.to_bytes(2, "little"),
            soh.to_bytes(4, "little"),
            cycles.to_bytes(4, "little"),
            (9650).to_bytes(4, "little"),
        ]
    )
    assert len(payload) == 96
    body = bytes([0x00, 0x65, 0x01, 0x83, 0x55, 0xAA, 0x00]) + payload
    return bytes([address]) + body + bytes([sum(body) % 256])


def byd(expect: dict[str, Any], **values: Any) -> dict[str, Any]:
    meant = {
        "voltage_mv": sum(values["cells"]),
        "current_ma": values["amps_ma"],
        "soc_permille": values["soc"] * 10,
        "soh_permille": values["soh"] * 10,
        "cells_mv": values["cells"],
        "temps_mc": [1000 * t for t in values["temps"][:4]],
        "ambient_mc": 1000 * values["temps"][4],
        "cycles_count": values["cycles"],
        "balancing": False,
        "charge_ok": True,
        "discharge_ok": True,
        "warnings": 0,
        "protections": 0,
        "criticals": 0,
        "model": "BYD PRO 2.5",
    }
    return {
        "source": "synthetic, from the frame layout",
        "protocol": "byd_pro",
        "requests": [spaced(byd_request(1))],
        "frames": [spaced(byd_answer(**values))],
        "expect": meant | expect,
    }


EVEN = [3310 + n for n in range(16)]
WARM = [21, 22, 20, 23, 25, 0, 0, 0]


def byd_vectors() -> dict[str, dict[str, Any]]:
    usual: dict[str, Any] = {
        "cells": EVEN,
        "amps_ma": -12_500,
        "temps": WARM,
        "soc": 76,
        "soh": 98,
        "cycles": 127,
        "state": 2,
    }
    return {
        "discharging": byd({}, **usual),
        "charging_and_balancing": byd(
            {"balancing": True},
            **usual | {"amps_ma": 20_001, "balance": 0x8001, "state": 1, "soc": 99},
        ),
        "frost": byd(
            {A: bits("charge_undertemperature"), P: bits("charge_undertemperature")}
            | {"charge_ok": False},
            **usual
            | {"temps": [-5, -6, -4, -5, -10, 0, 0, 0], "alarm": 1 << 10, "protect": 1 << 10},
        ),
        "cell_high": byd(
            {A: bits("cell_overvoltage pack_overvoltage"), P: bits("cell_overvoltage")}
            | {"charge_ok": False},
            **usual | {"cells": [3660] + [3600] * 15, "alarm": 0b111, "protect": 0b100},
        ),
        "cell_low": byd(
            {A: bits("cell_undervoltage capacity_low"), P: bits("cell_undervoltage")}
            | {"discharge_ok": False},
            **usual | {"cells": [2400] + [2700] * 15, "alarm": 0x1020, "protect": 0x20, "soc": 3},
        ),
        "short_circuit": byd(
            {P: bits("short_circuit"), "charge_ok": False, "discharge_ok": False},
            **usual | {"protect": 1 << 14},
        ),
        "charge_short_circuit": byd(
            {P: bits("short_circuit"), "charge_ok": False}, **usual | {"protect": 1 << 19}
        ),
        "heater_failed": byd({A: bits("internal")}, **usual | {"fail": 0x20}),
        "sensor_failed": byd(
            {P: bits("temperature_sensor"), "charge_ok": False, "discharge_ok": False},
            **usual | {"fail": 0x02},
        ),
        "panel_off": byd(
            {P: bits("internal"), "charge_ok": False, "discharge_ok": False}
            | {"note": "switched off at its panel, disable it to go on without"},
            **usual | {"fail": 0x80, "amps_ma": 0},
        ),
    }


# --- JK PB ---------------------------------------------------------------------------------------

REGISTER = {1: 0x161E, 2: 0x1620, 3: 0x161C}


def jk_request(address: int, kind: int) -> bytes:
    head = bytes([address, 0x10]) + REGISTER[kind].to_bytes(2, "big") + bytes([0, 1, 2, 0, 0])
    return head + crc(head)


def jk_answer(address: int, kind: int, fields: list[tuple[int, int, int]], counter: int) -> bytes:
    """`fields`: (offset, bytes, value), negative values signed."""
    payload = bytearray(300)
    payload[0:6] = bytes([0x55, 0xAA, 0xEB, 0x90, kind, counter])
    for at, size, value in fields:
        payload[at : at + size] = value.to_bytes(size, "little", signed=value < 0)
    payload[299] = sum(payload[:299]) % 256
    head = bytes([address, 0x10]) + REGISTER[kind].to_bytes(2, "big") + bytes([0, 1])
    return bytes(payload) + head + crc(head)


def u(frame: bytes, at: int, size: int) -> int:
    return int.from_bytes(frame[at : at + size], "little")


def s(frame: bytes, at: int, size: int) -> int:
    return int.from_bytes(frame[at : at + size], "little", signed=True)


def jk_expect(frames: list[bytes]) -> dict[str, Any]:
    """What a recorded or made set of answers means, by the offsets of the 32S layout."""
    by_kind = {frame[4]: frame for frame in frames}
    live, settings, info = by_kind[2], by_kind.get(1), by_kind.get(3)
    mosfet = s(live, 144, 2)
    temps = []
    for mask, at in ((2, 162), (4, 164), (16, 256), (32, 258), (8, 254)):
        raw = s(live, at, 2)
        copy = at == 254 and raw == mosfet
        flat = at >= 254 and raw == 0
        if live[214] & mask and raw != -2000 and not copy and not flat:
            temps.append(raw * 100)
    errors = u(live, 166, 4)
    found: dict[str, Any] = {
        "voltage_mv": u(live, 150, 4),
        "current_ma": s(live, 158, 4),
        "soc_permille": live[173] * 10,
        "capacity_mah": u(live, 178, 4),
        "remaining_mah": u(live, 174, 4),
        "cells_mv": [u(live, 6 + 2 * n, 2) for n in range(32) if u(live, 70, 4) >> n & 1],
        "temps_mc": temps,
        "cycles_count": u(live, 182, 4),
        "balancing": live[172] != 0,
        "charge_open": live[198] == 0,
        "discharge_open": live[199] == 0,
        "criticals": 0,
    }
    if live[190]:
        found["soh_permille"] = live[190] * 10
    if live[214] & 1 and mosfet != -2000:
        found["mosfet_mc"] = mosfet * 100
    if settings is not None:
        stop = (1, 2, 4, 5, 6, 7, 8, 9, 10, 16, 21, 22, 24)
        halt = (1, 2, 10, 11, 12, 13, 14, 15, 17, 20, 21, 22, 24, 25, 26, 27)
        found |= {
            "cell_count": u(settings, 114, 4),
            "design_mah": u(settings, 130, 4),
            "ccl_ma": u(settings, 50, 4),
            "ccl_is_trip": True,
            "dcl_ma": u(settings, 62, 4),
            "dcl_is_trip": True,
            "ovp_mv": u(settings, 18, 4),
            "uvp_mv": u(settings, 10, 4),
            "charge_ok": bool(u(settings, 118, 4) and live[198])
            and not any(errors >> bit & 1 for bit in stop),
            "discharge_ok": bool(u(settings, 122, 4) and live[199])
            and not any(errors >> bit & 1 for bit in halt),
        }
        if 3000 <= u(settings, 38, 4) <= 3650:
            found["cvl_mv"] = u(settings, 38, 4) * u(settings, 114, 4)
    if info is not None:
        found["serial"] = info[86:102].split(b"\0")[0].decode()
        found["model"] = info[6:22].split(b"\0")[0].decode()
    return found


def jk(source: str, frames: list[bytes], **expect: Any) -> dict[str, Any]:
    found = jk_expect(frames) | {A: 0, P: 0} | expect
    return {
        "source": source,
        "protocol": "jk_pb",
        "requests": [spaced(jk_request(frame[300], frame[4])) for frame in frames],
        "frames": [spaced(frame) for frame in frames],
        "expect": found,
    }


LIVE = [(6 + 2 * n, 2, 3340 + n) for n in range(16)] + [
    (70, 4, 0xFFFF),
    (144, 2, 215),
    (150, 4, 53_560),
    (158, 4, -42_517),
    (162, 2, 196),
    (164, 2, -3),
    (170, 2, -255),
    (173, 1, 68),
    (174, 4, 191_075),
    (178, 4, 276_500),
    (182, 4, 62),
    (190, 1, 99),
    (198, 1, 1),
    (199, 1, 1),
    (214, 1, 0xFF),
    (254, 2, 215),
    (256, 2, 195),
    (258, 2, 197),
]
SETTINGS = [
    (10, 4, 2700),
    (18, 4, 3650),
    (38, 4, 3450),
    (50, 4, 100_000),
    (62, 4, 150_000),
    (98, 4, -200),
    (114, 4, 16),
    (118, 4, 1),
    (122, 4, 1),
    (130, 4, 280_000),
    (270, 4, 1),
]
INFO = [(6 + n, 1, char) for n, char in enumerate(b"JK_PB2A16S20P")] + [
    (86 + n, 1, char) for n, char in enumerate(b"40119491480")
]


def jk_vectors() -> dict[str, dict[str, Any]]:
    made = "synthetic, from the payload tables"
    settings = jk_answer(1, 1, SETTINGS, 0)
    info = jk_answer(1, 3, INFO, 0)

    def live(*more: tuple[int, int, int], counter: int = 0) -> bytes:
        return jk_answer(1, 2, LIVE + list(more), counter)

    return {
        "live_alone": jk(made, [live()]),
        "live_settings_info": jk(made, [live(counter=5), settings, info]),
        "charge_fet_open": jk(made, [live((198, 1, 0)), settings]),
        "charge_switch_off": jk(
            made, [live(), jk_answer(1, 1, SETTINGS + [(118, 4, 0)], 0)], charge_ok=False
        ),
        "reminders_only": jk(made, [live((166, 4, 0x000C0000)), settings]),
        "told_only": jk(
            made, [live((166, 4, 0x10800009)), settings], warnings=bits("internal"), charge_ok=True
        ),
        "cell_high_and_mosfet_hot": jk(
            made,
            [live((166, 4, 0x12)), settings],
            protections=bits("cell_overvoltage mosfet_overtemperature"),
            charge_ok=False,
            discharge_ok=False,
        ),
        "battery_hot": jk(
            made,
            [live((166, 4, 1 << 21)), settings],
            protections=bits("charge_overtemperature discharge_overtemperature"),
        ),
        "sensors_lost": jk(
            made, [live((144, 2, -2000), (162, 2, -2000), (254, 2, 205), (256, 2, 0)), settings]
        ),
        "sensors_masked": jk(made, [live((214, 1, 0x07)), settings]),
        "hole_in_the_mask": jk(made, [live((70, 4, 0xFF7F), (20, 2, 0)), settings]),
        "no_cell_at_all": jk(made, [live((70, 4, 0), (190, 1, 0), (173, 1, 0)), settings]),
        "charge_voltage_unset": jk(
            made, [live(), jk_answer(1, 1, SETTINGS + [(38, 4, 0)], 0)], charge_ok=True
        ),
        "top_of_every_range": jk(
            made,
            [live((178, 4, 0x7FFFFFFF), (158, 4, -(2**31)), (182, 4, 2**32 - 1), (190, 1, 255))],
        ),
    }


def write(protocol: str, name: str, vector: dict[str, Any]) -> None:
    folder = HERE / protocol
    folder.mkdir(exist_ok=True)
    (folder / ("%s.json" % name)).write_text(json.dumps(vector, indent=1) + "\n")


def main() -> None:
    for name, vector in byd_vectors().items():
        write("byd_pro", name, vector)
    for name, vector in jk_vectors().items():
        write("jk_pb", name, vector)
    for path in sorted((HERE / "jk_pb").glob("recorded_*.json")):
        old = json.loads(path.read_text())
        frames = [bytes.fromhex(frame) for frame in old["frames"]]
        words = {key: old["expect"][key] for key in (A, P)}
        write("jk_pb", path.stem, jk(old["source"], frames, **words))


if __name__ == "__main__":
    main()
