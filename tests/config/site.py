"""A configuration folder to break: the good file, and what `load` says about it."""

from pathlib import Path

from vbms.config import ConfigErrors, Problem, Settings, load

GOOD = """\
site: {name: home}
links:
  bms: {kind: simulate, baud: 9600}
  jk:
    kind: serial
    port: /dev/serial/by-id/not-here
    baud: 115200
  inv: {kind: tcp, host: gateway.lan, port: 4196, baud: 9600}
  air: {kind: ble}
  can: {kind: can, interface: slcan, channel: /dev/ttyACM9}
batteries:
  - {name: byd-1, profile: byd_pro_2_5, link: bms, address: 1}
  - name: byd-2
    profile: byd_pro_2_5
    link: bms
    address: 2
  - {name: jk-1, profile: jk_pb, link: jk, address: 1}
inverters:
  - {name: deye, profile: deye_rs485, link: inv}
bank: {max_charge_a: 200, max_discharge_a: 150.5}
web: {listen: 127.0.0.1:8080}
"""


class Folder:
    """A folder with a vbms.yaml, and what else a test puts beside it."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.yaml = path / "vbms.yaml"

    def write(self, name: str, text: str | bytes) -> Path:
        path = self.path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(text.encode() if isinstance(text, str) else text)
        return path

    def load(self, text: str | bytes = GOOD) -> Settings:
        self.write("vbms.yaml", text)
        return load(self.yaml)

    def problems(self, text: str | bytes = GOOD) -> tuple[Problem, ...]:
        """Every problem; none means that it was taken."""
        try:
            self.load(text)
        except ConfigErrors as errors:
            assert errors.problems
            assert errors.lines() == [str(problem) for problem in errors.problems]
            return errors.problems
        return ()


def changed(old: str, new: str) -> str:
    """The good file with one place changed."""
    assert GOOD.count(old) == 1, f"{old!r} is there {GOOD.count(old)} times"
    return GOOD.replace(old, new)


def battery(keys: str) -> str:
    """The good file with these keys in place at byd-2, whose lines are 13 to 16; they are line 17."""
    return changed("    address: 2\n", f"    address: 2\n    {keys}\n")
