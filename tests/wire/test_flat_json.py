"""The strict reader of objects against the standard library's, which takes more."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vbms.errors import FrameError
from vbms.wire.flat_json import SKIPPED, read_object

NUMBERS = st.integers(-(10**12), 10**12)
TEXTS = st.text(st.characters(max_codepoint=0xFFFF, exclude_categories=("Cs",)), max_size=20)
FLAT = NUMBERS | st.booleans() | st.none() | TEXTS | st.lists(NUMBERS | st.none(), max_size=8)
VALUES = FLAT | st.dictionaries(TEXTS, NUMBERS, max_size=4)
ANY = st.recursive(
    VALUES | st.floats(allow_nan=False, allow_infinity=False),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXTS, inner, max_size=4),
    max_leaves=12,
)


@given(st.dictionaries(TEXTS, VALUES, max_size=8), st.sampled_from([None, 1]))
def test_what_the_standard_library_writes_is_read(
    thing: dict[str, Any], indent: int | None
) -> None:
    text = json.dumps(thing, indent=indent).encode()
    assert read_object(b" " + text + b"\n") == thing


def test_characters_beyond_the_first_plane_are_two_question_marks() -> None:
    assert read_object(json.dumps({"a": "x\U0001f50by"}).encode()) == {"a": "x??y"}


@given(st.dictionaries(st.sampled_from("abc"), ANY, min_size=1))
def test_what_is_not_understood_is_looked_over(thing: dict[str, Any]) -> None:
    thing["last"] = 5
    assert read_object(json.dumps(thing).encode())["last"] == 5


@given(st.binary(max_size=60))
def test_any_bytes(data: bytes) -> None:
    for text in (data, b"{" + data, b'{"a": ' + data + b"}", b'{"a":[' + data + b"]}"):
        try:
            said = read_object(text)
        except FrameError:
            continue
        assert isinstance(json.loads(text.strip()), dict) or SKIPPED in said.values()


@pytest.mark.parametrize(
    "text",
    [
        *("", "{", "[]", "5", '{"a"}', '{"a":}', '{"a":1,}', '{"a":1}}', '{"a":1 "b":2}'),
        *(
            '{"a":01}',
            '{"a":+1}',
            '{"a":--1}',
            '{"a":nul}',
            '{"a":True}',
            '{"a":"\n"}',
            '{"a":"\\x"}',
        ),
        *('{"a":"\\u12"}', '{"a":"\\u12G4"}', "{'a':1}", '{"a":[1,]}', '{"a":[1}', '{"a":{"b":1]}'),
        *(
            '{"a":1234567890123456789012345678901}',
            *('{"a":NaN}', '{"a":0+}', '{"a":1.}', '{"a":1e}', '{"a":01.5}', '{"a":1e5e}'),
            *('{"a":[1..2]}', '{"a":1e+-2}', '{"a":1.5.e2}', '{"a":5-}'),
            '{"a":' + 20 * "[" + 20 * "]" + "}",
            '{"ä":1}',
        ),
    ],
)
def test_refused(text: str) -> None:
    with pytest.raises(FrameError):
        read_object(text.encode())


def test_kinds() -> None:
    said = read_object(
        b'{"a":[1,null],"b":1.5E-20,"c":[[1]],"d":{"e":{}},"f":{"g":2},"h":[1.5],"i":-0}'
    )
    assert said == {
        **{"a": [1, None], "b": SKIPPED, "c": SKIPPED, "d": SKIPPED},
        **{"f": {"g": 2}, "h": SKIPPED, "i": 0},
    }
