"""Living through days, and what there is to say about them."""

import time
import typing
from collections import Counter

from vbms.soak.checks import Violation
from vbms.soak.direct import Direct
from vbms.soak.faults import KINDS
from vbms.soak.wires import Wires
from vbms.soak.world import World

EVERY_S = 600.0  # a fault, on average


class Lived:
    """A site that is lived through; `report` says how it was."""

    def __init__(
        self,
        seed: int,
        units: int | None = None,
        every_s: float = EVERY_S,
        mild: bool = False,
        mode: str = "direct",
        origin_ms: int = 1_000_000,
        soc: float | None = None,
    ) -> None:
        self.seed = seed
        self.mode = mode
        self.world = World(seed, units, every_s, mild, soc)
        self.site: Direct | Wires
        if mode == "direct":
            self.site = Direct(self.world, origin_ms)
        else:
            self.world.deck.leave_out("clock_back")  # a PC's clock never does
            self.site = Wires(self.world, origin_ms)
        self.cpu_s = 0.0

    @property
    def violations(self) -> "list[Violation]":
        return self.site.checks.violations

    def live(self, seconds: int, stop_at_first: bool = False) -> None:
        """So many seconds of the site's time."""
        broken = self.site.checks.broken
        began = time.process_time()
        if isinstance(self.site, Wires):
            self.site.live(seconds)
        else:
            step = self.site.step
            for _ in range(seconds):
                step()
                if stop_at_first and broken:
                    break
        self.cpu_s += time.process_time() - began

    def close(self) -> None:
        if isinstance(self.site, Wires):
            self.site.close()

    @property
    def speed(self) -> float:
        """Times real time, by the processor's clock."""
        return self.world.now_s / self.cpu_s if self.cpu_s else 0.0

    def report(self) -> "dict[str, typing.Any]":
        checks = self.site.checks
        deck = self.world.deck
        days = self.world.now_s / 86400
        wanted, allowed = checks.worth.wanted_a, checks.worth.allowed_a
        return {
            "seed": self.seed,
            "mode": self.mode,
            "units": len(self.world.meters),
            "protocols": self.world.lines,
            "capacity_ah": round(self.world.capacity_ah),
            "days": round(days, 3),
            "episodes": deck.counts.total(),
            "episodes_by_kind": {kind: deck.counts[kind] for kind in KINDS if deck.counts[kind]},
            "frames": self.site.frames,
            "dropped": self.site.dropped,
            "enable_edges_per_day": round(sum(checks.rises) / days, 2) if days else 0,
            "silences": checks.silences,
            "full": len(checks.fulls),
            "lowest_true_soc_at_full": round(min(checks.fulls), 4) if checks.fulls else None,
            "availability": {
                "charge": round(allowed[0] / wanted[0], 4) if wanted[0] else None,
                "discharge": round(allowed[1] / wanted[1], 4) if wanted[1] else None,
            },
            "longest_zero_s": checks.longest_zero_s,
            "trips": dict(sorted(checks.safety.trips.items())),
            "cells_beyond": dict(sorted(checks.safety.causes.items())),
            "violations": dict(sorted(checks.broken.items())),
            "digest": f"{self.site.digest:08x}",
            "speed": round(self.speed),
        }


def add_up(reports: "list[dict[str, typing.Any]]") -> Counter[str]:
    """Episodes by kind over several seeds."""
    total: Counter[str] = Counter()
    for report in reports:
        total.update(report["episodes_by_kind"])
    return total
