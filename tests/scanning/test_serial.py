"""`vbms scan serial`: what answers is found and named, and nobody is talked over."""

import asyncio
import json
import os
from pathlib import Path
from typing import Any

import pytest
import yaml
from click.testing import CliRunner

from vbms import scanning
from vbms.__main__ import main
from vbms.config import load_text
from vbms.errors import LinkError
from vbms.simulate import byd_pro, jk_payload
from vbms.simulate.byd_pro import BydPro
from vbms.simulate.deye import Deye
from vbms.simulate.jk_pb import JkMaster, JkPb
from vbms.simulate.line import PacedLine
from vbms.simulate.world import World


async def scan(*words: str) -> tuple[int, str, str]:
    done = await asyncio.to_thread(
        CliRunner().invoke, main, ["scan", "serial", "--listen", "0.4", *words]
    )
    return done.exit_code, done.stdout, done.stderr


def byd(world: World, address: int) -> BydPro:
    return BydPro(world.add(f"byd-{address}", "byd_pro", settings=byd_pro.settings()), address)


async def test_two_modules_and_a_jk_on_one_line() -> None:
    line, world = PacedLine(115200, "bus"), World(1)
    line.attach(byd(world, 0))
    line.attach(byd(world, 5))
    pack = world.add("jk", "jk_pb", 16, 200.0, 0.7, settings=jk_payload.settings())
    line.attach(JkPb(pack, 3))
    line.faults.add("echo")
    await line.start()
    try:
        code, text, said = await scan("--port", line.path, "--baud", "115200", "--addresses", "0-5")
    finally:
        line.close()
    assert code == 0, said
    found = yaml.safe_load(text)
    rows = {(row["profile"], row["address"]) for row in found["batteries"]}
    assert rows == {("byd_pro_2_5", 0), ("byd_pro_2_5", 5), ("jk_pb", 3)}
    assert found["links"]["bus1"] == {"kind": "serial", "port": line.path, "baud": 115200}
    assert "16 cells" in text and "serial" in text
    assert load_text(text).batteries[0].link == "bus1"  # ready to paste


@pytest.mark.parametrize("by", ["inverter", "jk master"])
async def test_nobody_is_talked_over(by: str) -> None:
    world = World(1)
    line = PacedLine(9600 if by == "inverter" else 115200, "bus", far=True)
    polling = None
    if by == "inverter":
        polling = asyncio.create_task(Deye(line.far_path, baud=9600).run())
    else:
        pack = world.add("jk", "jk_pb", 16, 200.0, 0.7, settings=jk_payload.settings())
        line.attach(JkMaster(pack))
    await line.start()
    sent: list[bytes] = []
    send = line.send

    def note(source: Any, data: bytes, start_s: float) -> None:
        if source is line._ports[0]:
            sent.append(data)
        send(source, data, start_s)

    line.send = note  # type: ignore[method-assign]
    try:
        code, text, _ = await scan(
            "--port", line.path, "--baud", str(line.baud), "--listen", "2.2", "--json"
        )
    finally:
        if polling is not None:
            polling.cancel()
        line.close()
    (row,) = json.loads(text)
    assert (code, sent, row["master"], row["batteries"]) == (0, [], True, [])
    wanted = "deye_rs485" if by == "inverter" else "jk_pb"
    assert any(wanted in said for said in row["heard"])


class Scripted:
    """A link on which one byd_pro answers, at one speed; others may speak in between."""

    name, byte_us = "x", 0
    writes: list[tuple[int, bytes]] = []

    def __init__(self, baud: int, answers: "dict[bytes, bytes]", stray_after: int = 999) -> None:
        self.baud = baud
        self.answers = answers
        self.stray_after = stray_after
        self._waiting = b""

    async def open(self) -> None:
        pass

    def close(self) -> None:
        pass

    async def write(self, data: bytes) -> None:
        Scripted.writes.append((self.baud, data))
        if len(Scripted.writes) > self.stray_after:
            self._waiting = b"somebody else"
        elif self.baud == 19200:
            self._waiting = self.answers.get(data, b"")

    async def read(self, timeout_ms: int) -> bytes:
        data, self._waiting = self._waiting, b""
        if not data:
            await asyncio.sleep(min(timeout_ms, 2) / 1000)
        return data


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scanning, "_GAP_MS", 1)
    Scripted.writes = []


