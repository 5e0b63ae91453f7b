"""The merged battery and every unit as registers over Modbus TCP, for EMS, SCADA and Node-RED.

    unit 1 (also 0 and 255)    the bank
    unit 2 + slot              a battery, its slot as with `present: units`

Read with function 3 or 4, the same registers; nothing can be written. Every number has two
registers, high word first, in milli-units, signed; what is unknown reads 8000 0000. Names follow
SunSpec's model 802 where it has one. docs/modbus_tcp.md is this table for people.

While there is nothing that may be told, the port is closed: no old value is ever read here.
"""

import struct

from vbms.aggregate.virtual import NORMAL, PARTIAL, ZERO
from vbms.downstream.safe_side import DANGEROUS, FITS, LIMITS, MICRO, QUANTITIES, to_raw
from vbms.errors import FrameError, RefusedError
from vbms.wire.printable import printable

TYPE_CHECKING = False
if TYPE_CHECKING:
    from vbms.aggregate.virtual import VirtualBattery
    from vbms.options import Option

    Decoded = dict[str, object]

LINE = "vbms.lines.modbus_server"
DRAWS = False  # for those who look on: told the whole, unless it is given a share
LINKS = ("tcp",)  # host and port are where it listens
PRESENT = ("bank",)
OPTIONS: "tuple[Option, ...]" = ()

BANK = 1
BANK_TOO = (0, 255)  # what clients ask that know no units
FIRST_UNIT = 2
MAGIC = 0x56424D53  # VBMS
VERSION = 1
UNKNOWN = -0x80000000
_LOW, _HIGH = -0x7FFFFFFF, 0x7FFFFFFF
STATES = {NORMAL: 1, PARTIAL: 2, ZERO: 3}

# After the head, two registers each from FIRST on: name here, quantity.
FIRST = 8
ROWS = (
    ("V", "voltage_v"),
    ("A", "current_a"),  # charging > 0
    ("W", "power_w"),
    ("SoC", "soc_percent"),
    ("SoH", "soh_percent"),
    ("AHFull", "capacity_ah"),
    ("AHRtg", "design_ah"),
    ("AHRem", "remaining_ah"),
    ("NCyc", "cycles"),
    ("CellVMax", "cell_max_v"),
    ("CellVMin", "cell_min_v"),
    ("TmpMax", "temp_max_c"),
    ("TmpMin", "temp_min_c"),
    ("TmpAvg", "temp_mean_c"),
    ("TmpAmb", "ambient_c"),
    ("TmpMosMax", "mosfet_max_c"),
    ("AChaMax", "charge_limit_a"),
    ("ADisChaMax", "discharge_limit_a"),
    ("VMax", "charge_voltage_v"),
    ("VMin", "discharge_voltage_v"),
    ("NTot", "units_total"),
    ("NFresh", "units_fresh"),
    ("NHold", "units_hold"),
    ("NLost", "units_lost"),
)
BITS = FIRST + 2 * len(ROWS)  # Wrn, Prt, Crt
MODEL = BITS + 6
SERIAL = MODEL + 8
COUNT = SERIAL + 12
_FORMAT = ">IHHIi%diIII16s24s" % len(ROWS)
_HEAD = ("ID", "Ver", "St", "Hb", "Age")


class Codec:
    """The register map. `saturated` counts, by name, values that did not fit."""

    def __init__(self, address: int = 0):
        self.address = address
        self.saturated: dict[str, int] = {}

    def registers(self, battery: "VirtualBattery") -> bytes:
        """All COUNT registers, high byte first."""
        values: dict[str, int] = {}
        dangerous = False
        for name, quantity in ROWS:
            field, per_human, _, _ = QUANTITIES[quantity]
            value: int | None = getattr(battery, field)
            if value is None:
                values[name] = UNKNOWN
                continue
            values[name], how = to_raw(value, quantity, MICRO // per_human, 0, _LOW, _HIGH)
            if how != FITS:
                self.saturated[name] = self.saturated.get(name, 0) + 1
                dangerous = dangerous or how == DANGEROUS
        if dangerous:
            for name, quantity in ROWS:
                if quantity in LIMITS:
                    values[name] = 0
        age = UNKNOWN if battery.age_ms is None else min(battery.age_ms, _HIGH)
        return struct.pack(
            _FORMAT,
            MAGIC,
            VERSION,
            STATES.get(battery.state, 0),
            battery.taken_ms // 1000 & 0x7FFFFFFF,
            age,
            *[values[name] for name, _ in ROWS],
            battery.warnings & 0xFFFFFFFF,
            (battery.protections | battery.criticals) & 0xFFFFFFFF,
            battery.criticals & 0xFFFFFFFF,
            printable(battery.model, 16),
            printable(battery.serial, 24),
        )

    def values(self, registers: bytes) -> "Decoded":
        """What a client reads, by name; None for what is unknown."""
        if len(registers) != 2 * COUNT:
            raise FrameError("length: %d registers, not %d" % (len(registers) // 2, COUNT))
        words = struct.unpack(_FORMAT, registers)
        if words[0] != MAGIC:
            raise FrameError("marker: %08x, not %08x" % (words[0], MAGIC))
        found: Decoded = {}
        for name, value in zip(_HEAD, words):
            found[name] = value
        for (name, _), value in zip(ROWS, words[5:]):
            found[name] = None if value == UNKNOWN else value
        if found["Age"] == UNKNOWN:
            found["Age"] = None
        found["Wrn"], found["Prt"], found["Crt"] = words[5 + len(ROWS) : 8 + len(ROWS)]
        found["Mn"] = _read_text(words[8 + len(ROWS)])
        found["SN"] = _read_text(words[9 + len(ROWS)])
        return found

    def read(self, frame: bytes) -> "Decoded":
        """A request or an answer with its Modbus TCP head, named.

        Registers of an answer are named where they are all of them, else they are a plain list.
        """
        if len(frame) < 9:
            raise FrameError("truncated: %d bytes" % len(frame))
        transaction, protocol, size, unit, function = struct.unpack(">HHHBB", frame[:8])
        if protocol:
            raise FrameError("marker: protocol %d, not 0" % protocol)
        if len(frame) < 6 + size:
            raise FrameError("truncated: %d of %d bytes" % (len(frame), 6 + size))
        if len(frame) > 6 + size or size < 3:
            raise FrameError("length: %d bytes, the head says %d" % (len(frame), 6 + size))
        if function & 0x80:
            raise RefusedError("refused: Modbus exception %d" % frame[8], frame[8])
        if function not in (3, 4):
            raise FrameError("marker: function 0x%02x, not 0x03 or 0x04" % function)
        found: Decoded = {"transaction": transaction, "unit": unit, "function": function}
        if size == 6:
            found["register"], found["count"] = struct.unpack(">HH", frame[8:12])
            return found
        body = frame[9:]
        if frame[8] != len(body) or len(body) & 1:
            raise FrameError("payload: %d bytes of registers, %d announced" % (len(body), frame[8]))
        if len(body) == 2 * COUNT:
            for name, value in self.values(body).items():
                found[name] = value
        else:
            found["registers"] = list(struct.unpack(">%dH" % (len(body) // 2), body))
        return found


def _read_text(raw: bytes) -> str:
    return "".join([chr(byte) for byte in raw if byte])
