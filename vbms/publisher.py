"""Telling an MQTT broker: the bank and each battery as JSON, in the shape mqtt_pack reads.

    TOPIC/status        online, offline; the broker's word when this program is gone
    TOPIC/bank          the merged battery as one pack, limits and all
    TOPIC/units/NAME    what each battery said

Everything is retained, published when it has changed, at most once a second, and said again after
5 s while it is fresh, as silence is how a reader learns that it is not. Nothing waits in a queue:
what is published is what is true when the broker takes it, so a broker that is slow or away costs
nobody anything and sees the newest only. It runs in a task of its own and touches no line.
"""

import asyncio
import contextlib
import json

from vbms.aggregate import alarms
from vbms.aggregate.bank import Bank
from vbms.aggregate.member import DISABLED, FRESH, HOLD, LOST, RETIRED
from vbms.aggregate.snapshot import FIELDS, Snapshot
from vbms.aggregate.virtual import NORMAL, PARTIAL, VirtualBattery
from vbms.config import MqttSettings
from vbms.lines.line import Line
from vbms.links.mqtt_client import MqttClient, Will
from vbms.ports import Clock
from vbms.view import View

EVERY_MS = 1000
AGAIN_MS = 5000
_FAREWELL_S = 0.5
_SILENT = (LOST, RETIRED, DISABLED)
_SAME = (  # of the bank, by the same name in a snapshot
    *("voltage_mv", "current_ma", "soc_permille", "soh_permille", "capacity_mah", "design_mah"),
    *("remaining_mah", "ambient_mc", "cycles_count", "cvl_mv", "warnings", "protections"),
    "criticals",
)


class Publisher(Line):
    """A connection to the broker, and what it was told last."""

    def __init__(self, settings: MqttSettings, clock: Clock, view: View, bank: Bank) -> None:
        will = Will(f"{settings.topic}/status", b"offline")
        self.client = MqttClient(
            "mqtt", settings.url, settings.username, settings.password, will=will
        )
        super().__init__(self.client, clock)
        self.settings = settings
        self._view = view
        self._bank = bank
        self._told: dict[str, tuple[str, int]] = {}  # topic -> the text but for its age, and when

    async def body(self) -> None:
        self._told = {}
        await self._say("status", b"online")
        try:
            while True:
                await self._tell()
                await self.clock.sleep_ms(EVERY_MS)
        finally:
            with contextlib.suppress(Exception):
                async with asyncio.timeout(_FAREWELL_S):
                    await self._say("status", b"offline")

    async def _say(self, topic: str, payload: bytes) -> None:
        await self.client.publish(f"{self.settings.topic}/{topic}", payload, retain=True)

    async def _tell(self) -> None:
        now = self.clock.now_ms()
        view = self._view
        await self._tell_one("bank", bank_values(view.bank(), self._bank), now)
        for row in view.units():
            if row.snapshot is not None:
                values = unit_values(row.snapshot, row.state, row.age_ms)
                await self._tell_one(f"units/{row.name}", values, now)

    async def _tell_one(self, topic: str, values: dict[str, object], now_ms: int) -> None:
        age_ms = values.pop("age_ms")
        text = json.dumps(values)
        told, when_ms = self._told.get(topic, ("", 0))
        again = age_ms is not None and values["state"] not in _SILENT
        if text == told and not (again and now_ms - when_ms >= AGAIN_MS):
            return
        self._told[topic] = (text, now_ms)
        await self._say(topic, json.dumps({"age_ms": age_ms, **values}).encode())


def unit_values(snap: Snapshot, state: str, age_ms: int | None) -> dict[str, object]:
    """One battery's last snapshot as data; without cells and voltage once it is lost."""
    found: dict[str, object] = {"age_ms": age_ms, "state": state}
    for name in FIELDS[1:]:
        value = getattr(snap, name)
        found[name] = list(value) if isinstance(value, tuple) else value
    if state in _SILENT:
        for name in ("voltage_mv", "cells_mv", "cell_high_mv", "cell_low_mv"):
            found[name] = None
    found["alarms"] = _alarms(snap)
    return found


def bank_values(bank: VirtualBattery, of: Bank) -> dict[str, object]:
    """The bank as one pack.

    It has no list of cells, but the highest and the lowest of all. Without fresh data there is no
    voltage either: a reader takes such a message for silence.
    """
    good = bank.state in (NORMAL, PARTIAL) and bank.age_ms is not None
    snap = Snapshot()
    for name in _SAME:
        setattr(snap, name, getattr(bank, name))
    if good:
        snap.cell_high_mv = bank.cell_max_mv
        snap.cell_low_mv = bank.cell_min_mv
        owner = of.units.get(bank.cell_max_owner[0]) if bank.cell_max_owner else None
        snap.cell_count = owner.cells if owner is not None else None
    else:
        snap.voltage_mv = snap.current_ma = None
    if bank.temp_min_mc is not None and bank.temp_max_mc is not None:
        snap.temps_mc = (bank.temp_min_mc, bank.temp_max_mc)
    snap.mosfet_mc = bank.mosfet_max_mc
    fresh = [unit.snapshot for unit in of.units.values() if unit.state in (FRESH, HOLD)]
    snap.balancing = any(each is not None and each.balancing for each in fresh)
    snap.ccl_ma = bank.charge_limit_ma if good else 0
    snap.dcl_ma = bank.discharge_limit_ma if good else 0
    snap.ccl_is_trip = snap.dcl_is_trip = False
    snap.charge_ok = snap.discharge_ok = good
    snap.serial = bank.serial or None
    snap.model = bank.model
    found = unit_values(snap, bank.state, bank.age_ms if good else None)
    found["units"] = {
        "total": bank.n_total,
        "fresh": bank.n_fresh,
        "hold": bank.n_hold,
        "lost": bank.n_lost,
    }
    return found


def _alarms(snap: Snapshot) -> dict[str, int]:
    words = (snap.warnings, snap.protections, snap.criticals)
    names = enumerate(alarms.NAMES)
    return {name: level for at, name in names if (level := alarms.level_of(1 << at, *words))}
