"""What hangs on the modules and classes that everybody uses, so that a replaced function of torch, say, is found."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from operator import itemgetter
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
    "numpy",
    "numpy.linalg",
    "numpy.random",
)
"""Modules whose attributes are compared, where somebody has imported them: besides fmbench's."""

OWN = __name__.partition(".")[0]

FOLLOWING = {"torch.Storage"}
"""What torch itself replaces when its default dtype is set, which is compared."""

_MISSING = object()


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
        module = sys.modules.get(cls.__module__)
        if module is not None and id(module) not in known:
            self._held.append((cls.__module__, module, _Held(_callables(vars(module)))))

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
        for title, cls in (("torch.Tensor", torch.Tensor), ("torch.optim.Optimizer", torch.optim.Optimizer)):
            yield title, cls, _callables(vars(cls))
        for name, value in list(vars(torch.nn).items()):
            if isinstance(value, type):
                yield f"torch.nn.{name}", value, _callables(vars(value))
    for name, module in list(sys.modules.items()):
        if name.partition(".")[0] == OWN and isinstance(module, ModuleType):
            yield name, module, _callables(vars(module))
    contracts = sys.modules.get(f"{OWN}.components.contracts")
    for name, value in list(vars(contracts).items()) if contracts else ():
        is_own = isinstance(value, type) and value.__module__ == f"{OWN}.components.contracts"
        if is_own and name == value.__name__:  # an alias is the same class once more
            yield f"{OWN}.{name}", value, _public(vars(value))


def _public(held: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in held.items() if not name.startswith("_")}


def _callables(held: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in held.items() if callable(value) or isinstance(value, property)}


def _wraps(new: Any, old: Any, title: str) -> bool:
    library = getattr(new, "__globals__", {}).get("__name__", "").partition(".")[0]
    return library == title.partition(".")[0] and getattr(new, "__wrapped__", None) is old
