"""Which kind of line a driver runs on; its module loads when a driver names it.

A driver says `LINE = "vbms.lines.xyz"`; without it batteries are polled on a line of bytes and
inverters answered on one. Such a module has `make`, and `make_link(settings)` where its link is
none of those that plugs.py knows.
"""

import importlib
from types import ModuleType

from vbms.downstream import registry as downstream
from vbms.upstream import registry as upstream

POLLED = "vbms.lines.polled"
ANSWERING = "vbms.lines.answering"


def of_battery(protocol: str) -> ModuleType:
    """The module with `make(link, clock, deliver) -> BatteryLine`."""
    return importlib.import_module(getattr(upstream.load(protocol), "LINE", POLLED))


def of_inverter(protocol: str) -> ModuleType:
    """The module with `make(settings, link, clock, bank, path) -> InverterLine`."""
    return importlib.import_module(getattr(downstream.load(protocol), "LINE", ANSWERING))
