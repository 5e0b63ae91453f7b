"""Derating curves: lists of [x, percent] to points of (x, permille), and what makes one sensible.

A curve is safe when x rises strictly, the share moves in the one direction that protects, and it
reaches 0 where the cell must be left alone.
"""

from vbms.options import MILLI, Option
from vbms.settings.text import Listing, Node, Scalar
from vbms.settings.values import Fault, Key, Wrong, allowed, human, read

Points = tuple[tuple[int, int], ...]

FALLS, RISES, HUMP = "falls", "rises", "rises, then falls"
_FORM = "points as [x, percent], x rising"


class Shape:
    """What a derating curve must look like: x range and unit, direction, where it must reach 0."""

    __slots__ = (
        "direction",
        "ends_at_zero",
        "high",
        "low",
        "may_be_off",
        "starts_at_zero",
        "x_scale",
    )

    def __init__(
        self,
        low: int,
        high: int,
        direction: str,
        *,
        x_scale: int = 1000,
        starts_at_zero: bool = False,
        ends_at_zero: bool = False,
        may_be_off: bool = False,
    ):
        self.low = low
        self.high = high
        self.direction = direction
        self.x_scale = x_scale
        self.starts_at_zero = starts_at_zero
        self.ends_at_zero = ends_at_zero
        self.may_be_off = may_be_off

    def read(self, option: Option, node: Node) -> "Points":
        """The points of a list in YAML; raises Wrong with every fault, each at its point."""
        points = _read_points(self, node)
        faults = _shape_faults(self, points, node) if isinstance(node, Listing) else []
        if faults:
            raise Wrong(*faults)
        return tuple(points)


def _read_points(shape: Shape, node: Node) -> list[tuple[int, int]]:
    if not isinstance(node, Listing):
        off = isinstance(node, Scalar) and (node.is_null or node.text in ("off", "none"))
        if off and shape.may_be_off:
            return []
        raise Wrong(("", node.line, f"is {node.shown()}, no list of points", _FORM))
    if not node.items and not shape.may_be_off:
        raise Wrong(("", node.line, "has no points", _FORM))
    faults: list[Fault] = []
    points: list[tuple[int, int]] = []
    for at, item in enumerate(node.items):
        try:
            points.append(_read_point(shape, item))
        except Wrong as error:
            faults += [(f"[{at}]{f[0]}", f[1], f[2], f[3]) for f in error.faults]
    if faults:
        raise Wrong(*faults)
    return points


def _read_point(shape: Shape, item: Node) -> tuple[int, int]:
    if not isinstance(item, Listing) or len(item.items) != 2:
        raise Wrong(("", item.line, f"is {item.shown()}, no point", "[x, percent], two numbers"))
    x = Key("x", MILLI, scale=shape.x_scale, low=shape.low, high=shape.high)
    share = Key("percent", MILLI, scale=10, low=0, high=1000, unit="%")
    values: list[int] = []
    faults: list[Fault] = []
    for option, part in zip((x, share), item.items, strict=True):
        try:
            if isinstance(part, Scalar) and part.is_null:
                raise Wrong(("", part.line, f"has no {option.name}", allowed(option)))
            value = read(option, part)
            assert isinstance(value, int)
            values.append(value)
        except Wrong as error:
            faults += error.faults
    if faults:
        raise Wrong(*faults)
    return values[0], values[1]


def _shape_faults(shape: Shape, points: list[tuple[int, int]], node: Listing) -> list[Fault]:
    faults: list[Fault] = []
    falling = shape.direction == FALLS
    for at in range(1, len(points)):
        (x, share), (before, held) = points[at], points[at - 1]
        line = node.items[at].line
        here = f"point [{human(x, shape.x_scale)}, {human(share, 10)}]"
        if x <= before:
            what = (
                "stands on the point before" if x == before else "goes back behind the point before"
            )
            faults.append(
                (f"[{at}]", line, f"{here} {what}", f"x above {human(before, shape.x_scale)}")
            )
        if share > held and falling:
            limit = f"{human(held, 10)} % or less"
            if shape.direction == HUMP:
                limit += ", the curve fell already"
            faults.append((f"[{at}]", line, f"{here} rises", limit))
        if share < held:
            if shape.direction == RISES:
                faults.append((f"[{at}]", line, f"{here} falls", f"{human(held, 10)} % or more"))
            elif shape.direction == HUMP:
                falling = True
    if not points:
        return faults
    for wanted, at, which in (
        (shape.starts_at_zero, 0, "first"),
        (shape.ends_at_zero, len(points) - 1, "last"),
    ):
        if wanted and points[at][1]:
            text = f"the {which} point leaves {human(points[at][1], 10)} % outside the curve"
            faults.append((f"[{at}]", node.items[at].line, text, f"0 % at the {which} point"))
    return faults
