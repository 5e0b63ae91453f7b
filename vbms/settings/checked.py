"""Rows of keys against a tree: every good value, every problem. The only user of pydantic at load.

It is pydantic's core alone, one small schema for each set of rows: a reload checks everything
within milliseconds while inverters are being answered, and a Pi does not carry the models about.
What comes out is plain: a dict of the keys that were given, each with its value in the program's
units. The JSON Schema, made of full models, is in schema.py.
"""

from collections.abc import Sequence
from typing import Any

from pydantic_core import PydanticCustomError, SchemaValidator, ValidationError, core_schema

from vbms.options import Option
from vbms.settings.problems import Problems, below, choose_from
from vbms.settings.text import Mapping
from vbms.settings.values import Given, Wrong, allowed, read


class Checker:
    """Validators by their rows, built once a load."""

    def __init__(self, problems: Problems):
        self._problems = problems
        self._known: dict[tuple[int, bool], tuple[Sequence[Option], SchemaValidator]] = {}

    def check(
        self,
        node: Mapping,
        rows: Sequence[Option],
        path: str,
        *,
        rank: int = 0,
        others: Sequence[str] = (),
        partial: bool = False,
    ) -> "tuple[dict[str, Given], set[str]]":
        """(good values by key, keys that are wrong or missing); what is wrong becomes a problem.

        `others` are keys somebody else reads; `partial`: nothing is required, as in a profile.
        """
        good: dict[str, Given] = {}
        bad: set[str] = set()
        data = {key: value for key, value in node.items.items() if key not in others}
        try:
            self._validator(rows, partial).validate_python(data)
        except ValidationError as error:
            for fault in error.errors(include_url=False, include_input=False):
                bad.add(str(fault["loc"][0]))
                self._report(node, path, fault, [*(row.name for row in rows), *others], rows)
        for row in rows:
            if row.name in data and row.name not in bad:
                line = node.line_of(row.name)
                value = read(row, data[row.name])
                where = below(path, row.name)
                good[row.name] = Given(value, node.file, line, where, rank)
        return good, bad

    def _report(
        self, node: Mapping, path: str, fault: Any, known: Sequence[str], rows: Sequence[Option]
    ) -> None:
        key = str(fault["loc"][0])
        where = below(path, key)
        line = node.line_of(key)
        kind = fault["type"]
        if kind == "extra_forbidden":
            self._problems.add(node.file, line, where, "unknown key", choose_from(key, known))
        elif kind == "missing":
            row = next(row for row in rows if row.name == key)
            self._problems.add(node.file, node.line, where, "is missing", allowed(row))
        else:
            for tail, at, text, about in fault["ctx"]["faults"]:
                self._problems.add(node.file, at, where + tail, text, about)

    def _validator(self, rows: Sequence[Option], partial: bool) -> SchemaValidator:
        known = self._known.get((id(rows), partial))
        if known is None:
            # The rows are kept with it: their id names them as long as they live.
            known = (rows, validator_of(rows, partial))
            self._known[id(rows), partial] = known
        return known[1]


def validator_of(rows: Sequence[Option], partial: bool = False) -> SchemaValidator:
    """One field a row; unknown keys are errors, and with `partial` no key is missed."""
    fields = {
        row.name: core_schema.typed_dict_field(
            core_schema.no_info_plain_validator_function(_reader(row)),
            required=row.required and not partial,
        )
        for row in rows
    }
    return SchemaValidator(core_schema.typed_dict_schema(fields, extra_behavior="forbid"))


def _reader(row: Option) -> Any:
    def take(node: Any) -> object:
        try:
            return read(row, node)
        except Wrong as error:
            raise PydanticCustomError("wrong", "wrong", {"faults": error.faults}) from None

    return take
