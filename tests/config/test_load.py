"""What a good configuration becomes: exact integers, defaults, equality, secrets that stay secret."""

import subprocess
import sys
from pathlib import Path

import pytest

from tests.config.site import GOOD, Folder, battery, changed
from vbms.aggregate.profile import UnitProfile
from vbms.config import ConfigErrors, Settings, bank_overrides, load, load_text
from vbms.settings import keys
from vbms.settings.build import t35_us
from vbms.simulate import faults

ROOT = Path(__file__).resolve().parents[2]


def values(thing: object) -> dict[str, object]:
    return {name: getattr(thing, name) for name in type(thing).__slots__}  # type: ignore[attr-defined]


def test_the_shipped_file() -> None:
    settings = load(ROOT / "vbms.yaml")
    rows = [(b.name, b.profile_name, b.link, b.address, b.slot) for b in settings.batteries]
    assert rows == [
        ("byd-1", "byd_pro_2_5", "byd", 1, 0),
        ("byd-2", "byd_pro_2_5", "byd", 2, 1),
        ("byd-3", "byd_pro_2_5", "byd", 3, 2),
        ("jk-1", "jk_pb", "jk", 1, 3),
        ("jk-2", "jk_pb", "jk", 2, 4),
    ]
    assert {name: (link.kind, link.baud) for name, link in settings.links.items()} == {
        "byd": ("simulate", 9600),
        "jk": ("simulate", 115200),
        "inv": ("simulate", 9600),
    }
    assert [b.unit.capacity_mah for b in settings.batteries] == [50000] * 3 + [200000] * 2
    (deye,) = settings.inverters
    assert (deye.name, deye.link, deye.present, deye.shards) == ("deye", "inv", "bank", None)
    assert (settings.web.host, settings.web.port, settings.web.token) == ("127.0.0.1", 8080, None)
    assert settings.warnings == ()


def test_the_base_profile_is_the_program_s_own_numbers(folder: Folder) -> None:
    """lfp_16s repeats for people what UnitProfile holds: neither may change without the other."""
    folder.write("profiles/battery/plain.yaml", "extends: lfp_16s\nprotocol: jk_pb\n")
    unit = folder.load(changed("profile: jk_pb", "profile: plain")).batteries[2].unit
    own = UnitProfile("jk-1", cells=16, declares_ccl=True, declares_dcl=True, needs_settings=True)
    assert values(unit) == values(own)
    bare = folder.write("profiles/battery/bare.yaml", "protocol: jk_pb\n")
    assert bare.exists()
    unit = folder.load(changed("profile: jk_pb", "profile: bare")).batteries[2].unit
    assert values(unit) == values(own)


def test_byd_defaults(folder: Folder) -> None:
    first = folder.load().batteries[0]
    assert values(first.timing) == {
        "gap_us": 3646,  # 35 bits at 9600, never early
        "reply_timeout_ms": 150,
        "slow_timeout_ms": 150,
        "silence_ms": 50,
        "poll_ms": 1000,
    }
    unit = first.unit
    assert (unit.cells, unit.capacity_mah, unit.charge_voltage_mv) == (16, 50000, 55200)
    assert (unit.max_charge_ma, unit.max_discharge_ma) == (50000, 50000)
    assert (unit.mosfet_present, unit.declares_ccl, unit.needs_settings) == (False, False, False)
    assert first.options == {"address": 1} and first.protocol == "byd_pro"


def test_jk_defaults(folder: Folder) -> None:
    jk = folder.load().batteries[2]
    assert values(jk.timing) == {
        "gap_us": 100_000,
        "reply_timeout_ms": 500,
        "slow_timeout_ms": 1000,
        "silence_ms": 100,
        "poll_ms": 1000,
    }
    unit = jk.unit
    assert (unit.cells, unit.capacity_mah, unit.charge_voltage_mv) == (None, None, None)
    assert (unit.max_charge_ma, unit.max_discharge_ma) == (None, None)
    assert (unit.mosfet_present, unit.declares_ccl, unit.needs_settings) == (True, True, True)
    assert (unit.fresh_ms, unit.hold_ms, unit.retire_ms) == (None, 60_000, 1_800_000)
    assert unit.retire_auto is False and unit.trip_margin_permille == 900


