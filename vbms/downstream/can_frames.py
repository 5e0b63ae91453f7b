"""The frames of Pylontech's CAN protocol and its dialects, as tables.

Little endian, 8 bytes. A row is named by its identifier and, where makers disagree about what it
holds, by whose layout it is. Sources: see pylontech_can.py, whose tables these are.
"""

from vbms.aggregate import alarms
from vbms.wire.can_table import DOWN, NEAR, UP, ZERO, Cell, Frame, Text

_CVL = Cell("cvl_mv", "H", 0, 100, low=1, side=DOWN)
_CCL = Cell("charge_limit_ma", "h", 2, 100, low=0, side=DOWN)
_DCL = Cell("discharge_limit_ma", "h", 4, 100, low=0, side=DOWN)
_DVL = Cell("dvl_mv", "H", 6, 100, side=UP)
_SOC = Cell("soc_permille", "H", 0, 10, high=100, side=DOWN)
_SOH = Cell("soh_permille", "H", 2, 10, high=100, side=DOWN)
_VOLTAGE = Cell("voltage_mv", "h", 0, 10, side=NEAR)
_CURRENT = Cell("current_ma", "h", 2, 100, side=ZERO)
_MEAN = Cell("temp_mean_mc", "h", 4, 100, side=NEAR)
_PROTECTION = Cell("protection", "H", 0)
_ALARM = Cell("alarm", "H", 2)
_MODULES = Cell("modules", "B", 4)
_FLAGS = Cell("byte0", "B", 0)
_KELVIN = 273150  # milli-degrees between the scales

