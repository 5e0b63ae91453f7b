"""A pack that tells a broker how it is: one JSON object a second, or a topic for each cell.

Written from the list of names that docs/mqtt.md gives, and from what an ESP32 cell monitor sends:
`Pack-v-1` "3300" in mV, `Pack-t-1` "25" in degrees.
"""

import asyncio
import json
import logging
import random
import time
from collections.abc import Sequence
from dataclasses import replace

from vbms.errors import LinkError
from vbms.links.mqtt_client import MqttClient
from vbms.simulate.bms import Reading
from vbms.simulate.faults import Fault
from vbms.simulate.pack import Pack
from vbms.simulate.world import World

log = logging.getLogger(__name__)

FAULTS = ("silence", "cut", "noise", "lying_cell", "frozen")
LIE_V = 0.150
_TOO_LONG = b"x" * 20000
_BACK_OFF_S = (1, 2, 4, 8)
_NAMES = {  # of the BMS's protections, in the words of the messages
    "cell_high": "cell_overvoltage",
    "cell_low": "cell_undervoltage",
    "charge_current": "charge_overcurrent",
    "discharge_current": "discharge_overcurrent",
    "charge_hot": "charge_overtemperature",
    "discharge_hot": "discharge_overtemperature",
    "charge_cold": "charge_undertemperature",
    "discharge_cold": "discharge_undertemperature",
    "mosfet_hot": "mosfet_overtemperature",
    "soc_low": "capacity_low",
}


class MqttPack:
    """What one pack says under its topic. `faults` names what is wrong at the moment."""

    def __init__(self, pack: Pack, topic: str, shape: str = "json") -> None:
        self.pack = pack
        self.topic = topic
        self.shape = shape
        self.faults: set[str] = set()
        self.sent = 0
        self._rng = random.Random(f"mqtt/{topic}")
        self._frozen: Reading | None = None

    def reading(self) -> Reading:
        """What the BMS sees, or lies."""
        if "frozen" not in self.faults:
            self._frozen = None
            reading = self.pack.reading
        else:
            self._frozen = self._frozen or self.pack.reading
            reading = self._frozen
        if "lying_cell" in self.faults:
            cells = list(reading.cells_v)
            cells[0] += LIE_V
            reading = replace(reading, cells_v=tuple(cells))
        return reading

    def messages(self) -> list[tuple[str, bytes]]:
        """(topic, payload) of everything that is said now."""
        if "silence" in self.faults:
            return []
        reading = self.reading()
        if self.shape == "pack":
            found = [
                (f"{self.topic}/Pack-v-{n}", b"%d" % round(volts * 1000))
                for n, volts in enumerate(reading.cells_v, 1)
            ]
            found += [
                (f"{self.topic}/Pack-t-{n}", b"%d" % round(degrees))
                for n, degrees in enumerate(reading.temps_c, 1)
            ]
        else:
            found = [(self.topic, json.dumps(self._object(reading)).encode())]
        if "cut" in self.faults:
            topic, payload = found[-1]
            found[-1] = (topic, payload[: self._rng.randrange(len(payload))])
        if "noise" in self.faults:
            found.append((found[0][0], _TOO_LONG))
        self.sent += 1
        return found

    def _object(self, reading: Reading) -> dict[str, object]:
        settings = self.pack.settings
        alarms = {_NAMES.get(name, "internal"): 1 for name in reading.alarms}
        alarms |= {_NAMES.get(name, "internal"): 2 for name in reading.protections}
        return {
            "voltage_mv": sum(round(volts * 1000) for volts in reading.cells_v),
            "current_ma": round(reading.current_a * 1000),
            "soc_permille": round(reading.soc * 1000),
            "soh_permille": round(reading.soh * 1000),
            "capacity_mah": round(reading.full_ah * 1000),
            "design_mah": round(reading.design_ah * 1000),
            "cells_mv": [round(volts * 1000) for volts in reading.cells_v],
            "temps_mc": [round(degrees * 1000) for degrees in reading.temps_c],
            "mosfet_mc": round(reading.mosfet_c * 1000),
            "cycles_count": reading.cycles,
            "ccl_ma": round(settings.charge_a * 1000),
            "dcl_ma": round(settings.discharge_a * 1000),
            "charge_ok": reading.charge_on,
            "discharge_ok": reading.discharge_on,
            "alarms": alarms,
            "serial": f"SIM-{self.pack.name}",
            "uptime_s": reading.uptime_s,
        }


async def play(
    client: MqttClient,
    packs: Sequence[MqttPack],
    world: World,
    faults: Sequence[Fault] = (),
    every_s: float = 1.0,
) -> None:
    """Tell the broker for ever; one that is away is tried again. Faults strike the first pack."""
    tries = 0
    began_s = time.monotonic()
    while True:
        try:
            await client.open()
            tries = 0
            while True:
                now_s = time.monotonic()
                world.advance(now_s)
                for fault in faults:
                    after_s = now_s - began_s - fault.at_s
                    is_on = after_s >= 0 and (fault.for_s <= 0 or after_s < fault.for_s)
                    (packs[0].faults.add if is_on else packs[0].faults.discard)(fault.fault)
                for pack in packs:
                    for topic, payload in pack.messages():
                        await client.publish(topic, payload)
                await asyncio.sleep(every_s)
        except LinkError as error:
            log.warning("%s", error)
            await asyncio.sleep(_BACK_OFF_S[min(tries, len(_BACK_OFF_S) - 1)])
            tries += 1
