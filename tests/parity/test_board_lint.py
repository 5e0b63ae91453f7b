"""The lint catches each thing it is there for, and the shared files pass it."""

from pathlib import Path

import pytest

from firmware_mpy import build
from tests.parity.board_lint import problems

SHARED = build.listed()

CAUGHT = [
    ("import functools", "import of functools"),
    ("import os.path", "import of os.path"),
    ("import microdot", "import of microdot"),
    ("from dataclasses import dataclass", "import of dataclasses"),
    ("from typing import Any", "import of typing"),
    ("from __future__ import annotations", "import of __future__"),
    ("from collections.abc import Sequence", "import of collections.abc"),
    ("from collections import defaultdict", "collections.defaultdict"),
    ("from . import registry", "relative import"),
    ("from struct import *", "import *"),
    ("def f():\n    import logging", "import of logging"),
    ("if DEBUG:\n    import logging", "import of logging"),
    ("TYPE_CHECKING = False\nif TYPE_CHECKING:\n    pass\nelse:\n    import typing", "typing"),
    ("x = 1.5", "float literal"),
    ("x = 1e3", "float literal"),
    ("def f(t=0.5): pass", "float literal"),
    ("x = 1j", "float literal"),
    ("x = a / b", "/ gives a float"),
    ("x /= 2", "/ gives a float"),
    ("x = f'{a / b}'", "/ gives a float"),
    ("x = float(a)", "float()"),
    ("x = round(a, 1)", "round()"),
    ("x = round(a, ndigits=1)", "round()"),
    ("match a:\n    case 1: pass", "match"),
    ("try:\n    f()\nexcept* OSError:\n    pass", "except*"),
    ("def f(a, /): pass", "positional-only"),
    ("f = lambda a, /: a", "positional-only"),
    ("x = {**a, 'b': 1}", "{**a}"),
    ("x = [*a, b]", "[*a, b]"),
    ("x = (*a, b)", "[*a, b]"),
    ("x = {*a}", "[*a, b]"),
    ("async def f():\n    yield 1", "async generator"),
    ("async def f():\n    if a:\n        yield 1", "async generator"),
    ("async def f():\n    return [x async for x in y]", "async comprehension"),
    ("del b[:4]", "del of a slice"),
    ("x = b[::-1]", "slice with a step"),
    ("x = b[a:c:2]", "slice with a step"),
    ("x = b[slice(0, 4, 2)]", "slice with a step"),
    ("x = int.from_bytes(b, 'big', signed=True)", "from_bytes(signed=)"),
    ("x = int.from_bytes(b, 'big', True)", "from_bytes(signed=)"),
    ("x = a.to_bytes(2, 'big', signed=True)", "to_bytes(signed=)"),
    ("import json\njson.dumps(a, sort_keys=True)", "json keywords"),
    ("import json\njson.dumps(a, indent=1)", "json keywords"),
    ("import json\njson.loads(a, parse_float=f)", "json keywords"),
    ("class A(B, C): pass", "more than one base"),
    ("class A(metaclass=B): pass", "metaclass"),
    ("class A(B, flag=1): pass", "metaclass or class keywords"),
    ("async def f(clock):\n    clock.sleep_ms(5)", "sleep_ms() is not awaited"),
    ("import asyncio\nasyncio.create_task(asyncio.sleep(0))", "sleep() is not awaited"),
    ("import time\ntime.sleep(1)", "time.sleep"),
    ("x = a.bit_length()", ".bit_length"),
    ("x = a.bit_count()", ".bit_count"),
    ("x = a.removeprefix('b')", ".removeprefix"),
    ("x = a.zfill(4)", ".zfill"),
    ("x = a.ljust(4)", ".ljust"),
    ("x = a.isalnum()", ".isalnum"),
    ("x = a.translate(b)", ".translate"),
    ("x = memoryview(a).cast('H')", ".cast"),
    ("x = a.tobytes()", ".tobytes"),
    ("x = a._replace(b=1)", "._replace"),
    ("x = a._asdict()", "._asdict"),
    ("x = a.hexdigest()", ".hexdigest"),
    ("x = a.is_integer()", ".is_integer"),
    ("x = a.__cause__", ".__cause__"),
    ("e.add_note('b')", ".add_note"),
    ("x = a.__doc__", ".__doc__"),
    ("class A:\n    def __init_subclass__(cls): pass", "__init_subclass__"),
    ("class A:\n    def __set_name__(self, owner, name): pass", "__set_name__"),
    ("import struct\nx = struct.Struct('<H')", "struct.Struct"),
    ("from struct import Struct", "struct.Struct"),
    ("import struct\nx = struct.iter_unpack('<H', b)", "struct.iter_unpack"),
    ("import struct\ntry:\n    f()\nexcept struct.error:\n    pass", "struct.error"),
    ("import time\nx = time.monotonic()", "time.monotonic"),
    ("import time as t\nx = t.monotonic()", "time.monotonic"),
    ("import asyncio\nasync def f():\n    async with asyncio.timeout(1): pass", "asyncio.timeout"),
    ("import asyncio\nx = asyncio.TaskGroup()", "asyncio.TaskGroup"),
    ("import asyncio\nx = asyncio.Queue()", "asyncio.Queue"),
    ("import asyncio\nx = asyncio.Semaphore()", "asyncio.Semaphore"),
    ("import asyncio\nasync def f():\n    await asyncio.wait_for(x, 1)", "asyncio.wait_for"),
    ("from collections import namedtuple\nA = namedtuple('A', 'b', defaults=(1,))", "defaults"),
    ("from collections import deque\na = deque((), maxlen=4)", "maxlen"),
    ("for a, b in zip(c, d, strict=True): pass", "zip(strict=)"),
    ("x = sum(a, start=1)", "sum(start=)"),
    ("try:\n    f()\nexcept TimeoutError:\n    pass", "TimeoutError"),
    ("try:\n    f()\nexcept (OSError, ConnectionError):\n    pass", "ConnectionError"),
    ("x = next(it, None)", "next(it, default)"),
    ("x = s.startswith(('a', 'b'))", "startswith((a, b))"),
    ("x = s.endswith(('a', 'b'))", "endswith((a, b))"),
    ("x = isinstance(a, int | str)", "isinstance(x, A | B)"),
    ("x = format(a, '04x')", "format"),
    ("assert a", "assert"),
]

