"""Every documented value of a JK02 frame by name, for `vbms decode` and people; PC only.

Names are the maker's tables' in short; quantities are ints in milli-units and say so. What a value
means for the battery is `jk02.py`'s business: here a frame is shown as it is, but its passwords.
"""

from vbms.upstream import jk02, jk04
from vbms.wire.fields import Field, Table

Values = dict[str, object]

# Offsets of the 32S layout. Up to 80 the 24S layout stands 16 bytes earlier, from 146 on 32.
_LIVE = (
    ("counter", "B", 5, 1),
    ("mask", "I", 70, 1),
    ("avg_cell_mv", "H", 74, 1),
    ("delta_cell_mv", "H", 76, 1),
    ("max_cell_index", "B", 78, 1),
    ("min_cell_index", "B", 79, 1),
    ("wire_res_mohm", "32H", 80, 1),
    ("wire_alarm", "I", 146, 1),
    ("power_mw_abs", "I", 154, 1),
    ("temp1_mc", "h", 162, 100),
    ("temp2_mc", "h", 164, 100),
    ("errors", "I", 166, 1),
    ("balance_current_ma", "h", 170, 1),
    ("balance_state", "B", 172, 1),
    ("cycle_capacity_mah", "I", 186, 1),
    ("precharge", "B", 191, 1),
    ("user_alarm", "H", 192, 1),
    ("runtime_s", "I", 194, 1),
    ("charge_fet", "B", 198, 1),
    ("discharge_fet", "B", 199, 1),
    ("precharge_on", "B", 200, 1),
    ("balancer_on", "B", 201, 1),
    ("release_timers_s", "6H", 202, 1),
    ("temp_present_mask", "B", 214, 1),
    ("heating", "B", 215, 1),
    ("emergency_s", "H", 218, 1),
    ("heating_current_ma", "h", 236, 1),
    ("charger_plugged", "B", 245, 1),
    ("temp3_mc", "h", 254, 100),
    ("temp4_mc", "h", 256, 100),
    ("temp5_mc", "h", 258, 100),
    ("detail_log_count", "I", 266, 1),
    ("sleep_s", "I", 270, 1),
    ("battery_type", "B", 275, 1),
    ("charge_status_elapsed_s", "H", 278, 1),
    ("charge_status", "B", 280, 1),
    ("dry_contacts", "B", 281, 1),
)
_ONLY_32S = (
    "temp3_mc",
    "temp4_mc",
    "temp5_mc",
    "detail_log_count",
    "battery_type",
    "charge_status_elapsed_s",
    "charge_status",
    "dry_contacts",
)
_SETTINGS = (
    ("counter", "B", 5, 1),
    ("smart_sleep_mv", "I", 6, 1),
    ("cell_uvp_mv", "I", 10, 1),
    ("cell_uvpr_mv", "I", 14, 1),
    ("cell_ovp_mv", "I", 18, 1),
    ("cell_ovpr_mv", "I", 22, 1),
    ("balance_trigger_mv", "I", 26, 1),
    ("soc100_mv", "I", 30, 1),
    ("soc0_mv", "I", 34, 1),
    ("rcv_mv", "I", 38, 1),
    ("rfv_mv", "I", 42, 1),
    ("power_off_mv", "I", 46, 1),
    ("max_charge_ma", "I", 50, 1),
    ("charge_ocp_delay_s", "I", 54, 1),
    ("charge_ocp_recovery_s", "I", 58, 1),
    ("max_discharge_ma", "I", 62, 1),
    ("discharge_ocp_delay_s", "I", 66, 1),
    ("discharge_ocp_recovery_s", "I", 70, 1),
    ("scp_recovery_s", "I", 74, 1),
    ("max_balance_ma", "I", 78, 1),
    ("charge_otp_mc", "i", 82, 100),
    ("charge_otpr_mc", "i", 86, 100),
    ("discharge_otp_mc", "i", 90, 100),
    ("discharge_otpr_mc", "i", 94, 100),
    ("charge_utp_mc", "i", 98, 100),
    ("charge_utpr_mc", "i", 102, 100),
    ("mos_otp_mc", "i", 106, 100),
    ("mos_otpr_mc", "i", 110, 100),
    ("cell_count", "I", 114, 1),
    ("charge_switch", "I", 118, 1),
    ("discharge_switch", "I", 122, 1),
    ("balance_switch", "I", 126, 1),
    ("nominal_mah", "I", 130, 1),
    ("scp_delay_us", "I", 134, 1),
    ("balance_start_mv", "I", 138, 1),
)
_SETTINGS_24S = (("wire_res_mohm", "24I", 158, 1),)
_SETTINGS_32S = (
    ("wire_res_mohm", "32I", 142, 1),
    ("device_addr", "I", 270, 1),
    ("precharge_time_s", "I", 274, 1),
    ("controls", "H", 282, 1),
    ("heating_start_mc", "b", 284, 1000),
    ("heating_stop_mc", "b", 285, 1000),
    ("smart_sleep_h", "B", 286, 1),
    ("discharge_utp_mc", "b", 296, 1000),
    ("discharge_utpr_mc", "b", 297, 1000),
)
_INFO = (
    ("counter", "B", 5, 1),
    ("uptime_s", "I", 38, 1),
    ("power_on_count", "I", 42, 1),
    ("uart1_proto", "B", 184, 1),
    ("can_proto", "B", 185, 1),
    ("uart2_proto", "B", 218, 1),
    ("rcv_time_h", "B", 266, 1),
    ("rfv_time_h", "B", 267, 1),
)
_INFO_TEXTS = (
    ("model", 6, 16),
    ("hw", 22, 8),
    ("sw", 30, 8),
    ("name", 46, 16),
    ("device_passcode", 62, 16),
    ("mfg_date", 78, 8),
    ("serial", 86, 16),
    ("serial8", 86, 8),
    ("serial11", 86, 11),
    ("user_data", 102, 16),
    ("setup_passcode", 118, 16),
)
_SECRET = ("device_passcode", "setup_passcode")
_BOOLEAN = (
    "charge_fet",
    "discharge_fet",
    "precharge_on",
    "balancer_on",
    "heating",
    "charger_plugged",
    "charge_switch",
    "discharge_switch",
    "balance_switch",
)


