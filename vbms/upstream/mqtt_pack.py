"""A battery that arrives by MQTT: another vbms, a node that reads one, single cells.

    shape json   TOPIC {"voltage_mv": 53120, "cells_mv": [3320, ...], "soc_permille": 600, ...}
    shape pack   TOPIC/Pack-v-N 3300 (mV of cell N from 1), TOPIC/Pack-t-N 25 (its temperature, C)

A frame here is one message, `TOPIC PAYLOAD`, as a line of text. The names are those of `Snapshot`,
as `vbms decode --json` prints them and vbms publishes them; other names are looked over. `age_ms`
is how old the values were when they were sent, so that a chain of programs makes nothing young;
`alarms` may say {"cell_overvoltage": 2} in place of the three words of bits.

A message is checked by what carried it, not here; what is impossible is admission's to see. With
shape pack a battery is as old as the oldest cell of a round: one that falls silent ages it all.

Sources: the data model; Pack-v-N and Pack-t-N of an ESP32 cell monitor, decimal text, not retained.
"""

from vbms.aggregate import alarms
from vbms.aggregate.snapshot import FIELDS, Snapshot
from vbms.errors import FrameError
from vbms.options import CHOICE, EACH_POLL, INT, TEXT, Option
from vbms.wire.flat_json import read_object

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

LINE = "vbms.lines.mqtt"
LINKS = ("mqtt",)
JSON, PACK = "json", "pack"
MESSAGE, PROFILE = "message", "profile"
OPTIONS = (
    Option(
        "address",
        TEXT,
        low=1,
        high=200,
        required=True,
        help="the topic; with shape pack what stands before /Pack-v-1",
    ),
    Option(
        "shape",
        CHOICE,
        JSON,
        choices=(JSON, PACK),
        help="one object, or a topic for each cell",
    ),
    Option(
        "limits",
        CHOICE,
        MESSAGE,
        choices=(MESSAGE, PROFILE),
        help="message: without ccl_ma or dcl_ma in it the limit is 0; profile: the caps alone",
    ),
    Option(
        "switches",
        CHOICE,
        "present",
        choices=("present", "absent"),
        help="absent: nothing can forbid charging or discharging, cells and temperatures decide",
    ),
    Option("cells", INT, 16, low=1, high=32, help="how many Pack-v-N there are"),
)
DECLARES = ("ccl_ma", "dcl_ma")
NEEDS_SETTINGS = False

LONGEST = 8192  # bytes of a message; a bank with 32 cells says itself in 1500
_MOST = 1 << 30  # of any number, either way
_MOST_ITEMS = 64
_LONGEST_TEXT = 80
_LISTS = ("cells_mv", "temps_mc")
_FLAGS = (
    "balancing",
    "ccl_is_trip",
    "dcl_is_trip",
    "charge_ok",
    "discharge_ok",
    "charge_open",
    "discharge_open",
)
_TEXTS = ("note", "serial", "model")
_WORDS = ("warnings", "protections", "criticals")  # by level - 1
_EVERY_ALARM = (1 << len(alarms.NAMES)) - 1


def declared(options: "Mapping[str, object]") -> tuple[str, ...]:
    """The limits that such a battery has to state: without them they are 0."""
    if options.get("shape") == PACK or options.get("limits") == PROFILE:
        return ()
    return DECLARES


def check(options: "Mapping[str, object]") -> "Sequence[tuple[str, str, str]]":
    """Options that cannot be: (option, what is wrong, what is allowed)."""
    topic = str(options["address"])
    if "+" in topic or "#" in topic:
        return (("address", topic + " names more than one topic", "a topic without + and #"),)
    return ()


