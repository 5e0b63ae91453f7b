"""Strict readers for `vbms decode`: all of the bytes must mean something, or a word says why not.

A reader gives the values of what it found and, where the device itself refused, that in words. It
raises FrameError for the rest, the first word being one of checksum, truncated, length, version,
marker, payload.
"""

from typing import Any

from vbms.aggregate.snapshot import FIELDS, Snapshot

Values = dict[str, Any]
Reading = tuple[Values | list[Values], str | None]


def snapshot_values(snap: Snapshot) -> Values:
    """A Snapshot as a dict in its own order; a frame on the command line came at no time."""
    found: Values = {}
    for name in FIELDS:
        value = getattr(snap, name)
        found[name] = list(value) if isinstance(value, tuple) else value
    found["taken_ms"] = None
    return found


def only(found: list[Values]) -> Values | list[Values]:
    """One thing as itself, several as a list."""
    return found[0] if len(found) == 1 else found
