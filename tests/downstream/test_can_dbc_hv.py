"""The high-voltage protocols read by cantools, as the 48 V flavours are in test_can_dbc.py."""

from __future__ import annotations

import re
from typing import Any

import cantools
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.downstream.batteries import healthy
from tests.downstream.test_can_dbc import FOLDER, RANGES, near
from vbms.aggregate import alarms
from vbms.aggregate.virtual import VirtualBattery
from vbms.downstream import byd_can, pylontech_hv_can

# Byte order and how a current is told are options of the protocol, and of the DBC file.
LITTLE = (FOLDER / "pylontech_hv.dbc").read_text()
BIG = re.sub(r": (\d+)\|16@1", lambda m: ": %d|16@0" % (int(m[1]) + 7), LITTLE)
SIGNED = re.compile(r"16@([01])\+ \(0\.1,-3000\)")
HV = {
    ("little", "offset"): LITTLE,
    ("big", "offset"): BIG,
    ("little", "signed"): SIGNED.sub(r"16@\1- (0.1,0)", LITTLE),
    ("big", "signed"): SIGNED.sub(r"16@\1- (0.1,0)", BIG),
}
READERS = {key: cantools.database.load_string(text, "dbc") for key, text in HV.items()}
BYD = cantools.database.load_file(FOLDER / "byd.dbc")

HIGHER: dict[str, st.SearchStrategy[Any]] = {
    "voltage_mv": st.integers(40_000, 65_000),
    "current_ma": st.integers(-2_900_000, 2_900_000),
    "capacity_mah": st.integers(1000, 6_000_000),
    "design_mah": st.integers(1000, 6_000_000),
    "remaining_mah": st.integers(0, 6_000_000),
}
REAL = st.builds(healthy, **RANGES | HIGHER)

ONE_EACH = (
    alarms.CELL_UNDERVOLTAGE,
    alarms.CELL_OVERVOLTAGE,
    alarms.PACK_UNDERVOLTAGE,
    alarms.PACK_OVERVOLTAGE,
    alarms.CHARGE_UNDERTEMPERATURE,
    alarms.CHARGE_OVERTEMPERATURE,
    alarms.DISCHARGE_UNDERTEMPERATURE,
    alarms.DISCHARGE_OVERTEMPERATURE | alarms.MOSFET_OVERTEMPERATURE,
    alarms.CHARGE_OVERCURRENT | alarms.SHORT_CIRCUIT,
    alarms.DISCHARGE_OVERCURRENT | alarms.SHORT_CIRCUIT,
)


def word(told: int) -> int:
    """Bits 0 to 9 of the page's alarm list."""
    return sum(1 << bit for bit, mask in enumerate(ONE_EACH) if told & mask)


def decoded(reader: Any, messages: Any) -> dict[str, Any]:
    """Signals by MESSAGE.SIGNAL; of what comes several times, all of them in a list."""
    found: dict[str, Any] = {}
    for can_id, data in messages:
        message = reader.get_message_by_frame_id(can_id)
        assert message.is_extended_frame == (can_id > 0x7FF) and message.length == len(data)
        for name, value in message.decode(data).items():
            if message.name == "Model":
                found.setdefault("Model." + name, []).append(value)
            else:
                found["%s.%s" % (message.name, name)] = value
    return found


