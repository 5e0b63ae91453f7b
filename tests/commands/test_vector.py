"""`vbms decode --as-vector`: what it prints is a vector, and says what the frames say."""

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from vbms.commands.decode import command
from vbms.recording import line_of
from vbms.upstream import byd_pro, jk_pb, registry
from vbms.wire.receiver import Receiver

VECTORS = Path(__file__).resolve().parents[1] / "vectors"


def run(*words: str) -> Result:
    return CliRunner().invoke(command, [*words, "--as-vector"])


def load(protocol: str, name: str) -> dict[str, Any]:
    found = json.loads((VECTORS / protocol / f"{name}.json").read_text())
    assert isinstance(found, dict)
    return found


@pytest.mark.parametrize(
    ("protocol", "name"),
    [
        ("byd_pro", "discharging"),
        ("jk_pb", "recorded_8_cells_fw15.10"),
        ("jk_pb", "live_settings_info"),
        ("mqtt_pack", "object"),
    ],
)
def test_frames_become_the_vector_they_came_from(protocol: str, name: str) -> None:
    vector = load(protocol, name)
    done = run(protocol, " ".join(vector["frames"]))
    assert done.exit_code == 0, done.output
    made = json.loads(done.stdout)
    assert made["requests"] == vector["requests"]
    for field, value in vector["expect"].items():
        assert made["expect"].get(field, 0) == value, field
    slots = registry.load(protocol).Codec(**made.get("options", {}))
    heard = Receiver(slots.take, 4096).feed(
        bytes.fromhex(" ".join(made["frames"]).replace(" ", ""))
    )
    assert len(heard) == len(made["frames"]) or protocol == "mqtt_pack"


def recording(path: Path, rows: list[tuple[int, bool, bytes]], **head: Any) -> str:
    lines = [json.dumps({"recording": 1, "link": "bms", "started_ms": 1790000000000, **head})]
    path.write_text("\n".join(lines) + "\n" + "".join(line_of(*row) for row in rows))
    return str(path)


def byd(address: int, cell_mv: int) -> bytes:
    frame = bytearray(bytes.fromhex(load("byd_pro", "discharging")["frames"][0]))
    frame[0] = address
    frame[16:18] = cell_mv.to_bytes(2, "little")
    frame[-1] = sum(frame[1:-1]) % 256
    return bytes(frame)


@pytest.mark.parametrize("by_sniffer", [False, True])
def test_the_exchange_that_was_asked_for(tmp_path: Path, by_sniffer: bool) -> None:
    rows = []
    for number in range(4):
        address = 1 + number % 2
        ask = byd_pro.Codec(address=address).requests()[0][1]
        rows.append((number * 1_000_000, not by_sniffer, ask))
        answer = byd(address, 3300 + number)
        rows.append((number * 1_000_000 + 50_000, False, answer[:40]))
        rows.append((number * 1_000_000 + 90_000, False, answer[40:]))
    path = recording(tmp_path / "bms.jsonl", rows)
    for at, cell, address in ((None, 3300, None), ("2.9", 3303, 2), ("1.2", 3301, 2)):
        done = run("byd_pro", path, *(["--at", at] if at else []))
        assert done.exit_code == 0, done.output
        made = json.loads(done.stdout)
        assert made["expect"]["cells_mv"][0] == cell
        assert made.get("options", {}).get("address") == address
        assert made["source"].startswith("recorded 2026-09-21T") and "link bms" in made["source"]


def test_settings_and_info_go_with_it(tmp_path: Path) -> None:
    vector = load("jk_pb", "live_settings_info")
    requests = [request for _, request in jk_pb.Codec(address=1).requests()]
    rows = []
    for at, slot in enumerate((2, 1, 0)):
        rows.append((at * 1000, True, requests[slot]))
        rows.append((at * 1000 + 500, False, requests[slot]))  # an echo
        rows.append((at * 1000 + 600, False, bytes.fromhex(vector["frames"][slot])))
    done = run("jk_pb", recording(tmp_path / "jk.jsonl", rows))
    assert json.loads(done.stdout)["requests"] == vector["requests"]
    assert json.loads(done.stdout)["expect"]["serial"] == vector["expect"]["serial"]


def test_refused(tmp_path: Path) -> None:
    done = run("byd_pro", recording(tmp_path / "x", [(0, False, b"abc")]))
    assert (done.exit_code, done.stdout) == (1, "")
    assert "no unit of byd_pro says anything in it" in done.stderr
    assert run("byd_pro", "00 01").exit_code == 1
    assert run("deye_rs485", "00 01").exit_code == 2