def test_deye_defaults(folder: Folder) -> None:
    (deye,) = folder.load().inverters
    assert (deye.present, deye.shards, deye.turnaround_us) == ("bank", None, 3646)
    assert deye.silent_after_ms == 30_000
    assert deye.options == {"invert_current": False, "model": None, "serial": None}


def test_numbers_are_exact(folder: Folder) -> None:
    keys = "charge_voltage_v: 55.201\n    capacity_ah: 280.3\n    max_charge_a: 16.1\n"
    keys += "    poll_s: 0.57\n    c_rate: 0.29\n    trip_margin_percent: 82.3\n    gap_ms: 1.001"
    one = folder.load(battery(keys)).batteries[1]
    unit = one.unit
    assert (unit.charge_voltage_mv, unit.capacity_mah, unit.max_charge_ma) == (55201, 280300, 16100)
    assert (unit.poll_ms, unit.c_rate_permille, unit.trip_margin_permille) == (570, 290, 823)
    assert (one.timing.poll_ms, one.timing.gap_us) == (570, 1001)


@pytest.mark.parametrize(
    "keys",
    [
        "charge_voltage_v: 48",
        "charge_voltage_v: 60.0",
        "charge_voltage_v: auto",
        "charge_voltage_v: 25.2\n    cells: 8",
        "charge_voltage_v: 25.2\n    cells: 6\n    chemistry: li_ion",
        "capacity_ah: 0.1",
        "poll_s: 0",
        "fresh_s: 1.001",
        "slot: 14",
        "gap_ms: 0",
        "gap_ms: t3.5",
        "max_charge_a: 0",
        "hold_s: 10.001",
    ],
)
def test_the_edge_of_what_is_allowed(folder: Folder, keys: str) -> None:
    assert folder.problems(battery(keys)) == ()


def test_overrides_in_place_reach_one_unit_alone(folder: Folder) -> None:
    keys = "capacity_ah: 45\n    poll_s: 0\n    serial: 0012\n    enabled: false\n    slot: 9\n"
    keys += "    retire: auto\n    mosfet_sensor: present\n    max_charge_a: none\n"
    keys += "    charge_by_soc_percent: [[90, 100], [95, 60], [100, 10]]"
    first, one, _ = folder.load(battery(keys)).batteries
    unit = one.unit
    assert (unit.capacity_mah, unit.poll_ms, unit.serial, unit.enabled) == (45000, 0, "0012", False)
    assert (unit.retire_auto, unit.mosfet_present, unit.max_charge_ma) == (True, True, None)
    assert unit.charge_soc == ((900, 1000), (950, 600), (1000, 100))
    assert (one.slot, first.slot) == (9, 0)
    assert first.unit.capacity_mah == 50000 and first.unit.charge_soc == ()


def test_the_bank_s_numbers_stand_between_profile_and_battery(folder: Folder) -> None:
    text = battery("hold_s: 90").replace("max_discharge_a: 150.5", "hold_s: 120, start_s: 2.5")
    settings = folder.load(text)
    assert [b.unit.hold_ms for b in settings.batteries] == [120_000, 90_000, 120_000]
    assert (settings.bank.max_charge_ma, settings.bank.max_discharge_ma) == (200_000, None)
    assert (settings.bank.start_ms, settings.bank.steady_ms, settings.bank.min_fresh) == (
        2500,
        5000,
        1,
    )


def test_links(folder: Folder) -> None:
    links = folder.load().links
    assert (links["jk"].port, links["jk"].baud) == ("/dev/serial/by-id/not-here", 115200)
    assert links["jk"].byte_us == 87 and links["bms"].byte_us == 1042 and links["air"].byte_us == 0
    assert (links["inv"].host, links["inv"].tcp_port) == ("gateway.lan", 4196)
    assert links["air"].adapter == "hci0" and links["can"].bitrate == 500_000


