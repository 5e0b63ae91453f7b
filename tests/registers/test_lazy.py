"""pymodbus loads where registers are read or served, and nowhere else; missing, it is named."""

import subprocess
import sys

import pytest

from vbms.errors import LinkError
from vbms.lines.modbus_server import Listener
from vbms.links.modbus_client import ModbusLink


def test_nobody_else_loads_it() -> None:
    code = """
import sys
import vbms.app, vbms.config, vbms.lines.registers, vbms.lines.modbus_server
from vbms.downstream import registry as down
from vbms.upstream import registry as up
for name in up.DRIVERS: up.load(name)
for name in down.DRIVERS: down.load(name)
found = [name for name in sys.modules if name.split(".")[0] in ("pymodbus", "aiohttp")]
sys.exit(str(found) if found else 0)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


async def test_missing_it_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pymodbus", None)
    with pytest.raises(LinkError, match=r"pip install 'vbms\[modbus\]'"):
        await ModbusLink("far", host="127.0.0.1").open()


async def test_a_server_without_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(LinkError, match=r"pip install 'vbms\[modbus\]'"):
        await Listener("ems", "127.0.0.1", 0).open()
