"""`vbms decode`: what is printed, what is refused and with which word, where the bytes come from."""

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from hypothesis import given
from hypothesis import strategies as st

from vbms.commands.decode import PROTOCOLS, command, read
from vbms.errors import FrameError

REQUEST = "01 00 04 01 03 55 aa 07"
WORDS = ("checksum", "truncated", "length", "version", "marker", "payload", "refused")
VECTORS = Path(__file__).resolve().parents[1] / "vectors"


def run(*arguments: str, stdin: bytes = b"") -> Result:
    return CliRunner().invoke(command, arguments, input=stdin)


def jk(name: str = "recorded_8_cells_fw15.10") -> list[bytes]:
    vector = json.loads((VECTORS / "jk_pb" / ("%s.json" % name)).read_text())
    return [bytes.fromhex(frame) for frame in vector["frames"]]


def byd(name: str = "discharging") -> bytes:
    vector = json.loads((VECTORS / "byd_pro" / ("%s.json" % name)).read_text())
    return bytes.fromhex(vector["frames"][0])


def said(protocol: str, data: bytes) -> dict[str, Any]:
    result = run(protocol, "--json", data.hex())
    assert result.exit_code == 0, result.output
    found = json.loads(result.stdout)
    assert isinstance(found, dict)
    return found


def reason(protocol: str, data: bytes) -> str:
    result = run(protocol, data.hex())
    assert result.exit_code == 1
    assert result.stdout == ""
    assert result.stderr.startswith(protocol + ": ")
    return result.stderr[len(protocol) + 2 :]


def test_hex_in_every_form(tmp_path: Path) -> None:
    data = bytes.fromhex(REQUEST)
    text, raw = tmp_path / "text", tmp_path / "raw"
    text.write_text("01 00 04 01\n03 55 aa 07\n")
    raw.write_bytes(data)
    expected = {"address": 1, "size": 4, "command": 3}
    for arguments, stdin in (
        (["0100040103 55aa07"], b""),
        (REQUEST.upper().split(), b""),
        (["0x01,0x00,0x04,0x01,0x03,0x55,0xAA,0x07"], b""),
        (["01:00:04:01:03:55:aa:07"], b""),
        ([str(text)], b""),
        ([str(raw)], b""),
        ([], data),
        ([], REQUEST.encode()),
    ):
        result = run("byd_pro", "--json", *arguments, stdin=stdin)
        assert result.exit_code == 0, result.output
        assert json.loads(result.stdout) == expected


@pytest.mark.parametrize(
    "arguments",
    [
        ["byd_pro", "xyz"],
        ["byd_pro", "123"],
        ["byd_pro", "/no/such/file"],
        ["byd_pro", "/"],
        ["no_protocol", "00"],
        [],
    ],
)
def test_wrong_arguments(arguments: list[str]) -> None:
    result = run(*arguments)
    assert result.exit_code == 2
    assert result.stdout == ""


def test_snapshot_in_its_own_names() -> None:
    found = said("byd_pro", byd())
    assert found["voltage_mv"] == 53080
    assert found["cells_mv"] == [3310 + n for n in range(16)]
    assert found["soc_permille"] == 760
    assert found["capacity_mah"] is None and found["taken_ms"] is None
    assert found["charge_ok"] is True
    assert found["battery_state"] == 2


def test_for_people() -> None:
    result = run("byd_pro", byd("frost").hex())
    lines = dict(line.split(maxsplit=1) for line in result.stdout.splitlines())
    assert lines["voltage"] == "53.080 V"
    assert lines["current"] == "-12.500 A"
    assert lines["soc"] == "76.0 %"
    assert lines["temps"] == "-5.0 -6.0 -4.0 -5.0 °C"
    assert lines["capacity"] == "unknown"
    assert lines["charge_ok"] == "no"
    assert lines["protections"] == "charge_undertemperature"
    assert lines["criticals"] == "none"


