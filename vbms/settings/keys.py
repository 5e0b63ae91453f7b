"""Every key of vbms.yaml and of a profile that no driver declares: one row each.

Bounds are in the program's units. Checks, messages, the JSON Schema and `vbms drivers` are made
from these rows, so a key exists in one place only.
"""

import ipaddress
import re
from urllib.parse import urlsplit

from vbms.options import BOOL, CHOICE, INT, MILLI, TEXT, Option
from vbms.settings.curves import FALLS, HUMP, RISES, Shape
from vbms.settings.text import Scalar
from vbms.settings.values import (
    CURVE,
    Key,
    Wrong,
    allowed,
    wrong,
)

BATTERY, INVERTER = "battery", "inverter"  # folders of profiles/, and sides of the bank
T35 = "t3.5"  # 3.5 characters at the line's speed
BAUDS = (
    1200,
    2400,
    4800,
    9600,
    14400,
    19200,
    28800,
    38400,
    57600,
    76800,
    115200,
    230400,
    250000,
    460800,
    500000,
    576000,
    921600,
    1000000,
)
LINK_KINDS = ("serial", "tcp", "simulate", "ble", "can")
FAULTS = (
    "silence",
    "cut",
    "flip",
    "late",
    "wrong_address",
    "refuse",
    "echo",
    "noise",
    "half_frame",
    "overlap",
    "filler",
    "lying_cell",
    "frozen",
    "unplug",
    "restart",
)
SECRET_KEYS = ("token", "password")  # never shown, however they were written
MOST_UNITS = 15  # addresses an inverter can be told apart

# What the readers below take, in words.
_NAMES = "1..40 letters, digits, - _ or . without spaces"
_PROFILES = "a file in profiles/ without .yaml: letters, digits, _ and -"
_LABELS = "1..60 printable characters"
_PATHS = "a path"
_SPEEDS = ", ".join(str(baud) for baud in BAUDS)
_LISTENS = "ADDRESS:PORT such as 127.0.0.1:8080, port 0..65535"
_BROKERS = "mqtt://HOST[:PORT] or mqtts://HOST[:PORT]"
_HOSTS = "a name or an IP address, the port apart"

_NAME = re.compile(r"[^\W_][\w.-]{0,39}")
_PROFILE = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,59}", re.ASCII)


def _read_name(option: Option, node: Scalar) -> str:
    if not _NAME.fullmatch(node.text):
        raise wrong(option, node, "is no name")
    return node.text


def is_profile_name(text: str) -> bool:
    """A file's name without its ending, and no way out of the folder."""
    return _PROFILE.fullmatch(text) is not None


def _read_profile_name(option: Option, node: Scalar) -> str:
    if not is_profile_name(node.text):
        raise wrong(option, node, "is no profile's name")
    return node.text


def _read_path(option: Option, node: Scalar) -> str:
    if not node.text.strip() or not node.text.isprintable():
        raise wrong(option, node, "is no path")
    return node.text


def _read_baud(option: Option, node: Scalar) -> int:
    if node.quoted or not node.text.isdigit() or node.text not in map(str, BAUDS):
        raise wrong(option, node, "is no speed of a serial port")
    return int(node.text)


def split_listen(text: str) -> tuple[str, int] | None:
    """HOST:PORT or [IPv6]:PORT; None if it is neither."""
    host, colon, port = text.rpartition(":")
    if host.startswith("[") and host.endswith("]"):
        host = host[1:-1]
    elif ":" in host:
        return None
    if not colon or not host or not host.isascii() or not re.fullmatch(r"[\w.:%-]+", host):
        return None
    if not port.isascii() or not port.isdigit() or len(port) > 5 or int(port) > 65535:
        return None
    return host, int(port)


def is_loopback(host: str) -> bool:
    """Only programs on this machine reach it."""
    try:
        return ipaddress.ip_address(host.partition("%")[0]).is_loopback
    except ValueError:
        return host.lower() == "localhost"


def _read_listen(option: Option, node: Scalar) -> tuple[str, int]:
    found = split_listen(node.text)
    if found is None:
        raise wrong(option, node, "is no address to listen on")
    return found


def _read_broker(option: Option, node: Scalar) -> str:
    try:
        parts = urlsplit(node.text)
        fine = parts.scheme in ("mqtt", "mqtts") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        fine = False
    if not fine or not node.text.isascii() or not node.text.isprintable() or " " in node.text:
        # Not quoted: it may hold a password.
        raise Wrong(("", node.line, "is no broker's address", allowed(option)))
    return node.text