def test_a_line_gets_its_speed_and_gap_from_the_profiles(folder: Folder) -> None:
    settings = folder.load(GOOD.replace(", baud: 9600", "").replace("    baud: 115200\n", ""))
    assert {name: link.baud for name, link in settings.links.items() if link.baud} == {
        "bms": 9600,
        "jk": 115200,
        "inv": 9600,
    }


def test_a_gap_follows_the_line(folder: Folder) -> None:
    text = changed("bms: {kind: simulate, baud: 9600}", "bms: {kind: simulate, baud: 115200}")
    assert folder.load(text).batteries[0].timing.gap_us == 1750


def test_t35() -> None:
    assert [t35_us(baud) for baud in (1200, 9600, 19200, 38400, None)] == [
        29167,
        3646,
        1823,
        1750,
        0,
    ]


def test_one_address_is_used_once_for_each_protocol(folder: Folder) -> None:
    assert folder.problems(changed("link: jk, address: 1", "link: bms, address: 1")) == ()


def test_only_watching_needs_no_inverter(folder: Folder) -> None:
    assert (
        folder.load(changed("  - {name: deye, profile: deye_rs485, link: inv}\n", "")).inverters
        == ()
    )


def test_fifteen_units_at_fifteen_addresses(folder: Folder) -> None:
    rows = [
        f"  - {{name: u{n}, profile: byd_pro_2_5, link: bms, address: {n}}}\n" for n in range(16)
    ]
    head = "links: {bms: {kind: simulate}, inv: {kind: simulate}}\nbatteries:\n"
    tail = "inverters: [{name: d, profile: deye_rs485, link: inv, present: units}]\n"
    settings = folder.load(head + "".join(rows[:15]) + tail)
    assert [b.slot for b in settings.batteries] == list(range(15))
    assert folder.problems(head + "".join(rows) + tail)
    assert not folder.problems(head + "".join(rows) + tail.replace("units", "bank"))


def test_reading_twice_is_equal_and_one_change_is_one_difference(folder: Folder) -> None:
    old, new = folder.load(), folder.load()
    assert old == new and old is not new
    for a, b in zip(old.batteries, new.batteries, strict=True):
        assert a == b and a.unit is not b.unit
    new = folder.load(battery("max_charge_a: 40"))
    assert old != new
    assert [a == b for a, b in zip(old.batteries, new.batteries, strict=True)] == [
        True,
        False,
        True,
    ]
    assert (old.links, old.inverters, old.bank.name) == (new.links, new.inverters, new.bank.name)
    new = folder.load(changed("max_charge_a: 200", "max_charge_a: 201"))
    assert old != new and old.batteries == new.batteries and old.links == new.links
    new = folder.load(changed("link: inv}", "link: inv, silent_after_s: 31}"))
    assert old.inverters != new.inverters and old.batteries == new.batteries
    new = folder.load("# a comment more\n" + GOOD)
    assert old == new


def test_a_profile_that_changes_is_a_difference(folder: Folder) -> None:
    old = folder.load()
    folder.write("profiles/battery/jk_pb.yaml", "extends: jk_pb\nmax_charge_a: 100\n")
    new = folder.load()
    assert [a == b for a, b in zip(old.batteries, new.batteries, strict=True)] == [
        True,
        True,
        False,
    ]


def test_state_dir(folder: Folder, monkeypatch: pytest.MonkeyPatch) -> None:
    assert folder.load().state_dir == folder.path / "state"
    assert folder.load(GOOD + "state_dir: var\n").state_dir == folder.path / "var"
    assert folder.load(GOOD + "state_dir: /var/lib/x\n").state_dir == Path("/var/lib/x")
    monkeypatch.setenv("STATE_DIRECTORY", "/var/lib/vbms:/var/lib/other")
    assert folder.load().state_dir == Path("/var/lib/vbms")
    history = folder.load(GOOD + "history: {}\n").history
    assert history is not None and history.path == Path("/var/lib/vbms/vbms.db")


