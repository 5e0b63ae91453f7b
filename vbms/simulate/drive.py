"""What an inverter does with its permission: the house's wish within it, after a lag."""

from collections import deque
from dataclasses import dataclass

from vbms.simulate.world import World

_RAMP_A_PER_S = 40.0


@dataclass(frozen=True, slots=True)
class Permit:
    """What the batteries let an inverter do."""

    charge_a: float = 0.0
    charge_v: float = 0.0
    discharge_a: float = 0.0
    discharge_v: float = 0.0


class Drive:
    """Charges and discharges a world's packs as it was allowed `lag_s` ago; less is taken at once
    then, more by a ramp."""

    def __init__(self, lag_s: float) -> None:
        self.lag_s = lag_s
        self.wish_a = 0.0  # what the house would like
        self.current_a = 0.0  # what goes into the batteries
        self._orders: deque[tuple[float, Permit]] = deque()
        self._permit = Permit()

    def follow(self, world: World, permit: Permit, now_s: float, dt_s: float) -> None:
        self._orders.append((now_s + self.lag_s, permit))
        while self._orders and self._orders[0][0] <= now_s:
            self._permit = self._orders.popleft()[1]
        allowed = self._permit
        self.wish_a = world.house.wish_a(world.now_s, world.capacity_ah)
        target_a = self.wish_a
        if target_a > 0:
            target_a = min(target_a, allowed.charge_a)
            above_v = world.bus_v - allowed.charge_v
            if above_v > -0.1:
                # At the wanted voltage the current follows the error, as in any charger's CV phase.
                target_a = min(target_a, max(0.0, self.current_a - 20 * above_v))
        else:
            target_a = max(target_a, -allowed.discharge_a)
            if world.bus_v < allowed.discharge_v:
                target_a = 0.0
        step_a = _RAMP_A_PER_S * dt_s
        if abs(target_a) < abs(self.current_a) and target_a * self.current_a >= 0:
            self.current_a = target_a
        else:
            low_a, high_a = self.current_a - step_a, self.current_a + step_a
            self.current_a = min(max(target_a, low_a), high_a)
        world.demand_a = self.current_a
