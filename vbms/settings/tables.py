"""Options that are more than one value: rows of keys, and lists of whole numbers."""

from typing import Any

from vbms.options import INT, INTS, Option, Table
from vbms.settings.problems import choose_from
from vbms.settings.text import Listing, Mapping, Node, Scalar
from vbms.settings.values import Fault, Wrong, allowed, read


def read_any(option: Option, node: Node) -> object:
    """A tuple of rows or of numbers; raises Wrong with every fault, each at its line."""
    if isinstance(option, Table):
        return _read_table(option, node)
    assert option.kind == INTS
    return _read_ints(option, node)


def _read_ints(option: Option, node: Node) -> tuple[int, ...]:
    if isinstance(node, Mapping):
        raise Wrong(("", node.line, f"is {node.shown()}", allowed(option)))
    items = node.items if isinstance(node, Listing) else [node]
    one = Option(option.name, INT, required=True, low=option.low, high=option.high)
    found: list[int] = []
    faults: list[Fault] = []
    for at, item in enumerate(items):
        try:
            value = read(one, item)
            assert isinstance(value, int)
            found.append(value)
        except Wrong as error:
            tail = f"[{at}]" if isinstance(node, Listing) else ""
            faults += [(tail + path, line, text, about) for path, line, text, about in error.faults]
    if faults:
        raise Wrong(*faults)
    return tuple(found)


def _read_table(option: Table, node: Node) -> tuple[tuple[object, ...], ...]:
    if isinstance(node, Scalar) and node.is_null:
        return ()
    if not isinstance(node, Listing):
        raise Wrong(("", node.line, f"is {node.shown()}, no list of rows", allowed(option)))
    rows: list[tuple[object, ...]] = []
    faults: list[Fault] = []
    for at, item in enumerate(node.items):
        if not isinstance(item, Mapping):
            text = f"is {item.shown()}, no row"
            faults.append((f"[{at}]", item.line, text, allowed(option)))
            continue
        row, wrong = _read_row(option, item)
        faults += [(f"[{at}]{path}", line, text, about) for path, line, text, about in wrong]
        rows.append(tuple(row))
    if not faults:
        for at, column, text, about in option.check(rows):
            item = node.items[at]
            line = item.line_of(column) if isinstance(item, Mapping) else item.line
            tail = f".{column}" if column else ""
            faults.append((f"[{at}]{tail}", line, text, about))
    if faults:
        raise Wrong(*faults)
    return tuple(rows)


def _read_row(option: Table, item: Mapping) -> tuple[list[Any], list[Fault]]:
    names = [column.name for column in option.columns]
    faults: list[Fault] = [
        (f".{name}", item.line_of(name), "unknown key", choose_from(name, names))
        for name in item.items
        if name not in names
    ]
    row: list[Any] = []
    for column in option.columns:
        if column.name not in item.items:
            if column.required:
                faults.append((f".{column.name}", item.line, "is missing", allowed(column)))
            row.append(() if column.kind == INTS else column.default)
            continue
        try:
            row.append(read(column, item.items[column.name]))
        except Wrong as error:
            row.append(None)
            faults += [
                (f".{column.name}{path}", line, text, about)
                for path, line, text, about in error.faults
            ]
    return row, faults
