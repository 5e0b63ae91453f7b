"""One vbms tells a broker, another reads it: limits, ages, and what stands there when it is gone."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import aiomqtt

from tests.mqtt.conftest import Broker
from tests.mqtt.test_battery import running, state, until
from vbms.app import Site
from vbms.config import load_text
from vbms.publisher import bank_values
from vbms.upstream.mqtt_pack import Codec

QUICK = "fresh_s: 1, hold_s: 3, poll_s: 0.2"


def near(broker: Broker, topic: str = "near") -> str:
    """Two simulated batteries, told to the broker."""
    return f"""
links: {{byd: {{kind: simulate, baud: 9600}}}}
batteries:
  - {{name: byd-1, profile: byd_pro_2_5, link: byd, address: 1, {QUICK}}}
  - {{name: byd-2, profile: byd_pro_2_5, link: byd, address: 2, {QUICK}}}
bank: {{steady_s: 0.1, start_s: 4, max_charge_a: 30}}
mqtt: {{url: '{broker.url}', topic: {topic}}}
"""


def far(broker: Broker) -> str:
    """A site whose batteries are the other one's bank and one of its units."""
    age = "fresh_s: 6, hold_s: 9"
    return f"""
links: {{air: {{kind: mqtt}}}}
batteries:
  - {{name: whole, profile: mqtt_pack, link: air, address: near/bank, {age}}}
  - {{name: one, profile: mqtt_pack, link: air, address: near/units/byd-2, {age}, limits: profile, max_charge_a: 20, max_discharge_a: 20}}
bank: {{steady_s: 0.1, start_s: 4}}
mqtt: {{url: '{broker.url}', topic: far}}
"""


@asynccontextmanager
async def listening(broker: Broker, topic: str) -> AsyncIterator[dict[str, list[aiomqtt.Message]]]:
    """What a client of nobody's here hears, by topic."""
    heard: dict[str, list[aiomqtt.Message]] = {}

    async def listen(client: aiomqtt.Client) -> None:
        async for message in client.messages:
            heard.setdefault(message.topic.value, []).append(message)

    async with aiomqtt.Client("127.0.0.1", broker.port) as client:
        await client.subscribe(topic)
        task = asyncio.create_task(listen(client))
        try:
            yield heard
        finally:
            task.cancel()


def last(heard: dict[str, list[aiomqtt.Message]], topic: str) -> str:
    payload = heard[topic][-1].payload if topic in heard else b""
    assert isinstance(payload, bytes)
    return payload.decode()


async def test_another_vbms_reads_it(broker: Broker) -> None:
    async with running(near(broker)) as here, running(far(broker)) as there:
        await until(lambda: state(there, "whole")() == state(there, "one")() == "fresh", 15)
        whole = there.bank.units["whole"]
        snap = whole.snapshot
        bank = here.virtual
        assert snap is not None and snap.cell_high_mv is not None and snap.cell_low_mv is not None
        assert bank.cell_max_mv is not None and bank.cell_min_mv is not None
        assert abs(snap.cell_high_mv - bank.cell_max_mv) < 5  # the next second's, perhaps
        assert abs(snap.cell_low_mv - bank.cell_min_mv) < 5
        assert (snap.cells_mv, snap.cell_count) == (None, 16)
        assert snap.capacity_mah == bank.capacity_mah
        await until(lambda: whole.told_ma[0] > 0)  # once the limit there has begun to rise
        assert whole.told_ma[0] <= here.virtual.charge_limit_ma <= 30000
        one = there.bank.units["one"].snapshot
        assert (
            one is not None
            and one.model == "BYD PRO 2.5"
            and 0 < there.bank.units["one"].told_ma[0]
        )
        # A unit there that falls silent is old here, though messages about it go on.
        here.lines["byd"].link.close()
        await here.lines["byd"].stop()
        await until(lambda: here.state() == "zero")
        await until(lambda: there.bank.units["whole"].age_ms > 1500, 5)


async def test_status_and_will(broker: Broker) -> None:
    async with listening(broker, "near/#") as heard:
        async with running(near(broker)) as site:
            await until(lambda: "near/units/byd-2" in heard and "near/bank" in heard)
            assert last(heard, "near/status") == "online"
            one = json.loads(last(heard, "near/units/byd-1"))
            assert one["state"] in ("joining", "fresh") and 0 <= one["age_ms"] < 1000
            assert len(one["cells_mv"]) == 16
            # The connection breaks: the broker says so, and soon it is mended.
            assert site.publisher is not None
            client = site.publisher.client._client
            assert client is not None
            client._client.socket().shutdown(2)
            await until(lambda: "offline" in [m.payload.decode() for m in heard["near/status"]])
            await until(lambda: last(heard, "near/status") == "online")
        await until(lambda: last(heard, "near/status") == "offline", 2)
    async with listening(broker, "near/#") as later:
        await until(lambda: len(later) == 4)
        assert all(messages[0].retain for messages in later.values())


async def test_nothing_new_is_said_again_after_five_seconds(broker: Broker) -> None:
    class Row:
        name, state, age_ms = "a", "fresh", 5
        snapshot = Codec().decode((b'{"voltage_mv": 50000}',), 0)

    async with listening(broker, "near/units/a") as heard, running(near(broker)) as site:
        publisher = site.publisher
        assert publisher is not None
        await until(lambda: publisher.is_open)
        publisher._view = type(
            "V", (), {"units": lambda _: [Row], "bank": lambda _: site.virtual}
        )()  # type: ignore[assignment]
        now = site.clock.now_ms()
        for at in (0, 1000, 4999, 5000, 9999):
            publisher.clock = type("C", (), {"now_ms": lambda _, at=at: now + at})()
            await publisher._tell()
        await until(lambda: len(heard.get("near/units/a", ())) == 2)
        Row.age_ms = 7
        Row.state = "lost"
        for at in (10000, 60000):
            publisher.clock = type("C", (), {"now_ms": lambda _, at=at: now + at})()
            await publisher._tell()
        await until(lambda: len(heard["near/units/a"]) == 3)
        await asyncio.sleep(0.1)
        assert len(heard["near/units/a"]) == 3
        assert json.loads(last(heard, "near/units/a"))["voltage_mv"] is None
        publisher.clock = site.clock


def test_without_fresh_data_there_is_no_voltage() -> None:
    site = Site(load_text(NEAR_OFFLINE, Path("vbms.yaml")))
    values = bank_values(site.virtual, site.bank)
    assert values["voltage_mv"] is values["cells_mv"] is values["age_ms"] is None
    assert (values["ccl_ma"], values["charge_ok"], values["state"]) == (0, False, "starting")


NEAR_OFFLINE = """
links: {byd: {kind: simulate, baud: 9600}}
batteries: [{name: byd-1, profile: byd_pro_2_5, link: byd, address: 1}]
"""
