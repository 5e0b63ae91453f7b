"""Every entry of the CAN vectors that stand beside the project, read and, where it is ours, told.

Their human units are turned into the data model's here, so nothing of the codec's own tables is
trusted.
"""

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from tests.downstream.batteries import healthy, milli
from vbms.aggregate import alarms
from vbms.commands.decode import command
from vbms.downstream.pylontech_can import Codec

FOLDER = Path(__file__).resolve().parents[3] / "shared" / "vectors"
ENTRIES = json.loads((FOLDER / "pylontech_can.json").read_text()) if FOLDER.is_dir() else []

pytestmark = pytest.mark.skipif(not FOLDER.is_dir(), reason="no shared vectors beside the project")

NAMES = {
    "charge_voltage_v": "cvl_mv",
    "discharge_voltage_v": "dvl_mv",
    "soc_pct": "soc_permille",
    "soh_pct": "soh_permille",
    "temp_c": "temp_mean_mc",
    "cycles": "cycles_count",
    "soc_hires": "soc_millipercent",
}
ENDINGS = {"_v": "_mv", "_a": "_ma", "_c": "_mc", "_ah": "_mah"}
SAME = ("protection", "alarm", "modules", "faults", "byte0", "online", "offline", "name")

# Bit of 0x359, as the document counts them, and an alarm that sets it alone.
BITS = {
    1: alarms.CELL_OVERVOLTAGE,
    2: alarms.CELL_UNDERVOLTAGE,
    3: alarms.DISCHARGE_OVERTEMPERATURE,
    4: alarms.CHARGE_UNDERTEMPERATURE,
    7: alarms.DISCHARGE_OVERCURRENT,
    8: alarms.CHARGE_OVERCURRENT,
    11: alarms.INTERNAL,
}


def expected(state: dict[str, Any]) -> dict[str, Any]:
    found = {}
    for name, value in state.items():
        if name in NAMES:
            scale = 10 if name.endswith("pct") else 1 if name == "cycles" else 1000
            found[NAMES[name]] = round(value * scale)
        elif name in ("name", "direction", "extended") or isinstance(value, bool):
            found[name] = value.rstrip() if isinstance(value, str) else value
        elif name.endswith(tuple(ENDINGS)):
            ending = next(e for e in ENDINGS if name.endswith(e))
            found[name[: -len(ending)] + ENDINGS[ending]] = milli(value)
        else:
            found[name] = value
    return found


@pytest.mark.parametrize("entry", ENTRIES, ids=lambda entry: entry["name"])
def test_decode_says_what_the_entry_says(entry: dict[str, Any]) -> None:
    digits = "%08X" if entry["extended"] else "%03X"
    frame = "%s#%s" % (digits % int(entry["can_id"], 16), entry["response_hex"])
    variant = entry.get("variant")
    protocol = "%s_can" % variant if variant else "pylontech_can"
    result = CliRunner().invoke(command, [protocol, "--json", frame])
    assert result.exit_code == 0, result.output
    said = json.loads(result.output)
    for name, value in expected(entry["state"]).items():
        assert said[name] == value, name


def test_a_layout_that_shows_in_its_bytes_needs_no_word_for_the_flavour() -> None:
    for entry in ENTRIES:
        if entry.get("variant", "deye_pcs") == "deye_pcs":
            continue  # a current's sign shows nowhere
        frame = "%03X#%s" % (int(entry["can_id"], 16), entry["response_hex"])
        said = json.loads(CliRunner().invoke(command, ["pylontech_can", "--json", frame]).output)
        for name, value in expected(entry["state"]).items():
            assert said[name] == value, (entry["name"], name)


def test_the_whole_file_is_decoded_entry_by_entry() -> None:
    path = str(FOLDER / "pylontech_can.json")
    result = CliRunner().invoke(command, ["pylontech_can", "--json", path])
    rows = [json.loads(line) for line in result.output.splitlines()]
    assert result.exit_code == 0
    assert [row["name"] for row in rows] == [entry["name"] for entry in ENTRIES]
    for row, entry in zip(rows, ENTRIES, strict=True):
        for name, value in expected(entry["state"]).items():
            assert row["says"][name] == value, (entry["name"], name)


# Which of the entries vbms would send byte for byte, and from what it then must have been told.
OURS = [
    entry
    for entry in ENTRIES
    if entry["synthetic"]
    and entry["can_id"] != "0x305"
    and entry.get("variant", "pylon") in ("pylon", "luxpower", "victron", "sma")
    and not entry["name"].startswith(("flags_35C_force_charge_2", "victron_35F", "sma_355_hires"))
]


@pytest.mark.parametrize("entry", OURS, ids=lambda entry: entry["name"])
def test_the_battery_of_an_entry_is_told_in_its_bytes(entry: dict[str, Any]) -> None:
    """Not told: force charge 2, and an SOC of a hundredth of a percent; 0x35F has no version."""
    state = entry["state"]
    values: dict[str, Any] = {"n_total": 1, "n_fresh": 1, "dvl_mv": 46000}
    for name, value in expected(state).items():
        if name.endswith(("_mv", "_ma", "_mc", "_permille", "_mah", "_count")):
            values[name] = value
    if "temp_min_k" in state:
        values["temp_min_mc"] = state["temp_min_k"] * 1000 - 273150
        values["temp_max_mc"] = state["temp_max_k"] * 1000 - 273150
    if "modules" in state:
        values["n_total"] = state["modules"]
    if "online" in state:
        values["n_fresh"], values["n_total"] = state["online"], state["online"] + state["offline"]
    acted = 0
    for bit, alarm in BITS.items():
        acted |= alarm if state.get("protection", 0) >> bit & 1 else 0
    values["protections"] = acted
    flags = state.get("byte0")
    if flags is not None:
        values["charge_limit_ma"] = 100000 if flags & 0x80 else 0
        values["discharge_limit_ma"] = 100000 if flags & 0x40 else 0
        values["force_charge"] = bool(flags & 0x20)
        values["full_charge_request"] = bool(flags & 0x08)
    variant = entry.get("variant", "pylon")
    told = dict(Codec(flavour=variant).messages(healthy(**values)))
    assert told[int(entry["can_id"], 16)].hex() == entry["response_hex"].lower()
