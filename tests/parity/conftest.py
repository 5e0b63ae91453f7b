"""The board, as far as a PC can have one: the compiled shared files under WebAssembly MicroPython."""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from firmware_mpy import build

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
TIMEOUT_S = 120  # an endless loop on the board would hang for ever

Script = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture(scope="session")
def shipped(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with every file of the manifest, compiled as a board gets it."""
    out = tmp_path_factory.mktemp("board") / "lib"
    build.build(out)
    return out


@pytest.fixture
def on_board(node: str, shipped: Path) -> Script:
    """Runs a script of this folder on the board; `data` is copied to where it opens files."""

    def run(
        script: Path, data: Path | None = None, heap: int = 100
    ) -> subprocess.CompletedProcess[str]:
        roots = [f"{shipped}:/lib", f"{HERE / 'kit'}:/t"]
        if data is not None:
            roots.append(f"{data}:/")
        command = [node, str(HERE / "board.mjs"), "--heap", str(heap)]
        for root in roots:
            command += ["--root", root]
        command += ["--path", "/lib:/t", str(script)]
        return subprocess.run(command, capture_output=True, text=True, timeout=TIMEOUT_S)

    return run


@pytest.fixture
def on_pc() -> Script:
    """Runs the same script on CPython, from the sources."""

    def run(script: Path, data: Path | None = None) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, str(HERE / "pc.py"), str(script)]
        return subprocess.run(
            command, capture_output=True, text=True, timeout=TIMEOUT_S, cwd=data or HERE
        )

    return run


def digests(done: subprocess.CompletedProcess[str]) -> dict[str, tuple[int, str]]:
    """The `digest NAME COUNT SUM` lines a script printed; the script must have ended well."""
    assert done.returncode == 0, f"{done.stdout[-2000:]}\n{done.stderr[-2000:]}"
    found = {}
    for line in done.stdout.splitlines():
        if line.startswith("digest "):
            _, name, count, total = line.split()
            found[name] = (int(count), total)
    return found


@pytest.fixture
def same_on_both(on_pc: Script, on_board: Script) -> Callable[..., dict[str, tuple[int, str]]]:
    """Runs a script on both and demands the same digests, at least one; returns them."""

    def run(
        script: Path, data: Path | None = None, heap: int = 100
    ) -> dict[str, tuple[int, str]]:
        here = digests(on_pc(script, data))
        there = digests(on_board(script, data, heap))
        assert here, f"{script.name} printed no digest"
        assert there == here
        return here

    return run
