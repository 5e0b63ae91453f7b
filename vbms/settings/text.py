"""YAML text to a tree in which every value still knows its line, its file and how it was written.

Values stay text: 55.2 becomes an exact 55200 mV later and never passes through a float, and a
serial number 0012 keeps its zeros. The tree is built from the parser's events with bounds on size,
depth and aliases, so a hostile file costs an error line and not the process.
"""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

from vbms.settings.problems import Problems, below, shown

_MOST_BYTES = 1 << 20
_MOST_NODES = 20_000
_DEEPEST = 32
_TOO_DEEP = ("lists or groups stand too deep inside each other", f"{_DEEPEST} deep")
_NULLS = ("", "~", "null", "Null", "NULL")
_MERGE = "<<"


class Scalar:
    """One value. `quoted`: written in quotes, so it is text; `secret`: never shown."""

    __slots__ = ("file", "line", "quoted", "secret", "text")

    def __init__(self, file: str, line: int, text: str, quoted: bool, secret: bool = False):
        self.file = file
        self.line = line
        self.text = text
        self.quoted = quoted
        self.secret = secret

    @property
    def is_null(self) -> bool:
        return not self.quoted and self.text in _NULLS

    def shown(self) -> str:
        """As a message may quote it."""
        if self.secret:
            return "***"
        if self.is_null:
            return "nothing"
        return (
            f'"{shown(self.text)}"' if self.quoted or not self.text.isascii() else shown(self.text)
        )


class Listing:
    """A list."""

    __slots__ = ("file", "items", "line")

    def __init__(self, file: str, line: int):
        self.file = file
        self.line = line
        self.items: list[Node] = []

    def shown(self) -> str:
        return "a list"


class Mapping:
    """Keys with their values, in the order of the file; `key_lines` tells where each key stands."""

    __slots__ = ("file", "items", "key_lines", "line")

    def __init__(self, file: str, line: int):
        self.file = file
        self.line = line
        self.items: dict[str, Node] = {}
        self.key_lines: dict[str, int] = {}

    def shown(self) -> str:
        return "a group of keys"

    def line_of(self, key: str) -> int:
        return self.key_lines.get(key, self.line)


Node = Scalar | Listing | Mapping


class Secrets:
    """`!secret NAME` from secrets.yaml in this folder, read when the first one is asked for."""

    def __init__(self, folder: Path):
        self._path = folder / "secrets.yaml"
        self._known: Mapping | None = None
        self._read = False

    def find(self, name: str, where: Scalar, key: str, problems: Problems) -> str | None:
        """The secret, or None once its absence is a problem of the place that names it."""
        if not self._read:
            self._read = True
            if self._path.exists():
                self._known = read_file(self._path, problems)
        if not self._path.exists():
            text = f"there is no secrets.yaml for !secret {shown(name)}"
            allowed = f"NAME: value, one a line, in {self._path}"
        else:
            value = self._known.items.get(name) if self._known else None
            if isinstance(value, Scalar) and not value.is_null:
                return value.text
            text = f"there is no secret {shown(name)}"
            allowed = f"a line {shown(name)}: ... in {self._path}"
        problems.add(where.file, where.line, key, text, allowed)
        return None


def read_file(path: Path, problems: Problems, secrets: Secrets | None = None) -> Mapping | None:
    """The file's mapping, or None when it has none; why is then among the problems."""
    name = str(path)
    try:
        with open(path, "rb") as file:
            data = file.read(_MOST_BYTES + 1)
    except FileNotFoundError:
        problems.add(name, 1, "file", "does not exist", "a YAML file")
        return None
    except IsADirectoryError:
        problems.add(name, 1, "file", "is a folder", "a YAML file")
        return None
    except (OSError, ValueError) as error:
        why = getattr(error, "strerror", None) or str(error)
        problems.add(name, 1, "file", f"cannot be read: {why}", "a readable YAML file")
        return None
    if len(data) > _MOST_BYTES:
        problems.add(name, 1, "file", "is too large", "1 MiB at most")
        return None
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        found = f"byte {data[error.start]:#04x} is not UTF-8 text"
        problems.add(name, line, "file", found, "YAML in UTF-8")
        return None
    return read_text(text, name, problems, secrets)


