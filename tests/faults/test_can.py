"""An inverter on a CAN bus: the whole program, its adapter pulled out, its batteries silenced."""

from __future__ import annotations

import asyncio
import re
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.loop.slcan_far_end import SlcanFarEnd
from vbms.app import Site
from vbms.config import load_text
from vbms.lines.broadcasting import BroadcastingLine
from vbms.simulate.can_inverter import CanInverter
from vbms.simulate.can_wire import CanLine

BATTERIES = """
batteries:
  - {name: byd-1, profile: byd_pro_2_5, link: byd, address: 1, fresh_s: 1, hold_s: 3, poll_s: 0.2}
bank: {steady_s: 0.5, rise_percent: 100}
web: {listen: 127.0.0.1:0}
"""


async def until(fits: Callable[[], object], timeout_s: float = 15) -> None:
    async with asyncio.timeout(timeout_s):
        while not fits():
            await asyncio.sleep(0.02)


# ---- from outside


@pytest.fixture
def channel(tmp_path: Path) -> Path:
    return tmp_path / "can-adapter"


@pytest.fixture
def program(tmp_path: Path, channel: Path) -> Iterator[subprocess.Popen[str]]:
    """`vbms run` with a serial adapter as its CAN bus; its log goes to a file."""
    config = tmp_path / "vbms.yaml"
    config.write_text(f"""
links:
  byd: {{kind: simulate, baud: 9600}}
  can: {{kind: can, interface: slcan, channel: {channel}, bitrate: 500000}}
{BATTERIES}
inverters: [{{name: deye, profile: deye_can, link: can}}]
state_dir: {tmp_path / "state"}
""")
    with (tmp_path / "log").open("w") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "vbms", "-c", str(config), "run"], stderr=log, text=True
        )
        try:
            yield process
        finally:
            process.kill()
            process.wait()


def values(frames: list[tuple[float, str, bytes]]) -> dict[str, bytes]:
    return {can_id: data for _, can_id, data in frames}


def test_a_serial_adapter_by_hand_gets_the_set_each_second(
    program: subprocess.Popen[str], channel: Path, tmp_path: Path
) -> None:
    """The adapter is pulled out, another is put in; the far end knows nothing of python-can."""
    adapter = SlcanFarEnd()
    channel.symlink_to(adapter.path)
    adapter.wait_for(19, 30)
    times = [at for at, can_id, _ in adapter.frames if can_id == "351"]
    assert all(0.5 < b - a < 1.5 for a, b in zip(times, times[1:], strict=False))
    said = values(adapter.frames)
    assert set(said) == {"359", "351", "355", "356", "35C", "35E"}
    assert said["35E"] == b"PYLON   "
    assert said["359"][5:7] == b"PN"
    assert 4000 < int.from_bytes(said["356"][:2], "little") < 6000
    adapter.unplug()
    channel.unlink()
    other = SlcanFarEnd()
    channel.symlink_to(other.path)
    other.wait_for(7, 30)
    log = (tmp_path / "log").read_text()
    assert len(re.findall("ERROR.* can: slcan", log)) in (1, 2)  # gone, and perhaps not there
    assert "the inverter is heard" in log
    port = re.search(r"http://127\.0\.0\.1:(\d+)", log)
    assert port is not None, log
    address = f"http://127.0.0.1:{port[1]}/metrics"
    metrics = urllib.request.urlopen(address, timeout=5).read().decode()
    out = re.search(r'vbms_link_frames_total\{direction="out",link="can"\} ([\d.]+)', metrics)
    assert out is not None
    assert float(out[1]) >= 25
    assert 'vbms_link_errors_total{kind="bus",link="can"} 0.0' in metrics
    assert 'vbms_inverter_silent{inverter="deye"} 0.0' in metrics
    began = time.monotonic()
    program.send_signal(signal.SIGTERM)
    assert program.wait(5) == 0
    assert time.monotonic() - began < 2
    assert not other.is_open
    other.close()


