"""What a component class says of itself, read from its source without importing it.

The source of a class is mirrored by a *shadow*: a real class with the same bases, docstring and literal attributes,
whose methods are placeholders. Python itself then resolves inheritance, up to the contracts, which are the real ones.
Where the source does not tell (a decorated class, a base from another package, a computed attribute) the class is
imported instead.
"""

from __future__ import annotations

import abc
import ast
import importlib
import inspect
import types
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, cast

from fmbench.components import contracts
from fmbench.errors import PluginError, ProcessChanged
from fmbench.isolation.plugin_code import PluginStopped, plugin_code
from fmbench.plugins.source.fingerprints import fingerprint
from fmbench.plugins.source.module_imports import Import, Module, closure, find_module
from fmbench.plugins.source.name_resolution import Unreadable, binding, literal, targets
from fmbench.plugins.source.registration import does_more
from fmbench.plugins.source.signatures import (
    Argument,
    Method,
    arguments_of_function,
    arguments_of_source,
    described_arguments,
)

_CONTRACT_MODULES = {"fmbench", "fmbench.components.contracts"}
_DECIDES_AT_RUN_TIME = {"__new__", "__init_subclass__", "__set_name__", "__slots__"}

_Shadows = dict[ast.ClassDef, type]
"""The shadows of one reading: a base that two classes share must be one class, or Python orders the bases wrongly."""


class ClassSource:
    """A component class, given as `"module:Class"` or as the class itself; imported where its source is not enough.

    `own` says that it is fmbench's own, whose import changes nothing. Every member raises PluginError where the class
    can neither be read nor imported.
    """

    def __init__(self, target: str | type, *, own: bool = False) -> None:
        self.own = own
        self._loaded = target if isinstance(target, type) else None
        self.target = f"{target.__module__}:{target.__qualname__}" if isinstance(target, type) else target

    def load(self) -> type:
        """Import the class."""
        if self._loaded is None:
            self._loaded = _import_class(self.target, own=self.own)
        return self._loaded

    @cached_property
    def view(self) -> type:
        """The class's shadow, or the class itself where it was given or had to be imported."""
        if self._loaded is not None:
            return self._loaded
        module_name, _, name = self.target.partition(":")
        module = find_module(module_name)
        if module is None:
            return self.load()
        try:
            return _class_named(module, name, {})
        except Unreadable:
            return self.load()

    @property
    def summary(self) -> str:
        """The first line of the class's docstring."""
        return (self.view.__doc__ or "").strip().partition("\n")[0].strip()

    def attribute(self, name: str, parameters: Mapping[str, Any] | None = None) -> Any:
        """Return a class attribute, inherited ones too, for parameters where it depends on them.

        Raises AttributeError where there is none.
        """
        if parameters is not None and name in (of_these := self.by_parameter(parameters)):
            return of_these[name]
        value = getattr(self.view, name)
        return getattr(self.load(), name) if isinstance(value, _Computed | Method) else value

    def by_parameter(self, parameters: Mapping[str, Any]) -> dict[str, Any]:
        """Return the attributes that depend on parameters, as these set them: see `Component.by_parameter`."""
        found: dict[str, Any] = {}
        view = self.view
        if any(isinstance(vars(each).get("by_parameter"), _Computed) for each in view.__mro__):
            view = self.load()
        for each in reversed(view.__mro__):
            own = vars(each)
            found = {name: value for name, value in found.items() if name not in own}
            try:
                for_class: dict[str, Any] = {}
                for parameter, by_value in own.get("by_parameter", {}).items():
                    chosen = parameters[parameter]
                    then = next((dict(then) for value, then in by_value.items() if value in (chosen, ...)), {})
                    for_class |= {name: _joined(for_class.get(name), value) for name, value in then.items()}
                found |= for_class
            except KeyError as error:
                raise PluginError(f"{self.target}: by_parameter names {error}, which is no parameter of it") from error
            except (AttributeError, TypeError, ValueError) as error:
                rule = "by_parameter must map parameters to their values, and these to attributes"
                raise PluginError(f"{self.target}: {rule}; found {own['by_parameter']!r}") from error
        return found

    @cached_property
    def arguments(self) -> tuple[Argument, ...]:
        """The keyword parameters of the constructor, in order."""
        descriptions = described_arguments(self.view)
        init = inspect.getattr_static(self.view, "__init__")
        if isinstance(init, Method):
            try:
                return tuple(arguments_of_source(init, descriptions))
            except Unreadable:
                init = self.load().__init__  # type: ignore[misc]
        return tuple(arguments_of_function(init, descriptions, self.target))

    def fingerprint(self, version: str = "", registrar: str = "") -> str:
        """Return the fingerprint of the class's code, of its data files, and of its distribution's version.

        The module `registrar`, whose hook names the class, counts where it does more than that.
        """
        files = self.files()
        missing = [str(file) for file in files if not file.is_file()]
        if missing:
            raise PluginError(f"{self.target}: its attribute 'files' names a file that is not there: {missing[0]}")
        modules = [*self._modules(), *self._registrar(registrar)]
        return fingerprint(modules, self.target.partition(":")[2], files, version)

    def code(self, registrar: str = "") -> list[Module]:
        """Return the modules whose code counts in the fingerprint, by name."""
        modules = [*self._modules(), *self._registrar(registrar)]
        found = {each.name: each for module in modules for each in closure(module)}
        return [found[name] for name in sorted(found)]

    def _registrar(self, name: str) -> list[Module]:
        """The module that registers the class, where it does more than that."""
        module = find_module(name) if name else None
        return [module] if module is not None and does_more(module) else []

    def _modules(self) -> list[Module]:
        """The modules that define the class and its bases."""
        home, _, _ = self.target.partition(":")
        # An imported class may have been made by a function of another module than the one that names it.
        names = {self.view.__module__} if self._loaded is None else {self.view.__module__, home}
        names |= {each.__module__ for each in self.view.__mro__ if issubclass(each, contracts.Component)}
        modules = [find_module(each) for each in sorted(names - {contracts.__name__})]
        known = [module for module in modules if module is not None]
        if len(known) < len(modules) or not known:
            raise PluginError(f"{self.target}: a component needs a source file, so that its results can be told apart")
        return known

    def files(self) -> list[Path]:
        """Return the data files, which lie relative to the module of the class that names them."""
        names = self.attribute("files") if hasattr(self.view, "files") else ()
        definer = next((each for each in self.view.__mro__ if "files" in vars(each)), None)
        module = find_module(definer.__module__) if definer else None
        return [module.path.parent / name for name in names] if module else []


