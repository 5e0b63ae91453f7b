"""Inverter protocols by name. A module loads when named, so a board carries what it uses."""

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import ModuleType

DRIVERS = {
    "byd_can": "vbms.downstream.byd_can",
    "deye_rs485": "vbms.downstream.deye_rs485",
    "modbus_map": "vbms.downstream.modbus_map",
    "modbus_tcp": "vbms.downstream.modbus_tcp",
    "pylontech_rs485": "vbms.downstream.pylontech_rs485",
    "pylontech_can": "vbms.downstream.pylontech_can",
    "pylontech_hv_can": "vbms.downstream.pylontech_hv_can",
}


def load(protocol: str) -> "ModuleType":
    """The driver's module: `Codec`, `OPTIONS` and what else it declares. KeyError: no such name."""
    path = DRIVERS[protocol]
    module = __import__(path)
    for part in path.split(".")[1:]:
        module = getattr(module, part)
    return module
