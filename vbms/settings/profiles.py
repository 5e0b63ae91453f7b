"""Finding and reading profiles: the user's folder, then the shipped one, then what they extend.

`profiles/` beside vbms.yaml wins over the shipped folder, which lies in the installed package or,
in a checkout, beside it. A user's profile may extend the shipped one of its own name.
"""

from collections.abc import Callable, Sequence
from pathlib import Path

from vbms.options import Option
from vbms.settings import forms
from vbms.settings.checked import Checker
from vbms.settings.problems import Problems, choose_from, shown
from vbms.settings.text import Mapping, Scalar, Secrets, read_file
from vbms.settings.values import Given

_PACKAGE = Path(__file__).resolve().parents[1]


def shipped_folder() -> Path:
    """profiles/ of the installed package, else of the checkout."""
    inside = _PACKAGE / "profiles"
    return inside if inside.is_dir() else _PACKAGE.parent / "profiles"


def names_in(folder: Path, kind: str) -> list[str]:
    """The profiles of a kind in one folder, sorted."""
    return sorted(path.stem for path in (folder / kind).glob("*.yaml") if path.is_file())


class Profile:
    """A profile with all it extends: the values by key, the nearest file's first."""

    __slots__ = ("bad", "name", "protocol", "values")

    def __init__(
        self, name: str, protocol: str | None, values: "dict[str, Given]", bad: "set[str]"
    ):
        self.name = name
        self.protocol = protocol
        self.values = values
        self.bad = bad


class _File:
    """One profile file as read, before its keys are checked."""

    __slots__ = ("node", "path")

    def __init__(self, path: Path, node: Mapping | None):
        self.path = path
        self.node = node


class Profiles:
    """All profiles of one load; each file is read and its problems told once."""

    def __init__(
        self,
        folder: Path,
        checker: Checker,
        problems: Problems,
        secrets: Secrets,
        rows_for: "Callable[[str, str | None], Sequence[Option]]",
    ):
        self._folders = [folder / "profiles", shipped_folder()]
        self._checker = checker
        self._problems = problems
        self._secrets = secrets
        self._rows_for = rows_for
        self._files: dict[Path, _File] = {}
        self._profiles: dict[tuple[str, str], Profile | None] = {}

    def names(self, kind: str) -> list[str]:
        """Every profile that could be named."""
        return sorted({name for folder in self._folders for name in names_in(folder, kind)})

    def find(self, kind: str, given: Given) -> Profile | None:
        """The profile that a battery or inverter names; None once that is a problem."""
        name = str(given.value)
        if (kind, name) in self._profiles:
            profile = self._profiles[kind, name]
            if profile is None and not self._search(kind, name):
                self._missing(kind, name, given.file, given.line, given.key)
            return profile
        self._profiles[kind, name] = profile = self._load(kind, name, given)
        return profile

    def _missing(self, kind: str, name: str, file: str, line: int, key: str) -> None:
        text = f"there is no profile {kind}/{shown(name)}"
        self._problems.add(file, line, key, text, choose_from(name, self.names(kind)))

    def _search(self, kind: str, name: str) -> list[Path]:
        found = [folder / kind / f"{name}.yaml" for folder in self._folders]
        return [path for path in found if path.exists()]

    def _load(self, kind: str, name: str, given: Given) -> Profile | None:
        chain: list[_File] = []
        used: set[Path] = set()
        file, line, key, wanted = given.file, given.line, given.key, name
        while True:
            found = self._search(kind, wanted)
            fresh = [path for path in found if path.resolve() not in used]
            if not found:
                self._missing(kind, wanted, file, line, key)
                return None
            if not fresh:
                text = f"{shown(wanted)} extends itself"
                self._problems.add(file, line, key, text, "a base that does not lead back here")
                return None
            used.add(fresh[0].resolve())
            part = self._read(fresh[0])
            chain.append(part)
            if part.node is None:
                return None
            base = part.node.items.get("extends")
            if base is None:
                break
            if not isinstance(base, Scalar) or not forms.is_profile_name(base.text):
                break  # told when its keys are checked
            wanted, file, key = base.text, part.node.file, "extends"
            line = part.node.line_of("extends")
        return self._flatten(kind, name, chain)

    def _read(self, path: Path) -> _File:
        if path not in self._files:
            self._files[path] = _File(path, read_file(path, self._problems, self._secrets))
        return self._files[path]

    def _flatten(self, kind: str, name: str, chain: list[_File]) -> Profile:
        """Base first, so that what extends it overrides."""
        values: dict[str, Given] = {}
        bad: set[str] = set()
        protocol: str | None = None
        for rank, part in enumerate(reversed(chain)):
            assert part.node is not None
            own = part.node.items.get("protocol")
            if isinstance(own, Scalar) and not own.is_null:
                protocol = own.text
            rows = self._rows_for(kind, protocol)
            good, wrong = self._checker.check(part.node, rows, "", rank=rank, partial=True)
            values |= good
            bad = (bad - good.keys()) | wrong
        return Profile(name, protocol, values, bad)
