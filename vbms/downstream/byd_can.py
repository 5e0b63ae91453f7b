"""BYD Battery-Box Premium HVS on CAN, 500 kbit/s, 11 bit, big endian: told once it was greeted.

    0x151 from the inverter begins it, with bit 0 of byte 0 it asks who we are: 250 290 2D0 3D0 x 4
    110 limits, each 2 s | 150 charge, 1D0 measurements, 210 temperatures, 10 s | 190 alarms, 60 s

Of the limits the one for discharging comes first. 0x190 is told as a healthy battery tells it: its
bits are documented nowhere, so a stop shows in the limits alone. (A Battery-Box LV speaks another
protocol: pylontech_can with `flavour: victron` and `maker: BYD`.)

Sources: dalathegreat/Battery-Emulator, BYD-CAN; ai-republic/bms-to-inverter, inverter-byd-can.
"""

from vbms.downstream.permission import limits_ma
from vbms.errors import FrameError
from vbms.integers import clamp
from vbms.options import BOOL, INT, Option
from vbms.wire.can_table import DOWN, NEAR, UP, ZERO, Cell, Frame, Text

TYPE_CHECKING = False
if TYPE_CHECKING:
    from vbms.aggregate.virtual import VirtualBattery
    from vbms.wire.can_table import Message

    Decoded = dict[str, object]
    Values = dict[str, int | str | None]

LINE = "vbms.lines.broadcasting"
LINKS = ("can", "simulate")
PRESENT = ("bank",)
PERIOD_MS = 2000

OPTIONS = (
    Option(
        "invert_current",
        BOOL,
        True,
        help="tell charging as negative; the only source does, unconfirmed",
    ),
    Option("cells", INT, 16, low=1, high=400, help="in series, for the capacity in kWh"),
    Option(
        "soc_follows_limits",
        BOOL,
        False,
        help="SOC 0 % while nothing may be discharged, 100 % while nothing may be charged; for an "
        "off-grid inverter that does not stop at a limit of 0",
    ),
)

GREETING = 0x151
_FROM_INVERTER = (0x091, 0x0D1, 0x111, GREETING, 0x191)
_MODEL = "Battery-Box Premium HVS"
_NOMINAL_MV = 3200  # of one cell

FRAMES = (
    Frame(
        0x250,
        ">",
        (Cell("energy_wh", "H", 4, 100, side=DOWN),),
        constant=b"\x03\x29\x00\x66\x00\x00\x02\x09",
        least=6,
    ),
    Frame(0x290, ">", constant=b"\x06\x37\x10\xd9"),
    Frame(0x2D0, ">", texts=(Text("maker", 1, 7),)),
    Frame(0x3D0, ">", (Cell("part", "B", 0),), texts=(Text("model", 1, 7),)),
    Frame(
        0x110,
        ">",
        (
            Cell("cvl_mv", "H", 0, 100, low=1, side=DOWN),
            Cell("dvl_mv", "H", 2, 100, side=UP),
            Cell("discharge_limit_ma", "h", 4, 100, low=0, side=DOWN),
            Cell("charge_limit_ma", "h", 6, 100, low=0, side=DOWN),
        ),
        least=8,
    ),
    Frame(
        0x150,
        ">",
        (
            Cell("soc_millipercent", "H", 0, 10, high=10000, side=DOWN),
            Cell("soh_millipercent", "H", 2, 10, high=10000, side=DOWN),
            Cell("remaining_mah", "H", 4, 100, side=DOWN),
            Cell("capacity_mah", "H", 6, 100, side=DOWN),
        ),
        least=8,
    ),
    Frame(
        0x1D0,
        ">",
        (
            Cell("voltage_mv", "H", 0, 100, side=NEAR),
            Cell("current_ma", "h", 2, 100, side=ZERO),
            Cell("temp_mean_mc", "h", 4, 100, side=NEAR),
        ),
        constant=b"\0\0\0\0\0\0\x03\x08",
        least=6,
    ),
    Frame(
        0x210,
        ">",
        (
            Cell("temp_max_mc", "h", 0, 100, side=UP),
            Cell("temp_min_mc", "h", 2, 100, side=DOWN),
        ),
        least=4,
    ),
    Frame(0x190, ">", constant=b"\x00\x00\x03"),
)
_IDENTITY = (0x250, 0x290, 0x2D0, 0x3D0)
_EVERY_MS = {0x110: PERIOD_MS, 0x150: 10000, 0x1D0: 10000, 0x210: 10000, 0x190: 60000}


