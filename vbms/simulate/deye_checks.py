"""What an answer to the inverter must look like: rows of the Li-BMS page, and the rules they break.

Source: the DEYE RS485 page, sections 4, 5 and 12. Pure functions over bytes.
"""

import struct
from dataclasses import dataclass

from vbms.simulate.sums import crc_fits, with_crc

FIRST, COUNT = 0x1000, 23
COLUMNS = ("Addr", "Volt", "Curr", "Temp", "SOC", "Energy", "Charge Volt", "Charge Curr", "Fault")
EMPTY = ("0.00V", "0.00A", "0.0C", "0.0%", "0.0Ah", "0.0V", "0.0A", "0/0/0")
LIMITS_SUM_A = 655.34

CHARGING, DISCHARGING, MAY_CHARGE, MAY_DISCHARGE = 1 << 8, 1 << 9, 1 << 10, 1 << 11
# Bits of 0x1006 that stop a charge: cell and pack over voltage, charge temperature high and low.
CHARGE_PROTECTIONS = 1 << 0 | 1 << 2 | 1 << 6 | 1 << 7
# ... and a discharge: cell and pack under voltage, short circuit, temperature high and low.
DISCHARGE_PROTECTIONS = 1 << 1 | 1 << 3 | 1 << 4 | 1 << 8 | 1 << 9

_REGISTERS = struct.Struct(">HhHhhHHHHHHHHHHHhhhHHHH")

Findings = list[tuple[str, str]]  # kind of rule, how it was broken


@dataclass(slots=True)
class Row:
    """One address as last read, in human units; `seen_s` is when, on the monotonic clock."""

    address: int
    voltage_v: float
    current_a: float
    remaining_ah: float
    temp_c: float
    ambient_c: float
    warnings: int
    protections: int
    status: int
    soc_percent: float
    soh_percent: float
    full_ah: float
    cycles: int
    charge_limit_a: float
    cell_max_v: float
    cell_min_v: float
    temp_max_c: float
    temp_min_c: float
    mosfet_c: float
    charge_voltage_v: float
    design_ah: float
    reserved: tuple[int, int, int] = (0, 0, 0)  # 0x100F, 0x1013, 0x1016
    seen_s: float = 0.0
    start_ms: float = 0.0  # from the end of the request to the beginning of the answer

    def columns(self) -> tuple[str, ...]:
        """As the Li-BMS page shows it; the fault column is warning/protection/fault in hex."""
        return (
            f"{self.address:02d}",
            f"{self.voltage_v:.2f}V",
            f"{self.current_a:.2f}A",
            f"{self.temp_c:.1f}C",
            f"{self.soc_percent:.1f}%",
            f"{self.remaining_ah:.1f}Ah",
            f"{self.charge_voltage_v:.1f}V",
            f"{self.charge_limit_a:.1f}A",
            f"{self.warnings:X}/{self.protections:X}/{self.status & 0xFF:X}",
        )


def read_request(address: int, first: int = FIRST, count: int = COUNT) -> bytes:
    return with_crc(struct.pack(">BBHH", address, 0x04, first, count))


def name_request(address: int) -> bytes:
    return with_crc(bytes((address, 0x11)))


def answer_length(begun: bytes) -> int:
    """How long the answer will be that begins so; 0 while that is unknown."""
    if len(begun) < 3:
        return 0
    if begun[1] in (0x04, 0x11):
        return 5 + begun[2]
    return 5 if begun[1] & 0x80 else 0


def check_frame(request: bytes, answer: bytes) -> Findings:
    """Length, byte count, CRC and address of an answer to either function."""
    address, function = request[0], request[1]
    if len(answer) < 5 or len(answer) != answer_length(answer):
        return [("length", f"{len(answer)} bytes are no whole answer: {answer.hex()}")]
    if not crc_fits(answer):
        return [("crc", f"CRC does not fit: {answer.hex()}")]
    found: Findings = []
    if answer[0] != address:
        found.append(("address", f"answer in the name of {answer[0]}"))
    if answer[1] != function:
        found.append(("function", f"function {answer[1]:02x} instead of {function:02x}"))
    elif function == 0x04 and answer[2] != 2 * int.from_bytes(request[4:6], "big"):
        found.append(("length", f"byte count {answer[2]:02x}"))
    return found


