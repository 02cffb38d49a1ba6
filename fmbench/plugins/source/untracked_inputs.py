"""What code does that no key sees: files that it reads, the environment, modules by computed names, other programs.

A look at the syntax tree finds the usual ways; what runs is not looked at. A line is left out that ends in `# key:` and
a reason, or comes after one that is this comment alone: the checksum of what it reads stands in the code, say.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase

from fmbench.plugins.source.module_imports import Module, import_calls, imported_by_call, stamp

FILE = "name the parameter that is its path in the class's `content`, or the file in `files`"
VARIABLE = "make it a parameter"
CODE = "import it under a name that is written out, from a file beside the plugin, say"
OUTSIDE = "keep what it gives in a file, and name that in `content` or `files`"
MARK = b"# key: "

_CALLS = {
    "open": FILE,
    "io.open": FILE,
    "codecs.open": FILE,
    "gzip.open": FILE,
    "bz2.open": FILE,
    "lzma.open": FILE,
    "PIL.Image.open": FILE,
    "numpy.load": FILE,
    "numpy.loadtxt": FILE,
    "numpy.genfromtxt": FILE,
    "numpy.fromfile": FILE,
    "numpy.memmap": FILE,
    "torch.load": FILE,
    "torch.jit.load": FILE,
    "torch.from_file": FILE,
    "safetensors.safe_open": FILE,
    "safetensors.torch.load_file": FILE,
    "scipy.io.loadmat": FILE,
    "sqlite3.connect": FILE,
    "h5py.File": FILE,
    "cv2.imread": FILE,
    "importlib.resources.*": FILE,
    "torchvision.io.*": FILE,
    "pandas.read_*": FILE,
    "os.getenv": VARIABLE,
    "exec": CODE,
    "eval": CODE,
    "runpy.*": CODE,
    "importlib.util.spec_from_file_location": CODE,
    "importlib.machinery.SourceFileLoader": CODE,
    "sys.path.append": CODE,
    "sys.path.insert": CODE,
    "sys.path.extend": CODE,
    "site.addsitedir": CODE,
    "ctypes.CDLL": CODE,
    "ctypes.cdll.LoadLibrary": CODE,
    "torch.ops.load_library": CODE,
    "torch.hub.load": OUTSIDE,
    "subprocess.*": OUTSIDE,
    "os.system": OUTSIDE,
    "os.popen": OUTSIDE,
    "urllib.request.url*": OUTSIDE,
    "requests.*": OUTSIDE,
    "httpx.*": OUTSIDE,
    "huggingface_hub.*": OUTSIDE,
}
"""What to do in place of a call, by its function's full name; `*` stands for whatever follows."""
_READ = ("read_text", "read_bytes")
"""Methods of paths, whatever the expression before them is."""
_ENVIRONMENT = ("os.environ", "os.environb")


@dataclass(frozen=True)
class Unseen:
    """A line of code that does what no key sees, the code itself, and what to do instead."""

    file: str
    line: int
    code: str
    remedy: str


def unseen(module: Module) -> list[Unseen]:
    """Return what a module does that no key sees, by line. Raises PluginError where its file cannot be parsed."""
    lines = module.path.read_bytes().splitlines()
    found: dict[tuple[int, str], Unseen] = {}
    for node, remedy in _found(module):
        if not _is_marked(lines, node.lineno - 1):
            text = " ".join(ast.unparse(node).split())
            shown = text if len(text) <= 60 else f"{text[:57]}..."
            found.setdefault((node.lineno, shown), Unseen(str(module.path), node.lineno, shown, remedy))
    return [found[place] for place in sorted(found)]


def _is_marked(lines: Sequence[bytes], place: int) -> bool:
    above = lines[place - 1].strip() if place else b""
    return MARK in lines[place] or above.startswith(MARK)


def _found(module: Module) -> Iterator[tuple[ast.expr, str]]:
    for call in import_calls(*stamp(module.path)):
        if imported_by_call(module, call) is None:
            yield call, CODE
    names = _imported_names(module.tree)
    for node in ast.walk(module.tree):
        if isinstance(node, ast.Call):
            remedy = _remedy(node, names)
            if remedy:
                yield node, remedy
        elif isinstance(node, ast.Attribute | ast.Name) and _full_name(node, names) in _ENVIRONMENT:
            yield node, VARIABLE


def _imported_names(tree: ast.Module) -> dict[str, str]:
    """Return the full name of what each imported name stands for, wherever in the module it is imported."""
    names: dict[str, str] = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names |= {alias.asname: alias.name for alias in node.names if alias.asname}
            names |= {top: top for alias in node.names if not alias.asname for top in [alias.name.partition(".")[0]]}
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            names |= {alias.asname or alias.name: f"{node.module}.{alias.name}" for alias in node.names}
    return names


def _full_name(node: ast.expr, names: Mapping[str, str]) -> str:
    """Return `numpy.load` for `np.load`; a builtin's own name; "" for what no import and no builtin names."""
    if isinstance(node, ast.Name):
        return names.get(node.id, node.id if node.id in ("open", "exec", "eval") else "")
    if isinstance(node, ast.Attribute):
        base = _full_name(node.value, names)
        return f"{base}.{node.attr}" if base else ""
    return ""


def _remedy(call: ast.Call, names: Mapping[str, str]) -> str:
    """Return what to do in place of a call; "" for one that does nothing that keys do not see."""
    name = _full_name(call.func, names)
    for known, remedy in _CALLS.items():
        if fnmatchcase(name, known):
            return "" if remedy is FILE and _writes(call, 1) else remedy
    method = call.func.attr if isinstance(call.func, ast.Attribute) else ""
    reads = method in _READ or (method == "open" and not name and not _writes(call, 0))
    return FILE if reads else ""


def _writes(call: ast.Call, place: int) -> bool:
    """Say whether the mode of a call that opens a file, its argument at a place, is one that does not read."""
    given = [*call.args[place : place + 1], *(each.value for each in call.keywords if each.arg == "mode")]
    return any(isinstance(mode, ast.Constant) and str(mode.value)[:1] in ("w", "a", "x") for mode in given)
