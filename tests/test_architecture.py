"""The rings: imports point inward only. Every import of every file is read and judged.

A room's row says what its files may import of vbms (whole words of the dotted name) and of
everything else. What stands under `if TYPE_CHECKING:` never runs: there the type checker's own
modules and `vbms.ports`, the shapes, may be named too (and in a loop the shape of a logger), but no
room further out.
"""

import ast
import re
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
FILES = sorted(path.relative_to(ROOT).as_posix() for path in (ROOT / "vbms").rglob("*.py"))

PURE = frozenset("struct binascii hashlib json array errno collections".split())
STANDARD = frozenset(sys.stdlib_module_names)
TYPING = frozenset("typing collections types".split())
ANY = frozenset({"*"})

CORE = frozenset({"vbms.errors", "vbms.integers"})
INVERTER = CORE | {"vbms.wire", "vbms.options", "vbms.aggregate"}
CODEC = CORE | {"vbms.wire", "vbms.options", "vbms.aggregate.snapshot", "vbms.aggregate.alarms"}

# (room, what it may import of vbms, and of the rest); the longest room that fits counts.
ROOMS: list[tuple[str, frozenset[str], frozenset[str]]] = [
    ("vbms/__init__.py", frozenset(), frozenset()),
    ("vbms/errors.py", frozenset(), frozenset()),
    ("vbms/options.py", frozenset(), frozenset()),
    ("vbms/integers.py", frozenset(), frozenset()),
    ("vbms/ports.py", frozenset({"vbms.aggregate", "vbms.wire"}), TYPING),
    ("vbms/clock.py", frozenset(), STANDARD),
    ("vbms/endings.py", frozenset(), STANDARD),
    # Ring 1
    ("vbms/wire/", CORE | {"vbms.wire"}, PURE),
    ("vbms/aggregate/", CORE | {"vbms.aggregate"}, PURE),
    ("vbms/upstream/modbus_map.py", CODEC | {"vbms.upstream.modbus_rows"}, PURE),
    ("vbms/upstream/", CODEC | {"vbms.upstream.jk02", "vbms.upstream.jk04"}, PURE),
    ("vbms/upstream/jk02_names.py", CODEC | {"vbms.upstream.jk02", "vbms.upstream.jk04"}, PURE),
    ("vbms/downstream/", INVERTER, PURE),
    ("vbms/downstream/modbus_", INVERTER | {"vbms.downstream.safe_side"}, PURE),
    (
        "vbms/downstream/modbus_map.py",
        INVERTER | {"vbms.downstream.safe_side", "vbms.downstream.modbus_rows"},
        PURE,
    ),
    ("vbms/downstream/byd_can.py", INVERTER | {"vbms.downstream.permission"}, PURE),
    (
        "vbms/downstream/pylontech_",
        INVERTER | {"vbms.downstream"},
        PURE,
    ),
    # Ring 2
    (
        "vbms/loops/",
        CODEC | {"vbms.aggregate", "vbms.upstream", "vbms.downstream", "vbms.loops"},
        PURE | {"asyncio"},
    ),
    # Ring 3
    (
        "vbms/links/",
        CORE | {"vbms.wire", "vbms.links"},
        STANDARD | {"serial", "bleak", "bleak_retry_connector", "dbus_fast", "can"},
    ),
    ("vbms/links/modbus_", CORE | {"vbms.links", "vbms.endings"}, STANDARD | {"pymodbus"}),
    ("vbms/links/i2c_bus.py", CORE | {"vbms.links"}, STANDARD | {"smbus2"}),
    ("vbms/links/mqtt_client.py", CORE | {"vbms.links"}, STANDARD | {"aiomqtt"}),
    ("vbms/simulate/bluez", frozenset({"vbms.errors", "vbms.simulate"}), STANDARD | {"dbus_fast"}),
    ("vbms/simulate/", frozenset({"vbms.errors", "vbms.links", "vbms.simulate"}), STANDARD),
    ("vbms/web/", CORE | {"vbms.aggregate", "vbms.web"}, PURE | {"microdot", "asyncio", "io"}),
    ("vbms/web/server.py", frozenset({"vbms.web", "vbms.endings"}), STANDARD),  # the PC's alone
    ("vbms/commands/", frozenset({"vbms"}), ANY),
    ("vbms/", frozenset({"vbms"}), ANY),  # config, metrics, app, the command line
]
INNER = ("vbms/wire/", "vbms/aggregate/", "vbms/upstream/", "vbms/downstream/", "vbms/loops/")


def room_of(path: str) -> tuple[str, frozenset[str], frozenset[str]]:
    return max((room for room in ROOMS if path.startswith(room[0])), key=lambda room: len(room[0]))


