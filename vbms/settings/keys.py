"""Every key of vbms.yaml and of a profile that no driver declares: one row each.

Bounds are in the program's units. Checks, messages, the JSON Schema and `vbms drivers` are made
from these rows, so a key exists in one place only.
"""

from typing import Any

from vbms.options import BOOL, CHOICE, INT, MILLI, TEXT
from vbms.settings import forms
from vbms.settings.curves import FALLS, HUMP, RISES, Shape
from vbms.settings.forms import Form
from vbms.settings.values import CURVE, LIST, Key

BATTERY, INVERTER = "battery", "inverter"  # folders of profiles/, and sides of the bank
T35 = "t3.5"  # 3.5 characters at the line's speed
LINK_KINDS = ("serial", "tcp", "simulate", "ble", "can", "mqtt", "i2c", "dummy")
FAULTS = (
    *("silence", "cut", "flip", "late", "wrong_address", "refuse", "echo", "noise", "half_frame"),
    *("overlap", "filler", "lying_cell", "frozen", "unplug", "restart"),
)
SECRET_KEYS = ("token", "password")  # never shown, however they were written
MOST_UNITS = 15  # addresses by which an inverter can tell units apart


def _formed(name: str, form: Form, help: str, **more: Any) -> Key:
    return Key(name, form[0], reader=form[1], expect=form[2], help=help, **more)


def _text(name: str, help: str, **more: Any) -> Key:
    return Key(name, TEXT, help=help, **more)


def _baud(help: str) -> Key:
    return _formed("baud", forms.BAUD, help, unit="baud")


def _seconds(name: str, target: str, default: int | None, low: int, high: int, help: str) -> Key:
    words: dict[str, int | bool | None] | None = {"auto": None} if default is None else None
    return Key(name, MILLI, target, default, low=low, high=high, unit="s", help=help, words=words)


def _curve(name: str, target: str, shape: Shape, help: str) -> Key:
    return Key(name, CURVE, target, reader=shape.read, help=help)


def _cell_mv(name: str, target: str, default: int, help: str) -> Key:
    return Key(name, MILLI, target, default, low=1500, high=4500, unit="V", help=help)


def _release(name: str, target: str, help: str) -> Key:
    return Key(name, MILLI, target, low=1500, high=4500, unit="V", help=help, words=AUTO)


def _warning(
    name: str,
    target: str,
    default: int | None,
    unit: str,
    low: int,
    high: int,
    scale: int = 1000,
    *,
    help: str,
) -> Key:
    about = {"scale": scale, "low": low, "high": high, "unit": unit, "help": help, "words": NONE}
    return Key(name, MILLI, target, default, **about)  # type: ignore[arg-type]


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
    _release("charge_release_v", "charge_release_mv",
             "a cell that stopped the charge lets it begin again below; auto: 0 % less 0.13 V"),
    _release("charge_release_loaded_v", "charge_release_loaded_mv",
             "the same while the unit is being discharged; auto: 0 % less 0.1 V"),
    _release("discharge_release_v", "discharge_release_mv",
             "a cell that stopped the discharge lets it begin again above; auto: 0 % and 0.25 V"),
    _release("discharge_release_loaded_v", "discharge_release_loaded_mv",
             "the same while the unit is being charged; auto: 0 % and 0.15 V"),
    _release("cell_empty_v", "cell_empty_mv",
             "SOC 0 is told when every unit has a cell down here; auto: 0 % and 0.05 V"),
    _release("cell_recovered_v", "cell_recovered_mv",
             "and no longer when every cell is up here; auto: 0 % and 0.2 V"),
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
    _warning("warn_sag_v", "warn_sag_mv", 100, "V", 10, 1000,
             help="warn of a cell this far under its pack's mean for 10 s"),
    _warning("warn_delta_v", "warn_delta_mv", 300, "V", 10, 2000,
             help="warn of cells this far apart within a pack"),
    _warning("warn_cell_high_v", "warn_cell_high_mv", None, "V", 1500, 4500,
             help="warn of a cell at or above"),
    _warning("warn_cell_low_v", "warn_cell_low_mv", None, "V", 1500, 4500,
             help="warn of a cell at or below"),
    _warning("warn_temp_high_c", "warn_temp_high_mc", None, "°C", -40_000, 120_000,
             help="warn of a cell at or above"),
    _warning("warn_temp_low_c", "warn_temp_low_mc", None, "°C", -40_000, 120_000,
             help="warn of a cell at or below"),
    _warning("warn_soc_low_percent", "warn_soc_low_permille", None, "%", 0, 1000, 10,
             help="warn of a SOC at or below"),
    _warning("warn_soh_low_percent", "warn_soh_low_permille", None, "%", 0, 1000, 10,
             help="warn of a SOH at or below"),
)  # fmt: skip

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
    _seconds("poll_s", "poll_ms", 1000, 0, 60_000, "time between polls; 0: back to back"),
    _baud("of the line, where the link says none"),
    Key("gap_ms", MILLI, "gap_us", low=0, high=10_000_000, unit="ms", words={T35: None},
        help="silence before a request; t3.5: 3.5 characters, 1.75 ms above 19200 baud"),
    Key("reply_timeout_ms", INT, default=150, low=5, high=10_000, unit="ms",
        help="for the first byte, after the request's own time on the wire"),
    Key("slow_timeout_ms", INT, low=5, high=10_000, unit="ms",
        help="the same for settings and info; unset: reply_timeout_ms"),
    Key("silence_ms", INT, default=50, low=1, high=5000, unit="ms",
        help="an unfinished answer is given up after this much silence"),
)  # fmt: skip

