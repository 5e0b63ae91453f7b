"""Batteries that arrive over a real mosquitto: fresh, aged, unreadable, and with the broker gone."""

import asyncio
import json
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from tests.mqtt.conftest import Broker
from vbms.app import Site
from vbms.config import load_text
from vbms.errors import LinkError
from vbms.links.mqtt_client import LONGEST, MqttClient
from vbms.simulate.mqtt_pack import MqttPack, play
from vbms.simulate.world import World

QUICK = "fresh_s: 1, hold_s: 3, poll_s: 0.2"
JSON = f"{{name: far, profile: mqtt_pack, link: air, address: far/bank, {QUICK}}}"
CELLS = (
    "{name: cells, profile: mqtt_pack, link: air, address: Powerwall, shape: pack, cells: 14, "
    f"capacity_ah: 50, max_charge_a: 20, max_discharge_a: 20, switches: absent, {QUICK}}}"
)


def yaml(broker: Broker, *batteries: str, extra: str = "") -> str:
    rows = "\n".join(f"  - {row}" for row in batteries)
    links = f"  air: {{kind: mqtt, url: '{broker.url}'}}\n"
    return f"links:\n{links}batteries:\n{rows}\nbank: {{steady_s: 0.1, start_s: 2}}\n{extra}"


@asynccontextmanager
async def running(text: str) -> AsyncIterator[Site]:
    with tempfile.TemporaryDirectory(prefix="vbms-state-") as folder:
        site = Site(load_text(f"{text}\nstate_dir: {folder}\n", Path("vbms.yaml")))
        await site.start()
        try:
            yield site
        finally:
            await site.close()


@asynccontextmanager
async def connected(broker: Broker) -> AsyncIterator[MqttClient]:
    client = MqttClient("test", broker.url)
    await client.open()
    try:
        yield client
    finally:
        client.close()


async def until(what: Callable[[], bool | Awaitable[bool]], seconds: float = 10) -> None:
    end_s = time.monotonic() + seconds
    while True:
        done = what()
        if done if isinstance(done, bool) else await done:
            return
        assert time.monotonic() < end_s, "it did not come to pass"
        await asyncio.sleep(0.02)


def state(site: Site, name: str) -> Callable[[], str]:
    return lambda: site.bank.units[name].state


@asynccontextmanager
async def telling(broker: Broker, pack: MqttPack, world: World) -> AsyncIterator[None]:
    client = MqttClient("sim", broker.url)
    task = asyncio.create_task(play(client, [pack], world, every_s=0.1))
    try:
        yield
    finally:
        task.cancel()
        client.close()


async def test_two_shapes_and_a_broker_that_goes(
    broker: Broker, caplog: pytest.LogCaptureFixture
) -> None:
    world = World(3)
    far = MqttPack(world.add("far", "mqtt_pack", 16, 100.0, 0.6), "far/bank")
    cells = MqttPack(world.add("cells", "mqtt_pack", 14, 50.0, 0.6), "Powerwall", "pack")
    async with running(yaml(broker, JSON, CELLS)) as site, telling(broker, far, world):
        async with telling(broker, cells, world):
            await until(lambda: state(site, "far")() == state(site, "cells")() == "fresh")
            snap = site.bank.units["far"].snapshot
            assert snap is not None and snap.serial == "SIM-far" and len(snap.cells_mv or ()) == 16
            snap = site.bank.units["cells"].snapshot
            assert snap is not None and snap.voltage_mv == sum(snap.cells_mv or (1,))
            assert len(snap.cells_mv or ()) == 14 and len(snap.temps_mc or ()) == 4
            assert site.bank.units["far"].told_ma[0] > 0
            assert site.bank.units["cells"].told_ma[0] > 0
        await until(lambda: state(site, "cells")() == "hold")
        assert state(site, "far")() == "fresh"

        broker.stop()
        await until(lambda: state(site, "far")() == "hold")
        assert site.lines["air"].is_open is False
        broker.start()
        await until(lambda: state(site, "far")() == "fresh", 15)
        errors = [record.message for record in caplog.records if record.levelname == "ERROR"]
        assert errors and all("broker" in text and broker.url[7:] in text for text in errors)


