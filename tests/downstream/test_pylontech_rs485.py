"""The Pylontech codec: never more permissive than the bank, and the page's table of bad requests.

What an inverter understands is worked out by the simulated inverter's reader, which shares no code
with the codec.
"""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.downstream.modules import group, module
from vbms.aggregate import alarms
from vbms.aggregate.modules import Group, Module
from vbms.aggregate.profile import UnitProfile
from vbms.aggregate.virtual import FIELDS, VirtualBattery
from vbms.downstream.pylontech_rs485 import BAUD, OPTIONS, Codec
from vbms.errors import ConfigError, FrameError, RefusedError
from vbms.simulate import pylontech_checks as far

HUGE = st.integers(-(2**31), 2**31)
SMALL = st.integers(-5000, 200000)
VALUE = st.one_of(st.none(), SMALL, HUGE)
LIMIT = st.one_of(st.integers(0, 300000), st.integers(0, 2**31))


def info(codec: Codec, command: int, battery: VirtualBattery, number: str = "") -> bytes | None:
    """INFO of the answer, checked as an inverter would."""
    request = far.frame(0x20, codec.address, command, number)
    assert codec.take(request) == (len(request), request)
    answer = codec.answer(request, battery)
    if answer is None:
        return None
    assert far.check_frame(codec.address, answer) == []
    said = codec.read(answer)
    assert codec.read(request + answer)["address"] == said["address"] == codec.address
    return far.info_of(answer)


@st.composite
def batteries(draw: st.DrawFn) -> Group:
    """Banks of one to three batteries with any values at all, half of them with some that fit."""
    known = st.one_of(SMALL, HUGE)
    value = VALUE
    if draw(st.booleans()):
        known = value = st.integers(1, 30000)
    every = []
    for _ in range(draw(st.integers(1, 3))):
        cells = draw(st.lists(known, min_size=1, max_size=17))
        temps = draw(st.lists(known, min_size=1, max_size=6))
        unit = module(tuple(cells), tuple(temps), UnitProfile("unit", cells=len(cells)))
        for name in ("current_ma", "voltage_mv", "capacity_mah", "remaining_mah", "mosfet_max_mc"):
            setattr(unit, name, draw(value))
        unit.charge_limit_ma, unit.discharge_limit_ma = draw(LIMIT), draw(LIMIT)
        every.append(unit)
    values: dict[str, Any] = {
        name: draw(value)
        for name in FIELDS
        if name.endswith(("_mv", "_ma", "_mc", "_mah", "_permille"))
    }
    values["cvl_mv"] = draw(value)
    values["charge_limit_ma"], values["discharge_limit_ma"] = draw(LIMIT), draw(LIMIT)
    values["cycles_count"] = draw(value)
    return group(*every, **values)


def is_careful(bank: VirtualBattery, told: far.Limits) -> None:
    assert 0 <= told.charge_a * 1000 <= bank.charge_limit_ma
    assert 0 <= told.discharge_a * 1000 <= bank.discharge_limit_ma
    assert told.may_charge == (told.charge_a > 0)
    assert told.may_discharge == (told.discharge_a > 0)
    assert bank.cvl_mv is not None and 0 < round(told.charge_v * 1000) <= bank.cvl_mv
    assert bank.dvl_mv is not None
    # A voltage that no field can hold: then nothing may be discharged.
    assert round(told.discharge_v * 1000) >= bank.dvl_mv or not told.may_discharge


