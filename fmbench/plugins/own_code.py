"""A class or function of anybody's, named `file.py:Name` or `module:Name`: its code's fingerprint, and itself."""

from __future__ import annotations

import importlib
from typing import Any

from fmbench.errors import PluginError
from fmbench.io.regular_files import expanded
from fmbench.isolation.plugin_code import PluginStopped, plugin_code
from fmbench.plugins.local_files import describe_error, load_given
from fmbench.plugins.source import FILE_PLUGIN, Module, find_module
from fmbench.plugins.source.fingerprints import fingerprint

FORM = "file.py:Name or module:Name"


def fingerprint_of(target: str) -> str:
    """Return the fingerprint of what a target names: its module's code and all that this imports; nothing is imported.

    Raises PluginError where there is no such module.
    """
    place, _, name = target.partition(":")
    if place.endswith(".py"):
        file = expanded(place).resolve()
        module = Module(FILE_PLUGIN + file.stem, file) if file.is_file() else None
    else:
        module = find_module(place)
    if module is None or not name:
        raise PluginError(f"{target!r} must be {FORM}, where the file or the module is there; found none")
    return fingerprint([module], name)


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
