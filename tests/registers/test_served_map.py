"""An inverter described by a table, on a line: pymodbus' own client asks, silence is silence."""

import asyncio
import re
import time
from pathlib import Path
from typing import Any

import pytest
from pymodbus import ModbusException
from pymodbus.client import AsyncModbusSerialClient

from tests.config.site import Folder
from tests.registers.sites import until
from vbms.app import Site

DOCS = Path(__file__).resolve().parents[2] / "docs" / "modbus_map.md"


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    """With the two profiles of the document."""
    found = Folder(tmp_path)
    for block in re.findall(r"```yaml\n(.*?)```", DOCS.read_text(), re.S):
        name = re.match(r"# profiles/(\S+) ", block)
        assert name is not None
        found.write(f"profiles/{name[1]}", block)
    return found


SITE = """
links: {byd: {kind: simulate, baud: 9600}, inv: {kind: simulate, baud: 9600}}
batteries:
  - {name: a, profile: byd_pro_2_5, link: byd, address: 1, poll_s: 0.3, fresh_s: 1}
inverters: [{name: sun, profile: acme_sun, link: inv, silent_after_s: 0.3}]
bank: {steady_s: 0.1, start_s: 5}
state_dir: state
"""


def test_the_document_s_profiles_are_good(folder: Folder) -> None:
    settings = folder.load(SITE)
    assert settings.inverters[0].options["unit"] == 1
    box = SITE.replace("byd: {kind: simulate, baud: 9600}", "byd: {kind: serial, port: /dev/ttyX}")
    cube = folder.load(box.replace("byd_pro_2_5", "acme_cube")).batteries[0]
    assert len(cube.options["registers"]) == 7  # type: ignore[arg-type]
    assert not settings.warnings


async def test_pymodbus_reads_it_and_hears_nothing_when_silent(folder: Folder) -> None:
    site = Site(folder.load(SITE))
    await site.start()
    client: Any = None
    try:
        line = site.inverters["sun"]
        await until(lambda: not line.silent)
        assert line.path is not None
        client = AsyncModbusSerialClient(
            line.path, baudrate=9600, timeout=0.5, retries=0, reconnect_delay=0
        )
        assert await client.connect()
        answer = await client.read_input_registers(0x10, count=11, device_id=1)
        words = answer.registers
        told = line.told
        assert told is not None and told.voltage_mv is not None and told.cvl_mv is not None
        assert abs(words[0] * 100 - told.voltage_mv) < 300
        assert words[3] == told.cvl_mv // 100 and words[8] == 2
        assert words[4] * 100 <= told.charge_limit_ma
        assert words[9] in (0, 1, 2, 3)
        text = await client.read_input_registers(0x20, count=2, device_id=1)
        assert text.registers == [0x5642, 0x4D53]
        beyond = await client.read_input_registers(0x50, count=1, device_id=1)
        assert beyond.registers == [0xFFFF]
        with pytest.raises(ModbusException):  # function 3 is not this inverter's
            await client.read_holding_registers(0x10, count=1, device_id=1)
        with pytest.raises(ModbusException):
            await client.read_input_registers(0x10, count=1, device_id=2)
        for each in site.simulation._played["byd"].devices:
            each.faults.add("silence")
        last = words
        end_s = time.monotonic() + 20
        while time.monotonic() < end_s:
            try:
                last = (await client.read_input_registers(0x10, count=11, device_id=1)).registers
            except ModbusException:
                break
            await asyncio.sleep(0.05)
        assert last[4] == last[5] == 0 and last[9] == 0  # limits first
        assert line.state == "silent"
        for _ in range(2):
            with pytest.raises(ModbusException):
                await client.read_input_registers(0x10, count=1, device_id=1)
    finally:
        if client is not None:
            client.close()
        await site.close()


@pytest.mark.parametrize(
    ("old", "new", "key", "wrong"),
    [
        ("quantity: soc_percent", "quantity: soc", "registers[2].quantity", "none of them"),
        ("address: 0x12,", "address: 0x11,", "registers[2].address", "overlaps row 2"),
        ("value: 2}", "value: 70000}", "registers[8].value", "does not fit u16"),
        ("value: 2}", "scale: 1}", "registers[8].value", "has a value"),
        ("scale: 0.1, unknown: -32768}", "scale: 0}", "registers[7].scale", "divided"),
        ("quantity: soc_percent", "quantity: soc_percent, value: 3", "registers[2].value", "of a constant"),
        ("discharge_limit_a, scale: 0.1", "discharge_limit_a, scale: 0.1, unknown: 7", "registers[5].unknown", "never unknown"),
        ("tells: charge_enabled", "tells: charging_ok", "bits[0].tells", "none of them"),
        ("bit: 1, tells: dis", "bit: 0, tells: dis", "bits[1].bit", "row 1 already"),
        ("bit: 0, tells", "bit: 16, tells", "bits[0].bit", "out of range"),
        ("address: 0x19, bit: 0", "address: 0x10, bit: 0", "bits", "register 16 holds bits and a quantity"),
        ("outside: ffff", "outside: none", "outside", "none of them"),
    ],
)  # fmt: skip
def test_mistakes(folder: Folder, old: str, new: str, key: str, wrong: str) -> None:
    path = folder.path / "profiles/inverter/acme_sun.yaml"
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new, 1))
    (found,) = [p for p in folder.problems(SITE) if p.key == key]
    assert found.file == str(path) and wrong in found.text
    if old in text.split("bits:")[0] or key != "bits":
        expected = text[: text.index(old)].count("\n") + 1
        assert found.line == (expected if key != "bits" else found.line)


def test_an_inverter_that_cannot_be_stopped(folder: Folder) -> None:
    path = folder.path / "profiles/inverter/acme_sun.yaml"
    lines = [row for row in path.read_text().splitlines() if "discharge_" not in row]
    path.write_text("\n".join(lines) + "\n")
    (found,) = folder.problems(SITE)
    assert found.key == "registers" and "stop to discharge" in found.text
