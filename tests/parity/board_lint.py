"""What a shared file may not say, because a board cannot read it or reads it differently.

    python -m tests.parity.board_lint FILE...

Works on the syntax tree, without the bodies of `if TYPE_CHECKING:`. PC builds of MicroPython are
richer than an ESP32's, so running the tests there is not enough; mpy-cross knows nothing of names.
What no lint can see (unstable sorts, the order of dicts and sets, values that pass 2**30) is left
to review and to the parity digests.
"""

import ast
import sys
from pathlib import Path

MODULES = frozenset(
    "struct binascii hashlib json array errno io collections time asyncio gc vbms".split()
)
# Names of those modules that a board has as well; a module not named here is free.
MEMBERS = {
    "collections": {"OrderedDict", "deque", "namedtuple"},
    "asyncio": {
        "CancelledError",
        "Event",
        "Lock",
        "create_task",
        "current_task",
        "gather",
        "get_event_loop",
        "sleep",
    },
    "time": {"gmtime", "localtime", "mktime", "time"},
    "struct": {"calcsize", "pack", "pack_into", "unpack", "unpack_from"},
    "json": {"dump", "dumps", "load", "loads"},
    "hashlib": {"sha256"},
    "io": {"BytesIO", "StringIO"},
    "binascii": {"a2b_base64", "b2a_base64", "crc32", "hexlify", "unhexlify"},
    "array": {"array"},
    "gc": {"collect", "mem_alloc", "mem_free"},
}
# Builtins of CPython that a board lacks.
BUILTINS = frozenset(
    """
    BaseExceptionGroup BlockingIOError BrokenPipeError BytesWarning ChildProcessError
    ConnectionAbortedError ConnectionError ConnectionRefusedError ConnectionResetError
    DeprecationWarning ExceptionGroup FileExistsError FileNotFoundError FloatingPointError
    IsADirectoryError InterruptedError ModuleNotFoundError NotADirectoryError PermissionError
    ProcessLookupError RecursionError ReferenceError ResourceWarning TimeoutError UserWarning
    Warning aiter anext ascii breakpoint copyright format vars
    """.split()
)
# Attributes that a board's objects lack, whatever object they are asked of.
ATTRIBUTES = frozenset(
    """
    bit_count bit_length is_integer as_integer_ratio
    translate maketrans ljust rjust zfill expandtabs removeprefix removesuffix casefold swapcase
    title capitalize isalnum isascii isdecimal isidentifier isnumeric isprintable istitle
    format_map cast tobytes frombytes fromlist byteswap buffer_info
    _asdict _fields _make _replace hexdigest most_common move_to_end
    __cause__ __context__ __doc__ __init_subclass__ __set_name__ __subclasses__ __annotations__
    add_note with_traceback
    """.split()
)
# Keywords that a board's functions refuse: (function, keyword).
KEYWORDS = {
    ("namedtuple", "defaults"),
    ("namedtuple", "rename"),
    ("deque", "maxlen"),
    ("zip", "strict"),
    ("sum", "start"),
    ("int", "base"),
    ("split", "maxsplit"),
    ("split", "sep"),
    ("rsplit", "maxsplit"),
    ("rsplit", "sep"),
    ("decode", "encoding"),
    ("decode", "errors"),
    ("encode", "encoding"),
    ("encode", "errors"),
}


def _name(func: ast.expr) -> str:
    """The last word of what is called: `sleep_ms` of `self.clock.sleep_ms`."""
    if isinstance(func, ast.Attribute):
        return func.attr
    return func.id if isinstance(func, ast.Name) else ""


