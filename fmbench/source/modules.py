"""Finding a module's file, parsing it, and following its imports: nothing is imported."""

from __future__ import annotations

import ast
import importlib.util
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from fmbench.errors import PluginError
from fmbench.files import read_regular

FILE_PLUGIN = "fmbench_plugin_"
"""How the module names of single-file plugins start."""


@dataclass(frozen=True)
class Module:
    """A module on disk: its dotted name and its `.py` file, which is `__init__.py` for a package."""

    name: str
    path: Path

    @property
    def top(self) -> str:
        """The name of the top-level package or module."""
        return self.name.partition(".")[0]

    @property
    def package(self) -> str:
        """The package against which relative imports count; empty for a top-level module."""
        return self.name if self.path.name == "__init__.py" else self.name.rpartition(".")[0]

    @property
    def tree(self) -> ast.Module:
        """The syntax tree, parsed once for each state of the file. Raises PluginError where it cannot be parsed."""
        return _parsed(*stamp(self.path))


@dataclass(frozen=True)
class Import:
    """One imported name, its module made absolute: `import a.b` has no name, `from a.b import c` has the name c."""

    module: str
    name: str | None = None


def find_module(name: str) -> Module | None:
    """Return the module of a dotted name, without importing it or its packages; None where it has no source file."""
    loaded = getattr(sys.modules.get(name), "__file__", None)
    if loaded and loaded.endswith(".py"):
        return Module(name, Path(loaded))
    top, *inner = name.split(".")
    file, folders = _top_level(top)
    for part in inner:
        file, folders = _inside(folders, part)
    return Module(name, file) if file else None


def imports(module: Module) -> Iterator[Import]:
    """Yield every import that may run in a module, those inside functions too, but not those under TYPE_CHECKING."""
    for node in _import_nodes(*stamp(module.path)):
        yield from absolute(module, node)


def absolute(module: Module, node: ast.Import | ast.ImportFrom) -> Iterator[Import]:
    """Yield what an import statement of a module imports, relative names made absolute."""
    if isinstance(node, ast.Import):
        yield from (Import(alias.name) for alias in node.names)
        return
    base = node.module or ""
    if node.level:
        parts = module.package.split(".")
        parents = parts[: len(parts) - node.level + 1]
        base = ".".join([*parents, *([node.module] if node.module else [])])
    yield from (Import(base, alias.name) for alias in node.names)


def closure(start: Module) -> list[Module]:
    """Return a module and all modules of its own package (or beside its file) that it imports, sorted by name."""
    beside = start.path.parent if start.name.startswith(FILE_PLUGIN) else None
    found: dict[str, Module] = {}
    pending = [start]
    while pending:
        module = pending.pop()
        if module.name in found:
            continue
        found[module.name] = module
        for imported in imports(module):
            candidate = _own(imported, module, beside)
            if candidate is not None:
                pending.append(candidate)
    return [found[name] for name in sorted(found)]


def is_type_checking(node: ast.If) -> bool:
    """Say whether a statement is `if TYPE_CHECKING:`."""
    test = node.test
    name = test.attr if isinstance(test, ast.Attribute) else getattr(test, "id", "")
    return name == "TYPE_CHECKING"


def stamp(path: Path) -> tuple[str, int, int]:
    """Return what tells one state of a file from another; caches are keyed by it."""
    try:
        state = path.stat()
    except OSError as error:
        raise PluginError(f"{path}: cannot be read: {error.strerror}") from error
    return str(path), state.st_mtime_ns, state.st_size


@lru_cache(maxsize=1024)
def _parsed(path: str, mtime: int, size: int) -> ast.Module:
    return parse(path)


def parse(path: str) -> ast.Module:
    """Return the syntax tree of a file. Raises PluginError, with the line, where it cannot be read or parsed."""
    try:
        return ast.parse(read_regular(Path(path)), filename=path)
    except (SyntaxError, ValueError) as error:
        line = getattr(error, "lineno", None)
        raise PluginError(f"{path}{f':{line}' if line else ''}: {type(error).__name__}: {error}") from error
    except OSError as error:
        raise PluginError(f"{path}: cannot be read: {error.strerror}") from error


@lru_cache(maxsize=1024)
def _import_nodes(path: str, mtime: int, size: int) -> tuple[ast.Import | ast.ImportFrom, ...]:
    found: list[ast.Import | ast.ImportFrom] = []
    pending: list[ast.AST] = [_parsed(path, mtime, size)]
    while pending:
        node = pending.pop()
        if isinstance(node, ast.Import | ast.ImportFrom):
            found.append(node)
        elif isinstance(node, ast.If) and is_type_checking(node):
            pending += node.orelse
        elif not isinstance(node, ast.expr):
            pending += ast.iter_child_nodes(node)
    return tuple(found)


def _top_level(name: str) -> tuple[Path | None, list[str]]:
    """Return the file and the search folders of a top-level module or package; finding one imports nothing."""
    loaded = sys.modules.get(name)
    if loaded is not None:
        file, folders = getattr(loaded, "__file__", None), list(getattr(loaded, "__path__", []))
    else:
        try:
            spec = importlib.util.find_spec(name)
        except (ImportError, ValueError):
            spec = None
        file, folders = (spec.origin, list(spec.submodule_search_locations or [])) if spec else (None, [])
    return (Path(file) if file and file.endswith(".py") else None), folders


def _inside(folders: Sequence[str], part: str) -> tuple[Path | None, list[str]]:
    """Return the file and the search folders of a module or package within a package's folders."""
    for folder in folders:
        inner = Path(folder, part)
        if (inner / "__init__.py").is_file():
            return inner / "__init__.py", [str(inner)]
        if inner.with_name(f"{part}.py").is_file():
            return inner.with_name(f"{part}.py"), []
    spaces = [str(Path(folder, part)) for folder in folders if Path(folder, part).is_dir()]
    return None, spaces


def _own(imported: Import, module: Module, beside: Path | None) -> Module | None:
    """Return the imported module where it belongs to the same package or folder; a submodule before its package."""
    top = imported.module.partition(".")[0]
    names = [f"{imported.module}.{imported.name}"] if imported.name else []
    names.append(imported.module)
    if top == module.top:
        return next(filter(None, map(find_module, names)), None)
    if beside is not None and _is_beside(top, beside):
        return next(filter(None, (_find_beside(name, beside) for name in names)), None)
    return None


def _is_beside(top: str, folder: Path) -> bool:
    """Say whether `import top` finds a file of the folder, which comes last on the path."""
    file, folders = _top_level(top)
    if file is None and not folders:
        return top not in sys.builtin_module_names
    return file is not None and file.is_relative_to(folder)


def _find_beside(name: str, folder: Path) -> Module | None:
    file, folders = None, [str(folder)]
    for part in name.split("."):
        file, folders = _inside(folders, part)
    return Module(name, file) if file else None
