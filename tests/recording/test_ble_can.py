"""Bluetooth, a chain of modules, an inverter on a CAN bus: recorded, and played without any of them."""

import asyncio
import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from tests.ble.conftest import bus  # noqa: F401
from tests.registers.sites import until
from vbms import recording
from vbms.__main__ import main
from vbms.aggregate.bank import Bank
from vbms.aggregate.snapshot import FIELDS, Snapshot
from vbms.app import Site
from vbms.config import load
from vbms.lines.broadcasting import BroadcastingLine
from vbms.links.can_bus import from_bytes, to_bytes
from vbms.links.replay_ble import sessions
from vbms.recording import Recorders
from vbms.simulate.can_inverter import CanInverter

YAML = """
links: {{air: {{kind: simulate}}, can: {{kind: simulate}}}}
batteries:
  - {{name: jk, profile: jk_ble, link: air, address: "C8:47:80:00:00:01", gap_ms: 10}}
  - {{name: jbd, profile: jbd, link: air, address: "A4:C1:38:00:00:02", poll_s: 0.3, gap_ms: 10}}
inverters: [{{name: deye, profile: deye_can, link: can}}]
bank: {{steady_s: 0.1}}
state_dir: {folder}
"""
Got = list[tuple[str, tuple[object, ...]]]


@pytest.fixture
def got(monkeypatch: pytest.MonkeyPatch) -> Got:
    """Every snapshot that a bank is given, without its time."""
    found: Got = []
    accept = Bank.accept

    def noted(bank: Bank, name: str, snap: Snapshot, now_ms: int) -> object:
        found.append((name, tuple(getattr(snap, field) for field in FIELDS[1:])))
        return accept(bank, name, snap, now_ms)

    monkeypatch.setattr(Bank, "accept", noted)
    return found


async def live(folder: Path, got: Got) -> int:
    """Some seconds of the site, the JK's link drops once; how many frames of the inverter came."""
    (folder / "vbms.yaml").write_text(YAML.format(folder=folder))
    site = Site(load(folder / "vbms.yaml"))
    site.recorders = Recorders(folder)
    await site.start()
    line = site.inverters["deye"]
    assert isinstance(line, BroadcastingLine) and line.path is not None
    inverter = CanInverter("deye_can", port=line.path)
    running = asyncio.create_task(inverter.run())
    count = lambda name: sum(each[0] == name for each in got)  # noqa: E731
    await until(lambda: count("jk") > 1 and count("jbd") > 1, 40)
    assert site.simulation._air is not None
    air = site.simulation._air.air
    air.bluez.drop(air.peripherals["jk"])
    had = count("jk")
    await until(lambda: count("jk") > had + 1 and line.bus.sent > 12 and line.requests > 1, 40)
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
    await until(lambda: line.requests == inverter.beats)  # what is on its way arrives
    requests = line.requests
    await site.close()
    await site.recorders.close()
    return requests


def call(folder: Path, *words: str) -> Result:
    return CliRunner().invoke(main, ["-c", str(folder / "vbms.yaml"), *words])