class _Reader(ast.NodeVisitor):
    def __init__(self, path: str) -> None:
        self.found: list[tuple[int, str]] = []
        self._web = "vbms/web/" in path
        self._awaited: set[ast.expr] = set()
        self._modules: dict[str, str] = {}  # local name -> module of MEMBERS

    def say(self, node: ast.AST, text: str) -> None:
        self.found.append((getattr(node, "lineno", 0), text))

    # What only a type checker reads.
    def visit_If(self, node: ast.If) -> None:
        if isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING":
            for child in node.orelse:
                self.visit(child)
        else:
            self.generic_visit(node)

    def visit_AnnAssign(self, node: ast.AnnAssign) -> None:
        self.visit(node.target)
        if node.value is not None:
            self.visit(node.value)

    def visit_arg(self, node: ast.arg) -> None:
        pass

    # Imports.
    def _module(self, node: ast.AST, name: str) -> None:
        top = name.split(".")[0]
        if top in MODULES and (top == "vbms" or "." not in name):
            return
        if self._web and top == "microdot":
            return
        self.say(node, f"import of {name}: not on the board")

    def _member(self, node: ast.AST, module: str, name: str) -> None:
        if module in MEMBERS and name not in MEMBERS[module]:
            self.say(node, f"{module}.{name}: not on the board")

    def visit_Import(self, node: ast.Import) -> None:
        for alias in node.names:
            self._module(node, alias.name)
            self._modules[alias.asname or alias.name] = alias.name

    def visit_ImportFrom(self, node: ast.ImportFrom) -> None:
        if node.level:
            self.say(node, "relative import: write the whole name")
            return
        module = node.module or ""
        self._module(node, module)
        for alias in node.names:
            if alias.name == "*":
                self.say(node, f"from {module} import *: name what is needed")
            else:
                self._member(node, module, alias.name)

    # Numbers.
    def visit_Constant(self, node: ast.Constant) -> None:
        if isinstance(node.value, float | complex):
            self.say(node, f"float literal {node.value}: integers only")

    def _divided(self, node: ast.BinOp | ast.AugAssign) -> None:
        if isinstance(node.op, ast.Div):
            self.say(node, "/ gives a float: use //")
        if isinstance(node.op, ast.MatMult):
            self.say(node, "@: not on the board")

    def visit_BinOp(self, node: ast.BinOp) -> None:
        self._divided(node)
        self.generic_visit(node)

    def visit_AugAssign(self, node: ast.AugAssign) -> None:
        self._divided(node)
        self.generic_visit(node)

    # Syntax.
    def visit_Match(self, node: ast.Match) -> None:
        self.say(node, "match: not on the board")

    def visit_TryStar(self, node: ast.AST) -> None:
        self.say(node, "except*: not on the board")

    def visit_TypeAlias(self, node: ast.AST) -> None:
        self.say(node, "type statement: not on the board")

    def visit_Assert(self, node: ast.Assert) -> None:
        self.say(node, "assert: compiled away for the board")

    def visit_Dict(self, node: ast.Dict) -> None:
        if None in node.keys:
            self.say(node, "{**a}: use a | b")
        self.generic_visit(node)

    def _display(self, node: ast.List | ast.Tuple | ast.Set) -> None:
        loads = isinstance(node, ast.Set) or isinstance(node.ctx, ast.Load)
        if loads and any(isinstance(item, ast.Starred) for item in node.elts):
            self.say(node, "[*a, b]: use list(a) + [b]")
        self.generic_visit(node)

    visit_List = visit_Tuple = visit_Set = _display

    def visit_comprehension(self, node: ast.comprehension) -> None:
        if node.is_async:
            self.say(node.target, "async comprehension: not on the board")
        self.generic_visit(node)

    def _function(self, node: ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda) -> None:
        if node.args.posonlyargs:
            self.say(node, "positional-only arguments: not on the board")
        if isinstance(node, ast.AsyncFunctionDef) and _yields(node):
            self.say(node, "async generator: write a class with __anext__")
        for value in [*node.args.defaults, *node.args.kw_defaults]:
            if value is not None:
                self.visit(value)
        if isinstance(node, ast.Lambda):
            self.visit(node.body)
            return
        for child in [*node.decorator_list, *node.body]:
            self.visit(child)
        if node.name in ATTRIBUTES:
            self.say(node, f"{node.name}: never called on the board")
        if getattr(node, "type_params", None):
            self.say(node, "type parameters: not on the board")

    visit_FunctionDef = visit_AsyncFunctionDef = visit_Lambda = _function

    def visit_ClassDef(self, node: ast.ClassDef) -> None:
        if len(node.bases) > 1:
            self.say(node, "more than one base class")
        if node.keywords:
            self.say(node, "metaclass or class keywords: not on the board")
        if getattr(node, "type_params", None):
            self.say(node, "type parameters: not on the board")
        self.generic_visit(node)

    def visit_Delete(self, node: ast.Delete) -> None:
        for target in node.targets:
            if isinstance(target, ast.Subscript) and isinstance(target.slice, ast.Slice):
                self.say(node, "del of a slice: use buf = buf[n:]")
        self.generic_visit(node)

    def visit_Slice(self, node: ast.Slice) -> None:
        if node.step is not None:
            self.say(node, "slice with a step: not on the board")
        self.generic_visit(node)

    # Names and calls.
    def visit_Name(self, node: ast.Name) -> None:
        if isinstance(node.ctx, ast.Load) and node.id in BUILTINS:
            self.say(node, f"{node.id}: not on the board")

    def visit_Attribute(self, node: ast.Attribute) -> None:
        if node.attr in ATTRIBUTES:
            self.say(node, f".{node.attr}: not on the board")
        if isinstance(node.value, ast.Name) and node.value.id in self._modules:
            self._member(node, self._modules[node.value.id], node.attr)
        self.generic_visit(node)

    def visit_Await(self, node: ast.Await) -> None:
        self._awaited.add(node.value)
        self.generic_visit(node)

    def visit_Call(self, node: ast.Call) -> None:
        name = _name(node.func)
        plain = isinstance(node.func, ast.Name)
        keywords = {keyword.arg for keyword in node.keywords}
        if plain and name == "float":
            self.say(node, "float(): integers only")
        if plain and name == "round" and len(node.args) + len(keywords) > 1:
            self.say(node, "round() to digits: gives floats")
        if plain and name == "slice" and len(node.args) > 2:
            self.say(node, "slice with a step: not on the board")
        if plain and name == "next" and len(node.args) > 1:
            self.say(node, "next(it, default): not on the board")
        if plain and name in ("isinstance", "issubclass") and len(node.args) == 2:
            if isinstance(node.args[1], ast.BinOp):
                self.say(node, "isinstance(x, A | B): use a tuple")
        if name in ("startswith", "endswith") and node.args:
            if isinstance(node.args[0], ast.Tuple):
                self.say(node, f"{name}((a, b)): not on the board")
        if name in ("from_bytes", "to_bytes") and ("signed" in keywords or len(node.args) > 2):
            self.say(node, f"{name}(signed=): use struct")
        elif "signed" in keywords:
            self.say(node, "signed=: not on the board")
        if name in ("dump", "dumps") and keywords - {"separators"}:
            self.say(node, "json keywords: only separators=")
        if name in ("load", "loads") and keywords:
            self.say(node, "json keywords: only separators=")
        for keyword in keywords:
            if (name, keyword) in KEYWORDS:
                self.say(node, f"{name}({keyword}=): not on the board")
        if name.startswith("sleep") and node not in self._awaited:
            self.say(node, f"{name}() is not awaited")
        self.generic_visit(node)


def _yields(function: ast.AsyncFunctionDef) -> bool:
    """Whether the function itself yields; functions within it are their own."""
    todo: list[ast.AST] = list(function.body)
    while todo:
        node = todo.pop()
        if isinstance(node, ast.Yield):
            return True
        if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
            todo.extend(ast.iter_child_nodes(node))
    return False


def problems(source: str, path: str) -> list[str]:
    """One line `PATH:LINE: what is wrong` for each thing the board would not take."""
    reader = _Reader(path)
    reader.visit(ast.parse(source, path))
    return [f"{path}:{line}: {text}" for line, text in sorted(reader.found)]


if __name__ == "__main__":
    lines = [line for name in sys.argv[1:] for line in problems(Path(name).read_text(), name)]
    print("\n".join(lines))
    sys.exit(1 if lines else 0)
