"""Every entry of the shared Pylontech RS485 vectors: answers byte for byte, readings, silence."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.downstream.modules import module_of_state
from vbms.aggregate import alarms
from vbms.commands.decode import read
from vbms.downstream.pylontech_rs485 import Codec
from vbms.errors import FrameError, RefusedError

FILE = Path(__file__).resolve().parents[3] / "shared" / "vectors" / "pylontech_rs485.json"
ENTRIES: list[dict[str, Any]] = json.loads(FILE.read_text()) if FILE.exists() else []

pytestmark = pytest.mark.skipif(not ENTRIES, reason=f"the recorded vectors are not at {FILE}")

# Answers of real batteries and examples of documents: read, and not what vbms would send.
READ_ONLY = {
    "us3000_0x42_discharging": "its data flag",
    "us2000_0x42_idle_50Ah": "its data flag",
    "us2000_chain_0x42_three_modules": "its data flag",
    "us3000c_0x47_parameters": "its data flag",
    "us3000c_0x44_alarms": "a sixth status byte",
    "us3000c_0x51_manufacturer": "dashes behind the maker's name",
    "v35_doc_0x61": "location words of another shape",
    "captured_0x63_24v": "a 24 V battery",
}
# What is refused, with the word; all else is read.
REFUSED = {
    "v33_doc_0x42_us3000_74Ah_bad_checksum": "checksum",
    "v35_doc_0x63_malformed_length": "length",
}
# Silence, which the protocol's page prefers to a return code.
SILENT = {"err_bad_checksum": "two batteries that answer garbage at once are worse"}
# No alarm of the data model means a spread of cell temperatures: alarm 2, bit 7.
CORRECTED = {"sys_0x62_every_documented_bit": (b"FFF0FE68FBA7", b"FF70FE68FBB6")}

RENAMED = {
    "soc_pct": ("soc_permille", 10),
    "soh_pct": ("soh_permille", 10),
    "soh_avg": ("soh_permille", 10),
    "soh_min": ("soh_min_permille", 10),
    "cycles": ("cycles_count", 1),
    "cycles_avg": ("cycles_count", 1),
    "cycles_max": ("cycles_max_count", 1),
    "full_ah": ("capacity_mah", 1000),
    "remaining_ah": ("remaining_mah", 1000),
    "charge_voltage_v": ("cvl_mv", 1000),
    "discharge_voltage_v": ("dvl_mv", 1000),
    "temp_avg_c": ("temp_mean_mc", 1000),
    "temp_mos_c": ("mosfet_max_mc", 1000),
    "temp_bms_c": ("bms_max_mc", 1000),
    "charge_temp_high_c": ("charge_temp_high_mc", 1000),
    "module_high_v": ("voltage_high_mv", 1000),
    "module_low_v": ("voltage_low_mv", 1000),
    "module_under_v": ("voltage_under_mv", 1000),
    "charge_enabled": ("charge_ok", 1),
    "discharge_enabled": ("discharge_ok", 1),
    "device": ("model", 1),
    "sw": ("software", 1),
    "mainline": ("main_version", 1),
    "status": ("status_bits", 1),
    "cell_flags": ("cell_states", 1),
    "temp_flags": ("temp_states", 1),
    "charge_i": ("charge_current_state", 1),
    "discharge_i": ("discharge_current_state", 1),
    "module_v": ("voltage_state", 1),
}
ENDINGS = {"_v": ("_mv", 1000), "_a": ("_ma", 1000), "_c": ("_mc", 1000)}


def ids(entry: dict[str, Any]) -> str:
    return str(entry["name"])


def raw(entry: dict[str, Any], key: str) -> bytes:
    return bytes.fromhex(entry[key])


def options(entry: dict[str, Any]) -> dict[str, Any]:
    """What a person would set so that a battery says this."""
    found: dict[str, Any] = {"model": "US3000C", "maker": "PYLON"}
    state = entry["state"] or {}
    if "variant" in entry:
        found["limit_scale"] = "0.01 A"
    if "sw" in state:
        found |= {"model": state["device"] if "device" in state else state["name"]}
        found |= {"maker": state["maker"], "software": int(state["sw"], 16)}
    if "maker_version" in state:
        found["software"] = int(state["maker_version"], 16)
        found["firmware"] = int(state["mainline"], 16)
    if state.get("version") == "3.5":
        found["version"] = "35"
    address = int(entry["request_ascii"][3:5], 16)
    found["group"] = address >> 4
    found["address"] = address & 15
    return found


@pytest.mark.parametrize("entry", ENTRIES, ids=ids)
def test_answer(entry: dict[str, Any]) -> None:
    """Byte for byte, through `take` as on a line."""
    request, expected = raw(entry, "request_hex"), raw(entry, "response_hex")
    name = entry["name"]
    if name in REFUSED:
        return  # published with a mistake: not to be copied
    if not expected and name.startswith("foreign"):
        for address in range(2, 16):
            if address != 7 or "cid1" in name:
                codec = Codec(address=address)
                assert codec.answer(request, module_of_state(None, address - 2)) is None
        return
    if name.startswith("voltronic_poll"):  # a battery there answers, all others do not
        for group in range(8):
            found = Codec(group=group).answer(request, module_of_state(None, 0))
            assert (found is not None) == (int(entry["request_ascii"][3:5], 16) >> 4 == group)
        return
    codec = Codec(**options(entry))
    used, frame = codec.take(request)
    if name in SILENT or name == "lowercase_hex_request":
        assert (used, frame) == (len(request), None) or codec.take(request[used:])[1] is None
        assert codec.answer(request, module_of_state(None, 0)) is None
        return
    assert (used, frame) == (len(request), request)
    assert codec.asks(request) == codec.address
    found = codec.answer(request, module_of_state(entry["state"], codec.address % 16 - 2))
    if name in CORRECTED:
        expected = expected.replace(*CORRECTED[name])
        assert found != raw(entry, "response_hex")
    if name in READ_ONLY:
        assert found != expected
        return
    assert found == expected


def compare(state: dict[str, Any], said: dict[str, Any]) -> int:
    """Every value of the state that the answer has by its name; how many there were."""
    count = 0
    for name, value in state.items():
        target, factor = RENAMED.get(name, (name, 1))
        if name not in RENAMED:
            for ending, (short, by) in ENDINGS.items():
                if name.endswith(ending):
                    target, factor = name[: -len(ending)] + short, by
        if target == "discharge_limit_ma" and value < 0:
            value = -value  # 0x47 names it as the wire has it
        if target in ("status_bits", "cell_max_at", "cell_min_at") and isinstance(value, str):
            value = int(value, 16)
        if target not in said:
            continue
        if isinstance(value, list):
            expected: Any = [round(each * factor) for each in value]
        else:
            expected = value if isinstance(value, str | bool) else round(value * factor)
        if target == "temps_mc" and "bms_mc" in said:
            assert said["bms_mc"] == expected[0]
            expected = expected[1:]
        assert said[target] == expected, target
        count += 1
    return count


@pytest.mark.parametrize("entry", ENTRIES, ids=ids)
def test_reading(entry: dict[str, Any]) -> None:
    """The answer alone, and behind its request, as `vbms decode` reads them."""
    request, answer = raw(entry, "request_hex"), raw(entry, "response_hex")
    name, state = entry["name"], entry["state"]
    if name in REFUSED:
        with pytest.raises(FrameError, match="^" + REFUSED[name]):
            read("pylontech_rs485", answer)
        return
    if not answer:
        return
    said, refusal = read("pylontech_rs485", answer)
    assert isinstance(said, dict)
    if name.startswith("err_"):
        assert refusal is not None and refusal.startswith("refused")
        with pytest.raises(RefusedError):
            Codec().read(answer)
        assert said["return_code"] == int(entry["response_ascii"][7:9], 16)
        return
    assert refusal is None
    if not name.startswith("sys_0x63_normal_centi"):
        assert read("pylontech_rs485", request + answer) == (said, None)
    if state is None or "variant" in entry:
        return
    if "modules" in state:
        assert len(said["modules"]) == state["modules"]
        for key, target, factor in (
            ("currents_a", "current_ma", 1000),
            ("voltages_v", "voltage_mv", 1000),
            ("remaining_ah", "remaining_mah", 1000),
            ("cycles", "cycles_count", 1),
        ):
            expected = [round(value * factor) for value in state[key]]
            assert [module[target] for module in said["modules"]] == expected
    elif "alarm1" in state or "alarms" in state:
        told = [state.get(key, 0) for key in ("alarm1", "alarm2", "prot1", "prot2")]
        assert said["alarm_bits"] == told[0] << 8 | told[1]
        assert said["protection_bits"] == told[2] << 8 | told[3]
    elif "raw_currents" in state:
        limits = [said["charge_limit_ma"], said["discharge_limit_ma"]]
        assert limits == [100 * value for value in state["raw_currents"]]
    elif "version" in state:
        assert said["version"] == state["version"].replace(".", "")
    elif "name" in state:
        assert said["serials"] == state["serials"]
        assert (said["model"], said["maker"]) == (state["name"], state["maker"])
    elif "status1" in state:
        assert said["status"][:5] == [state["status%d" % n] for n in range(1, 6)]
        assert len(said["cell_states"]) == state["cells"]
    elif "cell_flags" in state:
        assert said.pop("status") == state["status"]
        assert compare({k: v for k, v in state.items() if k != "status"}, said) >= 5
    else:
        assert compare(state, said) >= (1 if "serial" in state else 2)


@pytest.mark.parametrize("entry", ENTRIES, ids=ids)
def test_requests_are_read(entry: dict[str, Any]) -> None:
    request = raw(entry, "request_hex")
    words = {
        "err_bad_checksum": "checksum",
        "err_bad_lchksum": "checksum",
        "foreign_cid1_silent": "marker",
        "lowercase_hex_request": "payload",
        "us3000c_0x4F_version": None,
    }
    word = words.get(entry["name"])
    if word is not None:
        with pytest.raises(FrameError, match="^" + word):
            Codec().read(request)
        return
    said = Codec().read(request)
    text = entry["request_ascii"]
    assert said["address"] == int(text[3:5], 16)
    assert said["command"] == int(text[7:9], 16)
    if len(text) > 20 and text[13:15] != "":
        assert said.get("module", 0) == (int(text[13:15], 16) if text[10:13] != "000" else 0)


def test_the_spread_is_no_alarm_of_ours() -> None:
    assert not [name for name in alarms.NAMES if "temperature_spread" in name]
