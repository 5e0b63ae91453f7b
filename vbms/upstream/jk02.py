"""The JK02 payload: 300 bytes of live data, settings or device info, little-endian.

    55 AA EB 90 | type: 01 settings, 02 live, 03 device info | counter | data | sum8 at 299

RS485 (`jk_pb`) and Bluetooth carry the same bytes. Live data come in two layouts: 32S (firmware 11
and later, every PB board) and 24S; settings and device info are alike where this file reads them.
Byte 5 is a counter, a constant or neither and is never looked at.

What differs from a plain copy of the frame, and why:
* cells are those of the mask: unused places read 0, and a hole is a hole;
* a sensor at -200.0 degrees does not exist; sensors 3 to 5 of older boards lie flat at 0; sensor 3
  is a copy of the MOSFET's on most boards, and stands last, so that the others keep their places;
* capacity is the aged value, the settings hold the configured one; SOH 0 is "unknown";
* error bits 18 and 19 are reminders (GPS, change the password), often set for ever;
* over-current settings are trip thresholds, not requests.

Sources: JK BLE and RS485 notes of the BMS's maker; checked against frames of firmware 3 to 19.
"""

from vbms.aggregate import alarms
from vbms.aggregate.snapshot import Snapshot
from vbms.errors import FrameError
from vbms.wire.fields import Field, Table

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

HEADER = b"\x55\xaa\xeb\x90"
SIZE = 300
SETTINGS = 1
LIVE = 2
INFO = 3

ABSENT = -2000  # 0.1 degC: no sensor


def _table(rows: "Iterable[tuple[str, int]]") -> Table:
    return Table("<", [Field("", kind, at) for kind, at in rows])


# In the order of the frame, which is the order in which `Reader` takes the values apart.
_LIVE_32S = _table(
    (
        ("32H", 6),  # cells
        ("I", 70),  # which of them exist
        ("h", 144),  # MOSFET
        ("I", 150),  # voltage
        ("i", 158),  # current, positive = charging
        ("h", 162),  # temperature 1
        ("h", 164),  # 2
        ("I", 166),  # errors
        ("B", 172),  # balancing
        ("B", 173),  # SOC
        ("I", 174),  # remaining
        ("I", 178),  # full
        ("I", 182),  # cycles
        ("B", 190),  # SOH
        ("B", 198),  # charge FET
        ("B", 199),  # discharge FET
        ("B", 214),  # sensors: bit 0 MOSFET, 1 to 5 battery
        ("h", 254),  # temperature 3
        ("h", 256),  # 4
        ("h", 258),  # 5
    )
)
_LIVE_24S = _table(
    (
        ("24H", 6),
        ("I", 54),
        ("I", 118),
        ("i", 126),
        ("h", 130),
        ("h", 132),
        ("h", 134),  # MOSFET
        ("H", 136),
        ("B", 140),
        ("B", 141),
        ("I", 142),
        ("I", 146),
        ("I", 150),
        ("B", 158),
        ("B", 166),
        ("B", 167),
        ("B", 182),
    )
)
_SETTINGS = Table(
    "<",
    (
        Field("uvp_mv", "I", 10),
        Field("ovp_mv", "I", 18),
        Field("cvl_mv", "I", 38),  # of one cell
        Field("ccl_ma", "I", 50),
        Field("dcl_ma", "I", 62),
        Field("cell_count", "I", 114),
        Field("charge_ok", "I", 118),  # the switches
        Field("discharge_ok", "I", 122),
        Field("design_mah", "I", 130),
    ),
)

