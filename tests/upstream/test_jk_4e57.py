"""JK 4E 57: framing on a bad line, tags, both codings of current, permissions and alarms."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vbms.aggregate import alarms
from vbms.errors import FrameError
from vbms.upstream.jk_4e57 import REQUEST, Codec
from vbms.wire.receiver import Receiver

CELLS = tuple(3300 + 3 * n for n in range(16))
TAGS: dict[int, bytes] = {
    0x80: b"\x00\x19",
    0x81: b"\x00\x14",
    0x82: b"\x00\x6a",  # 106: -6 degrees
    0x83: b"\x14\xb4",  # 53.00 V
    0x84: b"\x80\xd0",  # 2.08 A in
    0x85: b"\x40",
    0x86: b"\x02",
    0x87: b"\x00\x0c",
    0x8A: b"\x00\x10",
    0x8B: b"\x00\x00",
    0x8C: b"\x00\x03",
    0x90: b"\x0e\x42",
    0x93: b"\x0a\x28",
    0x97: b"\x00\x78",
    0x99: b"\x00\x50",
    0xA9: b"\x10",
    0xAA: b"\x00\x00\x00\xc8",
    0xAB: b"\x01",
    0xAC: b"\x01",
    0xB2: b"123456\0\0\0\0",
    0xB4: b"11223344",
    0xB7: b"NW_1_0_0_S11.2_",  # the frame's own start, inside of it
    0xB9: b"\x00\x00\x00\xc3",
    0xBA: b"Input UserdaJK_B1A20S15P",
    0xC0: b"\x01",
}


def framed(data: bytes, kind: int = 1, command: int = 6, source: int = 0) -> bytes:
    body = bytes(4) + bytes((command, source, kind)) + data + bytes(4) + b"\x68"
    head = b"NW" + (len(body) + 6).to_bytes(2, "big") + body
    return head + bytes(2) + (sum(head) & 0xFFFF).to_bytes(2, "big")


def cells(values: tuple[int, ...]) -> bytes:
    rows = b"".join(bytes((n, mv >> 8, mv & 255)) for n, mv in enumerate(values, 1))
    return b"\x79" + bytes((len(rows),)) + rows


def answer(values: tuple[int, ...] = CELLS, without: tuple[int, ...] = (), **tags: bytes) -> bytes:
    """Tags are given as t8B=..."""
    given = {int(name[1:], 16): value for name, value in tags.items()}
    data = cells(values)
    for tag, value in sorted((TAGS | given).items()):
        if tag not in without:
            data += bytes((tag,)) + value
    return framed(data)


def through(data: bytes, sizes: list[int] | None = None) -> list[bytes]:
    receiver = Receiver(Codec().take)
    frames = []
    at = 0
    for size in (sizes or []) + [len(data)]:
        frames += receiver.feed(data[at : at + size])
        at += size
    return frames


def decoded(frame: bytes):
    return Codec().decode((frame,), 5)


GOOD = answer()
REPORT = framed(cells(CELLS), kind=2)


@given(st.lists(st.integers(1, 90), max_size=12), st.binary(max_size=40))
def test_any_chunking_gives_the_same_frames(sizes: list[int], noise: bytes) -> None:
    stream = (
        REQUEST + GOOD + b"NW\x01\x10" + GOOD[:120] + answer((3200,) * 24, (0x8A, 0xA9)) + noise
    )
    stream += REPORT + GOOD + bytes(400)
    assert through(stream, sizes) == through(stream)
    assert GOOD in through(stream)


@given(st.integers(0, len(GOOD) * 8 - 1))
def test_a_flipped_bit_gives_no_answer(bit: int) -> None:
    flipped = bytearray(GOOD)
    flipped[bit // 8] ^= 1 << bit % 8
    assert through(bytes(flipped)) == []
    frames = through(bytes(flipped) + bytes(400))
    assert [frame for frame in frames if Codec().slot(frame) == 0] == []


@given(st.binary(max_size=300))
def test_noise_never_eats_the_frame_behind_it(noise: bytes) -> None:
    assert GOOD in through(noise + GOOD + bytes(400))


@given(
    st.lists(
        st.one_of(
            st.none(),
            st.binary(max_size=350),
            st.builds(framed, st.binary(max_size=200)),
            st.integers(11, len(GOOD) - 1).map(lambda at: GOOD[:at] + b"\x79" + GOOD[at + 1 :]),
        ),
        max_size=2,
    )
)
def test_any_bytes_give_a_snapshot_or_a_named_error(frames: list[bytes | None]) -> None:
    try:
        snap = Codec().decode(frames, 5)
    except FrameError:
        return
    assert snap.taken_ms == 5
    assert snap.cells_mv


def test_values() -> None:
    snap = decoded(GOOD)
    assert snap.cells_mv == CELLS and snap.cell_count == 16
    assert (snap.voltage_mv, snap.current_ma, snap.soc_permille) == (53000, 2080, 640)
    assert snap.temps_mc == (20000, -6000) and snap.mosfet_mc == 25000
    assert (snap.capacity_mah, snap.design_mah) == (195000, 200000)
    assert (snap.ccl_ma, snap.dcl_ma) == (80000, 120000)
    assert snap.ccl_is_trip is True and snap.dcl_is_trip is True
    assert (snap.ovp_mv, snap.uvp_mv, snap.cycles_count) == (3650, 2600, 12)
    assert snap.charge_ok is True and snap.discharge_ok is True
    assert snap.charge_open is False and snap.discharge_open is False
    assert (snap.serial, snap.model) == ("11223344", "JK_B1A20S15P")
    assert snap.soh_permille is None and snap.remaining_mah is None


def test_old_firmware_says_less() -> None:
    snap = decoded(answer(without=(0xB9, 0xBA, 0xC0), t84=b"\x29\x04", tB4=b"Input Us"))
    assert snap.current_ma == -5000  # 10500: zero stands at 10000
    assert snap.capacity_mah == snap.design_mah == 200000
    assert snap.serial is None and snap.model == "JK BMS"
    assert decoded(answer(t84=b"\x01\xf4")).current_ma == -5000
    assert decoded(answer(t84=b"\x80\x00")).current_ma == 0
    assert decoded(answer(t84=b"\x27\x10", tC0=b"\x00")).current_ma == 0


def test_a_missing_sensor_is_left_out() -> None:
    assert decoded(answer(t86=b"\x01")).temps_mc == (20000,)
    assert decoded(answer(without=(0x81, 0x82))).temps_mc is None


@pytest.mark.parametrize("bit", range(16))
def test_alarm_bits(bit: int) -> None:
    snap = decoded(answer(t8B=(1 << bit).to_bytes(2, "big")))
    warns = bit in (0, 7)
    assert bool(snap.warnings) == warns and bool(snap.protections) == (not warns)
    assert snap.charge_ok is (bit not in (1, 2, 4, 5, 8, 9, 10, 12, 13))
    assert snap.discharge_ok is (bit not in (1, 3, 4, 6, 8, 9, 11, 12, 13))


@pytest.mark.parametrize(
    ("tags", "charge", "discharge", "opened"),
    [
        ({"t8C": b"\x00\x02"}, False, True, (True, False)),
        ({"t8C": b"\x00\x01"}, True, False, (False, True)),
        ({"tAB": b"\x00"}, False, True, (False, False)),
        ({"tAC": b"\x00"}, True, False, (False, False)),
        ({"t8C": b"\x00\x0b"}, False, False, (False, False)),
        ({"t8C": b"\x10\x03"}, True, True, (False, False)),  # bits 12 and up mean nothing known
    ],
)
def test_permissions(tags, charge: bool, discharge: bool, opened: tuple[bool, bool]) -> None:
    snap = decoded(answer(**tags))
    assert (snap.charge_ok, snap.discharge_ok) == (charge, discharge)
    assert (snap.charge_open, snap.discharge_open) == opened


def test_missing_cells_are_an_alarm() -> None:
    snap = decoded(answer(t8C=b"\x00\x08"))
    assert snap.protections == alarms.INTERNAL and snap.note


def test_without_alarms_or_status_nothing_is_permitted() -> None:
    for tag in (0x8B, 0x8C):
        snap = decoded(answer(without=(tag,)))
        assert snap.charge_ok is None and snap.discharge_ok is None


@pytest.mark.parametrize(
    ("frame", "reason"),
    [
        (answer(t88=b"\x01"), "tag 88"),
        (answer(tBB=b"\x01"), "tag bb"),
        (framed(cells(CELLS) + b"\x80\x00"), "1 of 2"),
        (framed(cells(CELLS) * 2), "twice"),
        (answer(CELLS[:15]), "15 cells listed, 16 counted"),
        (framed(b"\x79\x04\x01\x0c\xe4\x02"), "no list of cells"),
        (framed(b"\x79\x06\x01\x0c\xe4\x03\x0c\xe4"), "cell 3 stands at place 2"),
        (framed(b"\x85\x40"), "no list of cells"),
        (answer(tC0=b"\x02"), "protocol 2"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_is_refused(frame: bytes, reason: str) -> None:
    assert through(frame) == [frame]
    with pytest.raises(FrameError, match=reason):
        decoded(frame)


def test_only_answers_of_the_bms_count() -> None:
    codec = Codec()
    assert codec.slot(GOOD) == 0
    assert codec.slot(framed(cells(CELLS), command=3)) == 0
    assert codec.slot(REPORT) is None
    assert codec.slot(framed(cells(CELLS), source=3)) is None
    assert codec.slot(b"") is None


def test_nothing_waits_for_what_cannot_be_ours() -> None:
    for start in ("4e570200", "4e570012", "4e57011b0000000009", "4e57011b000000000600 03"):
        receiver = Receiver(Codec().take)
        assert receiver.feed(bytes.fromhex(start) + GOOD) == [GOOD]


def test_a_lost_byte_does_not_take_the_next_answer() -> None:
    short = GOOD[:90] + GOOD[91:]
    assert through(short) == []
    assert through(short + GOOD) == [GOOD]


def test_another_master_is_overheard() -> None:
    codec = Codec()
    assert codec.overhears(b"\x00" + REQUEST)
    assert codec.overhears(GOOD[:40] + REQUEST)
    assert not codec.overhears(GOOD) and not codec.overhears(REQUEST[:-1])
    assert not codec.overhears(b"NW") and not codec.overhears(b"")
