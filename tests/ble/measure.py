"""Ten JKs on an adapter that holds eight links, beside BYD units and an inverter; what it reaches.

    python -m tests.ble.measure            about five minutes

Two services run side by side, one with Bluetooth and one without, and an inverter asks them in
turns, so that a busy machine is as busy for both. One unit falls silent (connected, nothing comes)
and returns; the D-Bus daemon is killed for half a minute. Prints what was measured and exits 1
where it falls short.
"""

import json
import os
import pty
import select
import statistics
import subprocess
import sys
import tempfile
import time
import tty
import urllib.request
from pathlib import Path

UNITS, SLOTS = 10, 8
READ = bytes.fromhex("000410000017B515")
ANSWER_SIZE = 3 + 46 + 2
PORTS = (18591, 18592)
BYD = "".join(
    f"  - {{name: byd-{n}, profile: byd_pro_2_5, link: byd, address: {n}}}\n" for n in (1, 2, 3)
)
JK = "".join(
    f'  - {{name: jk-{n}, profile: jk_ble, link: air, address: "C8:47:80:00:00:{n:02X}"}}\n'
    for n in range(UNITS)
)


class Service:
    """`vbms run` with an inverter's pty."""

    def __init__(self, folder: Path, name: str, port: int, bluetooth: str | None) -> None:
        self.master, slave = pty.openpty()
        tty.setraw(self.master)
        tty.setraw(slave)
        text = "links:\n  byd: {kind: simulate, baud: 9600}\n"
        text += f"  inv: {{kind: serial, port: {os.ttyname(slave)}, baud: 9600}}\n"
        if bluetooth:
            text += f"  air: {{kind: ble, connections: {SLOTS}}}\n"
        text += "inverters:\n  - {name: deye, profile: deye_rs485, link: inv}\nbatteries:\n" + BYD
        text += JK if bluetooth else ""
        text += f"web: {{listen: 127.0.0.1:{port}}}\nstate_dir: {folder / name}\n"
        (folder / name).mkdir()
        yaml = folder / name / "vbms.yaml"
        yaml.write_text(text)
        env = os.environ | ({"DBUS_SYSTEM_BUS_ADDRESS": bluetooth} if bluetooth else {})
        self.log = open(folder / f"{name}.log", "w")
        self.process = subprocess.Popen(
            [sys.executable, "-m", "vbms", "-c", str(yaml), "run"], env=env, stderr=self.log
        )
        self.port = port
        self.times: list[float] = []
        self.missing = 0

    def api(self, path: str) -> object:
        with urllib.request.urlopen(f"http://127.0.0.1:{self.port}{path}", timeout=5) as answer:
            return json.load(answer)

    def ages(self) -> dict[str, float]:
        """Of the Bluetooth units, in seconds."""
        rows = self.api("/api/units")
        assert isinstance(rows, list)
        found = {row["name"]: row for row in rows if row["name"].startswith("jk")}
        return {
            name: 999.0 if row["age_s"] is None or row["state"] == "joining" else row["age_s"]
            for name, row in found.items()
        }

    def ask(self) -> None:
        """One poll of the inverter."""
        while select.select([self.master], [], [], 0)[0]:
            os.read(self.master, 4096)
        begun = time.perf_counter()
        os.write(self.master, READ)
        got = b""
        while len(got) < ANSWER_SIZE and select.select([self.master], [], [], 0.5)[0]:
            got += os.read(self.master, 4096)
        if len(got) < ANSWER_SIZE:
            self.missing += 1
        else:
            self.times.append(time.perf_counter() - begun)


