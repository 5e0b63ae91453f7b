"""P3: fifteen units on one bus, back to back: how much of the time the line could not have been faster.

(wire + the profile's gaps) / elapsed, and how many requests came inside the gap, seen from the far end.
"""

import asyncio

from tests.bench.lines import FarEnd, poll_for, units

WIRE_BYTES = 8 + 105


def _measure(baud: int, gap_us: int, seconds: float) -> tuple[float, int, str]:
    far = FarEnd(baud)
    try:
        asyncio.run(poll_for(far.path, baud, units(gap_us), seconds))
        seen = far.seen()
    finally:
        far.close()
    polls = seen["polls"][1:]
    elapsed = polls[-1][0] - polls[0][0]
    ideal = (len(polls) - 1) * (WIRE_BYTES * 10 / baud + gap_us / 1e6)
    gaps = sorted(before * 1e6 for before, _ in seen["gaps"])
    early = sum(1 for gap in gaps if gap < gap_us)
    own = seen["late_s"] / len(polls) * 1e6
    shortest = min(after * 1e6 for _, after in seen["gaps"])
    return (
        ideal / elapsed,
        early,
        f"{early} of {len(gaps)} requests inside the gap of {gap_us} us: shortest {gaps[0]:.0f}"
        f" ({shortest:.0f} from the far end's own return), median {gaps[len(gaps) // 2]:.0f},"
        f" 99 % {gaps[len(gaps) * 99 // 100]:.0f}; the far end was late by {own:.0f} us a poll",
    )


def run() -> list[tuple[str, str, str, bool, str]]:
    rows = []
    for baud, gap_us, bound, seconds in ((9600, 3646, 0.97, 10), (115200, 1750, 0.95, 6)):
        share, early, detail = _measure(baud, gap_us, seconds)
        fine = share >= bound and not early
        rows.append((f"P3 {baud} baud", f"{share:.3f}", f">= {bound}", fine, detail))
    return rows
