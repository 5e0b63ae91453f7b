"""The simulated inverter: reads what is right, names what is wrong, alarms, and obeys."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from vbms.errors import LinkError
from vbms.simulate import deye_checks as checks
from vbms.simulate.device import Answers, Device
from vbms.simulate.deye import Allowed, Deye
from vbms.simulate.deye_wrong import WRONG
from vbms.simulate.line import PacedLine
from vbms.simulate.pack import Pack
from vbms.simulate.world import World

VECTORS = Path(__file__).resolve().parents[3] / "shared" / "vectors" / "deye_rs485.json"
needs_vectors = pytest.mark.skipif(
    not VECTORS.exists(), reason="the shared vectors are not beside this checkout"
)
IDLE = bytes.fromhex(
    "00042e14c0000036b000fa00f0000000000c0001f403e86d60002527100cfa0cf60000010000f4011300001590"
    "6d6000001b2f"
)
NAME = bytes.fromhex(
    "0011224a4b2d424d532a10112a20212a30303030303030303030303030303030303030302a2c41"
)


def crc(data: bytes) -> bytes:
    """This file's own, bit by bit."""
    value = 0xFFFF
    for byte in data:
        value ^= byte
        for _ in range(8):
            value = value >> 1 ^ 0xA001 if value & 1 else value >> 1
    return data + value.to_bytes(2, "little")


def changed(register: int, value: int, frame: bytes = IDLE) -> bytes:
    at = 3 + 2 * (register - 0x1000)
    return crc(frame[:at] + (value & 0xFFFF).to_bytes(2, "big") + frame[at + 2 : -2])


class Battery(Device):
    """Answers on the other side of the wire, as told; a table from request to answer."""

    def __init__(self, read: bytes = IDLE, name: bytes = NAME, delay_s: float = 0.004) -> None:
        super().__init__(Pack("battery", "none"), 0)
        self.table = {
            bytes.fromhex("000410000017b515"): read,
            bytes.fromhex("0011c1bc"): name,
            bytes.fromhex("000410080002f518"): bytes.fromhex("00040401f403e8abf4"),
        }
        self.delay_s = delay_s
        self.extra: Callable[[bytes], bytes] | None = None
        self.buffer = b""

    def receive(self, data: bytes, now_s: float) -> Answers:
        self.buffer = (self.buffer + data)[-40:]
        for request, answer in self.table.items():
            if self.buffer.endswith(request):
                self.buffer = b""
                return [(self.delay_s, answer)] if answer else []
        if self.extra is not None and (answer := self.extra(data)):
            return [(self.delay_s, answer)]
        return []


@pytest.fixture
async def inverter() -> AsyncIterator[object]:
    lines: list[PacedLine] = []

    async def make(battery: Device | None, **options: object) -> Deye:
        line = PacedLine(9600, "inv", far=True)
        if battery is not None:
            line.attach(battery)
        lines.append(line)
        await line.start()
        options = {"addresses": (0, 1), "timeout_s": 0.06, "round_s": 0.1} | options
        return Deye(line.far_path, **options)  # type: ignore[arg-type]

    yield make
    for line in lines:
        line.close()


@needs_vectors
def test_rows_equal_the_vectors() -> None:
    names = {
        "voltage_v": "voltage_v", "current_a": "current_a", "remaining_ah": "remaining_ah",
        "full_ah": "full_ah", "design_ah": "design_ah", "soc_pct": "soc_percent",
        "soh_pct": "soh_percent", "cycles": "cycles", "charge_limit_a": "charge_limit_a",
        "charge_voltage_v": "charge_voltage_v", "cell_max_v": "cell_max_v",
        "cell_min_v": "cell_min_v", "temp_avg_c": "temp_c", "temp_env_c": "ambient_c",
        "temp_max_c": "temp_max_c", "temp_min_c": "temp_min_c", "temp_mos_c": "mosfet_c",
        "warning_bits": "warnings", "protection_bits": "protections", "status_bits": "status",
    }  # fmt: skip
    tried = 0
    for row in json.loads(VECTORS.read_text()):
        request, answer = (
            bytes.fromhex(row["request_hex"] or ""),
            bytes.fromhex(row["response_hex"] or ""),
        )
        if len(answer) != 51 or not row["state"] or row.get("variant"):
            continue
        assert checks.check_frame(request, answer) == []
        found = checks.decode(answer)
        for theirs, ours in names.items():
            assert getattr(found, ours) == pytest.approx(row["state"][theirs]), (row["name"], ours)
        tried += 1
    assert tried >= 8


@needs_vectors
def test_names_equal_the_vectors() -> None:
    rows = {row["name"]: row for row in json.loads(VECTORS.read_text())}
    for name, expected in (
        ("info_jk_addr0", ("JK-BMS", "0" * 20)),
        ("info_byd_addr4", ("BYD PRO 2.5", "BYD12345678901234567")),
        ("info_short_serial_nul_padded", ("JK-BMS", "303272364210")),
        ("info_generic_run_indicator_form", None),
    ):
        answer = bytes.fromhex(rows[name]["response_hex"])
        assert checks.check_frame(bytes.fromhex(rows[name]["request_hex"]), answer) == []
        assert checks.check_name(answer) == expected


