"""The same files, two interpreters, one answer: CPython and MicroPython agree to the last bit.

Each t_*.py runs on both and prints digests of what it worked out; they are compared as they are,
so nothing has to be written down here but what must have been in them.
"""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from vbms.downstream import registry as downstream
from vbms.upstream import registry as upstream
from vbms.wire.crc import crc16_bytes

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
OWN = ROOT / "tests" / "vectors"
SHARED = ROOT.parent / "shared" / "vectors"
ROOMY = 16384  # KiB: garbage stays until a call ends, and these scripts do much in one call
# t_vectors.py and these two are run by tests of their own.
OTHERS = ("t_vectors.py", "t_import.py", "t_heap.py")
SCRIPTS = sorted(path.name for path in HERE.glob("t_*.py") if path.name not in OTHERS)

# A DEYE asks for all, and what is to be told: an idle bank, a charging one in the cold, one stopped.
_ASKS = "000410000017b515"
_TOLD: tuple[dict[str, Any], ...] = (
    {
        "voltage_mv": 52970, "current_ma": 0, "soc_permille": 643, "soh_permille": 991,
        "capacity_mah": 305000, "remaining_mah": 196115, "design_mah": 310000, "cvl_mv": 55200,
        "charge_limit_ma": 123450, "discharge_limit_ma": 98760, "cell_max_mv": 3317,
        "cell_min_mv": 3301, "temp_mean_mc": 21400, "temp_max_mc": 23900, "temp_min_mc": 18700,
    },
    {
        "voltage_mv": 54110, "current_ma": 87650, "soc_permille": 909, "soh_permille": 1000,
        "capacity_mah": 99990, "remaining_mah": 90891, "cvl_mv": 56000, "dvl_mv": 47500,
        "charge_limit_ma": 1999, "discharge_limit_ma": 1, "cell_max_mv": 3449,
        "cell_min_mv": 3351, "temp_mean_mc": -1500, "temp_max_mc": 900, "temp_min_mc": -4100,
        "mosfet_max_mc": 61200, "cycles_count": 1234,
    },
    {
        "voltage_mv": 48010, "current_ma": -150000, "soc_permille": 0, "soh_permille": 700,
        "capacity_mah": 900000, "remaining_mah": 0, "cvl_mv": 52800, "dvl_mv": 48000,
        "charge_limit_ma": 0, "discharge_limit_ma": 0, "cell_max_mv": 3125, "cell_min_mv": 2871,
    },
)  # fmt: skip

# A JK unit's answer names its sender behind the payload; a vector of the payload alone gets one.
_REGISTERS = {1: 0x1E, 2: 0x20, 3: 0x1C}


def hexes(thing: Any) -> Iterator[bytes]:
    """Every byte string in a file of vectors, whatever its shape."""
    if isinstance(thing, dict):
        for key, value in thing.items():
            if isinstance(value, str) and (key.endswith("hex") or key in ("frames", "requests")):
                yield bytes.fromhex(value)
            elif key in ("frames", "requests") and isinstance(value, list):
                yield from (bytes.fromhex(item) for item in value if isinstance(item, str))
                yield from (data for item in value for data in hexes(item))
            else:
                yield from hexes(value)
    elif isinstance(thing, list):
        for item in thing:
            yield from hexes(item)


def addresses(data: bytes) -> list[int]:
    """Units that may have sent this: 1, and whoever the frame or its acknowledge names."""
    named = {1, data[0] if data else 1, data[300] if len(data) > 300 else 1}
    return sorted(address for address in named if 1 <= address <= 15)


def batteries(path: Path) -> Iterator[dict[str, Any]]:
    """Request and battery of each DEYE vector, the human units of its state in milli-units."""
    plain = {
        "voltage_v": "voltage_mv",
        "current_a": "current_ma",
        "remaining_ah": "remaining_mah",
        "full_ah": "capacity_mah",
        "design_ah": "design_mah",
        "charge_limit_a": "charge_limit_ma",
        "charge_voltage_v": "cvl_mv",
        "cell_max_v": "cell_max_mv",
        "cell_min_v": "cell_min_mv",
        "temp_avg_c": "temp_mean_mc",
        "temp_env_c": "ambient_mc",
        "temp_max_c": "temp_max_mc",
        "temp_min_c": "temp_min_mc",
        "temp_mos_c": "mosfet_max_mc",
    }
    for vector in json.loads(path.read_text()):
        state = vector.get("state")
        if not isinstance(state, dict):
            continue
        battery = {plain[key]: round(state[key] * 1000) for key in plain if key in state}
        battery |= {
            name: round(state[key] * 10)
            for key, name in (("soc_pct", "soc_permille"), ("soh_pct", "soh_permille"))
            if key in state
        }
        if "cycles" in state:
            battery["cycles_count"] = state["cycles"]
        yield {"request": vector["request_hex"], "battery": battery}


def cases() -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    known: set[bytes] = set()
    for folder in (OWN, SHARED):
        for path in sorted(folder.rglob("*.json")):
            for data in hexes(json.loads(path.read_text())):
                streams = [data]
                if len(data) == 300 and data[:4] == b"\x55\xaa\xeb\x90" and data[4] in _REGISTERS:
                    head = bytes((1, 0x10, 0x16, _REGISTERS[data[4]], 0, 1))
                    streams.append(data + head + crc16_bytes(head))
                for stream in streams:
                    if stream not in known:
                        known.add(stream)
                        found.append({"bytes": stream.hex(), "addresses": addresses(stream)})
    found.extend({"request": _ASKS, "battery": battery} for battery in _TOLD)
    deye = SHARED / "deye_rs485.json"
    if deye.exists():
        found.extend(batteries(deye))
    return found


def test_every_vector(same_on_both, tmp_path: Path) -> None:
    found = cases()
    lines = [str(len(found)), *(json.dumps(case) for case in found)]
    (tmp_path / "cases.txt").write_text("\n".join(lines) + "\n")
    digests = same_on_both(HERE / "t_vectors.py", tmp_path, heap=ROOMY)
    wanted = {*upstream.DRIVERS, *downstream.DRIVERS, "jk02"}
    assert digests.keys() == wanted
    silent = [name for name, (count, _) in digests.items() if not count]
    assert not silent, f"no vector made {silent} say anything"


@pytest.mark.parametrize("script", SCRIPTS)
def test_script(same_on_both, script: str) -> None:
    digests = same_on_both(HERE / script, heap=ROOMY)
    assert all(count > 50 for count, _ in digests.values()), digests