class Codec:
    """One bank, told to one bus. `saturated` counts, by field, values that did not fit."""

    period_ms = PERIOD_MS
    waits: int | None = GREETING  # nothing is told before this was heard
    heartbeat = "observed"
    heartbeat_ms = 60000

    def __init__(
        self, invert_current: bool = True, cells: int = 16, soc_follows_limits: bool = False
    ):
        self.saturated: dict[str, int] = {}
        self.untold = ""
        self._sign = -1 if invert_current else 1
        self._cells = cells
        self._follows = soc_follows_limits

    def every_ms(self, can_id: int) -> int:
        """How often a frame is sent; 0: only when it is asked for."""
        return _EVERY_MS.get(can_id, 0)

    def messages(self, battery: "VirtualBattery") -> "tuple[Message, ...]":
        """(identifier, 8 bytes), the identity first; nothing where too little is known."""
        values = self._values(battery)
        told = []
        for row in FRAMES:
            for part in range(4 if row.can_id == 0x3D0 else 1):
                values["part"] = part
                values["model"] = _MODEL[7 * part : 7 * part + 7]
                data = row.write(values, self.saturated)
                if data is None:
                    self.untold = row.missing
                    return ()
                told.append((row.can_id, data))
        return tuple(told)

    def heard(self, can_id: int, data: bytes, extended: bool) -> "tuple[int, ...] | None":
        """The identifiers that are asked for; None: not a word of an inverter to us."""
        if extended or can_id not in _FROM_INVERTER:
            return None
        if can_id == GREETING and data and data[0] & 1:
            return _IDENTITY
        return ()

    def shuts_down(self, can_id: int, data: bytes, extended: bool) -> bool:
        """No inverter asks for that here."""
        return False

    def _values(self, battery: "VirtualBattery") -> "Values":
        charge, discharge = limits_ma(battery, 100)
        full = battery.capacity_mah
        design = battery.design_mah
        if full is None:
            full = design
        soc = battery.soc_permille
        soh = battery.soh_permille
        if soh is None:
            soh = min(1000, full * 1000 // design) if design and full is not None else 1000
        remaining = battery.remaining_mah
        if soc is not None:
            soc = clamp(soc, 0, 1000)
            if remaining is None and full is not None:
                remaining = full * soc // 1000
            if self._follows and not discharge:
                soc = 0
            elif self._follows and not charge:
                soc = 1000
        current = battery.current_ma
        size = full if design is None else design
        return {
            "energy_wh": None if size is None else size * self._cells * _NOMINAL_MV // 1000000,
            "maker": "BYD",
            "cvl_mv": battery.cvl_mv,
            "dvl_mv": battery.dvl_mv,
            "discharge_limit_ma": discharge,
            "charge_limit_ma": charge,
            "soc_millipercent": None if soc is None else soc * 100,
            "soh_millipercent": clamp(soh, 0, 1000) * 100,
            "remaining_mah": remaining,
            "capacity_mah": full,
            "voltage_mv": battery.voltage_mv,
            "current_ma": None if current is None else current * self._sign,
            "temp_mean_mc": battery.temp_mean_mc,
            "temp_max_mc": battery.temp_max_mc,
            "temp_min_mc": battery.temp_min_mc,
        }

    def read(self, frame: "Message") -> "Decoded":
        """What a frame tells, named and in milli-units. FrameError for one that is none of ours."""
        can_id, data = frame
        if len(data) > 8:
            raise FrameError("length: 0x%03x with %d bytes" % (can_id, len(data)))
        if can_id in _FROM_INVERTER:
            found: Decoded = {"direction": "inverter to battery"}
            if can_id == GREETING and data:
                found["asks_identity"] = bool(data[0] & 1)
            return found
        for row in FRAMES:
            if row.can_id == can_id:
                break
        else:
            raise FrameError("marker: 0x%03x is no frame of this protocol" % can_id)
        if len(data) < row.least:
            raise FrameError("truncated: 0x%03x with %d bytes" % (can_id, len(data)))
        found = row.read(data)
        current = found.get("current_ma")
        if isinstance(current, int):
            found["current_ma"] = current * self._sign
        for name in ("soc", "soh"):
            fine = found.get(name + "_millipercent")
            if isinstance(fine, int):
                found[name + "_permille"] = fine // 100
        return found
