"""Pylontech's CAN for high-voltage batteries ("Force H"), 500 kbit/s, 29 bit: the inverter asks.

    0x4200 with byte 0 = 00  ->  0x4210 .. 0x4290, values      02  ->  0x7310 .. 0x7340, who we are

The battery's address (0..15) is added to every identifier of an answer. Two things differ between
inverters and are options: the byte order, and whether a current is signed or counted from 3000 A.
Values are rounded to the safe side; anything unknown that every answer needs means silence. Which
sensor or module an extreme belongs to is not known to a bank and told as 0; a bank's modules share
one bus bar, so their voltages are the bank's.

Sources: dalathegreat/Battery-Emulator, PYLON-CAN; stuartpittaway/diyBMSv4ESP32,
pylonforce_canbus.cpp; ai-republic/bms-to-inverter, inverter-pylon-hv-can.
"""

from vbms.aggregate import alarms
from vbms.downstream.permission import limits_ma
from vbms.errors import ConfigError, FrameError
from vbms.integers import clamp
from vbms.options import BOOL, CHOICE, INT, TEXT, Option
from vbms.wire.can_table import DOWN, NEAR, UP, ZERO, Cell, Frame, Text, bits_of

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

OPTIONS = (
    Option("equipment", INT, 0, low=0, high=15, help="address added to the identifiers"),
    Option("byte_order", CHOICE, "little", choices=("little", "big"), help="of the values"),
    Option(
        "current", CHOICE, "offset", choices=("offset", "signed"), help="from 3000 A, or signed"
    ),
    Option("invert_current", BOOL, False, help="tell charging as negative"),
    Option("cells", INT, 16, low=1, high=400, help="in series; some inverters check it"),
    Option("maker", TEXT, low=1, high=16, help="name in 0x7330 and 0x7340; unset: PYLON"),
)

REQUEST = 0x4200
_VALUES, _ENSEMBLE = 0x00, 0x02
_ADDRESS = 0x0F
_OFFSET_MA = 3000000
_OFFSET_MC = 100000
_FORBIDDEN = 0xAA
_FLOW_MA = 500  # below this a battery neither charges nor discharges
_NOMINAL_MV = 3200  # of one cell

_ALARMS = (
    (1 << 0, alarms.CELL_UNDERVOLTAGE),
    (1 << 1, alarms.CELL_OVERVOLTAGE),
    (1 << 2, alarms.PACK_UNDERVOLTAGE),
    (1 << 3, alarms.PACK_OVERVOLTAGE),
    (1 << 4, alarms.CHARGE_UNDERTEMPERATURE),
    (1 << 5, alarms.CHARGE_OVERTEMPERATURE),
    (1 << 6, alarms.DISCHARGE_UNDERTEMPERATURE),
    (1 << 7, alarms.DISCHARGE_OVERTEMPERATURE | alarms.MOSFET_OVERTEMPERATURE),
    (1 << 8, alarms.CHARGE_OVERCURRENT | alarms.SHORT_CIRCUIT),
    (1 << 9, alarms.DISCHARGE_OVERCURRENT | alarms.SHORT_CIRCUIT),
)
_ERRORS = (
    (1 << 1, alarms.TEMPERATURE_SENSOR),
    (1 << 2, alarms.COMMS),
    (1 << 7, alarms.INTERNAL),
)


