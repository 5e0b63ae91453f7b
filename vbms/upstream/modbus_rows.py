"""What a register table of a battery may hold, and what is wrong with one: see modbus_map.py."""

from vbms.aggregate import alarms
from vbms.integers import ceil_div, half_up
from vbms.options import BOOL, CHOICE, INT, INTS, MICRO, MILLI, Option, Table
from vbms.wire.registers import TYPE_NAMES, TYPES

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from vbms.options import Rows

    Fault = tuple[int, str, str, str]
    Rounding = Callable[[int, int], int]


def _floor(value: int, unit: int) -> int:
    return value // unit


# What can be read: field of Snapshot, its units in a human unit, rounding.
QUANTITIES: "dict[str, tuple[str, int, Rounding]]" = {
    "voltage_v": ("voltage_mv", 1000, half_up),
    "current_a": ("current_ma", 1000, half_up),  # charging > 0: a negative scale turns it round
    "soc_percent": ("soc_permille", 10, _floor),
    "soh_percent": ("soh_permille", 10, _floor),
    "capacity_ah": ("capacity_mah", 1000, _floor),
    "design_ah": ("design_mah", 1000, _floor),
    "remaining_ah": ("remaining_mah", 1000, _floor),
    "cell_v": ("cells_mv", 1000, half_up),
    "cell_max_v": ("cell_high_mv", 1000, ceil_div),
    "cell_min_v": ("cell_low_mv", 1000, _floor),
    "temp_c": ("temps_mc", 1000, half_up),
    "temp_max_c": ("temps_mc", 1000, ceil_div),
    "temp_min_c": ("temps_mc", 1000, _floor),
    "mosfet_c": ("mosfet_mc", 1000, ceil_div),
    "ambient_c": ("ambient_mc", 1000, half_up),
    "cycles": ("cycles_count", 1, _floor),
    "charge_limit_a": ("ccl_ma", 1000, _floor),
    "discharge_limit_a": ("dcl_ma", 1000, _floor),
    "charge_voltage_v": ("cvl_mv", 1000, _floor),
    "cell_overvoltage_v": ("ovp_mv", 1000, _floor),
    "cell_undervoltage_v": ("uvp_mv", 1000, ceil_div),
    "balancing": ("balancing", 1, _floor),
    "serial": ("serial", 0, _floor),
    "model": ("model", 0, _floor),
}
_NAMES = tuple(sorted(QUANTITIES))
TEXTS = ("serial", "model")
LISTS = ("cell_v", "temp_c")
_LEVELS = ("warning", "protection", "critical")
_PERMITS = ("charge", "discharge", "both")
_MOST = 125  # registers in one answer
UNIT_ALARMS = alarms.NAMES[:17]

_ADDRESS = Option("address", INT, low=0, high=65535, required=True)
_FUNCTION = Option("function", INT, low=3, high=4, help="unset: the map's")
_BIT = Option("bit", INT, low=0, high=15)
_VALUES = Option("values", INTS, low=0, high=65535, help="of the whole register, in place of a bit")
REGISTERS = (
    _ADDRESS,
    Option("quantity", CHOICE, choices=_NAMES, required=True),
    Option("type", CHOICE, "u16", choices=TYPE_NAMES),
    Option("scale", MICRO, 1000000, low=-(10**12), high=10**12, help="of one bit"),
    Option("offset", MILLI, 0, low=-(10**9), high=10**9, help="added to raw x scale"),
    Option("count", INT, 1, low=1, high=160, help="cells or sensors, or registers of a text"),
    Option("unknown", INTS, low=-(2**31), high=2**32 - 1, help="raw numbers that say nothing"),
    _FUNCTION,
    Option("every_s", MILLI, 0, low=0, high=86400000, help="0: each poll"),
)
ALARMS = (
    _ADDRESS,
    Option("alarm", CHOICE, choices=UNIT_ALARMS, required=True),
    Option("level", CHOICE, "protection", choices=_LEVELS),
    _BIT,
    _VALUES,
    _FUNCTION,
)
PERMISSIONS = (
    _ADDRESS,
    Option("permits", CHOICE, choices=_PERMITS, required=True),
    _BIT,
    Option("when", CHOICE, "set", choices=("set", "clear"), help="of the bit"),
    _VALUES,
    _FUNCTION,
)


def named(columns: "tuple[Option, ...]", rows: "Rows") -> "list[dict[str, object]]":
    names = [column.name for column in columns]
    return [dict(zip(names, row)) for row in rows]


def whole(value: object) -> int:
    return value if isinstance(value, int) else 0


def span(row: "dict[str, object]") -> tuple[int, int]:
    """The bytes that a row takes, counted from register 0."""
    first = 2 * whole(row["address"])
    if row["quantity"] in TEXTS:
        return first, first + 2 * whole(row["count"])
    size, at, _ = TYPES[str(row["type"])]
    if size == 1:
        return first + at, first + at + 1 + 2 * (whole(row["count"]) - 1)
    return first, first + size * whole(row["count"])


