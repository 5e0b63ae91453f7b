"""What is wrong with a file, in one line a person can act on; every problem is kept, not the first.

vbms.yaml:14: batteries[1].address: 300 is out of range (0..255)
"""

import difflib
from collections.abc import Iterable

from vbms.errors import ConfigError

_LONGEST = 60  # of a value quoted in a message


class Problem:
    """One thing to change: where it stands, its key, what is wrong and what is allowed."""

    __slots__ = ("allowed", "file", "key", "line", "text")

    def __init__(self, file: str, line: int, key: str, text: str, allowed: str = ""):
        self.file = file
        self.line = line
        self.key = key
        self.text = text
        self.allowed = allowed

    def __str__(self) -> str:
        allowed = f" ({self.allowed})" if self.allowed else ""
        return f"{self.file}:{self.line}: {self.key}: {self.text}{allowed}"

    def row(self) -> dict[str, str | int]:
        """The same for --json."""
        return {
            "file": self.file,
            "line": self.line,
            "key": self.key,
            "text": self.text,
            "allowed": self.allowed,
        }


class ConfigErrors(ConfigError):
    """Everything that is wrong with a configuration; `problems` in the order of the files."""

    def __init__(self, problems: Iterable[Problem]):
        self.problems = tuple(problems)
        super().__init__("\n".join(self.lines()))

    def lines(self) -> list[str]:
        """One line each, as `vbms check` prints them."""
        return [str(problem) for problem in self.problems]


class Problems:
    """Collects, each problem once, though five batteries share the profile that has it."""

    __slots__ = ("_main", "_seen", "errors", "warnings")

    def __init__(self, main: str = "") -> None:
        self._main = main  # this file's problems come first
        self.errors: list[Problem] = []
        self.warnings: list[Problem] = []
        self._seen: set[str] = set()

    def add(self, file: str, line: int, key: str, text: str, allowed: str = "") -> None:
        self._keep(self.errors, Problem(file, line, key, text, allowed))

    def warn(self, file: str, line: int, key: str, text: str, allowed: str = "") -> None:
        """Not wrong, but surely not what was meant."""
        self._keep(self.warnings, Problem(file, line, key, text, allowed))

    def _keep(self, into: list[Problem], problem: Problem) -> None:
        if str(problem) not in self._seen:
            self._seen.add(str(problem))
            into.append(problem)

    def stop(self) -> None:
        """Raises ConfigErrors if anything is wrong, the main file's lines first."""
        if self.errors:
            raise ConfigErrors(
                sorted(self.errors, key=lambda p: (p.file != self._main, p.file, p.line))
            )


def nearest(word: str, known: Iterable[str]) -> str:
    """The known word that was probably meant, or "" where none is like it."""
    by_lower = {name.lower(): name for name in known}
    found = difflib.get_close_matches(word.lower(), by_lower, n=1, cutoff=0.5)
    return by_lower[found[0]] if found else ""


def choose_from(word: str, known: Iterable[str]) -> str:
    """What is allowed in place of `word`: the nearest one first, then a list if it is short."""
    names = sorted(known)
    if not names:
        return "none is there"
    near = nearest(word, names)
    if near and len(names) > 8:
        return f"nearest known: {near}"
    return f"nearest: {near}; known: {', '.join(names)}" if near else f"known: {', '.join(names)}"


def below(path: str, key: str) -> str:
    """A key's path, from its parent's."""
    name = shown(key) or '""'
    return f"{path}.{name}" if path else name


def shown(text: str) -> str:
    """A value as a message quotes it: on one line, printable, not too long."""
    if len(text) > _LONGEST:
        text = text[: _LONGEST - 3] + "..."
    return "".join(c if c.isprintable() else repr(c)[1:-1] for c in text)