def _read_host(option: Option, node: Scalar) -> str:
    if not re.fullmatch(r"[A-Za-z0-9_.:%-]{1,253}", node.text):
        raise wrong(option, node, "is no host")
    return node.text


def _read_label(option: Option, node: Scalar) -> str:
    if not node.text.isprintable() or not 1 <= len(node.text.strip()) <= 60:
        raise wrong(option, node, "is no title")
    return node.text.strip()


def _text(name: str, help: str, **more: object) -> Key:
    return Key(name, TEXT, help=help, **more)  # type: ignore[arg-type]


def _seconds(name: str, target: str, default: int | None, low: int, high: int, help: str) -> Key:
    words: dict[str, int | bool | None] | None = {"auto": None} if default is None else None
    return Key(name, MILLI, target, default, low=low, high=high, unit="s", help=help, words=words)


def _curve(name: str, target: str, shape: Shape, help: str) -> Key:
    return Key(name, CURVE, target, reader=shape.read, help=help)


NONE: "dict[str, int | bool | None]" = {"none": None}
AUTO: "dict[str, int | bool | None]" = {"auto": None}

_CELL_CHARGE = Shape(1500, 4500, FALLS, ends_at_zero=True)
_CELL_DISCHARGE = Shape(1500, 4500, RISES, starts_at_zero=True)
_CHARGE_TEMP = Shape(-40000, 120000, HUMP, starts_at_zero=True, ends_at_zero=True)
_DISCHARGE_TEMP = Shape(-40000, 120000, HUMP, ends_at_zero=True)
_MOSFET = Shape(-40000, 150000, FALLS, ends_at_zero=True)
_SOC_CHARGE = Shape(0, 1000, FALLS, x_scale=10, may_be_off=True)
_SOC_DISCHARGE = Shape(0, 1000, RISES, x_scale=10, may_be_off=True)

# What decides a unit's limits and its life; profiles, batteries and `bank:` may set them.
LIMIT_KEYS: tuple[Key, ...] = (
    Key("c_rate", MILLI, "c_rate_permille", low=10, high=20000, unit="C", words=NONE,
        help="current limit as a share of the capacity per hour"),
    Key("trip_margin_percent", MILLI, "trip_margin_permille", 900, scale=10, low=100, high=1000,
        unit="%", help="used share of a BMS limit that is a trip threshold"),
    Key("cell_cv_max_v", MILLI, "cell_cv_max_mv", 3500, low=1500, high=4500, unit="V",
        help="no cell is to be charged above this"),
    Key("cell_floor_v", MILLI, "cell_floor_mv", 3300, low=1500, high=4500, unit="V",
        help="the charge voltage never goes below this for each cell"),
    Key("cell_dvl_v", MILLI, "cell_dvl_mv", 2900, low=1500, high=4500, unit="V",
        help="lowest discharge voltage asked for, for each cell"),
    _curve("charge_by_cell_v", "charge_cell", _CELL_CHARGE,
           "share of the charge limit by the highest cell"),
    _curve("discharge_by_cell_v", "discharge_cell", _CELL_DISCHARGE,
           "share of the discharge limit by the lowest cell"),
    _curve("charge_by_temp_c", "charge_temperature", _CHARGE_TEMP,
           "share of the charge limit by the coldest and the hottest cell"),
    _curve("discharge_by_temp_c", "discharge_temperature", _DISCHARGE_TEMP,
           "share of the discharge limit by the coldest and the hottest cell"),
    _curve("by_mosfet_c", "mosfet", _MOSFET, "share of both limits by the switch's temperature"),
    _curve("charge_by_soc_percent", "charge_soc", _SOC_CHARGE,
           "share of the charge limit by SOC; [] is off"),
    _curve("discharge_by_soc_percent", "discharge_soc", _SOC_DISCHARGE,
           "share of the discharge limit by SOC, while the lowest cell is below 3.2 V; [] is off"),
    _seconds("fresh_s", "fresh_ms", None, 100, 120_000,
             "how old a frame may be; auto: 3 polls, at least 10 s"),
    _seconds("hold_s", "hold_ms", 60_000, 100, 600_000, "how long a silent unit's limits fade"),
    _seconds("retire_s", "retire_ms", 1_800_000, 200, 604_800_000,
             "how long a silent unit is waited for"),
    Key("retire", CHOICE, "retire_auto", "acknowledge", choices=("acknowledge", "auto"),
        help="who takes a retired unit out of the account: a person, or time alone"),
)  # fmt: skip

_PROFILE_BAUD = Key(
    "baud",
    INT,
    reader=_read_baud,
    expect=_SPEEDS,
    unit="baud",
    help="of the line, where the link says none",
)

