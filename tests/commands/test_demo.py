"""The demo's screen on terminals of every size."""

import os

import pytest

from vbms.commands.demo import fitted
from vbms.simulate.deye import COLUMNS
from vbms.simulate.deye_checks import EMPTY

HEAD = ["DEYE Li-BMS page        normal", ""]
ROW = ("52.90V", "-0.03A", "22.7C", "60.8%", "254.6Ah", "55.2V", "14.1A", "0/0/0")
ROWS = [COLUMNS, ("00", *ROW), *((f"{n:02d}", *EMPTY) for n in range(1, 15))]
TEXT = ["", "summary", "", "charge limit " + "x" * 200, *(f"unit {n}" for n in range(7))]
LOG = [f"line {n}" for n in range(9)]


@pytest.mark.parametrize("lines", [10, 24, 30, 40, 60])
@pytest.mark.parametrize("columns", [40, 80, 200])
def test_a_screen_never_scrolls(lines: int, columns: int) -> None:
    shown = fitted(HEAD, ROWS, TEXT, LOG, os.terminal_size((columns, lines)))
    assert len(shown) < lines and max(map(len, shown)) <= columns
    assert shown[0] == HEAD[0] and any("52.90V" in line for line in shown)
    if lines >= 24:
        assert "unit 6" in shown and shown[-1] == LOG[-1]
    assert ("  14 " in "\n".join(shown)) is (lines >= 40)
