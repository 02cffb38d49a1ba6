"""Which components a person means who wants them checked."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from fmbench.cells.component_spec import is_own
from fmbench.cells.written_component import named
from fmbench.components.contracts import KINDS
from fmbench.errors import PluginError, UserError, did_you_mean
from fmbench.plugins.local_files import load_given
from fmbench.plugins.registry import Registry, load_registry
from fmbench.testing.check_component import (
    CheckedComponent,
    check_component,
    check_test_class,
    test_classes_in,
    unbuilt,
)

Chosen = tuple[str, str, Mapping[str, Any]]
"""Kind, name and parameters."""


def chosen_components(
    what: Sequence[str], plugins: Sequence[str], facts: Mapping[str, Any]
) -> Iterator[CheckedComponent]:
    """Yield the checks of what is meant by a name, by a file, or by a kind and a name; of all plugins by nothing.

    A component may have parameters, as a suite writes them. Raises UserError where nothing is meant.
    """
    if len(what) > 2:
        raise UserError(f"give a name, a file, or a kind and a name; found {len(what)}: {' '.join(what)}.")
    found: list[Chosen]
    if len(what) == 1 and _is_place(what[0]):
        classes = _test_classes(what[0])
        if classes and facts:
            raise UserError(
                "a file of tests says itself what widens a rule: set the attribute of that class, not --set."
            )
        if classes:
            yield from (check_test_class(cls) for cls in classes)
            return
        registry, places = load_registry((*plugins, what[0])), _files(what[0])
        found = [(kind, name, {}) for kind, name, owner, _ in registry.summaries() if owner in places]
    else:
        registry = load_registry(plugins)
        found = _named(registry, what)
    for kind, name, parameters in found:
        if len(found) > 1 and any(each.required for each in registry.entry(kind, name).parameters):
            yield unbuilt(registry, kind, name)
        else:
            yield check_component(registry, kind, name, parameters, facts)


def _is_place(text: str) -> bool:
    return not text.startswith("{") and (text.endswith(".py") or "/" in text)


def _files(place: str) -> set[str]:
    path = Path(place).expanduser().resolve()
    return {str(file) for file in (path.rglob("*.py") if path.is_dir() else [path])}


def _test_classes(place: str) -> list[Any]:
    """Return the conformance classes that a file defines for components; none of a folder."""
    if not Path(place).expanduser().is_file():
        return []
    return [cls for module in load_given(place) for cls in test_classes_in(module)]


def _named(registry: Registry, what: Sequence[str]) -> list[Chosen]:
    """Return kind, name and parameters of what is called by name, or of all that are not fmbench's own."""
    listed = [(kind, name, owner) for kind, name, owner, _ in registry.summaries()]
    found: list[Chosen]
    if not what:
        found = [(kind, name, {}) for kind, name, owner in listed if not is_own(owner)]
        if not found:
            failed = "".join(f" {each}." for each in registry.failures)
            raise UserError(
                f"no plugin is installed besides fmbench's own.{failed} Name one: a file, mine.py, or solver heun."
            )
        return found
    if len(what) == 2:
        name, parameters = _written(what[1])
        return [(what[0], name, parameters)]
    name, parameters = _written(what[0])
    found = [(kind, each, parameters) for kind, each, _ in listed if each == name]
    if len(found) > 1:
        kinds = " and ".join(kind for kind, _, _ in found)
        raise UserError(
            f"{kinds} have a component {name!r}. Give the kind, too: fmbench check-plugin {found[0][0]} {name}"
        )
    if not found and not parameters:
        found = [
            (kind, each, {})
            for kind, each, owner in listed
            if owner.partition(" ")[0] in (name, name.replace("_", "-"))
        ]
    if not found:
        failed = "".join(f" {each}." for each in registry.failures)
        near = did_you_mean(name, dict.fromkeys([*(each for _, each, _ in listed), *KINDS]))
        raise PluginError(
            f"no component and no installed plugin is called {name!r}.{near}{failed} A folder is given as ./mine."
        )
    return found


def _written(text: str) -> tuple[str, Mapping[str, Any]]:
    """Return a component's name and parameters, written as in a suite."""
    try:
        return named(yaml.safe_load(text))
    except (yaml.YAMLError, ValueError) as error:
        raise UserError(
            f"a component is written as in a suite, heun or '{{mine: {{weight: 2}}}}'; found {text!r}"
        ) from error
