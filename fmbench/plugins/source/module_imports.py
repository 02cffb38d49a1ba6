"""Finding a module's file, parsing it, and following its imports: nothing is imported."""

from __future__ import annotations

import ast
import importlib.util
import itertools
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from fmbench.errors import PluginError
from fmbench.io.regular_files import read_regular
from fmbench.plugins.source.installed_modules import is_installed

PLUGIN_PACKAGE = "fmbench_"
"""How the names of packages of components start: what one takes from another is its own code, wherever that lies."""
FILE_PLUGIN = f"{PLUGIN_PACKAGE}plugin_"
"""How the module names of single-file plugins start."""
_IMPORTERS = ("import_module", "__import__")
_MOST = 8192
"""States of files of which is kept what was read."""

_BLOCKS = ("body", "orelse", "finalbody", "handlers", "cases")
"""Fields of statements that hold statements."""

_not_found: set[str] = set()
"""Top-level names that a component imports and that were not there. They stay so while the process runs: a class whose
code is imported may change the path, and must keep the fingerprint under which its results are kept."""


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
    """Yield every import that may run in a module, those inside functions too, but not those under TYPE_CHECKING.

    Calls of `importlib.import_module` and `__import__` are among them where the name is written out.
    """
    state = stamp(module.path)
    for node in _import_nodes(*state):
        yield from absolute(module, node)
    for call in import_calls(*state):
        name = imported_by_call(module, call)
        if name is not None:
            yield Import(name)


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
    """Return a module and all modules that it imports, directly or not, sorted by name.

    Not fmbench's, not the standard library's, and not those that were installed with a distribution (see
    `installed_modules`), but for the module's own package and other packages of components.
    """
    beside = start.path.parent if start.name.startswith(FILE_PLUGIN) else None
    found: dict[str, Module] = {}
    pending = [start]
    while pending:
        module = pending.pop()
        if module.name in found:
            continue
        found[module.name] = module
        for imported in imports(module):
            pending += _followed(imported, module, start, beside)
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


@lru_cache(maxsize=256)
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


@lru_cache(maxsize=_MOST)
def _import_nodes(path: str, mtime: int, size: int) -> tuple[ast.Import | ast.ImportFrom, ...]:
    return tuple(import_statements(_parsed(path, mtime, size)))


def import_statements(tree: ast.Module) -> Iterator[ast.Import | ast.ImportFrom]:
    """Yield the import statements that may run, those inside functions too, but not those under TYPE_CHECKING."""
    pending: list[ast.AST] = [tree]
    while pending:
        node = pending.pop()
        if isinstance(node, ast.Import | ast.ImportFrom):
            yield node
        elif isinstance(node, ast.If) and is_type_checking(node):
            pending += node.orelse
        else:
            for field in _BLOCKS:
                pending += getattr(node, field, ())


@lru_cache(maxsize=_MOST)
def import_calls(path: str, mtime: int, size: int) -> tuple[ast.Call, ...]:
    """Return the calls of `importlib.import_module` and `__import__` in a file, under whatever name it imported them.

    Expressions are most of a tree, so that they are looked at only where one of the names occurs.
    """
    content = Path(path).read_bytes()
    if not any(name.encode() in content for name in _IMPORTERS):
        return ()
    nodes = list(ast.walk(_parsed(path, mtime, size)))
    froms = (node for node in nodes if isinstance(node, ast.ImportFrom) and node.module == "importlib")
    aliases = (alias for node in froms for alias in node.names if alias.name in _IMPORTERS)
    plain = {"__import__", *(alias.asname or alias.name for alias in aliases)}
    return tuple(node for node in nodes if isinstance(node, ast.Call) and _imports(node.func, plain))


def _imports(function: ast.expr, plain: set[str]) -> bool:
    """Say whether a call of a function imports a module; `plain` are the names under which that goes without a dot."""
    if isinstance(function, ast.Name):
        return function.id in plain
    return isinstance(function, ast.Attribute) and function.attr in _IMPORTERS


def imported_by_call(module: Module, call: ast.Call) -> str | None:
    """Return the absolute name that such a call imports; None where only running it can tell."""
    keywords = {keyword.arg: keyword.value for keyword in call.keywords}
    name = call.args[0] if call.args else keywords.get("name")
    if not isinstance(name, ast.Constant) or not isinstance(name.value, str):
        return None
    if not name.value.startswith("."):
        return name.value
    package = call.args[1] if len(call.args) > 1 else keywords.get("package")
    if not isinstance(package, ast.Name) or package.id not in ("__package__", "__name__"):
        return None
    base = module.package if package.id == "__package__" else module.name
    try:
        return importlib.util.resolve_name(name.value, base)
    except ImportError:
        return None


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


def _followed(imported: Import, module: Module, start: Module, beside: Path | None) -> list[Module]:
    """Return the modules that an import adds to those of `start`: a submodule before its package, if any.

    A package that holds components is none but its modules, for its face merely registers them. Importing a module of
    another runs the `__init__.py` of all its packages.
    """
    top = imported.module.partition(".")[0]
    names = [f"{imported.module}.{imported.name}"] if imported.name else []
    names.append(imported.module)
    if top != start.top and beside is not None and _is_beside(top, beside):
        found = next(filter(None, (_find_beside(name, beside) for name in names)), None)
        return [found] if found else []
    components = top == start.top or top.startswith(PLUGIN_PACKAGE)
    if not components and not _is_own(top):
        return []
    found = next((each for each in map(find_module, names) if each and each.path.is_file()), None)
    if found is None or components:
        return [found] if found else []
    packages = itertools.accumulate(found.name.split(".")[:-1], "{}.{}".format)
    return [found, *filter(None, map(find_module, packages))]


def _is_own(top: str) -> bool:
    """Say whether a top-level name is neither fmbench's, nor the standard library's, nor installed, but there."""
    if top in _not_found or top in ("fmbench", ""):
        return False
    own = _is_in_a_folder(top, tuple(sys.path))
    if own is None:
        _not_found.add(top)
    return bool(own)


@lru_cache(maxsize=_MOST)
def _is_in_a_folder(top: str, path: tuple[str, ...]) -> bool | None:
    """Say whether a top-level name is that of somebody's folder on the path; None where it has no source."""
    file, folders = _top_level(top)
    return not is_installed(top, file, folders) if file or folders else None


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
