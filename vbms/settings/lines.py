"""The `links:` section: what each line is, and that no two are one."""

import os
from collections.abc import Mapping as AnyMapping
from typing import cast

from vbms.settings import keys
from vbms.settings.build import values_of
from vbms.settings.problems import shown
from vbms.settings.rules import Place, check_unique
from vbms.settings.sections import Sections
from vbms.settings.text import Mapping, Scalar
from vbms.settings.values import Given, Wrong, read

TIMED = ("serial", "tcp", "simulate")  # kinds that have a speed
_WHERE = {"port", "host", "channel", "adapter", "interface"}


class Line:
    """One link while it is being checked; `baud` may still come from the profiles on it."""

    __slots__ = ("baud", "kind", "name", "node", "path", "values")

    def __init__(self, name: str, node: Mapping, kind: str, values: "dict[str, Given]"):
        self.name = name
        self.node = node
        self.path = f"links.{name}"
        self.kind = kind
        self.values = values
        baud = values.get("baud")
        self.baud = cast("int | None", baud.value) if baud else None

    def wants_speed(self) -> bool:
        """It has one and nobody said it; a wrong one was told."""
        said = "baud" in self.node.items and "baud" not in self.values
        return self.baud is None and self.kind in TIMED and not said


class Lines:
    """All links of a file."""

    def __init__(self, sections: Sections):
        self._sections = sections
        self.by_name: dict[str, Line] = {}
        self.broken: set[str] = set()  # named, but of no use: told already
        self.are_there = False

    def read(self) -> None:
        sections = self._sections
        sections.demand("links", "a name with its kind for each line")
        part = sections.part("links")
        if part is None:
            return
        self.are_there = True
        taken: list[tuple[object, str, Place]] = []
        for name, item in part.items.items():
            path = f"links.{shown(name)}"
            self._check_name(part, name, path)
            node = sections.group(item, path)
            line = self._read_line(name, node, path) if node is not None else None
            if line is None:
                self.broken.add(name)
                continue
            self.by_name[name] = line
            if _WHERE & set(line.node.items) <= set(line.values):
                values = values_of(keys.LINK_KEYS[line.kind], line.values)
                place = Place(path, line.node.file, line.node.line, path)
                for identity in identities(line.kind, values):
                    said = " ".join(str(word) for word in identity[1:])
                    taken.append((identity, said, place))
        check_unique(taken, "one link for each port", sections.problems)

    def _check_name(self, part: Mapping, name: str, path: str) -> None:
        try:
            read(keys.NAME_KEY, Scalar(part.file, part.line_of(name), name, True))
        except Wrong as error:
            for _, line, text, about in error.faults:
                self._sections.problems.add(part.file, line, path, text, about)

    def _read_line(self, name: str, node: Mapping, path: str) -> Line | None:
        head = Mapping(node.file, node.line)
        if "kind" in node.items:
            head.items["kind"] = node.items["kind"]
            head.key_lines["kind"] = node.line_of("kind")
        found, _ = self._sections.checker.check(head, keys.LINK_ROWS, path)
        if "kind" not in found:
            return None
        kind = str(found["kind"].value)
        rows = keys.LINK_KEYS[kind]
        good, _ = self._sections.checker.check(node, rows, path, others=("kind",))
        return Line(name, node, kind, good)


def identities(kind: str, values: "AnyMapping[str, object]") -> "list[tuple[object, ...]]":
    """What no two links may share: a port by whatever name it has (it is looked at, not opened)."""
    if kind == "serial" and values["port"] is not None:
        return [("port", os.path.realpath(str(values["port"])))]
    if kind == "tcp" and values["host"] is not None:
        return [("tcp", str(values["host"]).lower(), values["tcp_port"])]
    if kind == "i2c":
        return [("i2c", values["i2c_bus"])]
    if kind == "ble":
        return [("ble", values["adapter"])]
    if kind == "can" and values["channel"] is not None:
        channel = str(values["channel"])
        if channel.startswith("/"):
            return [("port", os.path.realpath(channel))]
        return [("can", values["interface"], channel)]
    return []