# What a profile says about one unit, and a battery may override in place.
UNIT_KEYS: tuple[Key, ...] = (
    Key("chemistry", CHOICE, default="lfp", choices=("lfp", "li_ion", "lto"),
        help="for people; the curves are what counts"),
    Key("cells", INT, default=16, low=1, high=32, words=AUTO,
        help="cells in series; auto: what the unit's own settings say"),
    Key("capacity_ah", MILLI, "capacity_mah", low=100, high=5_000_000, unit="Ah", words=AUTO,
        help="design capacity; auto: what the unit says"),
    Key("max_charge_a", MILLI, "max_charge_ma", low=0, high=2_000_000, unit="A", words=NONE,
        help="charge limit of the unit"),
    Key("max_discharge_a", MILLI, "max_discharge_ma", low=0, high=2_000_000, unit="A", words=NONE,
        help="discharge limit of the unit"),
    Key("charge_voltage_v", MILLI, "charge_voltage_mv", low=1000, high=150_000, unit="V",
        words=AUTO, help="of the pack; auto: cells x 3.45"),
    Key("mosfet_sensor", CHOICE, "mosfet_present", "present", choices=("present", "absent"),
        help="absent: the unit reports no switch temperature"),
    *LIMIT_KEYS,
    _seconds("poll_s", "poll_ms", 1000, 0, 300_000, "time between polls; 0: back to back"),
    _PROFILE_BAUD,
    Key("gap_ms", MILLI, "gap_us", low=0, high=10_000_000, unit="ms", words={T35: None},
        help="silence before a request; t3.5: 3.5 characters, 1.75 ms above 19200 baud"),
    Key("reply_timeout_ms", INT, default=150, low=5, high=10_000, unit="ms",
        help="for the first byte, after the request's own time on the wire"),
    Key("slow_timeout_ms", INT, low=5, high=10_000, unit="ms",
        help="the same for settings and info; unset: reply_timeout_ms"),
    Key("silence_ms", INT, default=50, low=1, high=5000, unit="ms",
        help="an unfinished answer is given up after this much silence"),
)  # fmt: skip

NAME_KEY = Key(
    "name", TEXT, reader=_read_name, expect=_NAMES, required=True, help="unique; shown everywhere"
)
BATTERY_KEYS: tuple[Key, ...] = (
    NAME_KEY,
    Key("profile", TEXT, reader=_read_profile_name, expect=_PROFILES, required=True,
        help="file in profiles/battery/"),
    Key("link", TEXT, reader=_read_name, expect=_NAMES, required=True, help="one of links"),
    Key("slot", INT, low=0, high=MOST_UNITS - 1,
        help="address told to the inverter with present: units; unset: its place in the list"),
    _text("serial", "the enrolled serial number; unset: the first one seen", low=1, high=40),
    Key("enabled", BOOL, default=True, help="false: counts for nothing"),
)  # fmt: skip

# What stands at the top of a profile besides the keys of its kind.
PROFILE_KEYS: tuple[Key, ...] = (
    Key(
        "extends",
        TEXT,
        reader=_read_profile_name,
        expect=_PROFILES,
        help="the profile this one changes",
    ),
    Key("protocol", TEXT, help="the driver, see `vbms drivers`"),
    Key("title", TEXT, reader=_read_label, expect=_LABELS, help="for people"),
)
PROTOCOL_KEY = PROFILE_KEYS[1]

INVERTER_KEYS: tuple[Key, ...] = (
    Key("present", CHOICE, default="bank", choices=("bank", "units", "shards"),
        help="what the inverter sees: one battery, each unit, or one battery in parts"),
    Key("shards", INT, low=1, high=MOST_UNITS, words=AUTO,
        help="addresses that share the bank; auto: as few as the registers allow; 1: never more"),
    Key("turnaround_ms", MILLI, "turnaround_us", low=0, high=100_000, unit="ms", words={T35: None},
        help="silence before an answer; t3.5: 3.5 characters"),
    Key("silent_after_s", MILLI, "silent_after_ms", 30_000, low=0, high=140_000, unit="s",
        help="time at limit 0 without fresh data before nothing is answered"),
    _PROFILE_BAUD,
)  # fmt: skip
OUTPUT_KEYS: tuple[Key, ...] = (
    NAME_KEY,
    Key(
        "profile",
        TEXT,
        reader=_read_profile_name,
        expect=_PROFILES,
        required=True,
        help="file in profiles/inverter/",
    ),
    Key("link", TEXT, reader=_read_name, expect=_NAMES, required=True, help="one of links"),
)

