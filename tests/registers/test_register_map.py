"""Batteries by register tables against pymodbus' own server, over Modbus TCP and RTU on a line."""

import asyncio
import os
import tty
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from pymodbus.server import ModbusSerialServer, ModbusTcpServer
from pymodbus.simulator import DataType, SimData, SimDevice

from tests.registers.sites import running, until
from tests.registers.test_modbus_server import free_port
from vbms.app import Site

TABLE = """
    protocol: modbus_map, capacity_ah: 100, max_charge_a: 50, max_discharge_a: 50, mosfet_sensor: absent,
    registers: [
      {address: 0x100, quantity: voltage_v, scale: 0.01},
      {address: 0x101, quantity: current_a, type: s16, scale: -0.1},
      {address: 0x102, quantity: soc_percent},
      {address: 0x110, quantity: cell_v, count: 16, scale: 0.001},
      {address: 0x120, quantity: temp_c, count: 2, type: s16, scale: 0.1}],
    permissions: [{address: 0x103, bit: 0, permits: charge}, {address: 0x103, bit: 1, permits: discharge}]"""
QUICK = "poll_s: 0.2, fresh_s: 1, hold_s: 30, reply_timeout_ms: 300"


def device(unit: int, millivolts: int = 3310, flags: int = 3) -> SimDevice:
    words = [0] * 0x30
    words[0:4] = [millivolts * 16 // 10, 55 & 0xFFFF, 61, flags]
    words[0x10:0x20] = [millivolts] * 16
    words[0x20:0x22] = [235, 228]
    data = SimData(0x100, values=words, datatype=DataType.REGISTERS)
    return SimDevice(unit, data)


def yaml(link: str, *units: int, more: str = "") -> str:
    rows = "\n".join(
        f"  - {{name: u{unit}, profile: lfp_16s, link: far, address: {unit}, {QUICK}{more},{TABLE}}}"
        for unit in units
    )
    return f"links: {{far: {link}}}\nbatteries:\n{rows}\nbank: {{steady_s: 0.1, start_s: 2}}\n"


def state(site: Site, name: str) -> str:
    return site.bank.units[name].state


@asynccontextmanager
async def tcp_server(port: int, framer: str, *devices: SimDevice) -> AsyncIterator[ModbusTcpServer]:
    server = ModbusTcpServer(list(devices), framer=framer, address=("127.0.0.1", port))
    await server.serve_forever(background=True)
    try:
        yield server
    finally:
        await server.shutdown()


@pytest.mark.parametrize("framing", ["tcp", "rtu"])
async def test_over_tcp(framing: str) -> None:
    port = free_port()
    link = f"{{kind: tcp, host: 127.0.0.1, port: {port}}}"
    framer = "rtu" if framing == "rtu" else "socket"
    async with tcp_server(port, framer, device(7), device(9, 3320, flags=2)):
        more = "" if framing == "tcp" else ", framing: rtu"
        async with running(yaml(link, 7, 9, more=more)) as site:
            await until(lambda: state(site, "u7") == state(site, "u9") == "fresh")
            snap = site.bank.units["u7"].snapshot
            assert snap is not None
            assert (snap.voltage_mv, snap.current_ma, snap.soc_permille) == (52_960, -5_500, 610)
            assert snap.cells_mv == [3310] * 16 and snap.temps_mc == [23_500, 22_800]
            assert (snap.charge_ok, snap.discharge_ok) == (True, True)
            other = site.bank.units["u9"].snapshot
            assert other is not None and (other.charge_ok, other.discharge_ok) == (False, True)
            assert site.virtual.discharge_limit_ma > 0


async def test_server_gone_and_back() -> None:
    port = free_port()
    link = f"{{kind: tcp, host: 127.0.0.1, port: {port}}}"
    async with tcp_server(port, "socket", device(7)):
        site_running = running(yaml(link, 7))
        site = await site_running.__aenter__()
        await until(lambda: state(site, "u7") == "fresh")
    try:
        await until(lambda: state(site, "u7") == "hold")
        async with tcp_server(port, "socket", device(7)):
            await until(lambda: state(site, "u7") == "fresh", 20)
    finally:
        await site_running.__aexit__(None, None, None)


async def test_on_a_serial_line_one_silent_unit_does_not_take_the_other() -> None:
    ours, theirs = os.openpty()
    tty.setraw(ours)
    tty.setraw(theirs)
    second, third = os.openpty()
    tty.setraw(second)
    tty.setraw(third)

    # Two pty pairs joined, so that both ends open a port by its name.
    loop = asyncio.get_running_loop()
    for a, b in ((ours, second), (second, ours)):
        loop.add_reader(a, lambda a=a, b=b: os.write(b, os.read(a, 4096)))
    server = ModbusSerialServer(
        [device(7)], framer="rtu", port=os.ttyname(third), baudrate=115200, timeout=1
    )
    await server.serve_forever(background=True)
    try:
        link = f"{{kind: serial, port: {os.ttyname(theirs)}, baud: 115200}}"
        async with running(yaml(link, 7, 8)) as site:
            await until(lambda: state(site, "u7") == "fresh")
            counters = site.lines["far"].polled["u8"].counters
            await until(lambda: counters["timeouts"] + counters["refused"] >= 3)
            assert state(site, "u7") == "fresh" and state(site, "u8") != "fresh"
    finally:
        await server.shutdown()
        for fd in (ours, second):
            loop.remove_reader(fd)
        for fd in (ours, theirs, second, third):
            os.close(fd)


async def test_a_bank_of_another_vbms() -> None:
    """What one vbms tells over Modbus TCP is a battery of the next."""
    port = free_port()
    first = f"""
links: {{byd: {{kind: simulate}}, ems: {{kind: tcp, host: 127.0.0.1, port: {port}}}}}
batteries:
  - {{name: a, profile: byd_pro_2_5, link: byd, address: 1, poll_s: 0.3}}
  - {{name: b, profile: byd_pro_2_5, link: byd, address: 2, poll_s: 0.3}}
inverters: [{{name: ems, profile: modbus_tcp, link: ems}}]
bank: {{steady_s: 0.1, start_s: 5}}
"""
    second = f"""
links: {{far: {{kind: tcp, host: 127.0.0.1, port: {port}}}}}
batteries: [{{name: bank, profile: vbms_modbus, link: far, address: 1, {QUICK}}}]
bank: {{steady_s: 0.1, start_s: 2}}
"""
    async with running(first) as near, running(second) as far:
        await until(lambda: far.bank.units["bank"].state == "fresh", 20)
        unit = far.bank.units["bank"]
        snap = unit.snapshot
        assert snap is not None and unit.design_mah == 100_000
        assert abs((snap.voltage_mv or 0) - (near.virtual.voltage_mv or 0)) < 300
        assert snap.cell_high_mv is not None and snap.cell_low_mv is not None
        assert snap.cell_low_mv <= snap.cell_high_mv
        assert snap.charge_ok and snap.discharge_ok and snap.model == "VBMS"
        assert snap.ccl_ma is not None and unit.allowed[0].limit_ma <= snap.ccl_ma
