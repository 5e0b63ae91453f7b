"""The register table of an inverter: what it may hold, and what is wrong: see modbus_map.py."""

from vbms.aggregate import alarms
from vbms.downstream.safe_side import LIMITS, QUANTITIES
from vbms.options import CHOICE, INT, MICRO, MILLI, Option, Table
from vbms.wire.registers import TYPE_NAMES, TYPES, bounds

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

    from vbms.options import Rows

    Fault = tuple[int, str, str, str]
    Row = dict[str, object]

TEXTS = ("model", "serial")
_NAMES = tuple(sorted(QUANTITIES)) + ("constant",) + TEXTS
_SWITCHES = ("charge_enabled", "discharge_enabled")
_STATES = ("charging", "discharging", "any_warning", "any_protection")
UNIT_ALARMS = alarms.NAMES
_LEVELS = ("warning", "protection", "critical")

_ADDRESS = Option("address", INT, low=0, high=65535, required=True)
REGISTERS = (
    _ADDRESS,
    Option("quantity", CHOICE, choices=_NAMES, required=True),
    Option("type", CHOICE, "u16", choices=TYPE_NAMES),
    Option("scale", MICRO, 1000000, low=-(10**12), high=10**12, help="of one bit"),
    Option("offset", MILLI, 0, low=-(10**9), high=10**9, help="of raw 0"),
    Option("count", INT, 1, low=1, high=32, help="registers of a text"),
    Option("value", INT, low=-(2**31), high=2**32 - 1, help="of a constant"),
    Option("unknown", INT, low=-(2**31), high=2**32 - 1, help="raw number for what is unknown"),
)
BITS = (
    _ADDRESS,
    Option("bit", INT, low=0, high=15, required=True),
    Option("tells", CHOICE, choices=_SWITCHES + _STATES + UNIT_ALARMS, required=True),
    Option("level", CHOICE, "protection", choices=_LEVELS, help="of an alarm: this or above"),
    Option("when", CHOICE, "set", choices=("set", "clear"), help="clear: turned round"),
)


def named(columns: "tuple[Option, ...]", rows: object) -> "list[Row]":
    names = [column.name for column in columns]
    return [dict(zip(names, row)) for row in rows] if isinstance(rows, (tuple, list)) else []


def whole(value: object) -> int:
    return value if isinstance(value, int) else 0


def span(row: "Row") -> tuple[int, int]:
    """The bytes that a row takes, counted from register 0."""
    first = 2 * whole(row["address"])
    if row["quantity"] in TEXTS:
        return first, first + 2 * whole(row["count"])
    size, at, _ = TYPES[str(row["type"])]
    return first + at, first + at + size


def check_registers(rows: "Rows") -> "list[Fault]":
    """What is wrong between the rows, and between the keys of one."""
    found: list[Fault] = []
    seen: dict[object, int] = {}
    spans: list[tuple[int, int, int]] = []
    for at, row in enumerate(named(REGISTERS, rows)):
        quantity = row["quantity"]
        if quantity in seen and quantity != "constant":
            text = "%s stands in row %d already" % (quantity, seen[quantity] + 1)
            found.append((at, "quantity", text, "each quantity once"))
        seen.setdefault(quantity, at)
        if not row["scale"]:
            found.append((at, "scale", "0 cannot be divided by", "any other number"))
        if (quantity == "constant") != (row["value"] is not None):
            text = "a constant has a value" if quantity == "constant" else "is of a constant"
            found.append((at, "value", text, "quantity: constant with value:"))
        if whole(row["count"]) > 1 and quantity not in TEXTS:
            found.append((at, "count", "%s is one value" % quantity, "1"))
        low, high = bounds(str(row["type"]))
        for key in ("value", "unknown"):
            if row[key] is not None and not low <= whole(row[key]) <= high:
                text = "%d does not fit %s" % (whole(row[key]), row["type"])
                found.append((at, key, text, "%d..%d" % (low, high)))
        if row["unknown"] is not None and quantity in LIMITS:
            found.append((at, "unknown", "a limit is never unknown", "a row without it"))
        start, end = span(row)
        if end > 2 * 65536:
            found.append((at, "address", "goes beyond register 65535", "a lower one"))
        for other_start, other_end, other in spans:
            if start < other_end and other_start < end:
                text = "overlaps row %d" % (other + 1)
                found.append((at, "address", text, "registers of its own"))
        spans.append((start, end, at))
    return found


def check_bits(rows: "Rows") -> "list[Fault]":
    found: list[Fault] = []
    seen: dict[object, int] = {}
    for at, row in enumerate(named(BITS, rows)):
        key = (row["address"], row["bit"], row["when"])
        turned = (row["address"], row["bit"], "clear" if row["when"] == "set" else "set")
        switch = row["tells"] in _SWITCHES
        if turned in seen or (key in seen and switch):
            text = "this bit stands in row %d already" % (seen.get(turned, seen.get(key, 0)) + 1)
            found.append((at, "bit", text, "several alarms may share a bit, no switch"))
        seen.setdefault(key, at)
    return found


def check(options: "Mapping[str, object]") -> "list[tuple[str, str, str]]":
    """A map that could never say stop is of no use."""
    rows = named(REGISTERS, options.get("registers"))
    bits = named(BITS, options.get("bits"))
    if not rows:
        return [("registers", "is missing", "rows of {address, quantity, type, scale}")]
    found = []
    told = [row["quantity"] for row in rows] + [row["tells"] for row in bits]
    for word in ("charge", "discharge"):
        if word + "_limit_a" not in told and word + "_enabled" not in told:
            text = "nothing tells the inverter to stop to %s" % word
            allowed = "a %s_limit_a row, or a bit that tells %s_enabled" % (word, word)
            found.append(("registers", text, allowed))
    taken = [span(row) for row in rows]
    for row in bits:
        at = 2 * whole(row["address"])
        if [True for start, end in taken if start < at + 2 and at < end]:
            text = "register %d holds bits and a quantity" % whole(row["address"])
            found.append(("bits", text, "one of them"))
    return found


OPTIONS = (
    Option("unit", INT, 1, low=0, high=247, help="the Modbus address it asks, further ones follow"),
    Table("registers", REGISTERS, check_registers, help="what it reads where"),
    Table("bits", BITS, check_bits, help="alarms, switches and states by bit"),
    Option("function", INT, low=3, high=4, help="3 or 4; unset: both, with the same registers"),
    Option(
        "word_order",
        CHOICE,
        "high_first",
        choices=("high_first", "low_first"),
        help="of numbers in two registers",
    ),
    Option(
        "outside",
        CHOICE,
        "silence",
        choices=("silence", "exception", "zero", "ffff"),
        help="a register without a row: no answer, exception 2, or it reads so",
    ),
    Option("model", "text", "VBMS", low=1, high=64, help="model to answer with"),
    Option("serial", "text", low=1, high=64, help="serial number; unset: the battery's own"),
)
