"""Memory of a whole service: every kind of battery in one process, and fifteen on serial lines alone.

    python -m tests.bench site          about two minutes

Batteries, broker and inverter are processes of their own; the service is `vbms run` as users start
it. Beside it stands a bare Python that has imported the same packages of others, and nothing of
vbms. A page is open, metrics are scraped, a DEYE asks, while the memory is measured.
"""

import asyncio
import contextlib
import json
import os
import select
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import tty
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

MIXED_MB, MIXED, SERIAL = 64.0, 1.3, 1.2
FRESH_S = 90
LIVE_S = 20
READ_0 = bytes.fromhex("000410000017B515")
# What belongs to an extra: not to be loaded where nothing of it is configured.
EXTRAS = {"bleak", "dbus_fast", "can", "aiomqtt", "paho", "pymodbus", "smbus2", "gpiod", "sqlite3"}


def _mixed(far: dict[str, Any]) -> str:
    rows = [
        f"{{name: byd-{n}, profile: byd_pro_2_5, link: byd, address: {n}}}" for n in range(1, 5)
    ]
    rows += [f"{{name: jk-{n}, profile: jk_pb, link: jk, address: {n}}}" for n in (1, 2)]
    rows += [
        f'{{name: ble-{n}, profile: jk_ble, link: air, address: "C8:47:80:00:00:{n:02X}"}}'
        for n in range(1, 5)
    ]
    rows += ["{name: box, profile: byd_lvl, link: box}"]
    rows += ["{name: mqtt-1, profile: mqtt_pack, link: broker, address: far/1, capacity_ah: 100}"]
    links = [
        *_lines(far),
        "air: {kind: ble}",
        f"box: {{kind: tcp, host: 127.0.0.1, port: {far['box']}}}",
        f'broker: {{kind: mqtt, url: "{far["broker"]}"}}',
    ]
    return _yaml(links, rows)


def _serial(far: dict[str, Any]) -> str:
    rows = [
        f"{{name: byd-{n}, profile: byd_pro_2_5, link: byd, address: {n}}}" for n in range(1, 8)
    ]
    rows += [f"{{name: jk-{n}, profile: jk_pb, link: jk, address: {n}}}" for n in range(1, 9)]
    return _yaml(_lines(far), rows)


def _lines(far: dict[str, Any]) -> list[str]:
    return [
        f"byd: {{kind: serial, port: {far['byd']}, baud: 9600}}",
        f"jk: {{kind: serial, port: {far['jk']}, baud: 115200}}",
    ]


def _yaml(links: list[str], batteries: list[str]) -> str:
    text = "links:\n" + "".join(f"  {row}\n" for row in links)
    text += "  inv: {kind: serial, port: INVERTER, baud: 9600}\n"
    text += "batteries:\n" + "".join(f"  - {row}\n" for row in batteries)
    return text + "inverters:\n  - {name: deye, profile: deye_rs485, link: inv}\n"


async def _far(kind: str, url: str) -> None:
    """The batteries' process: prints where each of them is."""
    from vbms.simulate.site import simulated_line
    from vbms.simulate.world import World

    world = World(7)
    byd, jk = (4, 2) if kind == "mixed" else (7, 8)
    lines = {
        "byd": (9600, "byd_pro", byd),
        "jk": (115200, "jk_pb", jk),
    }
    where: dict[str, object] = {}
    for name, (baud, protocol, count) in lines.items():
        rows = [(f"{name}-{n}", protocol, n, None, None, n) for n in range(1, count + 1)]
        line = simulated_line(name, baud, rows, world)
        await line.start()
        where[name] = line.path
    if kind == "mixed":
        from vbms.links.mqtt_client import MqttClient
        from vbms.simulate.bluez_site import Air
        from vbms.simulate.byd_battery_box import BatteryBoxServer, make_box
        from vbms.simulate.mqtt_pack import MqttPack, play

        box = BatteryBoxServer(make_box(world, "box"))
        await box.start()
        air = Air(world, advertisers=20)
        air.add(
            [(f"ble-{n}", "jk_ble", f"C8:47:80:00:00:{n:02X}", None, None) for n in range(1, 5)]
        )
        await air.start(enter=False)
        pack = MqttPack(world.add("mqtt-1", "mqtt_pack", 16, 100.0, 0.6), "far/1")
        told = asyncio.create_task(play(MqttClient("far", url), [pack], world))
        where |= {"box": box.port, "bus": air.bus.address, "broker": url}
        print(json.dumps(where), flush=True)
        await told
    print(json.dumps(where), flush=True)
    await asyncio.Event().wait()


def _serve(words: list[str]) -> None:
    """`vbms` with these words; at SIGUSR1 it says which modules of others are loaded."""

    def tell(*_: object) -> None:
        names = [name for name in sys.modules if name.partition(".")[0] != "vbms"]
        file = Path(words[1]).with_suffix(".modules")
        file.with_suffix(".new").write_text("\n".join(names))
        file.with_suffix(".new").rename(file)

    signal.signal(signal.SIGUSR1, tell)
    from vbms.__main__ import main

    main(words)


def _bare(modules: str) -> None:
    """The same packages of others, in the order in which they were loaded."""
    import importlib

    for name in Path(modules).read_text().splitlines():
        if name in ("__main__", "__mp_main__") or name.startswith("tests"):
            continue
        with contextlib.suppress(Exception):
            importlib.import_module(name)
    print("loaded", flush=True)
    time.sleep(60)


def rss_mb(pid: int) -> float:
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) / 1024
    raise RuntimeError("no VmRSS")


@contextlib.contextmanager
def _child(*words: str, env: dict[str, str] | None = None) -> Iterator[subprocess.Popen[str]]:
    """A part of this module in a process of its own."""
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.bench.site", *words],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        env=os.environ | (env or {}),
    )
    try:
        yield process
    finally:
        process.terminate()
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        if process.stdout is not None:
            process.stdout.close()


