"""What a JK PB unit knows, laid out twice: the 300-byte payload and the register map.

Both documents number the same bytes: offset in a register block + 6 = offset in the payload of
that type. The payload is little-endian, registers are big-endian (32 bits: high word first), so one
table of (offset in the block, struct letter, name) writes both. Source: the JK PB Modbus page,
sections 0x1200, 0x1000, 0x1400, and the JK Bluetooth page, frames 01, 02, 03 and the error bits.
"""

import struct
from collections.abc import Mapping
from dataclasses import dataclass

from vbms.simulate.bms import Reading, Settings
from vbms.simulate.pack import Pack
from vbms.simulate.sums import sum8

LIVE, SETTINGS, INFO = 2, 1, 3
BLOCK = 293  # bytes between the header of six and the sum

Value = int | bytes | tuple[int, ...]
_Table = tuple[tuple[int, str, str], ...]

_LIVE: _Table = (
    (0x00, "32H", "cells"),
    (0x40, "I", "cells_present"),
    (0x44, "H", "average"),
    (0x46, "H", "difference"),
    (0x48, "B", "highest"),
    (0x49, "B", "lowest"),
    (0x4A, "32H", "wire_resistance"),
    (0x8A, "h", "mosfet"),
    (0x8C, "I", "wire_alarm"),
    (0x90, "I", "voltage"),
    (0x94, "I", "power"),
    (0x98, "i", "current"),
    (0x9C, "h", "temp1"),
    (0x9E, "h", "temp2"),
    (0xA0, "I", "errors"),
    (0xA4, "h", "balance_current"),
    (0xA6, "B", "balancing"),
    (0xA7, "B", "soc"),
    (0xA8, "i", "remaining"),
    (0xAC, "I", "full"),
    (0xB0, "I", "cycles"),
    (0xB4, "I", "throughput"),
    (0xB8, "B", "soh"),
    (0xBC, "I", "uptime"),
    (0xC0, "B", "charge_fet"),
    (0xC1, "B", "discharge_fet"),
    (0xC3, "B", "balancer_working"),
    (0xD0, "B", "sensors_present"),
    (0xE4, "H", "voltage_10mv"),
    (0xEF, "B", "charger_plugged"),
    (0xF0, "I", "ticks"),
    (0xF8, "h", "temp3"),
    (0xFA, "h", "temp4"),
    (0xFC, "h", "temp5"),
    (0x100, "I", "clock"),
    (0x108, "I", "time_to_sleep"),
)
_SETTINGS: _Table = (
    (0x00, "I", "sleep_mv"),
    (0x04, "I", "cell_low_mv"),
    (0x08, "I", "cell_low_release_mv"),
    (0x0C, "I", "cell_high_mv"),
    (0x10, "I", "cell_high_release_mv"),
    (0x14, "I", "balance_difference_mv"),
    (0x18, "I", "soc_100_mv"),
    (0x1C, "I", "soc_0_mv"),
    (0x20, "I", "request_charge_mv"),
    (0x24, "I", "request_float_mv"),
    (0x28, "I", "power_off_mv"),
    (0x2C, "I", "charge_limit_ma"),
    (0x30, "I", "charge_delay_s"),
    (0x34, "I", "charge_recovery_s"),
    (0x38, "I", "discharge_limit_ma"),
    (0x3C, "I", "discharge_delay_s"),
    (0x40, "I", "discharge_recovery_s"),
    (0x44, "I", "short_recovery_s"),
    (0x48, "I", "balance_limit_ma"),
    (0x4C, "i", "charge_high"),
    (0x50, "i", "charge_high_release"),
    (0x54, "i", "discharge_high"),
    (0x58, "i", "discharge_high_release"),
    (0x5C, "i", "charge_low"),
    (0x60, "i", "charge_low_release"),
    (0x64, "i", "mosfet_high"),
    (0x68, "i", "mosfet_high_release"),
    (0x6C, "I", "cell_count"),
    (0x70, "I", "charge_switch"),
    (0x74, "I", "discharge_switch"),
    (0x78, "I", "balance_switch"),
    (0x7C, "I", "design_mah"),
    (0x80, "I", "short_delay_us"),
    (0x84, "I", "balance_start_mv"),
    (0x88, "32I", "wire_resistance"),
    (0x108, "I", "address"),
    (0x10C, "I", "precharge_s"),
    (0x114, "H", "controls"),
    (0x116, "b", "heating_start"),
    (0x117, "b", "heating_stop"),
    (0x118, "B", "sleep_delay_h"),
)
_INFO: _Table = (
    (0x00, "16s", "model"),
    (0x10, "8s", "hardware"),
    (0x18, "8s", "software"),
    (0x20, "I", "uptime"),
    (0x24, "I", "power_on_count"),
    (0x28, "16s", "name"),
    (0x38, "16s", "connection_password"),
    (0x48, "8s", "production_date"),
    (0x50, "16s", "serial"),
    (0x60, "16s", "user_text"),
    (0x70, "16s", "settings_password"),
    (0xB2, "B", "protocol_uart1"),
    (0xB3, "B", "protocol_can"),
    (0xD4, "B", "protocol_uart2"),
    (0x104, "B", "charge_request_time"),
    (0x105, "B", "float_request_time"),
)

