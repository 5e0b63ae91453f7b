"""A file to Settings: read it all, check it all, complain about it all, and only then build.

Each section is checked by its rows of keys, each battery and inverter by its driver's options as
well; then the rules about what must agree and what must differ. Nothing is opened but text files.
"""

import os
from pathlib import Path
from typing import cast

from vbms.aggregate.profile import BankProfile
from vbms.settings import build, forms, keys, rules, shapes
from vbms.settings.checked import Checker
from vbms.settings.drivers import Rows
from vbms.settings.entries import BANK_RANK, Entries
from vbms.settings.lines import Lines
from vbms.settings.problems import Problems, choose_from
from vbms.settings.profiles import Profiles
from vbms.settings.relays import read_relays
from vbms.settings.sections import Sections, called
from vbms.settings.text import Mapping, Node, Secrets, from_plain, read_file, read_text
from vbms.settings.values import Given, Wrong, read

_SECTIONS = (
    "site",
    "links",
    "batteries",
    "inverters",
    "bank",
    "web",
    "mqtt",
    "history",
    "relays",
    "simulate",
)
_TOP_ROWS = (keys.STATE_DIR,)
_BANK_ROWS = (*keys.BANK_KEYS, *keys.LIMIT_KEYS)
_IN_BANK = frozenset(row.name for row in _BANK_ROWS)
_LOOSE_ROWS = (*_BANK_ROWS, *(row for row in keys.UNIT_KEYS if row.name not in _IN_BANK))


