"""A class or function of anybody's, named `file.py:Name` or `module:Name`: its code's fingerprint, and itself."""

from __future__ import annotations

import ast
import importlib
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from fmbench.cells.component_spec import ComponentSpec
from fmbench.cells.keys import canonical, digest
from fmbench.cells.written_component import named
from fmbench.errors import ComponentError, PluginError, did_you_mean
from fmbench.io.regular_files import expanded
from fmbench.isolation.plugin_code import PluginStopped, plugin_code
from fmbench.plugins.local_files import describe_error, load_given
from fmbench.plugins.source import FILE_PLUGIN, Module, find_module
from fmbench.plugins.source.fingerprints import fingerprint

if TYPE_CHECKING:
    from fmbench.plugins.registry import Registry

OWN = "file.py:Name or module:Name"


def fingerprint_of(target: str) -> str:
    """Return the fingerprint of what a target names: its module's code and all that this imports; nothing is imported.

    Raises PluginError where there is no such module.
    """
    return fingerprint([_module(target)], target.partition(":")[2])


def _module(target: str) -> Module:
    place, _, name = target.partition(":")
    if place.endswith(".py"):
        file = expanded(place).resolve()
        module = Module(FILE_PLUGIN + file.stem, file) if file.is_file() else None
    else:
        module = find_module(place)
    if module is None or not name:
        raise PluginError(f"{target!r} must be {OWN}, where the file or the module is there; found none")
    known = _bound_names(module)
    if name not in known and "*" not in known:
        raise PluginError(f"there is no {name!r} in {module.path}.{did_you_mean(name, known)}")
    return module


def _bound_names(module: Module) -> set[str]:
    """Return all names that a module's code binds, wherever; "*" among them where it imports all of another."""
    nodes = list(ast.walk(module.tree))
    found = {node.name for node in nodes if isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef)}
    found |= {node.id for node in nodes if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)}
    return found | {node.asname or node.name for node in nodes if isinstance(node, ast.alias)}


def with_network_code(registry: Registry, model: ComponentSpec) -> ComponentSpec:
    """Return a model with the code of what its attribute `network` names in its fingerprint.

    Raises ComponentError where that is not written as a component is, or is none that there is.
    """
    parameter = registry.attribute(model, "network")
    if not parameter:
        return model
    name, arguments = named_by(model, parameter)
    with at_parameter(model, parameter):
        if parameter != "network" and ":" not in name:
            raise PluginError(f"it must be {OWN}, alone or with its arguments; found {name!r}")
        if ":" not in name:
            code = registry.spec("network", name, arguments).digest
            return replace(model, fingerprint=digest(model.fingerprint, code))
        code = fingerprint_of(name)
    # How the place of the code is written does not count, as for files; what it is called with does.
    fingerprint = digest(model.fingerprint, code, canonical(dict(arguments)))
    return replace(model, fingerprint=fingerprint, unkeyed=(*model.unkeyed, parameter))


def named_by(model: ComponentSpec, parameter: str) -> tuple[str, Mapping[str, Any]]:
    """Return what a parameter of a model names, and its own parameters. Raises ComponentError where it names none."""
    written = model.parameters.get(parameter)
    try:
        return named(written)
    except ValueError as error:
        text = f"parameter {parameter!r} of model {model.name!r} {error}; found {written!r}"
        raise ComponentError(text, parameter=parameter) from None


@contextmanager
def at_parameter(model: ComponentSpec, parameter: str) -> Iterator[None]:
    """Say of an error in what a parameter of a model names which parameter that is."""
    try:
        yield
    except (ComponentError, PluginError) as error:
        text = f"parameter {parameter!r} of model {model.name!r}: {error}"
        raise ComponentError(text, parameter=parameter) from error


def load(target: str) -> Any:
    """Import what a target names. Raises PluginError where it cannot be imported or is not there."""
    place, _, name = target.partition(":")
    try:
        if place.endswith(".py"):
            (found,) = load_given(place)
        else:
            top = place.partition(".")[0]
            with plugin_code(target, top="" if top in sys.modules else top):  # what fmbench imports is on fmbench
                found = importlib.import_module(place)
        return getattr(found, name)
    except PluginError:
        raise
    except (PluginStopped, Exception) as error:
        raise PluginError(f"{target} cannot be imported: {describe_error(error)}") from error


def call(target: str, arguments: dict[str, Any]) -> Any:
    """Import what a target names and call it. Raises PluginError where that fails."""
    found = load(target)
    try:
        with plugin_code(target):
            return found(**arguments)
    except (PluginStopped, Exception) as error:
        raise PluginError(f"{target} cannot be called with {arguments}: {describe_error(error)}") from error
