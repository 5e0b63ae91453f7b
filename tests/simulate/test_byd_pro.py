"""The simulated module answers as the document says, byte for byte where a vector has the values."""

import json
from pathlib import Path

import pytest

from vbms.simulate import byd_pro
from vbms.simulate.byd_pro import BydPro
from vbms.simulate.world import World

VECTORS = Path(__file__).resolve().parents[3] / "shared" / "vectors" / "byd_pro.json"
READ_1 = bytes.fromhex("010004010355aa07")


def module(address: int = 1) -> BydPro:
    world = World(seed=1)
    return BydPro(world.add("byd-1", "byd_pro", settings=byd_pro.settings()), address)


def answer(device: BydPro, data: bytes, now_s: float = 0.0) -> bytes:
    return b"".join(data for _, data in device.receive(data, now_s))


def vectors() -> list[dict[str, object]]:
    if not VECTORS.exists():
        return []
    rows = json.loads(VECTORS.read_text())
    return [row for row in rows if row["expect"].get("result") == 0]


@pytest.mark.skipif(not VECTORS.exists(), reason="the shared vectors are not beside this checkout")
@pytest.mark.parametrize("row", vectors(), ids=lambda row: row["name"])
def test_frame_equals_the_vector(row: dict) -> None:
    expect = row["expect"]
    device = module(expect["address"])
    device.pack.pin(
        voltage_v=expect["voltage_V"],
        cells_v=[millivolts / 1000 for millivolts in expect["cells_mV"]],
        current_a=expect["current_A"],
        temps_c=tuple(expect["temps_C"][:4]),
        ambient_c=expect["temps_C"][4],
        soc=expect["soc_pct"] / 100,
        soh=expect["soh_pct"] / 100,
        cycles=expect["cycles"],
    )
    device.words = {
        "battery": round(expect["battery_voltage_V"] * 1000),
        "total": expect["total_discharge_soc"],
        "state": expect["battery_state"],
    } | {name: expect[name] for name in ("others", "alarm", "protect", "fail", "balance")}
    assert device.frame().hex() == row["hex"]


def test_answers_its_own_request_within_50_ms() -> None:
    device = module()
    ((delay_s, frame),) = device.receive(READ_1, 0.0)
    assert 0 < delay_s <= 0.05
    assert len(frame) == 105 and frame[:8].hex() == "010065018355aa00"
    assert sum(frame[1:-1]) & 0xFF == frame[-1]


def test_state_and_sum_agree_with_the_current() -> None:
    device = module()
    for amps, state in ((12.0, 1), (-12.0, 2), (0.0, 8)):
        device.pack.pin(current_a=amps)
        frame = device.frame()
        assert int.from_bytes(frame[88:90], "little") == state
        cells = [int.from_bytes(frame[at : at + 2], "little") for at in range(16, 48, 2)]
        assert abs(sum(cells) - int.from_bytes(frame[8:12], "little")) <= 100
    device.pack.pin(soc=1.0)
    assert int.from_bytes(device.frame()[88:90], "little") == 4


def test_bits_of_what_the_module_notices() -> None:
    device = module()
    device.pack.fails.add("panel_off")
    device.pack.pin(cells_v=[3.3] * 15 + [3.7])
    device.pack.move(0.0, 3.0)
    frame = device.frame()
    assert int.from_bytes(frame[72:76], "little") == int.from_bytes(frame[76:80], "little") == 0x4
    assert int.from_bytes(frame[80:84], "little") == 0x80
    assert not device.pack.may_charge


@pytest.mark.parametrize(
    "data",
    [
        "020004010355aa07",  # another address
        "010004010355aa08",  # checksum
        "010004010455aa08",  # another command
        "010004020355aa08",  # another version
        "0100040103aa5507",  # marker swapped
        "010004010355aa",  # cut
    ],
)
def test_silent_for_what_is_no_request_to_it(data: str) -> None:
    assert module().receive(bytes.fromhex(data), 0.0) == []


def test_finds_its_request_in_pieces_and_after_noise_and_forgets() -> None:
    device = module()
    assert answer(device, READ_1[:3], 0.0) == b""
    assert len(answer(device, READ_1[3:], 0.02)) == 105
    assert len(answer(device, b"\x01\x00\x04" + READ_1, 1.0)) == 105
    assert answer(device, READ_1[:3], 2.0) == b""
    assert answer(device, READ_1[3:], 2.5) == b""  # too late for the first half


@pytest.mark.parametrize(
    ("fault", "check"),
    [
        ("silence", lambda good, bad: bad == b""),
        ("cut", lambda good, bad: good.startswith(bad) and 0 < len(bad) < 105),
        ("refuse", lambda good, bad: bad.hex() == "010005018355aa028a"),
        ("wrong_address", lambda good, bad: bad == b"\x02" + good[1:]),
        (
            "flip",
            lambda good, bad: (
                sum((x ^ y).bit_count() for x, y in zip(good, bad)) == 1 and len(bad) == 105
            ),
        ),
        ("half_frame", lambda good, bad: bad == good),
        ("lying_cell", lambda good, bad: bad[8:16] == good[8:16] and bad[16:48] != good[16:48]),
    ],
)
def test_fault(fault: str, check) -> None:
    device = module()
    good = answer(device, READ_1)
    device.faults.add(fault)
    assert check(good, answer(device, READ_1))
    device.faults.discard(fault)
    assert answer(device, READ_1) == good


def test_late_half_and_overlapping_answers_by_time() -> None:
    device = module()
    device.faults = {"late"}
    assert device.receive(READ_1, 0.0)[0][0] == 1.5
    device.faults = {"half_frame"}
    (first_s, first), (second_s, second) = device.receive(READ_1, 0.0)
    assert second_s - first_s - len(first) * 10 / 9600 == pytest.approx(0.4)
    device.faults = {"overlap"}
    (first_s, first), (second_s, second) = device.receive(READ_1, 0.0)
    assert second_s < first_s + len(first) * 10 / 9600 and second[0] == 2


def test_frozen_values_stay_and_thaw() -> None:
    device = module()
    device.faults.add("frozen")
    frozen = device.frame()
    device.pack.move(30.0, 60.0)
    assert device.frame() == frozen
    device.faults.clear()
    assert device.frame() != frozen


def test_restart_is_silent_for_five_seconds_and_begins_at_zero() -> None:
    device = module()
    device.faults.add("restart")
    assert answer(device, READ_1, 10.0) == b"" and answer(device, READ_1, 14.9) == b""
    assert len(answer(device, READ_1, 15.1)) == 105
    assert device.pack.reading.uptime_s == 0