_BAUD = Key(
    "baud",
    INT,
    reader=_read_baud,
    expect=_SPEEDS,
    unit="baud",
    help="unset: what the profiles on it say",
)
LINK_KEYS: dict[str, tuple[Key, ...]] = {
    "serial": (
        Key("port", TEXT, reader=_read_path, expect=_PATHS, required=True, help="best one in /dev/serial/by-id/"),
        _BAUD,
    ),
    "tcp": (
        Key("host", TEXT, reader=_read_host, expect=_HOSTS, required=True, help="a serial-to-Ethernet gateway"),
        Key("port", INT, "tcp_port", required=True, low=1, high=65535, help="TCP port"),
        _BAUD,
    ),
    "simulate": (_BAUD,),
    "ble": (_text("adapter", "Bluetooth adapter", default="hci0", low=1, high=40),),
    "can": (
        _text("interface", "as python-can names it", default="socketcan", low=1, high=40),
        Key("channel", TEXT, reader=_read_path, expect=_PATHS, required=True, help="can0, or a port for slcan"),
        Key("bitrate", INT, default=500_000, low=10_000, high=1_000_000, unit="bit/s",
            help="500000 for inverters"),
    ),
}  # fmt: skip
LINK_ROWS = (Key("kind", CHOICE, choices=LINK_KINDS, required=True, help="what the line is"),)

SITE_KEYS: tuple[Key, ...] = (
    Key(
        "name", TEXT, default="vbms", reader=_read_label, expect=_LABELS, help="of the installation"
    ),
)
BANK_KEYS: tuple[Key, ...] = (
    Key("name", TEXT, default="bank", reader=_read_name, expect=_NAMES, help="of the merged battery"),
    Key("max_charge_a", MILLI, "max_charge_ma", low=0, high=20_000_000, unit="A", words=NONE,
        help="cap for cables and busbars"),
    Key("max_discharge_a", MILLI, "max_discharge_ma", low=0, high=20_000_000, unit="A", words=NONE,
        help="cap for cables and busbars"),
    Key("min_fresh", INT, default=1, low=1, high=99,
        help="units that must be fresh to start without the others"),
    Key("start_s", MILLI, "start_ms", 60_000, low=0, high=600_000, unit="s",
        help="how long the others are waited for at start"),
    Key("steady_s", MILLI, "steady_ms", 5000, low=0, high=60_000, unit="s",
        help="how long all must be well before the inverter is answered"),
)  # fmt: skip
WEB_KEYS: tuple[Key, ...] = (
    Key(
        "listen",
        TEXT,
        reader=_read_listen,
        expect=_LISTENS,
        help="ADDRESS:PORT; any but loopback needs a token",
    ),
    _text("token", "asked for by every change, and by all of it from another machine", low=1),
)
LISTEN = ("127.0.0.1", 8080)  # where nothing is said
WEB_HOST = Key(
    "hosts", TEXT, reader=_read_host, expect=_HOSTS, help="further names this site is reached by"
)
MQTT_KEYS: tuple[Key, ...] = (
    Key("url", TEXT, reader=_read_broker, expect=_BROKERS, required=True, help="mqtt://HOST:PORT"),
    _text("topic", "begins every topic", default="vbms", low=1, high=100),
    _text("username", "for the broker"),
    _text("password", "for the broker"),
)
HISTORY_KEYS: tuple[Key, ...] = (
    Key(
        "path",
        TEXT,
        default="vbms.db",
        reader=_read_path,
        expect=_PATHS,
        help="relative to state_dir",
    ),
)
SIMULATE_KEYS: tuple[Key, ...] = (
    Key("seed", INT, default=1, low=0, high=0xFFFF_FFFF, help="the same seed, the same world"),
    Key("speed", INT, default=1, low=1, high=1000, help="how fast its time runs"),
)
FAULT_KEYS: tuple[Key, ...] = (
    Key(
        "unit",
        TEXT,
        reader=_read_name,
        expect=_NAMES,
        required=True,
        help="a battery on a simulated link",
    ),
    Key("fault", CHOICE, choices=FAULTS, required=True, help="what goes wrong"),
    Key("at_s", MILLI, "at_ms", 10_000, low=0, high=86_400_000, unit="s", help="after the start"),
    Key("for_s", MILLI, "for_ms", 60_000, low=0, high=86_400_000, unit="s", help="how long"),
)
STATE_DIR = Key(
    "state_dir", TEXT, reader=_read_path, expect=_PATHS, help="unset: $STATE_DIRECTORY, else state/"
)

# Words that become the truth of a claim in UnitProfile.
CLAIMS = {"mosfet_present": "present", "retire_auto": "auto"}
