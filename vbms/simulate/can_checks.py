"""What a simulated CAN inverter knows of its protocol, written from the pages of each.

`STYLES` are the inverters; `Told` is what the battery has said so far, in human units; `CHECKS`
judge it. The codecs are not used here, so that one misreading cannot hide by being made twice.
"""

import struct
from collections.abc import Callable
from dataclasses import dataclass, field

Findings = list[tuple[str, str]]  # which rule, how it was broken

# When an inverter sends its 0x305.
EACH_SECOND, AFTER_356, AFTER_SET, NEVER = "second", "after_356", "after_set", "never"


@dataclass(frozen=True, slots=True)
class Style:
    """One kind of inverter: what it must be told, how it goes on, when it takes offence."""

    title: str
    needs: tuple[int, ...]  # identifiers that must come at least every `most_s`
    heartbeat: str = EACH_SECOND
    family: str = "pylontech"  # or hv, byd
    layout: str = "pylon"  # or luxpower, sma
    names: tuple[str, ...] = ()  # of 0x35E that are known to it
    knows_35c: bool = True
    lost_s: float = 30.0  # without a word: the battery's communication is lost
    least_s: float = 0.05
    most_s: float = 1.5
    volts: tuple[float, float] = (40.0, 60.0)  # a charge voltage beyond is a violation


_BASE = (0x359, 0x351, 0x355, 0x356, 0x35C, 0x35E)
STYLES: dict[str, Style] = {
    "pylontech_can": Style("Pylontech V1.2", _BASE, AFTER_SET, names=("PYLON",)),
    "deye_can": Style("DEYE", _BASE, AFTER_356, names=("PYLON", "BYD", "SHEnergy", "DY")),
    "victron_can": Style(
        "Victron GX", (0x351, 0x355, 0x356, 0x35A, 0x35E, 0x372, 0x373), knows_35c=False
    ),
    "sma_can": Style(
        "Sunny Island",
        (0x351, 0x355, 0x356, 0x35A, 0x35B, 0x35E, 0x35F),
        layout="sma",
        knows_35c=False,
        lost_s=60.0,
        least_s=0.2,
        volts=(41.0, 63.0),
    ),
    "goodwe_can": Style(
        "Goodwe", (0x351, 0x355, 0x356, 0x35A, 0x35E, 0x35F), layout="sma", knows_35c=False
    ),
    "luxpower_can": Style(
        "LuxPower", (0x351, 0x355, 0x356, 0x359, 0x35C, 0x35E, 0x379), layout="luxpower"
    ),
    "pylontech_hv_can": Style("high-voltage hybrid", (), family="hv", volts=(0.1, 1500.0)),
    "byd_can": Style(
        "Battery-Box Premium hybrid", (0x110,), family="byd", most_s=3.0, volts=(0.1, 1500.0)
    ),
}


@dataclass(slots=True)
class Told:
    """The newest word on everything; None: not told."""

    voltage_v: float | None = None
    current_a: float | None = None
    temp_c: float | None = None
    soc_percent: float | None = None
    soh_percent: float | None = None
    charge_v: float | None = None
    discharge_v: float | None = None
    charge_a: float | None = None
    discharge_a: float | None = None
    cell_max_v: float | None = None
    cell_min_v: float | None = None
    temp_max_c: float | None = None
    temp_min_c: float | None = None
    may_charge: bool | None = None
    may_discharge: bool | None = None
    force_charge: bool = False
    protection: int = 0
    alarm: int = 0
    name: str = ""
    modules: int | None = None
    capacity_ah: float | None = None
    seen: dict[int, float] = field(default_factory=dict)  # identifier -> when it last came