def read_text(
    text: str, file: str, problems: Problems, secrets: Secrets | None = None
) -> Mapping | None:
    """The same for text that is already here; `file` is the name that problems carry."""
    builder = _Builder(file, problems, secrets)
    try:
        root = builder.build(_events(text))
    except _TooMuch as error:
        problems.add(file, error.line, "yaml", error.text, error.allowed)
        return None
    except yaml.MarkedYAMLError as error:
        problems.add(file, *_explained(error, text))
        return None
    except yaml.reader.ReaderError as error:
        line = text.count("\n", 0, error.position) + 1
        found = f"control character {error.character:#04x} is no part of YAML"
        problems.add(file, line, "yaml", found, "printable text")
        return None
    except yaml.YAMLError as error:
        problems.add(file, 1, "yaml", shown(str(error)), "YAML")
        return None
    if root is None or (isinstance(root, Scalar) and root.is_null):
        problems.add(file, 1, "file", "is empty", "keys with values, as in `links:`")
    elif not isinstance(root, Mapping):
        found = "a list" if isinstance(root, Listing) else "one single value"
        problems.add(file, root.line, "file", f"holds {found}", "keys with values, as in `links:`")
    else:
        return root
    return None


def _events(text: str) -> Iterator[Any]:
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    yield from yaml.parse(text, Loader=loader)


def _explained(error: yaml.MarkedYAMLError, text: str) -> tuple[int, str, str, str]:
    """(line, key, what is wrong, what is allowed) of a YAML mistake, in words."""
    mark = error.problem_mark or error.context_mark
    at = mark.line if mark else 0
    lines = text.split("\n")
    line = lines[at] if at < len(lines) else ""
    if "\t" in line[: len(line) - len(line.lstrip())]:
        return at + 1, "yaml", "the line is indented with a tab", "spaces"
    words = " ".join(part for part in (error.context, error.problem) if part)
    if "nesting depth" in words:  # libyaml's own bound, from PyYAML 6.0.4 on
        return at + 1, "yaml", *_TOO_DEEP
    allowed = "YAML; look at the indentation, colons and quotes here and in the line above"
    if error.context_mark and error.context_mark.line != at:
        words += f", begun in line {error.context_mark.line + 1}"
    return at + 1, "yaml", _one_line(words), allowed


def _one_line(text: str) -> str:
    """A parser's own words on one line."""
    return " ".join("".join(c if c.isprintable() else " " for c in text).split())


class _TooMuch(Exception):
    def __init__(self, line: int, text: str, allowed: str):
        super().__init__(text)
        self.line = line
        self.text = text
        self.allowed = allowed