class Loader:
    """One configuration file on its way to Settings."""

    def __init__(self, path: Path):
        self._path = path
        self._problems = Problems(str(path))
        self._secrets = Secrets(path.parent)
        self._checker = Checker(self._problems)

    def from_file(self) -> shapes.Settings:
        return self._run(read_file(self._path, self._problems, self._secrets))

    def from_text(self, text: str) -> shapes.Settings:
        return self._run(read_text(text, str(self._path), self._problems, self._secrets))

    def _run(self, root: Mapping | None) -> shapes.Settings:
        if root is None:
            self._problems.stop()
            raise AssertionError("a file without keys is a problem")
        rows = Rows()
        folder = self._path.parent
        profiles = Profiles(folder, self._checker, self._problems, self._secrets, rows.in_profile)
        sections = Sections(root, self._checker, self._problems)
        top, _ = self._checker.check(root, _TOP_ROWS, "", others=_SECTIONS)
        site = sections.checked("site", keys.SITE_KEYS)
        lines = Lines(sections)
        lines.read()
        bank = self._bank(sections)
        entries = Entries(sections, lines, profiles, rows, bank)
        entries.read()
        web = self._web(sections)
        mqtt = sections.checked("mqtt", keys.MQTT_KEYS)
        history = sections.checked("history", keys.HISTORY_KEYS)
        simulate = self._simulate(sections, entries, lines)
        self._check_brokers(lines, mqtt is not None)
        relays = read_relays(sections, [one.text("name") for one in entries.batteries])
        self._problems.stop()

        made = shapes.Settings(cast("dict[str, object]", build.shown_tree(root)))
        made.path = self._path
        made.site_name = str(build.values_of(keys.SITE_KEYS, site)["name"])
        made.state_dir = self._state_dir(top)
        made.mqtt = None
        if mqtt is not None:
            made.mqtt = shapes.MqttSettings(**build.values_of(keys.MQTT_KEYS, mqtt))
        made.links = {name: build.link(line, made.mqtt) for name, line in lines.by_name.items()}
        speeds = {name: line.baud for name, line in lines.by_name.items()}
        made.batteries = tuple(
            build.battery(at, entry, speeds[entry.text("link")])
            for at, entry in enumerate(entries.batteries)
        )
        made.inverters = tuple(
            build.inverter(entry, speeds[entry.text("link")], entries.shares[entry.text("link")])
            for entry in entries.inverters
        )
        made.bank = build.bank(bank[0])
        made.web = web
        made.simulate = simulate
        made.relays = relays
        made.history = None
        if history is not None:
            where = (root.file, root.line_of("history"), "history")
            self._problems.warn(*where, "is not there yet, nothing is written")
            path = str(build.values_of(keys.HISTORY_KEYS, history)["path"])
            made.history = shapes.HistorySettings(path=made.state_dir / path)
        made.warnings = tuple(self._problems.warnings)
        return made

    def _check_brokers(self, lines: Lines, is_there: bool) -> None:
        for line in lines.by_name.values():
            if line.kind == "mqtt" and "url" not in line.node.items and not is_there:
                where = (line.node.file, line.node.line, f"{line.path}.url")
                text = "is missing, and there is no section mqtt: to take it from"
                self._problems.add(*where, text, forms.BROKER[2])

    def _bank(self, sections: Sections) -> "tuple[dict[str, Given], set[str]]":
        node = sections.part("bank")
        if node is None:
            return {}, set()
        return self._checker.check(node, _BANK_ROWS, "bank", rank=BANK_RANK)

    def _web(self, sections: Sections) -> shapes.WebSettings:
        node = sections.part("web")
        good: dict[str, Given] = {}
        bad: set[str] = set()
        hosts: list[str] = []
        if node is not None:
            good, bad = self._checker.check(node, keys.WEB_KEYS, "web", others=("hosts",))
            for path, item in sections.items(node, "hosts", "web.hosts"):
                hosts += self._host(item, path)
        values = build.values_of(keys.WEB_KEYS, good)
        host, port = cast("tuple[str, int]", values["listen"] or keys.LISTEN)
        loopback = forms.is_loopback(host)
        if not loopback and values["token"] is None and "token" not in bad:
            where = good["listen"]
            text = f"other machines reach {host}:{port} and web.token is not set"
            allowed = "127.0.0.1:PORT, or a web.token"
            self._problems.add(where.file, where.line, where.key, text, allowed)
        return shapes.WebSettings(
            host=host, port=port, loopback=loopback, token=values["token"], hosts=tuple(hosts)
        )

    def _host(self, item: Node, path: str) -> list[str]:
        try:
            return [str(read(keys.WEB_HOST, item))]
        except Wrong as error:
            for _, line, text, about in error.faults:
                self._problems.add(item.file, line, path, text, about)
        return []

    def _simulate(
        self, sections: Sections, entries: Entries, lines: Lines
    ) -> shapes.SimulateSettings:
        node = sections.part("simulate")
        good: dict[str, Given] = {}
        faults = []
        if node is not None:
            rows = keys.SIMULATE_KEYS
            good, _ = self._checker.check(node, rows, "simulate", others=("faults",))
            for path, item in sections.items(node, "faults", "simulate.faults"):
                one = sections.group(item, path)
                if one is None:
                    continue
                values, bad = self._checker.check(one, keys.FAULT_KEYS, path)
                if "unit" in values:
                    self._check_fault_unit(values["unit"], entries, lines)
                if not bad:
                    faults.append(shapes.FaultSettings(**build.values_of(keys.FAULT_KEYS, values)))
        world = build.values_of(keys.SIMULATE_KEYS, good)
        return shapes.SimulateSettings(faults=tuple(faults), **world)

    def _check_fault_unit(self, given: Given, entries: Entries, lines: Lines) -> None:
        units = {one.text("name"): one for one in entries.batteries if one.text("name")}
        where = (given.file, given.line, given.key)
        unit = units.get(str(given.value))
        if unit is None:
            text = f"there is no battery {given.value}"
            self._problems.add(*where, text, choose_from(str(given.value), units))
            return
        line = lines.by_name.get(unit.text("link"))
        if line is not None and line.kind != "simulate":
            text = f"{given.value} is on link {line.name}, which is real"
            self._problems.add(*where, text, "a battery on a link of kind: simulate")

    def _state_dir(self, top: "dict[str, Given]") -> Path:
        given = top.get("state_dir")
        if given is not None and given.value is not None:
            return self._path.parent / str(given.value)
        from_systemd = os.environ.get("STATE_DIRECTORY", "").split(":")[0]
        return Path(from_systemd) if from_systemd else self._path.parent / "state"


def overrides(data: object) -> "tuple[BankProfile, dict[str, object]]":
    """A `bank:` group that is there as data: the bank, and values for every unit's UnitProfile.

    Besides what vbms.yaml allows it takes any number of a battery profile. Raises ConfigErrors.
    """
    problems = Problems("bank")
    node = from_plain(data, "bank")
    if isinstance(node, Mapping):
        good, bad = Checker(problems).check(node, _LOOSE_ROWS, "bank", rank=BANK_RANK)
        unit = rules.Effective(good, bad, "bank", 1, "bank")
        rules.check_values(unit, problems)
    else:
        problems.add("bank", 1, "bank", f"is {called(node)}", "a group of keys")
    problems.stop()
    # What the bank caps is the bank's: a unit has no word for it here.
    of_bank = {row.name for row in keys.BANK_KEYS}
    rows = [row for row in keys.UNIT_KEYS if row.name in good and row.name not in of_bank]
    return build.bank(good), build.of_unit(build.values_of(rows, good))
