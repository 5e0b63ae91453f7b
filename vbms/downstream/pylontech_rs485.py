"""Pylontech low-voltage RS485 protocol, ASCII, 9600 or 115200 8N1: the inverter asks.

    ~ VER ADR 46 CID2 LENGTH INFO CHKSUM CR    ->    the same with a return code in place of CID2

System commands (60 to 63) show the bank, at the master's address alone: 02, or 12 .. 72 in another
group. Unit commands (42, 44, 47, 4F, 51, 92, 93, 96) show one module for each battery, its slot
+ 2, at an address of its own; module FF asks the master for all. What modules allow adds up to no
more than what the bank does. With `modules: bank` there is one module, the bank.

Every value is rounded to the safe side and saturates. A bank with a cell, a temperature or a
discharge voltage that no field can hold is told with limits of 0. What has too little to tell is
silent; so is what is wrong on the wire (CHKSUM, CID1, another's address). Commands that would
change or switch off a battery are refused, never acted upon.

Sources: RS485-protocol-pylon-low-voltage-V3.3-20180821; the same, V3.5 of 2019-08-07; answers of
real US2000, US3000 and US3000C modules.
"""

from vbms.aggregate.modules import Group, Module
from vbms.downstream import pylontech_frames as frames
from vbms.downstream.pylontech_frames import ALL
from vbms.downstream.pylontech_module import measured, parameters, states
from vbms.downstream.pylontech_read import Reader
from vbms.errors import ConfigError
from vbms.options import CHOICE, INT, TEXT, Option
from vbms.wire import pylon_ascii
from vbms.wire.printable import printable
from vbms.wire.pylon_ascii import BATTERY, Message, build

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from vbms.aggregate.virtual import VirtualBattery

    Decoded = dict[str, object]

BAUD = 9600
MODULES = True  # it is told the bank with its batteries behind it
PRESENT = ("bank",)
FIRST_ADDRESS = 2  # the master's, and of the battery in slot 0
MOST_MODULES = 14  # 02 to 0F
OPTIONS = (
    Option("group", INT, 0, low=0, high=7, help="the master's address is 0x10 x group + 2"),
    Option(
        "modules",
        CHOICE,
        "units",
        choices=("units", "bank"),
        help="what unit commands show: each battery, or one module that is the whole bank",
    ),
    Option(
        "current_scale",
        CHOICE,
        "0.01 A",
        choices=("0.01 A", "0.1 A"),
        help="one bit of the current in 0x61",
    ),
    Option(
        "limit_scale",
        CHOICE,
        "0.1 A",
        choices=("0.01 A", "0.1 A"),
        help="one bit of the limits in 0x63",
    ),
    Option(
        "version",
        CHOICE,
        "20",
        choices=("20", "28", "33", "35"),
        help="the protocol version that 0x4F answers",
    ),
    Option("model", TEXT, "VBMS", low=1, high=10, help="name to answer with"),
    Option("maker", TEXT, "PYLON", low=1, high=20, help="maker to answer with"),
    Option("software", INT, 0x0100, low=0, high=0xFFFF, help="software version to answer with"),
    Option("firmware", INT, 0x000100, low=0, high=0xFFFFFF, help="main version to answer with"),
)
_SCALES = {"0.01 A": 10, "0.1 A": 100}

_MASTER = FIRST_ADDRESS
_VERSION = 0x20
_NO_INFO = 0
_NUMBER = 1  # a module's number
_NUMBER_OR_ALL = 2
_MAYBE = 3  # the document says none, readers send the number all the same
_COMMANDS = {
    frames.BASIC: _NO_INFO,
    frames.ANALOG: _NO_INFO,
    frames.ALARMS: _NO_INFO,
    frames.LIMITS: _NO_INFO,
    frames.VERSION: _NO_INFO,
    frames.MAKER: _NO_INFO,
    frames.PARAMETERS: _MAYBE,
    frames.UNIT_ANALOG: _NUMBER_OR_ALL,
    frames.UNIT_ALARMS: _NUMBER_OR_ALL,
    frames.UNIT_LIMITS: _NUMBER,
    frames.SERIAL: _NUMBER,
    frames.FIRMWARE: _NUMBER,
}
# Return codes. Commands that set limits or switch off are refused like what does not exist.
_UNKNOWN, _BAD_LENGTH, _BAD_FORMAT, _BAD_MODULE = 0x04, 0x03, 0x05, 0x06


