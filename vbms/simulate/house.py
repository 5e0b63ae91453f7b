"""A house with solar panels: the current it would like to put into or take out of the battery.

A pure function of seed and time. A "day" lasts fifteen minutes, so that who watches sees
sun, clouds, a kettle and an evening; amplitudes follow the battery's size.
It begins in the morning.
"""

import math
import random

DAY_S = 900.0
_SLOT_S = 20.0
# Appliances: share of slots in which they run, current in C (1 C: the battery's Ah in one hour).
_APPLIANCES = ((0.15, 0.045), (0.10, 0.070), (0.25, 0.020))


class House:
    def __init__(self, seed: int = 1, sun_c: float = 0.22, base_c: float = 0.022) -> None:
        self._seed = seed
        self._sun_c = sun_c
        self._base_c = base_c
        rng = random.Random(f"house/{seed}")
        self._phase = [rng.random() * math.tau for _ in range(4)]
        self._slots: dict[int, float] = {}

    def wish_a(self, now_s: float, capacity_ah: float) -> float:
        """Amperes into the battery (negative: out of it) if nobody limited them."""
        return (self.sun_share(now_s) * self._sun_c - self._load_c(now_s)) * capacity_ah

    def sun_share(self, now_s: float) -> float:
        """0..1 of the panels' peak: height of the sun times clouds."""
        height = math.sin(math.tau * (now_s / DAY_S) + 0.4)
        if height <= 0:
            return 0.0
        a, b, c, _ = self._phase
        clouds = (
            math.sin(math.tau * now_s / 97 + a)
            + math.sin(math.tau * now_s / 41 + b)
            + 0.5 * math.sin(math.tau * now_s / 13 + c)
        )
        return float(height**1.2 * (1 - 0.55 * max(0.0, clouds - 0.4) / 2.1))

    def _load_c(self, now_s: float) -> float:
        wobble = 1 + 0.15 * math.sin(math.tau * now_s / 31 + self._phase[3])
        slot = int(now_s // _SLOT_S)
        if slot not in self._slots:
            self._slots = {slot: self._appliances(slot)}
        return self._base_c * wobble + self._slots[slot]

    def _appliances(self, slot: int) -> float:
        rng = random.Random(f"slot/{self._seed}/{slot}")
        return sum(amps for share, amps in _APPLIANCES if rng.random() < share)
