"""A file to Settings: read it all, check it all, complain about it all, and only then build.

Each section is checked by its rows of keys, each battery and inverter by its driver's options as
well; then the rules about what must agree and what must differ. Nothing is opened but text files.
"""

import os
from collections.abc import Mapping as AnyMapping
from collections.abc import Sequence
from pathlib import Path
from typing import cast

from vbms.aggregate.profile import BankProfile, UnitProfile
from vbms.integers import ceil_div
from vbms.options import Option
from vbms.settings import keys, rules, shapes
from vbms.settings.checked import Checker
from vbms.settings.drivers import Driver, Rows, driver, protocols
from vbms.settings.problems import Problems, choose_from, shown
from vbms.settings.profiles import Profile, Profiles
from vbms.settings.text import (
    Listing,
    Mapping,
    Node,
    Scalar,
    Secrets,
    from_plain,
    read_file,
    read_text,
)
from vbms.settings.values import Given, Key, Wrong, number, read

_BANK_RANK = 100
_PLACE_RANK = 200
_SECTIONS = (
    "site",
    "links",
    "batteries",
    "inverters",
    "bank",
    "web",
    "mqtt",
    "history",
    "simulate",
)
_T35_FAST_US = (
    1750  # above 19200 baud 3.5 characters count as 1.75 ms (Modbus over serial line, 2.5.1.1)
)
_T35_FAST_ABOVE = 19200


def t35_us(baud: int | None) -> int:
    """3.5 characters of 10 bits at this speed, rounded up; 0 where there is no speed."""
    if not baud:
        return 0
    return _T35_FAST_US if baud > _T35_FAST_ABOVE else ceil_div(35_000_000, baud)


class _Entry:
    """A battery or inverter while it is being checked."""

    __slots__ = ("bad", "driver", "effective", "good", "node", "path", "profile", "values")

    def __init__(self, node: Mapping, path: str):
        self.node = node
        self.path = path
        self.profile: Profile | None = None
        self.driver: Driver | None = None
        self.values: dict[str, Given] = {}
        self.good: dict[str, Given] = {}
        self.bad: set[str] = set()

    def text(self, key: str) -> str:
        """A text that was given and is good, else ""."""
        given = self.good.get(key)
        return str(given.value) if given else ""

    def value(self, key: str, default: object = None) -> object:
        given = self.values.get(key)
        return default if given is None else given.value

    def place(self, key: str = "") -> rules.Place:
        line = self.node.line_of(key) if key else self.node.line
        where = f"{self.path}.{key}" if key else self.path
        return rules.Place(self.text("name") or self.path, self.node.file, line, where)


class _Line:
    """A link while it is being checked."""

    __slots__ = ("baud", "kind", "name", "node", "path", "values")

    def __init__(self, name: str, node: Mapping, kind: str, values: "dict[str, Given]"):
        self.name = name
        self.node = node
        self.path = f"links.{name}"
        self.kind = kind
        self.values = values
        baud = values.get("baud")
        self.baud = cast("int | None", baud.value) if baud else None


