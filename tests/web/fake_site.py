"""A site without lines: a real bank, fed by the test, behind the shape the web pages ask."""

from vbms.aggregate import alarms
from vbms.aggregate.bank import Bank
from vbms.aggregate.limits import CHARGE, DISCHARGE
from vbms.aggregate.profile import BankProfile, UnitProfile
from vbms.aggregate.snapshot import Snapshot
from vbms.aggregate.virtual import Reason, VirtualBattery
from vbms.metrics import Histogram, InverterStats, LinkStats

WALL_MS = 1_790_000_000_000
SECOND = 1000


class Row:
    """One battery as the web pages see it."""

    def __init__(self, bank: Bank, name: str, slot: int, protocol: str) -> None:
        unit = bank.units[name]
        alone = bank.solo(name)
        self.name = name
        self.profile = protocol
        self.protocol = protocol
        self.link = "bms"
        self.address: int | str | None = slot + 1
        self.slot = slot
        self.state = unit.state
        self.acknowledged = unit.key in bank.acknowledged()
        self.age_ms: int | None = unit.age_ms
        self.snapshot = unit.snapshot
        self.capacity_mah = unit.weight_mah
        self.design_mah = unit.design_mah
        self.remaining_mah = alone.remaining_mah
        self.charge_voltage_mv = alone.cvl_mv
        self.discharge_voltage_mv = alone.dvl_mv
        self.charge_limit_ma: int | None = unit.told_ma[CHARGE]
        self.discharge_limit_ma: int | None = unit.told_ma[DISCHARGE]
        self.charge_reasons = [self._reason(unit.allowed[CHARGE], unit.told_ma[CHARGE])]
        self.discharge_reasons = [self._reason(unit.allowed[DISCHARGE], unit.told_ma[DISCHARGE])]
        self.counters = {"polls": 100, "timeouts": 2, "bad_frames": 1, "foreign": 0, "refused": 0}

    def _reason(self, allowed, told_ma: int) -> Reason:
        return Reason(self.name, allowed.rule, allowed.value, told_ma)


class FakeSite:
    """`feed` units, `tick`, ask."""

    name = "home"
    version = "0.1.0"
    token: str | None = None
    loopback = True
    hosts: tuple[str, ...] = ("Vbms.local",)

    def __init__(self, units: list[UnitProfile] | None = None, protocol: str = "byd_pro") -> None:
        self.protocol = protocol
        self.now_ms = 0
        self._bank = Bank(BankProfile("bank"), units or [])
        self.virtual = VirtualBattery(name="bank")
        self.inverters: dict[str, object] = {"deye": {"open": True, "asked_s_ago": 1}}
        self.reply = Histogram()
        self.links: dict[str, LinkStats] = {}
        self.happened: list[tuple[int, str, str, str, str | None, str]] = []
        self.chargers: list[object] = []
        self.cleared: list[str] = []
        self.offered: list[tuple[str, bool, object]] = []
        self.extra_alarms: list[tuple[str, int, str | None, str, str, str]] = []

    def feed(self, key: str, snap: Snapshot, frames: int = 1) -> None:
        for _ in range(frames):
            snap.taken_ms = self.now_ms
            fault = self._bank.accept(key, snap, self.now_ms)
            assert fault is None, fault

    def tick(self, seconds: int = 1) -> VirtualBattery:
        self.now_ms += seconds * SECOND
        self.virtual = self._bank.tick(self.now_ms)
        return self.virtual

    def join(self, snapshots: dict[str, Snapshot]) -> None:
        """Three frames each, a second apart."""
        for _ in range(3):
            for key, snap in snapshots.items():
                self.feed(key, snap)
            self.tick()

    # What the pages ask
    def bank(self) -> VirtualBattery:
        return self.virtual

    def units(self) -> list[Row]:
        return [Row(self._bank, key, at, self.protocol) for at, key in enumerate(self._bank.units)]

    def alone(self, name: str) -> VirtualBattery:
        return self._bank.solo(name)

    def words(self, battery: VirtualBattery) -> tuple[int, int, int]:
        return battery.warnings & 0xFFFF, battery.protections & 0xFFFF, 0x0C00

    def alarm_rows(self) -> list[tuple[str, int, str | None, str, str, str]]:
        at = "2026-11-24T01:00:00Z"
        rows = [
            (alarms.named(bit)[0], level, unit, at, at, "why")
            for bit, level, unit in self.virtual.alarms
        ]
        return rows + self.extra_alarms

    def events(self) -> list[tuple[int, str, str, str, str | None, str]]:
        return self.happened

    def acknowledge(self, name: str) -> str | None:
        return None if self._bank.acknowledge(name) else f"{name} is not retired"

    def want_full(self) -> None:
        self.cleared.append("full")

    def relays(self) -> list[object]:
        return self.chargers

    def clear_relay(self, name: str) -> str | None:
        self.cleared.append(name)
        return None if name == "garage" else f"{name} is idle"

    def calls(self) -> list[tuple[str, bool, object]]:
        return self.offered

    def health(self) -> dict[str, object]:
        state = self.virtual.state
        age = self.virtual.age_ms
        return {
            "ok": state in ("normal", "partial"),
            "state": state,
            "reason": None if state == "normal" else "the bank is %s" % state,
            "age_s": None if age is None else age // 1000,
            "inverters": self.inverters,
            "version": self.version,
        }

    def wall_ms(self) -> int:
        return WALL_MS + self.now_ms

    def up_ms(self) -> int:
        return self.now_ms

    def metrics_text(self) -> bytes:
        return b"# none here\n"

    def link_stats(self) -> dict[str, LinkStats]:
        return self.links

    def inverter_stats(self) -> dict[str, InverterStats]:
        return {
            "deye": {
                "requests": 7,
                "silent": False,
                "reply": self.reply,
                "saturated": {"capacity_mah": 3},
            }
        }


def lfp(key: str, **values: object) -> UnitProfile:
    """A 16-cell unit of 50 Ah with caps of 50 A and no MOSFET sensor, as a BYD PRO is."""
    known: dict[str, object] = {
        "cells": 16,
        "capacity_mah": 50000,
        "max_charge_ma": 50000,
        "max_discharge_ma": 50000,
        "charge_voltage_mv": 55200,
        "mosfet_present": False,
    }
    return UnitProfile(key, **{**known, **values})


def good(**values: object) -> Snapshot:
    """A healthy unit at rest; what a test is about is given."""
    known: dict[str, object] = {
        "voltage_mv": 52800,
        "current_ma": 4000,
        "soc_permille": 600,
        "soh_permille": 990,
        "cells_mv": [3300] * 16,
        "temps_mc": [24000, 25000, 25500, 26000],
        "ambient_mc": 22000,
        "cycles_count": 12,
        "charge_ok": True,
        "discharge_ok": True,
        "balancing": False,
        "model": "BYD PRO 2.5",
    }
    return Snapshot(**{**known, **values})
