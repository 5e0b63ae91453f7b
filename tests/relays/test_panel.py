"""Relays in a site: off first, on when the bank allows, off when it falls silent, and after a restart."""

from __future__ import annotations

import json
import logging
from pathlib import Path

import pytest
from microdot.test_client import TestClient

from tests.commands.test_ack import Clock, healthy
from tests.lines.test_inverter import line
from vbms.aggregate import alarms
from vbms.aggregate.virtual import NORMAL, VirtualBattery
from vbms.app import Site
from vbms.config import load
from vbms.relays import panel as module
from vbms.web.routes import make_app

YAML = """
links:
  a: {{kind: simulate, baud: 9600}}
batteries:
  - {{name: one, profile: byd_pro_2_5, link: a, address: 1}}
  - {{name: two, profile: byd_pro_2_5, link: a, address: 2}}
relays:
  - {{name: garage, output: simulate, charger_a: 20{more}}}
  - {{name: shed, output: simulate, of: two, charger_a: 10}}
"""


class Running:
    """The program without its lines."""

    def __init__(self, folder: Path, more: str = "", yaml: str = YAML) -> None:
        self.path = folder / "vbms.yaml"
        self.path.write_text(yaml.format(more=more), encoding="utf-8")
        self.clock = Clock()
        self.site = Site(load(self.path), self.clock)

    async def start(self) -> Running:
        await self.site.panel.serve(self.site.settings.relays)
        return self

    async def run(self, seconds: int, *speaking: str, **values: object) -> None:
        for _ in range(seconds):
            self.clock.now += 1000
            for name in speaking:
                snap = healthy(self.clock.now)
                for key, value in values.items():
                    setattr(snap, key, value)
                self.site._deliver(name, snap)
            self.site._tick()
            await self.clock.sleep_ms(0)
            await self.clock.sleep_ms(0)

    def stands(self) -> dict[str, tuple[bool | None, str]]:
        return {name: (one.on, one.state) for name, one in self.site.panel.relays.items()}


async def test_the_bank_and_one_battery(tmp_path: Path) -> None:
    running = await Running(tmp_path).start()
    assert running.stands() == {
        "garage": (False, "initial_charge"),
        "shed": (False, "initial_charge"),
    }
    await running.run(70, "one", "two")
    assert running.stands() == {
        "garage": (True, "initial_charge"),
        "shed": (True, "initial_charge"),
    }
    await running.run(12, "one")  # two is silent: its own charger at once, the bank's by its limit
    assert running.stands()["shed"] == (False, "initial_charge")
    assert running.stands()["garage"] == (True, "initial_charge")
    await running.run(12)
    assert running.stands()["garage"] == (False, "initial_charge")
    kinds = [(row[4], row[5]) for row in running.site.journal.events.rows() if row[2] == "relay"]
    assert ("garage", "off, initial charge: the battery is not heard") in kinds
    await running.site.close()


async def test_full_rests_and_a_restart_goes_on_resting(tmp_path: Path) -> None:
    running = await Running(tmp_path).start()
    await running.run(70, "one", "two")
    for soc in (540, 580, 620, 660, 700, 740, 780, 820, 860, 900, 940, 980, 1000):
        await running.run(1, "one", "two", soc_permille=soc)
    await running.run(5, "one", "two", soc_permille=1000)
    assert [state for _, state in running.stands().values()] == ["idle", "idle"]
    said = [row[5] for row in running.site.journal.events.rows() if row[2] == "relay"]
    assert said[0].startswith("off at 100 %, idle: full"), "the SOC that decided, not the told one"
    await running.site.close()
    assert all(row.on is False for row in running.site.panel.relays.values())
    kept = json.loads((tmp_path / "state" / "state.json").read_text())["sections"]["relay"]
    assert kept["garage"]["phase"] == "idle" and kept["shed"]["phase"] == "idle"
    again = await Running(tmp_path).start()
    assert again.stands()["shed"] == (False, "idle")
    await again.run(100, "one", "two", soc_permille=810)
    assert again.stands()["shed"] == (False, "idle")
    await again.run(5, "one", "two", soc_permille=800)
    assert again.stands()["shed"] == (True, "charge")
    await again.site.close()