def _said(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    line = process.stdout.readline()
    assert line, "it ended before it said a word"
    return line


def _free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        port: int = found.getsockname()[1]
    return port


@contextlib.contextmanager
def _mosquitto(folder: Path) -> Iterator[str]:
    program = shutil.which("mosquitto", path="/usr/sbin:/usr/local/sbin:/usr/bin")
    if program is None:
        raise RuntimeError("mosquitto is missing: apt-get install mosquitto")
    port = _free_port()
    file = folder / "mosquitto.conf"
    file.write_text(f"listener {port} 127.0.0.1\nallow_anonymous true\npersistence false\n")
    process = subprocess.Popen([program, "-c", str(file)], stderr=subprocess.DEVNULL)
    try:
        yield f"mqtt://127.0.0.1:{port}"
    finally:
        process.kill()
        process.wait()


def _fetch(port: int, path: str) -> bytes:
    with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=5) as answer:
        data: bytes = answer.read()
    return data


def _ask(fd: int) -> bool:
    """A poll of the inverter: whether it was answered."""
    os.write(fd, READ_0)
    heard = b""
    while len(heard) < 51 and select.select([fd], [], [], 0.5)[0]:
        heard += os.read(fd, 256)
    return len(heard) == 51


class Measured:
    """A service that has come to rest: its memory, and what stands beside it."""

    def __init__(self, kind: str, folder: Path, url: str = "") -> None:
        self.units = 0
        self.states: dict[str, str] = {}
        with _child("far", kind, url) as far:
            where = json.loads(_said(far))
            text = (_mixed if kind == "mixed" else _serial)(where)
            bus = {"DBUS_SYSTEM_BUS_ADDRESS": where["bus"]} if "bus" in where else None
            self._run(folder, text, bus)
        with _child("bare", str(folder / "vbms.modules")) as bare:
            _said(bare)
            self.bare_mb = rss_mb(bare.pid)

    def _run(self, folder: Path, text: str, env: dict[str, str] | None) -> None:
        master, slave = os.openpty()
        tty.setraw(slave)
        port = _free_port()
        file = folder / "vbms.yaml"
        text = text.replace("INVERTER", os.ttyname(slave))
        file.write_text(f"{text}web: {{listen: 127.0.0.1:{port}}}\nstate_dir: {folder}/state\n")
        with _child("serve", "-c", str(file), "run", env=env) as service:
            began_s = time.monotonic()
            while not self._all_fresh(port):
                if time.monotonic() - began_s > FRESH_S or service.poll() is not None:
                    break
                time.sleep(0.5)
            self.fresh_s = time.monotonic() - began_s
            time.sleep(6)  # until the inverter is told
            answers = [self._second(port, master) for _ in range(LIVE_S)]
            self.answered = all(answers)
            self._all_fresh(port)
            self.rss_mb = rss_mb(service.pid)
            service.send_signal(signal.SIGUSR1)
            modules = folder / "vbms.modules"
            while not modules.exists():
                assert service.poll() is None, "the service has ended"
                time.sleep(0.1)
        os.close(master)
        os.close(slave)
        loaded = {name.partition(".")[0] for name in modules.read_text().splitlines()}
        self.extras = sorted(loaded & EXTRAS)

    def _second(self, port: int, master: int) -> bool:
        for path in ("/", "/metrics", "/api/units", "/api/bank"):
            _fetch(port, path)
        answered = _ask(master)
        time.sleep(1)
        return answered

    def _all_fresh(self, port: int) -> bool:
        try:
            rows = json.loads(_fetch(port, "/api/units"))
        except OSError:
            return False
        self.units = len(rows)
        self.states = {row["name"]: row["state"] for row in rows}
        return bool(rows) and all(state == "fresh" for state in self.states.values())

    @property
    def detail(self) -> str:
        fresh = sum(state == "fresh" for state in self.states.values())
        return (
            f"{self.rss_mb:.1f} MB, its imports alone {self.bare_mb:.1f}; {fresh} of {self.units}"
            f" fresh, after {self.fresh_s:.0f} s; the inverter"
            f" {'always' if self.answered else 'not always'} answered"
        )

    @property
    def fine(self) -> bool:
        return self.answered and all(state == "fresh" for state in self.states.values())


def run() -> list[tuple[str, float, str, bool, str]]:
    rows = []
    with tempfile.TemporaryDirectory(prefix="vbms-site-") as place:
        folder = Path(place)
        for name in ("mixed", "serial"):
            (folder / name).mkdir()
        with _mosquitto(folder) as url:
            mixed = Measured("mixed", folder / "mixed", url)
        serial = Measured("serial", folder / "serial")
    bound = max(MIXED_MB, MIXED * mixed.bare_mb)
    fine = mixed.rss_mb <= bound and mixed.fine
    rows.append(
        ("mixed site of 12, RSS in MB", mixed.rss_mb, f"<= {bound:.1f}", fine, mixed.detail)
    )
    ratio = serial.rss_mb / serial.bare_mb
    fine = ratio <= SERIAL and serial.fine
    rows.append(("15 on serial lines, RSS", ratio, f"<= {SERIAL}", fine, serial.detail))
    extras = serial.extras
    detail = "loaded: " + " ".join(extras) if extras else "none is loaded"
    rows.append(("extras on serial lines alone", float(len(extras)), "0", not extras, detail))
    return rows


if __name__ == "__main__":
    part, *words = sys.argv[1:]
    if part == "far":
        asyncio.run(_far(words[0], words[1]))
    elif part == "bare":
        _bare(words[0])
    else:
        _serve(words)
