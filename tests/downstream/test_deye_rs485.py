"""The DEYE codec: one test a promise; the far end decodes with its own code."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.downstream.batteries import healthy
from tests.downstream.far_end import Row, ask, ask_who, disguised, sealed, words
from vbms.aggregate import alarms
from vbms.aggregate.virtual import VirtualBattery
from vbms.downstream.deye_rs485 import BAUD, OPTIONS, Codec
from vbms.errors import ConfigError, FrameError, RefusedError, VbmsError


def row(battery: VirtualBattery, **options: Any) -> Row:
    answer = Codec(**options).answer(ask(options.get("address", 0)), battery)
    assert answer is not None
    return Row(answer, options.get("address", 0))


# --- bits ---------------------------------------------------------------------------------------

WARNING_BITS = {
    "CELL_OVERVOLTAGE": 0,
    "CELL_UNDERVOLTAGE": 1,
    "PACK_OVERVOLTAGE": 2,
    "PACK_UNDERVOLTAGE": 3,
    "CHARGE_OVERCURRENT": 4,
    "DISCHARGE_OVERCURRENT": 5,
    "CHARGE_OVERTEMPERATURE": 6,
    "DISCHARGE_OVERTEMPERATURE": 6,
    "CHARGE_UNDERTEMPERATURE": 7,
    "DISCHARGE_UNDERTEMPERATURE": 7,
    "MOSFET_OVERTEMPERATURE": 10,
    "CAPACITY_LOW": 11,
}
PROTECTION_BITS = {
    "CELL_OVERVOLTAGE": 0,
    "CELL_UNDERVOLTAGE": 1,
    "PACK_OVERVOLTAGE": 2,
    "PACK_UNDERVOLTAGE": 3,
    "SHORT_CIRCUIT": 4,
    "CHARGE_OVERCURRENT": 5,
    "DISCHARGE_OVERCURRENT": 5,
    "CHARGE_OVERTEMPERATURE": 6,
    "CHARGE_UNDERTEMPERATURE": 7,
    "DISCHARGE_OVERTEMPERATURE": 8,
    "DISCHARGE_UNDERTEMPERATURE": 9,
}
FAULT_BITS = {"INTERNAL": 0, "COMMS": 0, "TEMPERATURE_SENSOR": 1}
ALL = [name.upper() for name in alarms.NAMES]
RESTING = 0x0C00  # both enabled, no current


def bit(bits: dict[str, int], name: str) -> int:
    return 1 << bits[name] if name in bits else 0


@pytest.mark.parametrize("name", ALL)
def test_one_warning_sets_its_bit_alone(name: str) -> None:
    told = row(healthy(warnings=getattr(alarms, name)))
    assert told.warnings == bit(WARNING_BITS, name)
    assert (told.protections, told.status) == (0, RESTING)


@pytest.mark.parametrize("level", ["protections", "criticals"])
@pytest.mark.parametrize("name", ALL)
def test_one_protection_sets_its_bits_alone(name: str, level: str) -> None:
    told = row(healthy(**{level: getattr(alarms, name)}))
    assert told.warnings == bit(WARNING_BITS, name)
    assert told.protections == bit(PROTECTION_BITS, name)
    assert told.status == RESTING | bit(FAULT_BITS, name)


@pytest.mark.parametrize(
    ("current", "expected"),
    [(0, 0), (500, 0), (501, 1 << 8), (-500, 0), (-501, 1 << 9), (400000, 1 << 8)],
)
def test_direction_bits_have_a_dead_band(current: int, expected: int) -> None:
    assert row(healthy(current_ma=current)).status == RESTING | expected


@pytest.mark.parametrize(
    ("limits", "expected"),
    [
        ((0, 0, 0), 0),
        ((100000, 0, 100000), 1 << 10),
        ((0, 1, 0), 1 << 11),
        ((9, 0, 9), 0),  # told as 0 A
        ((10, 0, 10), 1 << 10),
        ((99999, 0, 100000), 1 << 10 | 1 << 12),
        ((0, 0, 100000), 1 << 12),
    ],
)
def test_enabled_and_limited_bits(limits: tuple[int, int, int], expected: int) -> None:
    charge, discharge, own = limits
    told = row(healthy(charge_limit_ma=charge, discharge_limit_ma=discharge, own_charge_ma=own))
    assert told.status == expected


def test_a_shard_tells_the_bits_of_its_bank() -> None:
    from vbms.aggregate.present import present_shards

    bank = healthy(current_ma=1200, charge_limit_ma=90000)
    for address, shard in present_shards(bank, 5):
        assert shard is not None
        told = row(shard, address=address)
        assert told.current_10ma == 24  # below the dead band by itself
        assert told.status == RESTING | 1 << 8 | 1 << 12


# --- numbers ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("field", "value", "index", "word"),
    [
        ("voltage_mv", 53124, 0, 5312),
        ("voltage_mv", 53125, 0, 5313),
        ("current_ma", 52349, 1, 5234),
        ("current_ma", -52349, 1, 0x10000 - 5234),
        ("current_ma", -9, 1, 0),
        ("remaining_mah", 140009, 2, 14000),
        ("temp_mean_mc", 25099, 3, 250),
        ("temp_mean_mc", -5399, 3, 0x10000 - 53),
        ("ambient_mc", -99, 4, 0),
        ("soc_permille", 503, 8, 503),
        ("soc_permille", 0, 8, 0),
        ("soh_permille", 987, 9, 987),
        ("capacity_mah", 280009, 10, 28000),
        ("cycles_count", 4711, 11, 4711),
        ("charge_limit_ma", 52349, 12, 5234),
        ("cell_max_mv", 3651, 13, 3651),
        ("cell_min_mv", 2511, 14, 2511),
        ("temp_max_mc", 25601, 16, 257),
        ("temp_max_mc", -6199, 16, 0x10000 - 61),
        ("temp_min_mc", 24499, 17, 244),
        ("temp_min_mc", -6101, 17, 0x10000 - 62),
        ("mosfet_max_mc", 27501, 18, 276),
        ("cvl_mv", 55209, 20, 5520),
        ("design_mah", 280009, 21, 28000),
    ],
)
def test_rounding_is_to_the_safe_side(field: str, value: int, index: int, word: int) -> None:
    assert row(healthy(**{field: value})).words[index] == word


@pytest.mark.parametrize(
    ("field", "value", "index", "word"),
    [
        ("voltage_mv", 655350, 0, 65534),
        ("voltage_mv", -10, 0, 0),
        ("current_ma", 327680, 1, 32767),
        ("current_ma", -327690, 1, 0x8000),
        ("remaining_mah", 1120000, 2, 65534),
        ("temp_mean_mc", 9999999, 3, 32767),
        ("ambient_mc", -9999999, 4, 0x8000),
        ("soc_permille", 1001, 8, 1000),
        ("soc_permille", -1, 8, 0),
        ("soh_permille", 1200, 9, 1000),
        ("capacity_mah", 1 << 40, 10, 65534),
        ("cycles_count", 65535, 11, 65534),
        ("charge_limit_ma", 700000, 12, 65534),
        ("charge_limit_ma", -10, 12, 0),
        ("cell_max_mv", 65535, 13, 65534),
        ("cell_min_mv", -1, 14, 0),
        ("temp_max_mc", 3276701, 16, 32767),
        ("temp_min_mc", -3276801, 17, 0x8000),
        ("mosfet_max_mc", 9999999, 18, 32767),
        ("cvl_mv", 999990, 20, 65534),
        ("design_mah", 655350, 21, 65534),
    ],
)
def test_what_does_not_fit_saturates_and_is_counted(
    field: str, value: int, index: int, word: int
) -> None:
    codec = Codec()
    battery = healthy(**{field: value})
    for request in (ask(0), ask(0), ask(0, 0x1008, 2), ask_who(0)):
        assert codec.answer(request, battery) is not None
    answer = codec.answer(ask(0), battery)
    assert answer is not None
    assert Row(answer, 0).words[index] == word
    assert codec.saturated == {field: 1}  # once a battery, however often it is asked


def test_what_just_fits_is_not_counted() -> None:
    codec = Codec()
    battery = healthy(
        voltage_mv=655344,
        current_ma=-327689,
        capacity_mah=655349,
        remaining_mah=655349,
        design_mah=655349,
        charge_limit_ma=655349,
        soc_permille=1000,
        temp_max_mc=3276700,
        temp_min_mc=-3276800,
    )
    assert codec.answer(ask(0), battery) is not None
    assert codec.saturated == {}


def test_inverted_current() -> None:
    told = row(healthy(current_ma=52340), invert_current=True)
    assert (told.current_10ma, told.status) == (-5234, RESTING | 1 << 8)
    codec = Codec(invert_current=True)
    answer = codec.answer(ask(0), healthy(current_ma=-327680))
    assert answer is not None
    assert Row(answer, 0).current_10ma == 32767
    answer = codec.answer(ask(0), healthy(current_ma=-5000))
    assert answer is not None
    assert codec.read(answer)["current_ma"] == -5000


# --- unknown values -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    "field",
    "voltage_mv current_ma soc_permille capacity_mah cell_max_mv cell_min_mv temp_mean_mc "
    "temp_max_mc temp_min_mc cvl_mv".split(),
)
def test_without_the_essentials_the_address_is_silent(field: str) -> None:
    battery = healthy(**{field: None})
    for request in (ask(0), ask_who(0), ask(0, 0x1008, 1), ask(0, 0x2000, 1)):
        assert Codec().answer(request, battery) is None


def test_a_charge_voltage_of_zero_is_never_told() -> None:
    assert Codec().answer(ask(0), healthy(cvl_mv=9)) is None


def test_other_unknowns_repeat_their_nearest_relative() -> None:
    told = row(
        healthy(
            ambient_mc=None,
            mosfet_max_mc=None,
            soh_permille=None,
            cycles_count=None,
            remaining_mah=None,
            design_mah=None,
        )
    )
    assert told.ambient_dc == told.temp_mean_dc == 250
    assert told.mosfet_dc == told.temp_max_dc == 256
    assert (told.soh_pm, told.cycles) == (1000, 0)
    assert told.remaining_10mah == 14000
    assert told.design_10mah == told.capacity_10mah == 28000
    assert row(healthy(soh_permille=None, capacity_mah=266666)).soh_pm == 952
    assert row(healthy(soh_permille=None, capacity_mah=300000)).soh_pm == 1000
    assert row(healthy(soh_permille=None, design_mah=0)).soh_pm == 1000


# --- who ----------------------------------------------------------------------------------------


def who(battery: VirtualBattery, address: int = 0, **options: Any) -> bytes:
    answer = Codec(address=address, **options).answer(ask_who(address), battery)
    assert answer is not None
    assert sealed(answer[:-2]) == answer
    assert answer[:2] == bytes((address, 0x11)) and answer[2] == len(answer) - 5
    return answer


def test_who_a_byd_is() -> None:
    assert who(healthy(model="BYD PRO 2.5")) == bytes.fromhex(
        "0011274259442050524f20322e352a10112a20212a30303030303030303030303030303030303030302ae98d"
    )


def test_who_the_bank_is() -> None:
    from vbms.aggregate.present import present_shards

    for address, shard in present_shards(healthy(), 3):
        assert shard is not None
        text = who(shard, address)[3:-2]
        serial = b"VB" + b"%018d" % (address + 1)
        assert text == b"VBMS*\x10\x11*\x20\x21*" + serial + b"*"


def test_who_is_kept_to_what_fits() -> None:
    text = who(healthy(model="Grün*VIRTUAL-BATTERY-48V", serial="x" * 30))[3:-2]
    assert text == b"Gr?n?VIRTUAL-BA*\x10\x11*\x20\x21*" + b"x" * 20 + b"*"
    text = who(healthy(model="JK", serial="1"), model="ACME", serial="S7")[3:-2]
    assert text == b"ACME*\x10\x11*\x20\x21*S7" + bytes(18) + b"*"
    assert who(healthy(model=""))[3:8] == b"VBMS*"


# --- which requests are answered ----------------------------------------------------------------


def expected_words(start: int, count: int) -> list[int]:
    whole = words(Codec().answer(ask(0), healthy()) or b"", 0)
    return [
        whole[register - 0x1000] if 0x1000 <= register <= 0x1016 else 0xFFFF
        for register in range(start, start + count)
    ]


@pytest.mark.parametrize("start", [0, 0x0FFF, 0x0F90, 0x1000, 0x1008, 0x1016, 0x1017, 0xFFFF])
@pytest.mark.parametrize("count", [1, 2, 22, 23, 24, 125])
def test_any_block_is_answered(start: int, count: int) -> None:
    answer = Codec().answer(ask(0, start, count), healthy())
    assert answer is not None
    assert words(answer, 0) == expected_words(start, count)


@pytest.mark.parametrize("count", [0, 126, 127, 128, 256, 0x8017, 65535])
def test_impossible_counts_are_silent(count: int) -> None:
    codec = Codec()
    request = ask(0, 0x1000, count)
    assert codec.take(request) == (8, request)
    assert codec.asks(request) is None
    assert codec.answer(request, healthy()) is None


@pytest.mark.parametrize("address", range(15))
def test_every_address_answers_itself_alone(address: int) -> None:
    codec = Codec(address=address)
    assert codec.usual() == (ask(address), ask_who(address))
    for other in range(256):
        for request in (ask(other), ask_who(other)):
            assert (codec.answer(request, healthy()) is not None) == (other == address)


@pytest.mark.parametrize("address", [-1, 15, 16, 255])
def test_addresses_end_at_14(address: int) -> None:
    with pytest.raises(ConfigError, match="0 to 14"):
        Codec(address=address)


def test_bad_crc_is_never_answered() -> None:
    for request in (ask(0), ask_who(0)):
        for at in range(len(request)):
            for change in (1, 0x80, 0xFF):
                damaged = bytearray(request)
                damaged[at] ^= change
                assert Codec().answer(bytes(damaged), healthy()) is None
    assert Codec().answer(b"", healthy()) is None


def test_declarations() -> None:
    assert BAUD == 9600
    assert {option.name for option in OPTIONS} == {"invert_current", "model", "serial"}


# --- finding frames -----------------------------------------------------------------------------


def frames_of(stream: bytes, cuts: list[int]) -> list[bytes]:
    """Feed a stream in pieces; also asserts what `take` promises about its return."""
    codec = Codec()
    found = []
    buffer = b""
    for start, stop in zip([0, *cuts], [*cuts, len(stream)]):
        buffer += stream[start:stop]
        while buffer:
            used, frame = codec.take(buffer)
            assert 0 <= used <= len(buffer)
            if not used:
                assert frame is None
                break
            if frame is not None:
                assert buffer[:used].endswith(frame)
                found.append(frame)
            buffer = buffer[used:]
        assert len(buffer) < 270
    return found


PIECES = st.one_of(
    st.binary(max_size=20),
    st.builds(ask, st.integers(0, 16), st.integers(0, 65535), st.integers(0, 200)),
    st.builds(ask_who, st.integers(0, 16)),
    st.builds(
        lambda a, b: sealed(bytes((a, 3)) + b),
        st.integers(0, 16),
        st.binary(min_size=4, max_size=4),
    ),
    st.builds(
        lambda a, b: sealed(bytes((a, 4, 2 * len(b))) + b + b),
        st.integers(0, 16),
        st.binary(min_size=1, max_size=60),
    ),
    st.builds(
        lambda a, b: sealed(bytes((a, 16, 16, 0, 0, 1, len(b))) + b),
        st.integers(0, 16),
        st.binary(max_size=30),
    ),
    st.builds(lambda r, n: r[:n], st.sampled_from([ask(0), ask(3), ask_who(0)]), st.integers(1, 7)),
    st.just(b"~200246610000FDAB\r"),
)


@given(st.lists(PIECES, max_size=8), st.data())
def test_any_chunking_gives_the_same_frames(pieces: list[bytes], data: st.DataObject) -> None:
    stream = b"".join(pieces)
    cuts = data.draw(st.lists(st.integers(0, len(stream)), max_size=10)) if stream else []
    whole = frames_of(stream, [])
    assert frames_of(stream, sorted(cuts)) == whole
    assert frames_of(stream, list(range(1, len(stream)))) == whole


@given(st.lists(PIECES, max_size=6), st.sampled_from([ask(0), ask(7, 0x1008, 2), ask_who(0)]))
def test_a_request_behind_anything_is_found(pieces: list[bytes], request: bytes) -> None:
    """At once, whatever stands before it: nothing is waited for."""
    frames = frames_of(b"".join(pieces) + request, [])
    assert frames and frames[-1] == request


def test_an_answer_is_no_request() -> None:
    """Neither another battery's, nor our own heard again; also where its tail looks like one."""
    codec = Codec(address=1)
    for request in (ask(1), ask(1, 0x1008, 2), ask_who(1)):
        answer = codec.answer(request, healthy())
        assert answer is not None
        (frame,) = frames_of(answer, [])
        assert frame == answer
        assert codec.asks(frame) is None
    for request in (ask(0), ask_who(0)):
        answer = disguised(request)
        assert frames_of(answer, []) == [answer]
        assert frames_of(answer, list(range(1, len(answer)))) == [answer]


