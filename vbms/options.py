"""What a driver lets the user set: name, kind, bounds, unit, help.

A codec module declares `OPTIONS = (Option("address", INT, ...), ...)`; its `Codec` takes them as
keywords. Configuration checks, `vbms drivers`, the JSON Schema and the README table are made from
these declarations, so a key exists in one place only.
"""

INT = "int"
BOOL = "bool"
TEXT = "text"
CHOICE = "choice"
DEVICE = "device"  # a Bluetooth device: its MAC, kept in capitals, or the name it advertises
MILLI = "milli"  # a human decimal number in YAML (55.2), an int in milli-units in the program
MICRO = "micro"  # the same in millionths: what one bit of a register is worth
INTS = "ints"  # one whole number or a list of them, a tuple in the program
TABLE = "table"  # a list of rows, see Table

# Cadence of a request slot, beside a number of milliseconds.
EACH_POLL = 0  # at each poll
ONCE = -1  # until answered

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    OptionValue = int | bool | str | None
    Rows = Sequence[Sequence[object]]


class Option:
    """One key of a profile; `low` and `high` are in the program's own units (milli for MILLI)."""

    __slots__ = ("choices", "default", "help", "high", "kind", "low", "name", "required", "unit")

    def __init__(
        self,
        name: str,
        kind: str,
        default: "OptionValue" = None,
        *,
        low: int | None = None,
        high: int | None = None,
        unit: str = "",
        help: str = "",
        choices: tuple[str, ...] = (),
        required: bool = False,
    ):
        self.name = name
        self.kind = kind
        self.default = default
        self.low = low
        self.high = high
        self.unit = unit
        self.help = help
        self.choices = choices
        self.required = required


class Table(Option):
    """Rows in YAML, each with keys as `columns` say; a tuple of tuples in their order.

    `check(rows)` names what no single key can get wrong: (row, column or "", what is wrong, what is
    allowed).
    """

    __slots__ = ("check", "columns")

    def __init__(
        self,
        name: str,
        columns: "tuple[Option, ...]",
        check: "Callable[[Rows], Sequence[tuple[int, str, str, str]]]",
        *,
        help: str = "",
    ):
        super().__init__(name, TABLE, help=help)
        self.columns = columns
        self.check = check
