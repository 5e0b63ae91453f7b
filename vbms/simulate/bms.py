"""What the BMS of a simulated pack measures, is set to, and does when a limit is passed."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Reading:
    """What the BMS measures and does, in human units; current > 0 charges.

    `alarms` and `protections` hold names of `RULES`, `fails` names a device knows.
    """

    cells_v: tuple[float, ...]
    voltage_v: float
    current_a: float
    temps_c: tuple[float, ...]
    ambient_c: float
    mosfet_c: float
    soc: float
    soh: float
    full_ah: float
    remaining_ah: float
    design_ah: float
    cycles: int
    throughput_ah: float
    uptime_s: int
    balance_a: float = 0.0
    balance_bits: int = 0
    charge_on: bool = True
    discharge_on: bool = True
    alarms: frozenset[str] = frozenset()
    protections: frozenset[str] = frozenset()
    fails: frozenset[str] = frozenset()


@dataclass(slots=True)
class Settings:
    """What a BMS is set to, per cell or for the pack."""

    cell_high_v: float = 3.65
    cell_high_release_v: float = 3.45
    cell_low_v: float = 2.50
    cell_low_release_v: float = 2.90
    charge_a: float = 50.0
    discharge_a: float = 50.0
    charge_hot_c: float = 55.0
    charge_cold_c: float = 0.0
    discharge_hot_c: float = 60.0
    discharge_cold_c: float = -20.0
    mosfet_hot_c: float = 100.0
    balance_start_v: float = 3.40
    balance_trigger_v: float = 0.010
    balance_a: float = 0.06
    active_balancer: bool = False  # moves charge from the fullest cell to the emptiest one
    request_v: float = 3.45  # charge voltage asked for, per cell
    float_v: float = 3.35


# name, what it stops, seconds before it acts, seconds it holds at least
RULES = (
    ("cell_high", "charge", 2.0, 5.0),
    ("cell_low", "discharge", 2.0, 5.0),
    ("charge_current", "charge", 3.0, 60.0),
    ("discharge_current", "discharge", 3.0, 60.0),
    ("charge_hot", "charge", 2.0, 5.0),
    ("charge_cold", "charge", 2.0, 5.0),
    ("discharge_hot", "discharge", 2.0, 5.0),
    ("discharge_cold", "discharge", 2.0, 5.0),
    ("mosfet_hot", "both", 2.0, 5.0),
)


class Protections:
    """The latches of one BMS: a rule acts some seconds after its limit, and lets go inside it."""

    def __init__(self) -> None:
        self._pending: dict[str, float] = {}
        self._acting: dict[str, float] = {}

    @property
    def acting(self) -> frozenset[str]:
        return frozenset(self._acting)

    def stop(self, direction: str) -> bool:
        """True if a rule that acts has opened this direction, charge or discharge."""
        return any(
            name in self._acting for name, stops, _, _ in RULES if stops in (direction, "both")
        )

    def clear(self) -> None:
        self._acting.clear()
        self._pending.clear()

    def watch(self, reading: Reading, at: Settings, dt_s: float) -> None:
        """Move on by dt_s with this reading."""
        for (name, _, delay_s, hold_s), (beyond, back) in zip(
            RULES, _limits(reading, at), strict=True
        ):
            if name in self._acting:
                self._acting[name] += dt_s
                if back and self._acting[name] >= hold_s:
                    del self._acting[name]
            elif beyond:
                self._pending[name] = self._pending.get(name, 0.0) + dt_s
                if self._pending[name] >= delay_s:
                    del self._pending[name]
                    self._acting[name] = 0.0
            else:
                self._pending.pop(name, None)

    def alarms(self, reading: Reading, at: Settings) -> frozenset[str]:
        """Warnings: a step before a protection, and together with it."""
        found = set(self._acting)
        if max(reading.cells_v) > at.cell_high_v - 0.07:
            found.add("cell_high")
        if min(reading.cells_v) < at.cell_low_v + 0.2:
            found.add("cell_low")
        if min(reading.temps_c) < at.charge_cold_c + 3:
            found.add("charge_cold")
        if max(reading.temps_c) > at.charge_hot_c - 5:
            found.add("charge_hot")
        if reading.soc < 0.05:
            found.add("soc_low")
        return frozenset(found)


def _limits(reading: Reading, at: Settings) -> tuple[tuple[bool, bool], ...]:
    """(beyond the limit, back inside the release) in the order of RULES."""
    high, low = max(reading.cells_v), min(reading.cells_v)
    hot, cold = max(reading.temps_c), min(reading.temps_c)
    amps, mosfet = reading.current_a, reading.mosfet_c
    return (
        (high >= at.cell_high_v, high <= at.cell_high_release_v),
        (low <= at.cell_low_v, low >= at.cell_low_release_v),
        (amps > at.charge_a * 1.05, True),
        (-amps > at.discharge_a * 1.05, True),
        (hot >= at.charge_hot_c, hot < at.charge_hot_c - 3),
        (cold <= at.charge_cold_c, cold > at.charge_cold_c + 2),
        (hot >= at.discharge_hot_c, hot < at.discharge_hot_c - 3),
        (cold <= at.discharge_cold_c, cold > at.discharge_cold_c + 2),
        (mosfet >= at.mosfet_hot_c, mosfet < at.mosfet_hot_c - 15),
    )