def _joined(earlier: Any, value: Any) -> Any:
    """Return what two parameters say of one attribute: together what each adds to a tuple, else what the later says."""
    both = isinstance(earlier, tuple | list) and isinstance(value, tuple | list)
    return (*earlier, *value) if both else value


def _import_class(target: str, *, own: bool) -> type:
    module_name, _, name = target.partition(":")
    try:
        with plugin_code(target, own=own):
            found: Any = importlib.import_module(module_name)
            for part in name.split("."):
                found = getattr(found, part)
    except ProcessChanged as error:
        raise PluginError(f"{target} cannot be imported: {error}") from error
    except Exception as error:
        cause = error.__cause__ if isinstance(error, PluginStopped) else error
        raise PluginError(f"{target} cannot be imported: {type(cause).__name__}: {cause}") from error
    if not isinstance(found, type):
        raise PluginError(f"{target} is not a class but of type {type(found).__name__}; register the class itself")
    return found


def _class_named(module: Module, name: str, shadows: _Shadows) -> type:
    """Return the shadow of a module's class, or the contract class that the name stands for."""
    found = binding(module, name)
    if isinstance(found, ast.ClassDef):
        return shadows.get(found) or _shadow(module, found, shadows)
    if not isinstance(found, Import) or found.name is None:
        raise Unreadable
    return _imported_class(module, found.module, found.name, shadows)


def _imported_class(module: Module, home: str, name: str, shadows: _Shadows) -> type:
    if home in _CONTRACT_MODULES and isinstance(vars(contracts).get(name), type):
        return cast(type, vars(contracts)[name])
    if (home, name) == ("abc", "ABC"):
        return abc.ABC
    other = find_module(home) if home.partition(".")[0] == module.top else None
    if other is None or other.path == module.path:
        raise Unreadable
    return _class_named(other, name, shadows)


def _base(module: Module, node: ast.expr, shadows: _Shadows) -> type:
    if isinstance(node, ast.Name):
        return _class_named(module, node.id, shadows)
    if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
        home = binding(module, node.value.id)
        if isinstance(home, Import):
            origin = f"{home.module}.{home.name}" if home.name else home.module
            return _imported_class(module, origin, node.attr, shadows)
    raise Unreadable


def _shadow(module: Module, node: ast.ClassDef, shadows: _Shadows) -> type:
    """Mirror a class: same name, bases, docstring and literals; placeholders for methods and computed values."""
    if node.decorator_list or any(keyword.arg != "metaclass" for keyword in node.keywords):
        raise Unreadable
    namespace: dict[str, Any] = {"__module__": module.name, "__doc__": ast.get_docstring(node)}
    for statement in node.body:
        if isinstance(statement, ast.FunctionDef | ast.AsyncFunctionDef):
            namespace[statement.name] = Method(module, statement)
        elif isinstance(statement, ast.Assign | ast.AnnAssign):
            if statement.value is not None:
                names = targets(statement)
                value = _class_value(module, statement.value, namespace, plain=len(names) == 1)
                namespace.update(dict.fromkeys(names, value))
        elif not isinstance(statement, ast.Expr | ast.Pass):
            raise Unreadable
    if not _DECIDES_AT_RUN_TIME.isdisjoint(namespace):
        raise Unreadable
    bases = tuple(_base(module, base, shadows) for base in node.bases)
    try:
        shadows[node] = types.new_class(node.name, bases, {}, lambda body: body.update(namespace))
    except TypeError as error:
        raise Unreadable from error
    return shadows[node]


def _class_value(module: Module, node: ast.expr, namespace: Mapping[str, Any], plain: bool) -> Any:
    """Return a class attribute's value where it is a literal, or names one; a placeholder elsewhere."""
    if isinstance(node, ast.Name) and node.id in namespace:
        return namespace[node.id]
    try:
        return literal(module, node) if plain else _Computed(ast.unparse(node))
    except Unreadable:
        return _Computed(ast.unparse(node))


@dataclass(frozen=True)
class _Computed:
    """Stands for a class attribute that is not a literal."""

    code: str