def test_refusals_say_so_and_show_the_code() -> None:
    for protocol, text, code in (
        ("byd_pro", "010005018355aa028a", ("result", 2)),
        ("jk_pb", "018302c0f1", ("exception", 2)),
        ("deye_rs485", "018402c2c1", ("exception", 2)),
    ):
        result = run(protocol, "--json", text)
        assert result.exit_code == 1
        assert "refused" in result.stderr
        assert json.loads(result.stdout)[code[0]] == code[1]


def test_byd_refusals() -> None:
    good = byd()
    assert reason("byd_pro", b"").startswith("truncated")
    assert reason("byd_pro", good[:104]).startswith("truncated: 104 of 105")
    assert reason("byd_pro", good + b"\x00").startswith("length")
    assert reason("byd_pro", good[:50] + b"\x77" + good[51:]).startswith("checksum")
    assert "version" in reason("byd_pro", good[:3] + b"\x02" + good[4:])
    assert "marker" in reason("byd_pro", good[:5] + b"\xaa\x55" + good[7:])
    assert "marker" in reason("byd_pro", good[:4] + b"\x84" + good[5:])
    assert "payload" in reason("byd_pro", bytes.fromhex("010005018355aa0088"))


def test_byd_request_and_answer_in_one_go() -> None:
    assert said("byd_pro", bytes.fromhex(REQUEST) + byd())["voltage_mv"] == 53080


def test_jk_frames_join_into_one_picture() -> None:
    live, settings, info = jk()
    found = said("jk_pb", live + b"\x00" + settings + info)
    assert found["ccl_ma"] == 150000
    assert found["cell_count"] == 8
    assert found["serial"] == "31213480085"
    assert found["ack_address"] == 1
    assert said("jk_pb", info[:300] + live[:300])["model"] == "JK_PB2A16S15P"
    alone = said("jk_pb", live)
    assert alone["ccl_ma"] is None and alone["charge_ok"] is None
    assert alone["cell_count"] == 8
    assert alone["temp1_mc"] == 29600 and alone["charge_status"] == 0
    joined = said("jk_pb", settings + info)
    assert joined["cell_ovp_mv"] == 3650 and joined["sw"] == "15.10"


def test_jk_passwords_are_never_shown() -> None:
    info = jk()[2]
    for arguments in (["--json", "jk_pb"], ["jk_pb"], ["jk02_32s"], ["--json", "jk02_32s"]):
        data = info[:300] if "jk02_32s" in arguments else info
        result = run(*arguments, data.hex())
        assert result.exit_code == 0
        assert "***" in result.output
        assert "1234\n" not in result.output and '"1234"' not in result.output


def test_jk_pb_refusals() -> None:
    live = jk()[0]
    body, ack = live[:300], live[300:]
    spoilt = body[:200] + bytes([body[200] ^ 1]) + body[201:]
    assert reason("jk_pb", spoilt + ack).startswith("checksum")
    assert reason("jk_pb", body[:287]).startswith("truncated")
    assert reason("jk_pb", body[:2]).startswith("truncated")
    assert reason("jk_pb", b"").startswith("truncated")
    assert reason("jk_pb", body + ack[:5]).startswith("truncated")
    assert reason("jk_pb", body + b"\x00" + ack[:2]).startswith("truncated")
    assert reason("jk_pb", body + ack[:7] + b"\x00").startswith("checksum")
    assert reason("jk_pb", body + jk()[1][300:]).startswith("payload")
    assert reason("jk_pb", body + ack + b"\x99").startswith("length")
    assert reason("jk_pb", body + b"\x99").startswith("length")
    assert reason("jk_pb", body + b"\x00\x00\x00").startswith("length")
    assert reason("jk_pb", b"\x54" + live[1:]).startswith("marker")
    other = body[:4] + b"\x09" + body[5:299]
    assert reason("jk_pb", other + bytes([sum(other) % 256])).startswith("payload")


