"""The bytes of a JBD: answers as one picture, requests by name, or in words what is wrong."""

from vbms.commands.decoding import Reading, Values, only, snapshot_values
from vbms.errors import FrameError, RefusedError
from vbms.upstream import jbd

_COMMANDS = {jbd.BASIC: "basic", jbd.CELLS: "cells", jbd.NAME: "name"}
_DATE_AT, _PROTECTION_AT, _VERSION_AT = 14, 20, 22


def read(data: bytes) -> Reading:
    """The newest answer to each command as one picture, else the requests; a refusal in words.

    Raises FrameError, its first word saying what is wrong.
    """
    answers: dict[int, bytes] = {}
    requests: list[Values] = []
    refusal = None
    at = 0
    if not data:
        raise FrameError("truncated: no frame at all")
    while at < len(data):
        rest = data[at:]
        if at and rest[:1] != b"\xdd":
            raise FrameError("length: %d bytes left over behind the frame" % len(rest))
        size = _check(rest)
        if rest[1] == 0xA5:
            requests.append({"command": rest[2], "name": _COMMANDS[rest[2]]})
        elif rest[2]:
            refusal = "refused: command %02x, status %02x" % (rest[1], rest[2])
        else:
            answers[rest[1]] = rest[:size]
        at += size
    if not answers:
        return only(requests), refusal
    return _picture(answers), refusal


def _picture(answers: dict[int, bytes]) -> Values:
    basic, cells, name = (answers.get(command) for command in _COMMANDS)
    if basic is None:
        found: Values = {}
        if cells is not None:
            data = cells[4:-3]
            found["cells_mv"] = [data[k] << 8 | data[k + 1] for k in range(0, len(data), 2)]
        if name is not None:
            found["model"] = name[4:-3].decode()
        return found
    try:
        snap = jbd.Codec().decode((basic, cells, name), 0)
    except RefusedError as error:
        raise FrameError("payload: %s" % error) from error
    found = snapshot_values(snap)
    date = basic[_DATE_AT] << 8 | basic[_DATE_AT + 1]
    found["mfg_date"] = "%04d-%02d-%02d" % (2000 + (date >> 9), date >> 5 & 15, date & 31)
    found["errors"] = basic[_PROTECTION_AT] << 8 | basic[_PROTECTION_AT + 1]
    found["sw"] = "%d.%d" % (basic[_VERSION_AT] >> 4, basic[_VERSION_AT] & 15)
    return found


def _check(data: bytes) -> int:
    """The size of the frame that `data` starts with. Raises FrameError."""
    if data[:1] != b"\xdd":
        raise FrameError("marker: no frame starts with %s" % data[:4].hex(" "))
    if len(data) < 7:
        raise FrameError("truncated: %d bytes are less than any frame" % len(data))
    asks = data[1] == 0xA5
    command = data[2] if asks else data[1]
    if command not in _COMMANDS:
        raise FrameError("payload: command %02x is not known" % command)
    size = 7 + data[3]
    if len(data) < size:
        raise FrameError("truncated: %d of %d bytes" % (len(data), size))
    if data[size - 1] != 0x77:
        raise FrameError("marker: %02x at the end, not 77" % data[size - 1])
    total = -sum(data[2 : size - 3]) & 0xFFFF
    said = data[size - 3] << 8 | data[size - 2]
    if total != said:
        raise FrameError("checksum: the sum is %04x, the frame says %04x" % (total, said))
    if not asks and not data[2] and not jbd.is_like(command, data[4 : size - 3]):
        raise FrameError("payload: %d bytes that answer no command %02x" % (data[3], command))
    return size