@given(batteries(), st.sampled_from(["0.01 A", "0.1 A"]), st.sampled_from(["units", "bank"]))
def test_never_more_permissive_than_the_bank(bank: Group, scale: str, shown: str) -> None:
    codec = Codec(limit_scale=scale, modules=shown)
    found = info(codec, 0x63, bank)
    assert (found is None) == (bank.cvl_mv is None or bank.cvl_mv <= 0 or bank.dvl_mv is None)
    if found is not None:
        told = far.read_limits(found, 100 if scale == "0.01 A" else 10)
        assert told is not None
        is_careful(bank, told)
        allowed = told.may_charge or told.may_discharge
        analog = info(codec, 0x61, bank)
        if allowed and analog is not None:
            seen = far.read_analog(analog)
            assert seen is not None
            assert round(seen.cell_max_v * 1000) >= (bank.cell_max_mv or 0)
            assert round(seen.cell_min_v * 1000) <= max(bank.cell_min_mv or 0, 0)
            assert round(seen.temps_c[1] * 1000) >= (bank.temp_max_mc or -273100)
            assert round(seen.temps_c[2] * 1000) <= (bank.temp_min_mc or 0)
            assert seen.soc <= 100 and seen.soh <= 100
            assert seen.soc * 10 <= max(bank.soc_permille or 0, 0)
    parts = []
    modules = {2: bank} if shown == "bank" else {2 + n: one for n, one in bank.modules.items()}
    for number, one in modules.items():
        at = codec if number == 2 else Codec(address=number)
        battery: Module = bank if number == 2 else one
        found = info(at, 0x92, battery, f"{number:02X}")
        if found is not None:
            part = far.read_unit_limits(found)
            assert part is not None
            is_careful(one, part)
            parts.append(part)
    assert sum(part.charge_a for part in parts) * 1000 <= bank.charge_limit_ma
    assert sum(part.discharge_a for part in parts) * 1000 <= bank.discharge_limit_ma


@given(batteries())
def test_modules_show_what_they_are(bank: Group) -> None:
    codec = Codec()
    known = []
    for number, one in bank.modules.items():
        found = info(codec if not number else Codec(address=2 + number), 0x42,
                     bank if not number else one, f"{2 + number:02X}")  # fmt: skip
        if found is None:
            assert None in (one.current_ma, one.voltage_mv, one.capacity_mah) or (
                (one.capacity_mah or 0) < 0 or one.remaining_mah is None
            )
            continue
        units = far.read_units(found, one=True)
        assert units is not None and found[1] == 2 + number
        known.append(units[0])
        cells = [round(cell * 1000) for cell in units[0].cells_v]
        assert one.cells_mv is not None
        assert cells == [min(max(cell, -32768), 32767) for cell in one.cells_mv]
        assert units[0].remaining_ah <= units[0].total_ah
        assert round(units[0].total_ah * 1000) <= (one.capacity_mah or 0)
        states = info(codec if not number else Codec(address=2 + number), 0x44,
                      bank if not number else one, f"{2 + number:02X}")  # fmt: skip
        assert states is not None and len(states) == 12 + len(cells) + len(units[0].temps_c)
    every = info(codec, 0x42, bank, "FF")
    assert (every is None) == (not known)
    if every is not None:
        assert far.read_units(every, one=False) == known


def test_the_safe_side_of_every_rounding() -> None:
    bank = group(
        module(),
        voltage_mv=53120,
        current_ma=-87659,
        soc_permille=999,
        charge_limit_ma=99999,
        discharge_limit_ma=150099,
        temp_max_mc=25601,
        temp_min_mc=-1,
        temp_mean_mc=24999,
    )
    codec = Codec()
    limits = far.read_limits(info(codec, 0x63, bank) or b"")
    assert limits is not None
    assert (limits.charge_a, limits.discharge_a) == (99.9, 150.0)
    analog = far.read_analog(info(codec, 0x61, bank) or b"")
    assert analog is not None
    assert (analog.current_a, analog.soc) == (-87.65, 99)
    assert analog.temps_c[:3] == [24.9, 25.7, -0.1]
    assert codec.saturated == {}