def test_a_request_inside_a_foreign_shape_is_found() -> None:
    for head in (
        b"\x01\x04\x2e",
        b"\x01\x03\x10",
        b"\x01\x11\x40",
        b"\x05\x10\x00\x00\x00\x01\x20",
    ):
        assert frames_of(head + ask(0), []) == [ask(0)]
        assert frames_of(head + ask(0) + bytes(300), []) == [ask(0)]


def test_take_drops_what_cannot_grow() -> None:
    codec = Codec()
    assert codec.take(b"\xff" * 300) == (300, None)
    assert codec.take(b"\xff\xff\x00") == (2, None)
    assert codec.take(ask(0)[:7]) == (0, None)
    assert codec.take(b"\x55\x66" + ask(0)[:3]) == (2, None)
    assert codec.take(b"\xaa" + ask(0) + b"\x01") == (9, ask(0))


def test_spoilt_requests_are_told_from_noise() -> None:
    codec = Codec()
    assert codec.spoilt(ask(0)[:7] + b"\x00")
    assert codec.spoilt(ask_who(14)[:3] + b"\x00")
    assert not codec.spoilt(ask(15))
    assert not codec.spoilt(b"\x00\x04")
    assert not codec.spoilt(b"~200246610000FDAB\r")


# --- laws ---------------------------------------------------------------------------------------