class Codec:
    """What to subscribe to, and what the messages mean."""

    def __init__(
        self,
        address: object = "",
        shape: str = JSON,
        limits: str = MESSAGE,
        switches: str = "present",
        cells: int = 16,
    ):
        self._topic = str(address)
        self._cells = cells if shape == PACK else 0
        self._switched = switches == "present"
        topics = [self._topic]
        if shape == PACK:
            topics = ["%s/Pack-v-%d" % (self._topic, n + 1) for n in range(cells)]
            topics += ["%s/Pack-t-%d" % (self._topic, n + 1) for n in range(cells)]
        self.topics = tuple(topics)
        self._slots = {topic.encode(): slot for slot, topic in enumerate(topics)}
        self.needed = tuple(range(cells)) if shape == PACK else (0,)  # slots of a whole round

    def requests(self) -> "Sequence[tuple[int, bytes]]":
        return ((EACH_POLL, b""),) * len(self.topics)

    def take(self, buffer: bytes) -> tuple[int, bytes | None]:
        end = buffer.find(b"\n")
        if end < 0:
            return (len(buffer), None) if len(buffer) > LONGEST else (0, None)
        line = buffer[:end].strip()
        return end + 1, line if line and end <= LONGEST else None

    def slot(self, frame: bytes) -> int | None:
        topic = _split(frame)[0]
        if not self._topic and not self._cells:
            return 0
        return self._slots.get(topic)

    def decode(self, frames: "Sequence[bytes | None]", now_ms: int) -> Snapshot:
        snap = Snapshot()
        snap.taken_ms = now_ms
        if self._cells:
            self._fill_cells(snap, frames)
        elif not frames or frames[0] is None:
            raise FrameError("truncated: expected one message")
        else:
            if len(frames[0]) > LONGEST:
                raise FrameError("length: a message of more than %d bytes" % LONGEST)
            _fill(snap, read_object(_split(frames[0])[1]))
        if not self._switched:
            if snap.charge_ok is None:
                snap.charge_ok = True
            if snap.discharge_ok is None:
                snap.discharge_ok = True
        return snap

    def _fill_cells(self, snap: Snapshot, frames: "Sequence[bytes | None]") -> None:
        n = self._cells
        if len(frames) != 2 * n:
            raise FrameError("truncated: expected %d messages" % (2 * n))
        cells = []
        temps = []
        for frame in frames[:n]:
            if frame is None:
                raise FrameError("truncated: a cell has said nothing")
            cells.append(_milli(frame, 1))
        for frame in frames[n:]:
            if frame is not None:
                temps.append(_milli(frame, 1000))
        snap.cells_mv = tuple(cells)
        snap.voltage_mv = sum(cells)
        if temps:
            snap.temps_mc = tuple(temps)


def _split(frame: bytes) -> tuple[bytes, bytes]:
    """(topic, payload); a payload may stand alone."""
    if frame[:1] == b"{":
        return b"", frame
    at = frame.find(b" ")
    return (frame, b"") if at < 0 else (frame[:at], frame[at + 1 :])


def _milli(frame: bytes, scale: int) -> int:
    """The decimal number of a Pack topic, in units of 1/scale; digits behind those are dropped."""
    text = _split(frame)[1].strip()
    negative = text[:1] == b"-"
    value = 0
    places = -1  # behind the point
    most = len(str(scale)) - 1
    digits = 0
    for byte in text[1:] if negative else text:
        if byte == 0x2E and places < 0:
            places = 0
        elif 0x30 <= byte <= 0x39 and digits < 7:
            digits += 1
            if places < 0:
                value = 10 * value + byte - 0x30
            elif places < most:
                value = 10 * value + byte - 0x30
                places += 1
        else:
            raise FrameError("payload: a topic of cells holds no decimal number")
    if not digits:
        raise FrameError("payload: a topic of cells holds no decimal number")
    for _ in range(places):
        scale //= 10
    value *= scale
    return -value if negative else value


def _fill(snap: Snapshot, said: "dict[str, object]") -> None:
    for name in said:
        value = said[name]
        if name == "taken_ms" or value is None:
            continue
        if name == "age_ms":
            snap.taken_ms = (snap.taken_ms or 0) - _whole(name, value, 0)
        elif name == "alarms":
            _fill_alarms(snap, value)
        elif name not in FIELDS:
            continue
        elif name in _LISTS:
            if not isinstance(value, list) or len(value) > _MOST_ITEMS:
                raise FrameError("payload: %s is no list of whole numbers" % name)
            items = [None if item is None else _whole(name, item, -_MOST) for item in value]
            setattr(snap, name, tuple(items))
        elif name in _FLAGS:
            if value is not True and value is not False:
                raise FrameError("payload: %s is neither true nor false" % name)
            setattr(snap, name, value)
        elif name in _TEXTS:
            if not isinstance(value, str):
                raise FrameError("payload: %s is no text" % name)
            setattr(snap, name, value[:_LONGEST_TEXT])
        elif name in _WORDS:
            word = getattr(snap, name) | _whole(name, value, 0) & _EVERY_ALARM
            setattr(snap, name, word)
        else:
            setattr(snap, name, _whole(name, value, -_MOST))
    if not snap.cells_mv and snap.voltage_mv is None:
        raise FrameError("payload: neither cells_mv nor voltage_mv")


def _fill_alarms(snap: Snapshot, value: object) -> None:
    if not isinstance(value, dict):
        raise FrameError("payload: alarms is no object of names and levels")
    for name in value:
        level = _whole("alarms", value[name], 0)
        if level > len(_WORDS):
            raise FrameError("payload: alarms has a level of %d, 0 to 3 exist" % level)
        if level:
            bit = alarms.NAMES.index(name) if name in alarms.NAMES else -1
            mask = 1 << bit if bit >= 0 else alarms.INTERNAL  # an alarm without a name here
            word = _WORDS[level - 1]
            setattr(snap, word, getattr(snap, word) | mask)


def _whole(name: str, value: object, low: int) -> int:
    if type(value) is not int:
        raise FrameError("payload: %s is no whole number" % name)
    if not low <= value <= _MOST:
        raise FrameError("payload: %s is beyond all batteries" % name)
    return value
