"""The `relays:` section."""

from __future__ import annotations

import pytest

from tests.config.site import GOOD, Folder

PIN = "{name: garage, output: gpio, line: 17, charger_a: 20}"
RUN = '{name: shed, output: command, of: byd-1, charger_a: 12.5, on_command: [a, "1"], off_command: [b]}'


def relays(*rows: str) -> str:
    return GOOD + "relays:\n" + "".join(f"  - {row}\n" for row in rows)


def test_defaults_and_units(folder: Folder) -> None:
    assert folder.load().relays == ()
    pin, run = folder.load(relays(PIN, RUN)).relays
    assert (pin.name, pin.output, pin.of, pin.charger_ma) == ("garage", "gpio", None, 20_000)
    assert (pin.chip, pin.line, pin.active_low) == ("/dev/gpiochip0", 17, True)
    assert (pin.low_permille, pin.timeout_min, pin.retry_daily) == (800, 210, False)
    assert pin.full_cell_mv == 3400 and (pin.on_command, pin.repeat_ms) == ((), 0)
    assert (run.of, run.charger_ma) == ("byd-1", 12_500)
    assert (run.on_command, run.off_command) == (("a", "1"), ("b",))
    assert (run.command_timeout_ms, run.repeat_ms, run.line) == (10_000, 0, None)


def test_everything_can_be_said(folder: Folder) -> None:
    text = PIN[:-1] + ", chip: /dev/gpiochip4, active: high, charge_below_percent: 55.5,"
    text += " timeout_min: 240, retry: next_day, full_cell_v: none}"
    (pin,) = folder.load(relays(text.replace("line: 17", "line: RELAY_1"))).relays
    assert (pin.chip, pin.line, pin.active_low) == ("/dev/gpiochip4", "RELAY_1", False)
    assert (pin.low_permille, pin.timeout_min, pin.retry_daily) == (555, 240, True)
    assert pin.full_cell_mv is None
    text = RUN[:-1] + ", command_timeout_s: 2.5, repeat_s: 60}"
    (run,) = folder.load(relays(text)).relays
    assert (run.command_timeout_ms, run.repeat_ms) == (2500, 60_000)


def test_equal_settings_are_equal(folder: Folder) -> None:
    assert folder.load(relays(PIN, RUN)) == folder.load(relays(PIN, RUN))
    other = relays(PIN.replace("20}", "21}"), RUN)
    assert folder.load(relays(PIN, RUN)) != folder.load(other)


@pytest.mark.parametrize(
    ("row", "key", "text", "allowed"),
    [
        ("{name: a, output: gpio, line: 1}", "relays[0].charger_a", "is missing", "0.1..2000 A"),
        ("{name: a, charger_a: 5}", "relays[0].output", "is missing", "gpio, command or simulate"),
        ("{output: simulate, charger_a: 5}", "relays[0].name", "is missing", "letters"),
        (PIN.replace("gpio", "pin"), "relays[0].output", "pin is none of them", "gpio"),
        (PIN.replace("line: 17", "line: -1"), "relays[0].line", "is no GPIO line", "number"),
        (PIN.replace(", line: 17", ""), "relays[0].line", "is missing", "number"),
        (PIN[:-1] + ", of: byd-9}", "relays[0].of", "no battery byd-9", "byd-1"),
        (
            PIN[:-1] + ", charge_below_percent: 96}",
            "relays[0].charge_below_percent",
            "96",
            "10..95",
        ),
        (PIN[:-1] + ", timeout_min: 0}", "relays[0].timeout_min", "out of range", "1..2880 min"),
        (PIN[:-1] + ", on_command: [a]}", "relays[0].on_command", "unknown key", "active"),
        (RUN.replace("[b]", "b"), "relays[0].off_command", "one text", "a list"),
        (RUN.replace("[b]", "[]"), "relays[0].off_command", "names no program", "a list"),
        (RUN.replace("[b]", "[b, [c]]"), "relays[0].off_command[1]", "is no text", "a list"),
        (RUN.replace(", off_command: [b]", ""), "relays[0].off_command", "is missing", "a list"),
        ("7", "relays[0]", "is the value 7", "a group of keys"),
    ],
)
def test_what_is_wrong_is_named(
    folder: Folder, row: str, key: str, text: str, allowed: str
) -> None:
    (problem,) = folder.problems(relays(row))
    assert problem.key == key and text in problem.text and allowed in problem.allowed
    assert problem.line == GOOD.count("\n") + 2


def test_names_and_lines_are_taken_once(folder: Folder) -> None:
    first, second = folder.problems(relays(PIN, PIN))
    assert (first.key, second.key) == ("relays[1].name", "relays[1].line")
    other = PIN.replace("garage", "shed").replace("line: 17", "line: 17, chip: /dev/gpiochip1")
    assert folder.problems(relays(PIN, other)) == ()


def test_secrets_in_a_command_are_taken_and_not_shown(folder: Folder) -> None:
    folder.write("secrets.yaml", "key: s3cret\n")
    settings = folder.load(relays(RUN.replace("[b]", "[b, !secret key]")))
    assert settings.relays[0].off_command == ("b", "s3cret")
    assert "s3cret" not in str(settings.masked())


def test_the_rest_is_looked_at_whatever_the_output(folder: Folder) -> None:
    row = "{name: a, output: lamp, of: nobody, charger_a: 0, line: 3, retry: never, lines: 4}"
    keys = [problem.key for problem in folder.problems(relays(row))]
    names = ("charger_a", "lines", "of", "output", "retry")
    assert sorted(keys) == [f"relays[0].{name}" for name in names]
