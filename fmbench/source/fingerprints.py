"""Fingerprints of code and of files.

A fingerprint hashes syntax trees, so comments, docstrings and layout do not count. It covers the module and all modules
that it imports, directly or not: of the same package, of the files beside a single-file plugin, and of any folder on
the path and any editable installation, but not fmbench's, the standard library's or an installed distribution's. The
`__init__.py` of a package of components counts only where a module imports names from it: the one that merely
registers components does not.
"""

from __future__ import annotations

import ast
import hashlib
import os
from collections.abc import Iterator, Sequence
from functools import lru_cache
from pathlib import Path

from fmbench.source.modules import Module, closure, find_module, parse, stamp


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
    return _hash(parts)


def code_fingerprint(*module_names: str) -> str:
    """Return the fingerprint of exactly these modules, without those that they import.

    Raises ValueError where a module has no source file.
    """
    parts = []
    for name in module_names:
        module = find_module(name)
        if module is None:
            raise ValueError(f"no source file for module {name!r}")
        parts += [name, _code_digest(*stamp(module.path))]
    return _hash(parts)


def content_fingerprint(path: Path) -> str:
    """Return a hash over a file, or over a folder's files by relative name. Raises OSError where one cannot be read."""
    files = sorted(_files_below(path)) if path.is_dir() else [path]
    parts = []
    for file in files:
        with file.open("rb") as stream:
            content = hashlib.file_digest(stream, "sha256").hexdigest()
        relative = file.relative_to(path).as_posix() if file != path else ""
        parts += [relative, str(file.stat().st_size), content]
    return _hash(parts)


def _files_below(folder: Path) -> Iterator[Path]:
    """Yield the files of a folder, through links to folders, each folder once."""
    seen: set[str] = set()
    for root, folders, files in os.walk(folder, followlinks=True):
        real = os.path.realpath(root)
        if real in seen:
            folders.clear()
            continue
        seen.add(real)
        yield from (Path(root, file) for file in files)


@lru_cache(maxsize=8192)
def _code_digest(path: str, mtime: int, size: int) -> str:
    """Hash a file's syntax tree without positions and without bare strings, of which docstrings are one kind."""
    tree = parse(path)
    pending: list[ast.AST] = [tree]
    while pending:
        node = pending.pop()
        body = getattr(node, "body", None)
        if isinstance(body, list):
            body[:] = [statement for statement in body if not _is_bare_string(statement)]
        # No expression holds a statement, and most of a tree is expressions.
        pending += (inner for inner in ast.iter_child_nodes(node) if not isinstance(inner, ast.expr))
    return _hash([ast.dump(tree)])


def _is_bare_string(node: ast.stmt) -> bool:
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str)


def _hash(parts: Sequence[str]) -> str:
    """Hash texts so that no two lists of texts are hashed alike."""
    return hashlib.sha256("".join(f"{len(part)}:{part}" for part in parts).encode()).hexdigest()