# Error bits that take a permission away, and what each bit is called elsewhere.
_NO_CHARGE = 0x016107F6  # 1, 2, 4-10, 16, 21, 22, 24
_NO_DISCHARGE = 0x0F72FC06  # 1, 2, 10-15, 17, 20-22, 24-27
_TOLD_ONLY = 0x10800009  # 0, 3, 23, 28: level 1; every other bit level 2
_REAL = 0xFFF3FFFF  # all but 18 and 19, the reminders
_ALARMS = (
    alarms.INTERNAL,  # 0 wire resistance
    alarms.MOSFET_OVERTEMPERATURE,
    alarms.INTERNAL,  # 2 cell count differs from the settings
    alarms.INTERNAL,  # 3 current sensor, no longer used
    alarms.CELL_OVERVOLTAGE,
    alarms.PACK_OVERVOLTAGE,
    alarms.CHARGE_OVERCURRENT,
    alarms.SHORT_CIRCUIT,
    alarms.CHARGE_OVERTEMPERATURE,
    alarms.CHARGE_UNDERTEMPERATURE,
    alarms.INTERNAL,  # 10 internal communication
    alarms.CELL_UNDERVOLTAGE,
    alarms.PACK_UNDERVOLTAGE,
    alarms.DISCHARGE_OVERCURRENT,
    alarms.SHORT_CIRCUIT,
    alarms.DISCHARGE_OVERTEMPERATURE,
    alarms.INTERNAL,  # 16 charge FET
    alarms.INTERNAL,  # 17 discharge FET
    0,
    0,
    alarms.INTERNAL,  # 20 discharge would not switch on
    alarms.CHARGE_OVERTEMPERATURE | alarms.DISCHARGE_OVERTEMPERATURE,  # 21 battery
    alarms.TEMPERATURE_SENSOR,
    alarms.INTERNAL,  # 23 parallel module
    alarms.SHORT_CIRCUIT,  # 24 would not release
    alarms.DISCHARGE_OVERCURRENT,
    alarms.DISCHARGE_OVERCURRENT,
    alarms.DISCHARGE_UNDERTEMPERATURE,
    alarms.INTERNAL,  # 28 GPS lock
)


def text(frame: bytes, at: int, size: int) -> str:
    """The printable characters from `at` to the first 00, at most `size` of them."""
    found = ""
    for byte in frame[at : at + size]:
        if not byte:
            break
        if 32 <= byte < 127:
            found += chr(byte)
    return found


def alarm_words(errors: int) -> tuple[int, int]:
    """(warnings, protections) in the data model's bits."""
    warnings = protections = 0
    for bit in range(32):
        if errors >> bit & 1:
            # The three bits above the table have no published meaning: shown, not hidden.
            alarm = _ALARMS[bit] if bit < len(_ALARMS) else alarms.INTERNAL
            if _TOLD_ONLY >> bit & 1:
                warnings |= alarm
            else:
                protections |= alarm
    return warnings, protections


def _fixed(settings: bytes | None, info: bytes | None) -> Snapshot:
    """What settings and device info say; the permissions are the switches alone."""
    found = Snapshot()
    if settings is not None:
        check(settings, SETTINGS)
        _SETTINGS.fill(found, settings)
        cells = found.cell_count or 0
        cell_charge_mv = found.cvl_mv or 0
        usable = 0 < cells <= 32 and 3000 <= cell_charge_mv <= 3650
        found.cvl_mv = cells * cell_charge_mv if usable else None
        found.ccl_is_trip = found.dcl_is_trip = True
        found.charge_ok = found.charge_ok != 0
        found.discharge_ok = found.discharge_ok != 0
    if info is not None:
        check(info, INFO)
        found.serial = text(info, 86, 16) or None
        found.model = text(info, 6, 16) or None
    return found


def check(frame: bytes, kind: int) -> None:
    """Raises FrameError for anything but a payload (with whatever follows it) of this type."""
    if len(frame) < SIZE or frame[:4] != HEADER or frame[4] != kind:
        raise FrameError("expected a JK02 payload of type %d" % kind)


