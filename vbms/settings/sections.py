"""The top of vbms.yaml: sections that are groups of keys, sections that are lists."""

from collections.abc import Sequence

from vbms.options import Option
from vbms.settings.checked import Checker
from vbms.settings.problems import Problems
from vbms.settings.text import Listing, Mapping, Node, Scalar
from vbms.settings.values import Given


def called(node: Node) -> str:
    """What somebody put where a group or a list belongs."""
    if isinstance(node, Scalar):
        return "nothing" if node.is_null else f"the value {node.shown()}"
    return node.shown()


def is_absent(node: Node | None) -> bool:
    """Not there, or `key:` with nothing behind it."""
    return node is None or (isinstance(node, Scalar) and node.is_null)


class Sections:
    """One file's sections; what has the wrong shape becomes a problem and counts as absent."""

    def __init__(self, root: Mapping, checker: Checker, problems: Problems):
        self.root = root
        self.checker = checker
        self.problems = problems

    def group(self, node: Node, path: str) -> Mapping | None:
        """The node if it is a group of keys."""
        if isinstance(node, Mapping):
            return node
        text = f"is {called(node)}"
        self.problems.add(node.file, node.line, path, text, "a group of keys")
        return None

    def part(self, name: str) -> Mapping | None:
        """A section that is a group of keys."""
        node = self.root.items.get(name)
        if node is None or is_absent(node):
            return None
        return self.group(node, name)

    def checked(
        self, name: str, rows: Sequence[Option], others: Sequence[str] = ()
    ) -> "dict[str, Given] | None":
        """The good values of such a section, None where it is absent."""
        node = self.part(name)
        return None if node is None else self.checker.check(node, rows, name, others=others)[0]

    def items(self, parent: Mapping, name: str, path: str = "") -> "list[tuple[str, Node]]":
        """(path, entry) of what a list holds."""
        path = path or name
        node = parent.items.get(name)
        if node is None or is_absent(node):
            return []
        if not isinstance(node, Listing):
            text = f"is {called(node)}"
            self.problems.add(node.file, node.line, path, text, "a list, each entry with `- `")
            return []
        return [(f"{path}[{at}]", item) for at, item in enumerate(node.items)]

    def demand(self, name: str, allowed: str) -> None:
        """A problem if this section is absent or empty; a wrong shape was told already."""
        node = self.root.items.get(name)
        empty = isinstance(node, (Mapping, Listing)) and not node.items
        if is_absent(node) or empty:
            line = self.root.line_of(name) if name in self.root.items else 1
            self.problems.add(self.root.file, line, name, "is missing", allowed)
