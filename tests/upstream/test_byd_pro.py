"""BYD PRO: framing on a bad line, permissions and alarms bit by bit."""

import random
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vbms.aggregate import alarms
from vbms.errors import FrameError, RefusedError
from vbms.upstream.byd_pro import Codec, alarm_bits
from vbms.wire.receiver import Receiver


def checked(body: bytes, address: int = 1) -> bytes:
    return bytes([address]) + body + bytes([sum(body) % 256])


def answer(
    address: int = 1,
    *,
    alarm: int = 0,
    protect: int = 0,
    fail: int = 0,
    balance: int = 0,
    result: int = 0,
    version: int = 1,
    seed: int = 0,
) -> bytes:
    noise = random.Random(seed)
    payload = struct.pack(
        "<ii16hi8h5IHHIII",
        52800,
        52790,
        *(3300 + noise.randrange(9) for _ in range(16)),
        -12500,
        *(20 + noise.randrange(9) for _ in range(8)),
        0,
        alarm,
        protect,
        fail,
        balance,
        2,
        76,
        98,
        127,
        9650,
    )
    return checked(bytes([0, 101, version, 0x83, 0x55, 0xAA, result]) + payload, address)


def refusal(result: int, address: int = 1) -> bytes:
    return checked(bytes([0, 5, 1, 0x83, 0x55, 0xAA, result]), address)


def through(data: bytes, sizes: list[int] | None = None) -> list[bytes]:
    receiver = Receiver(Codec().take)
    frames = []
    at = 0
    for size in (sizes or []) + [len(data)]:
        frames += receiver.feed(data[at : at + size])
        at += size
    return frames


GOOD = answer()
REQUEST = bytes.fromhex("010004010355aa07")


def test_request_of_every_address() -> None:
    for address in range(256):
        ((every_ms, request),) = Codec(address=address).requests()
        assert every_ms == 0
        assert request == bytes([address]) + REQUEST[1:]


@given(st.lists(st.integers(1, 40), max_size=12), st.integers(0, 3))
def test_any_chunking_gives_the_same_frames(sizes: list[int], seed: int) -> None:
    stream = REQUEST + GOOD + b"\x00\x37" + refusal(2) + GOOD[:50] + answer(2, seed=seed)
    assert through(stream, sizes) == through(stream)
    assert answer(2, seed=seed) in through(stream)


