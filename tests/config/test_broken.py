"""Broken configurations: each gives a line with file, line, key, what is wrong and what is allowed."""

import pytest

from tests.config.site import GOOD, Folder, battery, changed

BANK = "bank: {max_charge_a: 200, max_discharge_a: 150.5}"
WEB = "web: {listen: 127.0.0.1:8080}"
JK = "link: jk, address: 1}"
DEYE = "profile: deye_rs485, link: inv}"
MANY = GOOD.replace(
    "inverters:\n",
    "".join(
        f"  - {{name: more-{n}, profile: byd_pro_2_5, link: bms, address: {n}}}\n"
        for n in range(10, 23)
    )
    + "inverters:\n",
)

# what, the text, line, key, part of what is wrong, part of what is allowed
BROKEN = [
    ("an unknown section", GOOD + "batery: 1\n", 22, "batery", "unknown key", "batteries"),  # codespell:ignore
    ("an unknown key of a unit", battery("pol_s: 1"), 17, "batteries[1].pol_s", "unknown", "poll_s"),
    ("an unknown key of a link", changed("    baud: 115200", "    bauds: 115200"), 7, "links.jk.bauds", "unknown", "nearest: baud"),
    ("an unknown key of the inverter", changed(DEYE, "profile: deye_rs485, link: inv, shard: 2}"), 19, "inverters[0].shard", "unknown", "shards"),
    ("an unknown key of the bank", changed(BANK, "bank: {max_charg_a: 5}"), 20, "bank.max_charg_a", "unknown", "max_charge_a"),
    ("text for a number", battery("capacity_ah: much"), 17, "batteries[1].capacity_ah", "much is no number", "0.1..5000 Ah, or auto"),
    ("a quoted number", changed("    address: 2", '    address: "2"'), 16, "batteries[1].address", "text in quotes", "0..255"),
    ("a fraction of an address", changed("    address: 2", "    address: 2.5"), 16, "batteries[1].address", "2.5 is no whole number", "0..255"),
    ("an octal look", changed("    address: 2", "    address: 010"), 16, "batteries[1].address", "begins with 0", "0..255"),
    ("a list for a number", battery("cells: [16]"), 17, "batteries[1].cells", "is a list", "1..32"),
    ("a group for a number", battery("poll_s: {fast: 1}"), 17, "batteries[1].poll_s", "is a group", "0..60 s"),
    ("a number for a yes", battery("enabled: 7"), 17, "batteries[1].enabled", "7 is neither", "true or false"),
    ("no value", battery("poll_s:"), 17, "batteries[1].poll_s", "has no value", "0..60 s"),
    ("a BYD address", changed("    address: 2", "    address: 256"), 16, "batteries[1].address", "256 is out of range", "0..255"),
    ("a negative address", changed("    address: 2", "    address: -1"), 16, "batteries[1].address", "-1 is out of range", "0..255"),
    ("a JK master among others", changed(JK, "link: bms, address: 0}"), 17, "batteries[2].address", "0 asks all others on bms itself", "a link of its own"),
    ("a JK address", changed(JK, "link: jk, address: 16}"), 17, "batteries[2].address", "16 is out of range", "0..15"),
    ("a duplicate address", changed("    address: 2", "    address: 1"), 16, "batteries[1].address", "taken by byd-1, line 12", "once"),
    ("a duplicate name", changed("name: byd-2", "name: byd-1"), 13, "batteries[1].name", "taken by byd-1", "each name once"),
    ("an inverter named as a battery", changed("name: deye", "name: jk-1"), 19, "inverters[0].name", "taken by jk-1", "once"),
    ("no name", changed("  - name: byd-2\n    profile", "  - profile"), 13, "batteries[1].name", "is missing", "letters"),
    ("a name with a space", changed("name: byd-2", "name: my battery"), 13, "batteries[1].name", "is no name", "without spaces"),
    ("no address", changed("    address: 2\n", ""), 13, "batteries[1].address", "is missing", "0..255"),
    ("no profile", changed("    profile: byd_pro_2_5\n", ""), 13, "batteries[1].profile", "is missing", "profiles/"),
    ("no link", changed("    link: bms\n", ""), 13, "batteries[1].link", "is missing", "letters"),
    ("a missing profile", changed("    profile: byd_pro_2_5", "    profile: byd_pro_25"), 14, "batteries[1].profile", "no profile battery/byd_pro_25", "byd_pro_2_5"),
    ("a profile elsewhere", changed("    profile: byd_pro_2_5", "    profile: ../../secrets"), 14, "batteries[1].profile", "no profile's name", "profiles/"),
    ("an inverter's profile on a battery", changed("    profile: byd_pro_2_5", "    profile: deye_rs485"), 14, "batteries[1].profile", "no profile battery/deye_rs485", "known"),
    ("a battery's profile on an inverter", changed(DEYE, "profile: jk_pb, link: inv}"), 19, "inverters[0].profile", "no profile inverter/jk_pb", "deye_rs485"),
    ("a base as a profile", changed("    profile: byd_pro_2_5", "    profile: lfp_16s"), 14, "batteries[1].profile", "names no protocol", "byd_pro, "),
    ("an unknown protocol", battery("protocol: jk_pd"), 17, "batteries[1].protocol", "no battery protocol jk_pd", "jk_pb"),
    ("a missing link", changed("    link: bms", "    link: bsm"), 15, "batteries[1].link", "no link bsm", "nearest: bms"),
    ("a battery on a CAN link", changed("    link: bms", "    link: can"), 15, "batteries[1].link", "does not run over can, a can link", "serial, tcp, simulate"),
    ("a battery on a BLE link", changed("    link: bms", "    link: air"), 15, "batteries[1].link", "does not run over air", "serial, tcp, simulate"),
    ("an inverter on a CAN link", changed(DEYE, "profile: deye_rs485, link: can}"), 19, "inverters[0].link", "does not run over can", "serial"),
    ("an inverter on a battery's line", changed(DEYE, "profile: deye_rs485, link: bms}"), 19, "inverters[0].link", "bms is the line of byd-1", "without batteries"),
    ("two inverters on one line", GOOD.replace("bank:", "  - {name: two, profile: deye_rs485, link: inv}\nbank:"), 20, "inverters[1].link", "taken by deye", "one inverter"),
    ("a port without its folder", changed("    port: ", "    port: ttyUSB0 #"), 6, "links.jk.port", "ttyUSB0 is no device", "/dev/"),
    ("a kind of link", changed("kind: ble", "kind: bluetooth"), 9, "links.air.kind", "bluetooth is none", "serial, tcp, simulate, ble, can"),
    ("no kind of link", changed("    kind: serial\n", ""), 4, "links.jk.kind", "is missing", "serial"),
    ("no port", changed("    port: /dev/serial/by-id/not-here\n", ""), 4, "links.jk.port", "is missing", "a path"),
    ("no host", changed("host: gateway.lan, ", ""), 8, "links.inv.host", "is missing", "IP address"),
    ("a TCP port", changed("port: 4196", "port: 70000"), 8, "links.inv.port", "70000 is out of range", "1..65535"),
    ("a speed", changed("    baud: 115200", "    baud: 115201"), 7, "links.jk.baud", "115201 is no speed", "115200"),
    ("a bitrate", changed("interface: slcan", "interface: slcan, bitrate: 5"), 10, "links.can.bitrate", "out of range", "10000..1000000"),
    ("one port twice", changed("kind: ble", "kind: serial, port: /dev/serial/by-id/not-here"), 9, "links.air", "not-here is taken by links.jk", "one link for each port"),
    ("one port by two names", changed("kind: ble", "kind: serial, port: /dev/../dev/ttyACM9"), 10, "links.can", "/dev/ttyACM9 is taken by links.air", "one link"),
    ("one gateway twice", changed("kind: ble", "kind: tcp, host: GATEWAY.lan, port: 4196"), 9, "links.air", "gateway.lan 4196 is taken", "one link"),
    ("a link that is a list", changed("{kind: ble}", "[ble]"), 9, "links.air", "is a list", "a group of keys"),
    ("speeds that differ", changed("bms: {kind: simulate, baud: 9600}", "bms: {kind: simulate}").replace("link: jk, address: 1", "link: bms, address: 1"), 3, "links.bms.baud", "byd-1 9600, jk-1 115200", "one speed"),
    ("batteries as a group", GOOD[: GOOD.index("batteries:")] + "batteries: {a: 1}\n", 11, "batteries", "a group of keys", "a list"),
    ("links as a list", "links: [bms]\n" + GOOD[GOOD.index("batteries:") :], 1, "links", "is a list", "a group of keys"),
    ("no links", GOOD[GOOD.index("batteries:") :], 1, "links", "is missing", "each line"),
    ("no batteries", GOOD[: GOOD.index("batteries:")], 1, "batteries", "is missing", "one entry"),
    ("empty batteries", GOOD[: GOOD.index("batteries:")] + "batteries: []\n", 11, "batteries", "is missing", "one entry"),
    ("an entry that is text", GOOD.replace("inverters:", "  - byd_pro_2_5\ninverters:"), 18, "batteries[3]", "the value byd_pro_2_5", "a group of keys"),
    ("no capacity", battery("capacity_ah: 0"), 17, "batteries[1].capacity_ah", "0 is out of range", "0.1..5000"),
    ("a capacity nobody says", battery("capacity_ah: auto"), 17, "batteries[1].capacity_ah", "does not say its capacity", "Ah"),
    ("cells nobody says", battery("cells: auto"), 17, "batteries[1].cells", "does not say how many cells", "1..32"),
    ("too many decimals", battery("max_charge_a: 49.9999"), 17, "batteries[1].max_charge_a", "more than 3 decimals", "0..2000 A"),
    ("not a number", battery("max_charge_a: .nan"), 17, "batteries[1].max_charge_a", "no number", "0..2000 A"),
    ("no end", battery("max_charge_a: .inf"), 17, "batteries[1].max_charge_a", "no number", "0..2000 A"),
    ("a charge voltage too low", battery("charge_voltage_v: 47.9"), 17, "batteries[1].charge_voltage_v", "47.9 is out of range", "48..60 V for 16 cells"),
    ("a charge voltage too high", battery("charge_voltage_v: 60.001"), 17, "batteries[1].charge_voltage_v", "60.001 is out of range", "48..60 V for 16 cells"),
    ("a charge voltage of other cells", battery("cells: 8"), 17, "batteries[1].cells", "55.2 is out of range", "24..30 V for 8 cells"),
    ("a charge voltage of unknown cells", changed(JK, "link: jk, address: 1, charge_voltage_v: 27.6}"), 17, "batteries[2].charge_voltage_v", "27.6 is out of range", "say how many in cells"),
    ("silent for too long", changed(DEYE, "profile: deye_rs485, link: inv, silent_after_s: 140.5}"), 19, "inverters[0].silent_after_s", "140.5 is out of range", "0..140 s"),
    ("an answer too late", changed(DEYE, "profile: deye_rs485, link: inv, turnaround_ms: 101}"), 19, "inverters[0].turnaround_ms", "101 is out of range", "0..100 ms, or t3.5"),
    ("a way to present", changed(DEYE, "profile: deye_rs485, link: inv, present: unit}"), 19, "inverters[0].present", "unit is none", "bank, units or shards; nearest: units"),
    ("shards of units", changed(DEYE, "profile: deye_rs485, link: inv, present: units, shards: 2}"), 19, "inverters[0].shards", "means nothing", "auto"),
    ("one shard", changed(DEYE, "profile: deye_rs485, link: inv, present: shards, shards: 1}"), 19, "inverters[0].shards", "never to divide", "2..15"),
    ("a model too long", changed(DEYE, "profile: deye_rs485, link: inv, model: sixteen letters x}"), 19, "inverters[0].model", "has 17 characters", "1..15 characters"),
    ("a slot", battery("slot: 15"), 17, "batteries[1].slot", "15 is out of range", "0..14"),
    ("a slot twice", battery("slot: 2"), 18, "batteries[2].slot", "slot 2 is taken by byd-2, by its slot", "free: 1, 3"),
    ("a place taken by a slot", battery("slot: 0"), 13, "batteries[1].slot", "slot 0 is taken by byd-1, by its place", "free"),
    ("a sixteenth unit", MANY.replace(DEYE, "profile: deye_rs485, link: inv, present: units}"), 30, "batteries[15]", "more-22 is unit 16", "0..14"),
    ("hold before stale", battery("hold_s: 10"), 17, "batteries[1].hold_s", "hold_s 10 is not above fresh_s, 10", "more than 10 s"),
    ("a slow poll", battery("poll_s: 25"), 17, "batteries[1].poll_s", "not above fresh_s, 75 with poll_s 25", "hold_s more than 75 s"),
    ("retired before lost", battery("retire_s: 60"), 17, "batteries[1].retire_s", "not above hold_s", "more than 60 s"),
    ("stale at each poll", battery("poll_s: 5\n    fresh_s: 4"), 18, "batteries[1].fresh_s", "4 is not above poll_s", "more than 5 s"),
    ("slow answers sooner", battery("slow_timeout_ms: 100"), 17, "batteries[1].slow_timeout_ms", "shorter than reply_timeout_ms", "150 ms or more"),
    ("cells out of order", battery("cell_dvl_v: 3.4"), 17, "batteries[1].cell_dvl_v", "cell_dvl_v 3.4 is not below cell_floor_v", "less than 3.3 V"),
    ("a bank's times", changed(BANK, "bank: {retire_s: 30}"), 20, "bank.retire_s", "not above hold_s", "more than 60 s"),
    ("more fresh than there are", changed(BANK, "bank: {min_fresh: 4}"), 20, "bank.min_fresh", "4 units can never be fresh", "1..3"),
    ("a page for all without a token", changed(WEB, "web: {listen: 0.0.0.0:8080}"), 21, "web.listen", "web.token is not set", "127.0.0.1:PORT"),
    ("the same in IPv6", changed(WEB, 'web: {listen: "[::]:8080"}'), 21, "web.listen", "web.token is not set", "token"),
    ("no address to listen on", changed(WEB, "web: {listen: 8080}"), 21, "web.listen", "8080 is no address", "127.0.0.1:8080"),
    ("a web port", changed(WEB, "web: {listen: 127.0.0.1:99999}"), 21, "web.listen", "is no address", "0..65535"),
    ("an empty token", changed(WEB, "web: {listen: 0.0.0.0:1, token: ''}"), 21, "web.token", "0 characters", "1..200"),
    ("hosts", changed(WEB, "web: {hosts: [a b]}"), 21, "web.hosts[0]", "a b is no host", "name"),
    ("a broker", GOOD + "mqtt: {url: 'http://x'}\n", 22, "mqtt.url", "no broker", "mqtt://"),
    ("a topic to publish to", GOOD + "mqtt: {url: 'mqtt://x', topic: 'a/#'}\n", 22, "mqtt.topic", "is no topic", "without + and #"),
    ("a battery's topic", changed("inverters:", "  - {name: far, profile: mqtt_pack, link: q, address: a/+, capacity_ah: 9}\ninverters:").replace("links:", "links:\n  q: {kind: mqtt, url: 'mqtt://x'}"), 19, "batteries[3].address", "more than one topic", "without + and #"),
    ("no broker", GOOD + "mqtt: {topic: x}\n", 22, "mqtt.url", "is missing", "mqtt://"),
    ("history", GOOD + "history: {file: x}\n", 22, "history.file", "unknown", "path"),
    ("a fault", GOOD + "simulate: {faults: [{unit: byd-1, fault: silense}]}\n", 22, "simulate.faults[0].fault", "silense is none", "nearest known: silence"),
    ("a fault of nobody", GOOD + "simulate:\n  faults:\n    - {unit: byd-9, fault: cut}\n", 24, "simulate.faults[0].unit", "no battery byd-9", "byd-1"),
    ("a fault of a real unit", GOOD + "simulate: {faults: [{unit: jk-1, fault: cut}]}\n", 22, "simulate.faults[0].unit", "jk-1 is on link jk, which is real", "simulate"),
    ("the speed of time", GOOD + "simulate: {speed: 0}\n", 22, "simulate.speed", "0 is out of range", "1..1000"),
    ("a curve that is a number", battery("charge_by_cell_v: 3.45"), 17, "batteries[1].charge_by_cell_v", "no list of points", "[x, percent]"),
    ("a curve without points", battery("charge_by_cell_v: []"), 17, "batteries[1].charge_by_cell_v", "has no points", "[x, percent]"),
    ("half a point", battery("by_mosfet_c: [[80, 100], [100]]"), 17, "batteries[1].by_mosfet_c[1]", "no point", "two numbers"),
    ("over 100 %", battery("by_mosfet_c: [[80, 101], [100, 0]]"), 17, "batteries[1].by_mosfet_c[0]", "101 is out of range", "0..100 %"),
    ("points that overlap", battery("by_mosfet_c: [[80, 100], [80, 50], [100, 0]]"), 17, "batteries[1].by_mosfet_c[1]", "point [80, 50] stands on the point before", "above 80"),
    ("points that go back", battery("by_mosfet_c: [[80, 100], [79.5, 50], [100, 0]]"), 17, "batteries[1].by_mosfet_c[1]", "point [79.5, 50] goes back", "above 80"),
    ("charging rises with the cell", battery("charge_by_cell_v: [[3.4, 50], [3.45, 60], [3.5, 0]]"), 17, "batteries[1].charge_by_cell_v[1]", "[3.45, 60] rises", "50 % or less"),
    ("discharging falls with the cell", battery("discharge_by_cell_v: [[2.8, 0], [3, 50], [3.1, 40]]"), 17, "batteries[1].discharge_by_cell_v[2]", "[3.1, 40] falls", "50 % or more"),
    ("two humps", battery("charge_by_temp_c: [[0, 0], [10, 90], [20, 50], [30, 60], [55, 0]]"), 17, "batteries[1].charge_by_temp_c[3]", "[30, 60] rises", "fell already"),
    ("charging in the frost", battery("charge_by_temp_c: [[0, 20], [10, 100], [55, 0]]"), 17, "batteries[1].charge_by_temp_c[0]", "first point leaves 20 %", "0 % at the first"),
    ("charging without end", battery("charge_by_cell_v: [[3.4, 100], [3.5, 10]]"), 17, "batteries[1].charge_by_cell_v[1]", "last point leaves 10 %", "0 % at the last"),
    ("no room between the curves", battery("charge_by_cell_v: [[2.6, 100], [2.7, 0]]"), 17, "batteries[1].charge_by_cell_v", "charging ends at 2.7 V, below the 2.8 V", "above"),
    ("a cell of 5 V", battery("charge_by_cell_v: [[3.4, 100], [5, 0]]"), 17, "batteries[1].charge_by_cell_v[1]", "5 is out of range", "1.5..4.5"),
    ("a secret that is nowhere", changed(WEB, "web: {listen: 0.0.0.0:1, token: !secret web}"), 21, "web.token", "no secrets.yaml for !secret web", "NAME: value"),
    ("a variable that is nowhere", changed(WEB, "web: {token: !env VBMS_NOT_THERE}"), 21, "web.token", "no VBMS_NOT_THERE", "before vbms starts"),
    ("an unknown tag", changed(WEB, "web: {token: !vault web}"), 21, "web.token", "unknown tag !vault", "!secret NAME or !env NAME"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("text", "line", "key", "wrong", "allowed"),
    [row[1:] for row in BROKEN],
    ids=[row[0] for row in BROKEN],
)
def test_broken(folder: Folder, text: str, line: int, key: str, wrong: str, allowed: str) -> None:
    found = folder.problems(text)
    said = "\n".join(map(str, found))
    hits = [p for p in found if (p.line, p.key) == (line, key)]
    assert any(wrong in p.text and allowed in p.allowed for p in hits), said
    assert len(found) == 1, f"one mistake is one problem:\n{said}"
    for problem in found:
        assert problem.file == str(folder.yaml)
        assert problem.text and problem.allowed and problem.key
        assert "\n" not in str(problem)
        assert str(problem).startswith(f"{folder.yaml}:{problem.line}: {problem.key}: ")


def test_all_mistakes_at_once(folder: Folder) -> None:
    text = battery("pol_s: 1\n    capacity_ah: -1")
    text = text.replace("kind: ble", "kind: blue").replace(WEB, "web: {listen: 0.0.0.0:1}")
    keys = [(p.line, p.key) for p in folder.problems(text)]
    assert keys == [
        (9, "links.air.kind"),
        (17, "batteries[1].pol_s"),
        (18, "batteries[1].capacity_ah"),
        (23, "web.listen"),
    ]


def test_a_problem_of_a_shared_profile_is_told_once_and_there(folder: Folder) -> None:
    profile = folder.write(
        "profiles/battery/byd_pro_2_5.yaml",
        "extends: lfp_16s\nprotocol: byd_pro\ncapacity_ah: 50\nmax_charge_a: 1 A\nhold: 3\n",
    )
    found = folder.problems()
    assert [(p.file, p.line, p.key) for p in found] == [
        (str(profile), 4, "max_charge_a"),
        (str(profile), 5, "hold"),
    ]
    assert "hold_s" in found[1].allowed


def test_the_good_one_is_good(folder: Folder) -> None:
    assert folder.problems() == ()
    assert folder.load().warnings == ()
