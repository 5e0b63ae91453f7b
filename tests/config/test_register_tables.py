"""Register tables in profiles: every mistake at its line, with what is allowed."""

import re

import pytest

from tests.config.site import Folder

SITE = """\
links: {far: {kind: tcp, host: 127.0.0.1, port: 502}}
batteries: [{name: a, profile: cube, link: far, address: 1}]
"""
CUBE = """\
extends: lfp_16s
protocol: modbus_map
capacity_ah: 100
max_charge_a: 50
max_discharge_a: 50
mosfet_sensor: absent
registers:
  - {address: 0x100, quantity: voltage_v, scale: 0.01}
  - {address: 0x101, quantity: current_a, type: s16, scale: -0.1}
  - {address: 0x102, quantity: soc_percent}
  - {address: 0x110, quantity: cell_v, count: 16, scale: 0.001}
  - {address: 0x130, quantity: temp_c, count: 4, scale: 0.1, offset: -40, unknown: [0xFFFF, 0]}
permissions:
  - {address: 0x141, bit: 0, permits: both}
"""


def test_a_good_one(folder: Folder) -> None:
    folder.write("profiles/battery/cube.yaml", CUBE)
    battery = folder.load(SITE).batteries[0]
    rows = battery.options["registers"]
    assert isinstance(rows, tuple) and len(rows) == 5
    assert rows[0] == (256, "voltage_v", "u16", 10000, 0, 1, (), None, 0)
    assert rows[4][3:7] == (100000, -40000, 4, (65535, 0))
    assert battery.options["permissions"] == ((0x141, "both", 0, "set", (), None),)
    assert not battery.unit.declares_ccl
    assert folder.load(SITE) == folder.load(SITE)


def test_a_limit_that_is_read_is_declared(folder: Folder) -> None:
    text = CUBE.replace(
        "permissions:", "  - {address: 0x150, quantity: charge_limit_a}\npermissions:"
    )
    folder.write("profiles/battery/cube.yaml", text)
    unit = folder.load(SITE).batteries[0].unit
    assert unit.declares_ccl and not unit.declares_dcl


def test_the_shipped_example(folder: Folder) -> None:
    battery = folder.load(SITE.replace("cube", "vbms_modbus")).batteries[0]
    assert battery.unit.declares_ccl and battery.unit.declares_dcl


