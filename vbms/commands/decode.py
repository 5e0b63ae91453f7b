"""`vbms decode PROTOCOL [HEX or FILE]`: what do these bytes say?

Framing is checked, plausibility is not: a frame is shown as it is. Exit 1 with the reason where it
is refused, and with what the frame does say where the device itself refused.
"""

import contextlib
import importlib
import json
import os
import re
import sys
from pathlib import Path
from typing import Any

import click

from vbms.aggregate import alarms
from vbms.commands.decoding import Reading, Values, can_frames
from vbms.errors import FrameError, RefusedError

# Those that a module of the same name in decoding/ reads.
_READERS = (
    "byd_battery_box",
    "byd_pro",
    "ina3221",
    "jbd",
    "jk_4e57",
    "mqtt_pack",
    "pack_chain",
    "pylontech_rs485",
)
_JK_LAYOUTS = {"jk_ble": 0, "jk02_32s": 32, "jk02_24s": 24, "jk04": 4}
_CODECS = ("deye_rs485", "modbus_tcp")  # that read themselves
PROTOCOLS = (*_READERS, "jk_pb", "jk_pb_modbus", *_JK_LAYOUTS, *_CODECS, *can_frames.PROTOCOLS)
TEXTS = ("mqtt_pack", "pylontech_rs485")  # may come as the text they are

# Ending of a name: unit for people, its size in the name's unit, decimal places.
_UNITS = (
    ("_mv", "V", 1000, 3),
    ("_ma", "A", 1000, 3),
    ("_mah", "Ah", 1000, 3),
    ("_mc", "°C", 1000, 1),
    ("_mw_abs", "W", 1000, 3),
    ("_mohm", "mOhm", 1, 0),
    ("_permille", "%", 10, 1),
    ("_s", "s", 1, 0),
    ("_us", "us", 1, 0),
    ("_h", "h", 1, 0),
)
_ALARM_WORDS = ("warnings", "protections", "criticals")


@click.command(name="decode", short_help="Say what the bytes of a frame mean, or why not.")
@click.argument("protocol", type=click.Choice(PROTOCOLS), metavar="PROTOCOL")
@click.argument("source", nargs=-1, metavar="[HEX or FILE]")
@click.option("--json", "as_json", is_flag=True, help="the data model's own names and milli-units")
@click.option(
    "--as-vector", is_flag=True, help="Frames, or an exchange of a recording, as a test vector."
)
@click.option("--at", type=float, metavar="SECONDS", help="Which exchange of the recording.")
def command(
    protocol: str, source: tuple[str, ...], as_json: bool, as_vector: bool, at: float | None
) -> None:
    """Say what the bytes of a frame mean, or why they are refused.

    PROTOCOL is a protocol's name (`vbms decode x` lists them all); jk_ble finds its layout, or is
    told it: jk02_32s, jk02_24s, jk04.

    The bytes come as hex digits (spaces allowed), from a file of hex digits or bytes, or from
    standard input. A file of test vectors (JSON) is decoded entry by entry. A frame of
    pylontech_rs485 may come as the text it is, its end as `\\r`; so may a message of mqtt_pack,
    with its topic as `mosquitto_sub -v` prints it, or without.

    CAN frames come as candump writes them, ID#BYTES, as arguments, as a log or in a recording;
    several make one picture.
    """
    if as_vector:
        _print_vector(protocol, source, at)
        return
    if protocol in can_frames.PROTOCOLS:
        inputs = can_frames.inputs(protocol, source)
    else:
        frames = _texts(source) if protocol in TEXTS else _inputs(source)
        inputs = [(title, data, protocol) for title, data in frames]
    refused = False
    for title, data, protocol in inputs:
        found: Values | list[Values] = {}
        try:
            found, refusal = read(protocol, data)
        except FrameError as error:
            refusal = str(error)
        if title and as_json:
            click.echo(
                json.dumps({"name": title.strip(), "says": found or None, "refused": refusal})
            )
        elif found:
            click.echo(json.dumps(found) if as_json else title + _for_people(found))
        if refusal is not None:
            refused = True
            click.echo("%s%s: %s" % (title.replace("\n", ": "), protocol, refusal), err=True)
    if refused:
        sys.exit(1)


def read(protocol: str, data: bytes) -> Reading:
    """What the bytes say, and in words if the device refused. FrameError if they are no frame."""
    if protocol in _READERS:
        module = importlib.import_module("vbms.commands.decoding." + protocol)
        found: Reading = module.read(data)
        return found
    if protocol.startswith("jk_pb"):
        from vbms.commands.decoding import jk_pb

        return jk_pb.read(data)
    if protocol in _JK_LAYOUTS:
        from vbms.commands.decoding import jk02

        return jk02.read(data, _JK_LAYOUTS[protocol])
    if protocol in can_frames.PROTOCOLS:
        return can_frames.read(protocol, data.decode("ascii", "replace"))
    from vbms.downstream import registry

    codec = registry.load(protocol).Codec()
    try:
        return codec.read(data), None
    except RefusedError as error:
        data = data[6:] if protocol == "modbus_tcp" else data  # there a head comes first
        return {"address": data[0], "function": data[1] & 0x7F, "exception": error.code}, str(error)