# Rows by what they are called in FLAVOURS: the identifier, and a variant where there are several.
FRAMES = {
    "351": Frame(0x351, "<", (_CVL, _CCL, _DCL, _DVL), least=6, needed=True),
    "351 sma": Frame(  # a Sunny Island takes 41..63 V and 41..48 V
        0x351,
        "<",
        (
            Cell("cvl_mv", "H", 0, 100, low=410, high=630, side=DOWN),
            _CCL,
            _DCL,
            Cell("dvl_mv", "H", 6, 100, low=410, high=480, side=UP),
        ),
        least=6,
        needed=True,
    ),
    "355": Frame(0x355, "<", (_SOC, _SOH), least=4, needed=True),
    "355 sma": Frame(
        0x355,
        "<",
        (_SOC, _SOH, Cell("soc_millipercent", "H", 4, 10, high=10000, side=DOWN)),
        least=4,
        needed=True,
    ),
    "355 luxpower": Frame(
        0x355,
        "<",
        (_SOC, _SOH, Cell("cell_max_mv", "H", 4, side=UP), Cell("cell_min_mv", "H", 6, side=DOWN)),
        least=4,
        needed=True,
    ),
    "356": Frame(0x356, "<", (_VOLTAGE, _CURRENT, _MEAN), least=6, needed=True),
    "356 luxpower": Frame(
        0x356,
        "<",
        (
            _VOLTAGE,
            _CURRENT,
            Cell("temp_max_mc", "h", 4, 100, side=UP),
            Cell("temp_min_mc", "h", 6, 100, side=DOWN),
        ),
        least=6,
        needed=True,
    ),
    "356 solark": Frame(0x356, "<", (Cell("voltage_mv", "h", 0, 100), _CURRENT, _MEAN), least=6),
    "359": Frame(
        0x359, "<", (_PROTECTION, _ALARM, _MODULES), constant=b"\0\0\0\0\0PN", least=5, needed=True
    ),
    "359 luxpower": Frame(
        0x359,
        "<",
        (_PROTECTION, _ALARM, _MODULES, Cell("capacity_mah", "H", 5, 1000, side=DOWN)),
        least=5,
        needed=True,
    ),
    "359 deye_pcs": Frame(
        0x359, "<", (Cell("faults", "I", 0), Cell("alarm", "H", 4), Cell("system", "B", 6)), least=7
    ),
    "35A": Frame(
        0x35A, "<", (Cell("alarm_bits", "I", 0), Cell("warning_bits", "I", 4)), least=8, needed=True
    ),
    "35B": Frame(0x35B, "<"),
    "35C": Frame(0x35C, "<", (_FLAGS,), needed=True),
    "35C luxpower": Frame(
        0x35C, "<", (_FLAGS, Cell("cycles_count", "H", 2, side=DOWN)), needed=True
    ),
    "35E": Frame(0x35E, "<", texts=(Text("name", fill=b" "),)),
    "35F": Frame(
        0x35F, "<", (Cell("capacity_mah", "H", 4, 1000, side=DOWN),), least=6
    ),  # type, version and maker 0: nobody gave vbms one
    "361": Frame(
        0x361,
        "<",
        (
            Cell("cell_max_mv", "H", 0, side=UP),
            Cell("cell_min_mv", "H", 2, side=DOWN),
            Cell("temp_max_mc", "h", 4, 100, side=UP),
            Cell("temp_min_mc", "h", 6, 100, side=DOWN),
        ),
        least=8,
    ),
    "364": Frame(
        0x364,
        "<",
        (
            Cell("online", "B", 0),
            Cell("block_charge", "B", 1),
            Cell("block_discharge", "B", 2),
            Cell("offline", "B", 3),
            _MODULES,
        ),
        least=5,
    ),
    "371 deye_pcs": Frame(
        0x371,
        "<",
        (
            Cell("ongrid_charge_limit_ma", "h", 0, 100, low=0, side=DOWN),
            Cell("ongrid_discharge_limit_ma", "h", 2, 100, low=0, side=DOWN),
        ),
        least=4,
    ),
    "372": Frame(
        0x372,
        "<",
        (
            Cell("online", "H", 0),
            Cell("block_charge", "H", 2),
            Cell("block_discharge", "H", 4),
            Cell("offline", "H", 6),
        ),
        least=8,
    ),
    "373": Frame(
        0x373,
        "<",
        (
            Cell("cell_min_mv", "H", 0, side=DOWN),
            Cell("cell_max_mv", "H", 2, side=UP),
            Cell("temp_min_mc", "H", 4, 1000, _KELVIN, side=DOWN),
            Cell("temp_max_mc", "H", 6, 1000, _KELVIN, side=UP),
        ),
        least=8,
    ),
    "374": Frame(0x374, "<", texts=(Text("cell_min_name"),)),
    "375": Frame(0x375, "<", texts=(Text("cell_max_name"),)),
    "379": Frame(0x379, "<", (Cell("capacity_mah", "H", 0, 1000, side=DOWN),), least=2),
    "382": Frame(0x382, "<", texts=(Text("product"),)),
}

_BASE = ("359", "351", "355", "356", "35C", "35E")
_SMA = ("351 sma", "355 sma", "356", "35A", "35B", "35E", "35F")

# Frames in the order they are sent, and the name told in 0x35E unless the profile says another.
# A Deye goes by that name: PYLON, BYD, SHEnergy and DY are known to it.
FLAVOURS = {
    "pylon": (_BASE, "PYLON"),
    "pylon_v2": (_BASE + ("35A", "372", "373", "374", "375", "379"), "PYLON"),
    "deye": (_BASE, "PYLON"),
    "victron": (
        ("351", "355", "356", "35A", "35E", "35F", "372", "373", "374", "375", "379", "382"),
        "VBMS",
    ),
    "sma": (_SMA, "VBMS"),
    "goodwe": (_SMA, "PYLON"),
    "luxpower": (
        ("359 luxpower", "351", "355 luxpower", "356 luxpower", "35C luxpower", "35E", "379"),
        "PYLON",
    ),
}
# What is only read: sets of other makers' batteries.
READ_ONLY = {
    "deye_pcs": ("351", "355", "356", "359 deye_pcs", "35C", "35E", "361", "364", "371 deye_pcs"),
    "solark": ("359", "351", "355", "356 solark", "35C", "35E", "379"),
}
# Senders of voltage, SOC and the rest that count the current the other way round.
DISCHARGE_POSITIVE = ("deye_pcs",)


