"""The manifest lists exactly the shared files, and a board takes each of them."""

import ast
import hashlib
import json
from pathlib import Path

import pytest

from firmware_mpy import build

ROOT = Path(__file__).resolve().parents[2]
HERE = Path(__file__).resolve().parent
ROOMS = ("wire", "aggregate", "upstream", "downstream", "loops")
SINGLE = ("__init__.py", "errors.py", "integers.py", "options.py")
WEB = ("web/__init__.py", "web/routes.py")


def runtime_imports(path: Path) -> set[str]:
    """vbms modules that a file imports when it runs; what stands under TYPE_CHECKING does not."""
    found: set[str] = set()

    def walk(node: ast.AST) -> None:
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING":
            return
        if isinstance(node, ast.Import):
            found.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            found.add(node.module)
            found.update(f"{node.module}.{alias.name}" for alias in node.names)
        for child in ast.iter_child_nodes(node):
            walk(child)

    walk(ast.parse(path.read_text()))
    return {name for name in found if name.startswith("vbms.")}


def files_of(names: set[str]) -> set[str]:
    """Those of the dotted names that are files, as paths below vbms/."""
    paths = {name.removeprefix("vbms.").replace(".", "/") + ".py" for name in names}
    return {path for path in paths if (ROOT / "vbms" / path).is_file()}


def shared() -> set[str]:
    """Rings 1 and 2 but for the names only a PC prints, the web routes and all that they import."""
    found = set(SINGLE + WEB)
    for room in ROOMS:
        for path in (ROOT / "vbms" / room).glob("*.py"):
            if not path.name.endswith("_names.py"):
                found.add(f"{room}/{path.name}")
    todo = list(found)
    while todo:
        for path in files_of(runtime_imports(ROOT / "vbms" / todo.pop())) - found:
            found.add(path)
            todo.append(path)
    return found


def test_lists_exactly_the_shared_files() -> None:
    listed = [name.removeprefix("vbms/") for _, name in build.listed()]
    assert len(listed) == len(set(listed))
    assert set(listed) == shared()


def test_no_shared_file_needs_one_that_is_not() -> None:
    """The rule above may grow by an import; it must not grow into the PC's side."""
    for name in shared() - set(SINGLE):
        assert name.startswith(tuple(f"{room}/" for room in (*ROOMS, "web"))), name


def test_index_names_what_was_built(shipped: Path) -> None:
    index = json.loads((shipped / "index.json").read_text())
    for entry in index["files"]:
        code = (shipped / entry["path"]).read_bytes()
        assert (len(code), hashlib.sha256(code).hexdigest()) == (entry["size"], entry["sha256"])
        assert code[:2] == bytes((ord("M"), index["bytecode"]))
    built = {path.relative_to(shipped).as_posix() for path in shipped.rglob("*.mpy")}
    assert built == {entry["path"] for entry in index["files"]}
    assert len(built) == len(build.listed()) + 1
    assert "Copyright" in (shipped / "microdot.LICENSE").read_text()


def test_core_is_within_its_budget(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    sizes = build.build(tmp_path / "out")
    assert build.report(sizes, brief=False), "see `make board`"
    core = sum(size for name, size in sizes if build.is_core(name))
    assert f"{core:7}  bytes of .mpy in the core" in capsys.readouterr().out
    assert not build.report([("vbms/errors.py", build.BUDGET + 1)], brief=True)


def test_a_file_that_does_not_compile_is_named(tmp_path: Path) -> None:
    source = tmp_path / "x.py"
    source.write_text("def f(a, /): pass\n")
    with pytest.raises(SystemExit, match="vbms/x.py"):
        build.compile_file(source, "vbms/x.py", tmp_path / "x.mpy")


def test_nobodys_folder_is_emptied(tmp_path: Path) -> None:
    (tmp_path / "mine.txt").touch()
    with pytest.raises(SystemExit, match="not empty"):
        build.build(tmp_path)
    assert (tmp_path / "mine.txt").exists()


def test_every_file_is_imported_on_the_board(on_board, tmp_path: Path) -> None:
    names = [name.removesuffix(".py").replace("/", ".") for _, name in build.listed()]
    modules = [name.removesuffix(".__init__") for name in names]
    (tmp_path / "modules.txt").write_text("\n".join(modules))
    done = on_board(HERE / "t_import.py", tmp_path, heap=360)  # all at once, as no board has it
    assert done.returncode == 0, done.stdout + done.stderr
    assert f"{len(modules) + 1} of {len(modules) + 1} passed" in done.stdout


def test_fifteen_units_fit_a_board(on_board) -> None:
    done = on_board(HERE / "t_heap.py", heap=200)
    assert done.returncode == 0, done.stdout + done.stderr