async def test_the_same_again(tmp_path: Path, got: Got, bus: None) -> None:  # noqa: F811
    requests = await live(tmp_path, got)
    names = sorted(file.name for file in tmp_path.glob("*.jsonl"))
    assert names == ["air@jbd.jsonl", "air@jk.jsonl", "can.jsonl"]
    before = {name: [values for unit, values in got if unit == name] for name in ("jk", "jbd")}
    jk = recording.read(tmp_path / "air@jk.jsonl")
    assert (jk.link, jk.battery, jk.head["protocols"]) == ("air", "jk", ["jk_ble"])
    assert len(sessions(jk.events)) == 2
    marks = [sent for _, sent, data in jk.events if not data]
    assert marks == [True, False, True, False]
    files = [str(tmp_path / name) for name in names]

    def replay() -> str:
        got.clear()
        done = call(tmp_path, "replay", *files, "--json", "--every", "1")
        assert done.exit_code == 0, done.output
        return done.stdout

    text = await asyncio.to_thread(replay)
    after = {name: [values for unit, values in got if unit == name] for name in ("jk", "jbd")}
    assert after["jk"] == before["jk"]  # it streams: every frame, none twice
    assert len(after["jbd"]) > 1 and all(values in before["jbd"] for values in after["jbd"])
    last = json.loads(text.splitlines()[-1])
    assert last["units"]["jk"]["cell_count"] == 16
    assert text == await asyncio.to_thread(replay)

    # What the inverter said is heard again; what it was told is readable.
    can = [from_bytes(data) for _, sent, data in recording.read(Path(files[2])).events if not sent]
    assert sum(frame is not None and frame[0] == 0x305 for frame in can) == requests
    done = await asyncio.to_thread(call, tmp_path, "decode", "deye_can", files[2])
    assert done.exit_code == 0 and "charge_limit" in done.stdout, done.output
    done = await asyncio.to_thread(call, tmp_path, "decode", "jk_ble", files[1], "--as-vector")
    vector = json.loads(done.stdout)
    assert vector["protocol"] == "jk_ble" and len(vector["expect"]["cells_mv"]) == 16


async def test_a_chain_of_modules(tmp_path: Path, got: Got) -> None:
    (tmp_path / "vbms.yaml").write_text(
        "links: {line: {kind: simulate}}\n"
        "batteries: [{name: chain, profile: pack_chain, link: line, cells: 3, poll_s: 0.2}]\n"
        f"state_dir: {tmp_path}\n"
    )
    site = Site(load(tmp_path / "vbms.yaml"))
    site.recorders = Recorders(tmp_path)
    await site.start()
    await until(lambda: len(got) > 1)
    await site.close()
    await site.recorders.close()
    before = list(got)
    got.clear()
    file = str(tmp_path / "line.jsonl")
    done = await asyncio.to_thread(call, tmp_path, "replay", file)
    assert done.exit_code == 0 and got and all(each in before for each in got), done.output


def test_whose_connection_it_was(tmp_path: Path) -> None:
    (tmp_path / "vbms.yaml").write_text(YAML.format(folder=tmp_path))
    file = tmp_path / "x.jsonl"
    for head, wrong in (
        (
            '"link": "air", "battery": "gone"',
            "of gone on air, the configuration has there: jk, jbd",
        ),
        ('"link": "air"', "no battery of the configuration is on a recorded link"),
    ):
        file.write_text('{"recording": 1, %s}\n' % head)
        done = call(tmp_path, "replay", str(file))
        assert done.exit_code == 2 and wrong in done.output, done.output


def test_connections_of_a_recording() -> None:
    """Without its beginning, cut in two by hand, ended twice."""
    events = [
        *[(5, False, b"a"), (9, False, b""), (10, False, b"")],
        *[(20, True, b""), (22, True, b"ask"), (25, False, b"b")],
        *[(40, True, b""), (50, False, b"c"), (60, False, b"")],
    ]
    found = [(each.began_us, each.ended_us, len(each.events)) for each in sessions(events)]
    assert found == [(5, 9, 1), (20, 25, 2), (40, 60, 1)]
    assert sessions([]) == []


@pytest.mark.parametrize(
    "frame",
    [(0x351, b"", False), (0x7FF, bytes(8), False), (0x1FFFFFFF, b"x", True), (0, b"", True)],
)
def test_a_frame_as_bytes(frame: tuple[int, bytes, bool]) -> None:
    assert from_bytes(to_bytes(*frame)) == frame


@pytest.mark.parametrize("text", ["", "000003", "00000800", "a0000000", "00000351" + 9 * "00"])
def test_no_frame(text: str) -> None:
    assert from_bytes(bytes.fromhex(text)) is None
