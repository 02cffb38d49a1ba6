"""What hangs on the modules and classes that everybody uses, so that a replaced function of torch, say, is found."""

from __future__ import annotations

import sys
import sysconfig
from collections.abc import Iterable, Iterator, Mapping
from operator import itemgetter
from pathlib import Path
from types import ModuleType
from typing import Any

MODULES = (
    "builtins",
    "math",
    "random",
    "time",
    "torch",
    "torch.autograd",
    "torch.autograd.functional",
    "torch.fft",
    "torch.func",
    "torch.linalg",
    "torch.nn",
    "torch.nn.functional",
    "torch.nn.init",
    "torch.nn.utils",
    "torch.optim",
    "torch.random",
    "torch.special",
    "torch.distributions",
    "numpy",
    "numpy.linalg",
    "numpy.random",
    "scipy.interpolate",
    "scipy.linalg",
    "scipy.optimize",
    "scipy.spatial.distance",
    "scipy.special",
    "scipy.stats",
    "ot",
)
"""Modules whose attributes are compared, where somebody has imported them: besides fmbench's."""

OWN = __name__.partition(".")[0]
KINDS = "couplings datasets grids guidance metrics models networks objectives paths solvers t_distributions"
OWN_PACKAGES = tuple(f"{OWN}_{kind}" for kind in KINDS.split())
"""Where fmbench's own components are."""

FOLLOWING = {"torch.Storage"}
"""What torch itself replaces when its default dtype is set, which is compared."""

_MISSING = object()
_STDLIB = sysconfig.get_paths()["stdlib"]


class Attributes:
    """The attributes of modules and classes, and the modules by name, as they are when this is made.

    New attributes are no change: libraries are imported late. Nor is a function that wraps the one before and is of
    the same library: torch does so with its own.
    """

    def __init__(self) -> None:
        self._held = [(title, owner, _Held(held)) for title, owner, held in _owners()]
        self._modules = _Held(sys.modules)

    def include(self, title: str, cls: type) -> None:
        """Compare from now on a class, those that it is made from, and the functions beside it, too."""
        known = {id(owner) for _, owner, _ in self._held}
        for base in cls.__mro__:
            if base is not object and id(base) not in known:
                self._held.append((title, base, _Held(_callables(vars(base)))))
        for name, module in list(sys.modules.items()):
            beside = name == cls.__module__ or name.partition(".")[0] in OWN_PACKAGES
            if beside and id(module) not in known:
                self._held.append((name, module, _Held(_callables(vars(module)))))

    def replaced(self) -> list[str]:
        """Return the names of what is no longer what it was, such as `torch.randn`."""
        found = [f"sys.modules[{name!r}]" for name in self._modules.differing(sys.modules)]
        for title, owner, held in self._held:
            now = vars(owner)
            found += [
                f"{title}.{name}"
                for name in held.differing(now)
                if f"{title}.{name}" not in FOLLOWING and not _wraps(now.get(name), held[name], title)
            ]
        return found

    def put_back(self) -> None:
        """Put back what was replaced or taken away."""
        for name in self._modules.differing(sys.modules):
            sys.modules[name] = self._modules[name]
        for title, owner, held in self._held:
            for name in held.differing(vars(owner)):
                if not _wraps(vars(owner).get(name), held[name], title):
                    setattr(owner, name, held[name])


class _Held:
    """Objects by their names, as they were, and quick to compare with what stands under the names now."""

    def __init__(self, held: Mapping[str, Any]) -> None:
        self._names = tuple(held)
        self._values = tuple(held.values())
        self._get = itemgetter(*self._names, *self._names[:1]) if held else None  # two names at least make a tuple

    def __getitem__(self, name: str) -> Any:
        return self._values[self._names.index(name)]

    def differing(self, now: Mapping[str, Any]) -> list[str]:
        """Return the names under which something else stands, or nothing."""
        if self._get is None:
            return []
        try:
            if self._get(now)[:-1] == self._values:  # the same objects, which Python sees at once
                return []
        except Exception:
            pass  # a name is gone, or its value cannot be compared with another that is in its place
        pairs = zip(self._names, self._values, strict=True)
        return [name for name, value in pairs if now.get(name, _MISSING) is not value]


def _owners() -> Iterator[tuple[str, Any, Mapping[str, Any]]]:
    """Yield modules and classes: title, the object, and those of its attributes that count."""
    for name in MODULES:
        if isinstance(module := sys.modules.get(name), ModuleType):
            yield name, module, _public(vars(module))
    if (torch := sys.modules.get("torch")) is not None and hasattr(torch, "Tensor"):
        yield "torch.Tensor", torch.Tensor, _callables(vars(torch.Tensor))
        for title, module in (("torch.nn", torch.nn), ("torch.optim", torch.optim)):
            for name, value in list(vars(module).items()):
                if isinstance(value, type):
                    yield f"{title}.{name}", value, _callables(vars(value))
    for name, module in list(sys.modules.items()):
        if name.partition(".")[0] == OWN and isinstance(module, ModuleType):
            yield name, module, _callables(vars(module))
    contracts = sys.modules.get(f"{OWN}.components.contracts")
    for name, value in list(vars(contracts).items()) if contracts else ():
        is_own = isinstance(value, type) and value.__module__ == f"{OWN}.components.contracts"
        if is_own and name == value.__name__:  # an alias is the same class once more
            yield f"{OWN}.{name}", value, _public(vars(value))


def intruders(new: Iterable[str], top: str) -> list[str]:
    """Return the names of what hangs on libraries or on fmbench and comes from a plugin's modules.

    Those are what lies below its module or package `top`, and of the `new` modules, which were imported with it, all
    that are no library's. So is seen what was replaced in a library that was not there before. What hangs on the
    plugin's own package is its own, also where that is a library that everybody uses.
    """
    theirs = {name for name in new if not _is_library(name)}
    theirs |= {name for name in list(sys.modules) if name.partition(".")[0] == top}
    theirs = {name for name in theirs if not _is_own(name)}
    own = [(name, module) for name, module in list(sys.modules.items()) if _is_own(name)]
    classes = [
        (f"{name}.{cls.__name__}", cls, vars(cls))
        for name, module in own
        for cls in list(vars(module).values())
        if isinstance(cls, type) and cls.__module__ == name
    ]
    places = [*_owners(), *((name, module, vars(module)) for name, module in own), *classes]
    found = [
        f"{title}.{name}"
        for title, _, held in places
        if title.partition(".")[0] != top
        for name, value in list(held.items())
        if getattr(value, "__module__", None) in theirs
    ]
    return list(dict.fromkeys(found))


def _is_own(name: str) -> bool:
    return name.partition(".")[0] in (OWN, *OWN_PACKAGES)


def _is_library(name: str) -> bool:
    """Whether a module is Python's or was installed."""
    file = getattr(sys.modules.get(name), "__file__", None)
    return (
        file is None
        or Path(file).is_relative_to(_STDLIB)
        or not {"site-packages", "dist-packages"}.isdisjoint(Path(file).parts)
    )


def _public(held: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in held.items() if not name.startswith("_")}


def _callables(held: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in held.items() if callable(value) or isinstance(value, property)}


def _wraps(new: Any, old: Any, title: str) -> bool:
    library = getattr(new, "__globals__", {}).get("__name__", "").partition(".")[0]
    return library == title.partition(".")[0] and getattr(new, "__wrapped__", None) is old
