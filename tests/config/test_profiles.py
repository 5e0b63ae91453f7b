"""Profiles: where they are found, what they inherit, what is wrong with them."""

from pathlib import Path

import pytest

from tests.config.site import Folder, changed
from vbms.config import load
from vbms.settings import profiles

ROOT = Path(__file__).resolve().parents[2]
MINE = changed("    profile: byd_pro_2_5", "    profile: mine")


def test_the_user_s_folder_wins(folder: Folder) -> None:
    text = "extends: lfp_16s\nprotocol: byd_pro\ncapacity_ah: 44\nmax_charge_a: 20\nmax_discharge_a: 20\n"
    folder.write("profiles/battery/byd_pro_2_5.yaml", text)
    first = folder.load().batteries[0]
    assert (first.unit.capacity_mah, first.unit.max_charge_ma) == (44_000, 20_000)
    assert first.unit.charge_voltage_mv is None and first.unit.mosfet_present


def test_a_profile_may_extend_the_shipped_one_of_its_name(folder: Folder) -> None:
    folder.write("profiles/battery/byd_pro_2_5.yaml", "extends: byd_pro_2_5\ncapacity_ah: 44\n")
    first = folder.load().batteries[0]
    assert (first.unit.capacity_mah, first.unit.max_charge_ma) == (44_000, 50_000)
    assert not first.unit.mosfet_present


def test_the_base_wins_over_the_shipped_base_too(folder: Folder) -> None:
    folder.write("profiles/battery/lfp_16s.yaml", "extends: lfp_16s\nhold_s: 33\n")
    assert [b.unit.hold_ms for b in folder.load().batteries] == [33_000] * 3


def test_a_chain(folder: Folder) -> None:
    folder.write("profiles/battery/mine.yaml", "extends: middle\npoll_s: 3\n")
    folder.write(
        "profiles/battery/middle.yaml", "extends: byd_pro_2_5\npoll_s: 2\ncapacity_ah: 49\n"
    )
    unit = folder.load(MINE).batteries[1].unit
    assert (unit.poll_ms, unit.capacity_mah, unit.max_charge_ma) == (3000, 49_000, 50_000)


def test_a_circle(folder: Folder) -> None:
    folder.write("profiles/battery/mine.yaml", "extends: other\n")
    other = folder.write("profiles/battery/other.yaml", "\nextends: mine\n")
    found = folder.problems(MINE)
    assert [(p.file, p.line, p.key, p.text) for p in found] == [
        (str(other), 2, "extends", "mine extends itself")
    ]


@pytest.mark.parametrize(
    ("text", "line", "key", "wrong", "allowed"),
    [
        ("extends: lfp_16\nprotocol: byd_pro\n", 1, "extends", "no profile battery/lfp_16", "lfp_16s"),
        ("extends: ../lfp_16s\n", 1, "extends", "no profile's name", "profiles/"),
        ("protocol: byd_por\n", 1, "protocol", "no battery protocol byd_por", "byd_pro"),
        ("protocol: byd_pro\nfresh: 3\n", 2, "fresh", "unknown key", "fresh_s"),
        ("protocol: byd_pro\naddress: 3\n", 2, "address", "unknown key", "known"),
        ("protocol: byd_pro\nname: x\n", 2, "name", "unknown key", "known"),
        ("protocol: byd_pro\ncapacity_ah: -5\n", 2, "capacity_ah", "-5 is out of range", "Ah"),
        ("protocol: byd_pro\nhold_s: 5\ncapacity_ah: 1\n", 2, "hold_s", "not above fresh_s", "10 s"),
        ("protocol: byd_pro\n\tcells: 16\n", 2, "yaml", "tab", "spaces"),
        ("- protocol\n", 1, "file", "holds a list", "keys"),
        ("", 1, "file", "is empty", "keys"),
    ],
)  # fmt: skip
def test_broken(folder: Folder, text: str, line: int, key: str, wrong: str, allowed: str) -> None:
    path = folder.write("profiles/battery/mine.yaml", text)
    found = folder.problems(MINE)
    assert [(p.file, p.line, p.key) for p in found] == [(str(path), line, key)], found
    assert wrong in found[0].text and allowed in found[0].allowed


def test_a_value_in_place_hides_what_is_wrong_in_a_sum_but_not_in_the_file(folder: Folder) -> None:
    folder.write("profiles/battery/mine.yaml", "extends: byd_pro_2_5\nhold_s: 5\n")
    text = MINE.replace("    address: 2\n", "    address: 2\n    hold_s: 50\n")
    assert folder.problems(text) == ()


def test_the_folder_of_a_wheel_and_of_a_checkout(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert profiles.shipped_folder() == ROOT / "profiles"
    package = tmp_path / "site-packages" / "vbms"
    package.mkdir(parents=True)
    monkeypatch.setattr(profiles, "_PACKAGE", package)
    assert profiles.shipped_folder() == tmp_path / "site-packages" / "profiles"
    (package / "profiles").mkdir()
    assert profiles.shipped_folder() == package / "profiles"


def test_what_ships() -> None:
    folder = ROOT / "profiles"
    batteries = profiles.names_in(folder, "battery")
    assert {"byd_pro_2_5", "jk_pb", "lfp_16s"} <= set(batteries)
    assert batteries == sorted(batteries)
    assert "deye_rs485" in profiles.names_in(folder, "inverter")


@pytest.mark.parametrize("path", sorted((ROOT / "profiles").rglob("*.yaml")), ids=lambda p: p.stem)
def test_every_number_has_its_source(path: Path) -> None:
    """A line with a number ends in a comment, or stands in a list below a key that does."""
    for line in path.read_text(encoding="utf-8").splitlines():
        if line and not line.startswith((" ", "#")) and line.partition(":")[2].strip():
            key = line.partition(":")[0]
            if key not in ("extends", "protocol", "title", "chemistry"):
                assert "  # " in line, f"{path.name}: {key} has no source"
        elif line and line[0].isalpha():
            assert "# D4" in line or "# " in line, f"{path.name}: {line} has no source"


def test_the_hardware_lines_of_the_shipped_file_are_good(tmp_path: Path) -> None:
    """Swap each simulated line for the comment under it, as the file tells people to."""
    rows = (ROOT / "vbms.yaml").read_text(encoding="utf-8").splitlines()
    swapped = 0
    for at, row in enumerate(rows[:-1]):
        below = rows[at + 1].replace("# ", "", 1)
        if "kind: simulate" in row and "kind: serial" in below:
            assert row.split(":")[0] == below.split(":")[0]
            rows[at], rows[at + 1] = below, ""
            swapped += 1
    assert swapped == 3
    text = (
        "\n".join(rows)
        .replace("# bank:", "bank:")
        .replace("web: {listen: 127", "# web: {listen: 127")
    )
    text = text.replace("# web: {listen: 0.0.0.0", "web: {listen: 0.0.0.0")
    (tmp_path / "vbms.yaml").write_text(text, encoding="utf-8")
    (tmp_path / "secrets.yaml").write_text("web_token: abc\n", encoding="utf-8")
    settings = load(tmp_path / "vbms.yaml")
    assert {link.kind for link in settings.links.values()} == {"serial"}
    assert settings.web.token == "abc" and settings.bank.max_charge_ma == 200_000
