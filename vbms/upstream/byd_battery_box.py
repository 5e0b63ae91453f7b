"""BYD Battery-Box Premium (HVS, HVM, LVS, LVL): Modbus RTU frames over TCP port 8080, unit 1.

    slot 0     0x0500, 25 registers: the live status, cells by their extremes, in 10 mV steps
    slot 1     0x0000, 102 registers: serial number, what it is made of
    slot 2..   one BMS each (HV: a tower, LV: a module): 0x0550 is written, 0x0551 read until it
               says ready, then 0x0558 four times, 65 registers each; a frame is all 260

Registers are big-endian. A status cell voltage is cut off to 10 mV (3.318 V reads 3.31), so the
true one may be 9 mV higher: the highest cell is taken to be, the lowest not. The cells one by one
come once a minute, and the extremes, which decide the limits, come with each poll.

Source: the open implementations plumsl/byd_battery_box (its captures of an LVL system),
christianh17/ioBroker.bydhvs (captures of an HVS system) and redpomodoro/byd_battery_box. Neither
current limits nor a capacity in Ah is on the wire; the capacity follows from the kWh of a module.
"""

import struct

from vbms.aggregate import alarms
from vbms.aggregate.snapshot import Snapshot
from vbms.errors import FrameError
from vbms.options import CHOICE, EACH_POLL, INT, ONCE, Option
from vbms.wire.fields import Field, Table
from vbms.wire.registers import Queue

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

LINE = "vbms.lines.registers"
LINKS = ("tcp",)
FRAMING = "rtu"
ALONE = True  # it serves one client at a time, and has a host of its own
HANG_UP = True  # so the line is left between two polls, for the maker's app

# model: (high voltage, code in the type register, cells a module, Wh a module)
MODELS = {
    "hvm": (True, 1, 16, 2760),
    "hvs": (True, 2, 32, 2560),
    "lvl": (False, 0, 16, 15360),  # by its name, LVL 15.4; the others' tables say it
    "lvs": (False, 2, 16, 4000),
}
_NOMINAL_CELL_MV = 3200

OPTIONS = (
    Option(
        "address", INT, 1, low=1, high=247, help="its Modbus unit; 1 unless somebody changed it"
    ),
    Option(
        "model",
        CHOICE,
        "auto",
        choices=("auto", "hvm", "hvs", "lvl", "lvs"),
        help="what it has to be; auto: what it says",
    ),
)
DECLARES: tuple[str, ...] = ()
NEEDS_SETTINGS = True  # how many cells it has is in slot 1

STATUS, INFO, DETAIL = 0, 1, 2  # slots
STATUS_AT, STATUS_COUNT = 0x0500, 25
INFO_AT, INFO_COUNT = 0x0000, 0x66
REQUEST_AT, READY_AT, BLOCK_AT = 0x0550, 0x0551, 0x0558
READ_DETAIL, READY = 0x8100, 0x8801
BLOCKS, BLOCK_COUNT = 4, 65
DETAIL_MS = 60000
MOST = 16  # BMS in one system: two towers of eight at most, LV ids run on over all modules
_CUT_OFF_MV = 9

STATUS_FIELDS = Table(
    ">",
    (
        Field("soc_permille", "H", 0, 10),
        Field("soh_permille", "H", 6, 10),
        Field("current_ma", "h", 8, -100),  # positive discharges on the wire
        Field("voltage_mv", "H", 10, 10),
    ),
)
_TEMPERATURES_AT = 12  # highest, lowest, BMU; whole degrees
_ERRORS_AT = 26