def _print_vector(protocol: str, source: tuple[str, ...], at: float | None) -> None:
    from vbms.commands.decoding import vector
    from vbms.upstream import registry

    name = "jk_pb" if protocol == "jk_pb_modbus" else protocol
    if name not in registry.DRIVERS or not hasattr(registry.load(name).Codec, "take"):
        raise click.UsageError("%s has no vectors of this kind: a battery's protocol has" % name)
    recording = vector.read_recording(source[0]) if len(source) == 1 else None
    try:
        if recording is not None:
            click.echo(vector.written(vector.from_recording(name, recording, at)))
            return
        texts = _texts(source) if name == "mqtt_pack" else _inputs(source)
        frames = [data if name != "mqtt_pack" else data.rstrip() + b"\n" for _, data in texts]
        click.echo(vector.written(vector.from_frames(name, b"".join(frames))))
    except FrameError as error:
        click.echo("%s: %s" % (name, error), err=True)
        sys.exit(1)


def _inputs(source: tuple[str, ...]) -> list[tuple[str, bytes]]:
    """(title, bytes) of each frame to decode; titles only in a file of vectors."""
    if not source:
        if sys.stdin.isatty():
            raise click.UsageError("give the frame as hex digits, or a file, or pipe it in")
        return _contents(sys.stdin.buffer.read(), "standard input")
    if len(source) == 1 and os.path.exists(source[0]):
        try:
            with open(source[0], "rb") as file:
                return _contents(file.read(), source[0])
        except OSError as error:
            raise click.UsageError("%s cannot be read: %s" % (source[0], error.strerror)) from error
    data = _from_hex(" ".join(source))
    if data is None:
        raise click.UsageError("%s is neither a file nor pairs of hex digits" % " ".join(source))
    return [("", data)]


def _texts(source: tuple[str, ...]) -> list[tuple[str, bytes]]:
    """Messages as text, or in any of the ways of `_inputs`."""
    text = " ".join(source)
    if source and not os.path.exists(text):
        return [("", _from_hex(text) or text.encode())]
    if source or not sys.stdin.isatty():
        with contextlib.suppress(OSError):
            raw = Path(text).read_bytes() if source else sys.stdin.buffer.read()
            with contextlib.suppress(ValueError):
                found = _vectors(json.loads(raw))
                if found:
                    return found
            return [("", _from_hex(raw.decode("ascii", "replace")) or raw)]
    return _inputs(source)


def _contents(raw: bytes, name: str) -> list[tuple[str, bytes]]:
    text = raw.decode("ascii", "replace").strip()
    if text[:1] in ("[", "{"):
        try:
            found = _vectors(json.loads(text))
        except ValueError:
            found = []
        if not found:
            raise click.UsageError("%s holds no test vectors" % name)
        return found
    data = _from_hex(text)
    return [("", raw if data is None else data)]


def _from_hex(text: str) -> bytes | None:
    """None for anything but pairs of hex digits, with `0x`, spaces, commas or colons between."""
    digits = re.sub(r"0[xX]|[\s,:;]", "", text)
    if len(digits) % 2 or not re.fullmatch(r"[0-9A-Fa-f]*", digits):
        return None
    return bytes.fromhex(digits)


def _vectors(entries: Any) -> list[tuple[str, bytes]]:
    found = []
    for number, entry in enumerate(entries if isinstance(entries, list) else [entries]):
        if not isinstance(entry, dict):
            raise ValueError("entry %d is no object" % number)
        title = str(entry.get("name", entry.get("source", "entry %d" % number)))
        texts = [entry.get(key) for key in ("hex", "response_hex")]
        frames = entry.get("frames")
        texts.append(" ".join(str(frame) for frame in frames) if isinstance(frames, list) else None)
        for text in texts:
            data = _from_hex(str(text or ""))
            if data:
                found.append((title + "\n", data))
    return found


def _for_people(found: Values | list[Values]) -> str:
    if isinstance(found, list):
        return "\n\n".join(_for_people(each) for each in found)
    lines = []
    for name, value in found.items():
        if name == "taken_ms":  # a frame on the command line came at no time
            continue
        label, text = _line(name, value)
        lines.append("%-26s %s" % (label, text))
    return "\n".join(lines)


def _line(name: str, value: Any) -> tuple[str, str]:
    if name in _ALARM_WORDS:
        return name, " ".join(alarms.named(value)) or "none"
    for ending, unit, size, places in _UNITS:
        if name.endswith(ending):
            label = name[: -len(ending)]
            if value is None:
                return label, "unknown"
            values = value if isinstance(value, list) else [value]
            return label, "%s %s" % (
                " ".join(_decimal(each, size, places) for each in values),
                unit,
            )
    return name, _plain(value)


def _decimal(value: Any, size: int, places: int) -> str:
    if not places:
        return str(value)
    whole, rest = divmod(abs(value), size)
    return "%s%d.%0*d" % ("-" if value < 0 else "", whole, places, rest * 10**places // size)


def _plain(value: Any) -> str:
    if value is None:
        return "unknown"
    if isinstance(value, bool):
        return "yes" if value else "no"
    return str(value)
