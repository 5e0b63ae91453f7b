"""`vbms scan ble`, `vbms simulate jk-ble` and a whole site on simulated Bluetooth, from outside."""

import asyncio
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from vbms.app import Site
from vbms.commands.demo import configuration
from vbms.config import ConfigErrors, load_text

SITE = """\
links:
  air: {kind: simulate}
  wire: {kind: simulate, baud: 9600}
batteries:
  - {name: jk-1, profile: jk_ble, link: air, address: "c8:47:80:12:34:56"}
  - {name: jbd-1, profile: jbd, link: air, address: SP16S-GARAGE}
  - {name: jbd-2, profile: jbd, link: wire, poll_s: 0.5}
"""


def vbms(*words: str, bus: str | None = None) -> subprocess.CompletedProcess[str]:
    env = os.environ | ({"DBUS_SYSTEM_BUS_ADDRESS": bus} if bus else {})
    command = [sys.executable, "-m", "vbms", *words]
    return subprocess.run(command, env=env, capture_output=True, text=True, timeout=30)


def test_scan_finds_what_simulate_plays(bus: None) -> None:
    player = subprocess.Popen(
        [sys.executable, "-m", "vbms", "simulate", "jk-ble", "--address", "C8:47:80:00:00:09,JK-X"],
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert player.stdout is not None
        variable, _, address = player.stdout.readline().strip().partition("=")
        assert variable == "DBUS_SYSTEM_BUS_ADDRESS"
        said = vbms("scan", "ble", "--seconds", "2", bus=address)
        assert said.returncode == 0, said.stderr
        lines = said.stdout.splitlines()
        good = [line for line in lines if not line.startswith("#")]
        assert len(good) == 2 and len(lines) == 22
        text = "links: {air: {kind: ble}}\nbatteries:\n" + "\n".join(good) + "\n"
        found = load_text(text, Path("vbms.yaml"))  # ready to paste
        assert {each.protocol for each in found.batteries} == {"jk_ble"}
        rows = json.loads(vbms("scan", "ble", "--seconds", "1", "--json", bus=address).stdout)
        assert [row["protocol"] for row in rows[:3]] == ["jk_ble", "jk_ble", None]
    finally:
        player.send_signal(signal.SIGTERM)
        assert player.wait(10) == 0
        if player.stdout is not None:
            player.stdout.close()


def test_scan_without_bluetooth() -> None:
    said = vbms("scan", "ble", bus="unix:path=/nowhere/bus")
    assert said.returncode == 1
    assert said.stderr.startswith("vbms scan ble: D-Bus is gone")


def test_simulate_refuses_what_it_cannot_play() -> None:
    said = vbms("simulate", "jk-ble", "--fault", "gremlins")
    assert said.returncode == 2 and "zombie" in said.stderr
    said = vbms("simulate", "jk-ble", "--address", "A,A")
    assert said.returncode == 1 and "each address once" in said.stderr


async def test_a_site_on_simulated_bluetooth(bus: None, tmp_path: Path) -> None:
    site = Site(load_text(SITE + f"state_dir: {tmp_path}\n", tmp_path / "vbms.yaml"))
    before = os.environ.get("DBUS_SYSTEM_BUS_ADDRESS")
    await site.start()
    try:
        begun = time.monotonic()
        while any(row.state != "fresh" for row in site.view.units()):
            assert time.monotonic() - begun < 25, [row.state for row in site.view.units()]
            await asyncio.sleep(0.1)
        rows = {row.name: row for row in site.view.units()}
        assert rows["jk-1"].address == "C8:47:80:12:34:56"
        for row in rows.values():
            snap = row.snapshot
            assert snap is not None and len(snap.cells_mv or ()) == 16
            assert row.counters["polls"] > 0 and row.counters["bad_frames"] == 0
        assert site.virtual.n_fresh == 3
    finally:
        await site.close()
    assert os.environ.get("DBUS_SYSTEM_BUS_ADDRESS") == before


def test_the_demo_s_configuration_is_fine() -> None:
    settings = load_text(configuration(5, None, bluetooth=2), Path("demo.yaml"))
    assert [each.name for each in settings.batteries][-2:] == ["air-1", "air-2"]
    assert len(load_text(configuration(3, None), Path("demo.yaml")).batteries) == 3


@pytest.mark.parametrize(
    ("rows", "said"),
    [
        ("{name: a, profile: jbd, link: air}", "address: is missing on air, a ble link"),
        ("{name: a, profile: jk_ble, link: air, address: 1:2}", "is no MAC and no name"),
        ("{name: a, profile: jk_pb, link: air, address: 1}", "does not run over air"),
        ("{name: a, profile: jk_ble, link: bms, address: JK}", "does not run over bms"),
        ("{name: a, profile: jbd, link: bms, address: JK}", "a jbd has none on bms"),
        (
            "{name: a, profile: jbd, link: bms}\n  - {name: b, profile: jbd, link: bms}",
            "bms without an address is taken by a",
        ),
        (
            '{name: a, profile: jk_ble, link: air, address: "c8:47:80:00:00:01"}\n'
            '  - {name: b, profile: jk_ble, link: air, address: "C8-47-80-00-00-01"}',
            "C8:47:80:00:00:01 is taken by a",
        ),
        (
            "{name: a, profile: jk_ble, link: air, address: A}\n"
            "  - {name: b, profile: jbd, link: sim, address: B}",
            "simulated Bluetooth beside the real one of a",
        ),
        (
            "{name: a, profile: jbd, link: sim, address: A}\n  - {name: b, profile: jbd, link: sim}",
            "jbd cannot share sim with a",
        ),
        (
            "{name: a, profile: jk_ble, link: air, address: A, allow_control: maybe}",
            "true or false",
        ),
    ],
)
def test_what_a_configuration_can_get_wrong(rows: str, said: str) -> None:
    links = "air: {kind: ble}, sim: {kind: simulate}, bms: {kind: serial, port: /dev/x}"
    with pytest.raises(ConfigErrors) as caught:
        load_text(f"links: {{{links}}}\nbatteries:\n  - {rows}\n", Path("vbms.yaml"))
    assert any(said in str(problem) for problem in caught.value.problems), caught.value.problems