def tenth(milli: int) -> Any:
    """Down to a tenth; up is minus tenth of minus."""
    return near(milli // 100 / 10)


@pytest.mark.parametrize("order, current", HV)
@given(battery=REAL, invert=st.booleans())
def test_force_h_is_what_the_bank_is(
    order: str, current: str, battery: VirtualBattery, invert: bool
) -> None:
    codec = pylontech_hv_can.Codec(byte_order=order, current=current, invert_current=invert)
    said = decoded(READERS[order, current], codec.messages(battery))
    b: Any = battery
    acted = b.protections
    charge, discharge = b.charge_limit_ma // 100, b.discharge_limit_ma // 100
    doing = 1 if b.current_ma > 500 else 2 if b.current_ma < -500 else 3
    hot, cold = near(-(-b.temp_max_mc // 100) / 10), tenth(b.temp_min_mc)
    errors = (
        (2 if acted & alarms.TEMPERATURE_SENSOR else 0)
        | (4 if acted & alarms.COMMS else 0)
        | (128 if acted & alarms.INTERNAL else 0)
    )
    expected: dict[str, Any] = {
        "System.Voltage": pytest.approx(b.voltage_mv / 1000, abs=0.051),
        "System.Current": pytest.approx(b.current_ma / 1000 * (-1 if invert else 1), abs=0.1),
        "System.Temperature": pytest.approx(b.temp_mean_mc / 1000, abs=0.051),
        "System.Soc": b.soc_permille // 10,
        "System.Soh": b.soh_permille // 10,
        "Limits.ChargeVoltage": tenth(b.cvl_mv),
        "Limits.DischargeVoltage": near(-(-b.dvl_mv // 100) / 10),
        "Limits.ChargeLimit": near(charge / 10),
        "Limits.DischargeLimit": near(discharge / 10),
        "Cells.Max": near(b.cell_max_mv / 1000),
        "Cells.Min": near(b.cell_min_mv / 1000),
        "Cells.MaxNumber": 16,
        "Cells.MinNumber": 0,
        "Temperatures.Max": hot,
        "Temperatures.Min": cold,
        "State.Doing": doing,
        "State.ForceCharge": b.force_charge and charge > 0,
        "State.Cycles": b.cycles_count,
        "State.Errors": errors,
        "State.Alarms": word(b.warnings | acted),
        "State.Protections": word(acted),
        "ModuleVoltages.Max": near(b.voltage_mv / 1000),
        "ModuleVoltages.Min": near(b.voltage_mv / 1000),
        "ModuleTemperatures.Max": hot,
        "ModuleTemperatures.Min": cold,
        "Forbidden.Charge": 0 if charge else 0xAA,
        "Forbidden.Discharge": 0 if discharge else 0xAA,
        "Ensemble.Cells": 16,
        "Ensemble.Modules": b.n_total,
        "Ensemble.CellsPerModule": 16,
        "Ensemble.Level": 51,
        "Ensemble.Capacity": b.capacity_mah // 1000,
        "Maker.Text": int.from_bytes(b"PYLON\0\0\0", "little"),
    }
    assert set(expected) < set(said)
    for name, value in said.items():
        assert value == expected.get(name, 0), name
    assert len({name.split(".")[0] for name in said}) == 13


@given(battery=REAL, invert=st.booleans())
def test_battery_box_premium_is_what_the_bank_is(battery: VirtualBattery, invert: bool) -> None:
    said = decoded(BYD, byd_can.Codec(invert_current=invert).messages(battery))
    b: Any = battery
    parts = [value.to_bytes(7, "big") for value in said.pop("Model.Text")]
    assert b"".join(parts).rstrip(b"\0") == b"Battery-Box Premium HVS"
    assert said.pop("Model.Index") == [0, 1, 2, 3]
    expected: dict[str, Any] = {
        "Identity.Firmware": 0x0329,
        "Identity.Second": 0x0066,
        "Identity.Energy": near(b.design_mah * 512 // 1_000_000 / 10),
        "Identity.Last": 0x0209,
        "Constant.Bytes": 0x063710D900000000,
        "Maker.Index": 0,
        "Maker.Text": int.from_bytes(b"BYD\0\0\0\0", "big"),
        "Limits.ChargeVoltage": tenth(b.cvl_mv),
        "Limits.DischargeVoltage": near(-(-b.dvl_mv // 100) / 10),
        "Limits.ChargeLimit": near(b.charge_limit_ma // 100 / 10),
        "Limits.DischargeLimit": near(b.discharge_limit_ma // 100 / 10),
        "Charge.Soc": near(b.soc_permille / 10),
        "Charge.Soh": near(b.soh_permille / 10),
        "Charge.Remaining": tenth(b.remaining_mah),
        "Charge.Full": tenth(b.capacity_mah),
        "Measured.Voltage": pytest.approx(b.voltage_mv / 1000, abs=0.051),
        "Measured.Current": pytest.approx(b.current_ma / 1000 * (-1 if invert else 1), abs=0.1),
        "Measured.Temperature": pytest.approx(b.temp_mean_mc / 1000, abs=0.051),
        "Measured.Constant": 0x0308,
        "Temperatures.Max": near(-(-b.temp_max_mc // 100) / 10),
        "Temperatures.Min": tenth(b.temp_min_mc),
        "Alarms.Bytes": 0x0000030000000000,
    }
    assert said == expected
