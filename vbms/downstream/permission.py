"""What may flow, in one place for every protocol that tells limits and switches side by side."""

TYPE_CHECKING = False
if TYPE_CHECKING:
    from vbms.aggregate.virtual import VirtualBattery


def limits_ma(battery: "VirtualBattery", unit_ma: int) -> "tuple[int, int]":
    """Charge and discharge limit, 0 where the direction is off or less than one bit would be told.

    So a limit of 0 and its enable bit always agree.
    """
    charge = battery.charge_limit_ma if battery.charge_enabled else 0
    discharge = battery.discharge_limit_ma if battery.discharge_enabled else 0
    return (
        charge if charge >= unit_ma else 0,
        discharge if discharge >= unit_ma else 0,
    )
