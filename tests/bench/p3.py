"""P3: fifteen units on one bus, back to back: how much of the time the line could not have been faster.

(wire + the profile's gaps) / elapsed, and how many requests came inside the gap, seen from the far end.
"""

import asyncio

from tests.bench.lines import FarEnd, poll_for, units

WIRE_BYTES = 8 + 105


def _measure(baud: int, gap_us: int, seconds: float) -> tuple[float, int, float]:
    far = FarEnd(baud)
    try:
        asyncio.run(poll_for(far.path, baud, units(gap_us), seconds))
        seen = far.seen()
    finally:
        far.close()
    polls = seen["polls"][1:]
    elapsed = polls[-1][0] - polls[0][0]
    ideal = (len(polls) - 1) * (WIRE_BYTES * 10 / baud + gap_us / 1e6)
    gaps = seen["gaps"]
    early = sum(1 for gap in gaps if gap * 1e6 < gap_us)
    return ideal / elapsed, early, sorted(gaps)[len(gaps) // 2] * 1e6


def run() -> list[tuple[str, str, str, bool, str]]:
    rows = []
    for baud, gap_us, bound, seconds in ((9600, 3646, 0.97, 10), (115200, 1750, 0.95, 6)):
        share, early, gap = _measure(baud, gap_us, seconds)
        rows.append(
            (
                f"P3 {baud} baud",
                f"{share:.3f}",
                f">= {bound}",
                share >= bound and not early,
                f"{early} requests inside the gap; gap {gap_us} us, median kept {gap:.0f} us",
            )
        )
    return rows