async def test_what_is_retained_is_not_fresh(broker: Broker) -> None:
    message = json.dumps(
        {"voltage_mv": 53120, "cells_mv": [3320] * 16, "soc_permille": 600}
    ).encode()
    async with connected(broker) as client:
        await client.publish("far/bank", message, retain=True)
        async with running(yaml(broker, JSON)) as site:
            await until(lambda: site.lines["air"].link_stats(0)["errors"]["retained"] == 1)
            assert site.bank.units["far"].life.seen is False
            for _ in range(3):
                await client.publish("far/bank", message, retain=True)  # live now, though kept too
            await until(lambda: state(site, "far")() == "fresh")
            assert site.lines["air"].link_stats(0)["errors"]["retained"] == 1


async def test_what_cannot_be_read_is_counted(
    broker: Broker, caplog: pytest.LogCaptureFixture
) -> None:
    async with running(yaml(broker, JSON)) as site, connected(broker) as client:
        await until(lambda: site.lines["air"].is_open)
        await asyncio.sleep(0.2)
        for payload in (
            b"",
            b"\xff\xfe",
            b"[" * LONGEST,
            b"{" * (LONGEST + 1),
            b'{"voltage_mv": 1e5}',
        ):
            await client.publish("far/bank", payload)
        await client.publish("far/bank/other", b"{}")
        counters = site.lines["air"].polled["far"].counters
        await until(lambda: counters["bad_frames"] == 4)
        assert site.lines["air"].link_stats(0)["errors"]["oversized"] == 1
        said = [record.message for record in caplog.records if "unreadable" in record.message]
        assert len(said) == 1
        assert site.bank.units["far"].life.seen is False


async def test_a_reader_that_is_late_loses_the_oldest(
    broker: Broker, monkeypatch: pytest.MonkeyPatch
) -> None:
    import collections

    async with connected(broker) as reader, connected(broker) as writer:
        reader._waiting = collections.deque(maxlen=5)
        monkeypatch.setattr("vbms.links.mqtt_client.MOST_WAITING", 5)
        await reader.subscribe(["t"])
        for n in range(12):
            await writer.publish("t", b"%d" % n)
        await until(lambda: reader.counts["dropped"] == 7)
        assert [await reader.read(100) for _ in range(6)] == [
            *(b"t %d\n" % n for n in range(7, 12)),
            b"",
        ]


async def test_a_refusal_says_what_to_do(broker: Broker) -> None:
    broker.stop()
    client = MqttClient("air", broker.url)
    with pytest.raises(LinkError, match="cannot be reached.*is the broker on"):
        await client.open()
    broker.configure("allow_anonymous false")
    broker.start()
    with pytest.raises(LinkError, match="check username and password"):
        await client.open()
    with pytest.raises(LinkError):
        await client.publish("a", b"b")
    with pytest.raises(LinkError):
        await client.read(10)


def test_the_broker_of_the_section_is_taken(tmp_path: Path) -> None:
    text = "links: {air: {kind: mqtt}}\nbatteries:\n  - {name: a, profile: mqtt_pack, link: air, address: x}\n"
    section = "mqtt: {url: 'mqtts://b.lan', username: u, password: geheim}\n"
    settings = load_text(text + section, tmp_path / "vbms.yaml")
    link = settings.links["air"]
    assert (link.url, link.username, link.password) == ("mqtts://b.lan", "u", "geheim")
    assert "geheim" not in str(settings.masked())
    client = MqttClient("air", link.url or "")
    assert (client.host, client.port, client.secure) == ("b.lan", 8883, True)
    with pytest.raises(Exception, match="links.air.url") as caught:
        load_text(text, tmp_path / "vbms.yaml")
    assert "no section mqtt" in str(caught.value)
