"""Several inverters: which part of the bank each is told, and what cannot be."""

import pytest

from tests.config.site import GOOD, Folder

TWO = GOOD.replace("  air: {kind: ble}", "  second: {kind: serial, port: /dev/ttyS77}")


def site(*inverters: str, text: str = TWO) -> str:
    rows = "".join(f"  - {{{row}}}\n" for row in inverters)
    return text.replace("  - {name: deye, profile: deye_rs485, link: inv}\n", rows)


A = "name: a, profile: deye_rs485, link: inv"
B = "name: b, profile: pylontech_rs485, link: second"
C = "name: c, profile: deye_rs485, link: third"
THREE = TWO.replace("batteries:", "  third: {kind: simulate, baud: 9600}\nbatteries:")


@pytest.mark.parametrize(
    ("rows", "expected"),
    [
        ((A,), [100_000]),
        ((A + ", share: 40",), [40_000]),
        ((A, B), [50_000, 50_000]),
        ((A + ", share: 70", B), [70_000, 30_000]),
        ((A + ", share: 33.333", B + ", share: 66.667"), [33_333, 66_667]),
        ((A + ", share: 10", B + ", share: 20"), [10_000, 20_000]),
        ((A, B, C), [33_333] * 3),
        ((A + ", share: 50", B, C), [50_000, 25_000, 25_000]),
        # One inverter that asks in two protocols is one inverter.
        ((A, B.replace("second", "inv")), [100_000, 100_000]),
        ((A + ", share: 60", B.replace("second", "inv"), C), [60_000, 60_000, 40_000]),
    ],
)
def test_shares(folder: Folder, rows: tuple[str, ...], expected: list[int]) -> None:
    settings = folder.load(site(*rows, text=THREE))
    assert [inverter.share_ppht for inverter in settings.inverters] == expected


@pytest.mark.parametrize(
    ("rows", "key", "text"),
    [
        ((A + ", share: 60", B + ", share: 50"), "inverters[1].share", "add up to 110 %"),
        ((A + ", share: 100", B), "inverters[1].share", "the others leave nothing"),
        ((A + ", share: 0", B), "inverters[0].share", "out of range"),
        ((A + ", share: 101",), "inverters[0].share", "out of range"),
        ((A + ", share: half",), "inverters[0].share", "half"),
        (
            (A + ", share: 60", B.replace("second", "inv") + ", share: 50"),
            "inverters[1].share",
            "60 % is not what",
        ),
    ],
)
def test_what_cannot_be(folder: Folder, rows: tuple[str, ...], key: str, text: str) -> None:
    found = folder.problems(site(*rows, text=THREE))
    if "is not what" in text:
        text = "50 % is not what a says"
    assert [(problem.key, text in problem.text) for problem in found] == [(key, True)]


def test_pylontech_tells_the_bank_alone(folder: Folder) -> None:
    (problem,) = folder.problems(site(B + ", present: units"))
    assert (problem.key, problem.text) == (
        "inverters[0].present",
        "pylontech_rs485 cannot tell units",
    )
    assert problem.allowed == "bank"


def test_a_fifteenth_battery_is_in_the_bank_alone(folder: Folder) -> None:
    rows = "".join(
        f"  - {{name: b{n}, profile: byd_pro_2_5, link: bms, address: {n}}}\n" for n in range(3, 15)
    )
    text = site(B).replace("inverters:", rows + "inverters:")
    (warning,) = folder.load(text).warnings
    assert "b14 is module 15: b shows 14" in warning.text
    assert not folder.load(
        text.replace("profile: pylontech_rs485", "profile: pylontech_rs485_voltronic")
    ).warnings