# Error bit of each protection; the page names both directions of "battery over-temperature" apart.
_ERROR_BITS = {
    "mosfet_hot": 1,
    "cell_count": 2,
    "cell_high": 4,
    "pack_high": 5,
    "charge_current": 6,
    "charge_hot": 8,
    "charge_cold": 9,
    "internal": 10,
    "cell_low": 11,
    "pack_low": 12,
    "discharge_current": 13,
    "short": 14,
    "discharge_hot": 15,
    "charge_fet": 16,
    "discharge_fet": 17,
    "password": 19,
    "temperature_sensor": 22,
    "discharge_cold": 27,
}


@dataclass(slots=True)
class Identity:
    """What a unit says about itself; `address` is its DIP switch."""

    address: int
    model: str
    serial: str
    hardware: str = "15A"
    software: str = "15.41"
    power_on_count: int = 3


def settings() -> Settings:
    """A JK PB as it leaves the factory for LFP; `charge_a` and `discharge_a` are trip points."""
    return Settings(
        cell_high_v=3.65,
        cell_high_release_v=3.44,
        cell_low_v=2.60,
        cell_low_release_v=2.80,
        charge_a=100.0,
        discharge_a=150.0,
        charge_hot_c=60.0,
        charge_cold_c=-10.0,
        discharge_hot_c=65.0,
        balance_start_v=3.40,
        balance_trigger_v=0.005,
        balance_a=1.0,
        active_balancer=True,
    )


def live_values(reading: Reading) -> dict[str, Value]:
    cells = [round(volts * 1000) for volts in reading.cells_v]
    present = [volts for volts in cells if volts]
    milliamps = round(reading.current_a * 1000)
    millivolts = round(reading.voltage_v * 1000)
    temps = [round(celsius * 10) for celsius in reading.temps_c[:4]]
    temps += [-2000] * (4 - len(temps))
    mosfet = round(reading.mosfet_c * 10)
    acting = reading.protections | reading.fails
    errors = sum(1 << _ERROR_BITS[name] for name in acting if name in _ERROR_BITS)
    return {
        "cells": (*cells, *(0,) * (32 - len(cells))),
        "cells_present": (1 << len(cells)) - 1,
        "average": round(sum(present) / len(present)) if present else 0,
        "difference": max(present) - min(present) if present else 0,
        "highest": cells.index(max(cells)),
        "lowest": cells.index(min(cells)),
        "wire_resistance": tuple(45 + 7 * min(k, len(cells) - 1 - k) for k in range(len(cells)))
        + (0,) * (32 - len(cells)),
        "mosfet": mosfet,
        "wire_alarm": 0,
        "voltage": millivolts,
        "power": abs(millivolts * milliamps) // 1000,  # unsigned on the wire
        "current": milliamps,
        "temp1": temps[0],
        "temp2": temps[1],
        "temp3": mosfet,  # a copy of the MOSFET's on most boards
        "temp4": temps[2],
        "temp5": temps[3],
        "errors": errors,
        "balance_current": round(reading.balance_a * 1000),
        "balancing": 0 if not reading.balance_a else 1 if reading.balance_a > 0 else 2,
        "soc": round(reading.soc * 100),
        "remaining": round(reading.remaining_ah * 1000),
        "full": round(reading.full_ah * 1000),
        "cycles": reading.cycles,
        "throughput": round(reading.throughput_ah * 1000),
        "soh": round(reading.soh * 100),
        "uptime": reading.uptime_s,
        "charge_fet": int(reading.charge_on),
        "discharge_fet": int(reading.discharge_on),
        "balancer_working": int(reading.balance_a != 0),
        "sensors_present": 0xFF,  # on many boards, whatever is connected
        "voltage_10mv": millivolts // 10,
        "charger_plugged": int(milliamps > 0),
        "ticks": reading.uptime_s * 10,
        "clock": reading.uptime_s,
        "time_to_sleep": 86400,
    }


