"""vbms.yaml changed by a program: some keys get other values, all else stays as it was written.

A change is a tree of the keys that change: groups are merged key by key, `null` takes a key out, a
list replaces the list. `***` keeps what is there, so that what was shown can be sent back.
`!secret` and `!env` stay; comments do not, so the old file is kept beside the new one.
"""

import os
import time
from pathlib import Path

import yaml

from vbms.config import ConfigErrors, load_text
from vbms.errors import RefusedError

_KEPT = "***"
_DEEPEST = 20


class Draft:
    """A changed file that was checked and not written yet; `shown` is it with secrets masked."""

    def __init__(self, path: Path, before: str, text: str, shown: dict[str, object]) -> None:
        self.path = path
        self.before = before  # the file it was made from
        self.text = text
        self.shown = shown

    @classmethod
    def make(cls, path: Path, earlier: "Draft | None", patch: dict[str, object]) -> "Draft":
        """The file, or what was set before, with these changes. RefusedError says what is wrong."""
        before = _read(path)
        start = earlier.text if earlier is not None and earlier.before == before else before
        try:
            root = yaml.compose(start, Loader=yaml.SafeLoader)
        except yaml.YAMLError as error:
            raise RefusedError(f"{path} is no YAML any more: {error}", 409) from None
        changed = _patched(root, patch, "", 0)
        text = yaml.serialize(changed, Dumper=yaml.SafeDumper, allow_unicode=True, width=120)
        try:
            settings = load_text(text, path)
        except ConfigErrors as errors:
            lines = "; ".join(
                f"{each.key}: {each.text} ({each.allowed})" for each in errors.problems
            )
            raise RefusedError(lines) from None
        return cls(path, before, text, settings.masked())

    def save(self) -> str:
        """Write it, the old one kept beside it under the name given back. Raises RefusedError."""
        if _read(self.path) != self.before:
            raise RefusedError(f"{self.path} was changed by somebody else: set it anew", 409)
        kept = self.path.with_name(f"{self.path.name}.{time.strftime('%Y%m%dT%H%M%S')}")
        new = self.path.with_name(self.path.name + ".new")
        try:
            kept.write_text(self.before, encoding="utf-8")
            mode = self.path.stat().st_mode & 0o777
            with new.open("w", encoding="utf-8") as file:
                os.chmod(new, mode)
                file.write(self.text)
                file.flush()
                os.fsync(file.fileno())
            os.chmod(kept, mode)
            new.replace(self.path)
        except OSError as error:
            why = error.strerror or str(error)
            raise RefusedError(f"{self.path} cannot be written: {why}", 409) from None
        return kept.name


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8-sig")
    except (OSError, ValueError) as error:
        raise RefusedError(f"{path} cannot be read: {error}", 409) from None


def _patched(old: "yaml.Node | None", value: object, at: str, depth: int) -> yaml.Node:
    """The node for a value; what it leaves out of a group stays as it was."""
    if depth > _DEEPEST:
        raise RefusedError(f"{at}: lists or groups stand too deep inside each other")
    if isinstance(value, dict):
        pairs = list(old.value) if isinstance(old, yaml.MappingNode) else []
        for key, item in value.items():
            where = f"{at}.{key}" if at else str(key)
            found = [pair for pair in pairs if pair[0].value == key]
            rest = [pair for pair in pairs if pair[0].value != key]
            if item is None:
                pairs = rest
            elif found:
                node = _patched(found[0][1], item, where, depth + 1)
                pairs = [(name, node if name.value == key else each) for name, each in pairs]
            else:
                name = yaml.ScalarNode("tag:yaml.org,2002:str", str(key))
                pairs.append((name, _patched(None, item, where, depth + 1)))
        flow = old.flow_style if isinstance(old, yaml.MappingNode) else depth > 1
        return yaml.MappingNode("tag:yaml.org,2002:map", pairs, flow_style=flow)
    if isinstance(value, list):
        before = old.value if isinstance(old, yaml.SequenceNode) else []
        rows = [
            _patched(_alike(before, each, n), each, f"{at}[{n}]", depth + 1)
            for n, each in enumerate(value)
        ]
        flow = old.flow_style if isinstance(old, yaml.SequenceNode) else depth > 1
        return yaml.SequenceNode("tag:yaml.org,2002:seq", rows, flow_style=flow)
    if value == _KEPT:
        if old is None:
            raise RefusedError(f"{at}: *** keeps what is there, and nothing is")
        return old
    if isinstance(old, yaml.ScalarNode) and _says(old, value):
        return old
    return _scalar(value)


def _says(old: yaml.ScalarNode, value: object) -> bool:
    """The same as it was written, or as it was shown without a broker's password."""
    if not isinstance(value, str):
        return False
    written = str(old.value)
    scheme, mark, rest = value.partition("://***@")
    if mark:
        return written.startswith(scheme + "://") and written.endswith("@" + rest)
    return written == value


def _alike(before: "list[yaml.Node]", value: object, n: int) -> "yaml.Node | None":
    """What an entry of a list was before: the one of the same name, else the one in its place.

    Only to know what *** stands for: an entry of a list is replaced whole.
    """
    named = value.get("name") if isinstance(value, dict) else None
    found = before[n] if n < len(before) else None
    if named is not None:
        found = None
        for node in before:
            pairs = node.value if isinstance(node, yaml.MappingNode) else []
            if any(key.value == "name" and each.value == named for key, each in pairs):
                found = node
    if isinstance(found, yaml.MappingNode) and isinstance(value, dict):
        kept = [pair for pair in found.value if pair[0].value in value]
        return yaml.MappingNode(found.tag, kept, flow_style=found.flow_style)
    return found


def _scalar(value: object) -> yaml.Node:
    text = yaml.safe_dump(value, allow_unicode=True, width=10_000)
    node = yaml.compose(text, Loader=yaml.SafeLoader)
    assert isinstance(node, yaml.ScalarNode)
    return node
