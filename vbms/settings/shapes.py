"""What configuration becomes: plain objects in milli-units, equal when they mean the same.

Nothing of YAML or pydantic is in them. SIGHUP compares old and new item by item, so that only what
changed restarts.
"""

from pathlib import Path

from vbms.aggregate.profile import BankProfile, UnitProfile
from vbms.integers import ceil_div
from vbms.settings.problems import Problem


def _same(one: object, other: object) -> bool:
    if isinstance(one, (UnitProfile, BankProfile)):
        if type(one) is not type(other):
            return False
        return all(getattr(one, name) == getattr(other, name) for name in one.__slots__)
    return one == other


class _Item:
    """Equal in every slot is equal."""

    __slots__: tuple[str, ...] = ()

    def __init__(self, **values: object):
        for name in self.__slots__:
            setattr(self, name, values.pop(name))
        if values:
            raise TypeError(f"{type(self).__name__} has no {', '.join(values)}")

    def __eq__(self, other: object) -> bool:
        if type(self) is not type(other):
            return NotImplemented
        return all(_same(getattr(self, name), getattr(other, name)) for name in self.__slots__)

    __hash__ = None  # type: ignore[assignment]


class LinkSettings(_Item):
    """One physical line."""

    __slots__ = (
        "adapter",
        "baud",
        "bitrate",
        "channel",
        "connections",
        "host",
        "i2c_bus",
        "interface",
        "kind",
        "name",
        "password",
        "port",
        "tcp_port",
        "url",
        "username",
    )
    name: str
    kind: str  # serial, tcp, simulate, ble, can or mqtt
    baud: int | None  # of serial, tcp and simulate; its own or its profiles'
    port: str | None  # serial
    host: str | None  # tcp
    tcp_port: int | None
    adapter: str | None  # ble
    connections: int | None
    i2c_bus: int | None
    interface: str | None  # can
    channel: str | None
    bitrate: int | None
    url: str | None  # mqtt
    username: str | None
    password: str | None  # never shown

    @property
    def byte_us(self) -> int:
        """How long a byte takes, start and stop bit included; 0 where that means nothing."""
        return ceil_div(10_000_000, self.baud) if self.baud else 0


class Timing(_Item):
    """How a unit is asked."""

    __slots__ = ("gap_us", "poll_ms", "reply_timeout_ms", "silence_ms", "slow_timeout_ms")
    gap_us: int
    reply_timeout_ms: int
    slow_timeout_ms: int
    silence_ms: int
    poll_ms: int


class BatterySettings(_Item):
    """One unit. `options` are the keywords of the driver's Codec."""

    __slots__ = (
        "address",
        "chemistry",
        "link",
        "name",
        "options",
        "profile_name",
        "protocol",
        "slot",
        "timing",
        "unit",
    )
    name: str
    profile_name: str
    protocol: str
    link: str
    address: object  # what the driver's option holds: a number, a MAC
    options: dict[str, object]
    unit: UnitProfile
    timing: Timing
    slot: int  # its place in the list from 0, or what `slot:` says
    chemistry: str


class InverterSettings(_Item):
    """One inverter. `options` are the keywords of the driver's Codec."""

    __slots__ = (
        "link",
        "name",
        "options",
        "present",
        "profile_name",
        "protocol",
        "shards",
        "share_ppht",
        "silent_after_ms",
        "turnaround_us",
    )
    name: str
    profile_name: str
    protocol: str
    link: str
    present: str  # bank, units or shards
    shards: int | None  # None: as few as the registers allow
    share_ppht: int  # its part of the bank, in parts per hundred thousand
    turnaround_us: int
    silent_after_ms: int
    options: dict[str, object]


class WebSettings(_Item):
    """Where the page listens. The token is never shown."""

    __slots__ = ("host", "hosts", "loopback", "port", "token")
    host: str
    port: int
    loopback: bool
    token: str | None
    hosts: tuple[str, ...]  # further names allowed in the Host header


class FaultSettings(_Item):
    """A fault to play on a simulated unit."""

    __slots__ = ("at_ms", "fault", "for_ms", "unit")
    unit: str
    fault: str
    at_ms: int
    for_ms: int


class SimulateSettings(_Item):
    """The simulated world."""

    __slots__ = ("faults", "seed", "speed")
    seed: int
    speed: int
    faults: tuple[FaultSettings, ...]


class MqttSettings(_Item):
    """A broker. The password is never shown."""

    __slots__ = ("password", "topic", "url", "username")
    url: str
    topic: str
    username: str | None
    password: str | None


class HistorySettings(_Item):
    """Where the recorded series are kept."""

    __slots__ = ("path",)
    path: Path


class RelaySettings(_Item):
    """A charger behind a relay."""

    __slots__ = (
        "active_low",
        "charger_ma",
        "chip",
        "command_timeout_ms",
        "full_cell_mv",
        "line",
        "low_permille",
        "name",
        "of",
        "off_command",
        "on_command",
        "output",
        "repeat_ms",
        "retry_daily",
        "timeout_min",
    )
    name: str
    output: str  # gpio, command or simulate
    of: str | None  # a battery; None: the whole bank
    charger_ma: int
    low_permille: int
    timeout_min: int
    retry_daily: bool  # after a time-out; else a person has to say so
    full_cell_mv: int | None
    chip: str | None  # gpio
    line: "int | str | None"
    active_low: bool
    on_command: tuple[str, ...]  # command
    off_command: tuple[str, ...]
    command_timeout_ms: int
    repeat_ms: int


class Settings:
    """A whole configuration, checked. Equal when all its items are."""

    __slots__ = (
        "_shown",
        "bank",
        "batteries",
        "history",
        "inverters",
        "links",
        "mqtt",
        "path",
        "relays",
        "simulate",
        "site_name",
        "state_dir",
        "warnings",
        "web",
    )
    path: Path
    site_name: str
    links: dict[str, LinkSettings]
    batteries: tuple[BatterySettings, ...]
    inverters: tuple[InverterSettings, ...]
    bank: BankProfile
    web: WebSettings
    simulate: SimulateSettings
    relays: tuple[RelaySettings, ...]
    mqtt: MqttSettings | None
    history: HistorySettings | None
    state_dir: Path
    warnings: tuple[Problem, ...]  # not wrong, but surely not what was meant
    _shown: dict[str, object]

    def __init__(self, shown: dict[str, object]):
        self._shown = shown

    def masked(self) -> dict[str, object]:
        """The configuration as it was written, each secret as ***: for pages, logs and bundles."""
        return self._shown

    def summary(self) -> str:
        """What it holds, in one line."""
        batteries, inverters = len(self.batteries), len(self.inverters)
        links = len({each.link for each in self.batteries})
        text = f"{_count(batteries, 'battery', 'batteries')} on {_count(links, 'link', 'links')}"
        if not inverters:
            return text + ", no inverter: it only watches"
        return text + ", " + _count(inverters, "inverter", "inverters")

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Settings):
            return NotImplemented
        apart = ("_shown", "warnings")
        names = [name for name in self.__slots__ if name not in apart]
        return all(_same(getattr(self, name), getattr(other, name)) for name in names)

    __hash__ = None  # type: ignore[assignment]


def _count(n: int, one: str, many: str) -> str:
    return f"{n} {one if n == 1 else many}"
