"""The bytes of a JK on Bluetooth: payloads of one layout, commands, what its module adds."""

from vbms.commands.decoding import Reading, Values, only, snapshot_values
from vbms.errors import FrameError
from vbms.upstream import jk02, jk04, jk_ble
from vbms.upstream.jk02_names import jk04_names, names
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
    """The newest payload of each type as one picture; without live data the named values alone.

    `cells` is the layout: 32, 24 or 4 for JK04; 0: the one that fits.
    """
    newest: dict[int, bytes] = {}
    for payload in payloads:
        newest[payload[4]] = payload
    live = newest.get(jk02.LIVE)
    settings = newest.get(jk02.SETTINGS)
    info = newest.get(jk02.INFO)
    if not cells:
        cells = _layout(live, settings, info)
    named = jk04_names if cells == jk_ble.JK04 else names
    if live is None:
        found: Values = {}
        for static in (info, settings):
            if static is not None:
                found.update(named(static, cells))
        return found
    if cells == jk_ble.JK04:
        found = snapshot_values(jk04.snapshot(live, settings, info, 0))
    else:
        found = snapshot_values(jk02.Reader(cells).snapshot(live, settings, info, 0))
    found.update(named(live, cells))
    if found["cell_count"] is None:  # no settings to ask: what the frame itself shows
        found["cell_count"] = len(found["cells_mv"])
    return found


def _layout(live: bytes | None, settings: bytes | None, info: bytes | None) -> int:
    """The one that fits: by device info and live frame as the codec does it, else by settings."""
    promised = jk_ble.layout_of(info) if info is not None else 0
    if live is not None:
        return jk_ble.picked(live, promised)
    if not promised and settings is not None and jk04.is_settings(settings):
        return jk_ble.JK04
    return promised or 32


def read(data: bytes, cells: int) -> Reading:
    """What came over Bluetooth; a JK refuses nothing there. FrameError for anything unknown.

    `cells` is the layout, as in `show`.
    """
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
