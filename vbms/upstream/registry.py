"""BMS protocols by name. A module loads when it is named, so a board carries only what it uses."""

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import ModuleType

DRIVERS = {
    "modbus_map": "vbms.upstream.modbus_map",
    "byd_battery_box": "vbms.upstream.byd_battery_box",
    "byd_pro": "vbms.upstream.byd_pro",
    "dummy": "vbms.upstream.dummy",
    "ina3221": "vbms.upstream.ina3221",
    "jbd": "vbms.upstream.jbd",
    "jk_4e57": "vbms.upstream.jk_4e57",
    "jk_ble": "vbms.upstream.jk_ble",
    "jk_pb": "vbms.upstream.jk_pb",
    "mqtt_pack": "vbms.upstream.mqtt_pack",
    "pack_chain": "vbms.upstream.pack_chain",
}


def load(protocol: str) -> "ModuleType":
    """The driver's module: `Codec`, `OPTIONS` and what else it declares. KeyError: no such name."""
    path = DRIVERS[protocol]
    module = __import__(path)
    for part in path.split(".")[1:]:
        module = getattr(module, part)
    return module
