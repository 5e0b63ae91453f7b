"""Every value of a BYD PRO frame by name, or in words what is wrong with it."""

from vbms.commands.decoding import Reading, Values, only, snapshot_values
from vbms.errors import FrameError, RefusedError
from vbms.upstream import byd_pro
from vbms.wire.crc import sum8
from vbms.wire.fields import Field, Table

_REST = Table(
    "<",
    (
        Field("battery_voltage_mv", "i", 12),
        Field("sensors_mc", "8h", 52, 1000),
        Field("others", "I", 68),
        Field("alarm", "I", 72),
        Field("protect", "I", 76),
        Field("fail", "I", 80),
        Field("balance", "I", 84),
        Field("battery_state", "H", 88),
        Field("total_discharge_soc", "I", 100),
    ),
)


def read(data: bytes) -> Reading:
    """What the frames in `data` say: the newest answer, else the requests; and a refusal in words.

    Raises FrameError, its first word saying what is wrong.
    """
    answers = []
    requests = []
    refusal = None
    at = 0
    while at < len(data) or not at:
        rest = data[at:]
        if at and rest[3:7] not in (b"\x01\x83\x55\xaa", b"\x01\x03\x55\xaa"):
            raise FrameError("length: %d bytes left over behind the frame" % len(rest))
        size = _check(rest)
        frame = rest[:size]
        found: Values = {"address": frame[0], "size": size - 4, "command": frame[4]}
        at += size
        if frame[4] == 0x03:
            requests.append(found)
            continue
        found["result"] = frame[7]
        answers.append(found)
        refusal = None
        try:
            snap = byd_pro.Codec(address=frame[0]).decode((frame,), 0)
        except RefusedError as error:
            refusal = "refused: %s" % error
            continue
        values = snapshot_values(snap)
        values.update(found)
        for name, value in _REST.read(frame).items():
            values[name] = list(value) if isinstance(value, tuple) else value
        answers[-1] = values
    if answers:
        return answers[-1], refusal
    return only(requests), None


def _check(data: bytes) -> int:
    """The size of the frame that `data` starts with. FrameError names everything that is wrong."""
    if len(data) < 8:
        raise FrameError("truncated: %d bytes are less than any frame" % len(data))
    wrong = []
    if data[5:7] != b"\x55\xaa":
        wrong.append("marker: %s, not 55 aa" % data[5:7].hex(" "))
    if data[3] != byd_pro.VERSION:
        wrong.append("version: %d, only %d is known" % (data[3], byd_pro.VERSION))
    if data[4] not in (0x03, 0x83):
        wrong.append("marker: command %02x, not 03 or 83" % data[4])
    size = 4 + (data[1] << 8 | data[2])
    if len(data) < size:
        wrong.append("truncated: %d of %d bytes" % (len(data), size))
        raise FrameError("; ".join(wrong))
    if size < 8:
        wrong.append("length: a frame of %d bytes does not exist" % size)
        raise FrameError("; ".join(wrong))
    total = sum8(data[1 : size - 1])
    if total != data[size - 1]:
        wrong.append("checksum: the sum is %02x, the frame says %02x" % (total, data[size - 1]))
    if wrong:
        raise FrameError("; ".join(wrong))
    if data[4] == 0x03:
        if size != 8:
            raise FrameError("length: a request of %d bytes" % size)
    elif size < byd_pro.REFUSAL_SIZE:
        raise FrameError("length: an answer of %d bytes" % size)
    elif not data[7] and size != byd_pro.FRAME_SIZE:
        wanted = byd_pro.FRAME_SIZE - byd_pro.REFUSAL_SIZE
        raise FrameError("payload: %d bytes instead of %d" % (size - 9, wanted))
    return size