class Codec:
    """One address: `address` 2 is the master, 3 to 15 the other modules of its group."""

    def __init__(
        self,
        address: int = _MASTER,
        group: int = 0,
        modules: str = "units",
        current_scale: str = "0.01 A",
        limit_scale: str = "0.1 A",
        version: str = "20",
        model: str = "VBMS",
        maker: str = "PYLON",
        software: int = 0x0100,
        firmware: int = 0x000100,
    ):
        if not _MASTER <= address < _MASTER + MOST_MODULES or not 0 <= group <= 7:
            raise ConfigError("address %d in group %d: a group has 2 to 15" % (address, group))
        self.address = group << 4 | address
        self.saturated: dict[str, int] = {}
        self._is_master = address == _MASTER
        self._base = group << 4 | _MASTER
        self._one_module = modules == "bank"
        self._analog = frames.analog(_SCALES[current_scale])
        self._limits = frames.limits(_SCALES[limit_scale])
        self._limit_unit = _SCALES[limit_scale]
        self._reader = Reader(_SCALES[current_scale], _SCALES[limit_scale])
        self._version = int(version, 16)
        self._model = printable(model, 10)
        self._maker = printable(maker, 20)
        self._software = bytes((software >> 8, software & 0xFF))
        self._firmware = bytes((firmware >> 16, firmware >> 8 & 0xFF, firmware & 0xFF))

    def usual(self) -> "Sequence[bytes]":
        """What an inverter sends all day; unit commands come in many forms and wait to be asked."""
        if not self._is_master:
            return ()
        daily = (frames.ANALOG, frames.ALARMS, frames.LIMITS)
        return [build(_VERSION, self.address, command) for command in daily]

    def take(self, buffer: bytes) -> tuple[int, bytes | None]:
        return pylon_ascii.take(buffer)

    def asks(self, frame: bytes) -> int | None:
        """Which address a frame wants to be answered; None: it is an answer, or not ours."""
        if len(frame) < 18 or frame[0] != 0x7E:
            return None
        message = Message(frame)
        answers = message.command == 0 or message.command in frames.RETURNS
        return None if answers or message.kind != BATTERY else message.address

    def spoilt(self, lost: bytes) -> bool:
        """Whether bytes that made no frame look like a request that was damaged on its way."""
        return len(lost) >= 12 and lost[0] == 0x7E and lost[5:7] == b"46"

    def answer(self, request: bytes, battery: "VirtualBattery") -> bytes | None:
        """The whole answer; None (silence) for another address, a bad sum, unknown values.

        `battery` is a Group at the master's address, a Module at the others; a bank that is neither
        has no modules.
        """
        used, frame = pylon_ascii.take(request)
        if frame is None or used != len(request) or self.asks(frame) != self.address:
            return None
        message = Message(frame)
        command = message.command
        if command in frames.SYSTEM and not self._is_master:
            return None
        code, number = self._judge(message)
        if code:
            return build(_VERSION, self.address, code)
        if command == frames.VERSION:
            return build(self._version, self.address, 0)
        info = self._info(command, number, battery)
        return None if info is None else build(_VERSION, self.address, 0, info)

    def _judge(self, message: Message) -> tuple[int, int]:
        """The return code, 0 where it is fine, and the module that is asked for."""
        if not message.sum_fits:
            return _BAD_LENGTH, 0
        wants = _COMMANDS.get(message.command)
        if wants is None:
            return _UNKNOWN, 0
        info = message.info
        if info is None or not message.length_fits or len(info) > 1:
            return _BAD_FORMAT, 0
        if not info:
            missing = wants == _NUMBER or wants == _NUMBER_OR_ALL
            return (_BAD_FORMAT if missing else 0), self.address
        if wants == _NO_INFO:
            return _BAD_FORMAT, 0
        all_of_them = info[0] == ALL and wants == _NUMBER_OR_ALL and self._is_master
        if info[0] != self.address and not all_of_them:
            return _BAD_MODULE, 0
        return 0, info[0]

    def _info(self, command: int, number: int, battery: "VirtualBattery") -> bytes | None:
        if command == frames.ANALOG:
            return self._analog.pack(self._analog_values(battery), self.saturated)
        if command == frames.LIMITS:
            values = self._limit_values(battery, command, self._limit_unit)
            return self._limits.pack(values, self.saturated)
        if command == frames.ALARMS:
            acted = battery.protections | battery.criticals
            told = frames.bits(frames.ALARM, battery.warnings | acted)
            stopped = frames.bits(frames.PROTECTION, acted)
            return bytes((told >> 8, told & 0xFF, stopped >> 8, stopped & 0xFF))
        if command == frames.MAKER:
            return self._model + self._software + self._maker
        modules = self._modules(battery)
        if command == frames.BASIC:
            serials = [self._serial(each, module) for each, module in modules]
            head = self._model + self._maker + self._software + bytes((len(serials),))
            return head + b"".join(serials)
        if number == ALL:
            parts = [self._detail(command, module) for _, module in modules]
            known = [part for part in parts if part is not None]
            return bytes((0, len(known))) + b"".join(known) if known else None
        for each, module in modules:
            if each == number:
                return self._of_module(command, number, module)
        return None

    def _modules(self, battery: "VirtualBattery") -> "list[tuple[int, Module]]":
        """The modules that this address answers for, with their numbers."""
        if isinstance(battery, Group):
            if self._one_module:
                return [(self.address, battery)]
            slots = sorted([slot for slot in battery.modules if slot < MOST_MODULES])
            return [(self._base + slot, battery.modules[slot]) for slot in slots]
        return [(self.address, battery)] if isinstance(battery, Module) else []

    def _of_module(self, command: int, number: int, module: Module) -> bytes | None:
        head = bytes((number,))
        if command == frames.SERIAL:
            return head + self._serial(number, module)
        if command == frames.FIRMWARE:
            return head + self._software + self._firmware
        if command == frames.UNIT_LIMITS:
            values = self._limit_values(module, command, 100)
            body = frames.UNIT_LIMIT.pack(values, self.saturated)
        elif command == frames.PARAMETERS:
            head = b"\x00"
            body = frames.PARAMETER.pack(
                parameters(module, self._allowed(module, 100)), self.saturated
            )
        else:
            head = bytes((0, number))
            body = self._detail(command, module)
        return None if body is None else head + body

    def _serial(self, number: int, module: Module) -> bytes:
        """16 characters; of a longer one the end, which tells units apart."""
        serial = "" if isinstance(module, Group) else module.serial
        serial = serial or "VB%014d" % (number - self._base + 1)
        return printable(serial[max(0, len(serial) - 16) :], 16)

    # ---- values

    def _analog_values(self, battery: "VirtualBattery") -> "list[int | None]":
        """0x61 in the order of its rows."""
        modules = self._modules(battery)
        hot = battery.temp_max_mc
        soh = 1000 if battery.soh_permille is None else battery.soh_permille
        cycles = battery.cycles_count or 0
        most_cycles, least_soh = cycles, soh
        mosfets = []
        warm_at = cold_at = self._base
        for number, module in modules:
            if module.cycles_count is not None and module.cycles_count > most_cycles:
                most_cycles = module.cycles_count
            if module.soh_permille is not None and module.soh_permille < least_soh:
                least_soh = module.soh_permille
            if module.mosfet_max_mc is not None:
                mosfets.append((module.mosfet_max_mc, number))
            if module.temp_max_mc == hot:
                warm_at = number
            if module.temp_min_mc == battery.temp_min_mc:
                cold_at = number
        switch = hot if battery.mosfet_max_mc is None else battery.mosfet_max_mc
        board = switch if battery.ambient_mc is None else battery.ambient_mc
        warmest, coldest = max(mosfets or [(0, self._base)]), min(mosfets or [(0, self._base)])
        one = not mosfets or battery.mosfet_max_mc is None
        mean = switch if one else sum([mc for mc, _ in mosfets]) // len(mosfets)
        return [
            battery.voltage_mv,
            battery.current_ma,
            battery.soc_permille,
            cycles,
            most_cycles,
            soh,
            least_soh,
            battery.cell_max_mv,
            self._owner(battery, battery.cell_max_owner),
            battery.cell_min_mv,
            self._owner(battery, battery.cell_min_owner),
            battery.temp_mean_mc,
            hot,
            warm_at,
            battery.temp_min_mc,
            cold_at,
            mean,
            switch,
            warmest[1],
            switch if one else coldest[0],
            coldest[1],
            board,
            board,
            self._base,
            board,
            self._base,
        ]

    def _owner(self, battery: "VirtualBattery", owner: "tuple[str, int] | None") -> int:
        places = battery.places if isinstance(battery, Group) else {}
        slot = places.get(owner[0]) if owner is not None else None
        return self._base if slot is None or self._one_module else self._base + slot

    def _limit_values(
        self, battery: "VirtualBattery", command: int, unit: int
    ) -> "list[int | None]":
        """Voltages, currents and status of 0x63 and 0x92; a limit told as 0 is no permission."""
        cvl = battery.cvl_mv
        charge, discharge = self._allowed(battery, unit)
        status = 0
        if charge:
            status |= frames.CHARGE_ENABLED
            if battery.force_charge:
                status |= frames.CHARGE_NOW
            if battery.full_charge_request:
                status |= frames.FULL_CHARGE[command]
        if discharge:
            status |= frames.DISCHARGE_ENABLED
        if cvl is not None and cvl <= 0:
            cvl = None  # 0 V is never told
        return [cvl, battery.dvl_mv, charge, discharge, status]

    def _allowed(self, battery: "VirtualBattery", unit: int) -> tuple[int, int]:
        """Charge and discharge limit in whole bits; nothing where the extremes cannot be told."""
        if not _tellable(battery):
            self.saturated["limits"] = self.saturated.get("limits", 0) + 1
            return 0, 0
        charge, discharge = battery.charge_limit_ma, battery.discharge_limit_ma
        return max(0, charge) // unit * unit, max(0, discharge) // unit * unit

    def _detail(self, command: int, module: Module) -> bytes | None:
        """One module of 0x42 or 0x44; None where too little is known."""
        cells, temps = module.cells_mv, module.temps_mc
        if not cells or not temps or len(cells) > 255 or len(temps) > 254:
            return None
        if command == frames.UNIT_ALARMS:
            return states(module, len(cells), list(temps))
        return measured(module, cells, list(temps), self.saturated)

    def read(self, frame: bytes) -> "Decoded":
        """What a request asks or an answer tells, named and in milli-units; an answer alone or
        behind its request. FrameError: no such frame; RefusedError: a return code."""
        return self._reader.read(frame)


def _tellable(battery: "VirtualBattery") -> bool:
    """Whether the fields can hold the extremes, or would make them look better than they are."""
    for value, low, high in (
        (battery.dvl_mv, None, 65535),
        (battery.cell_max_mv, None, 32767),
        (battery.cell_min_mv, 0, None),
        (battery.temp_max_mc, None, frames.HOTTEST_MC),
        (battery.temp_min_mc, frames.COLDEST_MC, None),
    ):
        if value is not None:
            if (low is not None and value < low) or (high is not None and value > high):
                return False
    return True
