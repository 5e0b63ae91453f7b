"""`vbms doctor` on machines that are files below a folder, and its bundle without secrets."""

import http.server
import json
import os
import socket
import tarfile
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from vbms.__main__ import main
from vbms.config import LinkSettings, load
from vbms.doctor import FAILED, INFO, OK, WARNING, checks
from vbms.doctor.bundle import Mask
from vbms.doctor.machine import Machine
from vbms.doctor.serial_ports import adapters, check_port

GOOD = """
links: {a: {kind: simulate, baud: 9600}}
batteries: [{name: byd, profile: byd_pro_2_5, link: a, address: 1}]
"""


class Tree:
    """A machine made of files."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.machine = Machine(root)

    def file(self, path: str, text: str = "") -> None:
        at = self.root / path.lstrip("/")
        at.parent.mkdir(parents=True, exist_ok=True)
        at.write_text(text)

    def link(self, path: str, target: str) -> None:
        at = self.root / path.lstrip("/")
        at.parent.mkdir(parents=True, exist_ok=True)
        at.symlink_to(self.root / target.lstrip("/"))

    def adapter(self, name: str, driver: str, stable: str = "") -> None:
        self.file(f"/dev/{name}")
        self.file(f"/sys/bus/usb-serial/drivers/{driver}/bind")
        self.file(f"/sys/class/tty/{name}/device/uevent")
        self.link(f"/sys/class/tty/{name}/device/driver", f"/sys/bus/usb-serial/drivers/{driver}")
        if stable:
            self.link(f"/dev/serial/by-id/{stable}", f"/dev/{name}")


@pytest.fixture
def tree(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Tree:
    monkeypatch.setattr(Machine, "is_device", Machine.exists)
    return Tree(tmp_path)


def said(found: list[Any]) -> list[tuple[str, str, str]]:
    return [(each.state, each.text, each.advice) for each in found]


def test_a_good_port(tree: Tree) -> None:
    tree.adapter("ttyUSB0", "ftdi_sio", "usb-FTDI_A")
    tree.file("/sys/bus/usb-serial/devices/ttyUSB0/latency_timer", "1\n")
    port = "/dev/serial/by-id/usb-FTDI_A"
    assert said(check_port(tree.machine, "bms", port)) == [
        (OK, f"{port} is there and may be used", "")
    ]
    (row,) = adapters(tree.machine)
    assert (row.state, row.subject, row.text) == (INFO, "/dev/ttyUSB0", f"ftdi_sio, {port}")


def test_a_slow_port_by_a_name_that_moves(tree: Tree) -> None:
    tree.adapter("ttyUSB0", "ftdi_sio", "usb-FTDI_A")
    tree.file("/sys/bus/usb-serial/devices/ttyUSB0/latency_timer", "16")
    name, latency = said(check_port(tree.machine, "bms", "/dev/ttyUSB0"))
    assert name[0] == latency[0] == WARNING
    assert name[2] == "port: /dev/serial/by-id/usb-FTDI_A"
    assert "up to 16 ms" in latency[1] and "latency_timer" in latency[2]


def test_chips_that_have_a_name_for_it(tree: Tree) -> None:
    tree.adapter("ttyUSB1", "ch341-uart", "usb-1a86")
    (row,) = said(check_port(tree.machine, "inv", "/dev/serial/by-id/usb-1a86"))
    assert row[0] == WARNING and "CH341" in row[1]
    tree.file("/proc/device-tree/model", "Raspberry Pi 4 Model B\0")
    tree.adapter("ttyS0", "bcm2835-aux-uart")
    (row,) = said(check_port(tree.machine, "inv", "/dev/ttyS0"))
    assert row[0] == WARNING and "mini-UART" in row[1] and "ttyAMA0" in row[2]
    tree.adapter("ttyAMA0", "uart-pl011")
    assert said(check_port(tree.machine, "inv", "/dev/ttyAMA0"))[0][0] == OK


def test_a_port_that_is_missing_or_forbidden_or_taken(
    tree: Tree, monkeypatch: pytest.MonkeyPatch
) -> None:
    tree.adapter("ttyUSB0", "ftdi_sio", "usb-FTDI_A")
    (row,) = said(check_port(tree.machine, "bms", "/dev/serial/by-id/usb-other"))
    assert row[0] == FAILED and "does not exist" in row[1] and "usb-FTDI_A" in row[2]
    monkeypatch.setattr(Machine, "may_use", lambda *_: False)
    (row,) = said(check_port(tree.machine, "bms", "/dev/serial/by-id/usb-FTDI_A"))
    assert row[0] == FAILED and "no permission" in row[1] and "usermod -aG" in row[2]
    monkeypatch.undo()
    monkeypatch.setattr(Machine, "is_device", Machine.exists)
    for pid, name in ((71, "vbms"), (72, "minicom")):
        tree.file(f"/proc/{pid}/comm", name + "\n")
        (tree.root / f"proc/{pid}/fd").mkdir()
        os.symlink("/dev/ttyUSB0", tree.root / f"proc/{pid}/fd/5")
    (row,) = said(check_port(tree.machine, "bms", "/dev/serial/by-id/usb-FTDI_A"))
    assert row[0] == WARNING and "open in vbms (71), minicom (72)" in row[1]


def link(**values: object) -> LinkSettings:
    return LinkSettings(**{**dict.fromkeys(LinkSettings.__slots__), "name": "x", **values})


def test_can_bluetooth_and_the_clock(tree: Tree) -> None:
    can = link(kind="can", interface="socketcan", channel="can0", bitrate=500000)
    tree.file("/sys/class/net/can1/type", "280")
    (row,) = said(checks.check_link(tree.machine, can))
    assert row == (FAILED, "there is no CAN interface can0", "there are: can1")
    tree.file("/sys/class/net/can0/operstate", "down")
    (row,) = said(checks.check_link(tree.machine, can))
    assert row[2] == "ip link set can0 up type can bitrate 500000"
    ble = link(kind="ble", adapter="hci0")
    assert said(checks.check_link(tree.machine, ble))[0][1] == "there is no adapter hci0"
    tree.file("/sys/class/bluetooth/hci0/rfkill0/soft", "1")
    assert "rfkill" in said(checks.check_link(tree.machine, ble))[0][2]
    tree.file("/sys/class/bluetooth/hci0/rfkill0/soft", "0")
    assert "no D-Bus" in said(checks.check_link(tree.machine, ble))[0][1]
    tree.file("/run/dbus/system_bus_socket")
    assert said(checks.check_link(tree.machine, ble))[0][0] == OK
    tree.file("/run/systemd/system/x")
    assert "not known to be synchronised" in checks.clock(tree.machine)[0].text
    tree.file("/run/systemd/timesync/synchronized")
    assert checks.clock(tree.machine)[0].state == OK


def test_hosts_and_brokers(tree: Tree) -> None:
    gateway = link(kind="tcp", host="localhost", tcp_port=4196)
    assert said(checks.check_link(tree.machine, gateway))[0][0] == OK
    nowhere = link(kind="tcp", host="no-such-host.invalid", tcp_port=1)
    assert said(checks.check_link(tree.machine, nowhere))[0][0] == FAILED
    with socket.create_server(("127.0.0.1", 0)) as broker:
        url = f"mqtt://127.0.0.1:{broker.getsockname()[1]}"
        assert said(checks.check_link(tree.machine, link(kind="mqtt", url=url)))[0][0] == OK
    assert said(checks.check_link(tree.machine, link(kind="mqtt", url=url)))[0][0] == FAILED


def test_what_a_configuration_needs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "vbms.yaml").write_text(
        "links: {air: {kind: mqtt, url: 'mqtt://x'}}\n"
        "batteries: [{name: far, profile: mqtt_pack, link: air, address: t}]\n"
    )
    settings = load(tmp_path / "vbms.yaml")
    (row,) = checks.packages_for(settings)
    assert row.state == OK and "aiomqtt" in row.text
    monkeypatch.setattr(checks, "installed", lambda name: None)
    (row,) = checks.packages_for(settings)
    assert (row.state, row.advice) == (FAILED, "pip install 'vbms[mqtt]'")


def call(*words: str) -> Result:
    return CliRunner().invoke(main, list(words))


def test_the_command(tmp_path: Path) -> None:
    file = tmp_path / "vbms.yaml"
    file.write_text(GOOD + "web: {listen: '127.0.0.1:1'}\n")
    done = call("-c", str(file), "doctor")
    assert done.exit_code == 0, done.output
    for words in ("configuration:", "Python: 3.", "pyserial", "clock:", "state_dir:", "service:"):
        assert words in done.stdout
    rows = json.loads(call("-c", str(file), "doctor", "--json").stdout)
    assert {"state", "subject", "text", "advice"} == set(rows[0])
    file.write_text(GOOD.replace("address: 1", "adr: 1"))
    done = call("-c", str(file), "doctor")
    assert done.exit_code == 1
    assert f"FAIL  configuration: {file}:3: batteries[0].adr" in done.stdout
    assert "Python: 3." in done.stdout  # the machine is looked at anyway
    done = call("-c", str(file), "doctor", "--bundle", str(tmp_path / "none" / "x.tar.gz"))
    assert done.exit_code == 1 and "cannot be written" in done.stderr


@pytest.fixture
def service() -> Iterator[http.server.HTTPServer]:
    """Something that answers as a running vbms does."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            if self.headers["Authorization"] != "Bearer t0ken-of-the-page":
                self.send_error(401)
                return
            body = {"version": "9", "state": "zero", "ok": False, "reason": "no battery"}
            text = json.dumps({**body, "note": "mqtt://joe:b%20r0ker@host geheim123"}).encode()
            self.send_response(503 if self.path == "/healthz" else 200)
            self.send_header("Content-Length", str(len(text)))
            self.end_headers()
            self.wfile.write(text)

        def log_message(self, *_: object) -> None:
            pass

    server = http.server.HTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


