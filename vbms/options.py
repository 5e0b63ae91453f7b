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

# Cadence of a request slot, beside a number of milliseconds.
EACH_POLL = 0  # at each poll
ONCE = -1  # until answered

TYPE_CHECKING = False
if TYPE_CHECKING:
    OptionValue = int | bool | str | None


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
