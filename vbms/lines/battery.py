"""What the site needs of a line with batteries on it, however they are asked."""

from collections.abc import Callable, Mapping
from typing import Protocol, TypeVar

from vbms.aggregate.snapshot import Snapshot
from vbms.config import BatterySettings
from vbms.lines.line import Line
from vbms.metrics import LinkStats
from vbms.ports import Clock, Link

T = TypeVar("T")
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

    def stayed(
        self,
        batteries: "list[BatterySettings]",
        have: "Mapping[str, T]",
        make: "Callable[[BatterySettings], T]",
    ) -> "dict[str, T]":
        """What stands for each battery from now on, by name: the one there is, where the battery
        stayed as it was, else a new one. These batteries are the ones served from now on."""
        kept = {}
        for battery in batteries:
            one = have.get(battery.name)
            before = self.batteries.get(battery.name)
            if one is None or before is None or voice(before) != voice(battery):
                one = make(battery)
            kept[battery.name] = one
        self.batteries = {battery.name: battery for battery in batteries}
        return kept

    def round_ms(self) -> int:
        """How long it takes to ask each unit once; 0 where they are not asked in turn."""
        return 0

    def link_stats(self, now_ms: int) -> LinkStats:
        """For the metrics."""
        raise NotImplementedError


def voice(battery: BatterySettings) -> tuple[str, str, dict[str, object]]:
    """What makes a unit the same one for its line, whatever its profile says of limits."""
    return battery.protocol, battery.link, battery.options
