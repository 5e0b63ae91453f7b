"""Who shares a link, and who may not: batteries and inverters of a file, all together."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from vbms.lines.kinds import BLE
from vbms.settings.drivers import Driver
from vbms.settings.lines import Lines
from vbms.settings.problems import Problems
from vbms.settings.rules import Place, check_unique
from vbms.settings.values import allowed

if TYPE_CHECKING:
    from vbms.settings.entries import Entry


class Neighbours:
    """The entries of a file, link by link; what cannot be is said to `problems`."""

    def __init__(
        self,
        batteries: "Sequence[Entry]",
        inverters: "Sequence[Entry]",
        lines: Lines,
        problems: Problems,
    ):
        self.batteries = batteries
        self.inverters = inverters
        self._lines = lines
        self._problems = problems

    def compare(self) -> None:
        addresses: list[tuple[object, str, Place]] = []
        for one in self.batteries:
            address = one.good.get("address")
            known = one.driver
            if known is None or not one.text("link"):
                continue
            if address is not None and not known.alone:
                identity = (one.text("link"), known.protocol, address.value)
                addresses.append((identity, str(address.value), one.place("address")))
            elif known.alone or (
                "address" not in one.bad
                and any(o.name == "address" and not o.required for o in known.options)
            ):
                alone = (one.text("link"), known.protocol, None)
                said = f"{one.text('link')} without an address"
                addresses.append((alone, said, one.place("link" if known.alone else "address")))
        check_unique(addresses, "an address once for each link and protocol", self._problems)
        self._compare_kinds()
        self._compare_air()
        self._compare_masters()
        self._warn_of_dummies()
        outputs: list[tuple[object, str, Place]] = []
        polled = {one.text("link"): one for one in reversed(self.batteries)}
        for one in self.inverters:
            link = one.text("link")
            if not link:
                continue
            place = one.place("link")
            if one.driver is not None:
                outputs.append(((link, one.driver.protocol), link, place))
            if link in polled:
                text = f"{link} is the line of {polled[link].place().name}; on an inverter's line "
                text += "the inverter asks, and vbms must not"
                where = (place.file, place.line, place.key)
                self._problems.add(*where, text, "a link without batteries")
        check_unique(outputs, "one inverter for each link and protocol", self._problems)
        self._compare_protocols()

    def _compare_protocols(self) -> None:
        """One inverter may ask in two protocols on one link, if one line can answer both."""
        first: dict[str, Entry] = {}
        for one in self.inverters:
            link = one.text("link")
            if one.driver is None or not link:
                continue
            other = first.setdefault(link, one)
            if other.driver is None or other.driver.protocol == one.driver.protocol:
                continue
            if not (other.driver.joins and one.driver.joins):
                place = one.place("link")
                text = f"{one.driver.protocol} cannot share {link} with {other.driver.protocol}"
                self._problems.add(place.file, place.line, place.key, text, "a link of its own")

    def _compare_kinds(self) -> None:
        """Batteries that are asked in different ways do not share a link."""
        first: dict[str, Entry] = {}
        for one in self.batteries:
            link = one.text("link")
            if one.driver is None or not link:
                continue
            self._check_address(one, one.driver)
            other = first.setdefault(link, one)
            if self._line_of(other) == self._line_of(one):
                if other is not one and other.driver is not None:
                    self._compare_framing(one, one.driver, other, other.driver)
            else:
                assert other.driver is not None
                place = one.place("link")
                text = f"{one.driver.protocol} cannot share {link} with {other.place().name}, "
                text += f"a {other.driver.protocol}"
                self._problems.add(place.file, place.line, place.key, text, "a link of its own")

    def _compare_air(self) -> None:
        """Simulated Bluetooth stands in for the whole machine's."""
        real = simulated = None
        for one in self.batteries:
            line = self._lines.by_name.get(one.text("link"))
            if one.driver is None or line is None or self._line_of(one) != BLE:
                continue
            if line.kind == "simulate":
                simulated = one
            else:
                real = one
        if real is not None and simulated is not None:
            place = simulated.place("link")
            text = f"simulated Bluetooth beside the real one of {real.place().name}"
            self._problems.add(place.file, place.line, place.key, text, "one or the other")

    def _compare_masters(self) -> None:
        """A unit that asks the others makes its line one that is only listened to."""
        for one in self.batteries:
            known, link = one.driver, one.text("link")
            if known is None or known.master is None or one.value("address") != known.master:
                continue
            others = [
                other
                for other in self.batteries
                if other.text("link") == link
                and other.driver is not None
                and other.driver.protocol != known.protocol
            ]
            if others and others[0].driver is not None:
                place = one.place("address")
                text = f"{one.value('address')} asks all others on {link} itself: "
                text += f"a {others[0].driver.protocol} is never heard there"
                allowed = "a link of its own, or another address"
                self._problems.add(place.file, place.line, place.key, text, allowed)

    def _warn_of_dummies(self) -> None:
        """A real inverter that is told of a battery that nobody has."""
        told = [
            one.text("name")
            for one in self.inverters
            if (line := self._lines.by_name.get(one.text("link"))) and line.kind != "simulate"
        ]
        for one in self.batteries:
            if (
                told
                and one.driver is not None
                and one.driver.made_up
                and one.value("enabled", True)
            ):
                place = one.place("profile")
                text = f"is no battery, and {told[0]} is told that it is one"
                where = (place.file, place.line, place.key)
                self._problems.warn(*where, text, "no dummy beside a real inverter")

    def _line_of(self, one: "Entry") -> str:
        line = self._lines.by_name.get(one.text("link"))
        assert one.driver is not None
        return one.driver.line(line.kind if line else "", one.value("address"))

    def _check_address(self, one: "Entry", known: Driver) -> None:
        """A driver that takes an address where units share a medium, and none where they do not."""
        own = [option for option in known.options if option.name == "address"]
        if not own or own[0].required or own[0].default is not None:
            return
        line = self._lines.by_name.get(one.text("link"))
        has_one = one.value("address") is not None
        if line is None or "address" in one.bad or line.kind == "simulate":
            return
        place = one.place("address" if has_one else "")
        where = (place.file, place.line, f"{one.path}.address")
        if line.kind == "ble" and not has_one:
            option = next(option for option in known.options if option.name == "address")
            self._problems.add(*where, f"is missing on {line.name}, a ble link", allowed(option))
        elif line.kind != "ble" and has_one:
            text = f"a {known.protocol} has none on {line.name}, a {line.kind} link"
            self._problems.add(*where, text, "no address, and one battery on the link")

    def _compare_framing(
        self, one: "Entry", driver: Driver, other: "Entry", others: Driver
    ) -> None:
        """Frames stand in one way on a link, and some devices serve one client alone."""
        link, place = one.text("link"), one.place("link")
        if driver.protocol != others.protocol and (driver.alone or others.alone):
            text = f"{link} is taken by {other.place().name}"
            allowed = f"a {(driver if driver.alone else others).protocol} has a link of its own"
            self._problems.add(place.file, place.line, place.key, text, allowed)
        elif one.value("framing", "auto") != other.value("framing", "auto"):
            text = f"framing is another than {other.place().name}'s on {link}"
            self._problems.add(place.file, place.line, place.key, text, "one framing for each link")
