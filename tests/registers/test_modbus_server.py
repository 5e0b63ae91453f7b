"""The bank over Modbus TCP, read by pymodbus' own client; silent means a closed port."""

import asyncio
import contextlib
import socket
import struct
import time
from collections.abc import AsyncIterator
from typing import Any

import pytest
from pymodbus.client import AsyncModbusTcpClient

from tests.registers.sites import running, until
from vbms.app import Site
from vbms.downstream import modbus_tcp
from vbms.lines.modbus_server import ModbusServerLine


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.fixture
async def serving() -> AsyncIterator[tuple[Site, int]]:
    port = free_port()
    text = f"""
links: {{byd: {{kind: simulate, baud: 9600}}, ems: {{kind: tcp, host: 127.0.0.1, port: {port}}}}}
batteries:
  - {{name: a, profile: byd_pro_2_5, link: byd, address: 1, poll_s: 0.3, fresh_s: 1}}
  - {{name: b, profile: byd_pro_2_5, link: byd, address: 2, poll_s: 0.3, fresh_s: 1, slot: 4}}
inverters:
  - {{name: ems, profile: modbus_tcp, link: ems, silent_after_s: 0.3}}
bank: {{steady_s: 0.1, start_s: 5}}
"""
    async with running(text) as site:
        yield site, port


async def client_of(port: int) -> AsyncModbusTcpClient:
    client = AsyncModbusTcpClient("127.0.0.1", port=port, timeout=2, retries=0, reconnect_delay=0)
    assert await client.connect()
    return client


def line_of(site: Site) -> ModbusServerLine:
    line = site.inverters["ems"]
    assert isinstance(line, ModbusServerLine)
    return line


def body(answer: Any) -> bytes:
    assert not answer.isError(), answer
    return struct.pack(f">{len(answer.registers)}H", *answer.registers)


def silence(site: Site, on: bool) -> None:
    """Every battery falls silent, or speaks again."""
    assert site.simulation.world is not None
    for device in site.simulation._played["byd"].devices:
        (device.faults.add if on else device.faults.discard)("silence")


async def test_a_client_reads_bank_and_units(serving: tuple[Site, int]) -> None:
    site, port = serving
    await until(lambda: line_of(site).listening)
    client = await client_of(port)
    try:
        codec = modbus_tcp.Codec()
        for unit in (1, 0, 255):
            answer = await client.read_holding_registers(0, count=modbus_tcp.COUNT, device_id=unit)
            said = codec.values(body(answer))
            told = line_of(site).told
            assert told is not None
            assert said["NTot"] == 2 and said["AHRtg"] == 100_000
            assert said["VMax"] == told.cvl_mv
        for slot, key in ((0, "a"), (4, "b")):
            answer = await client.read_input_registers(
                0, count=modbus_tcp.COUNT, device_id=modbus_tcp.FIRST_UNIT + slot
            )
            said = codec.values(body(answer))
            snap = site.bank.units[key].snapshot
            assert snap is not None and said["AHRtg"] == 50_000
            assert abs(int(str(said["SoC"])) - (snap.soc_permille or 0)) <= 10
        part = await client.read_holding_registers(8, count=2, device_id=1)
        assert abs(struct.unpack(">i", body(part))[0] - (site.virtual.voltage_mv or 0)) < 200
    finally:
        client.close()


async def test_what_is_refused(serving: tuple[Site, int]) -> None:
    site, port = serving
    await until(lambda: line_of(site).listening)
    client = await client_of(port)
    try:
        missing = await client.read_holding_registers(0, count=2, device_id=3)
        assert missing.exception_code == 11  # nobody has slot 1
        beyond = await client.read_holding_registers(80, count=3, device_id=1)
        assert beyond.exception_code == 2
        written = await client.write_register(40, 1, device_id=1)
        assert written.exception_code == 1
        coils = await client.read_coils(0, count=1, device_id=1)
        assert coils.exception_code == 1
        who = await client.report_device_id(device_id=1)
        assert getattr(who, "exception_code", None) == 1
        good = await client.read_holding_registers(0, count=2, device_id=1)
        assert body(good) == b"VBMS"
    finally:
        client.close()