@given(st.integers(0, len(GOOD) * 8 - 1))
def test_a_flipped_bit_never_changes_a_value(bit: int) -> None:
    """The address stands outside the checksum: a bit flipped there makes it another module's."""
    flipped = bytearray(GOOD)
    flipped[bit // 8] ^= 1 << bit % 8
    codec = Codec()
    frames = [frame for frame in through(bytes(flipped)) if codec.slot(frame) == 0]
    assert frames == []


@given(st.binary(max_size=300))
def test_noise_never_eats_the_frame_behind_it(noise: bytes) -> None:
    """A cut header may wait for its own length; 105 bytes later everything has been looked at."""
    frames = through(noise + GOOD + bytes(105))
    assert GOOD in frames


@given(
    st.lists(
        st.one_of(st.none(), st.binary(max_size=130), st.sampled_from([GOOD, refusal(3)])),
        max_size=2,
    ),
    st.binary(max_size=97),
)
def test_any_bytes_give_a_snapshot_or_a_named_error(
    frames: list[bytes | None], tail: bytes
) -> None:
    for slots in (frames, [GOOD[:8] + tail]):
        try:
            snap = Codec().decode(slots, 5)
        except (FrameError, RefusedError):
            continue
        assert snap.taken_ms == 5
        assert len(snap.cells_mv or ()) == 16


@pytest.mark.parametrize(
    "bad",
    [
        GOOD[:104],
        GOOD[1:],
        checked(GOOD[1:4] + b"\x03" + GOOD[5:104]),
        checked(REQUEST[1:4] + b"\x83" + REQUEST[5:7]),
        checked(bytes.fromhex("00450183 55aa00") + GOOD[8:72]),
        checked(bytes.fromhex("00650183aa5500") + GOOD[8:104]),
        checked(bytes.fromhex("01650183 55aa00") + GOOD[8:104]),
        REQUEST,
    ],
    ids=["cut", "headless", "command", "request with 83", "short", "marker", "size", "request"],
)
def test_what_is_no_frame(bad: bytes) -> None:
    assert through(bad) == []


def test_nothing_waits_for_an_impossible_size() -> None:
    """A header with a size that cannot be must not hold up the good answer right behind it."""
    wrong = bytes.fromhex("01ffff018355aa00")
    assert through(wrong + GOOD) == [GOOD]
    assert through(bytes.fromhex("010045018355aa00") + GOOD) == [GOOD]
    receiver = Receiver(Codec().take)
    receiver.feed(b"\x01\x00\x45")
    assert receiver.pending == 1  # 45 may be an address
    receiver.feed(b"\x00\x65\x01\x84")
    assert receiver.pending == 1


def test_our_echo_leaves_nothing_waiting() -> None:
    receiver = Receiver(Codec().take)
    assert receiver.feed(REQUEST) == []
    assert receiver.pending == 0
    assert receiver.feed(GOOD) == [GOOD]
    assert receiver.pending == 0


def test_bytes_behind_a_frame_are_noise() -> None:
    assert through(GOOD + b"\x99" + GOOD) == [GOOD, GOOD]


def test_another_module_s_answer_is_not_ours() -> None:
    assert Codec(address=2).slot(GOOD) is None
    assert Codec(address=1).slot(GOOD) == 0
    assert Codec().slot(b"") is None


def test_refusal() -> None:
    (frame,) = through(refusal(2))
    assert Codec().slot(frame) == 0
    with pytest.raises(RefusedError) as caught:
        Codec().decode((frame,), 0)
    assert caught.value.code == 2
    with pytest.raises(RefusedError):  # with a payload, which is not to be used
        Codec().decode((answer(result=7),), 0)
    with pytest.raises(FrameError):
        Codec().decode((refusal(0),), 0)


def test_another_version_is_named() -> None:
    (frame,) = through(answer(version=2))
    with pytest.raises(FrameError, match="version 2"):
        Codec().decode((frame,), 0)


NO_CHARGE = {0, 1, 2, 6, 8, 10, 14, 15, 17, 18, 19}
NO_DISCHARGE = {3, 4, 5, 7, 9, 11, 14, 15}


@pytest.mark.parametrize("bit", range(32))
def test_protect_bits_and_permissions(bit: int) -> None:
    snap = Codec().decode((answer(protect=1 << bit),), 0)
    assert snap.charge_ok is (bit not in NO_CHARGE)
    assert snap.discharge_ok is (bit not in NO_DISCHARGE)
    assert snap.protections and not snap.warnings and not snap.criticals
    assert snap.charge_open is None and snap.discharge_open is None


@pytest.mark.parametrize("bit", range(32))
def test_alarm_bits_warn_and_forbid_nothing(bit: int) -> None:
    snap = Codec().decode((answer(alarm=1 << bit),), 0)
    assert snap.charge_ok is True and snap.discharge_ok is True
    assert snap.warnings == alarm_bits(1 << bit) and not snap.protections


@pytest.mark.parametrize("bit", range(32))
def test_fail_bits(bit: int) -> None:
    snap = Codec().decode((answer(fail=1 << bit),), 0)
    heater = bit == 5
    assert snap.charge_ok is heater and snap.discharge_ok is heater
    sensor = bit == 1
    found = alarms.TEMPERATURE_SENSOR if sensor else alarms.INTERNAL
    assert (snap.warnings, snap.protections) == ((found, 0) if heater else (0, found))
    assert (snap.note is not None) == (bit == 7)


ALARM_NAMES = (
    ["pack_overvoltage", "pack_overvoltage", "cell_overvoltage"]
    + ["pack_undervoltage", "pack_undervoltage", "cell_undervoltage"]
    + ["charge_overcurrent", "discharge_overcurrent"]
    + ["charge_overtemperature", "discharge_overtemperature"]
    + ["charge_undertemperature", "discharge_undertemperature"]
    + ["capacity_low", "internal", "short_circuit", "internal", "internal"]
    + ["charge_undertemperature", "charge_undertemperature", "short_circuit"]
    + ["internal"] * 12
)


@pytest.mark.parametrize("bit", range(32))
def test_alarm_names(bit: int) -> None:
    assert alarms.named(alarm_bits(1 << bit)) == [ALARM_NAMES[bit]]


def test_balancing() -> None:
    assert Codec().decode((answer(balance=1 << 31),), 0).balancing is True
    assert Codec().decode((GOOD,), 0).balancing is False