class Loader:
    """One configuration file on its way to Settings."""

    def __init__(self, path: Path):
        self.path = path
        self.problems = Problems(str(path))
        self.secrets = Secrets(path.parent)
        self._rows = Rows()
        self._checker = Checker(self.problems)
        self._profiles = Profiles(
            path.parent, self._checker, self.problems, self.secrets, self._rows.in_profile
        )
        self._has_links = False
        self._lines: dict[str, _Line] = {}
        self._unusable: set[str] = set()  # links that were told to be wrong
        self._batteries: list[_Entry] = []
        self._inverters: list[_Entry] = []
        self._bank: dict[str, Given] = {}
        self._bank_bad: set[str] = set()

    def from_file(self) -> shapes.Settings:
        return self._run(read_file(self.path, self.problems, self.secrets))

    def from_text(self, text: str) -> shapes.Settings:
        return self._run(read_text(text, str(self.path), self.problems, self.secrets))

    def _run(self, root: Mapping | None) -> shapes.Settings:
        if root is None:
            self.problems.stop()
            raise AssertionError("a file without keys is a problem")
        top, _ = self._checker.check(root, (keys.STATE_DIR,), "", others=_SECTIONS)
        site = self._section(root, "site", keys.SITE_KEYS)
        self._read_links(root)
        self._bank, self._bank_bad = self._read_bank(root)
        self._batteries = self._entries(root, "batteries", keys.BATTERY)
        self._inverters = self._entries(root, "inverters", keys.INVERTER)
        self._compare()
        web = self._read_web(root)
        mqtt = self._section(root, "mqtt", keys.MQTT_KEYS)
        history = self._section(root, "history", keys.HISTORY_KEYS)
        simulate = self._read_simulate(root)
        self.problems.stop()

        made = shapes.Settings(cast("dict[str, object]", _show(root)))
        made.path = self.path
        made.site_name = str(_of(keys.SITE_KEYS, site)["name"])
        made.state_dir = self._state_dir(top)
        made.links = {name: self._link(line) for name, line in self._lines.items()}
        made.batteries = tuple(self._battery(at, one) for at, one in enumerate(self._batteries))
        made.inverters = tuple(self._inverter(one) for one in self._inverters)
        made.bank = self._bank_profile()
        made.web = web
        made.simulate = simulate
        made.mqtt = shapes.MqttSettings(**_of(keys.MQTT_KEYS, mqtt)) if mqtt else None
        made.history = None
        if history is not None:
            path = str(_of(keys.HISTORY_KEYS, history)["path"])
            made.history = shapes.HistorySettings(path=made.state_dir / path)
        made.warnings = tuple(self.problems.warnings)
        return made

    # Sections

    def _part(self, root: Mapping, name: str) -> Mapping | None:
        """A section that is a group of keys, None where it is not there."""
        node = root.items.get(name)
        if node is None or (isinstance(node, Scalar) and node.is_null):
            return None
        if not isinstance(node, Mapping):
            text = f"is {_called(node)}"
            self.problems.add(node.file, node.line, name, text, "a group of keys")
            return None
        return node

    def _section(
        self, root: Mapping, name: str, rows: "tuple[Key, ...]", others: "tuple[str, ...]" = ()
    ) -> "dict[str, Given] | None":
        node = self._part(root, name)
        if node is None:
            return None
        return self._checker.check(node, rows, name, others=others)[0]

    def _items(self, root: Mapping, name: str) -> "list[tuple[str, Node]]":
        """(path, entry) of a section that is a list."""
        node = root.items.get(name)
        if node is None or (isinstance(node, Scalar) and node.is_null):
            return []
        if not isinstance(node, Listing):
            text = f"is {_called(node)}"
            self.problems.add(node.file, node.line, name, text, "a list, each entry with `- `")
            return []
        return [(f"{name}[{at}]", item) for at, item in enumerate(node.items)]

    def _group(self, node: Node, path: str) -> Mapping | None:
        if isinstance(node, Mapping):
            return node
        self.problems.add(node.file, node.line, path, f"is {_called(node)}", "a group of keys")
        return None

    def _read_links(self, root: Mapping) -> None:
        section = self._part(root, "links")
        if section is None:
            if not isinstance(root.items.get("links"), Listing):
                line = root.line_of("links") if "links" in root.items else 1
                self.problems.add(root.file, line, "links", "is missing", "a line for each port")
            return
        self._has_links = True
        taken: list[tuple[object, str, rules.Place]] = []
        for name, item in section.items.items():
            path = f"links.{shown(name)}"
            self._unusable.add(name)
            try:
                read(keys.NAME_KEY, Scalar(section.file, section.line_of(name), name, True))
            except Wrong as error:
                for _, _, text, about in error.faults:
                    self.problems.add(section.file, section.line_of(name), path, text, about)
            node = self._group(item, path)
            if node is None:
                continue
            head = Mapping(node.file, node.line)
            if "kind" in node.items:
                head.items["kind"] = node.items["kind"]
                head.key_lines["kind"] = node.line_of("kind")
            found, _ = self._checker.check(head, (keys.LINK_KIND,), path)
            if "kind" not in found:
                continue
            kind = str(found["kind"].value)
            good, bad = self._checker.check(node, keys.LINK_KEYS[kind], path, others=("kind",))
            self._lines[name] = _Line(name, node, kind, good)
            self._unusable.discard(name)
            if bad & {"port", "host", "channel", "adapter", "interface"}:
                continue
            place = rules.Place(path, node.file, node.line, path)
            values = _of(keys.LINK_KEYS[kind], good)
            for identity in rules.line_identities(kind, values):
                said = " ".join(str(part) for part in identity[1:])
                taken.append((identity, said, place))
        rules.check_unique(taken, "one link for each port", self.problems)

    def _read_bank(self, root: Mapping) -> "tuple[dict[str, Given], set[str]]":
        node = self._part(root, "bank")
        if node is None:
            return {}, set()
        return self._checker.check(node, _BANK_ROWS, "bank", rank=_BANK_RANK)

    def _bank_profile(self) -> BankProfile:
        return BankProfile(**_of(keys.BANK_KEYS, self._bank))  # type: ignore[arg-type]

    def _read_web(self, root: Mapping) -> shapes.WebSettings:
        node = self._part(root, "web")
        good = self._section(root, "web", keys.WEB_KEYS, ("hosts",)) or {}
        hosts: list[str] = []
        listed = node.items.get("hosts") if node else None
        if listed is not None and not (isinstance(listed, Scalar) and listed.is_null):
            if not isinstance(listed, Listing):
                text = f"is {_called(listed)}"
                self.problems.add(listed.file, listed.line, "web.hosts", text, "a list of names")
            else:
                for at, item in enumerate(listed.items):
                    hosts += self._host(item, f"web.hosts[{at}]")
        listen = cast("tuple[str, int]", good["listen"].value) if "listen" in good else None
        host, port = listen or ("127.0.0.1", 8080)
        token = good["token"].value if "token" in good else None
        loopback = keys.is_loopback(host)
        if not loopback and token is None and node is not None and "listen" in good:
            # A token that is there and wrong was told already.
            if "token" not in node.items or good.get("token") is not None:
                text = f"other machines reach {host}:{port} and web.token is not set"
                where = (node.file, node.line_of("listen"), "web.listen")
                self.problems.add(*where, text, "127.0.0.1:PORT, or a web.token")
        return shapes.WebSettings(
            host=host, port=port, loopback=loopback, token=token, hosts=tuple(hosts)
        )

    def _host(self, item: Node, path: str) -> list[str]:
        try:
            return [str(read(keys.WEB_HOSTS, item))]
        except Wrong as error:
            for _, line, text, about in error.faults:
                self.problems.add(item.file, line, path, text, about)
        return []

    def _read_simulate(self, root: Mapping) -> shapes.SimulateSettings:
        node = self._part(root, "simulate")
        good = self._section(root, "simulate", keys.SIMULATE_KEYS, ("faults",)) or {}
        faults = []
        for path, item in self._items(node, "faults") if node else []:
            path = f"simulate.{path}"
            one = self._group(item, path)
            if one is None:
                continue
            values, bad = self._checker.check(one, keys.FAULT_KEYS, path)
            if "unit" in values:
                self._check_fault_unit(values["unit"])
            if not bad:
                faults.append(shapes.FaultSettings(**_of(keys.FAULT_KEYS, values)))
        world = _of(keys.SIMULATE_KEYS, good)
        return shapes.SimulateSettings(faults=tuple(faults), **world)

    def _check_fault_unit(self, given: Given) -> None:
        names = {entry.text("name"): entry for entry in self._batteries}
        names.pop("", None)
        where = (given.file, given.line, given.key)
        entry = names.get(str(given.value))
        if entry is None:
            text = f"there is no battery {given.value}"
            self.problems.add(*where, text, choose_from(str(given.value), names))
            return
        line = self._lines.get(entry.text("link"))
        if line is not None and line.kind != "simulate":
            text = f"{given.value} is on link {line.name}, which is real"
            self.problems.add(*where, text, "a battery on a link of kind: simulate")

    def _state_dir(self, top: "dict[str, Given]") -> Path:
        given = top.get("state_dir")
        if given is not None and given.value is not None:
            return self.path.parent / str(given.value)
        from_systemd = os.environ.get("STATE_DIRECTORY", "").split(":")[0]
        return Path(from_systemd) if from_systemd else self.path.parent / "state"

    # Batteries and inverters

    def _entries(self, root: Mapping, section: str, kind: str) -> list[_Entry]:
        items = self._items(root, section)
        node = root.items.get(section)
        if not items and kind == keys.BATTERY:
            if (
                node is None
                or isinstance(node, Listing)
                or isinstance(node, Scalar)
                and node.is_null
            ):
                line = root.line_of(section) if section in root.items else 1
                self.problems.add(root.file, line, section, "is missing", "one entry at least")
        found = []
        for path, item in items:
            one = self._group(item, path)
            if one is not None:
                found.append(self._entry(one, path, kind))
        return found

    def _entry(self, node: Mapping, path: str, kind: str) -> _Entry:
        entry = _Entry(node, path)
        named = node.items.get("profile")
        if isinstance(named, Scalar) and keys.is_profile_name(named.text):
            given = Given(named.text, node.file, node.line_of("profile"), f"{path}.profile")
            entry.profile = self._profiles.find(kind, given)
        protocol = self._protocol(entry, kind)
        entry.driver = driver(kind, protocol) if protocol is not None else None
        rows = self._rows.in_place(kind, protocol)
        entry.good, bad = self._checker.check(node, rows, path, rank=_PLACE_RANK)
        entry.values = dict(entry.profile.values) if entry.profile else {}
        entry.bad = set(entry.profile.bad) if entry.profile else set()
        if kind == keys.BATTERY:
            limits = {row.name for row in keys.LIMIT_KEYS}
            entry.values |= {name: one for name, one in self._bank.items() if name in limits}
            entry.bad |= self._bank_bad & limits
        entry.values |= entry.good
        entry.bad = (entry.bad - entry.good.keys()) | bad
        self._check_link(entry, kind)
        if kind == keys.BATTERY and entry.driver is not None:
            self._check_battery(entry, entry.driver)
        if kind == keys.INVERTER:
            self._check_inverter(entry)
        return entry

    def _protocol(self, entry: _Entry, kind: str) -> str | None:
        """The driver's word, None where that is a problem by now."""
        node, profile = entry.node, entry.profile
        own = node.items.get("protocol")
        where = (node.file, node.line_of("profile"), f"{entry.path}.profile")
        if isinstance(own, Scalar) and not own.is_null:
            protocol: str | None = own.text
            where = (node.file, own.line, f"{entry.path}.protocol")
        elif profile is None or "protocol" in profile.bad:
            return None
        else:
            protocol = profile.protocol
            given = profile.values.get("protocol")
            if given is not None:
                where = (given.file, given.line, given.key)
        if protocol is None:
            name = profile.name if profile else ""
            text = f"{name} names no protocol: it is there to be extended"
            about = f"a profile with protocol: {', '.join(protocols(kind))}"
            self.problems.add(*where, text, about)
        elif protocol not in protocols(kind):
            text = f"there is no {kind} protocol {shown(protocol)}"
            self.problems.add(*where, text, choose_from(protocol, protocols(kind)))
        else:
            return protocol
        return None

    def _check_link(self, entry: _Entry, kind: str) -> None:
        given = entry.good.get("link")
        if given is None or not self._has_links:
            return
        name = str(given.value)
        where = (given.file, given.line, given.key)
        line = self._lines.get(name)
        if line is None:
            if name not in self._unusable:
                known = [*self._lines, *self._unusable]
                text = f"there is no link {shown(name)}"
                self.problems.add(*where, text, choose_from(name, known))
        elif entry.driver is not None and line.kind not in entry.driver.links:
            text = f"{entry.driver.protocol} does not run over {name}, a {line.kind} link"
            self.problems.add(*where, text, "kind: " + ", ".join(entry.driver.links))

    def _check_battery(self, entry: _Entry, known: Driver) -> None:
        node = entry.node
        unit = rules.Effective(entry.values, entry.bad, node.file, node.line, entry.path)
        rules.check_unit(unit, known, self.problems)

    def _check_inverter(self, entry: _Entry) -> None:
        if entry.bad & {"present", "shards"}:
            return
        present, shards = entry.value("present", "bank"), entry.value("shards")
        if shards is None:
            return
        given = entry.values["shards"]
        where = (given.file, given.line, given.key)
        if present == "units":
            self.problems.add(*where, f"{shards} means nothing with present: units", "auto")
        elif present == "shards" and shards == 1:
            text = "1 means never to divide, present: shards means to"
            self.problems.add(*where, text, "2..15 or auto; or present: bank")
        elif present == "bank" and shards != 1:
            text = f"{shards} counts only once the bank is too large for one address"
            self.problems.warn(*where, text, "present: shards uses them from the start")

    def _compare(self) -> None:
        """What must differ between entries, and what must agree on a line."""
        both = [*self._batteries, *self._inverters]
        named = [one for one in both if one.text("name")]
        names = [(one.text("name"), one.text("name"), one.place("name")) for one in named]
        rules.check_unique(names, "each name once", self.problems)
        addresses: list[tuple[object, str, rules.Place]] = []
        for one in self._batteries:
            address = one.good.get("address")
            if address is not None and one.driver is not None and one.text("link"):
                identity = (one.text("link"), one.driver.protocol, address.value)
                addresses.append((identity, str(address.value), one.place("address")))
        allowed = "an address once for each link and protocol"
        rules.check_unique(addresses, allowed, self.problems)
        outputs: list[tuple[object, str, rules.Place]] = []
        polled = {one.text("link"): one for one in reversed(self._batteries)}
        for one in self._inverters:
            link = one.text("link")
            if link and one.driver is not None:
                outputs.append(((link, one.driver.protocol), link, one.place("link")))
            if link and link in polled:
                place = one.place("link")
                text = f"{link} is the line of {polled[link].place().name}: on an inverter's line"
                text += " the inverter asks, and vbms may not"
                allowed = "a link without batteries"
                self.problems.add(place.file, place.line, place.key, text, allowed)
        allowed = "one inverter for each link and protocol"
        rules.check_unique(outputs, allowed, self.problems)
        self._compare_slots()
        self._compare_speeds()
        given = self._bank.get("min_fresh")
        if given is not None and cast(int, given.value) > len(self._batteries) > 0:
            text = f"{given.value} units can never be fresh"
            allowed = f"1..{len(self._batteries)}, as many as there are batteries"
            self.problems.add(given.file, given.line, given.key, text, allowed)

    def _compare_slots(self) -> None:
        slots = []
        for at, one in enumerate(self._batteries):
            if "slot" not in one.bad:
                said = isinstance(one.value("slot"), int)
                slot = cast(int, one.value("slot")) if said else at
                slots.append((slot, said, one.place()))
        by_unit = any(one.value("present") == "units" for one in self._inverters)
        rules.check_slots(slots, by_unit, self.problems)

    def _compare_speeds(self) -> None:
        """A line that says no speed gets its profiles', if they agree."""
        for name, line in self._lines.items():
            if line.baud is not None or line.kind not in ("serial", "tcp", "simulate"):
                continue
            if "baud" in line.node.items and "baud" not in line.values:
                continue  # told already
            speeds: dict[int, _Entry] = {}
            for one in [*self._batteries, *self._inverters]:
                if one.text("link") == name and one.driver is not None and "baud" not in one.bad:
                    speed = one.value("baud") or one.driver.baud
                    if isinstance(speed, int):
                        speeds.setdefault(speed, one)
            if len(speeds) > 1:
                words = [f"{one.place().name} {speed}" for speed, one in speeds.items()]
                text = "is not set and the profiles differ: " + ", ".join(words)
                where = (line.node.file, line.node.line, f"{line.path}.baud")
                self.problems.add(*where, text, "one speed for the whole line")
            elif speeds:
                line.baud = next(iter(speeds))

    # Building, once all is well

    def _link(self, line: _Line) -> shapes.LinkSettings:
        made: dict[str, object] = dict.fromkeys(shapes.LinkSettings.__slots__)
        made |= _of(keys.LINK_KEYS[line.kind], line.values)
        made |= {"name": line.name, "kind": line.kind, "baud": line.baud}
        return shapes.LinkSettings(**made)

    def _battery(self, at: int, entry: _Entry) -> shapes.BatterySettings:
        known, profile = entry.driver, entry.profile
        assert known is not None and profile is not None
        name, link = entry.text("name"), entry.text("link")
        values = _of(keys.UNIT_KEYS, entry.values)
        reply = cast(int, values["reply_timeout_ms"])
        gap = values["gap_us"]
        timing = shapes.Timing(
            gap_us=t35_us(self._lines[link].baud) if gap is None else gap,
            reply_timeout_ms=reply,
            slow_timeout_ms=values["slow_timeout_ms"] or reply,
            silence_ms=values["silence_ms"],
            poll_ms=values["poll_ms"],
        )
        slot = entry.value("slot")
        options = _of(known.options, entry.values)
        return shapes.BatterySettings(
            name=name,
            profile_name=profile.name,
            protocol=known.protocol,
            link=link,
            address=options.get("address"),
            options=options,
            unit=self._unit(name, known, entry, values),
            timing=timing,
            slot=at if slot is None else slot,
            chemistry=values["chemistry"],
        )

    def _unit(
        self, name: str, known: Driver, entry: _Entry, values: "dict[str, object]"
    ) -> UnitProfile:
        of_unit = {key: one for key, one in values.items() if key in UnitProfile.__slots__}
        return UnitProfile(
            name,
            enabled=entry.value("enabled", True),
            serial=entry.value("serial"),
            declares_ccl="ccl_ma" in known.declares,
            declares_dcl="dcl_ma" in known.declares,
            needs_settings=known.needs_settings,
            **of_unit,
        )

    def _inverter(self, entry: _Entry) -> shapes.InverterSettings:
        known, profile = entry.driver, entry.profile
        assert known is not None and profile is not None
        values = _of(keys.INVERTER_KEYS, entry.values)
        link = entry.text("link")
        turnaround = values["turnaround_us"]
        if turnaround is None:
            turnaround = t35_us(self._lines[link].baud)
        return shapes.InverterSettings(
            name=entry.text("name"),
            profile_name=profile.name,
            protocol=known.protocol,
            link=link,
            present=values["present"],
            shards=values["shards"],
            turnaround_us=turnaround,
            silent_after_ms=values["silent_after_ms"],
            options=_of(known.options, entry.values),
        )