ANSWER = json.loads(
    (Path(__file__).parents[1] / "vectors" / "byd_pro" / "discharging.json").read_text()
)


async def test_each_speed_until_somebody_answers(quick: None) -> None:
    ask, said = (bytes.fromhex(ANSWER[key][0]) for key in ("requests", "frames"))
    make = lambda baud: Scripted(baud, {ask: said})  # noqa: E731
    probes = scanning.probes(["byd_pro"])
    bauds = scanning.bauds_of(["byd_pro"])
    assert bauds[:3] == [9600, 115200, 19200] and len(probes) == 16
    found = await scanning.scan("x", make, bauds, probes, 10, lambda _: None)
    assert [(one.protocol, one.address, one.baud) for one in found.batteries] == [
        ("byd_pro", 1, 19200)
    ]
    assert [baud for baud, _ in Scripted.writes] == [9600] * 16 + [115200] * 16 + [19200] * 16


async def test_it_falls_silent_when_somebody_begins_to_speak(quick: None) -> None:
    make = lambda baud: Scripted(baud, {}, stray_after=3)  # noqa: E731
    found = await scanning.scan("x", make, [9600, 19200], scanning.probes(["jk_pb"]), 10, print)
    assert found.unreadable == {(9600, "jk_pb")}  # each could have been an answer
    assert found.has_master and len(Scripted.writes) == 3 + 3


async def test_stray_bytes_in_a_gap_end_the_asking(quick: None) -> None:
    class Chatty(Scripted):
        async def read(self, timeout_ms: int) -> bytes:
            if len(Scripted.writes) == 2 and timeout_ms <= 2:
                return b"not for us"
            return await super().read(timeout_ms)

    found = await scanning.scan(
        "x", lambda baud: Chatty(baud, {}), [9600, 19200], scanning.probes(["byd_pro"]), 10, print
    )
    assert found.has_master and not found.batteries
    assert [baud for baud, _ in Scripted.writes] == [9600, 9600]


async def test_a_port_that_cannot_be_opened(tmp_path: Path) -> None:
    code, text, said = await scan("--port", str(tmp_path / "none"))
    assert code == 1 and "does not exist" in said and "does not exist" in text

    class Shut(Scripted):
        async def open(self) -> None:
            raise LinkError("x is in use")

    found = await scanning.scan("x", lambda baud: Shut(baud, {}), [9600], [], 10, print)
    assert found.error == "x is in use"


async def test_a_link_of_the_configuration(tmp_path: Path) -> None:
    file = tmp_path / "vbms.yaml"
    file.write_text(
        "links: {a: {kind: serial, port: /dev/null/x, baud: 9600}, s: {kind: simulate, baud: 9600}}\n"
        "batteries: [{name: b, profile: byd_pro_2_5, link: a, address: 1}]\n"
    )
    for name, code in (("s", 2), ("nothing", 2), ("a", 1)):
        done = await asyncio.to_thread(
            CliRunner().invoke, main, ["-c", str(file), "scan", "serial", "--link", name]
        )
        assert done.exit_code == code, done.output
    assert (
        "there are: a"
        in CliRunner().invoke(main, ["-c", str(file), "scan", "serial", "--link", "s"]).stderr
    )


def test_words_that_mean_nothing() -> None:
    for words in (["--protocol", "x"], ["--addresses", "a-b"]):
        assert CliRunner().invoke(main, ["scan", "serial", *words]).exit_code == 2
    assert os.path.exists("/dev")
    assert set(scanning.scannable()) >= {"byd_pro", "jk_pb"}
    assert "mqtt_pack" not in scanning.scannable()
