"""What a Pylontech battery may answer over RS485: frames taken apart, and the rules they break.

Source: the Pylontech RS485 page, sections 2 to 5 and 9. Pure functions over bytes, no codec's code.
"""

from dataclasses import dataclass, field

Findings = list[tuple[str, str]]  # kind of rule, how it was broken

HEX = frozenset(b"0123456789ABCDEF")
# Bits of the protection bytes of 0x62 that stop a charge, and a discharge.
CHARGE_PROTECTIONS = (1 << 7 | 1 << 5 | 1 << 3 | 1 << 2 | 1 << 1, 1 << 6 | 1 << 3)
DISCHARGE_PROTECTIONS = (1 << 6 | 1 << 4 | 1 << 3 | 1 << 2 | 1 << 1, 1 << 5 | 1 << 3)


def frame(version: int, address: int, command: int, info: str = "", cid1: int = 0x46) -> bytes:
    """A request around INFO as it stands on the wire."""
    digits = f"{len(info):03X}"
    check = (16 - sum(int(digit, 16) for digit in digits) % 16) % 16
    text = f"{version:02X}{address:02X}{cid1:02X}{command:02X}{check:X}{digits}{info}"
    return sealed(text)


def sealed(text: str) -> bytes:
    total = sum(text.encode("ascii"))
    return f"~{text}{(65536 - total) % 65536:04X}\r".encode("ascii")


@dataclass(slots=True)
class Limits:
    """0x63 or 0x92, in human units."""

    charge_v: float
    discharge_v: float
    charge_a: float
    discharge_a: float
    status: int

    @property
    def may_charge(self) -> bool:
        return bool(self.status & 0x80)

    @property
    def may_discharge(self) -> bool:
        return bool(self.status & 0x40)


@dataclass(slots=True)
class Analog:
    """0x61."""

    voltage_v: float
    current_a: float
    soc: int
    cycles: int
    soh: int
    cell_max_v: float
    cell_min_v: float
    temps_c: list[float]  # mean, highest, lowest of cells, MOSFETs and BMS boards


@dataclass(slots=True)
class Unit:
    """One module of 0x42."""

    cells_v: list[float]
    temps_c: list[float]  # the BMS board first
    current_a: float
    voltage_v: float
    remaining_ah: float
    total_ah: float
    cycles: int


@dataclass(slots=True)
class Battery:
    """What one address has said so far."""

    analog: Analog | None = None
    limits: Limits | None = None
    alarms: tuple[int, int, int, int] | None = None
    units: list[Unit] = field(default_factory=list)
    maker: str = ""
    serials: list[str] = field(default_factory=list)
    seen_s: float = 0.0


def check_frame(address: int, answer: bytes) -> Findings:
    """Everything around INFO, of an answer that should mean success."""
    found: Findings = []
    if answer[:1] != b"~" or answer[-1:] != b"\r" or len(answer) < 18:
        return [("frame", f"{answer!r} is no frame")]
    text = answer[1:-1]
    if answer.count(b"~") > 1 or answer.count(b"\r") > 1:
        return [("several", f"more than one answer: {answer!r}")]
    if not set(text) <= HEX:
        return [("digits", f"not upper-case hex: {answer!r}")]
    if (sum(text[:-4]) + int(text[-4:], 16)) % 65536:
        found.append(("checksum", f"CHKSUM {text[-4:].decode()} does not fit"))
    if int(text[2:4], 16) != address:
        found.append(("address", f"answered in the name of {text[2:4].decode()}"))
    if text[4:6] != b"46":
        found.append(("cid1", f"CID1 {text[4:6].decode()}"))
    if text[6:8] != b"00":
        found.append(("rtn", f"return code {text[6:8].decode()}"))
    if sum(int(chr(digit), 16) for digit in text[8:12]) % 16:
        found.append(("length", f"LENGTH {text[8:12].decode()} is no sum of itself"))
    if int(text[9:12], 16) != len(text) - 16:
        found.append(("length", f"LENGTH {text[8:12].decode()} for {len(text) - 16} characters"))
    return found


def info_of(answer: bytes) -> bytes:
    """INFO of a checked answer."""
    return bytes.fromhex(answer[13:-5].decode("ascii"))


def _word(info: bytes, at: int) -> int:
    return int.from_bytes(info[at : at + 2], "big")


def _signed(info: bytes, at: int) -> int:
    return int.from_bytes(info[at : at + 2], "big", signed=True)


def _celsius(info: bytes, at: int) -> float:
    return (_word(info, at) - 2731) / 10


def read_analog(info: bytes) -> Analog | None:
    if len(info) != 49:
        return None
    temps = [_celsius(info, at) for at in (19, 21, 25, 29, 31, 35, 39, 41, 45)]
    return Analog(
        _word(info, 0) / 1000,
        _signed(info, 2) / 100,
        info[4],
        _word(info, 5),
        info[9],
        _word(info, 11) / 1000,
        _word(info, 15) / 1000,
        temps,
    )