@pytest.mark.parametrize("command", [0x63, 0x92])
def test_nothing_asks_to_be_charged_that_may_not_be(command: int) -> None:
    number = "" if command == 0x63 else "02"
    asks = 0x20 | (0x10 if command == 0x63 else 0x08)
    for limit, status in ((100000, 0xC0 | asks), (0, 0x40)):
        unit = module()
        unit.charge_limit_ma = limit
        bank = group(unit, charge_limit_ma=limit, force_charge=True, full_charge_request=True)
        told = info(Codec(), command, bank, number)
        assert told is not None and told[-1] == status


def test_what_does_not_fit_saturates_and_is_counted() -> None:
    codec = Codec()
    big = {"cvl_mv": 67040, "voltage_mv": 66000, "current_ma": 900_000}
    bank = group(module(), charge_limit_ma=7_000_000, discharge_limit_ma=8_000_000, **big)
    limits = far.read_limits(info(codec, 0x63, bank) or b"")
    assert limits is not None
    assert (limits.charge_v, limits.charge_a, limits.discharge_a) == (65.535, 6553.5, 6553.5)
    analog = far.read_analog(info(codec, 0x61, bank) or b"")
    assert analog is not None
    assert (analog.voltage_v, analog.current_a) == (65.535, 327.67)
    assert codec.saturated == {
        name: 1
        for name in ("cvl_mv", "charge_limit_ma", "discharge_limit_ma", "voltage_mv", "current_ma")
    }
    # Where the nearest word would look better than it is, nothing is allowed.
    for name, value in (("dvl_mv", 65536), ("cell_max_mv", 40000), ("cell_min_mv", -1)):
        codec = Codec()
        found = far.read_limits(info(codec, 0x63, group(module(), **{name: value})) or b"")
        assert found is not None and (found.charge_a, found.discharge_a, found.status) == (0, 0, 0)
        assert codec.saturated["limits"] == 1


@pytest.mark.parametrize("command", [0x61, 0x62, 0x63, 0x60])
def test_system_commands_are_the_masters(command: int) -> None:
    bank = group(module(), module())
    assert info(Codec(), command, bank) is not None
    request = far.frame(0x20, 3, command)
    assert Codec(address=3).answer(request, bank.modules[1]) is None
    assert Codec(group=2).answer(far.frame(0x20, 0x22, command), bank) is not None


MUST = {
    "checksum": (b"~2002466100000000\r", None),
    "lower case": (b"~200246610000fdab\r", None),
    "no end": (b"~200246610000FDAB", None),
    "other CID1": (far.frame(0x20, 2, 0x61, cid1=0x4A), None),
    "other address": (far.frame(0x20, 7, 0x42, "07"), None),
    "address 0": (far.frame(0x20, 0, 0x4F), None),
    "another's answer": (b"~20024600800800000000FC22\r", None),
    "return code": (b"~200246020000FDB0\r", None),
    "length's sum": (far.sealed("20024642000202"), 3),
    "length without INFO": (far.sealed("20024642E002"), 5),
    "INFO without length": (far.sealed("20024661000002"), 5),
    "odd INFO": (far.sealed("20024642F0010"), 5),
    "unknown": (far.frame(0x20, 2, 0x7F), 4),
    "shutdown": (far.frame(0x20, 2, 0x64), 4),
    "set limits": (far.frame(0x20, 2, 0x94, "02"), 4),
    "turn off": (far.frame(0x20, 2, 0x95, "02"), 4),
    "no module": (far.frame(0x20, 2, 0x92), 5),
    "a module for the bank": (far.frame(0x20, 2, 0x61, "02"), 5),
    "two modules": (far.frame(0x20, 2, 0x42, "0203"), 5),
    "another module": (far.frame(0x20, 2, 0x42, "05"), 6),
    "all limits": (far.frame(0x20, 2, 0x92, "FF"), 6),
}


@pytest.mark.parametrize("name", MUST)
def test_bad_requests(name: str) -> None:
    request, code = MUST[name]
    answer = Codec().answer(request, group(module()))
    if code is None:
        assert answer is None
    else:
        assert answer is not None and answer[7:9] == b"%02X" % code
        assert len(answer) == 18
        with pytest.raises(RefusedError, match="return code"):
            Codec().read(answer)