class _Builder:
    """Events to nodes. Aliases share a node, so a file of aliases of aliases stays small here."""

    def __init__(self, file: str, problems: Problems, secrets: Secrets | None):
        self._file = file
        self._problems = problems
        self._secrets = secrets
        self._anchors: dict[str, Node | None] = {}
        self._sizes: dict[int, int] = {}  # of a node with all below it, aliases counted each time
        self._count = 0
        self._depth = 0

    def build(self, events: Iterator[Any]) -> Node | None:
        root = None
        documents = 0
        for event in events:
            if isinstance(event, yaml.DocumentStartEvent):
                documents += 1
                if documents > 1:
                    line = event.start_mark.line + 1 if event.start_mark else 1
                    raise _TooMuch(line, "a second document begins", "one; no `---` inside")
            elif isinstance(event, yaml.NodeEvent):
                root = self._node(event, events, "")
        return root

    def _node(self, event: Any, events: Iterator[Any], path: str) -> Node:
        line: int = event.start_mark.line + 1
        anchor: str = event.anchor or ""
        if isinstance(event, yaml.AliasEvent):
            known = self._anchors.get(anchor)
            if known is None:
                unfinished = anchor in self._anchors
                text = "stands inside itself" if unfinished else "was not defined before"
                raise _TooMuch(line, f"*{shown(anchor)} {text}", "an earlier &anchor")
            self._spend(self._sizes[id(known)], line)
            return known
        before = self._count
        self._spend(1, line)
        if anchor:
            self._anchors[anchor] = None
        node: Node
        if isinstance(event, yaml.ScalarEvent):
            node = self._scalar(event, line, path)
        else:
            self._depth += 1
            if self._depth > _DEEPEST:
                raise _TooMuch(line, *_TOO_DEEP)
            if event.tag is not None and event.tag.startswith("!"):
                self._problems.add(self._file, line, path or "yaml", *_tag_trouble(event.tag))
            if isinstance(event, yaml.SequenceStartEvent):
                node = self._listing(events, line, path)
            else:
                node = self._mapping(events, line, path)
            self._depth -= 1
        self._sizes[id(node)] = self._count - before
        if anchor:
            self._anchors[anchor] = node
        return node

    def _spend(self, nodes: int, line: int) -> None:
        self._count += nodes
        if self._count > _MOST_NODES:
            raise _TooMuch(line, "the file grows too large here", f"{_MOST_NODES} values at most")

    def _listing(self, events: Iterator[Any], line: int, path: str) -> Listing:
        node = Listing(self._file, line)
        for event in events:
            if isinstance(event, yaml.SequenceEndEvent):
                break
            node.items.append(self._node(event, events, f"{path}[{len(node.items)}]"))
        return node

    def _mapping(self, events: Iterator[Any], line: int, path: str) -> Mapping:
        node = Mapping(self._file, line)
        merged: list[tuple[Node, int]] = []
        for event in events:
            if isinstance(event, yaml.MappingEndEvent):
                break
            at = event.start_mark.line + 1
            key = self._node(event, events, path)
            value_path = path
            if isinstance(key, Scalar) and not key.secret:
                value_path = below(path, key.text)
            behind = next(events)
            value = self._node(behind, events, value_path)
            if not isinstance(value, Scalar) and not isinstance(behind, yaml.AliasEvent):
                value.line = at  # where its key stands: what is missing inside is missed there
            if not isinstance(key, Scalar) or key.secret:
                self._problems.add(self._file, at, path or "yaml", "a key is no word", "a word")
            elif key.text == _MERGE and not key.quoted:
                merged.append((value, at))
            elif key.text in node.items:
                first = node.key_lines[key.text]
                text = f"is here twice, first in line {first}"
                self._problems.add(self._file, at, value_path, text, "each key once")
            else:
                node.items[key.text] = value
                node.key_lines[key.text] = at
        for value, at in merged:
            self._merge(node, value, at, path)
        return node

    def _merge(self, node: Mapping, value: Node, line: int, path: str) -> None:
        """`<<: *other`: what `other` says and the mapping itself does not."""
        for source in value.items if isinstance(value, Listing) else [value]:
            if not isinstance(source, Mapping):
                where = below(path, _MERGE)
                self._problems.add(self._file, line, where, "takes in no keys", "<<: *anchor")
                continue
            self._spend(len(source.items), line)
            for key, item in source.items.items():
                if key not in node.items:
                    node.items[key] = item
                    node.key_lines[key] = source.key_lines[key]

    def _scalar(self, event: Any, line: int, path: str) -> Scalar:
        quoted = event.style is not None and event.style != ""
        node = Scalar(self._file, line, event.value, quoted)
        tag = event.tag
        if tag is None or not tag.startswith("!") or tag == "!":
            return node
        name = event.value.strip()
        found = None
        if tag == "!env":
            found = os.environ.get(name)
            if found is None:
                text = f"the environment has no {shown(name)}"
                allowed = "a variable set before vbms starts"
                self._problems.add(self._file, line, path or "yaml", text, allowed)
        elif tag == "!secret" and self._secrets is not None:
            found = self._secrets.find(name, node, path or "yaml", self._problems)
        else:
            self._problems.add(self._file, line, path or "yaml", *_tag_trouble(tag))
        return Resolved(self._file, line, found)


def from_plain(value: object, file: str) -> Node:
    """A tree of values that came some other way, such as JSON; all of it in line 1."""
    if isinstance(value, dict):
        node = Mapping(file, 1)
        for key, item in value.items():
            node.items[str(key)] = from_plain(item, file)
        return node
    if isinstance(value, (list, tuple)):
        listing = Listing(file, 1)
        listing.items = [from_plain(item, file) for item in value]
        return listing
    if isinstance(value, bool):
        return Scalar(file, 1, "true" if value else "false", False)
    return Scalar(file, 1, "null" if value is None else str(value), isinstance(value, str))


class Resolved(Scalar):
    """What !secret or !env stood for; `known` is False where it could not be found."""

    __slots__ = ("known",)

    def __init__(self, file: str, line: int, text: str | None):
        super().__init__(file, line, text or "", False, secret=True)
        self.known = text is not None

    @property
    def is_null(self) -> bool:
        return False


def _tag_trouble(tag: str) -> tuple[str, str]:
    return f"unknown tag {shown(tag)}", "!secret NAME or !env NAME"
