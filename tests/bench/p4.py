"""P4: one of fifteen units dead, once that is known: how much longer a round of the living takes."""

import asyncio

from tests.bench.lines import FarEnd, poll_for, units

BAUD = 9600
BOUND = 1.15
DEAD = 7
SECONDS = 20


def _round_s(polls: list[list[float]]) -> float:
    """Mean time between two polls of the same living unit."""
    times: dict[float, list[float]] = {}
    for at, address in polls:
        if address != DEAD:
            times.setdefault(address, []).append(at)
    gaps = [b - a for row in times.values() for a, b in zip(row, row[1:])]
    return sum(gaps) / len(gaps)


async def _both(far: FarEnd) -> tuple[float, float]:
    polled = units(3646)
    await poll_for(far.path, BAUD, polled, SECONDS)
    alive = _round_s(far.seen(f"dead {DEAD}")["polls"])
    await poll_for(far.path, BAUD, polled, 8)  # three misses, and it is known
    far.seen()
    await poll_for(far.path, BAUD, polled, SECONDS)
    return alive, _round_s(far.seen()["polls"])


def run() -> list[tuple[str, str, str, bool, str]]:
    far = FarEnd(BAUD)
    try:
        alive, one_dead = asyncio.run(_both(far))
    finally:
        far.close()
    # Fourteen answer instead of fifteen, so even a free dead unit gives 14/15.
    ratio = one_dead / alive
    detail = f"round {alive:.3f} s with all alive, {one_dead:.3f} s with one dead"
    return [("P4 one of 15 dead", f"{ratio:.3f}", f"<= {BOUND}", ratio <= BOUND, detail)]