# 0x050D by bit: alarm, stops charging, stops discharging.
ERRORS = (
    (alarms.CHARGE_OVERTEMPERATURE, True, False),
    (alarms.CHARGE_UNDERTEMPERATURE, True, False),
    (alarms.DISCHARGE_OVERCURRENT, False, True),
    (alarms.CHARGE_OVERCURRENT, True, False),
    (alarms.INTERNAL, True, True),  # main circuit
    (alarms.SHORT_CIRCUIT, True, True),
    (alarms.IMBALANCE, False, False),
    (alarms.INTERNAL, True, True),  # current sensor
    (alarms.PACK_OVERVOLTAGE, True, False),
    (alarms.PACK_UNDERVOLTAGE, False, True),
    (alarms.CELL_OVERVOLTAGE, True, False),
    (alarms.CELL_UNDERVOLTAGE, False, True),
    (alarms.INTERNAL, True, True),  # voltage sensor
    (alarms.TEMPERATURE_SENSOR, True, True),
    (alarms.DISCHARGE_OVERTEMPERATURE, False, True),
    (alarms.DISCHARGE_UNDERTEMPERATURE, False, True),
)
# Words 28 and 29 of a detail, then word 30, which numbers them otherwise.
WARNINGS = (
    alarms.PACK_OVERVOLTAGE,
    alarms.PACK_UNDERVOLTAGE,
    alarms.CELL_OVERVOLTAGE,
    alarms.CELL_UNDERVOLTAGE,
    alarms.IMBALANCE,
    alarms.CHARGE_OVERTEMPERATURE,
    alarms.CHARGE_UNDERTEMPERATURE,
    alarms.DISCHARGE_OVERTEMPERATURE,
    alarms.DISCHARGE_UNDERTEMPERATURE,
    alarms.CHARGE_OVERCURRENT,
    alarms.DISCHARGE_OVERCURRENT,
    alarms.CHARGE_OVERCURRENT,  # by hardware
    alarms.SHORT_CIRCUIT,
    alarms.INTERNAL,  # reversed
    alarms.INTERNAL,  # interlock
    alarms.INTERNAL,  # air switch
)
OTHER_WARNINGS = (
    alarms.PACK_OVERVOLTAGE,
    alarms.PACK_UNDERVOLTAGE,
    alarms.CELL_OVERVOLTAGE,
    alarms.CELL_UNDERVOLTAGE,
    alarms.INTERNAL,  # voltage sensor
    alarms.TEMPERATURE_SENSOR,
    alarms.DISCHARGE_OVERTEMPERATURE,
    alarms.DISCHARGE_UNDERTEMPERATURE,
    alarms.CHARGE_OVERTEMPERATURE,
    alarms.CHARGE_UNDERTEMPERATURE,
    alarms.DISCHARGE_OVERCURRENT,
    alarms.CHARGE_OVERCURRENT,
    alarms.INTERNAL,  # main circuit
    alarms.SHORT_CIRCUIT,
    alarms.IMBALANCE,
    alarms.INTERNAL,  # current sensor
)
_NO_CHARGE, _NO_DISCHARGE = (
    0xA3BF,
    0xA3DF,
)  # faults of word 48; heater, cooler, balancer, board stay out
_SENSOR_FAULTS = 0x4002  # cell sensors and the board's own

# Where the cells of a detail's 260 words stand: the first word of each block is its length.
_CELL_WORDS = ((49, 65), (66, 130), (131, 179))
MOST_CELLS = 128


class Info:
    """What the system says it is made of."""

    __slots__ = ("bms", "cells", "high_voltage", "model", "modules", "serial", "strings", "wh")

    def __init__(self, frame: bytes):
        """Raises FrameError for a system that is none of MODELS."""
        self.serial = text_of(frame[:20])
        low = frame[33]
        code = frame[34]
        self.high_voltage = self.serial[:3] == "P03" or self.serial[:4] == "E0P3"
        if not self.high_voltage and self.serial[:3] != "P02" and self.serial[:4] != "P011":
            # A serial number of another form: a high-voltage system counts towers, in captures.
            self.high_voltage = low >> 4 > 0
        found = None
        for name in sorted(MODELS):
            if MODELS[name][0] == self.high_voltage and MODELS[name][1] == code:
                found = name
        if found is None:
            kind = "high" if self.high_voltage else "low"
            raise FrameError("payload: a %s-voltage system of unknown type %d" % (kind, code))
        self.model: str = found
        cells, wh = MODELS[found][2], MODELS[found][3]
        towers, modules = low >> 4, low & 0x0F
        if not modules or (self.high_voltage and not towers):
            raise FrameError("payload: %d towers of %d modules" % (towers, modules))
        if self.high_voltage:
            self.modules = towers * modules
            self.bms = self.strings = towers
            self.cells = cells * modules
        else:
            # Ids run on over all modules; a capture of three says 03, without a tower.
            self.modules = self.bms = self.strings = min(MOST, max(1, towers) * modules)
            self.cells = cells
        self.wh = wh * self.modules

    def design_mah(self) -> int:
        return self.wh * 1000000 // (self.cells * _NOMINAL_CELL_MV)


def text_of(raw: bytes) -> str:
    """ASCII up to its `x` fill."""
    return "".join([chr(byte) for byte in raw if 32 < byte < 127 and byte != 120])


def cells_of(detail: bytes, count: int) -> "tuple[int, ...] | None":
    """The first `count` cells of one BMS in mV; None where the detail has no room for them."""
    if count > MOST_CELLS:
        return None
    found: list[int] = []
    for first, end in _CELL_WORDS:
        found += struct.unpack_from(">%dh" % (end - first), detail, 2 * first)
    return tuple(found[:count])


def word(frame: bytes, at: int) -> int:
    """Register number `at` of a frame."""
    return frame[2 * at] << 8 | frame[2 * at + 1]


def named(value: int, names: "tuple[int, ...]") -> int:
    """A word's bits in the data model's."""
    found = 0
    for bit in range(16):
        if value >> bit & 1:
            found |= names[bit]
    return found


