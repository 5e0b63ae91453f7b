"""What holds for every CAN protocol and any battery: never told better than it is, never a lie."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.downstream.batteries import healthy
from vbms.aggregate.virtual import VirtualBattery
from vbms.downstream import byd_can, pylontech_can, pylontech_hv_can
from vbms.downstream.can_frames import FLAVOURS
from vbms.errors import ConfigError, FrameError

CODECS: dict[str, tuple[Any, dict[str, Any]]] = {
    **{flavour: (pylontech_can.Codec, {"flavour": flavour}) for flavour in FLAVOURS},
    "inverted": (pylontech_can.Codec, {"invert_current": True}),
    "hv": (pylontech_hv_can.Codec, {}),
    "hv_other": (
        pylontech_hv_can.Codec,
        {"byte_order": "big", "current": "signed", "equipment": 15, "invert_current": True},
    ),
    "byd": (byd_can.Codec, {}),
}
ALL = pytest.mark.parametrize("name", CODECS)

BITS = st.integers(0, (1 << 27) - 1)
MODERATE = st.integers(-200_000, 200_000)
ANY = st.one_of(MODERATE, st.integers(-(1 << 40), 1 << 40))
LIMIT = st.one_of(st.integers(0, 200), st.integers(0, 500_000), st.integers(0, 1 << 40))
OWNER = st.one_of(st.none(), st.tuples(st.text(max_size=12), st.integers(0, 31)))


def batteries(value: st.SearchStrategy[Any], known: bool = False) -> st.SearchStrategy[Any]:
    one = value if known else st.one_of(st.none(), value)
    return st.builds(
        VirtualBattery,
        voltage_mv=one,
        current_ma=one,
        soc_permille=one if not known else st.integers(0, 1000),
        soh_permille=st.one_of(st.none(), ANY),
        capacity_mah=st.one_of(st.none(), st.integers(0, 1 << 40)),
        design_mah=st.one_of(st.none(), st.integers(0, 1 << 40)),
        remaining_mah=st.one_of(st.none(), st.integers(0, 1 << 40)),
        cell_max_mv=one,
        cell_max_owner=OWNER,
        cell_min_mv=one,
        cell_min_owner=OWNER,
        temp_max_mc=one,
        temp_min_mc=one,
        temp_mean_mc=one,
        cycles_count=st.one_of(st.none(), st.integers(0, 1 << 40)),
        dvl_mv=one,
        cvl_mv=one,
        charge_limit_ma=LIMIT,
        discharge_limit_ma=LIMIT,
        charge_enabled=st.booleans(),
        discharge_enabled=st.booleans(),
        force_charge=st.booleans(),
        full_charge_request=st.booleans(),
        n_total=st.integers(0, 99),
        n_fresh=st.integers(0, 99),
        warnings=BITS,
        protections=BITS,
        criticals=BITS,
    )


# Values as a battery has them, so that most are told; and anything at all.
REAL = st.builds(
    healthy,
    voltage_mv=st.integers(40_000, 60_000),
    current_ma=st.integers(-400_000, 400_000),
    soc_permille=st.integers(0, 1000),
    cell_max_mv=st.integers(3000, 3700),
    cell_min_mv=st.integers(2500, 3500),
    temp_max_mc=st.integers(-20_000, 70_000),
    temp_min_mc=st.integers(-30_000, 60_000),
    temp_mean_mc=st.integers(-30_000, 60_000),
    capacity_mah=st.integers(0, 9_000_000),
    cvl_mv=st.integers(41_000, 58_400),
    dvl_mv=st.integers(40_000, 48_000),
    charge_limit_ma=LIMIT,
    discharge_limit_ma=LIMIT,
    warnings=BITS,
    protections=BITS,
    criticals=BITS,
    n_total=st.integers(0, 300),
    n_fresh=st.integers(0, 300),
)
BATTERY = st.one_of(REAL, batteries(MODERATE, known=True), batteries(ANY))


def understood(codec: Any, battery: VirtualBattery) -> dict[str, Any]:
    """What an inverter knows after the whole set; empty after silence."""
    found: dict[str, Any] = {}
    for can_id, data in codec.messages(battery):
        assert len(data) == 8
        found.update(codec.read((can_id, data)))
    return found


@ALL
@given(battery=BATTERY)
def test_never_more_permissive_than_the_bank(name: str, battery: VirtualBattery) -> None:
    make, options = CODECS[name]
    said = understood(make(**options), battery)
    if not said:
        return
    assert 0 <= said["charge_limit_ma"] <= battery.charge_limit_ma
    assert 0 <= said["discharge_limit_ma"] <= battery.discharge_limit_ma
    assert battery.cvl_mv is not None
    assert 0 < said["cvl_mv"] <= battery.cvl_mv
    assert battery.dvl_mv is not None
    assert said["dvl_mv"] >= battery.dvl_mv
    for field, worse in (("cell_max_mv", 1), ("temp_max_mc", 1), ("cell_min_mv", -1)):
        if field in said:
            assert (said[field] - getattr(battery, field)) * worse >= 0, field
    if "temp_min_mc" in said:
        assert battery.temp_min_mc is not None
        assert said["temp_min_mc"] <= battery.temp_min_mc
    if "charge_enabled" in said:
        assert said["charge_enabled"] == (said["charge_limit_ma"] > 0)
        assert said["discharge_enabled"] == (said["discharge_limit_ma"] > 0)
        assert battery.charge_enabled or not said["charge_enabled"]
        assert battery.discharge_enabled or not said["discharge_enabled"]
    if said.get("force_charge_1") or said.get("force_charge"):
        assert battery.force_charge
        assert said["charge_limit_ma"] > 0
    assert battery.soc_permille is not None
    assert 0 <= said["soc_permille"] <= max(0, battery.soc_permille)
    if "capacity_mah" in said:
        full = battery.capacity_mah if battery.capacity_mah is not None else battery.design_mah
        assert said["capacity_mah"] <= (full or 0)
    if "remaining_mah" in said and battery.remaining_mah is not None:
        assert said["remaining_mah"] <= battery.remaining_mah
    assert battery.current_ma is not None
    assert abs(said["current_ma"]) <= abs(battery.current_ma)
    assert said["current_ma"] * battery.current_ma >= 0


@ALL
@given(battery=REAL)
def test_a_battery_as_they_are_is_told(name: str, battery: VirtualBattery) -> None:
    make, options = CODECS[name]
    codec = make(**options)
    said = understood(codec, battery)
    assert said
    unit = 10 if "voltage_mv" in said and name not in ("hv", "hv_other", "byd") else 100
    assert battery.voltage_mv is not None
    assert abs(said["voltage_mv"] - battery.voltage_mv) <= unit // 2
    if battery.charge_limit_ma < 3_000_000:
        assert battery.charge_limit_ma - said["charge_limit_ma"] < 100
    else:
        assert codec.saturated["charge_limit_ma"] or said["charge_limit_ma"] > 3_000_000


@ALL
@pytest.mark.parametrize(
    "field", ["voltage_mv", "current_ma", "soc_permille", "temp_mean_mc", "cvl_mv", "dvl_mv"]
)
def test_unknown_means_silence(name: str, field: str) -> None:
    make, options = CODECS[name]
    if name == "luxpower" and field == "temp_mean_mc":
        field = "temp_max_mc"
    codec = make(**options)
    assert codec.messages(healthy(**{field: None})) == ()
    assert codec.untold.endswith(" is unknown")


@ALL
def test_a_charge_voltage_of_nothing_is_never_told(name: str) -> None:
    make, options = CODECS[name]
    for cvl_mv in (99, 0, -1):
        codec = make(**options)
        assert codec.messages(healthy(cvl_mv=cvl_mv)) == ()
        assert codec.saturated["cvl_mv"] == 1


@ALL
def test_values_beyond_their_field_saturate_and_are_counted(name: str) -> None:
    make, options = CODECS[name]
    codec = make(**options)
    battery = healthy(charge_limit_ma=9_000_000, current_ma=-9_000_000)
    assert understood(codec, battery)["charge_limit_ma"] >= 3_276_700
    assert codec.saturated["charge_limit_ma"] == 1
    assert codec.saturated["current_ma"] == 1


def test_a_sunny_island_is_told_nothing_that_it_would_have_to_take_for_more() -> None:
    codec = pylontech_can.Codec(flavour="sma")
    assert understood(codec, healthy(cvl_mv=70_000))["cvl_mv"] == 63_000
    assert understood(codec, healthy(dvl_mv=30_000))["dvl_mv"] == 41_000
    assert codec.messages(healthy(cvl_mv=40_900)) == ()
    assert codec.untold == "cvl_mv is 40900, not 41000..63000"
    assert codec.messages(healthy(dvl_mv=48_100)) == ()
    assert codec.untold == "dvl_mv is 48100, not 41000..48000"


@ALL
@given(can_id=st.integers(0, 0x1FFFFFFF), data=st.binary(max_size=12), extended=st.booleans())
def test_any_frame_is_read_or_refused(name: str, can_id: int, data: bytes, extended: bool) -> None:
    make, options = CODECS[name]
    codec = make(**options)
    known = [told for told, _ in codec.messages(healthy())]
    for one in (can_id, known[can_id % len(known)], 0x305, 0x300, 0x151, 0x4200):
        try:
            codec.read((one, data))
        except FrameError as error:
            assert str(error).split(":")[0] in ("marker", "truncated", "length", "payload")
        codec.heard(one, data, extended)
        codec.shuts_down(one, data, extended)


def test_only_flavours_that_can_be_told_are_offered() -> None:
    with pytest.raises(ConfigError, match="flavour"):
        pylontech_can.Codec(flavour="other")
    assert pylontech_can.Codec(flavour="solark").messages(healthy()) == ()
    with pytest.raises(ConfigError, match="equipment"):
        pylontech_hv_can.Codec(equipment=16)
