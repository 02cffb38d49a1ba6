"""A class or function of anybody's, named `file.py:Name` or `module:Name`: its code's fingerprint, and itself."""

from __future__ import annotations

import importlib
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from fmbench.cells.component_spec import ComponentSpec
from fmbench.cells.keys import digest
from fmbench.cells.model_network import named
from fmbench.errors import ComponentError, PluginError
from fmbench.io.regular_files import expanded
from fmbench.isolation.plugin_code import PluginStopped, plugin_code
from fmbench.plugins.local_files import describe_error, load_given
from fmbench.plugins.source import FILE_PLUGIN, Module, find_module
from fmbench.plugins.source.fingerprints import fingerprint

if TYPE_CHECKING:
    from fmbench.plugins.registry import Registry

FORM = "file.py:Name or module:Name"


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
        raise PluginError(f"{target!r} must be {FORM}, where the file or the module is there; found none")
    return module


def with_network_code(registry: Registry, model: ComponentSpec) -> ComponentSpec:
    """Return a model with the code of what its attribute `network` names in its fingerprint.

    Raises ComponentError where that is not written as a component is, or is none that there is.
    """
    parameter = registry.attribute(model, "network")
    if not parameter:
        return model
    try:
        name, arguments = named(model.parameters.get(parameter))
        if parameter != "network" and ":" not in name:
            raise ValueError(f"must be {FORM}, alone or with its arguments")
        code = fingerprint_of(name) if ":" in name else registry.spec("network", name, arguments).digest
    except ValueError as error:
        text = f"parameter {parameter!r} of model {model.name!r} {error}; found {model.parameters.get(parameter)!r}"
        raise ComponentError(text, parameter=parameter) from None
    except (ComponentError, PluginError) as error:
        raise ComponentError(
            f"parameter {parameter!r} of model {model.name!r}: {error}", parameter=parameter
        ) from error
    return replace(model, fingerprint=digest(model.fingerprint, code))


def load(target: str) -> Any:
    """Import what a target names. Raises PluginError where it cannot be imported or is not there."""
    place, _, name = target.partition(":")
    try:
        if place.endswith(".py"):
            (found,) = load_given(place)
        else:
            with plugin_code(target, top=place.partition(".")[0]):
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
