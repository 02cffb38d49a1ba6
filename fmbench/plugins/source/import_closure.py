"""Which modules of fmbench some code consists of: what it imports, directly or not."""

from __future__ import annotations

from collections.abc import Collection
from functools import lru_cache

from fmbench.plugins.source.module_imports import Import, Module, find_module, imports

CORE = "fmbench"


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


@lru_cache(maxsize=1024)
def _imported(name: str) -> frozenset[str]:
    """Return the modules of fmbench that a module imports. A package's face counts where a name of its own is taken."""
    module = _found(name)
    if module is None:
        raise ValueError(f"no source file for module {name!r}")
    return frozenset(_target(each) for each in imports(module) if each.module.partition(".")[0] == CORE)


def _target(imported: Import) -> str:
    """Return the module that an import reads: the submodule, where what is imported from a package is one."""
    package = _found(imported.module)
    if imported.name and package is not None and package.package == package.name:
        inner = _found(f"{imported.module}.{imported.name}")
        return inner.name if inner is not None else imported.module
    return imported.module


@lru_cache(maxsize=1024)
def _found(name: str) -> Module | None:
    return find_module(name)
