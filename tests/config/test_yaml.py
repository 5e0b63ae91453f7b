"""What YAML itself can get wrong: a line and a sentence, never a traceback."""

import os
import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.config.site import GOOD, Folder, changed
from vbms.config import ConfigErrors, load, load_text
from vbms.settings.problems import Problems
from vbms.settings.text import Listing, Mapping, Scalar, read_text

MISTAKES = [
    ("nothing", "", 1, "file", "is empty"),
    ("comments alone", "# vbms\n\n", 1, "file", "is empty"),
    ("one word", "batteries\n", 1, "file", "one single value"),
    ("a list", "- links\n", 1, "file", "holds a list"),
    ("a tab", changed("    port", "\tport"), 6, "yaml", "indented with a tab"),
    ("a tab before a dash", changed("  - name: byd-2", "\t- name: byd-2"), 13, "yaml", "tab"),
    ("indentation", changed("    port", "   port"), 6, "yaml", ""),
    ("a missing colon", changed("    port: ", "    port "), 7, "yaml", ""),
    ("an open bracket", changed("{kind: ble}", "{kind: ble"), 10, "yaml", "flow mapping"),
    ("an open quote", changed("name: home", 'name: "home'), 22, "yaml", "quoted"),
    ("a second document", GOOD + "---\nlinks: {}\n", 22, "yaml", "second document"),
    ("a key twice", changed("    baud: 115200", "    baud: 115200\n    baud: 9600"), 8, "links.jk.baud", "twice, first in line 7"),
    ("a section twice", GOOD + "web: {}\n", 22, "web", "twice, first in line 21"),
    ("a key that is a list", GOOD + "[a, b]: 1\n", 22, "yaml", "no word"),
    ("an unknown anchor", changed("{kind: ble}", "*line"), 9, "yaml", "*line was not defined"),
    ("an anchor in itself", changed("{kind: ble}", "&line {kind: *line}"), 9, "yaml", "*line stands inside itself"),
    ("a merge of a word", changed("{kind: ble}", "{<<: serial, kind: ble}"), 9, "links.air.<<", "takes in no keys"),
    ("binary junk", b"\x7fELF\x02\x01\x00\x00\xff\xfe", 1, "file", "0xff is not UTF-8"),
    ("Latin 1", changed("home", "h\xf6me").encode("latin-1"), 1, "file", "0xf6 is not UTF-8"),
    ("a control character", changed("home", "ho\x07me"), 1, "yaml", "control character 0x07"),
    ("a very deep list", "a: " + "[" * 200_000 + "]" * 200_000, 1, "yaml", "too deep"),
    ("a large file", "a: " + "x" * (1 << 20), 1, "file", "too large"),
    ("many values", "a: [" + "1," * 30_000 + "]", 1, "yaml", "too large"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("text", "line", "key", "words"),
    [row[1:] for row in MISTAKES],
    ids=[row[0] for row in MISTAKES],
)
def test_mistake(folder: Folder, text: str | bytes, line: int, key: str, words: str) -> None:
    found = folder.problems(text)
    assert [(p.line, p.key) for p in found] == [(line, key)], "\n".join(map(str, found))
    assert words in found[0].text and found[0].allowed
    assert "\n" not in str(found[0])


def test_a_bomb_of_anchors_is_refused_at_once(folder: Folder) -> None:
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]" for n in range(1, 30)]
    begun = time.process_time()
    found = folder.problems("\n".join(lines))
    assert time.process_time() - begun < 2
    assert [p.key for p in found] == ["yaml"] and "too large" in found[0].text


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(ConfigErrors) as caught:
        load(tmp_path / "none.yaml")
    assert str(caught.value).startswith(f"{tmp_path}/none.yaml:1: file: does not exist (")


def test_a_folder_for_a_file(tmp_path: Path) -> None:
    with pytest.raises(ConfigErrors, match="1: file: is a folder"):
        load(tmp_path)


def test_a_file_that_may_not_be_read(folder: Folder, monkeypatch: pytest.MonkeyPatch) -> None:
    path = folder.write("vbms.yaml", GOOD)
    if os.geteuid() == 0:  # root may read everything: the kernel's answer has to be played

        def refuse(*_: object, **__: object) -> None:
            raise PermissionError(13, "Permission denied")

        monkeypatch.setattr("builtins.open", refuse)
    else:
        path.chmod(0)
    with pytest.raises(ConfigErrors, match="1: file: cannot be read: Permission denied"):
        load(path)


def test_a_name_no_file_can_have() -> None:
    with pytest.raises(ConfigErrors, match="1: file: cannot be read"):
        load("vbms\0.yaml")


def tree(text: str) -> Mapping:
    problems = Problems()
    node = read_text(text, "t.yaml", problems)
    assert node is not None and not problems.errors, problems.errors
    return node


def test_lines_and_quotes() -> None:
    node = tree("a:\n  - 0012\n  - '7'\nb: {c: d}\n")
    first = node.items["a"]
    assert isinstance(first, Listing)
    assert [(one.line, one.text, one.quoted) for one in first.items if isinstance(one, Scalar)] == [
        (2, "0012", False),
        (3, "7", True),
    ]
    assert node.line_of("b") == 4
    assert (first.line, node.line) == (1, 1)


def test_anchors_and_merges_mean_what_yaml_says() -> None:
    node = tree("a: &a {x: 1, y: 2}\nb: {<<: *a, y: 3}\nc: *a\n")
    b, c = node.items["b"], node.items["c"]
    assert isinstance(b, Mapping) and isinstance(c, Mapping)
    assert {key: getattr(one, "text", None) for key, one in b.items.items()} == {"x": "1", "y": "3"}
    assert list(c.items) == ["x", "y"]


def test_a_byte_order_mark_is_no_junk(folder: Folder) -> None:
    assert folder.problems(b"\xef\xbb\xbf" + GOOD.encode()) == ()


def test_windows_line_ends_count_as_one(folder: Folder) -> None:
    assert folder.problems(GOOD.replace("\n", "\r\n")) == ()
    broken = changed("address: 2", "address: 999").replace("\n", "\r\n")
    assert [p.line for p in folder.problems(broken)] == [16]


@given(st.binary(max_size=200))
def test_any_bytes_give_problems_and_nothing_else(data: bytes) -> None:
    try:
        text = data.decode()
    except UnicodeDecodeError:
        return
    with pytest.raises(ConfigErrors):
        load_text(text)


TOKENS = [
    "{",
    "}",
    "[",
    "]",
    ":",
    "- ",
    "\n",
    "  ",
    "\t",
    "&a ",
    "*a",
    "!secret ",
    "!env ",
    "<<: ",
    "null",
]
TOKENS += [
    "'",
    '"',
    "#",
    "|",
    ">",
    "?",
    "%",
    "@",
    "99999999999999999999",
    "-1",
    "1e9",
    ".5",
    "auto",
    "ä",
    "\x00",
]


@given(
    st.lists(
        st.tuples(st.integers(0, len(GOOD)), st.integers(0, 9), st.sampled_from(TOKENS)),
        min_size=1,
        max_size=4,
    )
)
def test_a_mutilated_file_is_taken_or_refused_in_words(edits: list[tuple[int, int, str]]) -> None:
    text = GOOD
    for at, gone, put in edits:
        text = text[:at] + put + text[at + gone :]
    try:
        load_text(text)
    except ConfigErrors as errors:
        assert errors.problems
        for problem in errors.problems:
            assert problem.line >= 1 and problem.key and problem.text
            assert len(str(problem).splitlines()) == 1