_BANK_ROWS = (*keys.BANK_KEYS, *keys.LIMIT_KEYS)
_LOOSE_ROWS = (
    *_BANK_ROWS,
    *(row for row in keys.UNIT_KEYS if row.name not in {one.name for one in _BANK_ROWS}),
)


def overrides(bank: object) -> "tuple[BankProfile, dict[str, object]]":
    """A `bank:` group that is there as data: the bank, and values for every unit's UnitProfile.

    Besides what vbms.yaml allows it takes any value of a battery profile. Raises ConfigErrors.
    """
    problems = Problems()
    node = from_plain(bank, "bank")
    if not isinstance(node, Mapping):
        problems.add("bank", 1, "bank", f"is {_called(node)}", "a group of keys")
        problems.stop()
        raise AssertionError("unreachable")
    good, bad = Checker(problems).check(node, _LOOSE_ROWS, "bank", rank=_BANK_RANK)
    unit = rules.Effective(good, bad, "bank", 1, "bank")
    rules.check_values(unit, problems)
    problems.stop()
    of_unit = [row for row in keys.UNIT_KEYS if row.name in good and row in _LOOSE_ROWS]
    values = _of(tuple(of_unit), good)
    values = {name: value for name, value in values.items() if name in UnitProfile.__slots__}
    return BankProfile(**_of(keys.BANK_KEYS, good)), values  # type: ignore[arg-type]


