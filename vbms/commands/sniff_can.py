"""`vbms sniff` on a CAN bus: each frame with its time, as candump writes it, and what it says."""

import time
from collections.abc import Sequence

import click

from vbms.commands.decoding import can_frames
from vbms.config import LinkSettings
from vbms.errors import FrameError
from vbms.links.can_bus import CanBus, Frame
from vbms.recording import Recorder

_IDLE_MS = 200


async def listen(
    link: LinkSettings,
    protocols: Sequence[str],
    recorder: Recorder | None,
    seconds: float,
    quiet: bool,
) -> None:
    """Raises LinkError. A serial adapter is told not even to acknowledge what it hears."""
    more = {"listen_only": True} if link.interface == "slcan" else {}
    bus = CanBus(link.name, link.interface or "", link.channel or "", link.bitrate or 0, **more)
    await bus.open()
    began_s = time.monotonic()
    if recorder is not None:
        bus.trace = recorder.note
        recorder.start()
    try:
        while not seconds or time.monotonic() - began_s < seconds:
            for frame in await bus.heard(_IDLE_MS):
                if not quiet:
                    _show(time.monotonic() - began_s, frame, protocols)
    finally:
        bus.close()
        await bus.closed()
        if recorder is not None:
            await recorder.close()


def _show(now_s: float, frame: Frame, protocols: Sequence[str]) -> None:
    text = can_frames.written(*frame)
    said = []
    for protocol in protocols:
        try:
            values, _ = can_frames.read(protocol, text)
        except FrameError:
            continue  # another protocol's
        if isinstance(values, dict):
            said += [f"{name} {value}" for name, value in values.items() if value not in (None, [])]
    click.echo(f"{now_s:10.3f}  {text:<25}  {', '.join(said)}".rstrip())