def decode(answer: bytes) -> Row:
    """A checked answer of 51 bytes."""
    (
        voltage, current, remaining, temp, ambient, warnings, protections, status, soc, soh, full,
        cycles, charge_limit, cell_max, cell_min, reserved_f, temp_max, temp_min, mosfet,
        reserved_13, charge_voltage, design, reserved_16,
    ) = _REGISTERS.unpack_from(answer, 3)  # fmt: skip
    return Row(
        address=answer[0],
        voltage_v=voltage / 100,
        current_a=current / 100,
        remaining_ah=remaining / 100,
        temp_c=temp / 10,
        ambient_c=ambient / 10,
        warnings=warnings,
        protections=protections,
        status=status,
        soc_percent=soc / 10,
        soh_percent=soh / 10,
        full_ah=full / 100,
        cycles=cycles,
        charge_limit_a=charge_limit / 100,
        cell_max_v=cell_max / 1000,
        cell_min_v=cell_min / 1000,
        temp_max_c=temp_max / 10,
        temp_min_c=temp_min / 10,
        mosfet_c=mosfet / 10,
        charge_voltage_v=charge_voltage / 100,
        design_ah=design / 100,
        reserved=(reserved_f, reserved_13, reserved_16),
    )


def check_row(row: Row, cells: int = 16) -> Findings:
    """Values that cannot be, or that contradict each other."""
    found: Findings = []

    def demand(fits: bool, kind: str, text: str) -> None:
        if not fits:
            found.append((kind, text))

    demand(row.soc_percent <= 100, "soc", f"SOC {row.soc_percent} %")
    demand(row.soh_percent <= 100, "soh", f"SOH {row.soh_percent} %")
    low, high = row.cell_min_v, row.cell_max_v
    demand(high >= low, "cells", f"highest cell {high} V below the lowest {low} V")
    # A bank's voltage is a mean of packs, its extreme cells may be in different ones.
    fits = cells * low - 0.3 <= row.voltage_v <= cells * high + 0.3
    demand(fits, "voltage", f"{row.voltage_v} V from {cells} cells of {low} to {high} V")
    demand(row.voltage_v > 0, "voltage", "0 V looks like a real empty battery")
    demand(row.temp_max_c >= row.temp_min_c, "temps", f"{row.temp_max_c} < {row.temp_min_c} degC")
    demand(row.reserved == (0, 0, 0), "reserved", f"reserved registers {row.reserved}")
    flow = row.status & (CHARGING | DISCHARGING)
    demand(flow != CHARGING | DISCHARGING, "status", "charging and discharging at once")
    demand(not flow or row.current_a != 0, "status", f"status {row.status:04x} at 0 A")
    demand(not row.status & 0xE0FC, "status", f"unused status bits {row.status:04x}")
    demand(not row.warnings & 0xF000, "status", f"unused warning bits {row.warnings:04x}")
    demand(not row.protections & 0xFC00, "status", f"unused protection bits {row.protections:04x}")
    stopped = row.protections & CHARGE_PROTECTIONS
    demand(
        not stopped or row.charge_limit_a == 0,
        "limit",
        f"{row.charge_limit_a} A allowed under protection {row.protections:04x}",
    )
    return found


def check_name(answer: bytes) -> tuple[str, str] | None:
    """(model, serial) of a checked 0x11 answer, model*vv*vv*serial of 20*; None: another shape."""
    text = answer[3:-2]
    model, rest = text[:-28], text[-28:]
    if not 1 <= len(model) <= 15 or any(rest[at] != 0x2A for at in (0, 3, 6, 27)):
        return None
    if any(not 0x20 <= byte < 0x7F or byte == 0x2A for byte in model):
        return None
    return model.decode("ascii"), rest[7:27].rstrip(b"\0").decode("ascii", "replace")
