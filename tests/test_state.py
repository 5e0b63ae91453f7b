"""The state file: whole or not at all, and never a reason not to start."""

from __future__ import annotations

import asyncio
import json
import logging
import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vbms import state
from vbms.state import State, StateFile


def written(path: Path) -> dict[str, object]:
    found: dict[str, object] = json.loads(path.read_text())["sections"]
    return found


def test_what_was_saved_is_loaded(tmp_path: Path) -> None:
    path = tmp_path / "not" / "yet" / "there" / "state.json"
    assert StateFile(path).load() == {}
    sections: dict[str, state.Section] = {"charge": {"phase": "float"}, "relay": {"b": 1, "ä": "ö"}}
    assert StateFile(path).save(sections)
    assert StateFile(path).load() == sections
    assert [each.name for each in path.parent.iterdir()] == ["state.json"]


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"{",
        b"null",
        b"[1, 2]",
        b'{"vbms": 2, "sections": {}}',
        b'{"sections": {}}',
        b'{"vbms": 1}',
        b'{"vbms": 1, "sections": []}',
        b"\xff\xfe\x00",
        b"[" * 100_000,
        b'{"vbms": 1, "sections": {"gone": {"a": NaN}}}',  # it could never be written again
        b'{"vbms": 1, "sections": {}, "x": "' + b"x" * state.MOST_BYTES + b'"}',
    ],
)
def test_what_is_no_state_is_set_aside_with_one_line(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, text: bytes
) -> None:
    path = tmp_path / "state.json"
    for count in (1, 2):  # within one second, too
        path.write_bytes(text)
        caplog.clear()
        assert StateFile(path).load() == {}
        (line,) = [record.getMessage() for record in caplog.records]
        assert "starting without" in line and "state.json.bad-" in line
        aside = sorted(tmp_path.glob("state.json.bad-*"))
        assert len(aside) == count and aside[-1].read_bytes() == text and not path.exists()
    assert StateFile(path).save({"a": {}})


@given(st.binary(max_size=200))
def test_any_bytes_at_all_start_a_program(data: bytes) -> None:
    try:
        assert isinstance(state._sections(data), dict)
    except ValueError as error:
        assert str(error)


def test_a_section_that_is_none_is_left_out(tmp_path: Path) -> None:
    path = tmp_path / "state.json"
    path.write_text('{"vbms": 1, "sections": {"good": {"a": 1}, "bad": 7}}')
    assert StateFile(path).load() == {"good": {"a": 1}}


def test_a_folder_that_cannot_be_written_is_one_warning(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    (tmp_path / "state").write_text("a file where the folder should be")
    file = StateFile(tmp_path / "state" / "state.json")
    assert file.load() == {}
    caplog.clear()
    for _ in range(3):
        assert not file.save({"a": {"b": 1}})
    assert [record.levelno for record in caplog.records] == [logging.WARNING]
    (tmp_path / "state").unlink()
    assert file.save({"a": {"b": 1}})
    assert "after 3 failures" in caplog.records[-1].getMessage()


def test_a_crash_while_writing_leaves_the_old_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "state.json"
    StateFile(path).save({"a": {"b": 1}})

    def out_of_power(fd: int) -> None:
        raise OSError(5, "power gone")

    monkeypatch.setattr(os, "fsync", out_of_power)
    assert not StateFile(path).save({"a": {"b": 2}})
    assert StateFile(path).load() == {"a": {"b": 1}}


def test_a_clock_that_was_never_set_is_no_clock(monkeypatch: pytest.MonkeyPatch) -> None:
    for now, valid in ((0, False), (1_704_067_199, False), (1_704_067_200, True)):
        monkeypatch.setattr(state.time, "time", lambda now=now: now + 0.5)
        assert state.wall_s() == (now if valid else None)


async def test_writes_are_few_and_the_last_one_counts(tmp_path: Path) -> None:
    path = tmp_path / "state.json"
    kept = State(StateFile(path), every_ms=10_000)
    saves = []
    save = kept._file.save
    kept._file.save = lambda sections: saves.append(1) or save(sections)  # type: ignore
    for now in range(0, 60_000, 1000):
        kept.keep("charge", {"minute": now // 1000})
        kept.tick(now)
        if kept._writing is not None:
            await kept._writing
    assert len(saves) == 6
    await kept.close()
    assert written(path) == {"charge": {"minute": 59}} and len(saves) == 7
    for now in range(60_000, 120_000, 1000):
        kept.keep("charge", {"minute": 59})
        kept.tick(now)
    await kept.close()
    assert len(saves) == 7
    assert State(StateFile(path)).recall("charge") == {"minute": 59}
    assert State(StateFile(path)).recall("nobody") == {}


async def test_a_persons_word_is_written_at_once(tmp_path: Path) -> None:
    path = tmp_path / "state.json"
    kept = State(StateFile(path))
    kept.keep("a", {"n": 1})
    kept.tick(0)
    await asyncio.sleep(0)
    kept.keep("a", {"n": 2}, at_once=True)
    for _ in range(100):
        kept.tick(1)
        if kept._writing is not None:
            await kept._writing
    assert written(path) == {"a": {"n": 2}}


async def test_a_failed_write_is_tried_again(tmp_path: Path) -> None:
    (tmp_path / "state").write_text("in the way")
    path = tmp_path / "state" / "state.json"
    kept = State(StateFile(path), every_ms=1000)
    kept.keep("a", {"n": 1})
    kept.tick(0)
    assert kept._writing is not None
    await kept._writing
    (tmp_path / "state").unlink()
    kept.tick(500)
    assert not path.exists()
    kept.tick(1000)
    await kept._writing
    assert written(path) == {"a": {"n": 1}}
