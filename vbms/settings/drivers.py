"""What drivers declare about themselves, as configuration and `vbms drivers` need it."""

from collections.abc import Mapping, Sequence
from types import ModuleType

from vbms.downstream import registry as downstream
from vbms.lines import kinds
from vbms.options import Option, Table
from vbms.settings import keys
from vbms.settings.values import ANY
from vbms.upstream import registry as upstream

PRESENTS = ("bank", "units", "shards")
_ADDRESS = "address"  # belongs to one battery, never to a profile


class Driver:
    """One protocol: its options, its line, what it reads by itself."""

    __slots__ = (
        "alone",
        "baud",
        "declares",
        "draws",
        "joins",
        "kind",
        "links",
        "made_up",
        "master",
        "module",
        "most_modules",
        "needs_settings",
        "options",
        "presents",
        "protocol",
    )

    def __init__(self, kind: str, protocol: str, module: ModuleType):
        self.kind = kind
        self.protocol = protocol
        self.module = module
        self.options: tuple[Option, ...] = module.OPTIONS
        self.baud: int | None = getattr(module, "BAUD", None)
        self.declares: tuple[str, ...] = getattr(module, "DECLARES", ())
        self.needs_settings: bool = getattr(module, "NEEDS_SETTINGS", False)
        self.made_up: bool = getattr(module, "MADE_UP", False)  # no battery stands behind it
        self.alone: bool = getattr(module, "ALONE", False)  # no addresses: one for each link
        self.master: int | None = getattr(module, "MASTER", None)  # address that asks the others
        self.links: tuple[str, ...] = getattr(module, "LINKS", ("serial", "tcp", "simulate"))
        # An inverter's: which `present:` it knows, and how many batteries it can show as modules.
        self.presents: tuple[str, ...] = getattr(module, "PRESENT", PRESENTS)
        self.most_modules: int | None = getattr(module, "MOST_MODULES", None)
        # Whether what it tells is used to charge and discharge: then it takes a share of the bank.
        self.draws: bool = getattr(module, "DRAWS", True)
        # Whether one line can speak it beside another protocol of the same kind of line.
        self.joins: bool = getattr(module, "JOINS", not hasattr(module, "LINE"))

    def declared(self, options: "Mapping[str, object]") -> tuple[str, ...]:
        """The limits that a unit with these options states by itself."""
        own = getattr(self.module, "declared", None)
        return self.declares if own is None else own(options)

    def line(self, link_kind: str, address: object) -> str:
        """The kind of line it runs on over such a link; "": the usual one of bytes."""
        return kinds.named(self.module, link_kind, address)

    def faults(self, options: "Mapping[str, object]") -> "Sequence[tuple[str, str, str]]":
        """What these options cannot be together: (option, what is wrong, what is allowed)."""
        check = getattr(self.module, "check", None)
        return () if check is None else check(options)

    @property
    def title(self) -> str:
        """The first line of its docstring."""
        return (self.module.__doc__ or "").strip().split("\n")[0].rstrip(".:")


def protocols(kind: str) -> list[str]:
    """Every protocol of a kind."""
    return sorted((upstream if kind == keys.BATTERY else downstream).DRIVERS)


def driver(kind: str, protocol: str) -> Driver:
    """Loads its module; KeyError for an unknown name."""
    module = (upstream if kind == keys.BATTERY else downstream).load(protocol)
    return Driver(kind, protocol, module)


class Rows:
    """Which keys may stand where, by protocol; the same tuple each time, so models are shared."""

    def __init__(self) -> None:
        self._known: dict[tuple[str, str | None, bool], tuple[Option, ...]] = {}

    def in_profile(self, kind: str, protocol: str | None) -> tuple[Option, ...]:
        """Keys of a profile file."""
        return self._rows(kind, protocol, True)

    def in_place(self, kind: str, protocol: str | None) -> tuple[Option, ...]:
        """Keys of an entry of `batteries:` or `inverters:`."""
        return self._rows(kind, protocol, False)

    def _rows(self, kind: str, protocol: str | None, profile: bool) -> tuple[Option, ...]:
        at = (kind, protocol if protocol in protocols(kind) else None, profile)
        if at not in self._known:
            first: tuple[Option, ...]
            if profile:
                first = keys.PROFILE_KEYS
            else:
                own = keys.BATTERY_KEYS if kind == keys.BATTERY else keys.OUTPUT_KEYS
                first = (*own, keys.PROTOCOL_KEY)
            rows: dict[str, Option] = {row.name: row for row in first}
            common: tuple[Option, ...]
            common = keys.UNIT_KEYS if kind == keys.BATTERY else keys.INVERTER_KEYS
            for row in common:
                rows.setdefault(row.name, row)
            for option in self.options(kind, at[1]):
                if not (profile and option.name == _ADDRESS):
                    rows.setdefault(option.name, option)
            self._known[at] = tuple(rows.values())
        return self._known[at]

    def options(self, kind: str, protocol: str | None) -> tuple[Option, ...]:
        """A driver's options; without a protocol any driver's, so nothing is called unknown."""
        if protocol is not None:
            return driver(kind, protocol).options
        known = [driver(kind, name) for name in protocols(kind)]
        by_name: dict[str, list[Option]] = {}
        for each in known:
            for row in each.options:
                by_name.setdefault(row.name, []).append(row)
        return tuple(_union(rows, len(rows) == len(known)) for rows in by_name.values())


def _union(rows: list[Option], everywhere: bool) -> Option:
    """One option that takes what any of these takes; of several kinds: anything."""
    if isinstance(rows[0], Table):
        return rows[0]
    lows = [row.low for row in rows if row.low is not None]
    highs = [row.high for row in rows if row.high is not None]
    return Option(
        rows[0].name,
        rows[0].kind if len({row.kind for row in rows}) == 1 else ANY,
        rows[0].default,
        low=min(lows) if len(lows) == len(rows) else None,
        high=max(highs) if len(highs) == len(rows) else None,
        unit=rows[0].unit,
        help=rows[0].help if len(rows) == 1 else "",
        choices=tuple(sorted({choice for row in rows for choice in row.choices})),
        required=everywhere and all(row.required for row in rows),
    )
