"""What outlives a restart: one JSON file in state_dir, written whole or not at all.

    {"vbms": 1, "written": 1790000000, "sections": {"acknowledged": {...}, "relay": {...}, ...}}

Each section belongs to one owner, who reads it once at start and gives it again when it changes.
Nothing in it is needed to start: a file that is missing, damaged or another program's costs one
line in the log. Writing happens in a thread, at most once in a while, and at the end.
"""

import asyncio
import contextlib
import json
import logging
import os
import time
from collections.abc import Mapping
from pathlib import Path

log = logging.getLogger("vbms")

NAME = "state.json"
FORMAT = 1
MOST_BYTES = 1_000_000
EVERY_MS = 10_000
_FIRST_VALID_S = 1_704_067_200  # 2024-01-01: a clock before that was never set

Section = dict[str, object]


def wall_s() -> int | None:
    """Seconds since 1970; None where the clock cannot be right."""
    now = int(time.time())
    return now if now >= _FIRST_VALID_S else None


class StateFile:
    """The file alone: `load` and `save` whole, both on the caller's thread."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._failed = 0  # writes in a row that came to nothing

    def load(self) -> dict[str, Section]:
        """The sections by owner; empty where there is no file, or none that can be used."""
        try:
            with self.path.open("rb") as file:
                data = file.read(MOST_BYTES + 1)
        except FileNotFoundError:
            return {}
        except OSError as error:
            log.warning("state: %s cannot be read, starting without: %s", self.path, _why(error))
            return {}
        try:
            return _sections(data)
        except ValueError as error:
            self._set_aside(str(error))
            return {}

    def save(self, sections: Mapping[str, Section]) -> bool:
        """Write all sections; False where that failed, which is logged once."""
        document = {"vbms": FORMAT, "written": wall_s(), "sections": dict(sections)}
        data = json.dumps(document, indent=1, sort_keys=True, allow_nan=False).encode()
        try:
            _replace(self.path, data)
        except OSError as error:
            if not self._failed:
                log.warning("state: %s cannot be written: %s", self.path, _why(error))
            self._failed += 1
            return False
        if self._failed:
            log.info("state: %s is written again, after %d failures", self.path, self._failed)
            self._failed = 0
        return True

    def _set_aside(self, why: str) -> None:
        stamp = time.strftime("%Y%m%dT%H%M%S", time.gmtime())
        aside = self.path.with_name(f"{self.path.name}.bad-{stamp}")
        count = 1
        while aside.exists():
            count += 1
            aside = self.path.with_name(f"{self.path.name}.bad-{stamp}-{count}")
        try:
            self.path.replace(aside)
        except OSError as error:
            log.warning("state: %s %s, starting without; %s", self.path, why, _why(error))
        else:
            log.warning("state: %s %s, starting without; kept as %s", self.path, why, aside.name)


def _sections(data: bytes) -> dict[str, Section]:
    """What a file holds; ValueError says why it is none of ours."""
    if len(data) > MOST_BYTES:
        raise ValueError(f"is longer than {MOST_BYTES} bytes")
    try:
        document = json.loads(data, parse_constant=_no_number)
    except (ValueError, RecursionError):
        raise ValueError("is damaged") from None
    if not isinstance(document, dict) or document.get("vbms") != FORMAT:
        raise ValueError("is not a state file of this version")
    sections = document.get("sections")
    if not isinstance(sections, dict):
        raise ValueError("has no sections")
    return {str(owner): part for owner, part in sections.items() if isinstance(part, dict)}


def _no_number(word: str) -> object:
    raise ValueError(word)


def _replace(path: Path, data: bytes) -> None:
    """The whole new file, or still the whole old one, whenever the power goes."""
    path.parent.mkdir(parents=True, exist_ok=True)
    new = path.with_name(path.name + ".new")
    with new.open("wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    new.replace(path)
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        with contextlib.suppress(OSError):  # some file systems cannot
            os.fsync(folder)
    finally:
        os.close(folder)


def _why(error: OSError) -> str:
    return error.strerror or str(error)


class State:
    """The sections of a running program, and when they are written."""

    def __init__(self, file: StateFile, every_ms: int = EVERY_MS) -> None:
        self._file = file
        self._every_ms = every_ms
        self._sections = file.load()
        self._changed = False
        self._last_ms: int | None = None  # of the last write
        self._writing: asyncio.Task[None] | None = None

    def recall(self, owner: str) -> Section:
        """What this owner kept last, before the restart or since; empty if nothing."""
        return dict(self._sections.get(owner, {}))

    def keep(self, owner: str, values: Section, *, at_once: bool = False) -> None:
        """This is the owner's section from now on: plain JSON values, integers and text.

        Cheap where nothing changed. at_once: do not wait for the usual time.
        """
        if self._sections.get(owner, {}) == values:
            return
        self._sections[owner] = dict(values)
        self._changed = True
        if at_once:
            self._last_ms = None

    def tick(self, now_ms: int) -> None:
        """Start a write if one is due. Called on the event loop; the disk is left to a thread."""
        if not self._changed or (self._writing is not None and not self._writing.done()):
            return
        if self._last_ms is not None and 0 <= now_ms - self._last_ms < self._every_ms:
            return
        self._last_ms = now_ms
        self._changed = False
        self._writing = asyncio.create_task(self._write(dict(self._sections)), name="state")

    async def _write(self, sections: dict[str, Section]) -> None:
        if not await asyncio.to_thread(self._file.save, sections):
            self._changed = True

    async def close(self) -> None:
        """Write what has not been written yet."""
        if self._writing is not None:
            await asyncio.gather(self._writing, return_exceptions=True)
        if self._changed:
            self._changed = False
            await asyncio.to_thread(self._file.save, dict(self._sections))
