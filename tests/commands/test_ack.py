"""`vbms ack` against a running page, and what a restart remembers of it."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from vbms.__main__ import main
from vbms.aggregate.member import FRESH, RETIRED
from vbms.aggregate.snapshot import Snapshot
from vbms.app import Site
from vbms.config import load
from vbms.web.server import WebServer

YAML = """
links:
  a: {{kind: simulate, baud: 9600}}
batteries:
  - {{name: one, profile: byd_pro_2_5, link: a, address: 1, poll_s: 0.2, fresh_s: 1, hold_s: 2, retire_s: 3}}
  - {{name: zwö, profile: byd_pro_2_5, link: a, address: 2, poll_s: 0.2, fresh_s: 1, hold_s: 2, retire_s: 3}}
bank: {{rise_percent: 100}}
web: {{listen: 127.0.0.1:{port}{token}}}
"""


class Clock:
    """Stands still unless told."""

    def __init__(self) -> None:
        self.now = 1000

    def now_ms(self) -> int:
        return self.now

    def now_us(self) -> int:
        return self.now * 1000

    async def sleep_ms(self, ms: int) -> None:
        await asyncio.sleep(ms / 1000)


def healthy(now: int) -> Snapshot:
    return Snapshot(
        taken_ms=now,
        voltage_mv=52800,
        current_ma=now % 7,
        soc_permille=500,
        cells_mv=(3300,) * 16,
        temps_mc=(21000,) * 4,
        charge_ok=True,
        discharge_ok=True,
    )


class Running:
    """The program without its lines: a bank that is told what the test says, and the page."""

    def __init__(self, folder: Path, port: int = 0, token: str = "") -> None:
        self.path = folder / "vbms.yaml"
        self.path.write_text(YAML.format(port=port, token=token), encoding="utf-8")
        self.site = Site(load(self.path), Clock())
        self.web = WebServer(self.site.view, self.site.settings.web)

    def second(self, *speaking: str, seconds: int = 1) -> None:
        for _ in range(seconds):
            self.site.clock.now += 1000
            for name in speaking:
                self.site._deliver(name, healthy(self.site.clock.now))
            self.site._tick()

    async def ack(self, unit: str, *more: str) -> Result:
        """The command against the port that was given by the system."""
        text = self.path.read_text(encoding="utf-8")
        if ":0" in text:
            self.path.write_text(text.replace("127.0.0.1:0", f"127.0.0.1:{self.web.port}"), "utf-8")
        line = ["-c", str(self.path), "ack", unit, *more]
        return await asyncio.to_thread(CliRunner().invoke, main, line)


async def test_a_retired_unit_is_taken_out_and_stays_out(tmp_path: Path) -> None:
    running = Running(tmp_path)
    await running.web.start()
    try:
        running.second("one", "zwö", seconds=5)
        both = running.site.virtual.charge_limit_ma
        early = await running.ack("zwö")
        assert early.exit_code == 1 and "zwö is fresh, not retired" in early.stderr
        nobody = await running.ack("nobody", "--json")
        assert nobody.exit_code == 1 and "nobody" in json.loads(nobody.stdout)["error"]
        for name in ("a/b", "../bank", "\udcff"):
            none = await running.ack(name)
            assert none.exit_code == 1 and "there is no battery" in none.stderr
        running.second("one", seconds=5)
        site = running.site
        assert site.bank.units["zwö"].state == RETIRED
        reserved = site.virtual.charge_limit_ma
        assert both == 100000 and reserved == 10000  # 0.1 C of the silent one, twice
        done = await running.ack("zwö")
        assert done.exit_code == 0 and "zwö: acknowledged" in done.stdout
        running.second("one", seconds=20)  # no rise for 15 s after a fall
        assert site.virtual.charge_limit_ma == 50000
        kinds = [(row[2], row[4]) for row in site.journal.events.rows()]
        assert ("acknowledge", "zwö") in kinds
        assert [row.acknowledged for row in site.view.units()] == [False, True]
    finally:
        await running.web.stop()
        await running.site.close()

    again = Running(tmp_path)  # a restart
    again.second("one", seconds=6)
    assert again.site.bank.units["zwö"].state == RETIRED
    assert again.site.virtual.charge_limit_ma == 50000 and again.site.virtual.state == "normal"
    again.second("one", "zwö", seconds=6)
    assert again.site.bank.units["zwö"].state == FRESH
    assert again.site.virtual.charge_limit_ma == 100000
    await again.site.close()
    third = Running(tmp_path)
    assert third.site.bank.acknowledged() == []

    moved = tmp_path / "state" / "state.json"
    assert json.loads(moved.read_text())["sections"]["acknowledged"] == {}


async def test_the_banks_name_forgives_a_silenced_inverter(tmp_path: Path) -> None:
    running = Running(tmp_path)
    running.second("one", "zwö", seconds=5)
    site = running.site
    assert site.acknowledge("bank") == "bank: no inverter was silenced for taking what it may not"
    judge = site.controller.steering.obedience[0]
    judge.silenced = judge.locked = True
    assert site.acknowledge("bank") is None and not judge.locked
    site.want_full()
    kinds = [row[2] for row in site.journal.events.rows()]
    assert kinds[:2] == ["charge", "acknowledge"]
    await site.close()


async def test_the_token_of_the_yaml_is_sent(tmp_path: Path) -> None:
    running = Running(tmp_path, token=", token: s3cret")
    await running.web.start()
    try:
        running.second("one", "zwö", seconds=4)
        running.second("one", seconds=5)
        fine = await running.ack("zwö", "--json")
        assert fine.exit_code == 0 and json.loads(fine.stdout) == {"ok": True, "unit": "zwö"}
        text = running.path.read_text(encoding="utf-8").replace("s3cret", "guess")
        running.path.write_text(text, encoding="utf-8")
        wrong = await running.ack("zwö")
        assert wrong.exit_code == 1 and "web.token" in wrong.stderr
    finally:
        await running.web.stop()
        await running.site.close()


async def test_no_service_is_said_in_one_line(tmp_path: Path, unused_tcp_port: int) -> None:
    running = Running(tmp_path, port=unused_tcp_port)
    answer = await running.ack("one")
    assert answer.exit_code == 1
    assert f"no service answers at 127.0.0.1:{unused_tcp_port}" in answer.stderr


async def test_another_battery_at_the_same_name_is_not_acknowledged(tmp_path: Path) -> None:
    running = Running(tmp_path)
    running.second("one", "zwö", seconds=4)
    running.second("one", seconds=5)
    assert running.site.acknowledge("zwö") is None
    running.second("one")
    await running.site.close()
    again = Running(tmp_path)
    text = again.path.read_text(encoding="utf-8").replace("address: 2", "address: 3")
    again.path.write_text(text, encoding="utf-8")
    assert Site(load(again.path), Clock()).bank.acknowledged() == []


def test_an_unreadable_configuration_is_exit_2(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert CliRunner().invoke(main, ["-c", "missing.yaml", "ack", "one"]).exit_code == 2