def check_registers(rows: "Rows") -> "list[Fault]":
    """What is wrong between the rows, and between the keys of one."""
    found: list[Fault] = []
    seen: dict[object, int] = {}
    spans: list[tuple[object, int, int, int]] = []
    for at, row in enumerate(named(REGISTERS, rows)):
        quantity = row["quantity"]
        if quantity in seen and quantity not in LISTS:
            text = "%s stands in row %d already" % (quantity, seen[quantity] + 1)
            found.append((at, "quantity", text, "each quantity once"))
        seen.setdefault(quantity, at)
        if not row["scale"]:
            found.append((at, "scale", "0 makes every value the same", "any other number"))
        if whole(row["count"]) > 1 and quantity not in LISTS + TEXTS:
            text = "%s is one value" % quantity
            found.append((at, "count", text, "1; more for %s" % ", ".join(LISTS + TEXTS)))
        start, end = span(row)
        if end > 2 * 65536:
            found.append((at, "count", "goes beyond register 65535", "fewer"))
        elif (end + 1) // 2 - start // 2 > _MOST:
            found.append((at, "count", "more than one answer can hold", "%d registers" % _MOST))
        for function, other_start, other_end, other in spans:
            same = function == row["function"] or function is None or row["function"] is None
            if same and start < other_end and other_start < end:
                text = "overlaps row %d" % (other + 1)
                found.append((at, "address", text, "registers of its own"))
        spans.append((row["function"], start, end, at))
    return found


def _check_bits(columns: "tuple[Option, ...]", rows: "Rows") -> "list[Fault]":
    found: list[Fault] = []
    for at, row in enumerate(named(columns, rows)):
        if (row["bit"] is None) == (not row["values"]):
            text = "has both bit and values" if row["values"] else "has neither bit nor values"
            found.append((at, "", text, "one of them"))
        if row["values"] and row.get("when") == "clear":
            found.append((at, "when", "is of a bit", "list the values that permit"))
    return found


def check_alarms(rows: "Rows") -> "list[Fault]":
    return _check_bits(ALARMS, rows)


def check_permissions(rows: "Rows") -> "list[Fault]":
    return _check_bits(PERMISSIONS, rows)


OPTIONS = (
    Option("address", INT, low=0, high=255, required=True, help="its Modbus unit"),
    Table("registers", REGISTERS, check_registers, help="where each quantity stands"),
    Table("alarms", ALARMS, check_alarms, help="bits or values that tell an alarm"),
    Table("permissions", PERMISSIONS, check_permissions, help="bits or values that permit"),
    Option("function", INT, 3, low=3, high=4, help="3 holding registers, 4 input registers"),
    Option(
        "word_order",
        CHOICE,
        "high_first",
        choices=("high_first", "low_first"),
        help="of numbers in two registers",
    ),
    Option("block", INT, 100, low=1, high=_MOST, help="most registers asked for at once"),
    Option("fill", INT, 0, low=0, high=100, help="read over gaps of so many registers"),
    Option(
        "framing",
        CHOICE,
        "auto",
        choices=("auto", "rtu", "tcp"),
        help="over TCP: tcp is Modbus TCP, rtu a transparent gateway; auto: tcp",
    ),
    Option(
        "limits_are",
        CHOICE,
        "request",
        choices=("request", "trip"),
        help="its current limits: what it asks for, or where it cuts off",
    ),
    Option(
        "assume_permission",
        BOOL,
        False,
        help="no register says whether it may be charged: taken to be so",
    ),
)


def declared(options: "Mapping[str, object]") -> tuple[str, ...]:
    """The limits and capacities that its rows read."""
    rows = named(REGISTERS, rows_of(options.get("registers")))
    fields = [QUANTITIES[str(row["quantity"])][0] for row in rows]
    return tuple([f for f in fields if f in ("ccl_ma", "dcl_ma", "capacity_mah", "design_mah")])


def rows_of(value: object) -> "Rows":
    return value if isinstance(value, (tuple, list)) else ()


def check(options: "Mapping[str, object]") -> "list[tuple[str, str, str]]":
    """What a map lacks to be of any use: without it the limits would always be 0."""
    rows = named(REGISTERS, rows_of(options.get("registers")))
    has = [str(row["quantity"]) for row in rows if not row["every_s"]]
    found = []
    if not rows:
        return [("registers", "is missing", "rows of {address, quantity, type, scale}")]
    for wanted, name in (
        (("voltage_v",), "the voltage"),
        (("current_a",), "the current"),
        (("soc_percent",), "the SOC"),
        (("cell_v", "cell_max_v"), "the highest cell"),
        (("cell_v", "cell_min_v"), "the lowest cell"),
        (("temp_c", "temp_max_c"), "the hottest cell"),
        (("temp_c", "temp_min_c"), "the coldest cell"),
    ):
        if not [quantity for quantity in wanted if quantity in has]:
            text = "has no row for %s at each poll: no current would be allowed" % name
            found.append(("registers", text, "a row with quantity: %s" % " or ".join(wanted)))
    permits = [
        str(row["permits"]) for row in named(PERMISSIONS, rows_of(options.get("permissions")))
    ]
    acts = [row["level"] != "warning" for row in named(ALARMS, rows_of(options.get("alarms")))]
    for word, limit in (("charge", "charge_limit_a"), ("discharge", "discharge_limit_a")):
        if word in permits or "both" in permits or limit in has or True in acts:
            continue
        if not options.get("assume_permission"):
            text = "nothing says whether it may be %sd" % word
            allowed = "permissions:, alarms: that are protections, a %s row, or " % limit
            found.append(("registers", text, allowed + "assume_permission: true"))
    return found
