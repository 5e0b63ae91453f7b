"""What of the charge outlives a restart: phase, full, latches, zero holds, the last full charge."""

from vbms.aggregate.controller import Controller
from vbms.state import State, wall_s

_SECTION = "charge"
_EVERY_MS = 600_000  # for what only grows, such as the time since the last full charge


class Charging:
    """Between a controller and the state file."""

    def __init__(self, controller: Controller, state: State) -> None:
        self._controller = controller
        self._state = state
        self._kept: object = None
        self._kept_ms = 0

    def recall(self) -> None:
        """At start: go on where the last run was, as far as a clock can tell how long ago."""
        kept = self._state.recall(_SECTION)
        if not kept:
            return
        at, now = kept.get("at"), wall_s()
        known = isinstance(at, int) and now is not None and now >= at
        self._controller.restore(kept, (now - at) * 1000 if known else None)  # type: ignore[operator]

    def keep(self, now_ms: int, last: bool = False) -> None:
        """Each tick: an edge is written at once, the rest now and then, all of it at the last."""
        data = self._controller.dump()
        zeros = data["zeros"]
        assert isinstance(zeros, list)
        edges = (data["phase"], data["full"], data["latches"], [row[0] for row in zeros])
        if not last and edges == self._kept and now_ms - self._kept_ms < _EVERY_MS:
            return
        changed = edges != self._kept
        self._kept, self._kept_ms = edges, now_ms
        self._state.keep(_SECTION, {"at": wall_s(), **data}, at_once=changed)