@pytest.mark.parametrize(
    ("old", "new", "line", "key", "wrong", "allowed"),
    [
        ("quantity: voltage_v", "quantity: voltag_v", 8, "registers[0].quantity", "none of them", "nearest known: voltage_v"),
        ("address: 0x100", "address: 70000", 8, "registers[0].address", "out of range", "0..65535"),
        ("scale: 0.01}", "scale: 0}", 8, "registers[0].scale", "0 makes", "any other"),
        ("scale: 0.01}", "scle: 0.01}", 8, "registers[0].scle", "unknown key", "scale"),
        ("scale: 0.01}", "scale: 0.00000001}", 8, "registers[0].scale", "more than 6 decimals", ""),
        ("type: s16", "type: s17", 9, "registers[1].type", "none of them", "s16"),
        ("{address: 0x102, quantity: soc_percent}", "{quantity: soc_percent}", 10, "registers[2].address", "is missing", "0..65535"),
        ("address: 0x102", "address: 0x101", 10, "registers[2].address", "overlaps row 2", "of its own"),
        ("count: 16", "count: 200", 11, "registers[3].count", "out of range", "1..160"),
        ("count: 16", "count: 126", 11, "registers[3].count", "one answer", "125"),
        ("address: 0x110", "address: 0xFFFA", 11, "registers[3].count", "65535", "fewer"),
        ("quantity: soc_percent", "quantity: voltage_v", 10, "registers[2].quantity", "stands in row 1", "once"),
        ("scale: 0.01}", "scale: 0.01, count: 2}", 8, "registers[0].count", "one value", "cell_v"),
        ("[0xFFFF, 0]", "[0xFFFF, none]", 12, "registers[4].unknown[1]", "no whole number", ""),
        ("registers:\n", "registers: 5\nx:\n", 7, "registers", "no list of rows", "address, quantity"),
        ("  - {address: 0x102, quantity: soc_percent}\n", "  - 7\n", 10, "registers[2]", "no row", "address"),
        ("bit: 0, permits: both", "permits: both", 14, "permissions[0]", "neither bit nor values", "one of them"),
        ("bit: 0, permits: both", "bit: 0, values: 1, permits: both", 14, "permissions[0]", "both bit and values", "one"),
        ("permits: both", "permits: all", 14, "permissions[0].permits", "none of them", "charge"),
        ("  - {address: 0x102, quantity: soc_percent}\n", "", 7, "registers", "no row for the SOC", "soc_percent"),
        ("scale: 0.001}", "scale: 0.001, every_s: 60}", 7, "registers", "the highest cell at each poll", "cell_max_v"),
        ("permissions:\n  - {address: 0x141, bit: 0, permits: both}\n", "", 7, "registers", "whether it may be charged", "assume_permission"),
        ("permits: both", "permits: charge", 7, "registers", "whether it may be discharged", "assume_permission"),
    ],
)  # fmt: skip
def test_mistakes(
    folder: Folder, old: str, new: str, line: int, key: str, wrong: str, allowed: str
) -> None:
    assert old in CUBE
    path = folder.write("profiles/battery/cube.yaml", CUBE.replace(old, new, 1))
    found = [p for p in folder.problems(SITE) if p.key == key]
    assert found, [str(p) for p in folder.problems(SITE)]
    assert (found[0].file, found[0].line) == (str(path), line)
    assert wrong in found[0].text and allowed in found[0].allowed
    assert re.fullmatch(r".*cube\.yaml:\d+: .*", str(found[0]))


def test_no_table_at_all(folder: Folder) -> None:
    folder.write(
        "profiles/battery/cube.yaml", "extends: lfp_16s\nprotocol: modbus_map\ncapacity_ah: 9\n"
    )
    found = [p for p in folder.problems(SITE) if p.key.endswith("registers")]
    assert [p.text for p in found] == ["is missing"]


def test_all_of_them_at_once(folder: Folder) -> None:
    text = (
        CUBE.replace("voltage_v", "volt")
        .replace("0x101", "-1")
        .replace("permits: both", "permits: all")
    )
    folder.write("profiles/battery/cube.yaml", text)
    keys = [p.key for p in folder.problems(SITE)]
    assert keys == ["registers[0].quantity", "registers[1].address", "permissions[0].permits"]


def test_a_battery_box_has_its_link_alone(folder: Folder) -> None:
    box = "{name: %s, profile: byd_lvl, link: far}"
    text = SITE.split("batteries")[0] + f"batteries: [{box % 'a'}, {box % 'b'}]\n"
    (found,) = folder.problems(text)
    assert found.key == "batteries[1].link" and "taken by a" in found.text
    both = text.replace("link: far}", "link: far, address: 1}", 1).replace(
        "far}]", "far, address: 2}]"
    )
    assert [p.key for p in folder.problems(both)] == ["batteries[1].link"]
    cube = SITE.replace("batteries: [", f"batteries: [{box % 'b'}, ")
    folder.write("profiles/battery/cube.yaml", CUBE)
    assert "has a link of its own" in folder.problems(cube)[0].allowed


def test_one_framing_on_a_link(folder: Folder) -> None:
    folder.write("profiles/battery/cube.yaml", CUBE)
    row = "{name: %s, profile: cube, link: far, address: %d, framing: %s}"
    rows = ", ".join(row % each for each in (("a", 1, "tcp"), ("b", 2, "rtu")))
    (found,) = folder.problems(SITE.split("batteries")[0] + f"batteries: [{rows}]\n")
    assert found.key == "batteries[1].link" and "framing" in found.text
