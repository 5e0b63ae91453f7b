"""Pylontech CAN for 48 V batteries and its dialects, 500 kbit/s, 11 bit: the bank, each second.

    351 limits | 355 SOC, SOH | 356 V, A, degC | 359 bits | 35C requests | 35E name

Little endian, every frame 8 bytes filled with zeros; which frames a flavour has is FLAVOURS, what
is in them FRAMES. The inverter's 0x305 says that it is alive and asks for nothing. Limits round
down, the discharge voltage and the highest cell up; a limit of 0 and its enable bit always agree.
Voltage, current, SOC, temperature, charge or discharge voltage unknown: not a single frame. Other
unknowns: their frame is left out, but SOH is full / design capacity, else 100 %, and cycles 0.

Sources: Sleeper85/esphome-yambms, documents/BMS LV CAN Protocol (PYLON V1.2, DEYE V1.2, Luxpower
V04.2, Sol-Ark V1.3, SMA with its Goodwe mapping) and yambms_canbus.yaml; dalathegreat's
Battery-Emulator, PYLON-LV-CAN, SMA-LV-CAN and SOL-ARK-LV-CAN; Psynosaur/esphome-MitM-deye-jk-bms
(DY V3.3); juamiso/PYLON_EMU pylon_CAN_210124.dbc. Where they contradict each other: docs/can.md.
"""

from vbms.downstream import can_frames as frames
from vbms.downstream.can_frames import BITS, FLAVOURS, FRAMES, PAIRS, READ_ONLY
from vbms.downstream.permission import limits_ma
from vbms.errors import ConfigError, FrameError
from vbms.integers import clamp
from vbms.options import BOOL, CHOICE, MILLI, TEXT, Option
from vbms.wire.can_table import bits_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from vbms.aggregate.virtual import VirtualBattery
    from vbms.wire.can_table import Message

    Decoded = dict[str, object]
    Values = dict[str, int | str | None]

LINE = "vbms.lines.broadcasting"
LINKS = ("can", "simulate")
PRESENT = ("bank",)
PERIOD_MS = 1000

OBSERVED, REQUIRED, IGNORED = "observed", "required", "ignored"

OPTIONS = (
    Option("flavour", CHOICE, "pylon", choices=tuple(FLAVOURS), help="which frames are sent"),
    Option("maker", TEXT, low=1, high=8, help="name in 0x35E; unset: as the flavour has it"),
    Option("invert_current", BOOL, False, help="tell charging as negative"),
    Option(
        "heartbeat",
        CHOICE,
        OBSERVED,
        choices=(OBSERVED, REQUIRED, IGNORED),
        help="0x305: its absence is logged, stops the sending for 30 s, or nothing",
    ),
    Option(
        "heartbeat_s",
        MILLI,
        60000,
        low=10000,
        high=600000,
        unit="s",
        help="how long 0x305 may be absent; a DEYE is late every two hours and at midnight",
    ),
    Option("extended_heartbeat", BOOL, False, help="0x305 counts with a 29-bit identifier too"),
)

HEARTBEAT = 0x305
SHUTDOWN = 0x300  # LuxPower: byte 0, bit 0 asks the battery to switch off. Logged, never done
# What inverters tell of themselves; nothing here is for a battery to act on.
_TOLD_BY_INVERTERS = (0x306, 0x307)


