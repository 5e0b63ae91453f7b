"""One key, one value: text in human units to the program's integers, or what is wrong with it.

A `Key` is a driver's `Option` with what only configuration needs: where the value goes, what one
unit of the YAML is worth, words beside numbers (auto, none, t3.5), or a reader of its own.
"""

import re
from collections.abc import Callable, Iterable
from decimal import Decimal
from typing import Any

from vbms.options import BOOL, CHOICE, DEVICE, INT, INTS, MICRO, MILLI, TABLE, TEXT, Option, Table
from vbms.settings.problems import choose_from
from vbms.settings.text import Listing, Mapping, Node, Resolved, Scalar

CURVE = "curve"
ANY = "any"  # text or number, as no driver is known yet
LIST = "list"
_NUMBER = re.compile(r"[+-]?(\d+(\.\d*)?|\.\d+)([eE][+-]?\d{1,2})?", re.ASCII)
_HEX = re.compile(r"0[xX][0-9a-fA-F]{1,8}", re.ASCII)
_MAC = re.compile(r"[0-9A-Fa-f]{2}([:-][0-9A-Fa-f]{2}){5}")
_LONGEST_NAME = 40  # of a Bluetooth device, in characters
_TRUE = ("true", "yes", "on")
_FALSE = ("false", "no", "off")
_LONGEST_TEXT = 200
_LONGEST_NUMBER = 24  # characters: fewer digits than Decimal keeps, so nothing is rounded


Fault = tuple[str, int, str, str]  # path below the key, line, what is wrong, what is allowed


class Wrong(Exception):
    """A value that cannot be taken, and each fault of it.

    No fault at all: what is wrong was said already, such as a secret that is not there.
    """

    def __init__(self, *faults: Fault):
        super().__init__("; ".join(f"{path}: {text}" for path, _, text, _ in faults))
        self.faults = faults


class Key(Option):
    """An Option with a place to go. `low` and `high` are in the program's units, as in Option."""

    __slots__ = ("expect", "reader", "scale", "target", "words")

    def __init__(
        self,
        name: str,
        kind: str,
        target: str = "",
        default: "int | bool | str | None" = None,
        *,
        scale: int = 1000,
        words: "dict[str, int | bool | None] | None" = None,
        reader: "Callable[[Option, Any], object] | None" = None,
        expect: str = "",
        low: int | None = None,
        high: int | None = None,
        unit: str = "",
        help: str = "",
        choices: tuple[str, ...] = (),
        required: bool = False,
    ):
        super().__init__(
            name,
            kind,
            default,
            low=low,
            high=high,
            unit=unit,
            help=help,
            choices=choices,
            required=required,
        )
        self.target = target or name
        self.scale = scale
        self.words = words or {}
        self.reader = reader
        self.expect = expect  # what a reader of its own takes, in words


class Given:
    """A checked value and where it was written; `rank` is higher the nearer to vbms.yaml's unit."""

    __slots__ = ("file", "key", "line", "rank", "value")

    def __init__(self, value: object, file: str, line: int, key: str, rank: int = 0):
        self.value = value
        self.file = file
        self.line = line
        self.key = key
        self.rank = rank


def human(value: int, scale: int) -> str:
    """An int of 1/scale units as a person writes it: 55200 of 1000 is 55.2."""
    if scale == 1:
        return str(value)
    whole, rest = divmod(abs(value), scale)
    digits = f"{rest:0{len(str(scale)) - 1}d}".rstrip("0")
    return ("-" if value < 0 else "") + str(whole) + ("." + digits if digits else "")


def scale_of(option: Option) -> int:
    """How many of the program's units one unit of the YAML is."""
    if option.kind == MICRO:
        return 1_000_000
    if option.kind != MILLI:
        return 1
    return option.scale if isinstance(option, Key) else 1000


def allowed(option: Option) -> str:
    """What a person may write, in a few words."""
    kind = option.kind
    if isinstance(option, Key) and option.expect:
        return option.expect
    if kind == BOOL:
        text = "true or false"
    elif kind == CHOICE:
        text = either(option.choices)
    elif kind == DEVICE:
        text = "a MAC such as C8:47:80:12:34:56, or the name that the device advertises"
    elif kind == ANY:
        text = "a number or text"
    elif kind == CURVE:
        text = "a list of [x, percent] points"
    elif kind == INTS:
        text = "a whole number or a list of them"
    elif isinstance(option, Table):
        text = "a list of rows: {%s}" % ", ".join(column.name for column in option.columns)
    elif kind == TEXT:
        low, high = option.low or 1, option.high or _LONGEST_TEXT
        text = f"{low}..{high} characters"
    else:
        text = _range(option.low, option.high, scale_of(option), option.unit)
        if not text:
            text = "a whole number" if kind == INT else "a number"
    words = list(option.words) if isinstance(option, Key) else []
    return ", or ".join([text, *words]) if words else text


def either(words: Iterable[str]) -> str:
    """a, b or c."""
    names = list(words)
    return names[0] if len(names) == 1 else ", ".join(names[:-1]) + " or " + names[-1]