NAME_KEY = _formed("name", forms.NAME, "unique; shown everywhere", required=True)
_LINK_KEY = _formed("link", forms.NAME, "one of links", required=True)
PROTOCOL_KEY = _text("protocol", "the driver, see `vbms drivers`")

BATTERY_KEYS: tuple[Key, ...] = (
    NAME_KEY,
    _formed("profile", forms.PROFILE, "file in profiles/battery/", required=True),
    _LINK_KEY,
    Key("slot", INT, low=0, high=MOST_UNITS - 1,
        help="address told to the inverter with present: units; unset: its place in the list"),
    _text("serial", "the enrolled serial number; unset: the first one seen", low=1, high=40),
    Key("enabled", BOOL, default=True, help="false: counts for nothing"),
)  # fmt: skip

# What stands at the top of a profile besides the keys of its kind.
PROFILE_KEYS: tuple[Key, ...] = (
    _formed("extends", forms.PROFILE, "the profile this one changes"),
    PROTOCOL_KEY,
    _formed("title", forms.LABEL, "for people"),
)

OUTPUT_KEYS: tuple[Key, ...] = (
    NAME_KEY,
    _formed("profile", forms.PROFILE, "file in profiles/inverter/", required=True),
    _LINK_KEY,
    Key("share", MILLI, "share_ppht", low=1000, high=100_000, unit="%",
        help="its part of the bank's limits; unset: what the others leave, in equal parts"),
)  # fmt: skip
INVERTER_KEYS: tuple[Key, ...] = (
    Key("present", CHOICE, default="bank", choices=("bank", "units", "shards"),
        help="what the inverter sees: one battery, each unit, or one battery in parts"),
    Key("shards", INT, low=1, high=MOST_UNITS, words=AUTO,
        help="addresses that share the bank; auto: as few as the registers allow; 1: never more"),
    Key("turnaround_ms", MILLI, "turnaround_us", low=0, high=100_000, unit="ms", words={T35: None},
        help="silence before an answer; t3.5: 3.5 characters"),
    Key("silent_after_s", MILLI, "silent_after_ms", 30_000, low=0, high=140_000, unit="s",
        help="time at limit 0 without fresh data before nothing is answered"),
    _baud("of the line, where the link says none"),
)  # fmt: skip

LINK_ROWS = (Key("kind", CHOICE, choices=LINK_KINDS, required=True, help="what the line is"),)
_LINE_BAUD = _baud("unset: what the profiles on it say")
LINK_KEYS: dict[str, tuple[Key, ...]] = {
    "serial": (
        _formed("port", forms.DEVICE, "a serial port", required=True),
        _LINE_BAUD,
    ),
    "tcp": (
        _formed("host", forms.HOST, "a serial-to-Ethernet gateway", required=True),
        Key("port", INT, "tcp_port", required=True, low=1, high=65535, help="TCP port"),
        _LINE_BAUD,
    ),
    "simulate": (_LINE_BAUD,),
    "i2c": (
        Key("bus", INT, "i2c_bus", default=1, low=0, high=99,
            help="the N of /dev/i2c-N; 1 on a Raspberry Pi"),
    ),
    "dummy": (),
    "ble": (
        _text("adapter", "Bluetooth adapter", default="hci0", low=1, high=40),
        Key("connections", INT, default=8, low=1, high=40,
            help="it holds at once; more units than that take turns"),
    ),
    "can": (
        _text("interface", "as python-can names it", default="socketcan", low=1, high=40),
        _formed("channel", forms.PATH, "can0, or a port for slcan", required=True),
        Key("bitrate", INT, default=500_000, low=10_000, high=1_000_000, unit="bit/s",
            help="500000 for inverters"),
    ),
    "mqtt": (
        _formed("url", forms.BROKER, "a broker; unset: that of the mqtt: section"),
        _text("username", "for the broker"),
        _text("password", "for the broker"),
    ),
}  # fmt: skip

