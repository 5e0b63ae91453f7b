"""The log of a bad day: each change once, and never without its reason."""

import logging
from pathlib import Path

import pytest

from tests.relays.test_panel import Running

YAML = """
links:
  a: {{kind: simulate, baud: 9600}}
batteries:
  - {{name: one, profile: byd_pro_2_5, link: a, address: 1, capacity_ah: 50{more}}}
  - {{name: two, profile: byd_pro_2_5, link: a, address: 2, capacity_ah: 50}}
"""
HIGH = (3300,) * 13 + (3600,) + (3300,) * 2  # a cell that ends the charge; the sum stays possible


def _limits(running: Running) -> list[str]:
    """What was said about limits, oldest first."""
    rows = [row[5] for row in running.site.journal.events.rows() if row[2] == "limit"]
    return list(reversed(rows))


async def _started(folder: Path, more: str = "") -> Running:
    running = Running(folder, more, YAML)
    await running.run(70, "one", "two")
    return running


async def test_a_stop_and_its_end_are_told_at_once_with_the_reason(tmp_path: Path) -> None:
    running = await _started(tmp_path)
    await running.run(4, "one", "two", cells_mv=HIGH, voltage_mv=sum(HIGH))  # the third is believed
    assert [text for text in _limits(running) if text.startswith("charge 0.0 A: one: cell 14")]
    before = len(_limits(running))
    await running.run(20, "one", "two", cells_mv=HIGH, voltage_mv=sum(HIGH))
    assert len(_limits(running)) == before  # a stop that stands is no news
    await running.run(200, "one", "two")
    ended = [text for text in _limits(running)[before:] if text.startswith("charge")]
    assert ended and "rising slowly" in ended[0] and not ended[0].startswith("charge 0.0 A")


async def test_the_ramp_at_the_start_hides_no_other_reason(tmp_path: Path) -> None:
    cells = (3300,) * 15 + (3470,)  # less, but not nothing
    running = await _started(tmp_path)
    assert "rising slowly" in _limits(running)[0]
    await running.run(4, "one", "two", cells_mv=cells, voltage_mv=sum(cells))
    told = [text for text in _limits(running) if text.startswith("charge")]
    assert "cell 16" in told[-1], told


async def test_reasons_that_come_and_go_are_told_once_in_five_minutes(tmp_path: Path) -> None:
    cells = (3300,) * 15 + (3470,)
    running = await _started(tmp_path)
    for _ in range(8):
        await running.run(10, "one", "two", cells_mv=cells, voltage_mv=sum(cells))
        await running.run(20, "one", "two")
    assert len([text for text in _limits(running) if "cell 16" in text]) == 1


async def test_a_battery_that_falls_silent_is_one_line_a_step(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    running = await _started(tmp_path, ", hold_s: 15, retire_s: 40")
    caplog.clear()
    await running.run(60, "two")
    lines = [text for text in caplog.messages if text.startswith("one: ")]
    assert [text.split(";")[0] for text in lines] == [
        "one: silent for 11 s, its last values are held",
        "one: silent for 16 s, lost",
        "one: silent for 41 s, retired",
    ]
    alarms = [row[5] for row in running.site.journal.events.rows() if row[2] == "alarm"]
    assert "unit lost (warning): silent for 16 s" in alarms
    assert "unit retired (warning): was silent for 40 s, not acknowledged" in alarms
    shown = {row[0]: row[5] for row in running.site.view.alarm_rows()}
    assert shown["unit_retired"] == "was silent for 40 s, not acknowledged"


async def test_the_bank_says_what_zero_means(tmp_path: Path) -> None:
    running = await _started(tmp_path)
    await running.run(12)
    rows = [row[5] for row in running.site.journal.events.rows() if row[2] == "bank"]
    assert rows[0] == "zero, 0 of 2 units fresh: both limits are 0"