def _frames(order: str, offset: bool) -> "tuple[Frame, ...]":
    kind, plus = ("H", _OFFSET_MA) if offset else ("h", 0)
    low = plus // 100
    return (
        Frame(
            0x4210,
            order,
            (
                Cell("voltage_mv", "H", 0, 100, side=NEAR),
                Cell("current_ma", kind, 2, 100, plus, side=ZERO),
                Cell("temp_mean_mc", "H", 4, 100, _OFFSET_MC, side=NEAR),
                Cell("soc_permille", "B", 6, 10, high=100, side=DOWN),
                Cell("soh_permille", "B", 7, 10, high=100, side=DOWN),
            ),
            least=8,
            needed=True,
        ),
        Frame(
            0x4220,
            order,
            (
                Cell("cvl_mv", "H", 0, 100, low=1, side=DOWN),
                Cell("dvl_mv", "H", 2, 100, side=UP),
                Cell("charge_limit_ma", kind, 4, 100, plus, low=low, side=DOWN),
                Cell("discharge_limit_ma", kind, 6, 100, plus, low=low, side=DOWN),
            ),
            least=8,
            needed=True,
        ),
        Frame(
            0x4230,
            order,
            (
                Cell("cell_max_mv", "H", 0, side=UP),
                Cell("cell_min_mv", "H", 2, side=DOWN),
                Cell("cell_max_number", "H", 4),
                Cell("cell_min_number", "H", 6),
            ),
            least=8,
            needed=True,
        ),
        Frame(
            0x4240,
            order,
            (
                Cell("temp_max_mc", "H", 0, 100, _OFFSET_MC, side=UP),
                Cell("temp_min_mc", "H", 2, 100, _OFFSET_MC, side=DOWN),
            ),
            least=8,
            needed=True,
        ),
        Frame(
            0x4250,
            order,
            (
                Cell("status", "B", 0),
                Cell("cycles_count", "H", 1, side=DOWN),
                Cell("error_bits", "B", 3),
                Cell("alarm", "H", 4),
                Cell("protection", "H", 6),
            ),
            least=8,
            needed=True,
        ),
        Frame(
            0x4260,
            order,
            (Cell("module_max_mv", "H", 0), Cell("module_min_mv", "H", 2)),
            least=8,
            needed=True,
        ),
        Frame(
            0x4270,
            order,
            (
                Cell("module_temp_max_mc", "H", 0, 100, _OFFSET_MC, side=UP),
                Cell("module_temp_min_mc", "H", 2, 100, _OFFSET_MC, side=DOWN),
            ),
            least=8,
            needed=True,
        ),
        Frame(
            0x4280,
            order,
            (Cell("charge_forbidden", "B", 0), Cell("discharge_forbidden", "B", 1)),
            least=2,
            needed=True,
        ),
        Frame(0x4290, order, needed=True),  # nothing failed at start
        Frame(0x7310, order, needed=True),  # versions: nobody gave vbms any
        Frame(
            0x7320,
            order,
            (
                Cell("cells", "H", 0),
                Cell("modules", "B", 2),
                Cell("cells_per_module", "B", 3),
                Cell("nominal_mv", "H", 4, 1000, side=DOWN),
                Cell("capacity_mah", "H", 6, 1000, side=DOWN),
            ),
            least=8,
            needed=True,
        ),
        Frame(0x7330, order, texts=(Text("maker"),), needed=True),
        Frame(0x7340, order, texts=(Text("maker_more"),), needed=True),
    )


