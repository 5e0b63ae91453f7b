"""`vbms sniff`: both sides of a paced line are heard, named and recorded, and nothing is said."""

import asyncio
import json
import os
from pathlib import Path

import pytest
from click.testing import CliRunner

from tests.mqtt.conftest import Broker, broker  # noqa: F401
from vbms import recording
from vbms.__main__ import main
from vbms.simulate import byd_pro
from vbms.simulate.byd_pro import BydPro
from vbms.simulate.line import PacedLine
from vbms.simulate.world import World

ASK = bytes.fromhex("030004010355aa07")


async def sniff(*words: str) -> tuple[int, str]:
    done = await asyncio.to_thread(CliRunner().invoke, main, list(words))
    return done.exit_code, done.output


async def test_both_sides_of_a_line(tmp_path: Path) -> None:
    line = PacedLine(9600, "bms", far=True)
    line.attach(BydPro(World(1).add("byd-3", "byd_pro", settings=byd_pro.settings()), 3))
    await line.start()
    master = os.open(line.path, os.O_RDWR | os.O_NOCTTY)
    file = tmp_path / "bms.jsonl"
    try:
        words = ("sniff", line.far_path, "--seconds", "1.5", "--record", str(file))
        sniffing = asyncio.create_task(sniff(*words))
        await asyncio.sleep(0.5)
        before = line.bytes_in
        os.write(master, ASK)
        code, text = await sniffing
        assert line.bytes_in - before == len(ASK)  # the master's alone
    finally:
        os.close(master)
        line.close()
    assert code == 0, text
    assert "03 00 04 01 03 55 aa 07" in text and "byd_pro address 3: asked" in text
    (answer,) = [row for row in text.splitlines() if "byd_pro address 3: 5" in row]
    assert "V," in answer and "%" in answer
    heard = b"".join(data for _, sent, data in recording.read(file).events if not sent)
    assert heard.startswith(ASK) and len(heard) == len(ASK) + 105
    done = CliRunner().invoke(main, ["decode", "byd_pro", str(file), "--as-vector"])
    assert json.loads(done.stdout)["options"] == {"address": 3}


async def test_a_broker(tmp_path: Path, broker: Broker) -> None:  # noqa: F811
    from vbms.links.mqtt_client import MqttClient

    yaml = tmp_path / "vbms.yaml"
    yaml.write_text(
        f"links: {{air: {{kind: mqtt, url: '{broker.url}'}}}}\n"
        "batteries: [{name: far, profile: mqtt_pack, link: air, address: far}]\n"
    )
    sniffing = asyncio.create_task(sniff("-c", str(yaml), "sniff", "air", "--seconds", "1"))
    client = MqttClient("x", broker.url)
    await client.open()
    await asyncio.sleep(0.5)
    await client.publish("other", b"{}")
    await client.publish("far", b'{"voltage_mv": 51200}')
    code, text = await sniffing
    client.close()
    assert code == 0, text
    assert 'far {"voltage_mv": 51200}' in text and "mqtt_pack: 51.20 V" in text
    assert "other" not in text


@pytest.mark.parametrize(
    ("name", "code", "wrong"),
    [
        ("nothing", 2, "there is no link nothing (there are: sim"),
        ("sim", 2, "sim is a simulate link"),
        ("/no/such/port", 1, "does not exist: plug the adapter in"),
    ],
)
def test_refusals(tmp_path: Path, name: str, code: int, wrong: str) -> None:
    yaml = tmp_path / "vbms.yaml"
    yaml.write_text(
        "links: {sim: {kind: simulate, baud: 9600}}\n"
        "batteries: [{name: a, profile: byd_pro_2_5, link: sim, address: 1}]\n"
    )
    done = CliRunner().invoke(main, ["-c", str(yaml), "sniff", name])
    assert done.exit_code == code and wrong in done.output
