"""What the site needs of a line with batteries on it, however they are asked."""

from collections.abc import Callable
from typing import Protocol

from vbms.aggregate.snapshot import Snapshot
from vbms.config import BatterySettings
from vbms.lines.line import Line
from vbms.metrics import LinkStats
from vbms.ports import Clock, Link

Deliver = Callable[[str, Snapshot], None]


class Counted(Protocol):
    """One battery on a line: what became of its polls and frames, by kind."""

    counters: dict[str, int]


class BatteryLine(Line):
    """A line that hands the snapshots of its batteries to `deliver`, by name.

    `polled` has an entry for every battery it serves.
    """

    def __init__(self, link: Link, clock: Clock, deliver: Deliver) -> None:
        super().__init__(link, clock)
        self.deliver = deliver
        self.batteries: dict[str, BatterySettings] = {}

    @property
    def polled(self) -> "dict[str, Counted]":
        raise NotImplementedError

    def serve(self, batteries: "list[BatterySettings]") -> None:
        """Ask these from now on; those that stay as they were keep what they have said."""
        raise NotImplementedError

    def round_ms(self) -> int:
        """How long it takes to ask each unit once; 0 where they are not asked in turn."""
        return 0

    def link_stats(self, now_ms: int) -> LinkStats:
        """For the metrics."""
        raise NotImplementedError


def voice(battery: BatterySettings) -> tuple[str, str, dict[str, object]]:
    """What makes a unit the same one for its line, whatever its profile says of limits."""
    return battery.protocol, battery.link, battery.options