def _range(low: int | None, high: int | None, scale: int, unit: str) -> str:
    tail = f" {unit}" if unit else ""
    if low is not None and high is not None:
        return f"{human(low, scale)}..{human(high, scale)}{tail}"
    if low is not None:
        return f"{human(low, scale)}{tail} or more"
    return f"{human(high, scale)}{tail} or less" if high is not None else ""


def read(option: Option, node: Node) -> object:
    """The value in the program's units; raises Wrong."""
    if option.kind in (CURVE, LIST) and isinstance(option, Key) and option.reader is not None:
        return option.reader(option, node)
    if option.kind in (TABLE, INTS):
        from vbms.settings import tables

        return tables.read_any(option, node)
    if isinstance(node, (Listing, Mapping)):
        raise Wrong(("", node.line, f"is {node.shown()}, not one value", allowed(option)))
    if isinstance(node, Resolved) and not node.known:
        raise Wrong()
    words = option.words if isinstance(option, Key) else {}
    if node.is_null:
        if option.required or not _may_be_unset(option, words):
            raise Wrong(("", node.line, "has no value", allowed(option)))
        return None
    if not node.quoted and node.text in words:
        return words[node.text]
    if isinstance(option, Key) and option.reader is not None:
        return option.reader(option, node)
    return _READERS[option.kind](option, node)


def _may_be_unset(option: Option, words: "dict[str, int | bool | None]") -> bool:
    return option.default is None and (not words or None in words.values())


def wrong(option: Option, node: Scalar, text: str) -> Wrong:
    """The usual complaint: the value as written, what it is not, what is allowed."""
    return Wrong(("", node.line, f"{node.shown()} {text}", allowed(option)))


def number(node: Scalar) -> Decimal | None:
    """Exactly what stands there, None if it is no decimal number."""
    if node.quoted or len(node.text) > _LONGEST_NUMBER or not _NUMBER.fullmatch(node.text):
        return None
    return Decimal(node.text)


def _has_octal_look(text: str) -> bool:
    digits = text.lstrip("+-")
    return len(digits) > 1 and digits[0] == "0" and digits.isdigit()


def _read_int(option: Option, node: Scalar) -> int:
    if not node.quoted and _HEX.fullmatch(node.text):
        return _bounded(option, node, int(node.text, 16))
    if _has_octal_look(node.text) and not node.quoted:
        raise wrong(option, node, "begins with 0: some programs would read it as octal")
    value = number(node)
    if value is None or value != value.to_integral_value():
        hint = " in quotes" if node.quoted and node.text.isdigit() else ""
        raise wrong(option, node, f"is no whole number{hint}" if not hint else f"is text{hint}")
    return _bounded(option, node, int(value))


def _read_milli(option: Option, node: Scalar) -> int:
    if _has_octal_look(node.text) and not node.quoted:
        raise wrong(option, node, "begins with 0: some programs would read it as octal")
    value = number(node)
    if value is None:
        if node.quoted and _NUMBER.fullmatch(node.text):
            raise wrong(option, node, "is text in quotes")
        raise wrong(option, node, "is no number")
    scale = scale_of(option)
    scaled = value * scale
    if scaled != scaled.to_integral_value():
        places = len(str(scale)) - 1
        raise wrong(option, node, f"has more than {places} decimal{'s' if places > 1 else ''}")
    return _bounded(option, node, int(scaled))


def _bounded(option: Option, node: Scalar, value: int) -> int:
    low, high = option.low, option.high
    if (low is not None and value < low) or (high is not None and value > high):
        raise wrong(option, node, "is out of range")
    return value


def _read_bool(option: Option, node: Scalar) -> bool:
    word = "" if node.quoted else node.text.lower()
    if word not in _TRUE and word not in _FALSE:
        raise wrong(option, node, "is neither")
    return word in _TRUE


def read_text(option: Option, node: Scalar) -> str:
    """Text as it stands, printable ASCII: it goes into frames, labels and paths."""
    text = node.text
    low, high = option.low or 1, option.high or _LONGEST_TEXT
    if not text.isascii() or not text.isprintable():
        raise wrong(option, node, "holds characters outside printable ASCII")
    if not low <= len(text) <= high:
        raise wrong(option, node, f"has {len(text)} characters")
    return text


def _read_choice(option: Option, node: Scalar) -> str:
    if node.text not in option.choices:
        near = "" if node.secret else choose_from(node.text, option.choices)
        hint = near.split(";")[0] if near.startswith("nearest") else ""
        about = allowed(option) + (f"; {hint}" if hint else "")
        raise Wrong(("", node.line, f"{node.shown()} is none of them", about))
    return node.text


def _read_device(option: Option, node: Scalar) -> str:
    """A MAC in capitals with colons, whatever it was; else a name."""
    text = node.text
    if _MAC.fullmatch(text):
        return text.upper().replace("-", ":")
    if ":" in text or not text.isprintable() or not 1 <= len(text) <= _LONGEST_NAME:
        raise wrong(option, node, "is no MAC and no name")
    return text


_READERS: dict[str, Callable[[Option, Scalar], object]] = {
    INT: _read_int,
    MILLI: _read_milli,
    MICRO: _read_milli,
    BOOL: _read_bool,
    TEXT: read_text,
    ANY: lambda option, node: node.text,
    CHOICE: _read_choice,
    DEVICE: _read_device,
}
