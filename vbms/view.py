"""What the web page and the metrics are shown of a running site: web/site.py's shape, filled in."""

import time
import typing
from importlib import metadata

from vbms.aggregate import alarms
from vbms.aggregate.limits import CHARGE, DISCHARGE
from vbms.aggregate.member import FRESH, JOINING, LOST
from vbms.aggregate.virtual import NORMAL, PARTIAL, Reason, VirtualBattery
from vbms.downstream import deye_rs485
from vbms.events import Row as Event
from vbms.journal import iso_now
from vbms.metrics import InverterStats, LinkStats, Metrics
from vbms.rpc import Call, Calls

if typing.TYPE_CHECKING:
    from vbms.aggregate.bank import Unit
    from vbms.app import Site
    from vbms.config import BatterySettings
    from vbms.relays.panel import One

_REASONS = {
    "starting": "waiting for complete data from the batteries",
    "zero": "no battery has fresh data, limits are 0",
    "silent": "no battery has fresh data, the inverter is not answered",
    "error": "the merge failed or a battery's configuration is wrong, see the log",
}


def version() -> str:
    """Of the installed package."""
    try:
        return metadata.version("vbms")
    except metadata.PackageNotFoundError:
        return "0"


class Row:
    """One enrolled battery, as web/site.py's UnitRow."""

    def __init__(self, settings: "BatterySettings", unit: "Unit", counters: dict[str, int]) -> None:
        self.name = settings.name
        self.profile = settings.profile_name
        self.protocol = settings.protocol
        self.link = settings.link
        self.address = typing.cast("int | str | None", settings.address)
        self.slot = settings.slot
        stranger = unit.state == LOST and (unit.admission.mismatch or unit.doubted)
        self.state = "mismatch" if stranger else unit.state
        self.age_ms = unit.age_ms if unit.life.seen else None
        self.acknowledged = unit.is_out() and unit.acknowledged
        self.snapshot = unit.snapshot
        self.capacity_mah = unit.weight_mah
        self.design_mah = unit.design_mah
        soc = unit.snapshot.soc_permille if unit.snapshot is not None else None
        known = soc is not None and unit.weight_mah is not None
        self.remaining_mah = unit.weight_mah * soc // 1000 if known else None  # type: ignore[operator]
        self.charge_voltage_mv = unit.charge_voltage_mv()
        self.discharge_voltage_mv = unit.cells * unit.profile.cell_dvl_mv if unit.cells else None
        self.charge_limit_ma: int | None = unit.told_ma[CHARGE]
        self.discharge_limit_ma: int | None = unit.told_ma[DISCHARGE]
        self.charge_reasons = (self._reason(unit, CHARGE),)
        self.discharge_reasons = (self._reason(unit, DISCHARGE),)
        self.counters = counters

    def _reason(self, unit: "Unit", direction: int) -> Reason:
        told = unit.told_ma[direction]
        if unit.state != FRESH:
            return Reason(unit.key, "join" if unit.state == JOINING else "blind", told, told)
        allowed = unit.allowed[direction]
        return Reason(unit.key, allowed.rule, allowed.value, told)


class View:
    """Reads the site, and hands on what a person says."""

    def __init__(self, site: "Site") -> None:
        self._site = site
        self._metrics = Metrics(self)
        self._calls = Calls(site)
        self.version = version()
        self.state = "starting"

    @property
    def name(self) -> str:
        return self._site.settings.site_name

    @property
    def token(self) -> str | None:
        return self._site.settings.web.token

    @property
    def loopback(self) -> bool:
        return self._site.settings.web.loopback

    @property
    def hosts(self) -> tuple[str, ...]:
        web = self._site.settings.web
        return (*web.hosts, web.host)

    def bank(self) -> VirtualBattery:
        return self._site.virtual.copy(state=self.state)

    def units(self) -> list[Row]:
        counters = {
            name: unit.counters
            for line in self._site.lines.values()
            for name, unit in line.polled.items()
        }
        return [
            Row(battery, self._site.bank.units[battery.name], counters.get(battery.name, {}))
            for battery in self._site.settings.batteries
            if battery.name in self._site.bank.units
        ]

    def alone(self, name: str) -> VirtualBattery:
        return self._site.controller.solo(name)

    def words(self, battery: VirtualBattery) -> tuple[int, int, int]:
        return deye_rs485.words(battery)

    def alarm_rows(self) -> list[tuple[str, int, str | None, str, str, str]]:
        now = iso_now()
        return [
            (alarms.named(bit)[0], level, unit, since, now, why)
            for (bit, unit), (level, since, why) in sorted(self._site.journal.alarms.items())
        ]

    def events(self) -> list[Event]:
        return self._site.journal.events.rows()

    def acknowledge(self, name: str) -> str | None:
        return self._site.acknowledge(name)

    def want_full(self) -> None:
        self._site.want_full()

    def relays(self) -> "list[One]":
        return list(self._site.panel.relays.values())

    def clear_relay(self, name: str) -> str | None:
        return self._site.panel.clear(name)

    def calls(self) -> "list[tuple[str, bool, Call]]":
        return self._calls.rows()

    def health(self) -> dict[str, object]:
        site = self._site
        now = site.clock.now_ms()
        inverters: dict[str, object] = {}
        closed = []
        for name, line in site.inverters.items():
            asked = line.asked_ms
            inverters[name] = {
                "open": line.is_open,
                "asked_s_ago": None if asked is None else (now - asked) // 1000,
            }
            if not line.is_open:
                closed.append(name)
        good = self.state in (NORMAL, PARTIAL)
        reason = _REASONS.get(self.state)
        if good and closed:
            reason = "the port of %s is not open" % ", ".join(closed)
        elif self.state == PARTIAL:
            gone = [unit.key for unit in site.bank.units.values() if unit.state != FRESH]
            reason = "not fresh: %s" % ", ".join(gone)
        age = site.virtual.age_ms
        return {
            "ok": good and not closed,
            "state": self.state,
            "reason": reason,
            "age_s": None if age is None else age // 1000,
            "inverters": inverters,
            "version": self.version,
        }

    def wall_ms(self) -> int:
        return time.time_ns() // 1_000_000

    def up_ms(self) -> int:
        return self._site.bank.up_ms

    def metrics_text(self) -> bytes:
        return self._metrics.text()

    def link_stats(self) -> dict[str, LinkStats]:
        now = self._site.clock.now_ms()
        found: dict[str, LinkStats] = {}
        for name, line in self._site.lines.items():
            found[name] = line.link_stats(now)
        for inverter in self._site.inverters.values():
            found[inverter.settings.link] = inverter.link_stats(now)
        return found

    def inverter_stats(self) -> dict[str, InverterStats]:
        return {
            name: {
                "requests": line.requests,
                "silent": line.silent,
                "reply": line.reply_us,
                "saturated": line.saturated,
            }
            for name, line in self._site.inverters.items()
        }
