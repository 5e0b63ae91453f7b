"""What the checks look at beside what is told: the limits as merged, not governed yet."""

import typing

from vbms.aggregate.controller import Controller, Steering
from vbms.aggregate.virtual import VirtualBattery


class TapSteering(Steering):
    """A steering that keeps the limits it was given."""

    __slots__ = ("resumed", "x_ma")

    def __init__(self) -> None:
        super().__init__()
        self.x_ma = (0, 0)
        self.resumed = False  # it goes on being full, as before a restart

    def step(self, out: VirtualBattery, *rest: typing.Any) -> None:
        self.x_ma = (out.charge_limit_ma, out.discharge_limit_ma)
        waits = self.resume_full
        super().step(out, *rest)
        self.resumed = waits and self.charge.full


def tap(controller: Controller) -> TapSteering:
    """Put in place of a new controller's own."""
    controller.steering = steering = TapSteering()
    return steering