def settings_values(pack: Pack, address: int) -> dict[str, Value]:
    at = pack.settings
    cells = len(pack.reading.cells_v)
    return {
        "sleep_mv": 3500,
        "cell_low_mv": _milli(at.cell_low_v),
        "cell_low_release_mv": _milli(at.cell_low_release_v),
        "cell_high_mv": _milli(at.cell_high_v),
        "cell_high_release_mv": _milli(at.cell_high_release_v),
        "balance_difference_mv": _milli(at.balance_trigger_v),
        "soc_100_mv": _milli(at.request_v - 0.005),
        "soc_0_mv": _milli(at.cell_low_v + 0.1),
        "request_charge_mv": _milli(at.request_v),
        "request_float_mv": _milli(at.float_v),
        "power_off_mv": _milli(at.cell_low_v - 0.1),
        "charge_limit_ma": _milli(at.charge_a),
        "charge_delay_s": 3,
        "charge_recovery_s": 60,
        "discharge_limit_ma": _milli(at.discharge_a),
        "discharge_delay_s": 3,
        "discharge_recovery_s": 60,
        "short_recovery_s": 5,
        "balance_limit_ma": _milli(at.balance_a),
        "charge_high": round(at.charge_hot_c * 10),
        "charge_high_release": round(at.charge_hot_c * 10) - 30,
        "discharge_high": round(at.discharge_hot_c * 10),
        "discharge_high_release": round(at.discharge_hot_c * 10) - 30,
        "charge_low": round(at.charge_cold_c * 10),
        "charge_low_release": round(at.charge_cold_c * 10) + 20,
        "mosfet_high": round(at.mosfet_hot_c * 10),
        "mosfet_high_release": round(at.mosfet_hot_c * 10) - 150,
        "cell_count": cells,
        "charge_switch": int(pack.charge_switch),
        "discharge_switch": int(pack.discharge_switch),
        "balance_switch": int(pack.balance_switch),
        "design_mah": _milli(pack.reading.design_ah),
        "short_delay_us": 1500,
        "balance_start_mv": _milli(at.balance_start_v),
        "wire_resistance": (0,) * 32,
        "address": address,
        "precharge_s": 5,
        "controls": 0x0010,  # display on
        "heating_start": 0,
        "heating_stop": 5,
        "sleep_delay_h": 24,
    }


def info_values(identity: Identity, uptime_s: int) -> dict[str, Value]:
    return {
        "model": identity.model.encode(),
        "hardware": identity.hardware.encode(),
        "software": identity.software.encode(),
        "uptime": uptime_s,
        "power_on_count": identity.power_on_count,
        "name": b"vbms simulator",
        "connection_password": b"1234",
        "production_date": b"240914",
        "serial": identity.serial.encode(),
        "user_text": b"JK-BMS",
        "settings_password": b"123456",
        "protocol_uart1": 1,
        "protocol_can": 0,
        "protocol_uart2": 1,
        "charge_request_time": 10,
        "float_request_time": 120,
    }


def _compiled(table: _Table, order: str) -> struct.Struct:
    """The whole block as one struct, gaps as padding."""
    text, end = order, 0
    for offset, letter, _ in table:
        text += f"{offset - end}x{letter}"
        end = offset + struct.calcsize(order + letter)
    return struct.Struct(f"{text}{BLOCK + 1 - end}x")  # registers are read in pairs of bytes


_TABLES = {LIVE: _LIVE, SETTINGS: _SETTINGS, INFO: _INFO}
_STRUCTS = {
    (kind, order): _compiled(table, order) for kind, table in _TABLES.items() for order in "<>"
}


def block(kind: int, values: Mapping[str, Value], order: str) -> bytes:
    """The bytes of one block; `order` is "<" for the payload, ">" for registers."""
    flat: list[int | bytes] = []
    for _, _, name in _TABLES[kind]:
        value = values[name]
        if isinstance(value, tuple):
            flat.extend(value)
        else:
            flat.append(value)
    return _STRUCTS[kind, order].pack(*flat)


def payload(kind: int, values: Mapping[str, Value], byte5: int) -> bytes:
    """The 300 bytes: header, type, byte 5, data, sum."""
    body = b"\x55\xaa\xeb\x90" + bytes((kind, byte5)) + block(kind, values, "<")[:BLOCK]
    return body + bytes((sum8(body),))


def _milli(value: float) -> int:
    return round(value * 1000)
