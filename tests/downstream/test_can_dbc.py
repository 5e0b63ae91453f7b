"""Every frame of every 48 V flavour, read by cantools through DBC files of their own.

The DBC files were written from the documents, and cantools knows nothing of vbms: what it reads
must be the bank's values, rounded as each may be.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import cantools
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.downstream.batteries import healthy
from vbms.aggregate import alarms
from vbms.aggregate.virtual import VirtualBattery
from vbms.downstream.can_frames import FLAVOURS
from vbms.downstream.pylontech_can import Codec

FOLDER = Path(__file__).parent / "dbc"
NAMES = {name: cantools.database.load_file(FOLDER / ("%s.dbc" % name)) for name in
         ("pylontech", "sma", "luxpower")}  # fmt: skip
OWN = {"sma": "sma", "goodwe": "sma", "luxpower": "luxpower"}


def decoded(flavour: str, battery: VirtualBattery) -> dict[str, Any]:
    """Signals by MESSAGE.SIGNAL, of the whole set; KeyError for a frame in no DBC."""
    found = {}
    for can_id, data in Codec(flavour=flavour).messages(battery):
        own = NAMES[OWN.get(flavour, "pylontech")]
        known = own if any(m.frame_id == can_id for m in own.messages) else NAMES["pylontech"]
        message = known.get_message_by_frame_id(can_id)
        assert message.length == len(data)
        for name, value in message.decode(data).items():
            found["%s.%s" % (message.name, name)] = value
    return found


def near(value: float) -> Any:
    return pytest.approx(value, abs=1e-6)


def text(value: int) -> str:
    return value.to_bytes(8, "little").decode("ascii").rstrip("\0 ")


# What every CAN protocol tells, within what its frames have room for.
RANGES: dict[str, st.SearchStrategy[Any]] = {
    "voltage_mv": st.integers(40_000, 60_000),
    "current_ma": st.integers(-3_000_000, 3_000_000),
    "soc_permille": st.integers(0, 1000),
    "soh_permille": st.integers(0, 1000),
    "capacity_mah": st.integers(1000, 60_000_000),
    "cell_max_mv": st.integers(3301, 3700),
    "cell_min_mv": st.integers(2500, 3300),
    "cell_max_owner": st.just(("garage-north", 15)),
    "temp_max_mc": st.integers(25_000, 60_000),
    "temp_min_mc": st.integers(-20_000, 24_000),
    "temp_mean_mc": st.integers(-20_000, 60_000),
    "cycles_count": st.integers(0, 60_000),
    "cvl_mv": st.integers(48_100, 63_000),
    "dvl_mv": st.integers(41_000, 48_000),
    "charge_limit_ma": st.integers(0, 3_000_000),
    "discharge_limit_ma": st.integers(0, 3_000_000),
    "force_charge": st.booleans(),
    "n_total": st.integers(1, 99),
    "warnings": st.integers(0, (1 << 17) - 1),
    "protections": st.integers(0, (1 << 17) - 1),
}
MORE: dict[str, st.SearchStrategy[Any]] = {
    "cell_min_owner": st.just(("jk-1", 2)),
    "full_charge_request": st.booleans(),
    "n_fresh": st.integers(0, 1),
}
REAL = st.builds(healthy, **RANGES | MORE)


@pytest.mark.parametrize("flavour", FLAVOURS)
@given(battery=REAL)
def test_an_independent_reader_finds_the_banks_values(
    flavour: str, battery: VirtualBattery
) -> None:
    said = decoded(flavour, battery)
    b: Any = battery
    charge, discharge = b.charge_limit_ma // 100, b.discharge_limit_ma // 100
    expected: dict[str, Any] = {
        "Limits.ChargeVoltage": near(b.cvl_mv // 100 / 10),
        "Limits.ChargeLimit": near(charge / 10),
        "Limits.DischargeLimit": near(discharge / 10),
        "Limits.DischargeVoltage": near(-(-b.dvl_mv // 100) / 10),
        "Charge.Soc": b.soc_permille // 10,
        "Charge.Soh": b.soh_permille // 10,
        "Charge.SocFine": near(b.soc_permille / 10),
        "Charge.CellMax": near(b.cell_max_mv / 1000),
        "Charge.CellMin": near(b.cell_min_mv / 1000),
        "Measured.Voltage": pytest.approx(b.voltage_mv / 1000, abs=0.0051),
        "Measured.Current": pytest.approx(b.current_ma / 1000, abs=0.1),
        "Measured.Temperature": pytest.approx(b.temp_mean_mc / 1000, abs=0.051),
        "Measured.TemperatureMax": near(-(-b.temp_max_mc // 100) / 10),
        "Measured.TemperatureMin": near(b.temp_min_mc // 100 / 10),
        "Alarms.Modules": b.n_total,
        "Alarms.P": ord("P"),
        "Alarms.N": ord("N"),
        "Alarms.Capacity": b.capacity_mah // 1000,
        "Requests.ChargeEnable": charge > 0,
        "Requests.DischargeEnable": discharge > 0,
        "Requests.ForceCharge1": charge > 0 and b.force_charge,
        "Requests.ForceCharge2": 0,
        "Requests.FullCharge": charge > 0 and b.full_charge_request,
        "Requests.Cycles": b.cycles_count,
        "Product.Type": 0,
        "Product.Version": 0,
        "Product.Capacity": b.capacity_mah // 1000,
        "Installed.Capacity": b.capacity_mah // 1000,
        "ModuleCounts.Online": b.n_fresh,
        "ModuleCounts.Offline": b.n_total - b.n_fresh,
        "ModuleCounts.BlockingCharge": 0 if charge else b.n_fresh,
        "ModuleCounts.BlockingDischarge": 0 if discharge else b.n_fresh,
        "Extremes.CellMin": near(b.cell_min_mv / 1000),
        "Extremes.CellMax": near(b.cell_max_mv / 1000),
        "Extremes.TemperatureMin": (b.temp_min_mc + 273150) // 1000,
        "Extremes.TemperatureMax": -(-(b.temp_max_mc + 273150) // 1000),
        "Events.All": 0,
    }
    acted = b.protections
    told = b.warnings | acted
    for prefix, words, row in (
        ("Alarms.Prot", ONE_BIT[0], acted),
        ("Alarms.Alarm", ONE_BIT[1], told),
        ("TwoBitAlarms.Alarm", TWO_BITS, acted),
        ("TwoBitAlarms.Warning", TWO_BITS, told),
    ):
        for word, mask in words.items():
            is_set = bool(row & mask)
            gone = 2 if flavour == "sma" and prefix.startswith("Two") else 0
            expected[prefix + word] = 1 if is_set else gone
    for name, value in said.items():
        if name.endswith(".Text"):
            assert text(value) == TEXTS[name].get(flavour, TEXTS[name][""])
        else:
            assert value == expected[name], name


OVERTEMPERATURE = alarms.CHARGE_OVERTEMPERATURE | alarms.DISCHARGE_OVERTEMPERATURE
ONE_BIT = (
    {
        "Overvoltage": alarms.CELL_OVERVOLTAGE | alarms.PACK_OVERVOLTAGE,
        "Undervoltage": alarms.CELL_UNDERVOLTAGE | alarms.PACK_UNDERVOLTAGE,
        "Overtemperature": OVERTEMPERATURE | alarms.MOSFET_OVERTEMPERATURE,
        "Undertemperature": alarms.CHARGE_UNDERTEMPERATURE | alarms.DISCHARGE_UNDERTEMPERATURE,
        "DischargeOvercurrent": alarms.DISCHARGE_OVERCURRENT | alarms.SHORT_CIRCUIT,
        "ChargeOvercurrent": alarms.CHARGE_OVERCURRENT | alarms.SHORT_CIRCUIT,
        "System": alarms.INTERNAL | alarms.COMMS | alarms.TEMPERATURE_SENSOR,
    },
    {
        "HighVoltage": alarms.CELL_OVERVOLTAGE | alarms.PACK_OVERVOLTAGE,
        "LowVoltage": alarms.CELL_UNDERVOLTAGE | alarms.PACK_UNDERVOLTAGE,
        "HighTemperature": OVERTEMPERATURE | alarms.MOSFET_OVERTEMPERATURE,
        "LowTemperature": alarms.CHARGE_UNDERTEMPERATURE | alarms.DISCHARGE_UNDERTEMPERATURE,
        "HighDischarge": alarms.DISCHARGE_OVERCURRENT | alarms.SHORT_CIRCUIT,
        "HighCharge": alarms.CHARGE_OVERCURRENT | alarms.SHORT_CIRCUIT,
        "Internal": alarms.INTERNAL | alarms.COMMS | alarms.TEMPERATURE_SENSOR,
    },
)
TWO_BITS = {
    "HighVoltage": alarms.CELL_OVERVOLTAGE | alarms.PACK_OVERVOLTAGE,
    "LowVoltage": alarms.CELL_UNDERVOLTAGE | alarms.PACK_UNDERVOLTAGE,
    "HighTemperature": alarms.DISCHARGE_OVERTEMPERATURE | alarms.MOSFET_OVERTEMPERATURE,
    "LowTemperature": alarms.DISCHARGE_UNDERTEMPERATURE,
    "ChargeHot": alarms.CHARGE_OVERTEMPERATURE,
    "ChargeCold": alarms.CHARGE_UNDERTEMPERATURE,
    "DischargeCurrent": alarms.DISCHARGE_OVERCURRENT,
    "ChargeCurrent": alarms.CHARGE_OVERCURRENT,
    "Short": alarms.SHORT_CIRCUIT,
    "Internal": alarms.INTERNAL | alarms.COMMS | alarms.TEMPERATURE_SENSOR,
    "Imbalance": alarms.IMBALANCE,
}
TEXTS = {
    "Maker.Text": {"": "PYLON", "victron": "VBMS", "sma": "VBMS"},
    "CellMinName.Text": {"": "jk-1/3"},
    "CellMaxName.Text": {"": "garag/16"},
    "ProductName.Text": {"": "VBMS"},
}


def test_every_flavour_sends_what_its_document_lists() -> None:
    base = {0x351, 0x355, 0x356, 0x359, 0x35C, 0x35E}
    sma = {0x351, 0x355, 0x356, 0x35A, 0x35B, 0x35E, 0x35F}
    expected = {
        "pylon": base,
        "deye": base,
        "pylon_v2": base | {0x35A, 0x372, 0x373, 0x374, 0x375, 0x379},
        "victron": {0x351, 0x355, 0x356, 0x35A, 0x35E, 0x35F, 0x379, 0x382}
        | {0x372, 0x373, 0x374, 0x375},
        "sma": sma,
        "goodwe": sma,
        "luxpower": base | {0x379},
    }
    known = healthy(cell_max_owner=("a", 0), cell_min_owner=("b", 1))
    assert set(expected) == set(FLAVOURS)
    for flavour, ids in expected.items():
        assert {can_id for can_id, _ in Codec(flavour=flavour).messages(known)} == ids