class Run:
    def __init__(self, folder: Path) -> None:
        self.air = subprocess.Popen(
            [sys.executable, "-m", "tests.ble.air_process", str(UNITS), str(SLOTS)],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        )  # fmt: skip
        assert self.air.stdout is not None
        address = self.air.stdout.readline().strip()
        self.begun = time.monotonic()
        self.with_it = Service(folder, "with", PORTS[0], address)
        self.without = Service(folder, "without", PORTS[1], None)
        self.asks = False
        self.failures: list[str] = []

    def tell(self, words: str) -> list[str]:
        assert self.air.stdin is not None and self.air.stdout is not None
        self.air.stdin.write(words + "\n")
        self.air.stdin.flush()
        return self.air.stdout.readline().split()

    def second(self) -> dict[str, float]:
        """A second of inverter polls, and the ages after it."""
        for _ in range(4):
            if self.asks:
                self.with_it.ask()
                self.without.ask()
            time.sleep(0.2)
        try:
            return self.with_it.ages()
        except OSError:
            return {"none": 999.0}

    def until_fresh(self, names: set[str] | None, within_s: float, what: str) -> float:
        begun = time.monotonic()
        while True:
            ages = self.second()
            if all(age <= 15 for name, age in ages.items() if names is None or name in names):
                break
            if time.monotonic() - begun > within_s:
                self.failures.append(what)
                break
        took = time.monotonic() - begun
        print(f"{what}: {took:.0f} s (at most {within_s:.0f})", flush=True)
        return took

    def close(self) -> None:
        for service in (self.with_it, self.without):
            service.process.terminate()
            service.process.wait(10)
            service.log.close()
        assert self.air.stdin is not None
        self.air.stdin.close()
        self.air.wait(10)

    def judge(self, fine: bool, text: str) -> None:
        print(text if fine else f"{text}  <-- falls short", flush=True)
        if not fine:
            self.failures.append(text)


def main() -> int:
    with tempfile.TemporaryDirectory(prefix="vbms-ble-") as place:
        folder = Path(place)
        run = Run(folder)
        try:
            everything(run)
        finally:
            run.close()
            for line in (folder / "with.log").read_text().splitlines()[-25:]:
                print("   ", line)
    print("falls short: " + "; ".join(run.failures) if run.failures else "all reached")
    return 1 if run.failures else 0


def everything(run: Run) -> None:
    time.sleep(2)
    run.until_fresh(None, 60, f"{UNITS} units on {SLOTS} links, all fresh after the start")
    for _ in range(20):  # both answer their inverters by then
        run.second()
    run.asks = True
    sums: dict[str, list[float]] = {}
    for _ in range(60):
        for name, age in run.second().items():
            sums.setdefault(name, []).append(age)
    means = {name: statistics.mean(ages) for name, ages in sums.items()}
    most = max(max(ages) for ages in sums.values())
    text = f"mean age {min(means.values()):.1f} to {max(means.values()):.1f} s, oldest {most:.1f} s"
    run.judge(max(means.values()) <= 15, text)
    # The bank is told apart from here on: a unit that is silent changes what is said, not when.
    while "jk-3" not in run.tell("status"):  # it takes turns with the others
        run.second()
    run.tell("zombie 3")
    silent = time.monotonic()
    while "jk-3" in run.tell("status") and time.monotonic() - silent < 90:
        run.second()
    dropped = time.monotonic() - silent
    run.judge(dropped <= 75, f"silent unit dropped after {dropped:.0f} s")
    for _ in range(30):
        run.second()
    run.tell("well 3")
    run.until_fresh({"jk-3"}, 75, "silent unit fresh after its return")
    run.tell("kill")
    for _ in range(30):
        run.second()
    run.tell("start")
    run.until_fresh(None, 120, "all fresh after the D-Bus daemon was away for 30 s")
    (a50, a99), (b50, b99) = quantiles(run.with_it.times), quantiles(run.without.times)
    text = (
        f"inverter's answers: p50 {a50:.2f} ms against {b50:.2f}, p99 {a99:.2f} against {b99:.2f}"
    )
    text += (
        f", {len(run.with_it.times)} polls, missing {run.with_it.missing} and {run.without.missing}"
    )
    run.judge(a50 <= 1.2 * b50 and a99 <= 2 * b99 and not run.with_it.missing, text)


def quantiles(times: list[float]) -> tuple[float, float]:
    ranked = sorted(times)
    return 1000 * statistics.median(ranked), 1000 * ranked[int(len(ranked) * 0.99)]


if __name__ == "__main__":
    sys.exit(main())