def test_jk_pb_filler() -> None:
    live = jk()[0]
    whole = said("jk_pb", live)
    assert said("jk_pb", live[:300] + b"\x00" + live[300:] + b"\x00") == whole
    assert said("jk_pb", live[:300] + b"\x00")["voltage_mv"] == whole["voltage_mv"]
    master = bytes.fromhex("001016200001059a")
    assert said("jk_pb", live[:300] + master)["ack_address"] == 0
    assert said("jk_pb", live[:300] + b"\x00" + master)["ack_address"] == 0
    trigger = bytes.fromhex("011016200001020000d6f1")
    assert said("jk_pb", trigger + live) == whole


@pytest.mark.parametrize(
    ("text", "word"),
    [
        ("0103106c00054115", "checksum"),
        ("0103106c0005", "truncated"),
        ("01030a0000000c000000010000b9", "truncated"),
        ("01030a0000000c000000010000b977", "checksum"),
        ("0103106c0005411400", "length"),
        ("018302c0f2", "checksum"),
        ("018302", "truncated"),
        ("0111c02c", "marker"),
        ("0210107800020400000001f6", "truncated"),
        ("0210107800020400000001f668", "checksum"),
    ],
)
def test_modbus_refusals(text: str, word: str) -> None:
    assert reason("jk_pb_modbus", bytes.fromhex(text)).startswith(word)


def test_bluetooth_streams() -> None:
    live, settings, _ = (frame[:300] for frame in jk())
    ready = bytes.fromhex("aa5590ebc8010100000000000000000000000044")
    found = said("jk02_32s", b"AT\r\n" + settings + ready + live + b"AT\r\nAT\r\n")
    assert found["ccl_ma"] == 150000
    assert reason("jk02_32s", live + b"\x99").startswith("length")
    assert reason("jk02_32s", ready[:-1]).startswith("truncated")
    assert reason("jk02_32s", ready[:-1] + b"\x45").startswith("checksum")
    assert reason("jk02_32s", b"").startswith("truncated")
    assert reason("jk02_32s", b"AT\r\n").startswith("truncated")
    assert reason("jk02_32s", bytes(300)).startswith("marker")


def test_deye() -> None:
    assert said("deye_rs485", bytes.fromhex("000410000017b515"))["count"] == 23
    assert reason("deye_rs485", bytes.fromhex("000410000017b514")).startswith("checksum")
    assert reason("deye_rs485", bytes.fromhex("00041000")).startswith("truncated")


def test_a_file_of_vectors(tmp_path: Path) -> None:
    file = tmp_path / "vectors.json"
    good, bad = byd().hex(), byd()[:80].hex()
    file.write_text(json.dumps([{"name": "one", "hex": good}, {"name": "two", "hex": bad}]))
    result = run("byd_pro", "--json", str(file))
    assert result.exit_code == 1
    one, two = (json.loads(line) for line in result.stdout.splitlines())
    assert one["name"] == "one" and one["says"]["voltage_mv"] == 53080 and one["refused"] is None
    assert two["says"] is None and two["refused"].startswith("truncated")
    assert "two: byd_pro: truncated" in result.stderr
    own = VECTORS / "jk_pb" / "live_settings_info.json"
    assert run("jk_pb", str(own)).exit_code == 0
    file.write_text('{"a": 1}')
    assert run("byd_pro", str(file)).exit_code == 2


@given(st.sampled_from(PROTOCOLS), st.binary(max_size=330), st.integers(0, 4))
def test_any_bytes_are_shown_or_refused_with_a_word(protocol: str, data: bytes, start: int) -> None:
    heads = (b"", jk()[0][:5], byd()[:8], b"\x01\x10\x16\x20", b"\xaa\x55\x90\xeb")
    try:
        read(protocol, heads[start] + data)
    except FrameError as error:
        assert str(error).split(":")[0].split()[0] in WORDS