def check_pylontech(style: Style, told: Told, can_id: int, data: bytes) -> Findings:
    """Take a frame in and judge it: section 7 of the Pylontech page, the SMA page."""
    found: Findings = []

    def demand(fits: bool, kind: str, text: str) -> None:
        if not fits:
            found.append((kind, f"{can_id:03X}: {text}"))

    demand(len(data) == 8, "dlc", f"{len(data)} bytes")
    if len(data) < 8:
        return found
    words = struct.unpack("<4H", data)
    signed = struct.unpack("<4h", data)
    if can_id == 0x351:
        told.charge_v, told.discharge_v = words[0] / 10, words[3] / 10
        told.charge_a, told.discharge_a = signed[1] / 10, signed[2] / 10
        demand(told.charge_a >= 0 <= told.discharge_a, "limit", "a limit is negative")
        low, high = style.volts
        demand(low <= told.charge_v <= high, "cvl", f"charge voltage {told.charge_v} V")
        demand(0 < told.discharge_v < told.charge_v, "dvl", f"discharge to {told.discharge_v} V")
        if style.layout == "sma":
            demand(41 <= told.discharge_v <= 48, "dvl", f"discharge to {told.discharge_v} V")
    elif can_id == 0x355:
        told.soc_percent, told.soh_percent = words[0], words[1]
        demand(words[0] <= 100 >= words[1], "soc", f"SOC {words[0]} %, SOH {words[1]} %")
        if style.layout == "sma":
            demand(0 <= words[2] - 100 * words[0] < 100, "soc", f"{words[0]} % and {words[2]}")
        elif style.layout == "luxpower":
            told.cell_max_v, told.cell_min_v = words[2] / 1000, words[3] / 1000
            demand(told.cell_max_v >= told.cell_min_v, "cells", "highest below the lowest")
        else:
            demand(not any(data[4:]), "fill", f"bytes 4 to 7 are {data[4:].hex()}")
    elif can_id == 0x356:
        told.voltage_v, told.current_a = signed[0] / 100, signed[1] / 10
        demand(told.voltage_v > 0, "voltage", f"{told.voltage_v} V")
        if style.layout == "luxpower":
            told.temp_max_c, told.temp_min_c = signed[2] / 10, signed[3] / 10
            demand(told.temp_max_c > told.temp_min_c, "temps", "equal: the display stays dark")
        else:
            told.temp_c = signed[2] / 10
    elif can_id == 0x359:
        told.protection, told.alarm, told.modules = words[0], words[1], data[4]
        demand(data[4] > 0, "modules", "no module")
        demand(not (words[0] | words[1]) & ~0x099E, "bits", f"unknown bits {data[:4].hex()}")
        demand(not words[0] & ~words[1], "bits", "a protection without its alarm")
        if style.layout == "luxpower":
            told.capacity_ah = float(data[5] | data[6] << 8)
            demand(told.capacity_ah > 0, "capacity", "no capacity")
        else:
            demand(data[5:7] == b"PN", "pn", f"no PN: {data[5:7].hex()}")
    elif can_id == 0x35A:
        pairs = int.from_bytes(data, "little")
        demand(
            all(pairs >> at & 3 != 3 for at in range(0, 64, 2)), "bits", "arrived and gone at once"
        )
        told.protection = sum(1 << at for at in range(16) if pairs >> 2 * at & 3 == 1)
        told.alarm = sum(1 << at for at in range(16) if pairs >> 32 + 2 * at & 3 == 1)
    elif can_id == 0x35C:
        told.may_charge, told.may_discharge = bool(data[0] & 0x80), bool(data[0] & 0x40)
        told.force_charge = bool(data[0] & 0x30)
        demand(not data[0] & 0x07, "bits", f"unknown requests {data[0]:02x}")
        demand(told.may_charge or not told.force_charge, "bits", "force charge, but no charging")
    elif can_id == 0x35E:
        told.name = data.split(b"\0")[0].decode("ascii", "replace").rstrip()
        demand(bool(told.name), "name", "no name")
        demand(not style.names or told.name.startswith(style.names), "name", f"{told.name}?")
    elif can_id == 0x373:
        told.cell_min_v, told.cell_max_v = words[0] / 1000, words[1] / 1000
        told.temp_min_c, told.temp_max_c = words[2] - 273.15, words[3] - 273.15
        demand(words[1] >= words[0] and words[3] >= words[2], "cells", "highest below the lowest")
    elif can_id == 0x379:
        told.capacity_ah = float(words[0])
    return found


def check_set(style: Style, told: Told) -> Findings:
    """What must agree within one set."""
    if not style.knows_35c or told.may_charge is None:
        return []
    found: Findings = []
    for what, amps, enabled in (
        ("charge", told.charge_a, told.may_charge),
        ("discharge", told.discharge_a, told.may_discharge),
    ):
        if amps is not None and (amps > 0) != enabled:
            found.append(("enable", f"{what} limit {amps} A, but the switch says {enabled}"))
    return found