def _table(rows: tuple[tuple[str, str, int, int], ...]) -> Table:
    return Table("<", [Field(name, kind, at, scale) for name, kind, at, scale in rows])


def _in_24s(row: tuple[str, str, int, int]) -> tuple[str, str, int, int]:
    name, kind, at, scale = row
    if name == "wire_res_mohm":
        kind = "24H"
    if name == "errors":  # two bytes, and behind the MOSFET's temperature
        return name, "H", 136, scale
    shift = 0 if at < 70 else 16 if at < 146 else 32
    return name, kind, at - shift, scale


_LIVE_TABLES = {
    32: _table(_LIVE),
    24: _table(tuple(_in_24s(row) for row in _LIVE if row[0] not in _ONLY_32S)),
}
_SETTINGS_TABLES = {32: _table(_SETTINGS + _SETTINGS_32S), 24: _table(_SETTINGS + _SETTINGS_24S)}
_INFO_TABLE = _table(_INFO)

# JK04: integers, and floats that become thousandths.
_JK04_LIVE = (("balance_state", "B", 220, 1), ("runtime_s", "I", 286, 1))
_JK04_LIVE_FLOATS = (("avg_cell_mv", 202), ("delta_cell_mv", 206), ("balance_current_ma", 222))
_JK04_SETTINGS = (("cell_count", "B", 34, 1), ("balance_switch", "B", 114, 1))
_JK04_SETTINGS_FLOATS = (
    ("power_off_mv", 38),
    ("vref_mv", 74),
    ("balance_start_mv", 98),
    ("balance_trigger_mv", 106),
    ("max_balance_ma", 110),
)
_JK04_RESISTANCES_AT = 102


def names(frame: bytes, cells: int = 32) -> Values:
    """What a checked payload of any type says, by name, beside what its Snapshot says."""
    if frame[4] == jk02.SETTINGS:
        return _tidy(_SETTINGS_TABLES[cells].read(frame))
    if frame[4] == jk02.INFO:
        return _info(frame)
    return _live(frame, cells)


def jk04_names(frame: bytes, _cells: int = 0) -> Values:
    """The same for a checked JK04 payload."""
    if frame[4] == jk02.INFO:
        return _info(frame)
    live = frame[4] == jk02.LIVE
    found = _tidy(_table(_JK04_LIVE if live else _JK04_SETTINGS).read(frame))
    for name, at in _JK04_LIVE_FLOATS if live else _JK04_SETTINGS_FLOATS:
        found[name] = _float_milli(frame, at)
    if live:
        end = _JK04_RESISTANCES_AT + 4 * len(jk04.cells(frame))
        found["wire_res_mohm"] = [
            _float_milli(frame, at) for at in range(_JK04_RESISTANCES_AT, end, 4)
        ]
    return found


def _float_milli(frame: bytes, at: int) -> int | None:
    return jk04.milli(int.from_bytes(frame[at : at + 4], "little"))


def _tidy(values: dict[str, "int | bytes | tuple[int, ...]"]) -> Values:
    found: Values = {}
    for name, value in values.items():
        found[name] = bool(value) if name in _BOOLEAN else value
        if isinstance(value, tuple):
            found[name] = list(value)
    return found


def _live(frame: bytes, cells: int) -> Values:
    raw = _LIVE_TABLES[cells].read(frame)
    found = _tidy(raw)
    mask = int.from_bytes(frame[6 + 2 * cells : 10 + 2 * cells], "little")
    resistances = raw["wire_res_mohm"]
    assert isinstance(resistances, tuple)
    found["wire_res_mohm"] = [value for index, value in enumerate(resistances) if mask >> index & 1]
    present = frame[214 if cells == 32 else 182]
    for number in range(1, 6):
        name = "temp%d_mc" % number
        if name in raw:
            value = raw[name]
            flat = number > 2 and not value
            if value == jk02.ABSENT * 100 or flat or not present >> number & 1:
                found[name] = None
    if cells == 24:
        # Old firmware has other things in this byte: only its silence can be believed.
        found["heating"] = False if not raw["heating"] else None
    else:
        dry = frame[281]
        found["dry1"] = bool(dry & 2)
        found["dry2"] = bool(dry & 4)
        del found["dry_contacts"]
    return found


def _info(frame: bytes) -> Values:
    found: Values = {}
    for name, at, size in _INFO_TEXTS:
        value = jk02.text(frame, at, size)
        found[name] = "***" if value and name in _SECRET else value
    found.update(_tidy(_INFO_TABLE.read(frame)))
    for name in ("rcv_time_h", "rfv_time_h"):
        tenths = found[name]
        assert isinstance(tenths, int)
        found[name] = tenths / 10
    return found