def test_all_modules_are_the_masters_to_tell() -> None:
    bank = group(module(), module())
    answer = Codec(address=3).answer(far.frame(0x20, 3, 0x42, "FF"), bank.modules[1])
    assert answer is not None and answer[7:9] == b"06"


@pytest.mark.parametrize("version", [0x00, 0x20, 0x28, 0x35])
def test_any_version_of_a_request(version: int) -> None:
    request = far.frame(version, 2, 0x63)
    answer = Codec().answer(request, group(module()))
    assert answer is not None and answer.startswith(b"~2002460")


def test_unknown_is_silence() -> None:
    codec = Codec()
    for command, name in (
        (0x61, "voltage_mv"),
        (0x61, "current_ma"),
        (0x61, "soc_permille"),
        (0x61, "cell_max_mv"),
        (0x61, "temp_min_mc"),
        (0x63, "cvl_mv"),
        (0x63, "dvl_mv"),
    ):
        assert info(codec, command, group(module(), **{name: None})) is None, name
    assert info(codec, 0x63, group(module(), cvl_mv=0)) is None
    blind = module(temps=None)
    assert info(codec, 0x42, group(blind, module()), "02") is None
    every = info(codec, 0x42, group(blind, module()), "FF")
    assert every is not None and every[1] == 1


def test_a_missing_battery_leaves_the_bank() -> None:
    """The module in slot 0 is silent: so is 02 as a module, and the bank goes on."""
    bank = group(module(), module())
    del bank.modules[0]
    codec = Codec()
    assert info(codec, 0x42, bank, "02") is None
    assert info(codec, 0x63, bank) is not None
    assert (info(codec, 0x42, bank, "FF") or b"")[1] == 1
    shown = Codec(modules="bank")
    assert info(shown, 0x92, bank, "02") is not None


def test_a_battery_beyond_the_last_address_is_in_the_bank_alone() -> None:
    bank = group(*[module() for _ in range(16)])
    codec = Codec()
    assert (info(codec, 0x60, bank) or b"")[32] == 14
    assert (info(codec, 0x42, bank, "FF") or b"")[1] == 14


@pytest.mark.parametrize("name", [name.upper() for name in alarms.NAMES])
def test_an_alarm_is_told_once_and_a_protection_where_it_acted(name: str) -> None:
    bit = getattr(alarms, name)
    told = info(Codec(), 0x62, group(module(), warnings=bit)) or b""
    assert told[2:] == b"\0\0"
    acted = info(Codec(), 0x62, group(module(), protections=bit)) or b""
    assert acted[:2] == told[:2]
    if bit & (alarms.CHARGE_ONLY | alarms.DISCHARGE_ONLY) & ~alarms.CAPACITY_LOW:
        assert told[:2] != b"\0\0" and acted[2:] != b"\0\0"


@given(st.binary(max_size=80))
def test_any_bytes(data: bytes) -> None:
    codec = Codec()
    assert codec.answer(data, group(module())) is None or data[:1] == b"~"
    try:
        codec.read(data)
    except (FrameError, RefusedError):
        pass


@given(st.binary(max_size=60), st.integers(0, 255))
def test_any_frame(payload: bytes, command: int) -> None:
    codec = Codec()
    request = far.frame(0x20, 2, command, payload.hex().upper())
    codec.answer(request, group(module()))
    try:
        codec.read(request)
    except (FrameError, RefusedError):
        pass


def test_options() -> None:
    assert BAUD == 9600
    assert {option.name for option in OPTIONS} >= {"modules", "group", "limit_scale"}
    with pytest.raises(ConfigError):
        Codec(address=1)
    with pytest.raises(ConfigError):
        Codec(address=16)
    answer = Codec(version="35").answer(far.frame(0x00, 2, 0x4F), group(module()))
    assert answer == b"~350246000000FDAC\r"
