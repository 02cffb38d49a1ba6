"""Which modules of fmbench some code consists of: what it imports, directly or not."""

from __future__ import annotations

from collections.abc import Collection
from functools import lru_cache

from fmbench.plugins.source.fingerprints import CoreImport, core_code, hash_of
from fmbench.plugins.source.module_imports import Module, find_module, stamp


def core_modules(*roots: str, without: Collection[str] = ()) -> tuple[str, ...]:
    """Return the dotted names of the roots and of all modules of fmbench that they import, sorted.

    Imports inside functions count, those under TYPE_CHECKING do not. `without` are modules, or packages with all that
    is in them, which are left out and not followed. Raises ValueError where a root has no source file.
    """
    left_out = tuple(without)
    found: set[str] = set()
    pending = list(roots)
    while pending:
        name = pending.pop()
        if name not in found and not is_within(name, left_out):
            found.add(name)
            pending += _imported(name)
    return tuple(sorted(found))


def is_within(name: str, packages: Collection[str]) -> bool:
    """Tell whether a module is one of these modules, or lies in one of these packages."""
    return any(name == package or name.startswith(f"{package}.") for package in packages)


def code_fingerprint(*names: str) -> str:
    """Return the fingerprint of exactly these modules of fmbench, without others that they import.

    Neither their names nor the order of imports count, so that a file which is moved stays what it is. A name that one
    takes from another of them counts with the code of the module that it comes from: two functions of one name are two.
    Raises ValueError where a module has no source file.
    """
    digests = {name: _code(name)[0] for name in names}
    parts = []
    for name in names:
        taken = {(each.name, each.alias, digests.get(_target(each), "")) for each in _code(name)[1]}
        parts.append(hash_of([digests[name], *(text for each in sorted(taken) for text in each)]))
    return hash_of(sorted(parts))


def _imported(name: str) -> set[str]:
    """Return the modules of fmbench that a module imports. A package's face counts where a name of its own is taken."""
    return {_target(each) for each in _code(name)[1]}


def _code(name: str) -> tuple[str, tuple[CoreImport, ...]]:
    module = _found(name)
    if module is None:
        raise ValueError(f"no source file for module {name!r}")
    return core_code(*stamp(module.path))


@lru_cache(maxsize=4096)
def _target(imported: CoreImport) -> str:
    """Return the module that an import reads: the submodule, where what is imported from a package is one."""
    package = _found(imported.module)
    is_package = package is not None and package.package == package.name
    inner = _found(f"{imported.module}.{imported.name}") if is_package else None
    return inner.name if inner is not None else imported.module


@lru_cache(maxsize=1024)
def _found(name: str) -> Module | None:
    return find_module(name)