FINE = """
import asyncio
import struct
from array import array
from collections import namedtuple

from vbms.errors import FrameError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Protocol

    Row = tuple[int, ...] | list[float]


class Thing(FrameError):
    __slots__ = ("a", "b")
    scale: float

    def __init__(self, *values: int, a: int | None = None, **more: object):
        self.a, *self.b = values
        super().__init__("%d of %s" % (len(more), a))

    @property
    def half(self) -> "float | None":
        return (self.a + 1) // 2

    async def wait(self, clock, tasks: "Sequence[int]") -> None:
        await clock.sleep_ms(5)
        await asyncio.sleep(0)
        await asyncio.gather(*tasks)


def numbers(data: bytes):
    if (n := len(data)) > 2:
        yield from struct.unpack_from(">2h", data[1:n])
    yield max([x for x in data if x], default=0)
    rest = list(data) + [1]
    del rest[0]
    yield round(n), f"{n:04x}", {"a": 1} | {"b": 2}, isinstance(n, (int, str))


Point = namedtuple("Point", ("x", "y"))
TABLE = array("H", [1, 2])
"""


@pytest.mark.parametrize(("source", "words"), CAUGHT)
def test_caught(source: str, words: str) -> None:
    found = problems(source, "vbms/wire/x.py")
    assert any(words in line for line in found), found


def test_nothing_else_is_said() -> None:
    assert problems(FINE, "vbms/loops/x.py") == []


def test_where() -> None:
    assert problems("a = 1\n\nb = 1.0\n", "vbms/x.py") == [
        "vbms/x.py:3: float literal 1.0: integers only"
    ]


def test_microdot_is_for_the_web_folder_alone() -> None:
    source = "from microdot import Microdot"
    assert problems(source, "vbms/web/routes.py") == []
    assert problems(source, "vbms/loops/poller.py") != []


@pytest.mark.parametrize(("source", "name"), SHARED, ids=[name for _, name in SHARED])
def test_shared_file(source: Path, name: str) -> None:
    assert problems(source.read_text(), name) == []
