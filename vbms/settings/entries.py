"""The `batteries:` and `inverters:` sections: each entry with its profile, then all together.

A value comes from the entry itself, else from `bank:` (limits only), else from its profile and
what that extends, else it is the default.
"""

from typing import cast

from vbms.settings import forms, keys, rules, shares
from vbms.settings.drivers import Driver, Rows, driver, protocols
from vbms.settings.lines import Lines
from vbms.settings.neighbours import Neighbours
from vbms.settings.problems import choose_from, shown
from vbms.settings.profiles import Profile, Profiles
from vbms.settings.rules import Place, check_unique
from vbms.settings.sections import Sections
from vbms.settings.text import Mapping, Scalar
from vbms.settings.values import Given, human

BANK_RANK = 100
_PLACE_RANK = 200
OLDEST_MS = 150_000  # as long as the longest known battery adapter goes on with old values
_LIMITS = frozenset(row.name for row in keys.LIMIT_KEYS)


class Entry:
    """A battery or inverter being checked. `good` was said in place, `values` anywhere."""

    __slots__ = ("bad", "driver", "good", "node", "path", "profile", "values")

    def __init__(self, node: Mapping, path: str):
        self.node = node
        self.path = path
        self.profile: Profile | None = None
        self.driver: Driver | None = None
        self.values: dict[str, Given] = {}
        self.good: dict[str, Given] = {}
        self.bad: set[str] = set()

    def text(self, key: str) -> str:
        """A text that was given in place and is good, else ""."""
        given = self.good.get(key)
        return str(given.value) if given else ""

    def value(self, key: str, default: object = None) -> object:
        given = self.values.get(key)
        return default if given is None else given.value

    def place(self, key: str = "") -> Place:
        line = self.node.line_of(key) if key else self.node.line
        where = f"{self.path}.{key}" if key else self.path
        return Place(self.text("name") or self.path, self.node.file, line, where)


