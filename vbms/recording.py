"""What went over a link, as lines of JSON that people can read, cut and send.

    {"recording": 1, "link": "bms", "kind": "serial", "baud": 9600, "protocols": ["byd_pro"], ...}
    {"us": 1204518, "dir": ">", "hex": "01000401..."}        sent by vbms
    {"us": 1320007, "dir": "<", "hex": "010065..."}          heard

`us` counts from `started_ms` (wall clock) on a clock that never steps. A file is a ring of two: at
half its limit it becomes FILE.1 and a new one begins, each with the same head. Bluetooth has a file
for each battery, with `battery` in its head; there no bytes at all sent or heard mean that the
connection was made, or has ended. docs/recordings.md.
"""

import asyncio
import json
import logging
import os
import time
from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path

from vbms.config import LinkSettings
from vbms.endings import end

log = logging.getLogger("vbms")

VERSION = 1
LIMIT_BYTES = 16_000_000
_FLUSH_S = 1.0
_MOST_WAITING = 20_000  # lines that a slow disk has not taken
SENT, HEARD = ">", "<"

Event = tuple[int, bool, bytes]  # us, sent, bytes
Note = Callable[[bool, bytes], object]  # sent, bytes


class Recorder:
    """One link's file. `note` costs a moment and never waits; `flush` writes in a thread."""

    def __init__(self, path: Path, head: dict[str, object], limit: int = LIMIT_BYTES) -> None:
        self.path = path
        self.dropped = 0
        self._limit = limit // 2
        self._began_ns = time.monotonic_ns()
        self._head = {"recording": VERSION, **head, "started_ms": time.time_ns() // 1_000_000}
        self._waiting: deque[tuple[int, bool, bytes]] = deque(maxlen=_MOST_WAITING)
        self._size = 0
        self._writing: asyncio.Task[None] | None = None
        self._begin()

    def _begin(self) -> None:
        """Raises OSError where the file cannot be written."""
        text = json.dumps(self._head) + "\n"
        self.path.write_text(text, encoding="ascii")
        self._size = len(text)

    def note(self, sent: bool, data: bytes) -> None:
        """Bytes of this moment, from any thread; what a disk is too slow for is lost, the oldest
        first."""
        self.dropped += len(self._waiting) == self._waiting.maxlen
        self._waiting.append(((time.monotonic_ns() - self._began_ns) // 1000, sent, data))

    def write(self) -> None:
        """Put down what waits. Raises OSError."""
        lines = []
        while self._waiting:
            us, sent, data = self._waiting.popleft()
            lines.append(line_of(us, sent, data))
        if not lines:
            return
        text = "".join(lines)
        if self._size + len(text) > self._limit and self._size:
            os.replace(self.path, older(self.path))
            self._begin()
        with open(self.path, "a", encoding="ascii") as file:
            file.write(text)
        self._size += len(text)

    def start(self) -> None:
        """Write once a second from now on."""
        self._writing = asyncio.create_task(self._write_for_ever(), name=f"record {self.path.name}")

    async def _write_for_ever(self) -> None:
        said = ""
        while True:
            await asyncio.sleep(_FLUSH_S)
            try:
                await asyncio.to_thread(self.write)
                said = ""
            except OSError as error:
                if str(error) != said:
                    said = str(error)
                    log.error("%s: cannot be written: %s", self.path, error.strerror)

    async def close(self) -> None:
        await end(self._writing)
        self._writing = None
        try:
            await asyncio.to_thread(self.write)
        except OSError as error:
            log.error("%s: cannot be written: %s", self.path, error.strerror)


class Recorders:
    """A file for each link of a running service, in one folder."""

    def __init__(self, folder: Path, limit: int = LIMIT_BYTES) -> None:
        """Raises OSError where there can be no such folder."""
        folder.mkdir(parents=True, exist_ok=True)
        self._folder = folder
        self._limit = limit
        self._open: dict[str, Recorder | None] = {}  # None: it cannot be written

    def attach(self, link: object, settings: LinkSettings, protocols: Iterable[str]) -> None:
        """Record what goes over this link from now on, if it can tell."""
        if hasattr(link, "trace_for"):  # each battery on it has a connection of its own

            def trace_for(battery: str, protocol: str) -> Note | None:
                return self._note(head_of(settings, [protocol]) | {"battery": battery})

            link.trace_for = trace_for
            return
        if not hasattr(link, "trace"):
            log.warning("%s: a %s link cannot be recorded", settings.name, settings.kind)
            return
        note = self._note(head_of(settings, protocols))
        if note is None:
            return
        before: Note | None = link.trace

        def both(sent: bool, data: bytes) -> None:
            note(sent, data)
            if before is not None:
                before(sent, data)

        link.trace = note if before is None else both

    def _note(self, head: dict[str, object]) -> Note | None:
        """Of the file for what has this head; None, and a line in the log, where there is none."""
        name = name_of(head)
        if name not in self._open:
            path = self._folder / f"{name}.jsonl"
            self._open[name] = None
            try:
                recorder = Recorder(path, head, self._limit)
            except OSError as error:
                log.error("%s: cannot be written: %s", path, error.strerror)
                return None
            recorder.start()
            self._open[name] = recorder
        found = self._open[name]
        return None if found is None else found.note

    async def close(self) -> None:
        await asyncio.gather(*(each.close() for each in self._open.values() if each is not None))


def head_of(link: LinkSettings, protocols: Iterable[str]) -> dict[str, object]:
    return {
        "link": link.name,
        "kind": link.kind,
        "baud": link.baud,
        "protocols": sorted(set(protocols)),
    }


def name_of(head: Mapping[str, object]) -> str:
    """LINK, or LINK@BATTERY where each battery has a connection of its own."""
    battery = head.get("battery")
    return str(head.get("link", "")) + (f"@{battery}" if battery else "")


def older(path: Path) -> Path:
    """The other half of the ring."""
    return path.with_name(path.name + ".1")


def line_of(us: int, sent: bool, data: bytes) -> str:
    mark = SENT if sent else HEARD
    return f'{{"us": {us}, "dir": "{mark}", "hex": "{data.hex()}"}}\n'


class Recording:
    """A file as read: its head and all events in their order."""

    def __init__(self, head: dict[str, object], events: Sequence[Event]) -> None:
        self.head = head
        self.events = list(events)

    @property
    def link(self) -> str:
        return str(self.head.get("link", ""))

    @property
    def battery(self) -> str:
        """Whose connection it was; "": everybody's on the link."""
        return str(self.head.get("battery") or "")

    @property
    def name(self) -> str:
        return name_of(self.head)

    @property
    def started_us(self) -> int:
        started = self.head.get("started_ms")
        return started * 1000 if isinstance(started, int) else 0


def read(path: Path) -> Recording:
    """A recording with the older half of its ring. Raises ValueError with the line, OSError."""
    head: dict[str, object] = {}
    events: list[Event] = []
    for file in (older(path), path):
        if file != path and not file.exists():
            continue
        for number, line in enumerate(file.read_text("ascii", "replace").splitlines(), 1):
            if not line.strip():
                continue
            where = f"{file}:{number}"
            found = _object(line, where)
            if "recording" in found:
                if found["recording"] != VERSION:
                    raise ValueError(f"{where}: recording {found['recording']}, {VERSION} is known")
                if head and head.get("started_ms") != found.get("started_ms"):
                    events = []  # an older half that was left by another run
                head = found
            elif not head:
                raise ValueError(f"{where}: no recording: it begins with no head")
            else:
                events.append(_event(found, where))
    if not head:
        raise ValueError(f"{path}: no recording: it is empty")
    return Recording(head, events)


def _object(line: str, where: str) -> dict[str, object]:
    try:
        found = json.loads(line)
    except ValueError as error:
        raise ValueError(f"{where}: no JSON: {error}") from None
    if not isinstance(found, dict):
        raise ValueError(f"{where}: no JSON object")
    return found


def _event(found: dict[str, object], where: str) -> Event:
    us, mark, text = found.get("us"), found.get("dir"), found.get("hex")
    if type(us) is not int or us < 0 or mark not in (SENT, HEARD) or not isinstance(text, str):
        raise ValueError(f"{where}: an event has us, dir (> or <) and hex")
    try:
        return us, mark == SENT, bytes.fromhex(text)
    except ValueError:
        raise ValueError(f"{where}: hex holds no pairs of hex digits") from None
