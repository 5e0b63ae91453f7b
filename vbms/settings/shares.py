"""Which part of the bank's limits each inverter is told, so that together they get no more.

A link is one inverter, in however many protocols it asks there. Those that state no share get
what the others leave, in equal parts. What draws nothing (a register map for monitoring) is told
the whole and takes nothing, unless it has a share.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING, cast

from vbms.settings.problems import Problems
from vbms.settings.values import human

if TYPE_CHECKING:
    from vbms.settings.entries import Entry

WHOLE = 100_000  # parts per hundred thousand: thousandths of a percent


def settle(inverters: "Sequence[Entry]", problems: Problems) -> dict[str, int]:
    """The share of each link's inverter; what cannot be is said."""
    stated: dict[str, Entry] = {}
    links: list[str] = []
    drawing: set[str] = set()
    for one in inverters:
        link = one.text("link")
        if not link:
            continue
        if link not in links:
            links.append(link)
        if one.driver is None or one.driver.draws:
            drawing.add(link)
        given = one.good.get("share")
        if given is None:
            continue
        before = stated.setdefault(link, one)
        if before.value("share") != given.value:
            text = f"{human(_share(one), 1000)} % is not what {before.place().name} says"
            allowed = f"one share for the inverter on {link}"
            problems.add(given.file, given.line, given.key, text, allowed)
    shares: dict[str, int] = {link: _share(one) for link, one in stated.items()}
    total = sum(shares.values())
    if total > WHOLE:
        last = list(stated.values())[-1]
        given = last.good["share"]
        text = f"the shares add up to {human(total, 1000)} %"
        problems.add(given.file, given.line, given.key, text, "100 % together")
        return {link: shares.get(link, 0) for link in links}
    rest = [link for link in links if link in drawing and link not in shares]
    for link in rest:
        shares[link] = (WHOLE - total) // len(rest)
        if not shares[link]:
            one = next(each for each in inverters if each.text("link") == link)
            place = one.place()
            text = f"{place.name} has no share, and the others leave nothing"
            problems.add(place.file, place.line, f"{place.key}.share", text, "100 % together")
    for link in links:
        shares.setdefault(link, WHOLE)
    return shares


def _share(one: "Entry") -> int:
    return cast(int, one.good["share"].value)