class Codec:
    """What to read from one Battery-Box, and what it means."""

    def __init__(self, address: int = 1, model: str = "auto"):
        self.address = address
        self.model = model
        detail = (DETAIL_MS, 3, BLOCK_AT, BLOCKS * BLOCK_COUNT)
        self._reads = (
            (EACH_POLL, 3, STATUS_AT, STATUS_COUNT),
            (ONCE, 3, INFO_AT, INFO_COUNT),
        ) + (detail,) * MOST
        self._info: tuple[bytes, Info] | None = None

    def reads(self) -> "Sequence[tuple[int, int, int, int]]":
        return self._reads

    def queue(self, slot: int) -> Queue | None:
        """How a slot that has to be asked for first is read."""
        if slot < DETAIL:
            return None
        wish = (slot - DETAIL + 1, READ_DETAIL)
        return Queue(REQUEST_AT, wish, READY_AT, READY, BLOCKS, 0x0080)

    def wanted(self, slot: int, frames: "Sequence[bytes | None]") -> bool:
        """Whether there is such a BMS: what nobody has is not asked for."""
        if slot < DETAIL:
            return True
        info = frames[INFO]
        if info is None or len(info) != 2 * INFO_COUNT:
            return False
        try:
            found = self._read_info(info)
        except FrameError:
            return False
        return slot - DETAIL < found.bms and found.cells <= MOST_CELLS

    def _read_info(self, frame: bytes) -> Info:
        if self._info is None or self._info[0] != frame:
            self._info = (frame, Info(frame))
        return self._info[1]

    def decode(self, frames: "Sequence[bytes | None]", now_ms: int) -> Snapshot:
        frame = frames[STATUS] if frames else None
        if frame is None or len(frame) != 2 * STATUS_COUNT:
            raise FrameError("length: a status has %d registers" % STATUS_COUNT)
        snap = Snapshot()
        snap.taken_ms = now_ms
        STATUS_FIELDS.fill(snap, frame)
        snap.cell_high_mv = word(frame, 1) * 10 + _CUT_OFF_MV
        snap.cell_low_mv = word(frame, 2) * 10
        hot, cold = struct.unpack_from(">hh", frame, _TEMPERATURES_AT)
        snap.temps_mc = (hot * 1000, cold * 1000)
        errors = frame[_ERRORS_AT] << 8 | frame[_ERRORS_AT + 1]
        snap.charge_ok = snap.discharge_ok = True
        for bit in range(16):
            if errors >> bit & 1:
                alarm, no_charge, no_discharge = ERRORS[bit]
                snap.protections |= alarm
                snap.charge_ok = snap.charge_ok and not no_charge
                snap.discharge_ok = snap.discharge_ok and not no_discharge
        info = frames[INFO] if len(frames) > INFO else None
        if info is not None:
            if len(info) != 2 * INFO_COUNT:
                raise FrameError("length: an identity has %d registers" % INFO_COUNT)
            self._identify(snap, self._read_info(info), frames)
        return snap

    def _identify(self, snap: Snapshot, info: Info, frames: "Sequence[bytes | None]") -> None:
        if self.model not in ("auto", info.model):
            raise FrameError("payload: it is a %s, not a %s" % (info.model, self.model))
        snap.serial = info.serial or None
        snap.model = "BYD Battery-Box " + info.model.upper()
        snap.cell_count = info.cells
        snap.strings = info.strings
        snap.design_mah = info.design_mah()
        cells: list[int] = []
        complete = True
        for at in range(DETAIL, DETAIL + info.bms):
            detail = frames[at] if at < len(frames) else None
            if detail is None:
                complete = False
                continue
            check_detail(detail)
            self._detail(snap, detail, not info.high_voltage)
            found = cells_of(detail, info.cells)
            complete = complete and found is not None
            cells += found or ()
        if complete and self._still_true(snap, cells):
            snap.cells_mv = tuple(cells)

    def _still_true(self, snap: Snapshot, cells: "list[int]") -> bool:
        """The list is up to a minute old: shown only while its extremes are still those of now."""
        over = max(cells) - (snap.cell_high_mv or 0) + _CUT_OFF_MV
        return -10 <= over < 20 and -10 <= min(cells) - (snap.cell_low_mv or 0) < 20

    def _detail(self, snap: Snapshot, detail: bytes, low_voltage: bool) -> None:
        """What one BMS adds to the status of all."""
        masks = [word(detail, at) for at in range(7, 8 if low_voltage else 15)]
        snap.balancing = bool(snap.balancing) or max(masks) > 0
        told = named(word(detail, 28) | word(detail, 29), WARNINGS)
        snap.warnings |= told | named(word(detail, 30), OTHER_WARNINGS)
        faults = word(detail, 48)
        if faults & _SENSOR_FAULTS:
            snap.protections |= alarms.TEMPERATURE_SENSOR
        if faults & ~_SENSOR_FAULTS:
            snap.protections |= alarms.INTERNAL
        snap.charge_ok = bool(snap.charge_ok) and not faults & _NO_CHARGE
        snap.discharge_ok = bool(snap.discharge_ok) and not faults & _NO_DISCHARGE


def check_detail(detail: bytes) -> None:
    """FrameError unless these are four whole blocks, each with its length before it."""
    if len(detail) != 2 * BLOCKS * BLOCK_COUNT:
        raise FrameError("length: a detail has %d registers" % (BLOCKS * BLOCK_COUNT))
    for at in range(0, BLOCKS * BLOCK_COUNT, BLOCK_COUNT):
        if word(detail, at) != 0x0080:
            raise FrameError("marker: block length %04x, not 0080" % word(detail, at))
