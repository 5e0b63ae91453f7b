"""What drives a relay, and which module knows how."""

import importlib
from typing import Protocol

from vbms.settings.shapes import RelaySettings

_MODULES = {
    "gpio": "vbms.relays.gpio",
    "command": "vbms.relays.command",
    "simulate": "vbms.relays.simulated",
}


class Output(Protocol):
    """One relay. Both calls raise LinkError with a sentence for a person."""

    async def put(self, on: bool) -> None:
        """Switch, and be sure of it."""

    def force_off(self) -> None:
        """The same for off, from any thread, without the event loop: the loop is stuck."""

    def close(self) -> None:
        """Let go of it; it is off."""


def make(settings: RelaySettings) -> Output:
    """What its settings name; a package that only it needs loads when it is first switched."""
    module = importlib.import_module(_MODULES[settings.output])
    output: Output = module.make(settings)
    return output