def test_web(folder: Folder) -> None:
    web = folder.load(GOOD.replace("web: {listen: 127.0.0.1:8080}\n", "")).web
    assert (web.host, web.port, web.loopback) == ("127.0.0.1", 8080, True)
    text = changed("listen: 127.0.0.1:8080", 'listen: "[::1]:80", hosts: [pi.lan, 10.0.0.2]')
    web = folder.load(text).web
    assert (web.host, web.port, web.loopback, web.hosts) == (
        "::1",
        80,
        True,
        ("pi.lan", "10.0.0.2"),
    )
    web = folder.load(changed("listen: 127.0.0.1:8080", "listen: 0.0.0.0:80, token: abc")).web
    assert (web.loopback, web.token) == (False, "abc")


def test_simulate(folder: Folder) -> None:
    text = (
        GOOD + "simulate: {seed: 7, speed: 60, faults: [{unit: byd-2, fault: silence, at_s: 30}]}\n"
    )
    world = folder.load(text).simulate
    assert (world.seed, world.speed) == (7, 60)
    assert [values(one) for one in world.faults] == [
        {"unit": "byd-2", "fault": "silence", "at_ms": 30_000, "for_ms": 60_000}
    ]


SECRET = """\
web: {listen: 0.0.0.0:8080, token: !secret web_token}
mqtt: {url: "mqtt://me:hunter2@broker", username: !env VBMS_USER, password: plainpass}
"""


def secret_site(folder: Folder, monkeypatch: pytest.MonkeyPatch) -> Settings:
    folder.write("secrets.yaml", "web_token: s3cr3t-web\n")
    monkeypatch.setenv("VBMS_USER", "from-the-environment")
    return folder.load(changed("web: {listen: 127.0.0.1:8080}\n", SECRET))


