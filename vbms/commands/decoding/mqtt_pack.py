"""What MQTT messages say about a battery: one object, or a topic for each cell."""

import re

from vbms.commands.decoding import Reading, snapshot_values
from vbms.errors import FrameError
from vbms.upstream import mqtt_pack

_CELL = re.compile(rb"(?P<topic>\S+)/Pack-[vt]-(?P<number>[1-9]\d?) ")


def read(data: bytes) -> Reading:
    """The message in `data`, or the last of several lines. FrameError for anything else."""
    text = data.strip()
    if text[:1] == b"{":
        return _snapshot(mqtt_pack.Codec(), [text.replace(b"\n", b" ")])
    lines = [line.strip() for line in text.split(b"\n") if line.strip()]
    if not lines:
        raise FrameError("truncated: no message at all")
    cells = [found for line in lines if (found := _CELL.match(line))]
    if not cells:
        return _snapshot(mqtt_pack.Codec(), lines[-1:])
    if len(cells) < len(lines):
        raise FrameError("length: messages that are no Pack-v-N or Pack-t-N between others")
    topic = cells[0]["topic"].decode("ascii", "replace")
    most = max(int(found["number"]) for found in cells)
    codec = mqtt_pack.Codec(topic, shape=mqtt_pack.PACK, cells=min(most, 32))
    frames: list[bytes | None] = [None] * len(codec.topics)
    for line in lines:
        slot = codec.slot(line)
        if slot is None:
            raise FrameError("payload: messages of more than one battery, or of cell %d" % most)
        frames[slot] = line
    return _snapshot(codec, frames)


def _snapshot(codec: mqtt_pack.Codec, frames: "list[bytes | None] | list[bytes]") -> Reading:
    snap = codec.decode(frames, 0)
    age_ms = -(snap.taken_ms or 0)
    values = snapshot_values(snap)
    if age_ms:
        values["age_ms"] = age_ms
    return values, None