def test_requests_of_the_document() -> None:
    assert checks.read_request(2).hex() == "020410000017b4f7"
    assert checks.name_request(1).hex() == "0111c02c"
    silent = {
        "bad_crc": "000410000017b514",
        "swapped_crc": "00041000001715b5",
        "truncated": "000410000017",
        "function_03": "00031000001700d5",
        "address_15": "0f0410000017b5ea",
        "count_0": "000410000000f51b",
        "count_126": "00041000007e753b",
        "ascii": b"~200246610000FDAB\r".hex(),
    }
    assert {name for name, wrong in WRONG.items() if wrong.request is None} == set(silent)
    for name, text in silent.items():
        assert b"".join(data for _, data in WRONG[name].pieces).hex() == text
    assert len(WRONG["split"].pieces) == 8 and WRONG["split"].pieces[3][0] == 0.05
    ((_, noise),) = WRONG["noise"].pieces
    assert len(noise) == 15 and noise.endswith(checks.read_request(0))


@pytest.mark.parametrize(
    ("frame", "kind"),
    [
        (IDLE[:-1], "length"),
        (b"", "length"),
        (IDLE[:-1] + b"\x00", "crc"),
        (crc(b"\x01" + IDLE[1:-2]), "address"),
        (crc(IDLE[:2] + b"\x2c" + IDLE[3:-4]), "length"),
        (crc(b"\x00\x84\x02"), "function"),
        (NAME, "function"),
    ],
)
def test_frame_checks(frame: bytes, kind: str) -> None:
    assert [found for found, _ in checks.check_frame(checks.read_request(0), frame)] == [kind]


@pytest.mark.parametrize(
    ("register", "value", "kind"),
    [
        (0x1008, 1001, "soc"),
        (0x1009, 1001, "soh"),
        (0x100E, 3323, "cells"),
        (0x1000, 5500, "voltage"),
        (0x1010, 200, "temps"),
        (0x100F, 1, "reserved"),
        (0x1013, 1, "reserved"),
        (0x1016, 1, "reserved"),
        (0x1007, 0x0D00, "status"),  # charging at 0 A
        (0x1007, 0x2C00, "status"),  # an unused bit
        (0x1006, 0x0001, "limit"),  # over voltage, yet 100 A allowed
        (0x1006, 0x0080, "limit"),
        (0x1006, 0x8000, "status"),
        (0x1005, 0x1000, "status"),
    ],
)
def test_row_checks(register: int, value: int, kind: str) -> None:
    assert checks.check_row(checks.decode(IDLE)) == []
    kinds = {found for found, _ in checks.check_row(checks.decode(changed(register, value)))}
    assert kind in kinds


def test_both_directions_at_once_and_an_empty_battery() -> None:
    both = changed(0x1001, 100, changed(0x1007, 0x0F00))
    assert [kind for kind, _ in checks.check_row(checks.decode(both))] == ["status"]
    zero = crc(bytes((0, 4, 46)) + bytes(46))
    assert "voltage" in {kind for kind, _ in checks.check_row(checks.decode(zero))}


async def test_a_good_battery_breaks_no_rule(inverter) -> None:
    deye = await inverter(Battery(), expect={0}, wrong=tuple(WRONG))
    await deye.run(rounds=len(WRONG))
    assert [violation.text for violation in deye.violations] == []
    assert deye.names == {0: ("JK-BMS", "0" * 20)}
    row = deye.rows[0]
    assert (row.voltage_v, row.soc_percent, row.charge_limit_a) == (53.12, 50.0, 100.0)
    assert 3.6 < row.start_ms < 30
    assert deye.table() == [
        ("00", "53.12V", "0.00A", "25.0C", "50.0%", "140.0Ah", "55.2V", "100.0A", "0/0/0"),
        ("01", "0.00V", "0.00A", "0.0C", "0.0%", "0.0Ah", "0.0V", "0.0A", "0/0/0"),
    ]
    assert "1 of 2 addresses answer" in deye.summary() and "0 violations" in deye.summary()


@pytest.mark.parametrize(
    ("options", "kind"),
    [
        ({"delay_s": 0.001}, "early"),
        ({"delay_s": 0.11}, "late"),
        ({"read": IDLE[:-1] + b"\x00"}, "crc"),
        ({"read": IDLE[:40]}, "length"),
        ({"read": IDLE + b"\x00"}, "unsolicited"),
        ({"read": changed(0x1008, 1500)}, "soc"),
        ({"read": changed(0x100C, 65535)}, "sum"),
        ({"name": bytes.fromhex("001104ff424d530cec")}, "identity"),
    ],
)
async def test_breaches_are_named(inverter, options: dict, kind: str) -> None:
    deye = await inverter(Battery(**options), addresses=(0,), timeout_s=0.15)
    await deye.run(rounds=1)
    assert set(deye.broken) == {kind}


