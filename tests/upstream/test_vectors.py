"""Vectors of our own, found by themselves: frames as they come over a line, and what they mean."""

import json
from pathlib import Path
from typing import Any

import pytest

from vbms.aggregate.snapshot import FIELDS, Snapshot
from vbms.upstream import registry
from vbms.wire.receiver import Receiver

FOLDER = Path(__file__).resolve().parents[1] / "vectors"
VECTORS = [
    pytest.param(path, id="%s/%s" % (path.parent.name, path.stem))
    for protocol in registry.DRIVERS
    for path in sorted((FOLDER / protocol).glob("*.json"))
]


def decoded(vector: dict[str, Any], now_ms: int = 0) -> Snapshot:
    """Through the receiver, in one stream, as a poller does it."""
    codec = registry.load(vector["protocol"]).Codec(**vector.get("options", {}))
    if hasattr(codec, "reads"):  # blocks of registers, by slot
        blocks = [bytes.fromhex(frame) if frame else None for frame in vector["frames"]]
        found: Snapshot = codec.decode(blocks, now_ms)
        return found
    stream = b"".join(bytes.fromhex(frame) for frame in vector["frames"])
    slots: list[bytes | None] = [None] * len(codec.requests())
    for frame in Receiver(codec.take).feed(stream):
        slots[codec.slot(frame)] = frame
    snap: Snapshot = codec.decode(tuple(slots), now_ms)
    return snap


def test_there_are_vectors() -> None:
    assert {path.parent.name for parameter in VECTORS for path in parameter.values} == set(
        registry.DRIVERS
    )


@pytest.mark.parametrize("path", VECTORS)
def test_frames_mean_what_the_vector_says(path: Path) -> None:
    vector = json.loads(path.read_text())
    snap = decoded(vector, now_ms=1234)
    assert snap.taken_ms == 1234
    for name in FIELDS[1:]:
        value = getattr(snap, name)
        unknown = 0 if name in ("warnings", "protections", "criticals") else None
        value = list(value) if isinstance(value, tuple) else value
        assert value == vector["expect"].get(name, unknown), name
        assert type(value) is type(vector["expect"].get(name, unknown)), name


@pytest.mark.parametrize("path", VECTORS)
def test_requests_are_the_codec_s(path: Path) -> None:
    vector = json.loads(path.read_text())
    codec = registry.load(vector["protocol"]).Codec(**vector.get("options", {}))
    if hasattr(codec, "reads"):
        assert len(vector["frames"]) <= len(codec.reads())
        return
    asked = [request for _, request in codec.requests()]
    for text in vector["requests"]:
        assert bytes.fromhex(text) in asked
    assert len(vector["requests"]) == len(vector["frames"])