def check_hv(style: Style, told: Told, can_id: int, data: bytes) -> Findings:
    """An answer of the high-voltage protocol, little endian, currents counted from 3000 A."""
    found: Findings = []

    def demand(fits: bool, kind: str, text: str) -> None:
        if not fits:
            found.append((kind, f"{can_id:04X}: {text}"))

    demand(len(data) == 8, "dlc", f"{len(data)} bytes")
    if len(data) < 8:
        return found
    words = struct.unpack("<4H", data)
    base = can_id & ~0xF
    if base == 0x4210:
        told.voltage_v, told.current_a = words[0] / 10, (words[1] - 30000) / 10
        told.temp_c = (words[2] - 1000) / 10
        told.soc_percent, told.soh_percent = data[6], data[7]
        demand(data[6] <= 100 >= data[7], "soc", f"SOC {data[6]} %, SOH {data[7]} %")
        demand(words[0] > 0, "voltage", "0 V")
        demand(-40 <= told.temp_c <= 120, "offset", f"{told.temp_c} degC")
    elif base == 0x4220:
        told.charge_v, told.discharge_v = words[0] / 10, words[1] / 10
        told.charge_a, told.discharge_a = (words[2] - 30000) / 10, (words[3] - 30000) / 10
        demand(told.charge_a >= 0 <= told.discharge_a, "limit", "a limit below 0: no offset?")
        demand(0 < told.discharge_v < told.charge_v, "cvl", f"{told.charge_v} V")
    elif base == 0x4230:
        told.cell_max_v, told.cell_min_v = words[0] / 1000, words[1] / 1000
        demand(words[0] >= words[1] > 0, "cells", "highest below the lowest")
    elif base == 0x4240:
        told.temp_max_c, told.temp_min_c = (words[0] - 1000) / 10, (words[1] - 1000) / 10
        demand(words[0] >= words[1] > 0, "temps", "hottest below the coldest")
    elif base == 0x4250:
        state = data[0] & 7
        demand(state <= 3, "state", f"state {state}")
        if told.current_a is not None:
            wrong = {1: told.current_a < 0, 2: told.current_a > 0}.get(state, False)
            demand(not wrong, "sign", f"state {state} at {told.current_a} A")
        told.alarm, told.protection = words[2], words[3]
    elif base == 0x4280:
        demand(data[0] in (0, 0xAA) and data[1] in (0, 0xAA), "forbidden", data[:2].hex())
        told.may_charge, told.may_discharge = data[0] != 0xAA, data[1] != 0xAA
        for amps, may in ((told.charge_a, data[0] == 0), (told.discharge_a, data[1] == 0)):
            demand(amps is None or (amps > 0) == may, "enable", f"{amps} A, allowed {may}")
    elif base == 0x7320:
        told.capacity_ah = float(words[3])
        demand(data[0] > 0, "cells", "no cells")
    elif base == 0x7330:
        told.name = data.split(b"\0")[0].decode("ascii", "replace")
    return found


def check_byd(style: Style, told: Told, can_id: int, data: bytes) -> Findings:
    """A frame of a Battery-Box Premium, big endian."""
    found: Findings = []

    def demand(fits: bool, kind: str, text: str) -> None:
        if not fits:
            found.append((kind, f"{can_id:03X}: {text}"))

    demand(len(data) == 8, "dlc", f"{len(data)} bytes")
    if len(data) < 8:
        return found
    words = struct.unpack(">4H", data)
    signed = struct.unpack(">4h", data)
    if can_id == 0x110:
        told.charge_v, told.discharge_v = words[0] / 10, words[1] / 10
        told.discharge_a, told.charge_a = signed[2] / 10, signed[3] / 10
        demand(told.charge_a >= 0 <= told.discharge_a, "limit", "a limit is negative")
        demand(0 < told.discharge_v < told.charge_v, "cvl", f"{told.charge_v} V")
    elif can_id == 0x150:
        told.soc_percent, told.soh_percent = words[0] / 100, words[1] / 100
        told.capacity_ah = words[3] / 10
        demand(words[0] <= 10000 >= words[1], "soc", f"SOC {told.soc_percent} %")
        demand(words[2] <= words[3], "remaining", f"{words[2]} of {words[3]}")
    elif can_id == 0x1D0:
        told.voltage_v, told.current_a = words[0] / 10, -signed[1] / 10
        told.temp_c = signed[2] / 10
        demand(words[0] > 0, "voltage", "0 V")
    elif can_id == 0x210:
        told.temp_max_c, told.temp_min_c = signed[0] / 10, signed[1] / 10
        demand(signed[0] >= signed[1], "temps", "hottest below the coldest")
    elif can_id == 0x2D0:
        told.name = data[1:].split(b"\0")[0].decode("ascii", "replace")
        demand(told.name == "BYD", "name", told.name)
    return found


Check = Callable[[Style, Told, int, bytes], Findings]
CHECKS: dict[str, Check] = {"pylontech": check_pylontech, "hv": check_hv, "byd": check_byd}