ANY = st.none() | st.integers(-(1 << 40), 1 << 40) | st.integers(-100000, 100000)
LIMIT = st.integers(-(1 << 40), 1 << 40) | st.integers(0, 1000000)
BITS = st.integers(0, (1 << 27) - 1)
BATTERIES = st.builds(
    healthy,
    voltage_mv=ANY,
    current_ma=ANY,
    soc_permille=ANY,
    soh_permille=ANY,
    capacity_mah=ANY,
    design_mah=ANY,
    remaining_mah=ANY,
    cell_max_mv=ANY,
    cell_min_mv=ANY,
    temp_max_mc=ANY,
    temp_min_mc=ANY,
    temp_mean_mc=ANY,
    ambient_mc=ANY,
    mosfet_max_mc=ANY,
    cycles_count=ANY,
    cvl_mv=ANY,
    charge_limit_ma=LIMIT,
    discharge_limit_ma=LIMIT,
    own_charge_ma=LIMIT,
    warnings=BITS,
    protections=BITS,
    criticals=BITS,
)


def no_more(told: int, real: int | None, unit: int) -> bool:
    """Told is not above the real value (0 is the least there is)."""
    return real is not None and told * unit <= max(0, real)


@given(BATTERIES)
def test_never_more_permissive_than_the_battery(b: VirtualBattery) -> None:
    answer = Codec(address=3).answer(ask(3), b)
    if answer is None:
        return
    t = Row(answer, 3)
    assert no_more(t.charge_10ma, b.charge_limit_ma, 10)
    assert no_more(t.cvl_10mv, b.cvl_mv, 10) and t.cvl_10mv > 0
    assert no_more(t.capacity_10mah, b.capacity_mah, 10)
    assert no_more(t.soc_pm, b.soc_permille, 1) and t.soc_pm <= 1000
    assert no_more(t.cell_min_mv, b.cell_min_mv, 1)
    if b.remaining_mah is not None:
        assert no_more(t.remaining_10mah, b.remaining_mah, 10)
    assert b.cell_max_mv is not None and t.cell_max_mv >= min(b.cell_max_mv, 65534)
    assert b.temp_max_mc is not None and t.temp_max_dc * 100 >= min(b.temp_max_mc, 3276700)
    assert b.temp_min_mc is not None and t.temp_min_dc * 100 <= max(b.temp_min_mc, -3276800)
    hottest = b.temp_max_mc if b.mosfet_max_mc is None else b.mosfet_max_mc
    assert t.mosfet_dc * 100 >= min(hottest, 3276700)
    assert b.current_ma is not None and abs(t.current_10ma * 10) <= abs(b.current_ma)
    assert t.current_10ma * b.current_ma >= 0
    assert not t.status & 1 << 10 or t.charge_10ma > 0
    assert bool(t.status & 1 << 11) == (b.discharge_limit_ma > 0)
    assert t.status & 0x300 != 0x300
    assert t.status & 0xE0FC == 0 and t.warnings & 0xF300 == 0 and t.protections & 0xFC00 == 0
    assert 0xFFFF not in [
        word for at, word in enumerate(t.words) if at not in (1, 3, 4, 16, 17, 18)
    ]


