"""What an inverter does with a battery: the house's wish within what it is allowed."""

from dataclasses import dataclass

from vbms.simulate.world import World

STEP_S = 0.5
_RAMP_A_PER_S = 40.0
_TAPER_A_PER_V = 20.0


@dataclass(frozen=True, slots=True)
class Allowed:
    """What the battery lets an inverter do; nothing unless told."""

    charge_a: float = 0.0
    discharge_a: float = 0.0
    charge_v: float = 0.0
    discharge_v: float = 0.0


class Charger:
    """Moves the world's current towards the wish; a limit that falls is obeyed at once."""

    def __init__(self) -> None:
        self.wish_a = 0.0
        self.current_a = 0.0

    def step(self, world: World, allowed: Allowed) -> None:
        """STEP_S of its life."""
        self.wish_a = world.house.wish_a(world.now_s, world.capacity_ah)
        target_a = self.wish_a
        if target_a > 0:
            target_a = min(target_a, allowed.charge_a)
            above_v = world.bus_v - allowed.charge_v
            if above_v > -0.1:
                # At the wanted voltage the current follows the error, as in any charger's CV phase.
                target_a = min(target_a, max(0.0, self.current_a - _TAPER_A_PER_V * above_v))
        elif world.bus_v < allowed.discharge_v:
            target_a = 0.0
        else:
            target_a = max(target_a, -allowed.discharge_a)
        step_a = _RAMP_A_PER_S * STEP_S
        if abs(target_a) < abs(self.current_a) and target_a * self.current_a >= 0:
            self.current_a = target_a
        else:
            low_a, high_a = self.current_a - step_a, self.current_a + step_a
            self.current_a = min(max(target_a, low_a), high_a)
        world.demand_a = self.current_a

    def stop(self, world: World) -> None:
        self.current_a = world.demand_a = 0.0
