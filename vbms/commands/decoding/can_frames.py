"""CAN frames as candump writes them, `351#2802E803DC05CC01`, and what each protocol makes of them.

An identifier of three digits is an 11-bit one, of eight a 29-bit one.
"""

import json
import re
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click

from vbms.commands.decoding import Reading, Values
from vbms.downstream import registry
from vbms.errors import FrameError

# Sets that only some batteries or inverters speak, by the word of their profile.
FLAVOURS = {
    "deye_can": "deye",
    "victron_can": "victron",
    "sma_can": "sma",
    "goodwe_can": "goodwe",
    "luxpower_can": "luxpower",
    "deye_pcs_can": "deye_pcs",
    "solark_can": "solark",
}
PROTOCOLS = ("pylontech_can", *FLAVOURS, "pylontech_hv_can", "byd_can")
FORM = "ID#BYTES as candump writes it, such as 351#2802E803DC05CC01"

Frame = tuple[int, bytes, bool]  # identifier, data, 29 bits

_WORD = re.compile(r"([0-9A-Fa-f]{8}|[0-9A-Fa-f]{3})#(R\d?|(?:[0-9A-Fa-f]{2}){0,8})")
_TIME = re.compile(r"\(\d+\.\d+\)")
_TABLE = re.compile(r"\b([0-9A-Fa-f]{8}|[0-9A-Fa-f]{3})\s+\[\d\]((?:\s+[0-9A-Fa-f]{2}){0,8})$")


def parse(text: str) -> list[Frame] | None:
    """The frames of a log or of the command line; None for anything else."""
    found: list[Frame] = []
    for line in text.splitlines():
        table = _TABLE.search(line.strip())
        if table is not None:
            found.append(_frame(table[1], table[2]))
            continue
        words = _TIME.sub(" ", line).split()
        for at, word in enumerate(words):
            match = _WORD.fullmatch(word)
            if match is not None:
                if match[2][:1] != "R":  # asks for a frame, tells none
                    found.append(_frame(match[1], match[2]))
            elif at or len(words) == 1:  # a log has the interface's name first
                return None
    return found or None


def _frame(can_id: str, data: str) -> Frame:
    return int(can_id, 16), bytes.fromhex(data), len(can_id) == 8


def written(can_id: int, data: bytes, extended: bool) -> str:
    """As candump writes it."""
    return ("%08X#%s" if extended else "%03X#%s") % (can_id, data.hex().upper())


def inputs(protocol: str, source: Sequence[str]) -> list[tuple[str, bytes, str]]:
    """(title, text, protocol) to decode; titles only in a file of vectors, which names flavours.

    Raises click.UsageError for what is no frame as candump writes it.
    """
    name = " ".join(source)
    try:
        if not source:
            if sys.stdin.isatty():
                raise click.UsageError("give the frame as %s, or a file, or pipe it in" % FORM)
            name, text = "standard input", sys.stdin.buffer.read().decode("ascii", "replace")
        elif Path(name).is_file():
            text = _recorded(name) or Path(name).read_text("ascii", "replace")
        else:
            text = name
    except OSError as error:
        raise click.UsageError("%s cannot be read: %s" % (name, error.strerror)) from error
    if text.strip()[:1] in ("[", "{"):
        try:
            return [_vector(entry, protocol) for entry in _entries(text)]
        except (ValueError, KeyError, TypeError) as error:
            raise click.UsageError("%s holds no vectors of CAN frames" % name) from error
    if parse(text) is None:
        raise click.UsageError("%s is neither a file nor %s" % (name, FORM))
    return [("", text.encode(), protocol)]


def _recorded(name: str) -> str | None:
    """The frames of a recording as a log; None for a file that is none."""
    from vbms.commands.decoding.vector import read_recording
    from vbms.links.can_bus import from_bytes

    recording = read_recording(name)
    if recording is None:
        return None
    frames = [from_bytes(data) for _, _, data in recording.events]
    return "\n".join(written(*frame) for frame in frames if frame is not None)


def _entries(text: str) -> list[dict[str, Any]]:
    found = json.loads(text)
    return found if isinstance(found, list) else [found]


def _vector(entry: dict[str, Any], protocol: str) -> tuple[str, bytes, str]:
    can_id = int(str(entry["can_id"]), 16)
    data = bytes.fromhex(entry["response_hex"])
    variant = "%s_can" % entry.get("variant")
    if protocol == "pylontech_can" and variant in FLAVOURS:
        protocol = variant
    text = written(can_id, data, bool(entry.get("extended")))
    return "%s\n" % entry["name"], text.encode(), protocol


def read(protocol: str, text: str) -> Reading:
    """What the frames say together, the newest of each; FrameError for one that is none."""
    found: Values = {}
    for can_id, data, extended in parse(text) or ():
        if protocol == "pylontech_can" or protocol in FLAVOURS:
            from vbms.commands.decoding import pylontech_can

            found.update(pylontech_can.read(can_id, data, extended, FLAVOURS.get(protocol)))
        else:
            found.update(_other(protocol, can_id, data, extended))
    return found, None


def _other(protocol: str, can_id: int, data: bytes, extended: bool) -> Values:
    if extended != (protocol == "pylontech_hv_can"):
        bits = 29 if extended else 11
        raise FrameError("marker: %s has no identifiers of %d bits" % (protocol, bits))
    said: Values = registry.load(protocol).Codec().read((can_id, data))
    return said