@given(BATTERIES)
def test_read_agrees_with_an_independent_decode(b: VirtualBattery) -> None:
    codec = Codec()
    answer = codec.answer(ask(0), b)
    if answer is None:
        return
    t = Row(answer, 0)
    assert codec.read(answer) == {
        "address": 0,
        "function": 4,
        "voltage_mv": t.voltage_10mv * 10,
        "current_ma": t.current_10ma * 10,
        "remaining_mah": t.remaining_10mah * 10,
        "temp_mean_mc": t.temp_mean_dc * 100,
        "ambient_mc": t.ambient_dc * 100,
        "warning_bits": t.warnings,
        "protection_bits": t.protections,
        "status_bits": t.status,
        "soc_permille": t.soc_pm,
        "soh_permille": t.soh_pm,
        "capacity_mah": t.capacity_10mah * 10,
        "cycles_count": t.cycles,
        "charge_limit_ma": t.charge_10ma * 10,
        "cell_max_mv": t.cell_max_mv,
        "cell_min_mv": t.cell_min_mv,
        "temp_max_mc": t.temp_max_dc * 100,
        "temp_min_mc": t.temp_min_dc * 100,
        "mosfet_max_mc": t.mosfet_dc * 100,
        "cvl_mv": t.cvl_10mv * 10,
        "design_mah": t.design_10mah * 10,
    }


