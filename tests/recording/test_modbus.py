"""A Battery-Box, recorded over TCP through the real client, and played without one."""

import asyncio
import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from tests.registers.sites import until
from vbms import recording
from vbms.__main__ import main
from vbms.app import Site
from vbms.config import load
from vbms.errors import FrameError, RefusedError, SilentError
from vbms.links.replay_modbus import ReplayModbus
from vbms.recording import Recorders
from vbms.replaying import JumpingLoop
from vbms.simulate.byd_battery_box import BatteryBoxServer, make_box
from vbms.simulate.world import World
from vbms.wire.crc import crc16_bytes

YAML = """
links: {{box: {{kind: tcp, host: 127.0.0.1, port: {port}}}}}
batteries:
  - {{name: box, profile: byd_lvl, link: box, poll_s: 0.2, fresh_s: 1, hold_s: 30, reply_timeout_ms: 400, slow_timeout_ms: 400}}
bank: {{steady_s: 0.1, start_s: 2}}
state_dir: {folder}
"""


async def test_the_same_cells_again(tmp_path: Path) -> None:
    server = BatteryBoxServer(make_box(World(7), "lvl", "lvl", 2, 0.6))
    await server.start()
    (tmp_path / "vbms.yaml").write_text(YAML.format(port=server.port, folder=tmp_path))
    site = Site(load(tmp_path / "vbms.yaml"))
    site.recorders = Recorders(tmp_path)
    await site.start()
    unit = site.bank.units["box"]
    await until(lambda: unit.snapshot is not None and unit.snapshot.cells_mv is not None)
    assert unit.snapshot is not None
    cells = list(unit.snapshot.cells_mv or ())
    await site.close()
    await site.recorders.close()
    await server.close()

    def replay() -> str:
        file = str(tmp_path / "box.jsonl")
        done = CliRunner().invoke(
            main, ["-c", str(tmp_path / "vbms.yaml"), "replay", file, "--json", "--every", "1"]
        )
        assert done.exit_code == 0, done.output
        return done.stdout

    text = await asyncio.to_thread(replay)
    told = json.loads(text.splitlines()[-1])["units"]["box"]
    assert told["strings"] == 2 and len(told["cells_mv"]) == 32
    assert max(abs(one - other) for one, other in zip(told["cells_mv"], cells)) < 4
    assert told["counters"]["timeouts"] <= 1
    assert text == await asyncio.to_thread(replay)
    heads = {event[1] for event in recording.read(tmp_path / "box.jsonl").events}
    assert heads == {True, False}


def rtu(text: str) -> bytes:
    body = bytes.fromhex(text)
    return body + crc16_bytes(body)


def test_answers_refusals_noise_and_silence() -> None:
    ask, mbap = rtu("010300000002"), bytes.fromhex("000700000006 0203 0010 0001")
    events = [
        (0, True, ask),
        (9000, False, rtu("0103040001000f")),
        (1_000_000, True, mbap),
        (1_000_500, False, bytes.fromhex("0007000000050203 02 abcd")),
        (2_000_000, True, rtu("010400000001")),
        (2_009_000, False, rtu("018402")),
        (3_000_000, True, rtu("010300050001")),
        (3_001_000, False, b"\x01\x03"),
        (3_002_000, False, b"noise"),
        (4_000_000, True, rtu("010300060001")),
    ]

    async def body() -> None:
        link = ReplayModbus("x", events)
        await link.open()
        assert await link.read(1, 3, 0, 2, 400) == bytes.fromhex("0001000f")
        assert asyncio.get_running_loop().time() == pytest.approx(0.009)
        assert await link.read(2, 3, 16, 1, 400) == b"\xab\xcd"
        with pytest.raises(RefusedError) as caught:
            await link.read(1, 4, 0, 1, 400)
        assert caught.value.code == 2
        for start, wrong in ((5, FrameError), (6, SilentError), (99, SilentError)):
            with pytest.raises(wrong):
                await link.read(1, 3, start, 1, 400)
        with pytest.raises(FrameError):
            await link.read(1, 3, 0, 7, 400)

    with asyncio.Runner(loop_factory=JumpingLoop) as runner:
        runner.run(body())