# ---- inside: the ladder, and an inverter that checks


async def test_the_ladder_holds_on_a_bus(tmp_path: Path) -> None:
    """Fresh data: a set each second; none: limits 0 and switches off, then not a single frame."""
    site = Site(
        load_text(
            f"""
links:
  byd: {{kind: simulate, baud: 9600}}
  can: {{kind: simulate}}
{BATTERIES}
inverters: [{{name: deye, profile: deye_can, link: can, silent_after_s: 2}}]
simulate: {{faults: [{{unit: byd-1, fault: silence, at_s: 6, for_s: 6}}]}}
state_dir: {tmp_path}
"""
        )
    )
    await site.start()
    line = site.inverters["deye"]
    assert isinstance(line, BroadcastingLine)
    assert line.path is not None
    inverter = CanInverter("deye_can", port=line.path)
    running = asyncio.create_task(inverter.run())
    try:
        await until(lambda: inverter.told.charge_a)
        assert inverter.told.may_charge
        await until(lambda: inverter.told.charge_a == 0)
        assert inverter.told.may_charge is False
        assert inverter.told.may_discharge is False
        assert inverter.told.discharge_a == 0
        await until(lambda: line.silent)
        await asyncio.sleep(0.1)
        count = inverter.frames
        await asyncio.sleep(1.3)
        assert inverter.frames == count
        await until(lambda: inverter.frames > count)  # it comes back by itself
        assert not inverter.violations
        # What is on its way has its time; all that was sent arrives, and nothing else.
        await until(lambda: line.requests == inverter.beats)
        stats = line.link_stats
        await until(lambda: stats(site.clock.now_ms())["frames_out"] == inverter.frames)
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
        await site.close()


async def test_a_large_bank_is_told_whole(tmp_path: Path) -> None:
    """Where DEYE's registers divide 700 Ah among addresses, one CAN set holds any bank."""
    rows = "\n".join(
        f"  - {{name: jk-{n}, profile: jk_pb, link: jk, address: {n}, capacity_ah: 280}}"
        for n in range(1, 4)
    )
    site = Site(
        load_text(
            f"""
links:
  jk: {{kind: simulate, baud: 115200}}
  can: {{kind: simulate}}
batteries:
{rows}
bank: {{steady_s: 0, start_s: 0}}
inverters: [{{name: growatt, profile: luxpower_can, link: can}}]
state_dir: {tmp_path}
"""
        )
    )
    await site.start()
    path = site.inverters["growatt"].path
    inverter = CanInverter("luxpower_can", port=path)
    running = asyncio.create_task(inverter.run())
    try:
        await until(lambda: (inverter.told.capacity_ah or 0) > 700, 20)
        assert inverter.told.modules == 3
        assert not inverter.violations
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
        await site.close()


async def test_errors_on_the_bus_are_one_line_and_a_metric(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Nobody else on the bus runs at this bit rate: the adapter's queue fills and it refuses."""
    line = CanLine()
    line.wire.bitrate = 250_000
    await line.start()
    site = Site(
        load_text(
            f"""
links:
  byd: {{kind: simulate, baud: 9600}}
  can: {{kind: can, interface: slcan, channel: {line.path}}}
{BATTERIES}
inverters: [{{name: deye, profile: deye_can, link: can}}]
state_dir: {tmp_path}
"""
        )
    )
    await site.start()
    try:
        told = site.inverters["deye"]
        assert isinstance(told, BroadcastingLine)
        await until(lambda: told.bus.errors["refused"] > 12, 20)
        await asyncio.sleep(1.1)
        lines = [record for record in caplog.records if "bit/s" in record.getMessage()]
        assert len(lines) == 1
        assert "500000 bit/s" in lines[0].getMessage()
        text = site.view.metrics_text().decode()
        refused = re.search(r'vbms_link_errors_total\{kind="refused",link="can"\} (\d+)', text)
        assert refused is not None
        assert int(refused[1]) > 12
        assert told.is_open
    finally:
        await site.close()
        line.close()
