"""Recordings: the ring, what is refused, and a running site's."""

import json
from pathlib import Path

import pytest

from vbms import recording
from vbms.recording import Recorder, Recorders

HEAD = {"link": "bms", "kind": "serial", "baud": 9600, "protocols": ["byd_pro"]}


def test_what_is_written_is_read(tmp_path: Path) -> None:
    path = tmp_path / "bms.jsonl"
    recorder = Recorder(path, HEAD)
    recorder.note(True, b"\x01\x02")
    recorder.note(False, b"\x03")
    recorder.write()
    found = recording.read(path)
    assert [(sent, data) for _, sent, data in found.events] == [
        (True, b"\x01\x02"),
        (False, b"\x03"),
    ]
    assert 0 <= found.events[0][0] <= found.events[1][0] < 1_000_000
    assert found.link == "bms" and found.head["protocols"] == ["byd_pro"]
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    assert lines[0]["recording"] == 1 and lines[1]["dir"] == ">" and lines[1]["hex"] == "0102"


def test_the_oldest_is_dropped(tmp_path: Path) -> None:
    path = tmp_path / "bms.jsonl"
    recorder = Recorder(path, HEAD, limit=4000)
    for number in range(300):
        recorder.note(False, b"%03d" % number)
        recorder.write()
        size = sum(file.stat().st_size for file in tmp_path.iterdir())
        assert size <= 4000 + 100
    found = recording.read(path)
    numbers = [int(data) for _, _, data in found.events]
    assert numbers == list(range(numbers[0], 300)) and 30 < len(numbers) < 100
    # Another run begins anew, and does not mix with the half that is left.
    again = Recorder(path, HEAD | {"link": "other"}, limit=4000)
    again._head["started_ms"] = 5
    again._begin()
    assert recording.read(path).events == []


def test_a_disk_that_is_too_slow_loses_the_oldest(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(recording, "_MOST_WAITING", 3)
    recorder = Recorder(tmp_path / "a", HEAD)
    for number in range(5):
        recorder.note(False, b"%d" % number)
    recorder.write()
    assert recorder.dropped == 2
    assert [data for _, _, data in recording.read(tmp_path / "a").events] == [b"2", b"3", b"4"]


@pytest.mark.parametrize(
    ("text", "wrong"),
    [
        ("", "it is empty"),
        ("x\n", "x.jsonl:1: no JSON"),
        ("[]\n", "no JSON object"),
        ('{"us": 1, "dir": ">", "hex": "00"}\n', "begins with no head"),
        ('{"recording": 2}\n', "recording 2, 1 is known"),
        ('{"recording": 1}\n{"us": 1, "dir": "?", "hex": "00"}\n', "x.jsonl:2: an event has"),
        ('{"recording": 1}\n{"us": -1, "dir": "<", "hex": "00"}\n', "an event has"),
        ('{"recording": 1}\n{"us": 1, "dir": "<", "hex": "0"}\n', "no pairs of hex digits"),
    ],
)
def test_refused(tmp_path: Path, text: str, wrong: str) -> None:
    path = tmp_path / "x.jsonl"
    path.write_text(text)
    with pytest.raises(ValueError, match=wrong):
        recording.read(path)


def test_no_folder(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(OSError):
        Recorders(tmp_path / "file" / "folder")
