"""Checked values to the objects that the program works with."""

from collections.abc import Mapping as AnyMapping
from collections.abc import Sequence
from typing import TYPE_CHECKING, cast

from vbms.aggregate.profile import RELEASES, WARNINGS, BankProfile, UnitProfile
from vbms.integers import ceil_div
from vbms.options import Option
from vbms.settings import keys, rules, shapes
from vbms.settings.drivers import Driver
from vbms.settings.text import Listing, Mapping, Node
from vbms.settings.values import Given, Key, number

if TYPE_CHECKING:
    from vbms.settings.entries import Entry
    from vbms.settings.lines import Line

# Above 19200 baud 3.5 characters count as 1.75 ms (Modbus over serial line V1.02, 2.5.1.1).
_T35_FAST_US = 1750
_T35_FAST_ABOVE = 19200

# Target of a release: the curve it belongs to, and how far it lies from that curve's 0 in mV. For
# LFP's curves: 3450, 3480, 3050, 2950, 2850 and 3000 mV, as docs/merging.md has them.
_RELEASED = dict(
    zip(
        RELEASES,
        (
            ("charge_cell", -130),
            ("charge_cell", -100),
            ("discharge_cell", 250),
            ("discharge_cell", 150),
            ("discharge_cell", 50),
            ("discharge_cell", 200),
        ),
        strict=True,
    )
)


def t35_us(baud: int | None) -> int:
    """3.5 characters of 10 bits at this speed, rounded up; 0 where there is no speed."""
    if not baud:
        return 0
    return _T35_FAST_US if baud > _T35_FAST_ABOVE else ceil_div(35_000_000, baud)


def values_of(
    rows: Sequence[Option], given: "AnyMapping[str, Given] | None"
) -> "dict[str, object]":
    """Values by target, each row's default where nothing was given."""
    found: dict[str, object] = {}
    for row in rows:
        one = (given or {}).get(row.name)
        target = row.target if isinstance(row, Key) else row.name
        value = rules.default_of(row) if one is None else one.value
        if target in keys.CLAIMS:
            value = value == keys.CLAIMS[target]
        found[target] = value
    return found


def link(line: "Line", mqtt: shapes.MqttSettings | None) -> shapes.LinkSettings:
    """`mqtt`: the broker of a link that names none."""
    made: dict[str, object] = dict.fromkeys(shapes.LinkSettings.__slots__)
    made |= values_of(keys.LINK_KEYS[line.kind], line.values)
    made |= {"name": line.name, "kind": line.kind, "baud": line.baud}
    if line.kind == "mqtt" and made["url"] is None and mqtt is not None:
        made |= {"url": mqtt.url, "username": mqtt.username, "password": mqtt.password}
    return shapes.LinkSettings(**made)


def battery(at: int, entry: "Entry", baud: int | None) -> shapes.BatterySettings:
    """`at`: its place in the list; `baud`: its line's."""
    known, profile = entry.driver, entry.profile
    assert known is not None and profile is not None
    values = values_of(keys.UNIT_KEYS, entry.values)
    gap, reply = values["gap_us"], values["reply_timeout_ms"]
    slow, slot = values["slow_timeout_ms"], entry.value("slot")
    options = values_of(known.options, entry.values)
    return shapes.BatterySettings(
        name=entry.text("name"),
        profile_name=profile.name,
        protocol=known.protocol,
        link=entry.text("link"),
        address=options.get("address"),
        options=options,
        unit=_unit(known, entry, values),
        timing=shapes.Timing(
            gap_us=t35_us(baud) if gap is None else gap,
            reply_timeout_ms=reply,
            slow_timeout_ms=reply if slow is None else slow,
            silence_ms=values["silence_ms"],
            poll_ms=values["poll_ms"],
        ),
        slot=at if slot is None else slot,
        chemistry=values["chemistry"],
    )


def _unit(known: Driver, entry: "Entry", values: "dict[str, object]") -> UnitProfile:
    declares = known.declared(values_of(known.options, entry.values))
    return UnitProfile(
        entry.text("name"),
        enabled=entry.value("enabled", True),
        serial=entry.value("serial"),
        declares_ccl="ccl_ma" in declares,
        declares_dcl="dcl_ma" in declares,
        needs_settings=known.needs_settings,
        **_released(values),
    )


def _released(values: "dict[str, object]") -> "dict[str, object]":
    """With each release that nobody states where its curve's 0 puts it."""
    found = of_unit(values)
    for name, (curve, by) in _RELEASED.items():
        if values[name] is None:
            points = cast("tuple[tuple[int, int], ...]", values[curve])
            zeros = [x for x, share in points if share == 0]
            found[name] = (min(zeros) if by < 0 else max(zeros)) + by
    return found


def of_unit(values: "dict[str, object]") -> "dict[str, object]":
    """Those that a UnitProfile holds."""
    known = (*UnitProfile.__slots__, *WARNINGS, *RELEASES)
    return {name: value for name, value in values.items() if name in known}


def inverter(entry: "Entry", baud: int | None, share_ppht: int) -> shapes.InverterSettings:
    """`baud`: its line's."""
    known, profile = entry.driver, entry.profile
    assert known is not None and profile is not None
    values = values_of(keys.INVERTER_KEYS, entry.values)
    turnaround = values["turnaround_us"]
    return shapes.InverterSettings(
        name=entry.text("name"),
        profile_name=profile.name,
        protocol=known.protocol,
        link=entry.text("link"),
        present=values["present"],
        shards=values["shards"],
        share_ppht=share_ppht,
        turnaround_us=t35_us(baud) if turnaround is None else turnaround,
        silent_after_ms=values["silent_after_ms"],
        options=values_of(known.options, entry.values),
    )


def bank(given: "AnyMapping[str, Given]") -> BankProfile:
    values = values_of(keys.BANK_KEYS, given)
    return BankProfile(cast(str, values.pop("name")), **values)


def relay(output: str, given: "AnyMapping[str, Given]") -> shapes.RelaySettings:
    made: dict[str, object] = dict.fromkeys(shapes.RelaySettings.__slots__)
    made |= {"active_low": True, "on_command": (), "off_command": ()}
    made |= {"command_timeout_ms": 0, "repeat_ms": 0, "output": output}
    made |= values_of(keys.RELAY_KEYS[output], given)
    return shapes.RelaySettings(**made)


def shown_tree(node: Node, key: str = "") -> object:
    """The file as plain data for showing, secrets as ***."""
    if isinstance(node, Mapping):
        return {name: shown_tree(item, name) for name, item in node.items.items()}
    if isinstance(node, Listing):
        return [shown_tree(item, key) for item in node.items]
    if node.is_null:
        return None
    if node.secret or key in keys.SECRET_KEYS:
        return "***"
    if not node.quoted and node.text in ("true", "false"):
        return node.text == "true"
    exact = number(node)
    if exact is not None:
        return int(exact) if exact == exact.to_integral_value() else float(exact)
    scheme, mark, rest = node.text.partition("://")
    if mark and "@" in rest:
        return f"{scheme}://***@{rest.rpartition('@')[2]}"
    return node.text
