"""Which kind of line a driver runs on; its module loads when a driver names it.

A driver says `LINE = "vbms.lines.xyz"`; without it batteries are polled on a line of bytes and
inverters answered on one. One that runs on several media says `LINES = {"ble": ...}` for those that
differ. Such a module has `make`, and `make_link(settings)` where its link is
none of those that plugs.py knows.
"""

import importlib
from types import ModuleType

from vbms.downstream import registry as downstream
from vbms.upstream import registry as upstream

POLLED = "vbms.lines.polled"
BLE = "vbms.lines.ble"
ANSWERING = "vbms.lines.answering"


def named(driver: ModuleType, link_kind: str, address: object = None) -> str:
    """The module that a driver's batteries run on over this kind of link; "": the usual one.

    A simulated link is what its batteries' addresses are of: a MAC or a name is Bluetooth's.
    """
    medium = "ble" if link_kind == "simulate" and isinstance(address, str) else link_kind
    lines: dict[str, str] = getattr(driver, "LINES", {})
    return lines.get(medium) or str(getattr(driver, "LINE", ""))


def of_battery(protocol: str, link_kind: str, address: object = None) -> ModuleType:
    """The module with `make(link, clock, deliver) -> BatteryLine`."""
    driver = upstream.load(protocol)
    return importlib.import_module(named(driver, link_kind, address) or POLLED)


def of_inverter(protocol: str) -> ModuleType:
    """The module with `make(settings, link, clock, bank, path) -> InverterLine`."""
    return importlib.import_module(getattr(downstream.load(protocol), "LINE", ANSWERING))
