"""Fingerprints of code and of files.

A fingerprint hashes syntax trees, so comments, docstrings and layout do not count. It covers the module and all modules
that it imports, directly or not: of the same package, of the files beside a single-file plugin, and of any folder on
the path and any editable installation, but not fmbench's, the standard library's or an installed distribution's. The
`__init__.py` of a package of components counts only where a module imports names from it: the one that merely
registers components does not.
"""

from __future__ import annotations

import ast
import errno
import hashlib
import os
import stat
from collections.abc import Iterator, Sequence
from functools import lru_cache
from operator import itemgetter
from pathlib import Path
from typing import NamedTuple, TypeGuard

from fmbench.io.regular_files import size_and_sum
from fmbench.plugins.source.module_imports import Module, closure, import_statements, parse, stamp
from fmbench.plugins.source.syntax_text import syntax_text


def fingerprint(modules: Sequence[Module], name: str, files: Sequence[Path] = (), version: str = "") -> str:
    """Return the fingerprint of the class `name` that modules make up: their code and that of the modules which they
    import, data files, and the version of their distribution.

    Raises OSError where a data file cannot be read.
    """
    parts = [name, version]
    for module in modules:
        for each in closure(module):
            # Where a plugin lies must not count: the name of its package, or of its file, is left out.
            relative = each.name.partition(".")[2] if each.top == module.top else each.name
            parts += [relative, _code_digest(*stamp(each.path))]
    for file in files:
        parts += [file.name, content_fingerprint(file)]
    return hash_of(parts)


@lru_cache(maxsize=1)
def core_fingerprint() -> str:
    """Return a hash over all Python files of fmbench, as they were when this process first asked."""
    folder = Path(__file__).parents[2]
    files = sorted(folder.rglob("*.py"))
    return hash_of([part for file in files for part in (file.relative_to(folder).as_posix(), _sum(file))])


def _sum(file: Path) -> str:
    return hashlib.sha256(file.read_bytes()).hexdigest()


def content_fingerprint(path: Path) -> str:
    """Return a hash over a file, or over a folder's files by relative name. Raises OSError where one cannot be read.

    Links are followed, each real folder once. Only regular files are opened: of a pipe, a device or a file of the
    operating system, which may wait for ever or have no end, name and kind count; given as `path`, it is refused.
    """
    kind = _kind(path, linked=True)
    if kind == FILE:
        return hash_of(["", *_content(path)])
    if kind != FOLDER:
        raise OSError(errno.EINVAL, f"it is {kind}", str(path))
    parts = []
    for name, place, what in sorted(_below(path), key=itemgetter(1)):
        parts += [name, *(_content(place) if what == FILE else ("", what))]
    return hash_of(parts)


FILE, FOLDER = "a file", "a folder"
SYSTEM = (Path("/proc"), Path("/sys"))
"""Their files are no files, whatever they say of themselves."""


def _below(folder: Path) -> Iterator[tuple[str, Path, str]]:
    """Yield the files of a folder, and what else lies there: relative name, path and kind. Each real folder is walked
    once, under the first name in order; under the others it is named.
    """
    seen: dict[str, str] = {}
    pending = [(folder, "")]
    while pending:
        place, name = pending.pop()
        real = os.path.realpath(place)
        if real in seen:
            yield name, place, f"the folder {seen[real]}"
            continue
        seen[real] = name
        inner = []
        for entry in sorted(place.iterdir()):
            below = f"{name}/{entry.name}" if name else entry.name
            kind = _kind(entry)
            if kind == FOLDER:
                inner.append((entry, below))
            else:
                yield below, entry, kind
        pending += reversed(inner)


def _kind(path: Path, *, linked: bool = False) -> str:
    """Return what a path is, or what it links to: a link that leads nowhere is of a kind of its own.

    `linked` says that something above it may be a link.
    """
    if path.is_symlink():
        linked = True
        try:
            path.stat()
        except (FileNotFoundError, NotADirectoryError):
            return f"a link to {path.readlink()}, which is not there"
        except OSError as error:
            if error.errno != errno.ELOOP:
                raise
            return "a link in a circle"
    mode = path.stat().st_mode
    if linked and any(path.resolve().is_relative_to(place) for place in SYSTEM):
        return "a file or folder of the operating system"
    if stat.S_ISDIR(mode):
        return FOLDER
    return FILE if stat.S_ISREG(mode) else "a pipe, socket or device"


def _content(file: Path) -> tuple[str, str]:
    """Return the size and the hash of a file."""
    size, content = size_and_sum(file)
    return str(size), content


@lru_cache(maxsize=8192)
def _code_digest(path: str, mtime: int, size: int) -> str:
    return hash_of([syntax_text(parse(path))])


class CoreImport(NamedTuple):
    """A name that a module of the core takes from another one, and what it calls it ("" for the name itself)."""

    module: str
    name: str
    alias: str


@lru_cache(maxsize=1024)
def core_code(path: str, mtime: int, size: int) -> tuple[str, tuple[CoreImport, ...]]:
    """Return the digest of a file of the core without its imports of the core, and these, from one parse."""
    tree = parse(path)
    imported = tuple(
        CoreImport(str(node.module), alias.name, alias.asname or "")
        for node in import_statements(tree)
        if _takes_from_core(node)
        for alias in node.names
    )
    return hash_of([syntax_text(tree, leave_out=_takes_from_core)]), imported


def _takes_from_core(node: ast.AST) -> TypeGuard[ast.ImportFrom]:
    return isinstance(node, ast.ImportFrom) and str(node.module).partition(".")[0] == "fmbench"


def hash_of(parts: Sequence[str]) -> str:
    """Hash texts so that no two lists of texts are hashed alike. File names may hold bytes that are no text."""
    return hashlib.sha256("".join(f"{len(part)}:{part}" for part in parts).encode("utf-8", "surrogatepass")).hexdigest()