class Entries:
    """All batteries and inverters of a file."""

    def __init__(
        self,
        sections: Sections,
        lines: Lines,
        profiles: Profiles,
        rows: Rows,
        bank: "tuple[dict[str, Given], set[str]]",
    ):
        self._sections = sections
        self._problems = sections.problems
        self._lines = lines
        self._profiles = profiles
        self._rows = rows
        self._bank = bank[0]
        self._bank_limits = {name: one for name, one in bank[0].items() if name in _LIMITS}
        self._bank_bad = bank[1] & _LIMITS
        self.batteries: list[Entry] = []
        self.inverters: list[Entry] = []
        self.shares: dict[str, int] = {}  # of the bank's limits, by an inverter's link

    def read(self) -> None:
        self._sections.demand("batteries", "one entry at least")
        self.batteries = self._read(keys.BATTERY, "batteries")
        self.inverters = self._read(keys.INVERTER, "inverters")
        self._compare_names()
        Neighbours(self.batteries, self.inverters, self._lines, self._problems).compare()
        self._compare_slots()
        self.shares = shares.settle(self.inverters, self._problems)
        self._settle_speeds()
        self._compare_ages()
        given = self._bank.get("min_fresh")
        count = len(self.batteries)
        if given is not None and cast(int, given.value) > count > 0:
            text = f"{given.value} units can never be fresh"
            allowed = f"1..{count}, as many as there are batteries"
            self._problems.add(given.file, given.line, given.key, text, allowed)

    def _read(self, kind: str, section: str) -> list[Entry]:
        found = []
        for path, item in self._sections.items(self._sections.root, section):
            node = self._sections.group(item, path)
            if node is not None:
                found.append(self._entry(node, path, kind))
        return found

    def _entry(self, node: Mapping, path: str, kind: str) -> Entry:
        entry = Entry(node, path)
        named = node.items.get("profile")
        if isinstance(named, Scalar) and forms.is_profile_name(named.text):
            given = Given(named.text, node.file, node.line_of("profile"), f"{path}.profile")
            entry.profile = self._profiles.find(kind, given)
        protocol = self._protocol(entry, kind)
        entry.driver = driver(kind, protocol) if protocol is not None else None
        rows = self._rows.in_place(kind, protocol)
        entry.good, bad = self._sections.checker.check(node, rows, path, rank=_PLACE_RANK)
        if entry.profile is not None:
            entry.values |= entry.profile.values
            entry.bad |= entry.profile.bad
        if kind == keys.BATTERY:
            entry.values |= self._bank_limits
            entry.bad = (entry.bad - self._bank_limits.keys()) | self._bank_bad
        entry.values |= entry.good
        entry.bad = (entry.bad - entry.good.keys()) | bad
        self._check_link(entry)
        if kind == keys.INVERTER:
            self._check_inverter(entry)
        elif entry.driver is not None:
            unit = rules.Effective(entry.values, entry.bad, node.file, node.line, path)
            rules.check_unit(unit, entry.driver, self._problems)
        return entry

    def _protocol(self, entry: Entry, kind: str) -> str | None:
        """The driver's word, None where that is a problem by now."""
        node, profile = entry.node, entry.profile
        own = node.items.get("protocol")
        where = (node.file, node.line_of("profile"), f"{entry.path}.profile")
        protocol: str | None
        if isinstance(own, Scalar) and not own.is_null:
            protocol = own.text
            where = (node.file, own.line, f"{entry.path}.protocol")
        elif profile is None or profile.bad & {"protocol", "extends"}:
            return None
        else:
            protocol = profile.protocol
            given = profile.values.get("protocol")
            if given is not None:
                where = (given.file, given.line, given.key)
        known = protocols(kind)
        if protocol is None:
            name = profile.name if profile else ""
            text = f"{name} names no protocol: it is there to be extended"
            self._problems.add(*where, text, f"a profile with protocol: {', '.join(known)}")
        elif protocol not in known:
            text = f"there is no {kind} protocol {shown(protocol)}"
            self._problems.add(*where, text, choose_from(protocol, known))
        else:
            return protocol
        return None

    def _check_link(self, entry: Entry) -> None:
        given = entry.good.get("link")
        if given is None or not self._lines.are_there:
            return
        name = str(given.value)
        where = (given.file, given.line, given.key)
        line = self._lines.by_name.get(name)
        if line is None:
            if name not in self._lines.broken:
                known = [*self._lines.by_name, *self._lines.broken]
                text = f"there is no link {shown(name)}"
                self._problems.add(*where, text, choose_from(name, known))
        elif entry.driver is not None and line.kind not in entry.driver.links:
            text = f"{entry.driver.protocol} does not run over {name}, a {line.kind} link"
            self._problems.add(*where, text, "kind: " + ", ".join(entry.driver.links))

    def _check_inverter(self, entry: Entry) -> None:
        if entry.driver is not None:
            options: dict[str, object] = {row.name: row.default for row in entry.driver.options}
            options |= {name: entry.value(name) for name in options if name in entry.values}
            if not entry.bad & options.keys():
                for name, text, about in entry.driver.faults(options):
                    given = entry.values.get(name)
                    place = entry.place(name)
                    where = (place.file, place.line, place.key)
                    if given is not None:
                        where = (given.file, given.line, given.key)
                    self._problems.add(*where, text, about)
        shards = entry.value("shards")
        said = entry.values.get("present")
        if said is not None and entry.driver is not None and "present" not in entry.bad:
            if said.value not in entry.driver.presents:
                text = f"{entry.driver.protocol} cannot tell {said.value}"
                allowed = ", ".join(entry.driver.presents)
                self._problems.add(said.file, said.line, said.key, text, allowed)
                return
        if shards is None or entry.bad & {"present", "shards"}:
            return
        present = entry.value("present", "bank")
        given = entry.values["shards"]
        where = (given.file, given.line, given.key)
        if present == "units":
            self._problems.add(*where, f"{shards} means nothing with present: units", "auto")
        elif present == "shards" and shards == 1:
            text = "1 means never to divide, present: shards means to"
            self._problems.add(*where, text, "2..15 or auto; or present: bank")
        elif present == "bank" and shards != 1:
            text = f"{shards} counts only once the bank is too large for one address"
            self._problems.warn(*where, text, "present: shards uses them from the start")

    def _compare_names(self) -> None:
        named = [one for one in [*self.batteries, *self.inverters] if one.text("name")]
        names = [(one.text("name"), one.text("name"), one.place("name")) for one in named]
        check_unique(names, "each name once", self._problems)

    def _compare_slots(self) -> None:
        slots = []
        for at, one in enumerate(self.batteries):
            if "slot" not in one.bad:
                said = one.value("slot")
                slot = said if isinstance(said, int) else at
                slots.append((slot, isinstance(said, int), one.place()))
        by_unit = any(one.value("present") == "units" for one in self.inverters)
        rules.check_slots(slots, by_unit, self._problems)
        for one in self.inverters:
            most = one.driver.most_modules if one.driver is not None else None
            if most is not None and one.value("modules", "units") == "units":
                for slot, _, place in slots:
                    if slot >= most:
                        text = f"{place.name} is module {slot + 1}: {one.place().name} shows"
                        text += f" {most}, and the bank with all of them"
                        allowed = f"slots 0..{most - 1}"
                        self._problems.warn(place.file, place.line, place.key, text, allowed)

    def _compare_ages(self) -> None:
        """How long an inverter may be told what is no longer so."""
        ages = [0]
        for one in self.batteries:
            if not one.bad & {"poll_s", "fresh_s"} and one.value("enabled", True):
                unit = rules.Effective(one.values, one.bad, one.node.file, one.node.line, one.path)
                ages.append(rules.fresh_ms(unit))
        for one in self.inverters:
            silent = one.values.get("silent_after_s")
            if silent is not None and cast(int, silent.value) + max(ages) > OLDEST_MS:
                told = human(cast(int, silent.value) + max(ages), 1000)
                text = f"the last values are told for {told} s, fresh_s included"
                allowed = f"{human(OLDEST_MS, 1000)} s together"
                self._problems.warn(silent.file, silent.line, silent.key, text, allowed)

    def _settle_speeds(self) -> None:
        """A line that says no speed gets its profiles', if they agree."""
        for name, line in self._lines.by_name.items():
            if not line.wants_speed():
                continue
            speeds: dict[int, Entry] = {}
            for one in [*self.batteries, *self.inverters]:
                if one.text("link") == name and one.driver is not None and "baud" not in one.bad:
                    speed = one.value("baud") or one.driver.baud
                    if isinstance(speed, int):
                        speeds.setdefault(speed, one)
            if len(speeds) > 1:
                words = [f"{one.place().name} {speed}" for speed, one in speeds.items()]
                text = "is not set and the profiles differ: " + ", ".join(words)
                where = (line.node.file, line.node.line, f"{line.path}.baud")
                self._problems.add(*where, text, "one speed for the whole line")
            elif speeds:
                line.baud = next(iter(speeds))