def read_limits(info: bytes, scale: int = 10) -> Limits | None:
    if len(info) != 9:
        return None
    return Limits(
        _word(info, 0) / 1000,
        _word(info, 2) / 1000,
        _word(info, 4) / scale,
        _word(info, 6) / scale,
        info[8],
    )


def read_unit_limits(info: bytes) -> Limits | None:
    """0x92: behind the module's number, the discharge current negative."""
    if len(info) != 10:
        return None
    return Limits(
        _word(info, 1) / 1000,
        _word(info, 3) / 1000,
        _signed(info, 5) / 10,
        -_signed(info, 7) / 10,
        info[9],
    )


def read_units(info: bytes, one: bool) -> list[Unit] | None:
    """0x42; `one`: a single module was asked for. None: it is not laid out like that."""
    found: list[Unit] = []
    at = 2
    try:
        while at < len(info):
            cells = info[at]
            at += 1
            cells_v = [_signed(info, at + 2 * n) / 1000 for n in range(cells)]
            at += 2 * cells
            sensors = info[at]
            at += 1
            temps_c = [_celsius(info, at + 2 * n) for n in range(sensors)]
            at += 2 * sensors
            items = info[at + 6]
            unit = Unit(
                cells_v,
                temps_c,
                _signed(info, at) / 10,
                _word(info, at + 2) / 1000,
                _word(info, at + 4) / 1000,
                _word(info, at + 7) / 1000,
                _word(info, at + 9),
            )
            at += 11
            if items == 4:
                unit.remaining_ah = int.from_bytes(info[at : at + 3], "big") / 1000
                unit.total_ah = int.from_bytes(info[at + 3 : at + 6], "big") / 1000
                at += 6
            elif items != 2:
                return None
            found.append(unit)
    except IndexError:
        return None
    fits = at == len(info) and (len(found) == 1 if one else len(found) == info[1])
    return found if fits else None


def check_limits(limits: Limits) -> Findings:
    found: Findings = []
    for name, amps, may in (
        ("charge", limits.charge_a, limits.may_charge),
        ("discharge", limits.discharge_a, limits.may_discharge),
    ):
        if amps < 0:
            found.append(("limit", f"{name} limit {amps} A"))
        if may != (amps > 0):
            found.append(("enable", f"{name} of {amps} A with status {limits.status:02X}"))
    if not limits.charge_v > limits.discharge_v > 0:
        found.append(("limit", f"charge to {limits.charge_v} V, discharge to {limits.discharge_v}"))
    return found


def check_analog(analog: Analog) -> Findings:
    found: Findings = []
    if analog.soc > 100 or analog.soh > 100:
        found.append(("percent", f"SOC {analog.soc} %, SOH {analog.soh} %"))
    if analog.cell_min_v > analog.cell_max_v:
        found.append(("cells", f"{analog.cell_min_v} V above {analog.cell_max_v} V"))
    if not 1 <= analog.voltage_v <= 65.535:
        found.append(("voltage", f"{analog.voltage_v} V"))
    for at in (0, 3, 6):
        mean, high, low = analog.temps_c[at : at + 3]
        if not low <= mean <= high:
            found.append(("temps", f"mean {mean} of {low} to {high} degC"))
        if not -60 <= low <= high <= 150:
            found.append(("temps", f"{low} to {high} degC"))
    return found


def check_unit(unit: Unit) -> Findings:
    found: Findings = []
    if not unit.cells_v or not 0.5 <= min(unit.cells_v) <= max(unit.cells_v) <= 5:
        found.append(("cells", f"cells of {unit.cells_v}"))
    if unit.remaining_ah > unit.total_ah:
        found.append(("capacity", f"{unit.remaining_ah} of {unit.total_ah} Ah"))
    if not all(-60 <= temp <= 150 for temp in unit.temps_c):
        found.append(("temps", f"{unit.temps_c} degC"))
    return found


def check_agree(analog: Analog, units: list[Unit]) -> Findings:
    """0x61 and 0x42 speak of one bank: packs in parallel, seconds apart at most."""
    found: Findings = []
    if not units:
        return found
    mean_v = sum(unit.voltage_v for unit in units) / len(units)
    if abs(mean_v - analog.voltage_v) > 1.0:
        found.append(("agree", f"0x61 says {analog.voltage_v} V, modules {mean_v:.2f} V"))
    total_a = sum(unit.current_a for unit in units)
    if min(abs(total_a), abs(analog.current_a)) > 5 and total_a * analog.current_a < 0:
        found.append(("agree", f"0x61 says {analog.current_a} A, modules {total_a:.1f} A"))
    return found