async def test_a_merge_that_fails_and_a_decision_that_fails_are_off(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    running = await Running(tmp_path).start()
    await running.run(70, "one", "two")
    monkeypatch.setattr("vbms.aggregate.bank.merge", lambda *_: 1 / 0)
    await running.run(1, "one", "two")
    assert running.stands() == {"garage": (False, "fault"), "shed": (False, "fault")}
    monkeypatch.undo()
    await running.run(70, "one", "two")
    assert running.stands()["garage"] == (True, "initial_charge")
    monkeypatch.setattr(module.Relay, "step", lambda *_: 1 / 0)
    caplog.set_level(logging.ERROR)
    await running.run(1, "one", "two")
    assert [on for on, _ in running.stands().values()] == [False, False]
    assert "relays: the decision failed" in caplog.text
    await running.site.close()


async def test_a_charger_s_amps_are_not_told_to_an_inverter_too(tmp_path: Path) -> None:
    running = await Running(tmp_path).start()
    whole = running.site.inverters["bank"] = line("deye_rs485")
    each = running.site.inverters["each"] = line("deye_rs485", present="units")
    seen = set()
    for _ in range(90):
        await running.run(1, "one", "two", current_ma=15000)  # 20 A and 10 A of chargers
        on = {name for name, one in running.site.panel.relays.items() if one.relay.on}
        seen.add(len(on))
        limit = running.site.virtual.charge_limit_ma
        taken = (20000 if "garage" in on else 0) + (10000 if "shed" in on else 0)
        if whole.told is not None:
            assert whole.told.charge_limit_ma <= max(0, limit - taken)  # from that tick on
    assert max(seen) == 2
    assert whole.told is not None and whole.told.charge_limit_ma == 70000
    assert [told and told.charge_limit_ma for _, told in each.pairs] == [40000, 30000]
    # Nobody takes what he may not: 100 A are 70 A of the inverter and 30 A of the chargers.
    running.site.panel.relays["garage"].switch.stands = None
    assert running.site.panel.taken_ma(running.site.bank)[""] == 30000  # it may still be on
    await running.run(100, "one", "two", current_ma=50000)
    assert not running.site.virtual.warnings & alarms.DISOBEY
    running.site.inverters.clear()  # they have no line to stop
    await running.site.close()


async def test_what_cannot_be_written_down_changes_nothing_that_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    running = await Running(tmp_path).start()
    told = running.site.inverters["bank"] = line("deye_rs485")
    await running.run(70, "one", "two")
    caplog.set_level(logging.ERROR)
    monkeypatch.setattr("vbms.journal.Journal.tick", lambda *_: 1 / 0)
    await running.run(10, "one", "two")
    await running.run(12, "one")
    assert caplog.text.count("could not be written down") == 1
    assert told.told is not None and told.state == "partial"
    running.site.inverters.clear()
    await running.site.close()


async def test_a_reload_keeps_what_did_not_change(tmp_path: Path) -> None:
    running = await Running(tmp_path).start()
    await running.run(70, "one", "two")
    shed = running.site.panel.relays["shed"]
    other = load_changed(running, ", timeout_min: 100")
    await running.site.panel.serve(other.relays)
    assert running.site.panel.relays["shed"] is shed and shed.on is True
    garage = running.site.panel.relays["garage"]
    assert garage.on is False and garage.relay.on_ms > 0 and garage.timeout_ms == 6_000_000
    await running.site.panel.serve(())
    assert running.stands() == {} and shed.on is False
    await running.site.close()


def load_changed(running: Running, more: str):
    running.path.write_text(YAML.format(more=more), encoding="utf-8")
    return load(running.path)


async def test_a_time_out_is_cleared_over_http(tmp_path: Path) -> None:
    running = await Running(tmp_path, ", timeout_min: 1").start()
    web = TestClient(make_app(running.site.view), host="127.0.0.1:8080")
    early = await web.post("/api/relays/garage/clear")
    assert early.status_code == 409 and "only a time-out" in early.json["error"]
    assert (await web.post("/api/relays/nobody/clear")).status_code == 404
    await running.run(130, "one", "two")
    garage, _ = (await web.get("/api/relays")).json
    assert (garage["state"], garage["on"], garage["why"]) == ("timeout", False, "too_long")
    assert garage["on_s"] == 60 and garage["text"].startswith("on for 1 min without getting full")
    errors = [row for row in running.site.journal.events.rows() if row[3] == "error"]
    assert errors[0][4] == "garage"
    metrics = running.site.view.metrics_text().decode()
    assert 'vbms_relay_state{relay="garage",state="timeout"} 1.0' in metrics
    assert 'vbms_relay_on{relay="shed"} 1.0' in metrics
    assert (await web.post("/api/relays/garage/clear")).json == {"ok": True, "relay": "garage"}
    await running.run(60, "one", "two")
    assert running.stands()["garage"] == (True, "initial_charge")
    await running.site.close()


async def test_a_battery_that_is_no_longer_there_is_not_heard(tmp_path: Path) -> None:
    running = await Running(tmp_path).start()
    await running.run(70, "one", "two")
    del running.site.bank.units["two"]
    whole = VirtualBattery(
        state=NORMAL, age_ms=1, soc_permille=500, charge_limit_ma=50_000, cell_max_mv=3300
    )
    running.site.panel.step(whole, running.site.controller, running.clock.now + 1)
    assert running.site.panel.relays["shed"].why == "no_data"
    await running.site.close()


async def test_the_thread_switches_off_what_a_stuck_program_left_on(tmp_path: Path) -> None:
    running = await Running(tmp_path).start()
    await running.run(70, "one", "two")
    garage = running.site.panel.relays["garage"]
    running.site.panel._force_off()
    assert garage.switch.output.on is False  # type: ignore[attr-defined]
    for _ in range(5):
        await running.clock.sleep_ms(0)
    assert garage.switch.output.on is True  # type: ignore[attr-defined]  # the program lives again
    await running.site.close()
