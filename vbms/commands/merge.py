"""`vbms merge`: what would the bank say? One JSON object a line in, one out; stateless."""

import json
import sys
from decimal import Decimal
from typing import Any

import click

from vbms.aggregate import alarms
from vbms.aggregate.member import FRESH, HOLD, LOST, RETIRED, Member, has_hole
from vbms.aggregate.merge import merge
from vbms.aggregate.profile import BankProfile, UnitProfile
from vbms.aggregate.snapshot import FIELDS, Snapshot
from vbms.aggregate.virtual import FIELDS as TOLD
from vbms.aggregate.virtual import Reason
from vbms.config import ConfigErrors, bank_overrides

_LISTS = ("cells_mv", "temps_mc")
_FLAGS = (
    "balancing",
    "ccl_is_trip",
    "dcl_is_trip",
    "charge_ok",
    "discharge_ok",
    "charge_open",
    "discharge_open",
)
_TEXTS = ("note", "serial", "model")
_WORDS = ("warnings", "protections", "criticals")
_MOST = 2**53
_OWN = ("key", "poll_ms", "fresh_ms", "alarms")


class Wrong(Exception):
    """A line that is no bank; the text names the place and what is allowed."""


@click.command()
@click.argument("file", type=click.File("r", encoding="utf-8", errors="replace"), default="-")
def command(file: Any) -> None:
    """Merge banks: a JSON object on each line of FILE (or standard input), one on each line out.

    \b
    {"now_ms": 60000, "bank": {"max_charge_a": 200}, "units": [{"key": "byd-1",
     "taken_ms": 59000, "poll_ms": 1000, "voltage_mv": 53120, "soc_permille": 600, ...}]}

    Missing keys are unknown. A line that cannot be read gives null, and exit code 1 at the end.
    """
    failed = False
    for number, line in enumerate(file, 1):
        if not line.strip():
            continue
        try:
            answer = json.dumps(
                merged(json.loads(line, parse_float=Decimal)), separators=(",", ":")
            )
        except (Wrong, ValueError, RecursionError) as error:
            click.echo(f"line {number}: {error}", err=True)
            answer = "null"
            failed = True
        sys.stdout.write(answer + "\n")
        sys.stdout.flush()
    sys.exit(1 if failed else 0)


def merged(asked: Any) -> dict[str, Any]:
    """The stateless merge of one bank, in the data model's names."""
    if not isinstance(asked, dict):
        raise Wrong("a JSON object is expected, with now_ms, bank and units")
    unknown = sorted(set(asked) - {"now_ms", "bank", "units"})
    if unknown:
        raise Wrong(f"unknown key {unknown[0]} (now_ms, bank, units)")
    now_ms = _whole(asked.get("now_ms", 0), "now_ms")
    bank, values = _bank(asked.get("bank"))
    rows = asked.get("units", [])
    if not isinstance(rows, list):
        raise Wrong("units: a list is expected")
    members = [_member(row, at, now_ms or 0, values) for at, row in enumerate(rows)]
    keys = [member.key for member in members]
    for key in keys:
        if keys.count(key) > 1:
            raise Wrong(f"units: two are called {key}")
    out = merge(members, bank)
    found: dict[str, Any] = {name: getattr(out, name) for name in TOLD}
    for name in ("cell_max_owner", "cell_min_owner"):
        if found[name] is not None:
            key, at = found[name]
            found[name] = [key, at if at >= 0 else None]
    found["reasons"] = {
        "charge": [_reason(reason) for reason in out.charge_reasons],
        "discharge": [_reason(reason) for reason in out.discharge_reasons],
    }
    return found


def _reason(reason: Reason) -> dict[str, Any]:
    return {
        "unit": reason.unit,
        "rule": reason.rule,
        "value": reason.value,
        "limit_ma": reason.limit_ma,
    }


def _bank(given: Any) -> tuple[BankProfile, dict[str, object]]:
    if given is None:
        return BankProfile(), {}
    try:
        return bank_overrides(given)
    except ConfigErrors as errors:
        raise Wrong("; ".join(f"{p.key}: {p.text}" for p in errors.problems)) from None


def _member(row: Any, at: int, now_ms: int, values: dict[str, object]) -> Member:
    where = f"units[{at}]"
    if not isinstance(row, dict):
        raise Wrong(f"{where}: a JSON object is expected")
    key = row.get("key", f"unit-{at + 1}")
    if not isinstance(key, str):
        raise Wrong(f"{where}.key: a text is expected")
    where = f"{where} ({key})"
    for name in row:
        if name not in FIELDS and name not in _OWN or name in _WORDS:
            raise Wrong(f"{where}: unknown key {name}")
    profile = UnitProfile(key, **values)
    poll_ms = _whole(row.get("poll_ms"), f"{where}.poll_ms")
    if poll_ms is not None:
        profile.poll_ms = poll_ms
    fresh_ms = _whole(row.get("fresh_ms"), f"{where}.fresh_ms")
    if fresh_ms is not None:
        profile.fresh_ms = fresh_ms
    # A limit that is named but null is one that the BMS should state and does not: 0, not absent.
    profile.declares_ccl = "ccl_ma" in row and row["ccl_ma"] is None
    profile.declares_dcl = "dcl_ma" in row and row["dcl_ma"] is None
    member = Member(profile)
    snap = _snapshot(row, where)
    if snap.taken_ms is None:
        member.state = LOST
        return member
    age = max(0, now_ms - snap.taken_ms)
    member.age_ms = age
    member.sensor_lost = has_hole(snap)
    member.take(snap)
    if age <= member.fresh_ms:
        member.state = FRESH
    elif age <= profile.hold_ms:
        member.state = HOLD
    else:
        member.state = LOST if age <= profile.retire_ms else RETIRED
    return member


def _snapshot(row: dict[str, Any], where: str) -> Snapshot:
    snap = Snapshot()
    for name in FIELDS:
        value = row.get(name)
        if name in _WORDS or value is None:
            continue
        place = f"{where}.{name}"
        if name in _LISTS:
            if not isinstance(value, list):
                raise Wrong(f"{place}: a list of whole numbers is expected")
            setattr(snap, name, tuple([_whole(item, place) for item in value]))
        elif name in _FLAGS:
            if not isinstance(value, bool):
                raise Wrong(f"{place}: true, false or null is expected")
            setattr(snap, name, value)
        elif name in _TEXTS:
            setattr(snap, name, str(value))
        else:
            setattr(snap, name, _whole(value, place))
    told = row.get("alarms") or {}
    if not isinstance(told, dict):
        raise Wrong(f"{where}.alarms: an object of names and levels is expected")
    for name, level in told.items():
        if name not in alarms.NAMES:
            raise Wrong(f"{where}.alarms: unknown alarm {name}")
        if type(level) is not int or not 0 <= level <= 3:
            raise Wrong(f"{where}.alarms.{name}: a level of 0 to 3 is expected")
        if level:
            word = _WORDS[level - 1]
            setattr(snap, word, getattr(snap, word) | 1 << alarms.NAMES.index(name))
    return snap


def _whole(value: Any, where: str) -> int | None:
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int):
        raise Wrong(f"{where}: a whole number is expected, in milli-units")
    if not -_MOST <= value <= _MOST:
        raise Wrong(f"{where}: that is beyond all batteries")
    return value