SITE_KEYS = (_formed("name", forms.LABEL, "of the installation", default="vbms"),)
BANK_KEYS: tuple[Key, ...] = (
    _formed("name", forms.NAME, "of the merged battery", default="bank"),
    Key("max_charge_a", MILLI, "max_charge_ma", low=0, high=20_000_000, unit="A", words=NONE,
        help="cap for cables and busbars"),
    Key("max_discharge_a", MILLI, "max_discharge_ma", low=0, high=20_000_000, unit="A", words=NONE,
        help="cap for cables and busbars"),
    Key("min_fresh", INT, default=1, low=1, high=99,
        help="units that must be fresh to start without the others"),
    _seconds("start_s", "start_ms", 60_000, 0, 600_000,
             "how long the others are waited for at start"),
    _seconds("steady_s", "steady_ms", 5000, 0, 60_000,
             "how long all must be well before the inverter is answered"),
    Key("rise_percent", MILLI, "rise_permille", 20, scale=10, low=1, high=1000, unit="%",
        help="of the bank's size: by how much a limit may rise in a second"),
    Key("shares", CHOICE, "measured_shares", "nominal", choices=("nominal", "measured"),
        help="units are weighed by capacity, or where that is more by the current they take"),
    Key("disobey", CHOICE, "disobey_silences", "silence", choices=("silence", "warn"),
        help="what an inverter hears that goes on for 3 minutes at a limit of 0"),
    Key("after_full", CHOICE, "float_holds", "float", choices=("float", "stop"),
        help="hold the float voltage, or end the charge"),
    _cell_mv("absorb_cell_v", "absorb_cell_mv", 3380, "mean cell from which absorption may begin"),
    _cell_mv("float_cell_v", "float_cell_mv", 3350, "float voltage of a cell"),
    _cell_mv("full_cell_v", "full_cell_mv", 3400,
             "mean cell of a full unit, unless charge voltage less 30 mV is lower"),
    Key("tail_percent", MILLI, "tail_permille", 50, scale=10, low=1, high=500, unit="% C",
        help="a full unit takes no more, of its capacity per hour"),
    _seconds("absorb_s", "absorb_ms", 1_800_000, 0, 86_400_000, "longest absorption"),
    _seconds("balance_s", "balance_ms", 7_200_000, 0, 86_400_000,
             "longest absorption while cells are not balanced"),
    Key("balanced_v", MILLI, "balanced_mv", 20, low=1, high=500, unit="V",
        help="cells of a unit this close together are balanced"),
    Key("rebulk_percent", MILLI, "rebulk_permille", 850, scale=10, low=0, high=1000, unit="%",
        help="SOC at which a full bank is charged again"),
    _cell_mv("rebulk_cell_v", "rebulk_cell_mv", 3300,
             "and the highest cell, at rest for a minute"),
    Key("full_days", INT, default=14, low=0, high=365, unit="days",
        help="ask for a full charge after so many days without one; 0: never"),
    _cell_mv("force_on_cell_v", "force_on_mv", 2900, "ask for charge from any source below"),
    _cell_mv("force_off_cell_v", "force_off_mv", 3100, "until the lowest cell is here again"),
    Key("force_on_percent", MILLI, "force_on_permille", 50, scale=10, low=0, high=1000, unit="%",
        help="or below this SOC"),
    Key("force_off_percent", MILLI, "force_off_permille", 100, scale=10, low=0, high=1000,
        unit="%", help="until SOC is here again"),
    Key("cable_drop_v", MILLI, "cvl_offset_mv", 0, low=0, high=2000, unit="V",
        help="added to the charge voltage, never above what cells allow"),
)  # fmt: skip
LISTEN = ("127.0.0.1", 8080)  # where nothing is said
WEB_KEYS: tuple[Key, ...] = (
    _formed("listen", forms.LISTEN, "any but a loopback address needs a token"),
    _text("token", "asked for by every change, and by all of it from another machine"),
)
WEB_HOST = _formed("hosts", forms.HOST, "a further name this site is reached by")
MQTT_KEYS: tuple[Key, ...] = (
    _formed("url", forms.BROKER, "the broker", required=True),
    _formed("topic", forms.TOPIC, "begins every topic", default="vbms"),
    _text("username", "for the broker"),
    _text("password", "for the broker"),
)
HISTORY_KEYS = (_formed("path", forms.PATH, "relative to state_dir", default="vbms.db"),)
SIMULATE_KEYS: tuple[Key, ...] = (
    Key("seed", INT, default=1, low=0, high=0xFFFF_FFFF, help="the same seed, the same world"),
    Key("speed", INT, default=1, low=1, high=1000, help="how fast its time runs"),
)
FAULT_KEYS: tuple[Key, ...] = (
    _formed("unit", forms.NAME, "a battery on a simulated link", required=True),
    Key("fault", CHOICE, choices=FAULTS, required=True, help="what goes wrong"),
    _seconds("at_s", "at_ms", 10_000, 0, 86_400_000, "after the start"),
    _seconds("for_s", "for_ms", 60_000, 0, 86_400_000, "how long"),
)
RELAY_OUTPUTS = ("gpio", "command", "simulate")
RELAY_HEAD = (
    Key("output", CHOICE, choices=RELAY_OUTPUTS, required=True, help="what drives the relay"),
)
_RELAY_ROWS: tuple[Key, ...] = (
    _formed("name", forms.NAME, "unique; shown everywhere", required=True),
    _formed("of", forms.NAME, "the battery that is charged; unset: the whole bank"),
    Key("charger_a", MILLI, "charger_ma", low=100, high=2_000_000, unit="A", required=True,
        help="what the charger gives: on only where the battery may take as much"),
    Key("charge_below_percent", MILLI, "low_permille", 800, scale=10, low=100, high=950, unit="%",
        help="after a full charge it rests until here"),
    Key("timeout_min", INT, default=210, low=1, high=2880, unit="min",
        help="a charge that takes longer is given up; counted while the relay is on"),
    Key("retry", CHOICE, "retry_daily", "manual", choices=("manual", "next_day"),
        help="after that: when a person says so, or after 24 h"),
    Key("full_cell_v", MILLI, "full_cell_mv", 3400, low=1500, high=4500, unit="V", words=NONE,
        help="full too: a cell this high and less allowed than the charger gives, for a minute"),
)  # fmt: skip
RELAY_KEYS: dict[str, tuple[Key, ...]] = {
    "gpio": (
        *_RELAY_ROWS,
        _formed("chip", forms.PATH, "as gpiodetect shows it", default="/dev/gpiochip0"),
        _formed("line", forms.GPIO_LINE, "of that chip, see gpioinfo", required=True),
        Key("active", CHOICE, "active_low", "low", choices=("low", "high"),
            help="the level that switches the relay on"),
    ),
    "command": (
        *_RELAY_ROWS,
        Key("on_command", LIST, reader=forms.read_argv, expect=forms.ARGV, required=True,
            help="run to switch on"),
        Key("off_command", LIST, reader=forms.read_argv, expect=forms.ARGV, required=True,
            help="run to switch off"),
        _seconds("command_timeout_s", "command_timeout_ms", 10_000, 100, 60_000,
                 "a command that takes longer is ended and counts as failed"),
        _seconds("repeat_s", "repeat_ms", 0, 0, 3_600_000,
                 "run the command again each so often; 0: never"),
    ),
    "simulate": _RELAY_ROWS,
}  # fmt: skip
STATE_DIR = _formed("state_dir", forms.PATH, "unset: $STATE_DIRECTORY, else state/")

# Targets that are claims, and the word that makes them true.
CLAIMS = {
    "mosfet_present": "present",
    "retire_auto": "auto",
    "retry_daily": "next_day",
    "active_low": "low",
    "measured_shares": "measured",
    "disobey_silences": "silence",
    "float_holds": "float",
}
