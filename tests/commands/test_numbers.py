"""Numbers on the command line that are none: refused with exit code 2, before anything starts."""

from __future__ import annotations

import pytest
from click.testing import CliRunner

from vbms.__main__ import main


@pytest.mark.parametrize("text", ["nan", "inf", "-inf", "1e400"])
@pytest.mark.parametrize(
    "line",
    [
        "soak --days",
        "soak --every",
        "demo --seconds",
        "simulate byd-pro --speed",
        "sniff a --seconds",
    ],
)
def test_what_is_no_number_is_refused(line: str, text: str) -> None:
    result = CliRunner().invoke(main, [*line.split(), text])
    assert result.exit_code == 2
    assert "is not a finite number" in result.output or "is not in the range" in result.output
