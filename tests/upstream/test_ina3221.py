"""INA3221: scale and sign of registers, both orders of taps, framing of what was read."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vbms.errors import FrameError
from vbms.upstream.ina3221 import Codec, current_ma, signed
from vbms.wire.receiver import Receiver

IDENTITY = bytes.fromhex("fe5449ff3220")


def live(*words: int) -> bytes:
    """Registers 1 to 6."""
    return b"".join(bytes((n, word >> 8, word & 255)) for n, word in enumerate(words, 1))


def taps(*volts: float, amps: tuple[float, ...] = (0, 0, 0)) -> bytes:
    words = []
    for tap, current in zip(volts, amps, strict=True):
        words += [round(current * 0.1 / 40e-6) << 3 & 0xFFFF, round(tap / 0.008) << 3]
    return live(*words)


def through(data: bytes, sizes: list[int] | None = None) -> list[bytes]:
    receiver = Receiver(Codec().take)
    frames = []
    at = 0
    for size in (sizes or []) + [len(data)]:
        frames += receiver.feed(data[at : at + size])
        at += size
    return frames


def test_scale_and_sign() -> None:
    assert current_ma(0x1F38, 100_000) == 400
    assert current_ma(0xE0C8, 100_000) == -400
    assert signed(0x2EE0) == 12000
    assert current_ma(0x1F38, 1_000_000) == 40 and current_ma(0x1F38, 50) == 799200
    assert current_ma(0, 100_000) == 0


def test_both_orders_of_taps() -> None:
    ascending = Codec().decode((taps(4.0, 8.104, 12.304),), 5)
    descending = Codec(order="descending").decode((taps(12.304, 8.104, 4.0),), 5)
    for snap in (ascending, descending):
        assert snap.cells_mv == (4000, 4104, 4200) and snap.voltage_mv == 12304
        assert snap.temps_mc is None and snap.soc_permille is None and snap.charge_ok is None


def test_the_current_is_the_mean_of_three() -> None:
    frame = taps(4.0, 8.0, 12.0, amps=(0.3, 0.6, 0.9))
    assert Codec().decode((frame,), 5).current_ma == 600
    assert Codec(invert_current=True).decode((frame,), 5).current_ma == -600
    halved = Codec(shunt_1_mohm=200_000, shunt_2_mohm=200_000, shunt_3_mohm=200_000)
    assert halved.decode((frame,), 5).current_ma == 300


def test_another_chip_is_refused() -> None:
    good = taps(4.0, 8.0, 12.0)
    assert Codec().decode((good, IDENTITY), 5).voltage_mv == 12000
    with pytest.raises(FrameError, match="identity 5449 2260"):
        Codec().decode((good, bytes.fromhex("fe5449ff2260")), 5)
    with pytest.raises(FrameError):
        Codec().decode((good, good), 5)


def test_a_bus_that_is_pulled_up_is_no_reading() -> None:
    assert Codec().slot(live(*[0xFFFF] * 6)) is None
    with pytest.raises(FrameError):
        Codec().decode((live(*[0xFFFF] * 6),), 5)


GOOD = taps(4.0, 8.104, 12.304, amps=(0.3, -0.6, 0.9))


@given(st.lists(st.integers(1, 20), max_size=20), st.binary(max_size=20))
def test_any_chunking_gives_the_same_frames(sizes: list[int], noise: bytes) -> None:
    stream = IDENTITY + GOOD + b"\x01\x02" + GOOD + noise + IDENTITY + bytes(20)
    assert through(stream, sizes) == through(stream)
    assert through(stream)[:2] == [IDENTITY, GOOD]


@given(st.integers(0, 18 * 8 - 1))
def test_a_flipped_bit_moves_one_value_or_gives_nothing(bit: int) -> None:
    """I2C has no checksum: of 144 bits 66 are seen to be wrong, the others are values."""
    flipped = bytearray(GOOD)
    flipped[bit // 8] ^= 1 << bit % 8
    frames = through(bytes(flipped))
    seen = bit // 8 % 3 == 0 or (bit // 8 % 3 == 2 and bit % 8 < 3)
    assert frames == ([] if seen else [bytes(flipped)])


@given(st.lists(st.one_of(st.none(), st.binary(max_size=20), st.just(GOOD)), max_size=3))
def test_any_bytes_give_a_snapshot_or_a_named_error(frames: list[bytes | None]) -> None:
    try:
        snap = Codec().decode(frames, 5)
    except FrameError:
        return
    assert snap.taken_ms == 5 and len(snap.cells_mv or ()) == 3


@given(st.integers(0, 0xFFFF), st.integers(10, 100_000_000))
def test_current_is_rounded_to_the_nearest_and_odd(raw: int, shunt_uohm: int) -> None:
    exact = signed(raw) * 5e3 / shunt_uohm
    assert abs(current_ma(raw, shunt_uohm) - exact) <= 0.5 + 1e-6
