"""Field tables: one struct call that reads what the rows say."""

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vbms.wire.fields import Field, Table

SIZES = {"B": 1, "b": 1, "H": 2, "h": 2, "I": 4, "i": 4}


class Target:
    pass


def test_fill_read_and_unpack() -> None:
    table = Table(
        "<",
        (
            Field("cells_mv", "3H", 8),
            Field("voltage_mv", "H", 2, 10),
            Field("current_ma", "h", 4, -100),
            Field("name", "4s", 15),
            Field("soc", "B", 6),
            Field("temps_mc", "2b", 20, 1000),
        ),
    )
    frame = bytes.fromhex("ffff d204 feff 64 00 010002000300 ff 41424344 00 05fb")
    target = Target()
    table.fill(target, frame)
    expected = {
        "voltage_mv": 12340,
        "current_ma": 200,
        "soc": 100,
        "cells_mv": (1, 2, 3),
        "name": b"ABCD",
        "temps_mc": (5000, -5000),
    }
    assert vars(target) == expected
    assert table.read(frame) == expected
    assert table.size == 22
    assert table.unpack(frame) == (1234, -2, 100, 1, 2, 3, b"ABCD", 5, -5)
    shifted = Target()
    table.fill(shifted, b"\x00" + frame, 1)
    assert vars(shifted) == expected
    assert table.read(b"\x00" + frame, 1) == expected


def test_big_endian() -> None:
    assert Table(">", (Field("x", "H", 0),)).read(b"\x01\x02") == {"x": 0x0102}


def test_overlap_is_refused() -> None:
    with pytest.raises(ValueError, match="second overlaps"):
        Table("<", (Field("first", "I", 0), Field("second", "B", 3)))


@given(
    st.lists(st.tuples(st.sampled_from(sorted(SIZES)), st.integers(0, 3)), min_size=1, max_size=12),
    st.sampled_from("<>"),
    st.randoms(use_true_random=False),
)
def test_every_field_as_if_read_alone(rows, order, random) -> None:  # type: ignore[no-untyped-def]
    fields = []
    at = 0
    for number, (kind, gap) in enumerate(rows):
        at += gap
        fields.append(Field("f%d" % number, kind, at, random.choice((1, 10, -100))))
        at += SIZES[kind]
    frame = random.randbytes(at)
    shuffled = list(fields)
    random.shuffle(shuffled)
    table = Table(order, shuffled)
    assert table.size == at
    assert table.read(frame) == {
        field.name: struct.unpack_from(order + field.kind, frame, field.at)[0] * field.scale
        for field in fields
    }