def test_the_bundle_holds_no_secret(
    tmp_path: Path, service: http.server.HTTPServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BROKER_NAME", "user-from-env")
    (tmp_path / "secrets.yaml").write_text("mqtt: geheim123\nunused: never-shown-9\n")
    file = tmp_path / "vbms.yaml"
    file.write_text(
        GOOD
        + f"web: {{listen: '127.0.0.1:{service.server_port}', token: t0ken-of-the-page}}\n"
        + "mqtt: {url: 'mqtt://joe:b%20r0ker@127.0.0.1:1', username: !env BROKER_NAME, password: !secret mqtt}\n"
    )
    (tmp_path / "profiles" / "battery").mkdir(parents=True)
    (tmp_path / "profiles" / "battery" / "mine.yaml").write_text(
        "extends: lfp_16s  # never-shown-9\n"
    )
    target = tmp_path / "bundle.tar.gz"
    done = call("-c", str(file), "doctor", "--bundle", str(target))
    assert done.exit_code == 1, done.output  # the broker is not there
    assert " warn service: version 9, state zero" in done.stdout
    with tarfile.open(target) as tar:
        files = {
            each.name.removeprefix("vbms-bundle/"): tar.extractfile(each).read().decode()  # type: ignore[union-attr]
            for each in tar.getmembers()
        }
    assert {
        "doctor.json",
        "packages.txt",
        "vbms.yaml",
        "service/bank.txt",
        "service/healthz.txt",
    } <= set(files)
    assert "profiles/battery/mine.yaml" in files and "secrets.yaml" not in files
    everything = "\n".join(files.values())
    for secret in ("geheim123", "never-shown-9", "t0ken-of", "r0ker", "user-from-env"):
        assert secret not in everything, secret
    assert "password: !secret mqtt" in files["vbms.yaml"]  # which one, not what
    assert "extends: lfp_16s" in files["profiles/battery/mine.yaml"]
    assert oct(target.stat().st_mode & 0o777) == "0o600"


def test_a_file_that_cannot_be_read_still_shows_no_password(tmp_path: Path) -> None:
    file = tmp_path / "vbms.yaml"
    file.write_text(
        "mqtt: {password: 'hunter 22', url: mqtt://a:b3c@d}\nweb:\n  token: abc-def\n  x: ["
    )
    target = tmp_path / "b.tar.gz"
    assert call("-c", str(file), "doctor", "--bundle", str(target)).exit_code == 1
    with tarfile.open(target) as tar:
        text = tar.extractfile("vbms-bundle/vbms.yaml").read().decode()  # type: ignore[union-attr]
    assert text.startswith("mqtt: {password: '***', url: mqtt://***@d}\nweb:\n  token: ***\n")


def test_mask() -> None:
    mask = Mask(["s3cret", "s3", "s3cret-long", 'with "quotes"'])
    assert mask("a s3cret-long s3cret s3") == "a *** *** s3"
    assert mask('{"x": "with \\"quotes\\""}') == '{"x": "***"}'
    assert mask("device_passcode: 1234, name: x") == "device_passcode: ***, name: x"
    assert mask("token: !secret web") == "token: !secret web"
