"""JBD: split anywhere, 77 in the middle, refusals, and answers whose command is not in their sum."""

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vbms.aggregate import alarms
from vbms.errors import FrameError, RefusedError
from vbms.upstream.jbd import Codec, request
from vbms.wire.receiver import Receiver


def answer(command: int, data: bytes, status: int = 0) -> bytes:
    body = bytes((status, len(data))) + data
    return bytes((0xDD, command)) + body + struct.pack(">H", -sum(body) % 65536) + b"\x77"


def basic(amps: int = -500, protection: int = 0, switches: int = 3, temps: int = 4) -> bytes:
    head = struct.pack(
        ">HhHHHHHHHBBBBB",
        5297,
        amps,
        0x7777,
        40000,
        5,
        0,
        0,
        0,
        protection,
        0x21,
        85,
        switches,
        16,
        temps,
    )
    return answer(3, head + struct.pack(">4H", 2981, 2777, 2651, 2731)[: 2 * temps])


CELLS = answer(4, struct.pack(">16H", *range(0x0C77, 0x0C77 + 16)))
NAME = answer(5, b"JBD-SP16S020")


def through(data: bytes, sizes: list[int] | None = None) -> list[bytes]:
    receiver = Receiver(Codec().take)
    found = []
    at = 0
    for size in (sizes or []) + [len(data)]:
        found += receiver.feed(data[at : at + size])
        at += size
    return found


def test_requests() -> None:
    assert [(every, data.hex(" ")) for every, data in Codec().requests()] == [
        (0, "dd a5 03 00 ff fd 77"),
        (0, "dd a5 04 00 ff fc 77"),
        (-1, "dd a5 05 00 ff fb 77"),
    ]


def test_split_at_every_byte() -> None:
    for frame in (basic(), CELLS, NAME):
        for at in range(len(frame)):
            assert through(frame, [at]) == [frame]


def test_sixteen_cells_four_sensors_and_a_discharge() -> None:
    snap = Codec().decode((basic(), CELLS, NAME), 5)
    assert snap.cells_mv == tuple(range(0x0C77, 0x0C77 + 16))
    assert list(snap.temps_mc or ()) == [25000, 4600, -8000, 0]
    assert snap.current_ma == -5000
    assert (snap.voltage_mv, snap.soc_permille, snap.cell_count) == (52970, 850, 16)
    assert (snap.capacity_mah, snap.remaining_mah) == (400000, 0x7777 * 10)
    assert (snap.model, snap.taken_ms) == ("JBD-SP16S020", 5)


def test_without_cells_they_are_unknown() -> None:
    assert Codec().decode((basic(), None, None), 0).cells_mv is None


@given(st.lists(st.integers(1, 40), max_size=20))
def test_any_chunking_gives_the_same_frames(sizes: list[int]) -> None:
    stream = request(3) + basic() + b"\xdd" + CELLS[:-5] + CELLS + NAME + b"\xdd\x03\x00" + basic(7)
    found = through(stream + bytes(100))
    assert [frame[1] for frame in found] == [3, 4, 5, 3]
    assert through(stream + bytes(100), sizes) == found


@given(st.sampled_from([basic(), CELLS, NAME, answer(3, b"", 0x80)]), st.data())
def test_a_flipped_bit_gives_no_frame(frame: bytes, data: st.DataObject) -> None:
    bit = data.draw(st.integers(0, len(frame) * 8 - 1))
    flipped = bytearray(frame)
    flipped[bit // 8] ^= 1 << bit % 8
    assert through(bytes(flipped) + bytes(120)) == []


@given(st.binary(max_size=200))
def test_noise_never_eats_the_frame_behind_it(noise: bytes) -> None:
    assert basic() in through(noise + basic() + bytes(120))


SLOT = st.one_of(st.none(), st.binary(max_size=60), st.sampled_from([basic(), CELLS, NAME]))


@given(st.lists(SLOT, max_size=4))
def test_any_bytes_give_a_snapshot_or_a_named_error(slots: list[bytes | None]) -> None:
    try:
        snap = Codec().decode(slots, 11)
    except (FrameError, RefusedError):
        return
    assert snap.taken_ms == 11


def test_a_refusal() -> None:
    (frame,) = through(answer(3, b"", 0x80))
    with pytest.raises(RefusedError):
        Codec().decode((frame, None, None), 0)
    assert through(answer(4, b"", 0x80) + bytes(60)) == []


@pytest.mark.parametrize(
    ("bit", "alarm", "charge", "discharge"),
    [
        (0, alarms.CELL_OVERVOLTAGE, False, True),
        (1, alarms.CELL_UNDERVOLTAGE, True, False),
        (2, alarms.PACK_OVERVOLTAGE, False, True),
        (3, alarms.PACK_UNDERVOLTAGE, True, False),
        (4, alarms.CHARGE_OVERTEMPERATURE, False, True),
        (5, alarms.CHARGE_UNDERTEMPERATURE, False, True),
        (6, alarms.DISCHARGE_OVERTEMPERATURE, True, False),
        (7, alarms.DISCHARGE_UNDERTEMPERATURE, True, False),
        (8, alarms.CHARGE_OVERCURRENT, False, True),
        (9, alarms.DISCHARGE_OVERCURRENT, True, False),
        (10, alarms.SHORT_CIRCUIT, False, False),
        (11, alarms.INTERNAL, False, False),
        (12, alarms.INTERNAL, False, False),
    ],
)
def test_protection_bits(bit: int, alarm: int, charge: bool, discharge: bool) -> None:
    snap = Codec().decode((basic(protection=1 << bit), None, None), 0)
    assert (snap.protections, snap.charge_ok, snap.discharge_ok) == (alarm, charge, discharge)


@pytest.mark.parametrize("switches", range(4))
def test_switches(switches: int) -> None:
    snap = Codec().decode((basic(switches=switches), None, None), 0)
    assert (snap.charge_open, snap.discharge_open) == (not switches & 1, not switches & 2)
    assert (snap.charge_ok, snap.discharge_ok) == (switches & 1 == 1, switches & 2 == 2)
