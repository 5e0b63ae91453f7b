"""A Battery-Box over TCP: the real client against a server written from the document."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from tests.registers.sites import running, until
from vbms.app import Site
from vbms.lines import registers as line
from vbms.links.modbus_client import ModbusLink, said
from vbms.simulate.byd_battery_box import BatteryBox, BatteryBoxServer, make_box
from vbms.simulate.world import World


@pytest.fixture
async def lvl() -> AsyncIterator[BatteryBoxServer]:
    server = BatteryBoxServer(make_box(World(7), "lvl", "lvl", 2, 0.6))
    await server.start()
    yield server
    await server.close()


def yaml(port: int, profile: str = "byd_lvl", more: str = "") -> str:
    quick = "poll_s: 0.2, fresh_s: 1, hold_s: 30, reply_timeout_ms: 400, slow_timeout_ms: 400"
    return f"""
links: {{box: {{kind: tcp, host: 127.0.0.1, port: {port}}}}}
batteries:
  - {{name: box, profile: {profile}, link: box, {quick}{more}}}
bank: {{steady_s: 0.1, start_s: 2}}
"""


def state(site: Site) -> str:
    return site.bank.units["box"].state


def counters(site: Site) -> dict[str, int]:
    return site.lines["box"].polled["box"].counters


async def test_fresh_with_cells_of_every_module(lvl: BatteryBoxServer) -> None:
    async with running(yaml(lvl.port)) as site:
        await until(lambda: state(site) == "fresh")
        assert site.virtual.charge_limit_ma > 0
        unit = site.bank.units["box"]
        await until(lambda: unit.snapshot is not None and unit.snapshot.cells_mv is not None)
        snap = unit.snapshot
        assert snap is not None and snap.cells_mv is not None
        assert list(snap.cells_mv) == lvl.box.cells_mv(1) + lvl.box.cells_mv(2)
        assert (snap.cell_count, snap.strings, snap.model) == (16, 2, "BYD Battery-Box LVL")
        assert abs((snap.current_ma or 0) - lvl.box.pack.reading.current_a * 2000) < 60
        # Nothing was written but the wish to be told the cells.
        assert {start for start, _ in lvl.box.written} == {0x0550}
        assert {values for _, values in lvl.box.written} == {(1, 0x8100), (2, 0x8100)}
        # It is left between polls, so the maker's app gets its turn.
        assert lvl.clients > 3
        # Waiting for the cells has delayed no poll.
        assert counters(site)["timeouts"] == counters(site)["bad_frames"] == 0


async def test_hvs_in_series() -> None:
    server = BatteryBoxServer(make_box(World(7), "hvs", "hvs", 3, 0.6))
    await server.start()
    try:
        async with running(yaml(server.port, "byd_hvs")) as site:
            unit = site.bank.units["box"]
            await until(lambda: unit.snapshot is not None and unit.snapshot.cells_mv is not None)
            assert unit.snapshot is not None
            assert list(unit.snapshot.cells_mv or ()) == server.box.cells_mv()
            assert (unit.cells, unit.design_mah) == (96, 25_000)
            assert (site.virtual.voltage_mv or 0) > 300_000
    finally:
        await server.close()


@pytest.mark.parametrize("fault", ["silence", "flip"])
async def test_bad_days_age_it_and_it_comes_back(lvl: BatteryBoxServer, fault: str) -> None:
    async with running(yaml(lvl.port)) as site:
        await until(lambda: state(site) == "fresh")
        lvl.box.faults.add(fault)
        await until(lambda: state(site) == "hold")
        lvl.box.faults.clear()
        await until(lambda: state(site) == "fresh")
        found = site.lines["box"].link_stats(site.clock.now_ms())["errors"]
        assert found["timeout" if fault == "silence" else "bad_frame"] > 0


async def test_answers_in_pieces(lvl: BatteryBoxServer) -> None:
    lvl.box.faults.add("pieces")
    async with running(yaml(lvl.port)) as site:
        unit = site.bank.units["box"]
        await until(lambda: unit.snapshot is not None and unit.snapshot.cells_mv is not None)
        assert counters(site)["bad_frames"] == 0


async def test_busy_with_a_firmware_update_costs_the_cells_alone(lvl: BatteryBoxServer) -> None:
    lvl.box.faults.add("refuse")
    async with running(yaml(lvl.port)) as site:
        await until(lambda: state(site) == "fresh" and counters(site)["refused"] > 0)
        polls = counters(site)["polls"]
        await until(lambda: counters(site)["polls"] > polls + 5)
        assert counters(site)["refused"] <= 2  # one a module, then 30 s of patience
        assert state(site) == "fresh" and site.virtual.charge_limit_ma > 0


async def test_never_ready_is_given_up(
    lvl: BatteryBoxServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(line, "_GIVE_UP_MS", 500)
    lvl.box.faults.add("never_ready")
    async with running(yaml(lvl.port)) as site:
        await until(lambda: len(lvl.box.written) == 2)  # the second module had its turn
        assert state(site) == "fresh"


async def test_another_model_contributes_nothing(
    lvl: BatteryBoxServer, caplog: pytest.LogCaptureFixture
) -> None:
    async with running(yaml(lvl.port, "byd_hvs")) as site:
        await until(lambda: "it is a lvl, not a hvs" in caplog.text)
        assert state(site) != "fresh" and site.virtual.charge_limit_ma == 0


async def test_gone_and_back(lvl: BatteryBoxServer, caplog: pytest.LogCaptureFixture) -> None:
    port = lvl.port
    async with running(yaml(port)) as site:
        await until(lambda: state(site) == "fresh")
        await lvl.close()
        await until(lambda: state(site) == "hold")
        assert site.lines["box"].is_open is False
        again = BatteryBoxServer(lvl.box, port=port)
        await again.start()
        try:
            await until(lambda: state(site) == "fresh", 20)
        finally:
            await again.close()
    errors = [record for record in caplog.records if record.levelname == "ERROR"]
    assert len(errors) <= 2 and all(record.name == "vbms" for record in errors)
    assert said.count > 0  # pymodbus complained, to nobody


async def test_nobody_there(caplog: pytest.LogCaptureFixture) -> None:
    link = ModbusLink("box", host="127.0.0.1", tcp_port=1)
    with pytest.raises(Exception, match="127.0.0.1:1 cannot be reached"):
        await link.open()


@pytest.mark.parametrize("seed", range(2))
async def test_garbage_is_counted_and_nothing_breaks(seed: int) -> None:
    import random

    rng = random.Random(seed)

    async def babble(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while await reader.read(300):
                head = rng.choice([b"\x01\x03", b"\x01\x83", b"\x01\x2b", b"\x01", b""])
                writer.write(head + rng.randbytes(rng.randrange(1, 400)))
                await writer.drain()
        except ConnectionError:
            pass
        finally:
            writer.close()

    server = await asyncio.start_server(babble, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    try:
        async with running(yaml(port).replace("_ms: 400", "_ms: 60")) as site:
            await until(lambda: counters(site)["bad_frames"] >= 3)
            assert state(site) == "lost" or state(site) == "joining"
            assert site.virtual.charge_limit_ma == 0
    finally:
        server.close()


def test_simulated_box_is_silent_to_a_bad_sum() -> None:
    box = BatteryBox(World(1).add("box", "x", 16, 300.0))
    assert box.answer(bytes.fromhex("01030500001984cd"), 0.0) is None
    assert box.answer(bytes.fromhex("01030500001984cc"), 0.0) is not None
    assert box.answer(bytes.fromhex("010300100003040e"), 0.0) is not None