class Codec:
    """One bank, told to one bus when it is asked. `saturated` counts values that did not fit."""

    period_ms = PERIOD_MS
    waits: int | None = None
    heartbeat = "observed"
    heartbeat_ms = 60000

    def __init__(
        self,
        equipment: int = 0,
        byte_order: str = "little",
        current: str = "offset",
        invert_current: bool = False,
        cells: int = 16,
        maker: str | None = None,
    ):
        if not 0 <= equipment <= _ADDRESS:
            raise ConfigError("equipment %d: this protocol has 0 to %d" % (equipment, _ADDRESS))
        self.saturated: dict[str, int] = {}
        self.untold = ""
        self._equipment = equipment
        self._rows = _frames(">" if byte_order == "big" else "<", current == "offset")
        self._sign = -1 if invert_current else 1
        self._cells = cells
        self._maker = maker or "PYLON"
        self._asked = {
            _VALUES: tuple([row.can_id + equipment for row in self._rows if row.can_id < 0x5000]),
            _ENSEMBLE: tuple([row.can_id + equipment for row in self._rows if row.can_id > 0x5000]),
        }

    def every_ms(self, can_id: int) -> int:
        """0: only when it is asked for."""
        return 0

    def messages(self, battery: "VirtualBattery") -> "tuple[Message, ...]":
        """(29-bit identifier, 8 bytes) of all answers; nothing where too little is known."""
        values = self._values(battery)
        told = []
        for row in self._rows:
            data = row.write(values, self.saturated)
            if data is None:
                self.untold = row.missing
                return ()
            told.append((row.can_id + self._equipment, data))
        return tuple(told)

    def heard(self, can_id: int, data: bytes, extended: bool) -> "tuple[int, ...] | None":
        """The identifiers that a request asks for; None: it is none."""
        if can_id != REQUEST or not extended or len(data) != 8:
            return None
        return self._asked.get(data[0])

    def shuts_down(self, can_id: int, data: bytes, extended: bool) -> bool:
        """No inverter asks for that here."""
        return False

    def _values(self, battery: "VirtualBattery") -> "Values":
        acted = battery.protections | battery.criticals
        told = battery.warnings | acted
        charge, discharge = limits_ma(battery, 100)
        full = battery.capacity_mah
        design = battery.design_mah
        soh = battery.soh_permille
        if soh is None:
            soh = min(1000, full * 1000 // design) if design and full is not None else 1000
        current = battery.current_ma
        soc = battery.soc_permille
        modules = min(255, max(1, battery.n_total))
        hot, cold = battery.temp_max_mc, battery.temp_min_mc
        return {
            "voltage_mv": battery.voltage_mv,
            "current_ma": None if current is None else current * self._sign,
            "temp_mean_mc": battery.temp_mean_mc,
            "soc_permille": None if soc is None else clamp(soc, 0, 1000),
            "soh_permille": clamp(soh, 0, 1000),
            "cvl_mv": battery.cvl_mv,
            "dvl_mv": battery.dvl_mv,
            "charge_limit_ma": charge,
            "discharge_limit_ma": discharge,
            "cell_max_mv": battery.cell_max_mv,
            "cell_min_mv": battery.cell_min_mv,
            "cell_max_number": _number(battery.cell_max_owner),
            "cell_min_number": _number(battery.cell_min_owner),
            "temp_max_mc": hot,
            "temp_min_mc": cold,
            "status": _status(battery, bool(charge)),
            "cycles_count": battery.cycles_count or 0,
            "error_bits": bits_of(_ERRORS, acted),
            "alarm": bits_of(_ALARMS, told),
            "protection": bits_of(_ALARMS, acted),
            "module_max_mv": battery.voltage_mv,
            "module_min_mv": battery.voltage_mv,
            "module_temp_max_mc": hot,
            "module_temp_min_mc": cold,
            "charge_forbidden": 0 if charge else _FORBIDDEN,
            "discharge_forbidden": 0 if discharge else _FORBIDDEN,
            "cells": self._cells,
            "modules": modules,
            "cells_per_module": min(255, self._cells),
            "nominal_mv": self._cells * _NOMINAL_MV,
            "capacity_mah": design if full is None else full,
            "maker": self._maker[:8],
            "maker_more": self._maker[8:],
        }

    def read(self, frame: "Message") -> "Decoded":
        """What a request asks or an answer tells, named and in milli-units; any address."""
        can_id, data = frame
        if len(data) > 8:
            raise FrameError("length: 0x%04x with %d bytes" % (can_id, len(data)))
        if can_id == REQUEST:
            if len(data) != 8:
                raise FrameError("truncated: a request of %d bytes" % len(data))
            if data[0] not in self._asked:
                raise FrameError("payload: a request of kind %02x" % data[0])
            return {"request": "values" if data[0] == _VALUES else "ensemble"}
        for row in self._rows:
            if row.can_id == can_id & ~_ADDRESS:
                break
        else:
            raise FrameError("marker: 0x%04x is no frame of this protocol" % can_id)
        if len(data) < row.least:
            raise FrameError("truncated: 0x%04x with %d bytes" % (can_id, len(data)))
        found: Decoded = {"equipment": can_id & _ADDRESS}
        found.update(row.read(data))
        current = found.get("current_ma")
        if isinstance(current, int):
            found["current_ma"] = current * self._sign
        for name in ("charge", "discharge"):
            if name + "_forbidden" in found:
                found[name + "_enabled"] = found.pop(name + "_forbidden") != _FORBIDDEN
        if "status" in found:
            found["state"] = ("sleep", "charge", "discharge", "idle")[data[0] & 3]
            found["force_charge"] = bool(data[0] & 8)
        return found


def _status(battery: "VirtualBattery", may_charge: bool) -> int:
    """Bits 0..2 what it does, bit 3 that it wants to be charged."""
    flow = battery.current_ma or 0
    status = 1 if flow > _FLOW_MA else 2 if flow < -_FLOW_MA else 3
    return status | 8 if may_charge and battery.force_charge else status


def _number(owner: "tuple[str, int] | None") -> int:
    """A cell's place in its battery, from 1; 0 is unknown."""
    return 0 if owner is None else owner[1] + 1
