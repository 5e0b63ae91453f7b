"""Numbers on the command line."""

import math
import typing

import click


class Real(click.FloatRange):
    """A number within bounds; `nan` passes every comparison and `inf` every one-sided bound."""

    def convert(
        self, value: typing.Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> float:
        number = super().convert(value, param, ctx)
        if not math.isfinite(number):
            self.fail(f"{value!r} is not a finite number.", param, ctx)
        return float(number)
