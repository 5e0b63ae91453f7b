"""One exchange as a file of test vectors: the requests, the frames, and all that the codec says."""

import json
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from vbms.aggregate.snapshot import FIELDS, Snapshot
from vbms.errors import FrameError, RefusedError
from vbms.links.replay_link import exchanges
from vbms.options import INT
from vbms.ports import UpstreamCodec
from vbms.recording import Recording
from vbms.upstream import registry
from vbms.wire.receiver import Receiver

_WORDS = ("warnings", "protections", "criticals")
_MOST_ADDRESSES = 256
_MOST_BYTES = 16384

Options = dict[str, Any]


def from_frames(protocol: str, data: bytes) -> dict[str, Any]:
    """A vector of frames alone, for whichever unit sent them. FrameError where there are none."""
    reason: Exception = FrameError("truncated: no frame of a unit's live data in it")
    for options, codec in _codecs(protocol):
        slots = _slots(codec, data)
        if slots[0] is None:
            continue
        try:
            return _vector(protocol, options, codec, slots, "")
        except (FrameError, RefusedError) as error:
            reason = error
    raise FrameError(str(reason))


def from_recording(protocol: str, recording: Recording, at_s: float | None) -> dict[str, Any]:
    """The exchange with live data nearest to at_s of the recording, else its first.

    What the unit said before in its other slots (settings, device info) goes with it.
    """
    events = recording.events
    begun_us = events[0][0] if events else 0
    best: tuple[float, Options, UpstreamCodec, list[bytes | None], int] | None = None
    for options, codec in _codecs(protocol):
        requests = [request for _, request in codec.requests()]
        slots: list[bytes | None] = [None] * len(requests)
        for us, request, data in _said(recording, requests):
            heard = _slots(codec, data)
            slots = [new or old for new, old in zip(heard, slots)]
            live = heard[0] is not None and (request == requests[0] or not requests[0])
            after_s = (us - begun_us) / 1_000_000
            apart_s = after_s if at_s is None else abs(after_s - at_s)
            if live and (best is None or apart_s < best[0]):
                best = (apart_s, options, codec, list(slots), us)
    if best is None:
        raise FrameError(f"truncated: no unit of {protocol} says anything in it")
    _, options, codec, slots, us = best
    when = datetime.fromtimestamp((recording.started_us + us) / 1_000_000, UTC)
    source = f"recorded {when:%Y-%m-%dT%H:%M:%SZ} on link {recording.link}"
    try:
        return _vector(protocol, options, codec, slots, source)
    except RefusedError as error:
        raise FrameError(f"refused: {error}") from None


def written(vector: dict[str, Any]) -> str:
    """As a file in tests/vectors/ looks."""
    return json.dumps(vector, indent=1)


def read_recording(path: str) -> Recording | None:
    """None for a file that is none."""
    from vbms import recording

    try:
        return recording.read(Path(path))
    except (OSError, ValueError):
        return None


def _codecs(protocol: str) -> Iterator[tuple[Options, UpstreamCodec]]:
    """A codec for each place where a unit of this protocol may be."""
    driver = registry.load(protocol)
    option = next((row for row in driver.OPTIONS if row.name == "address"), None)
    yield {}, driver.Codec()
    if option is not None and option.kind == INT:
        low, high = option.low or 0, option.high or 0
        for address in range(low, min(high, low + _MOST_ADDRESSES) + 1):
            yield {"address": address}, driver.Codec(address=address)


def _slots(codec: UpstreamCodec, data: bytes) -> list[bytes | None]:
    found: list[bytes | None] = [None] * len(codec.requests())
    for frame in Receiver(codec.take, _MOST_BYTES).feed(data):
        slot = codec.slot(frame)
        if slot is not None:
            found[slot] = frame
    return found


def _said(recording: Recording, requests: Sequence[bytes]) -> Iterator[tuple[int, bytes, bytes]]:
    """(us, request, all that was heard until the next); without requests each piece heard."""
    asked = [request for request in requests if request]
    if not asked:
        for us, sent, data in recording.events:
            if not sent:
                yield us, b"", data
        return
    for exchange in exchanges(recording.events, asked):
        if exchange.request in asked:
            heard = b"".join(data for _, data in exchange.heard)
            if heard.startswith(exchange.request):  # an adapter that echoes
                heard = heard[len(exchange.request) :]
            yield exchange.at_us, exchange.request, heard


def _vector(
    protocol: str,
    options: Options,
    codec: UpstreamCodec,
    slots: list[bytes | None],
    source: str,
) -> dict[str, Any]:
    snap = codec.decode(slots, 0)
    requests = codec.requests()
    there = [slot for slot, frame in enumerate(slots) if frame is not None]
    found: dict[str, Any] = {"source": source or "where it comes from, device, firmware, day"}
    found["protocol"] = protocol
    if options:
        found["options"] = options
    found["requests"] = [requests[slot][1].hex(" ") for slot in there]
    found["frames"] = [(slots[slot] or b"").hex(" ") for slot in there]
    found["expect"] = _expected(snap)
    return found


def _expected(snap: Snapshot) -> dict[str, Any]:
    found = {}
    for name in FIELDS[1:]:
        value = getattr(snap, name)
        if value is not None and (value or name not in _WORDS):
            found[name] = list(value) if isinstance(value, tuple) else value
    return found