class Codec:
    """One bank, told to one bus. `saturated` counts, by field, values that did not fit."""

    period_ms = PERIOD_MS
    waits: int | None = None  # it does not wait to be greeted

    def __init__(
        self,
        flavour: str = "pylon",
        maker: str | None = None,
        invert_current: bool = False,
        heartbeat: str = OBSERVED,
        heartbeat_s: int = 60000,
        extended_heartbeat: bool = False,
    ):
        if flavour in FLAVOURS:
            rows, name = FLAVOURS[flavour]
        elif flavour in READ_ONLY:
            rows, name = READ_ONLY[flavour], ""
        else:
            raise ConfigError("flavour: %s (%s)" % (flavour, ", ".join(FLAVOURS)))
        self.saturated: dict[str, int] = {}
        self.untold = ""
        self.heartbeat = heartbeat
        self.heartbeat_ms = heartbeat_s
        self._extended = extended_heartbeat
        self._maker = maker or name
        self._sign = -1 if invert_current != (flavour in frames.DISCHARGE_POSITIVE) else 1
        self._rows = tuple([FRAMES[row] for row in rows])
        self._flavour = flavour

    def every_ms(self, can_id: int) -> int:
        """How often a frame is sent; 0: only when it is asked for."""
        return PERIOD_MS

    def messages(self, battery: "VirtualBattery") -> "tuple[Message, ...]":
        """(identifier, 8 bytes) in the order they are sent; nothing where too little is known."""
        values = self._values(battery)
        told: list[Message] = []
        if self._flavour not in FLAVOURS:
            return ()
        for row in self._rows:
            data = row.write(values, self.saturated)
            if data is not None:
                told.append((row.can_id, data))
            elif row.needed:
                self.untold = row.missing
                return ()
        return tuple(told)

    def heard(self, can_id: int, data: bytes, extended: bool) -> "tuple[int, ...] | None":
        """None: not a word of an inverter to us; else the identifiers it asks for: none here.

        A heartbeat's length and content are free: Deye puts a clock in it, SMA its measurements.
        """
        if can_id == HEARTBEAT and (not extended or self._extended):
            return ()
        return None

    def shuts_down(self, can_id: int, data: bytes, extended: bool) -> bool:
        """Whether the inverter asks the battery to switch itself off."""
        return can_id == SHUTDOWN and not extended and bool(data) and bool(data[0] & 1)

    def _values(self, battery: "VirtualBattery") -> "Values":
        """Everything any frame tells, in milli-units; None is unknown."""
        acted = battery.protections | battery.criticals
        told = battery.warnings | acted
        charge, discharge = limits_ma(battery, 100)
        soh = battery.soh_permille
        full = battery.capacity_mah
        design = battery.design_mah
        if soh is None:
            soh = min(1000, full * 1000 // design) if design and full is not None else 1000
        soc = battery.soc_permille
        if soc is not None:
            soc = clamp(soc, 0, 1000)
        current = battery.current_ma
        hot = battery.temp_max_mc
        cold = battery.temp_min_mc
        if hot is not None and cold is not None and self._flavour == "luxpower":
            hot = max(hot, cold // 100 * 100 + 100)  # some show nothing where the two are equal
        return {
            "cvl_mv": battery.cvl_mv,
            "charge_limit_ma": charge,
            "discharge_limit_ma": discharge,
            "dvl_mv": battery.dvl_mv,
            "soc_permille": soc,
            "soc_millipercent": None if soc is None else soc * 100,
            "soh_permille": clamp(soh, 0, 1000),
            "voltage_mv": battery.voltage_mv,
            "current_ma": None if current is None else current * self._sign,
            "temp_mean_mc": battery.temp_mean_mc,
            "temp_max_mc": hot,
            "temp_min_mc": cold,
            "cell_max_mv": battery.cell_max_mv,
            "cell_min_mv": battery.cell_min_mv,
            "protection": bits_of(BITS, acted),
            "alarm": bits_of(BITS, told),
            "alarm_bits": self._pairs(acted) | (1 if battery.criticals else 0),
            "warning_bits": self._pairs(told),
            "modules": max(1, battery.n_total),
            "byte0": _requests(battery, charge, discharge),
            "capacity_mah": design if full is None else full,
            "cycles_count": battery.cycles_count or 0,
            "online": battery.n_fresh,
            "offline": battery.n_total - battery.n_fresh,
            "block_charge": 0 if charge else battery.n_fresh,
            "block_discharge": 0 if discharge else battery.n_fresh,
            "cell_min_name": _cell_name(battery.cell_min_owner),
            "cell_max_name": _cell_name(battery.cell_max_owner),
            "name": self._maker,
            "product": battery.model,
        }

    def _pairs(self, told: int) -> int:
        """A half of 0x35A."""
        word = 0
        for place, mask in PAIRS:
            if told & mask:
                word |= 1 << place
            elif self._flavour in frames.BOTH_BITS:
                word |= 2 << place
        return word

    def read(self, frame: "Message") -> "Decoded":
        """What a frame tells, named and in milli-units. FrameError for one that is none of ours."""
        can_id, data = frame
        if can_id == HEARTBEAT or can_id in _TOLD_BY_INVERTERS:
            return {"direction": "inverter to battery", "heartbeat": can_id == HEARTBEAT}
        if can_id == SHUTDOWN:
            asked = self.shuts_down(can_id, data, False)
            return {"direction": "inverter to battery", "shutdown": asked}
        rows = [row for row in self._rows if row.can_id == can_id]
        if not rows:
            rows = [row for row in FRAMES.values() if row.can_id == can_id]
        if not rows:
            raise FrameError("marker: 0x%03x is no frame of this protocol" % can_id)
        row = rows[0]
        if len(data) < row.least:
            raise FrameError("truncated: 0x%03x with %d bytes" % (can_id, len(data)))
        if len(data) > 8:
            raise FrameError("length: 0x%03x with %d bytes" % (can_id, len(data)))
        found = row.read(data)
        current = found.get("current_ma")
        if isinstance(current, int):
            found["current_ma"] = current * self._sign
        if "byte0" in found:
            for name, bit in frames.REQUESTS:
                found[name] = bool(data[0] & bit)
        return found


def _requests(battery: "VirtualBattery", charge: int, discharge: int) -> int:
    """Byte 0 of 0x35C; charging is asked for only where it is allowed."""
    flags = frames.DISCHARGE_ENABLE if discharge else 0
    if charge:
        flags |= frames.CHARGE_ENABLE
        if battery.force_charge:
            flags |= frames.FORCE_CHARGE_1
        if battery.full_charge_request:
            flags |= frames.FULL_CHARGE
    return flags


def _cell_name(owner: "tuple[str, int] | None") -> str | None:
    """Battery and cell from 1, as eight letters hold them."""
    if owner is None:
        return None
    number = "/%d" % (owner[1] + 1)
    return owner[0][: 8 - len(number)] + number