class Reader:
    """Payloads to a Snapshot, for one unit and layout.

    What it remembers is only what it worked out of frames that have not changed since: the same
    frames give the same Snapshot.
    """

    __slots__ = ("_cells", "_fixed", "_info", "_mask", "_places", "_settings", "_table")

    def __init__(self, cells: int = 32):
        self._cells = cells
        self._table = _LIVE_32S if cells == 32 else _LIVE_24S
        self._settings: bytes | None = None
        self._info: bytes | None = None
        self._fixed = Snapshot()
        self._mask = 0
        self._places: list[int] = []

    def snapshot(
        self, live: bytes, settings: bytes | None, info: bytes | None, now_ms: int
    ) -> Snapshot:
        """Each frame starts with its payload. Raises FrameError for a frame of another type."""
        if len(live) < SIZE or live[4] != LIVE or live[:4] != HEADER:
            raise FrameError("expected a JK02 payload of type 2")
        if settings is not self._settings or info is not self._info:
            self._fixed = _fixed(settings, info)
            self._settings = settings
            self._info = info
        fixed = self._fixed
        values = self._table.unpack(live)
        places = self._cells
        rest = values[places:]
        if places == 24:  # the MOSFET stands behind sensors 1 and 2, and there are no others
            rest = rest[:1] + rest[5:6] + rest[1:5] + rest[6:] + (ABSENT, ABSENT, ABSENT)
        (
            mask,
            mosfet,
            voltage,
            current,
            t1,
            t2,
            errors,
            balancing,
            soc,
            remaining,
            capacity,
            cycles,
            soh,
            charge_fet,
            discharge_fet,
            sensors,
            t3,
            t4,
            t5,
        ) = rest
        if mask != self._mask:
            self._mask = mask
            self._places = [index for index in range(places) if mask >> index & 1]
        count = len(self._places)
        if mask == (1 << count) - 1:
            cells = values[:count]
        else:
            cells = tuple([values[index] for index in self._places])
        temps = []
        if sensors & 2 and t1 != ABSENT:
            temps.append(t1 * 100)
        if sensors & 4 and t2 != ABSENT:
            temps.append(t2 * 100)
        if sensors & 16 and t4 and t4 != ABSENT:
            temps.append(t4 * 100)
        if sensors & 32 and t5 and t5 != ABSENT:
            temps.append(t5 * 100)
        if sensors & 8 and t3 and t3 != ABSENT and t3 != mosfet:
            temps.append(t3 * 100)

        snap = Snapshot()
        snap.taken_ms = now_ms
        snap.voltage_mv = voltage
        snap.current_ma = current
        snap.soc_permille = soc * 10
        snap.soh_permille = soh * 10 or None
        snap.capacity_mah = capacity
        snap.remaining_mah = remaining
        snap.cells_mv = cells
        snap.temps_mc = temps
        snap.mosfet_mc = mosfet * 100 if sensors & 1 and mosfet != ABSENT else None
        snap.cycles_count = cycles
        snap.balancing = balancing != 0
        # A permission is the switch in the settings, unless something live is against it.
        snap.charge_ok = fixed.charge_ok
        snap.discharge_ok = fixed.discharge_ok
        if not charge_fet or errors & _NO_CHARGE:
            snap.charge_ok = False
        if not discharge_fet or errors & _NO_DISCHARGE:
            snap.discharge_ok = False
        snap.charge_open = not charge_fet
        snap.discharge_open = not discharge_fet
        if errors & _REAL:
            snap.warnings, snap.protections = alarm_words(errors)
        snap.design_mah = fixed.design_mah
        snap.cell_count = fixed.cell_count
        snap.ccl_ma = fixed.ccl_ma
        snap.ccl_is_trip = fixed.ccl_is_trip
        snap.dcl_ma = fixed.dcl_ma
        snap.dcl_is_trip = fixed.dcl_is_trip
        snap.cvl_mv = fixed.cvl_mv
        snap.ovp_mv = fixed.ovp_mv
        snap.uvp_mv = fixed.uvp_mv
        snap.serial = fixed.serial
        snap.model = fixed.model
        return snap
