"""The board, as far as a PC can have one: the compiled shared files under WebAssembly MicroPython."""

import shutil
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from itertools import zip_longest
from os.path import commonprefix
from pathlib import Path

import pytest

from firmware_mpy import build

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
TIMEOUT_S = 280  # an endless loop on the board would hang for ever

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


def difference(here: str, there: str) -> str:
    """The first line that the two worked out differently, cut down to where it starts."""
    pairs = zip_longest(
        (line for line in here.splitlines() if line.startswith("line ")),
        (line for line in there.splitlines() if line.startswith("line ")),
        fillvalue="nothing more",
    )
    for number, (a, b) in enumerate(pairs):
        if a != b:
            at = max(0, len(commonprefix([a, b])) - 60)
            return f"line {number}:\n   PC ...{a[at : at + 160]}\nboard ...{b[at : at + 160]}"
    return "the lines are the same"


@pytest.fixture
def same_on_both(
    on_pc: Script, on_board: Script, tmp_path: Path
) -> Callable[..., dict[str, tuple[int, str]]]:
    """Runs a script on both and demands the same digests, at least one; returns them."""

    def run(script: Path, data: Path | None = None, heap: int = 100) -> dict[str, tuple[int, str]]:
        with ThreadPoolExecutor() as both:
            board = both.submit(on_board, script, data, heap)
            here = digests(on_pc(script, data))
            there = digests(board.result())
        assert here, f"{script.name} printed no digest"
        if there != here:
            shown = tmp_path / "shown"
            shutil.copytree(data, shown) if data else shown.mkdir()
            (shown / "show.txt").touch()
            told = difference(on_pc(script, shown).stdout, on_board(script, shown, heap).stdout)
            pytest.fail(f"{script.name} differs at {told}", pytrace=False)
        return here

    return run
