"""The runner itself: a broken board test must not look like a good one."""

from pathlib import Path

import pytest


@pytest.mark.parametrize(
    ("script", "code", "words"),
    [
        ("TESTS = [lambda: None]", 0, "1 of 1 passed"),
        ("print('no tests, no fault')", 0, "no fault"),
        ("import sys\nsys.exit(3)", 3, ""),
        ("raise ValueError(1)", 1, "ValueError"),
        ("x = (", 1, "SyntaxError"),
        ("import functools", 1, "ImportError"),
        ("import vbms.app", 1, "ImportError"),
        ("def t():\n    raise OSError(5)\nTESTS = [t]", 1, "FAIL t"),
        ("async def t():\n    raise OSError(5)\nTESTS = [t]", 1, "FAIL t"),
        ("def t():\n    return [bytes(50) for _ in range(2000)]\nTESTS = [t]", 1, "HEAP t"),
    ],
)
def test_exit_code_and_words(on_board, tmp_path: Path, script: str, code: int, words: str) -> None:
    path = tmp_path / "t.py"
    path.write_text(script)
    done = on_board(path)
    assert done.returncode == code
    assert words in done.stdout + done.stderr


def test_a_test_that_awaits_for_ever_ends(on_board, tmp_path: Path) -> None:
    path = tmp_path / "t.py"
    path.write_text("import asyncio\nasync def t():\n    await asyncio.Event().wait()\nTESTS = [t]")
    assert on_board(path).returncode == 13


def test_a_difference_is_seen(same_on_both, tmp_path: Path) -> None:
    """The comparison compares: what differs on purpose (an empty hex) is told."""
    path = tmp_path / "t.py"
    path.write_text(
        "from kit import Digest, text\n"
        "digest = Digest('odd')\n"
        "digest.line(text(b''.hex()))\n"
        "digest.close()\n"
    )
    with pytest.raises(pytest.fail.Exception, match="t.py differs at line 0"):
        same_on_both(path)