def test_secrets_are_resolved_and_never_shown(
    folder: Folder, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = secret_site(folder, monkeypatch)
    assert settings.web.token == "s3cr3t-web"
    assert settings.mqtt is not None and settings.mqtt.username == "from-the-environment"
    shown = settings.masked()
    assert shown["web"] == {"listen": "0.0.0.0:8080", "token": "***"}
    assert shown["mqtt"] == {"url": "mqtt://***@broker", "username": "***", "password": "***"}
    assert shown["bank"] == {"max_charge_a": 200, "max_discharge_a": 150.5}
    everything = repr(shown) + repr(settings) + repr(settings.web) + repr(settings.mqtt)
    for secret in ("s3cr3t", "from-the-environment", "plainpass", "hunter2"):
        assert secret not in everything


def test_a_secret_of_the_wrong_kind_is_not_quoted(
    folder: Folder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("VBMS_A", "hunter2")
    for text in (
        battery("poll_s: !env VBMS_A"),
        battery("slot: !env VBMS_A"),
        battery("enabled: !env VBMS_A"),
        battery("retire: !env VBMS_A"),
        battery("charge_by_cell_v: !env VBMS_A"),
        changed("    baud: 115200", "    baud: !env VBMS_A"),
        changed("listen: 127.0.0.1:8080", "listen: !env VBMS_A"),
        changed("name: byd-2", "name: !env VBMS_A").replace("byd-2", ""),
        GOOD + "mqtt: {url: 'mqtt//x:hunter2@y'}\n",
        GOOD + "history: !env VBMS_A\n",
    ):
        for problem in folder.problems(text):
            assert "hunter2" not in str(problem), problem


def test_a_value_from_the_environment_is_read_as_if_it_stood_there(
    folder: Folder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("VBMS_CAP", "45.5")
    unit = folder.load(battery("capacity_ah: !env VBMS_CAP")).batteries[1].unit
    assert unit.capacity_mah == 45500


def test_a_missing_secret_names_its_place(folder: Folder) -> None:
    folder.write("secrets.yaml", "other: 1\n")
    found = folder.problems(changed("listen: 127.0.0.1:8080", "token: !secret web"))
    assert [(p.line, p.key, p.text) for p in found] == [(21, "web.token", "there is no secret web")]
    folder.write("secrets.yaml", "other: [1\n")
    found = folder.problems(changed("listen: 127.0.0.1:8080", "token: !secret web"))
    assert {Path(p.file).name for p in found} == {"vbms.yaml", "secrets.yaml"}


def test_surely_not_meant_is_a_warning(folder: Folder) -> None:
    found = [(w.line, w.key) for w in folder.load(battery("max_charge_a: none")).warnings]
    assert found == [(13, "batteries[1].max_charge_a")]
    found = [(w.line, w.key) for w in folder.load(battery("charge_voltage_v: 56.4")).warnings]
    assert found == [(17, "batteries[1].charge_voltage_v")]
    found = [
        (w.line, w.key)
        for w in folder.load(changed("link: inv}", "link: inv, shards: 2}")).warnings
    ]
    assert found == [(19, "inverters[0].shards")]


def test_what_is_not_there_yet_is_a_warning(folder: Folder) -> None:
    (warning,) = folder.load(GOOD + "history: {}\n").warnings
    assert (warning.line, warning.key) == (22, "history") and "nothing is written" in warning.text


def test_old_values_told_for_long_are_a_warning(folder: Folder) -> None:
    text = changed("link: inv}", "link: inv, silent_after_s: 140}")
    assert folder.load(text).warnings == ()
    slow = text.replace("link: jk, address: 1", "link: jk, address: 1, poll_s: 5")
    (warning,) = folder.load(slow).warnings
    assert (warning.line, warning.key) == (19, "inverters[0].silent_after_s")
    assert "155 s" in warning.text and "150 s" in warning.allowed
    assert folder.load(slow.replace("poll_s: 5", "poll_s: 5, enabled: false")).warnings == ()


def test_text_that_is_no_file() -> None:
    assert len(load_text(GOOD).batteries) == 3


def test_a_bank_as_data() -> None:
    bank, unit = bank_overrides({"max_charge_a": 200, "c_rate": 0.5, "mosfet_sensor": "absent"})
    assert (bank.max_charge_ma, bank.max_discharge_ma) == (200_000, None)
    assert unit == {"c_rate_permille": 500, "mosfet_present": False}
    bank, unit = bank_overrides({"charge_by_cell_v": [[3.4, 100], [3.45, 12.5], [3.55, 0]]})
    assert unit == {"charge_cell": ((3400, 1000), (3450, 125), (3550, 0))}
    assert bank_overrides({})[1] == {}
    with pytest.raises(ConfigErrors, match="bank.max_charg_a: unknown key"):
        bank_overrides({"max_charg_a": 1})
    with pytest.raises(ConfigErrors, match="a group of keys"):
        bank_overrides([1])


def run(code: str) -> str:
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    )
    return done.stdout


def test_what_it_costs_to_import_and_load() -> None:
    """Neither pydantic nor YAML comes with the import; loading brings pydantic's core alone."""
    code = "import sys, vbms.config; print([m for m in ('pydantic', 'pydantic_core', 'yaml') if m in sys.modules])"
    assert run(code).strip() == "[]"
    code = "import sys, vbms.config; vbms.config.load('vbms.yaml'); print('pydantic' in sys.modules, 'serial' in sys.modules)"
    assert run(code).strip() == "False False"


def test_nothing_but_text_files_is_opened(folder: Folder) -> None:
    folder.write("vbms.yaml", GOOD)
    code = f"""
import sys
opened = []
sys.addaudithook(lambda event, args: opened.append(str(args[0])) if event == "open" else None)
from vbms.config import load
load({str(folder.yaml)!r})
print([p for p in opened if not p.endswith((".py", ".pyc", ".so", ".yaml")) or p.startswith("/dev")])
"""
    assert run(code).strip() == "[]"


def test_faults_are_those_that_can_be_played() -> None:
    assert set(keys.FAULTS) == set(faults.NAMES)