def imports(source: str) -> list[tuple[int, str, bool]]:
    """(line, dotted name, for types only) of every import, wherever it stands."""
    found: list[tuple[int, str, bool]] = []

    def walk(node: ast.AST, types: bool) -> None:
        if isinstance(node, ast.If) and isinstance(node.test, ast.Name):
            if node.test.id == "TYPE_CHECKING":
                for child in node.body:
                    walk(child, True)
                for child in node.orelse:
                    walk(child, types)
                return
        if isinstance(node, ast.Import):
            found.extend((node.lineno, alias.name, types) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert not node.level, f"line {node.lineno}: write the whole name"
            for alias in node.names:
                found.append((node.lineno, f"{node.module}.{alias.name}", types))
        for child in ast.iter_child_nodes(node):
            walk(child, types)

    walk(ast.parse(source), False)
    return found


def within(name: str, rooms: frozenset[str]) -> bool:
    return any(name == room or name.startswith(room + ".") for room in rooms)


def violations(path: str, source: str) -> list[str]:
    _, own, other = room_of(path)
    found = []
    for line, name, types in imports(source):
        top = name.split(".")[0]
        if top == "vbms":
            fine = within(name, own | ({"vbms.ports"} if types else set()))
        else:
            shapes = TYPING | {"logging"} if path.startswith("vbms/loops/") else TYPING
            fine = "*" in other or top in other or (types and top in shapes)
        if not fine:
            found.append(f"{path}:{line}: {name} is not for this room")
    return found


@pytest.mark.parametrize("path", FILES)
def test_imports_point_inward(path: str) -> None:
    assert violations(path, (ROOT / path).read_text()) == []


@pytest.mark.parametrize("path", [path for path in FILES if path.startswith(INNER)])
def test_inner_rings_touch_nothing_outside(path: str) -> None:
    """No files, no screen, no code from text: bytes and time come in as arguments."""
    calls = {
        f"{path}:{node.lineno}: {node.func.id}()"
        for node in ast.walk(ast.parse((ROOT / path).read_text()))
        if isinstance(node, ast.Call)
        and isinstance(node.func, ast.Name)
        and node.func.id in {"open", "print", "input", "eval", "exec", "compile"}
    }
    assert calls == set()


@pytest.mark.parametrize(
    ("path", "source"),
    [
        ("vbms/wire/x.py", "import asyncio"),
        ("vbms/wire/x.py", "import time"),
        ("vbms/wire/x.py", "from vbms.aggregate.snapshot import Snapshot"),
        ("vbms/aggregate/x.py", "import logging"),
        ("vbms/aggregate/x.py", "from vbms.wire.crc import sum8"),
        ("vbms/aggregate/x.py", "def f():\n    from vbms.upstream import registry"),
        ("vbms/aggregate/x.py", "if TYPE_CHECKING:\n    from vbms.loops.poller import Poller"),
        ("vbms/upstream/x.py", "from vbms.aggregate.merge import merge"),
        ("vbms/upstream/x.py", "from vbms.upstream.byd_pro import Codec"),
        ("vbms/upstream/x.py", "from vbms import config"),
        ("vbms/downstream/x.py", "from vbms.upstream import registry"),
        ("vbms/loops/x.py", "from vbms.links.serial_line import SerialLine"),
        ("vbms/loops/x.py", "import serial"),
        ("vbms/loops/x.py", "import logging"),
        ("vbms/loops/x.py", "import vbms.ports"),
        ("vbms/links/x.py", "from vbms.aggregate.bank import Bank"),
        ("vbms/simulate/x.py", "from vbms.wire.crc import crc16_modbus"),
        ("vbms/simulate/x.py", "from vbms.upstream.byd_pro import Codec"),
        ("vbms/simulate/x.py", "import pydantic"),
        ("vbms/web/x.py", "from vbms.app import Site"),
        ("vbms/errors.py", "import struct"),
    ],
)
def test_a_violation_is_seen(path: str, source: str) -> None:
    assert violations(path, source) != []


def test_every_package_is_declared() -> None:
    """What vbms imports is what pyproject.toml installs: nothing comes by luck."""
    with open(ROOT / "pyproject.toml", "rb") as file:
        project = tomllib.load(file)["project"]
    wanted = list(project["dependencies"])
    for extra in ("ble", "can", "mqtt", "modbus", "i2c", "gpio"):
        wanted += project["optional-dependencies"][extra]
    modules = {"pyserial": "serial", "pyyaml": "yaml", "python_can": "can"}
    declared = {re.split(r"[<>=~! ]", line)[0].replace("-", "_").lower() for line in wanted}
    declared = {modules.get(name, name) for name in declared} | {"pydantic_core"}  # half of it
    used = {
        name.split(".")[0]
        for path in FILES
        for _, name, _ in imports((ROOT / path).read_text())
        if name.split(".")[0] not in STANDARD | {"vbms"}
    }
    assert used <= declared