@pytest.mark.parametrize("name", ["bad_crc", "function_03", "address_15", "count_126", "ascii"])
async def test_an_answer_to_nonsense_is_a_breach(inverter, name: str) -> None:
    battery = Battery()
    bad = b"".join(data for _, data in WRONG[name].pieces)
    battery.extra = lambda data: IDLE if data == bad else b""
    deye = await inverter(battery, addresses=(0,), wrong=(name,))
    await deye.run(rounds=1)
    assert set(deye.broken) == {"answered"}


async def test_absent_stale_and_returning_addresses(inverter) -> None:
    battery = Battery()
    deye = await inverter(battery, expect={0}, addresses=(0,))
    await deye.run(rounds=2)
    good = dict(battery.table)
    battery.table = {request: b"" for request in good}
    await deye.run(rounds=3)
    assert deye.broken["missing"] == 1 and deye.table()[0][1] == "0.00V"
    assert deye.allowed() == Allowed(0.0, 0.0, False)
    battery.table = good
    await deye.run(rounds=2)
    assert deye.table()[0][1] == "53.12V" and deye.names  # it came back by itself
    stranger = await inverter(Battery(), expect=(), addresses=(0,))
    await stranger.run(rounds=1)
    assert set(stranger.broken) == {"unexpected"}


async def test_bytes_without_a_request_are_a_breach(inverter) -> None:
    class Chatty(Battery):
        wake_s = 0.0

        def wake(self, now_s: float) -> Answers:
            self.wake_s = now_s + 1.0
            return [(0.5, b"hello")]

    deye = await inverter(Chatty(), addresses=(0,), round_s=0.6)
    await deye.run(rounds=1)
    assert set(deye.broken) == {"unsolicited"}


async def test_f58_when_nobody_answers_and_its_end(inverter) -> None:
    battery = Battery()
    good, battery.table = battery.table, {}
    deye = await inverter(battery, addresses=(0,), f58_s=0.8)
    await deye.run(rounds=2)
    assert not deye.f58
    await deye.run(rounds=8)
    assert deye.f58 and deye.f58_count == 1
    battery.table = good
    await deye.run(rounds=1)
    assert not deye.f58


async def test_a_lost_port_is_a_link_error(inverter) -> None:
    with pytest.raises(LinkError, match="does not exist"):
        await Deye("/dev/nowhere").run()


async def test_it_obeys_what_it_is_allowed(inverter) -> None:
    """Against a world: current within the limit, none above the wanted voltage, none in F58."""
    world = World(seed=1)
    world.add("a", "byd_pro", capacity_ah=50.0, soc=0.6)
    world.house._sun_c = 2.0  # far more sun than the battery may take
    battery = Battery(changed(0x100C, 1500))
    deye = await inverter(battery, addresses=(0,), world=world)
    await deye.run(rounds=1)
    assert deye.allowed() == Allowed(15.0, 55.2, True)
    for _ in range(10):
        deye._follow(world, 0.5)
        world.step(0.5)
    assert deye.wish_a > 30 and deye.current_a == 15.0
    assert world.current_a == pytest.approx(15.0)
    deye.rows[0] = checks.decode(changed(0x100C, 500))
    deye._follow(world, 0.5)
    assert deye.current_a == 5.0  # less is obeyed at once
    deye.rows[0].charge_voltage_v = world.bus_v - 1.0
    for _ in range(10):
        deye._follow(world, 0.5)
    assert deye.current_a == 0.0
    world.house._sun_c = -1.0
    deye._follow(world, 0.5)
    assert -20.0 <= deye.current_a < 0
    for status, protections in ((0x0400, 0), (0x0C00, 0x2)):
        deye.rows[0].status, deye.rows[0].protections = status, protections
        assert not deye.allowed().may_discharge
    deye._follow(world, 0.5)
    assert deye.current_a == 0.0
    deye.f58 = True
    assert deye.allowed() == Allowed(0.0, 0.0, False)


async def test_full_it_holds_the_wanted_voltage(inverter) -> None:
    world = World(seed=1)
    world.add("a", "byd_pro", capacity_ah=50.0, soc=0.9, spread=0.001)
    world.house._sun_c = 1.0
    deye = await inverter(Battery(changed(0x100C, 5000)), addresses=(0,), world=world)
    await deye.run(rounds=1)
    for _ in range(4000):
        deye._follow(world, 0.5)
        world.step(0.5)
    assert world.bus_v == pytest.approx(55.2, abs=0.15) and 0 <= deye.current_a < 5


async def test_mute_it_does_not_ask(inverter) -> None:
    deye = await inverter(Battery(), addresses=(0,))
    deye.mute = True
    task = asyncio.create_task(deye.run())
    await asyncio.sleep(0.3)
    assert deye.requests == 0
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
