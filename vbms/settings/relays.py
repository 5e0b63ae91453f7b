"""The `relays:` section: chargers that are switched on and off."""

from collections.abc import Sequence

from vbms.settings import build, keys, shapes
from vbms.settings.problems import choose_from
from vbms.settings.rules import Place, check_unique
from vbms.settings.sections import Sections
from vbms.settings.text import Mapping

_COMMON = keys.RELAY_KEYS["simulate"]  # what every relay has
_FURTHER = {row.name for rows in keys.RELAY_KEYS.values() for row in rows if row not in _COMMON}


def read_relays(sections: Sections, batteries: Sequence[str]) -> "tuple[shapes.RelaySettings, ...]":
    """All relays of a file; what is wrong becomes a problem."""
    found = []
    names: list[tuple[object, str, Place]] = []
    wires: list[tuple[object, str, Place]] = []
    for path, item in sections.items(sections.root, "relays"):
        node = sections.group(item, path)
        output = _output(sections, node, path) if node is not None else None
        if node is None:
            continue
        rows, others = _COMMON, ("output", *sorted(_FURTHER))
        if output is not None:
            rows, others = keys.RELAY_KEYS[output], ("output",)
        good, bad = sections.checker.check(node, rows, path, others=others)
        if "name" in good:
            given = good["name"]
            name = str(given.value)
            names.append((name, name, Place(name, given.file, given.line, given.key)))
        if "of" in good and good["of"].value not in batteries:
            given = good["of"]
            text = f"there is no battery {given.value}"
            allowed = choose_from(str(given.value), batteries) + "; unset: the whole bank"
            sections.problems.add(given.file, given.line, given.key, text, allowed)
        if not bad and output is not None:
            made = build.relay(output, good)
            found.append(made)
            if output == "gpio":
                given = good["line"]
                place = Place(made.name, given.file, given.line, given.key)
                wires.append(((made.chip, made.line), str(made.line), place))
    check_unique(names, "each name once", sections.problems)
    check_unique(wires, "one relay for each line", sections.problems)
    return tuple(found)


def _output(sections: Sections, node: Mapping, path: str) -> str | None:
    head = Mapping(node.file, node.line)
    if "output" in node.items:
        head.items["output"] = node.items["output"]
        head.key_lines["output"] = node.line_of("output")
    found, _ = sections.checker.check(head, keys.RELAY_HEAD, path)
    return str(found["output"].value) if "output" in found else None