# A Sunny Island wants to be told that an alarm has gone, too; all others count any bit as an alarm.
BOTH_BITS = ("sma",)

CHARGE_ENABLE = 0x80
DISCHARGE_ENABLE = 0x40
FORCE_CHARGE_1 = 0x20  # the battery may shut down, wake it
FORCE_CHARGE_2 = 0x10  # charge before it shuts down
FULL_CHARGE = 0x08
REQUESTS = (
    ("charge_enabled", CHARGE_ENABLE),
    ("discharge_enabled", DISCHARGE_ENABLE),
    ("force_charge_1", FORCE_CHARGE_1),
    ("force_charge_2", FORCE_CHARGE_2),
    ("full_charge_request", FULL_CHARGE),
)

# 0x359, protection in the low half, alarm in the high one: the same bits.
BITS = (
    (1 << 1, alarms.CELL_OVERVOLTAGE | alarms.PACK_OVERVOLTAGE),
    (1 << 2, alarms.CELL_UNDERVOLTAGE | alarms.PACK_UNDERVOLTAGE),
    (
        1 << 3,
        alarms.CHARGE_OVERTEMPERATURE
        | alarms.DISCHARGE_OVERTEMPERATURE
        | alarms.MOSFET_OVERTEMPERATURE,
    ),
    (1 << 4, alarms.CHARGE_UNDERTEMPERATURE | alarms.DISCHARGE_UNDERTEMPERATURE),
    (1 << 7, alarms.DISCHARGE_OVERCURRENT | alarms.SHORT_CIRCUIT),
    (1 << 8, alarms.CHARGE_OVERCURRENT | alarms.SHORT_CIRCUIT),
    (1 << 11, alarms.INTERNAL | alarms.COMMS | alarms.TEMPERATURE_SENSOR),
)
BIT_NAMES = (
    (1 << 1, "overvoltage"),
    (1 << 2, "undervoltage"),
    (1 << 3, "overtemperature"),
    (1 << 4, "undertemperature"),
    (1 << 7, "discharge_overcurrent"),
    (1 << 8, "charge_overcurrent"),
    (1 << 11, "system"),
)
# 0x35A: two bits each from these places on. 01 has arrived, 10 is not there.
PAIRS = (
    (2, alarms.CELL_OVERVOLTAGE | alarms.PACK_OVERVOLTAGE),
    (4, alarms.CELL_UNDERVOLTAGE | alarms.PACK_UNDERVOLTAGE),
    (6, alarms.DISCHARGE_OVERTEMPERATURE | alarms.MOSFET_OVERTEMPERATURE),
    (8, alarms.DISCHARGE_UNDERTEMPERATURE),
    (10, alarms.CHARGE_OVERTEMPERATURE),
    (12, alarms.CHARGE_UNDERTEMPERATURE),
    (14, alarms.DISCHARGE_OVERCURRENT),
    (16, alarms.CHARGE_OVERCURRENT),
    (20, alarms.SHORT_CIRCUIT),
    (22, alarms.INTERNAL | alarms.COMMS | alarms.TEMPERATURE_SENSOR),
    (24, alarms.IMBALANCE),
)
PAIR_NAMES = (
    (0, "general"),
    (2, "overvoltage"),
    (4, "undervoltage"),
    (6, "overtemperature"),
    (8, "undertemperature"),
    (10, "charge_overtemperature"),
    (12, "charge_undertemperature"),
    (14, "discharge_overcurrent"),
    (16, "charge_overcurrent"),
    (18, "contactor"),
    (20, "short_circuit"),
    (22, "internal"),
    (24, "imbalance"),
)
