"""The bytes of a JK on Bluetooth: payloads of one layout, commands, what its module adds."""

from vbms.commands.decoding import Reading, Values, only, snapshot_values
from vbms.errors import FrameError
from vbms.upstream import jk02
from vbms.upstream.jk02_names import names
from vbms.wire.crc import sum8

COMMAND_HEADER = b"\xaa\x55\x90\xeb"
COMMAND_SIZE = 20
_NOISE = b"AT\r\n"


def check_payload(data: bytes) -> None:
    """Raises FrameError, its first word saying why, unless `data` starts with a good payload."""
    if data[:4] != jk02.HEADER[: len(data[:4])]:
        raise FrameError("marker: no frame starts with %s" % data[:4].hex(" "))
    if len(data) < jk02.SIZE:
        raise FrameError("truncated: %d of %d bytes" % (len(data), jk02.SIZE))
    total = sum8(data[: jk02.SIZE - 1])
    if total != data[jk02.SIZE - 1]:
        raise FrameError(
            "checksum: the sum is %02x, the frame says %02x" % (total, data[jk02.SIZE - 1])
        )
    if not jk02.SETTINGS <= data[4] <= jk02.INFO:
        raise FrameError("payload: type %02x is not known" % data[4])


def show(payloads: list[bytes], cells: int = 32) -> Values:
    """The newest payload of each type as one picture; without live data the named values alone."""
    newest: dict[int, bytes] = {}
    for payload in payloads:
        newest[payload[4]] = payload
    live = newest.get(jk02.LIVE)
    settings = newest.get(jk02.SETTINGS)
    info = newest.get(jk02.INFO)
    if live is None:
        found: Values = {}
        for static in (info, settings):
            if static is not None:
                found.update(names(static, cells))
        return found
    found = snapshot_values(jk02.Reader(cells).snapshot(live, settings, info, 0))
    found.update(names(live, cells))
    if found["cell_count"] is None:  # no settings to ask: what the frame itself shows
        found["cell_count"] = len(found["cells_mv"])
    return found


def read(data: bytes, cells: int) -> Reading:
    """What came over Bluetooth; a JK refuses nothing there. FrameError for anything unknown."""
    payloads = []
    commands = []
    at = 0
    while at < len(data):
        rest = data[at:]
        if rest[:4] == _NOISE:
            at += 4
        elif rest[:4] == COMMAND_HEADER[: len(rest[:4])]:
            commands.append(_command(rest))
            at += COMMAND_SIZE
        elif at and rest[:1] != jk02.HEADER[:1]:
            raise FrameError("length: %d bytes left over behind the frame" % len(rest))
        else:
            check_payload(rest)
            payloads.append(rest[: jk02.SIZE])
            at += jk02.SIZE
    if payloads:
        return show(payloads, cells), None
    if not commands:
        raise FrameError("truncated: no frame at all")
    return only(commands), None


def _command(data: bytes) -> Values:
    if len(data) < COMMAND_SIZE:
        raise FrameError("truncated: %d of %d bytes of a command" % (len(data), COMMAND_SIZE))
    if sum8(data[: COMMAND_SIZE - 1]) != data[COMMAND_SIZE - 1]:
        raise FrameError("checksum: of a command")
    length = data[5]
    if length > 13:
        raise FrameError("payload: a command with %d bytes of value" % length)
    found: Values = {"command": data[4], "length": length}
    if length:
        found["value"] = int.from_bytes(data[6 : 6 + length], "little")
        found["value0"] = data[6]
    found["checksum"] = data[COMMAND_SIZE - 1]
    return found
