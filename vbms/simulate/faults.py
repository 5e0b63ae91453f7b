"""What goes wrong, by name, and when.

A fault belongs to one unit. What is wrong with its line rather than with the unit (an adapter that
echoes, noise on the wires, an adapter pulled out) strikes everybody on that line.
"""

import asyncio
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from vbms.simulate.device import Device

log = logging.getLogger(__name__)

LINE_FAULTS = frozenset(("echo", "noise", "unplug"))

# In the order in which people are told about them.
MEANINGS = {
    "silence": "does not answer",
    "cut": "the answer stops somewhere and the rest never comes",
    "flip": "one bit of the answer is wrong",
    "late": "answers 1.5 s after the request",
    "wrong_address": "answers in the name of its neighbour",
    "refuse": "answers with a well-formed no",
    "echo": "the adapter returns what the host sent",
    "noise": "bursts of random bytes on the line, also into answers",
    "half_frame": "half an answer, a pause of 0.4 s, the other half",
    "overlap": "a second unit answers over it",
    "filler": "00 bytes around the acknowledge come and go, byte 5 is 05 (jk_pb)",
    "lying_cell": "one cell reads 150 mV too much",
    "frozen": "the same values for ever",
    "unplug": "the adapter is pulled out and put back",
    "restart": "5 s of silence, then running time starts at 0",
}
NAMES = tuple(MEANINGS)


@dataclass(frozen=True, slots=True)
class Fault:
    """`fault` at `unit`, from at_s after the start of its line for for_s seconds (0: for ever)."""

    unit: str
    fault: str
    at_s: float = 10.0
    for_s: float = 60.0


class Faulty(Protocol):
    """A line: it has faults of its own, and can lose its port."""

    faults: set[str]

    def unplug(self) -> None: ...
    def plug(self) -> None: ...


class Schedule:
    """Switches faults on and off on the event loop; what a device cannot have is left out."""

    def __init__(
        self, faults: Sequence[Fault], devices: Mapping[str, Device], line: Faulty
    ) -> None:
        self._line = line
        self._devices = devices
        self._handles: list[asyncio.TimerHandle] = []
        self._faults: list[Fault] = []
        for fault in faults:
            device = devices.get(fault.unit)
            if device is None:
                continue
            if fault.fault in LINE_FAULTS or fault.fault in device.FAULTS:
                self._faults.append(fault)
            else:
                log.warning("%s: cannot have the fault %s, left out", fault.unit, fault.fault)

    def start(self) -> None:
        loop = asyncio.get_running_loop()
        for fault in self._faults:
            self._handles.append(loop.call_later(fault.at_s, self._switch, fault, True))
            if fault.for_s > 0:
                end_s = fault.at_s + fault.for_s
                self._handles.append(loop.call_later(end_s, self._switch, fault, False))

    def close(self) -> None:
        for handle in self._handles:
            handle.cancel()
        self._handles.clear()

    def _switch(self, fault: Fault, on: bool) -> None:
        log.info("%s: simulated fault %s %s", fault.unit, fault.fault, "begins" if on else "ends")
        if fault.fault == "unplug":
            if on:
                self._line.unplug()
            else:
                self._line.plug()
            return
        present = (
            self._line.faults if fault.fault in LINE_FAULTS else self._devices[fault.unit].faults
        )
        if on:
            present.add(fault.fault)
        else:
            present.discard(fault.fault)
