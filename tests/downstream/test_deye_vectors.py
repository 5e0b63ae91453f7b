"""Every entry of the shared DEYE vectors: requests found, answers byte for byte, silence kept."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.downstream.batteries import of_state
from tests.downstream.far_end import crc, sealed
from vbms.aggregate.virtual import VirtualBattery
from vbms.downstream.deye_rs485 import Codec
from vbms.errors import FrameError, RefusedError

FILE = Path(__file__).resolve().parents[3] / "shared" / "vectors" / "deye_rs485.json"
ENTRIES: list[dict[str, Any]] = json.loads(FILE.read_text()) if FILE.exists() else []

pytestmark = pytest.mark.skipif(not ENTRIES, reason=f"the recorded vectors are not at {FILE}")

# Where a vector's words cannot follow from a battery: {register: what is right}, and why.
CORRECTIONS: dict[str, tuple[dict[int, int], str]] = {
    "read_all_overvoltage_addr4": ({7: 0x0900}, "2.0 A is charging, beyond the 0.5 A dead band"),
    "read_all_every_documented_bit_addr6": (
        {5: 0x0CFF, 7: 0x1C03},
        "no alarm of the data model means ambient (bits 8, 9); a resting battery neither charges "
        "nor discharges",
    ),
    "aggregate_beyond_16_bit_clamped": ({7: 0x0D00}, "412 A is charging"),
    "aggregate_discharge_clamped": ({7: 0x0E00}, "-400 A is discharging"),
    "screen_row_5_rebuilt": ({7: 0x0D00}, "the seed sets both direction bits from the switches"),
}
OTHERS = {"modbus", "fork"}  # what other programs answer


def raw(entry: dict[str, Any], key: str) -> bytes:
    return bytes.fromhex(entry[key])


def ids(entry: dict[str, Any]) -> str:
    return str(entry["name"])


def corrected(entry: dict[str, Any]) -> bytes:
    answer = bytearray(raw(entry, "response_hex"))
    for register, word in CORRECTIONS.get(entry["name"], ({}, ""))[0].items():
        answer[3 + 2 * register : 5 + 2 * register] = word.to_bytes(2, "big")
    return sealed(bytes(answer[:-2])) if entry["name"] in CORRECTIONS else bytes(answer)


def told(entry: dict[str, Any], battery: VirtualBattery) -> bytes | None:
    """What a line with a codec at the asked address would be answered."""
    request = raw(entry, "request_hex")
    codec = Codec(address=request[0])
    used, frame = codec.take(request)
    if frame is None or used != len(request):
        return None
    return codec.answer(frame, battery)


CHECKED = [entry for entry in ENTRIES if entry.get("crc_only")]
EXCHANGES = [entry for entry in ENTRIES if not entry.get("crc_only")]


@pytest.mark.parametrize("entry", CHECKED, ids=ids)
def test_crc_of_public_frames(entry: dict[str, Any]) -> None:
    for key in ("request_hex", "response_hex"):
        frame = raw(entry, key)
        if frame:
            assert crc(frame[:-2]) == frame[-2:]
            if frame[1] & 0x80:
                with pytest.raises(RefusedError, match="exception 2"):
                    Codec().read(frame)
            else:
                assert Codec().read(frame)["address"] == frame[0]


@pytest.mark.parametrize("entry", EXCHANGES, ids=ids)
def test_exchange(entry: dict[str, Any]) -> None:
    expected = raw(entry, "response_hex")
    state = entry["state"]
    if entry.get("variant") in OTHERS:
        known = state if "voltage_v" in state else {"model": "JK-BMS", "serial": "1"}
        assert told(entry, of_state(known)) != expected
    elif state is None:  # no such battery: whoever is there stays silent
        request = raw(entry, "request_hex")
        for address in range(15):
            if address != request[0]:
                battery = of_state({"model": "JK-BMS", "serial": "1"})
                assert Codec(address=address).answer(request, battery) is None
    elif "age_s" in state:  # the responder's business: tests/loop/test_responder.py
        assert expected == b""
        assert Codec(address=1).asks(raw(entry, "request_hex")) == 1
    elif expected:
        assert told(entry, of_state(state)) == corrected(entry)
    else:
        assert told(entry, of_state(state)) is None


def test_corrections_are_needed() -> None:
    """A correction of a vector that we would meet anyway hides a fault."""
    names = {entry["name"]: entry for entry in EXCHANGES}
    assert set(CORRECTIONS) <= set(names)
    for name in CORRECTIONS:
        assert corrected(names[name]) != raw(names[name], "response_hex")


WHOLE = [
    entry
    for entry in EXCHANGES
    if len(entry["response_hex"]) in (102, 98) and entry.get("variant") != "policy"
]


@pytest.mark.parametrize("entry", WHOLE, ids=ids)
def test_read_gives_the_state(entry: dict[str, Any]) -> None:
    """Read as an inverter would, also with the request before it."""
    state = entry["state"]
    answer = raw(entry, "response_hex")
    request = raw(entry, "request_hex")
    found = Codec().read(answer)
    known = {
        "address": request[0],
        "function": 4,
        "voltage_mv": state["voltage_v"] * 1000,
        "current_ma": state["current_a"] * 1000,
        "remaining_mah": state["remaining_ah"] * 1000,
        "temp_mean_mc": state["temp_avg_c"] * 1000,
        "ambient_mc": state["temp_env_c"] * 1000,
        "warning_bits": state["warning_bits"],
        "protection_bits": state["protection_bits"],
        "status_bits": state["status_bits"],
        "soc_permille": state["soc_pct"] * 10,
        "soh_permille": state["soh_pct"] * 10,
        "capacity_mah": state["full_ah"] * 1000,
        "cycles_count": state["cycles"],
        "charge_limit_ma": state["charge_limit_a"] * 1000,
        "cell_max_mv": state["cell_max_v"] * 1000,
        "cell_min_mv": state["cell_min_v"] * 1000,
        "temp_max_mc": state["temp_max_c"] * 1000,
        "temp_min_mc": state["temp_min_c"] * 1000,
        "mosfet_max_mc": state["temp_mos_c"] * 1000,
        "cvl_mv": state["charge_voltage_v"] * 1000,
        "design_mah": state["design_ah"] * 1000,
    }
    assert found == {name: round(value) for name, value in known.items()}
    assert Codec().read(request + answer) == found


@pytest.mark.parametrize("entry", ENTRIES, ids=ids)
def test_read_requests(entry: dict[str, Any]) -> None:
    request = raw(entry, "request_hex")
    if not request:
        return
    name = entry["name"]
    if name in ("bad_crc_silent", "crc_bytes_swapped_silent"):
        with pytest.raises(FrameError, match="checksum"):
            Codec().read(request)
    elif name == "truncated_request_silent":
        with pytest.raises(FrameError, match="truncated"):
            Codec().read(request)
    elif request[1] == 3:
        with pytest.raises(FrameError, match="function 0x03"):
            Codec().read(request)
    else:
        found = {"address": request[0], "function": request[1]}
        if request[1] == 4:
            found["register"] = request[2] << 8 | request[3]
            found["count"] = request[4] << 8 | request[5]
        assert Codec().read(request) == found


def test_read_who() -> None:
    entry = next(entry for entry in ENTRIES if entry["name"] == "info_short_serial_nul_padded")
    found = Codec().read(raw(entry, "response_hex"))
    assert (found["model"], found["serial"]) == ("JK-BMS", "303272364210")
    assert (found["software"], found["hardware"]) == ("10 11", "20 21")
    foreign = next(entry for entry in ENTRIES if entry["name"] == "info_generic_run_indicator_form")
    with pytest.raises(FrameError, match="payload"):
        Codec().read(raw(foreign, "response_hex"))
