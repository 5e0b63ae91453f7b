"""How much faster than life a site of fifteen batteries is lived through, and what a tick of it costs.

By the processor's clock, so that a busy machine counts less; all laws are checked on the way. The
better of two runs each: what disturbs only ever slows down.
"""

import logging
import time

from vbms.soak.lived import Lived

SEEDS = {"jk_pb": 1, "byd_pro": 3}
BOUNDS = {"direct": 1000, "bytes": 200}
TICK_US = 400
_SECONDS = {"direct": 3000, "bytes": 900}


def _speed(mode: str, seed: int) -> float:
    best = 0.0
    for _ in range(2):
        lived = Lived(seed, 15, mode=mode)
        lived.live(120)
        lived.cpu_s = 0.0
        lived.live(_SECONDS[mode])
        best = max(best, _SECONDS[mode] / lived.cpu_s)
        assert not lived.violations
        lived.close()
    return best


def _tick_us(seed: int) -> float:
    """Merge, latches, governor, charge and alarms of fifteen units with fresh frames."""
    lived = Lived(seed, 15, 0.0)
    lived.live(120)
    site = lived.site
    spent = []
    for _ in range(300):
        lived.live(1)
        controller, now_ms = site.controller, site.clock.now_ms()
        began = time.process_time_ns()
        for _ in range(5):
            controller.tick(now_ms)
        spent.append((time.process_time_ns() - began) / 5000)
    return sorted(spent)[len(spent) // 4]


def run() -> list[tuple[str, str, str, bool, str]]:
    logging.getLogger("vbms").setLevel(logging.CRITICAL)
    rows = []
    for mode, bound in BOUNDS.items():
        for protocol, seed in SEEDS.items():
            speed = _speed(mode, seed)
            name = f"site, {mode}, 15 {protocol}"
            rows.append((name, f"{speed:.0f}", f">= {bound}", speed >= bound, "times real time"))
    cost = _tick_us(SEEDS["jk_pb"])
    fine = cost <= TICK_US
    rows.append(("merge and governor, 15 units", f"{cost:.0f}", f"<= {TICK_US}", fine, "us a tick"))
    return rows
