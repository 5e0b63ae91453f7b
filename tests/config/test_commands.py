"""`vbms check` and `vbms drivers` as a person or a script meets them."""

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from tests.config.site import GOOD, Folder, battery
from vbms.__main__ import main
from vbms.settings.drivers import protocols
from vbms.settings.keys import BATTERY, INVERTER

ROOT = Path(__file__).resolve().parents[2]


def call(*words: str) -> Result:
    return CliRunner().invoke(main, list(words))


def test_a_good_file_is_one_line_and_0(folder: Folder) -> None:
    path = folder.write("vbms.yaml", GOOD)
    done = call("-c", str(path), "check")
    assert done.exit_code == 0
    assert done.stdout == f"{path}: fine, 3 batteries on 2 links, 1 inverter\n"
    assert done.stderr == ""
    assert call("check", str(path)).stdout == done.stdout


def test_a_broken_file_is_a_line_a_problem_and_2(folder: Folder) -> None:
    path = folder.write("vbms.yaml", battery("pol_s: 1\n    slot: 15"))
    done = call("-c", str(path), "check")
    assert done.exit_code == 2
    assert done.stdout.splitlines() == [
        f"{path}:17: batteries[1].pol_s: unknown key (nearest known: poll_s)",
        f"{path}:18: batteries[1].slot: 15 is out of range (0..14)",
    ]


def test_json(folder: Folder) -> None:
    path = folder.write("vbms.yaml", battery("slot: 15"))
    done = call("-c", str(path), "check", "--json")
    assert done.exit_code == 2
    assert json.loads(done.stdout) == {
        "ok": False,
        "file": str(path),
        "problems": [
            {
                "file": str(path),
                "line": 17,
                "key": "batteries[1].slot",
                "text": "15 is out of range",
                "allowed": "0..14",
            }
        ],
        "warnings": [],
    }
    folder.write("vbms.yaml", GOOD)
    done = call("-c", str(path), "check", "--json")
    assert done.exit_code == 0 and json.loads(done.stdout)["ok"] is True


def test_a_warning_is_said_and_is_no_error(folder: Folder) -> None:
    path = folder.write("vbms.yaml", battery("max_charge_a: none"))
    done = call("-c", str(path), "check")
    assert done.exit_code == 0
    assert done.stderr.startswith(f"warning: {path}:13: batteries[1].max_charge_a: ")


def test_no_file(folder: Folder, monkeypatch: pytest.MonkeyPatch) -> None:
    done = call("-c", str(folder.yaml), "check")
    assert done.exit_code == 2
    assert done.stdout == f"{folder.yaml}:1: file: does not exist (a YAML file)\n"
    monkeypatch.chdir(folder.path)
    if not Path("/etc/vbms/vbms.yaml").exists():
        assert call("check").stdout.startswith("vbms.yaml:1: file: does not exist")


def test_the_default_file(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    done = call("check")
    assert done.exit_code == 0
    assert done.stdout == "vbms.yaml: fine, 5 batteries on 2 links, 1 inverter\n"


def test_schema_knows_every_key_and_its_bounds() -> None:
    done = call("check", "--schema")
    assert done.exit_code == 0
    schema = json.loads(done.stdout)
    parts = schema["$defs"]
    assert set(schema["required"]) == {"links", "batteries"}
    assert parts["Battery"]["required"] == ["name", "profile", "link"]
    assert parts["Battery"]["additionalProperties"] is False
    keys = parts["Battery"]["properties"]
    assert keys["address"]["type"] == ["integer", "string"]  # which, the driver knows
    assert (keys["cells"]["anyOf"][0]["minimum"], keys["slot"]["maximum"]) == (1, 14)
    assert keys["capacity_ah"]["anyOf"][0] == {"type": "number", "minimum": 0.1, "maximum": 5000}
    assert {"charge_by_cell_v", "poll_s", "hold_s", "slot", "serial"} <= set(keys)
    assert parts["Inverter"]["properties"]["present"]["enum"] == ["bank", "units", "shards"]
    assert parts["Inverter"]["properties"]["silent_after_s"]["maximum"] == 140
    assert parts["Link_tcp"]["required"] == ["host", "port", "kind"]
    assert parts["Link_tcp"]["properties"]["kind"] == {"const": "tcp"} | {"type": "string"}


def test_drivers() -> None:
    done = call("drivers")
    assert done.exit_code == 0
    lines = done.stdout.splitlines()
    named = [line.split()[0] for line in lines if line and line[0] not in " A"]
    assert named == [*protocols(BATTERY), *protocols(INVERTER)]
    for words in ("capacity_ah", "Ah", "0.1..5000 Ah, or auto", "[3.45, 40]", "t3.5", "0..255"):
        assert words in done.stdout


def test_drivers_as_json() -> None:
    rows = {row["protocol"]: row for row in json.loads(call("drivers", "--json").stdout)}
    assert set(rows) == {*protocols(BATTERY), *protocols(INVERTER)}
    assert {row["kind"] for row in rows.values()} == {"battery", "inverter"}
    assert rows["byd_pro"]["baud"] == 9600
    (address,) = rows["jk_pb"]["options"]
    assert (address["name"], address["required"], address["allowed"]) == ("address", True, "0..15")
    common = {row["name"]: row for row in rows["deye_rs485"]["common"]}
    assert (common["silent_after_s"]["default"], common["silent_after_s"]["unit"]) == ("30", "s")