# --- reading ------------------------------------------------------------------------------------


def test_read_a_part_of_the_map() -> None:
    codec = Codec()
    request = ask(0, 0x1008, 2)
    answer = codec.answer(request, healthy())
    assert answer is not None
    assert codec.read(answer) == {"address": 0, "function": 4, "registers": [500, 1000]}
    named = {"address": 0, "function": 4, "soc_permille": 500, "soh_permille": 1000}
    assert codec.read(request + answer) == named
    outside = ask(0, 0x0FFF, 2)
    answer = codec.answer(outside, healthy())
    assert answer is not None
    assert codec.read(outside + answer) == {"address": 0, "function": 4, "voltage_mv": 53120}


@pytest.mark.parametrize(
    ("frame", "word"),
    [
        (b"", "truncated"),
        (b"\x00", "truncated"),
        (ask(0)[:6], "truncated"),
        (b"\x00\x04\x02", "truncated"),
        (ask_who(0)[:3], "truncated"),
        (ask(0)[:7] + b"\x14", "checksum"),
        (ask_who(0)[:3] + b"\x00", "checksum"),
        (sealed(b"\x00\x04\x02\x01\xf4")[:-1] + b"\x00", "checksum"),
        (sealed(b"\x00\x04\x02\x01\xf4") + b"\x01\x02", "length"),
        (sealed(b"\x00\x04\x01\x01"), "payload"),
        (sealed(b"\x00\x04\x00"), "payload"),
        (sealed(b"\x00\x03\x10\x00\x00\x17"), "marker"),
        (ask(0) + sealed(b"\x01\x04\x02\x01\xf4"), "another"),
        (ask(0) + sealed(b"\x00\x04\x02\x01\xf4"), "not asked for"),
        (b"~200246610000FDAB\r", "marker"),
    ],
)
def test_read_refuses_with_the_reason(frame: bytes, word: str) -> None:
    with pytest.raises(FrameError, match=word):
        Codec().read(frame)


def test_read_an_exception() -> None:
    with pytest.raises(RefusedError, match="refused: Modbus exception 2") as caught:
        Codec().read(sealed(b"\x00\x84\x02"))
    assert caught.value.code == 2


@given(st.binary(max_size=80), st.binary(max_size=60))
def test_read_of_any_bytes_gives_a_dict_or_our_error(frame: bytes, body: bytes) -> None:
    for data in (
        frame,
        sealed(frame),
        sealed(b"\x00\x04" + bytes((len(body),)) + body),
        sealed(b"\x00\x11" + bytes((len(body),)) + body),
    ):
        try:
            assert isinstance(Codec().read(data), dict)
        except VbmsError:
            pass
