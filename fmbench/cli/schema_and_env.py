"""The verbs schema and env."""

from __future__ import annotations

from typing import Any

from fmbench.cli import options
from fmbench.cli.output import show_json, show_table


def schema(plugins: options.Plugins = None) -> None:
    """Print the JSON Schema of suite files, with the components that are registered here; editors complete from it."""
    from fmbench.plugins.registry import load_registry
    from fmbench.suite import suite_schema

    registry = load_registry(tuple(plugins or ()))
    schemas: dict[str, dict[str, Any]] = {}
    for entry in registry.entries():
        schemas.setdefault(entry.kind, {})[entry.name] = registry.schema(entry.kind, entry.name)
    show_json(suite_schema(schemas))


def env(device: options.Device = "auto", as_json: options.Json = False) -> None:
    """Show the versions and the hardware that results depend on; paste it into bug reports."""
    from fmbench.runtime.device import choose_device
    from fmbench.runtime.environment import environment

    facts = environment(choose_device(device))
    if as_json:
        show_json(facts)
    else:
        show_table(("what", "value"), facts.items())
