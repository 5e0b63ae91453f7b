"""A site records itself, and its recording makes the same bank again."""

import asyncio
import json
import os
import time
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from vbms import recording
from vbms.__main__ import main
from vbms.app import Site
from vbms.config import load
from vbms.recording import Recorders

YAML = """
links:
  byd: {kind: simulate, baud: 9600}
  jk: {kind: simulate, baud: 115200}
  inv: {kind: simulate, baud: 9600}
  other: {kind: simulate, baud: 9600}
batteries:
  - {name: byd-1, profile: byd_pro_2_5, link: byd, address: 1}
  - {name: byd-2, profile: byd_pro_2_5, link: byd, address: 2}
  - {name: jk-1, profile: jk_pb, link: jk, address: 1}
  - {name: gone, profile: byd_pro_2_5, link: other, address: 1}
inverters:
  - {name: deye, profile: deye_rs485, link: inv}
bank: {steady_s: 0.1}
simulate: {faults: [{unit: byd-2, fault: silence, at_s: 5.5, for_s: 60}]}
"""
READ_0 = bytes.fromhex("000410000017B515")


def call(*words: str) -> Result:
    return CliRunner().invoke(main, list(words))


@pytest.fixture(scope="module")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a configuration and what its links carried for some seconds."""
    folder = tmp_path_factory.mktemp("recorded")
    (folder / "vbms.yaml").write_text(YAML)

    async def body() -> None:
        site = Site(load(folder / "vbms.yaml"))
        site.recorders = Recorders(folder)
        await site.start()
        path = site.inverters["deye"].path
        assert path is not None
        inverter = os.open(path, os.O_RDWR | os.O_NOCTTY)
        for _ in range(7):  # the first two while the lines are only listened to
            await asyncio.sleep(1)
            os.write(inverter, READ_0)
        await asyncio.sleep(0.3)
        os.close(inverter)
        await site.close()
        await site.recorders.close()

    asyncio.run(body())
    return folder


def test_full_speed(recorded: Path) -> None:
    files = [str(recorded / f"{name}.jsonl") for name in ("byd", "jk", "inv")]
    began = time.monotonic()
    done = call("-c", str(recorded / "vbms.yaml"), "replay", *files, "--json", "--every", "1")
    assert done.exit_code == 0, done.output
    rows = [json.loads(line) for line in done.stdout.splitlines()]
    assert time.monotonic() - began < 5 and 5.5 < rows[-1]["t_s"] < 7.5
    assert "gone: there is no recording of other" in done.stderr
    last = rows[-1]["units"]
    # What the file says was heard is what the bank has, to the last frame.
    from vbms.upstream.byd_pro import Codec
    from vbms.wire.receiver import Receiver

    receiver, codec = Receiver(Codec().take), Codec(address=1)
    events = recording.read(recorded / "byd.jsonl").events
    heard = [f for _, sent, data in events if not sent for f in receiver.feed(data)]
    frames = [frame for frame in heard if codec.slot(frame) == 0]
    assert last["byd-1"]["cells_mv"] == list(codec.decode((frames[-1],), 0).cells_mv or ())
    assert len(frames) - 1 <= last["byd-1"]["counters"]["polls"] <= len(frames) + 2
    assert last["byd-2"]["age_ms"] > 1500 and last["byd-2"]["counters"]["timeouts"] >= 2
    assert last["byd-1"]["age_ms"] < 2500 and last["jk-1"]["cell_count"] == 16
    assert rows[-1]["bank"]["state"] == "normal" and rows[-1]["bank"]["ccl_ma"] > 0
    again = call("-c", str(recorded / "vbms.yaml"), "replay", *files, "--json", "--every", "1")
    assert again.stdout == done.stdout


def test_real_speed_for_people(recorded: Path) -> None:
    began = time.monotonic()
    file = str(recorded / "jk.jsonl")
    done = call("-c", str(recorded / "vbms.yaml"), "replay", file, "--speed", "real")
    assert done.exit_code == 0, done.output
    assert time.monotonic() - began > 5
    (bank, unit) = done.stdout.splitlines()
    assert "bank normal" in bank and "charge" in bank
    assert unit.split()[:2] == ["jk-1", "fresh"]


def test_refusals(recorded: Path, tmp_path: Path) -> None:
    yaml = str(recorded / "vbms.yaml")
    for words, wrong in (
        ([str(tmp_path / "none")], "cannot be read"),
        ([yaml], "no JSON"),
        ([str(recorded / "inv.jsonl")], "no battery of the configuration is on a recorded link"),
        ([str(recorded / "jk.jsonl")] * 2, "two recordings of link jk"),
    ):
        done = call("-c", yaml, "replay", *words)
        assert done.exit_code == 2 and wrong in done.stderr, done.output
    (tmp_path / "x.jsonl").write_text('{"recording": 1, "link": "nowhere"}\n')
    done = call("-c", yaml, "replay", str(tmp_path / "x.jsonl"))
    assert done.exit_code == 2 and "of link nowhere, the configuration has: byd" in done.stderr