async def test_silent_is_a_closed_port_and_back_is_open(serving: tuple[Site, int]) -> None:
    site, port = serving
    with pytest.raises(ConnectionRefusedError):  # nothing is told before all is well
        await asyncio.open_connection("127.0.0.1", port)
    await until(lambda: line_of(site).listening)
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    silence(site, True)
    # Limits fall to 0 first; the last bytes ever read are of that.
    last = b""
    ask = struct.pack(">HHHBBHH", 1, 0, 6, 1, 3, 0, modbus_tcp.COUNT)
    end_s = time.monotonic() + 20
    while True:
        assert time.monotonic() < end_s, "still answered"
        writer.write(ask)
        try:
            answer = await asyncio.wait_for(reader.read(1000), 5)
        except ConnectionError:
            break
        if not answer:
            break
        last = answer
        await asyncio.sleep(0.05)
    writer.close()
    assert modbus_tcp.Codec().read(last)["AChaMax"] == 0
    assert site.inverters["ems"].state == "silent"
    with pytest.raises(ConnectionRefusedError):
        await asyncio.open_connection("127.0.0.1", port)
    silence(site, False)
    await until(lambda: line_of(site).listening, 40)
    client = await client_of(port)
    assert body(await client.read_holding_registers(0, count=2, device_id=1)) == b"VBMS"
    client.close()


async def test_garbage_harms_its_connection_alone(serving: tuple[Site, int]) -> None:
    site, port = serving
    await until(lambda: line_of(site).listening)
    client = await client_of(port)
    for junk in (
        b"\0" * 300,
        b"\0\1\0\0\0\2\1\3",
        b"\0\1\0\0\0\6\1\3\0\0\0\xff",
        b"GET / HTTP/1.1\r\n\r\n",
    ):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(junk)
        answer = b""
        with contextlib.suppress(TimeoutError, ConnectionError):
            answer = await asyncio.wait_for(reader.read(100), 0.2)
        assert not answer or answer[7] & 0x80, junk  # a refusal at most
        writer.close()
        await asyncio.sleep(0)
    assert body(await client.read_holding_registers(0, count=2, device_id=1)) == b"VBMS"
    client.close()


async def test_clients_that_are_gone_lock_nobody_out(serving: tuple[Site, int]) -> None:
    """One that lost its power never says so; the one that was quiet for longest makes room."""
    site, port = serving
    await until(lambda: line_of(site).listening)
    client = await client_of(port)
    idle = []
    for _ in range(40):
        idle.append(await asyncio.open_connection("127.0.0.1", port))
        assert body(await client.read_holding_registers(0, count=2, device_id=1)) == b"VBMS"
    assert await asyncio.wait_for(idle[0][0].read(1), 5) == b""
    late = await client_of(port)
    assert body(await late.read_holding_registers(0, count=2, device_id=1)) == b"VBMS"
    for closing in (late, client):
        closing.close()
    for _, writer in idle:
        writer.close()


async def test_who_asks_and_never_reads_is_dropped(serving: tuple[Site, int]) -> None:
    """Else its answers pile up here, and some would be read after the bank fell silent."""
    site, port = serving
    await until(lambda: line_of(site).listening)
    with socket.socket() as greedy:
        greedy.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        greedy.connect(("127.0.0.1", port))
        greedy.setblocking(False)
        ask = struct.pack(">HHHBBHH", 1, 0, 6, 1, 3, 0, modbus_tcp.COUNT)
        end_s = time.monotonic() + 30
        with pytest.raises(ConnectionError):
            while time.monotonic() < end_s:
                with contextlib.suppress(BlockingIOError):
                    greedy.send(ask)
                await asyncio.sleep(0)
    client = await client_of(port)
    assert body(await client.read_holding_registers(0, count=2, device_id=1)) == b"VBMS"
    client.close()


async def test_a_port_in_use_is_said_and_tried_again(caplog: pytest.LogCaptureFixture) -> None:
    port = free_port()
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", port))
        taken.listen()
        text = f"""
links: {{byd: {{kind: simulate}}, ems: {{kind: tcp, host: 127.0.0.1, port: {port}}}}}
batteries: [{{name: a, profile: byd_pro_2_5, link: byd, address: 1}}]
inverters: [{{name: ems, profile: modbus_tcp, link: ems}}]
"""
        async with running(text) as site:
            await until(lambda: "cannot be listened on" in caplog.text)
            assert not site.inverters["ems"].is_open
            taken.close()
            await until(lambda: site.inverters["ems"].is_open)