def _of(rows: "Sequence[Option]", given: "AnyMapping[str, Given] | None") -> "dict[str, object]":
    """Values by target, each row's default where nothing was given."""
    found: dict[str, object] = {}
    for row in rows:
        one = (given or {}).get(row.name)
        target = row.target if isinstance(row, Key) else row.name
        value = rules.default_of(row) if one is None else one.value
        if target in keys.CLAIMS:
            value = value == keys.CLAIMS[target]
        found[target] = value
    return found


def _called(node: Node) -> str:
    if isinstance(node, Scalar):
        return "nothing" if node.is_null else f"the value {node.shown()}"
    return node.shown()


def _show(node: Node, key: str = "") -> object:
    """The tree as plain data for showing, secrets as ***."""
    if isinstance(node, Mapping):
        return {name: _show(item, name) for name, item in node.items.items()}
    if isinstance(node, Listing):
        return [_show(item, key) for item in node.items]
    if node.is_null:
        return None
    if node.secret or key in keys.SECRET_KEYS:
        return "***"
    text = node.text
    if not node.quoted and text in ("true", "false"):
        return text == "true"
    exact = number(node)
    if exact is not None:
        return int(exact) if exact == exact.to_integral_value() else float(exact)
    if "://" in text and "@" in text:
        scheme, _, rest = text.partition("://")
        return f"{scheme}://***@{rest.rpartition('@')[2]}"
    return text
