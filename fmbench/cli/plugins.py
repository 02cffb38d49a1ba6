"""The verb `plugins`: what is registered, by whom, with which parameters."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Annotated, Any

import typer

from fmbench.cli import completion, options
from fmbench.cli.output import say, show_json, show_table
from fmbench.components.contracts import KINDS

if TYPE_CHECKING:
    from fmbench.plugins.registry import Code, ListedComponent

PLUGINS = "List registered components, by whom, with which parameters; and what failed to load."

plugins_app = typer.Typer(rich_markup_mode=None, help=PLUGINS)


@plugins_app.callback(invoke_without_command=True)
def list_plugins(context: typer.Context, plugins: options.Plugins = None, as_json: options.Json = False) -> None:
    """List registered components."""
    if context.invoked_subcommand is None:
        list_components(tuple(plugins or ()), as_json=as_json)


def _list_kind(kind: str) -> Callable[..., None]:
    """Return the verb that lists the components of a kind."""

    def verb(plugins: options.Plugins = None, as_json: options.Json = False) -> None:
        list_components(tuple(plugins or ()), kind, as_json=as_json)

    return verb


for each in KINDS:
    plugins_app.command(each, help=f"List components of the kind {each}.")(_list_kind(each))


def list_components(plugins: tuple[str, ...] = (), kind: str | None = None, *, as_json: bool = False) -> None:
    """List registered components, or those of a kind."""
    from fmbench.plugins.registry import load_registry

    registry = load_registry(plugins)
    if as_json:
        failures = [{"name": failure.name, "error": failure.error} for failure in registry.failures]
        show_json({"components": [describe(entry) for entry in registry.entries(kind)], "failures": failures})
        return
    rows = [row for row in registry.summaries() if kind in (None, row[0])]
    show_table(("kind", "name", "from", "what"), rows)
    for failure in registry.failures:
        say(f"failed to load: {failure.name}: {failure.error}", "red")


@plugins_app.command("show")
def show_plugin(
    kind: Annotated[str, typer.Argument(help="A kind, such as solver.", autocompletion=completion.kinds)],
    name: Annotated[str, typer.Argument(help="A component's name, such as heun.", autocompletion=completion.names)],
    plugins: options.Plugins = None,
    as_json: options.Json = False,
) -> None:
    """Show one component: what it is, where it comes from, its parameters, and what of its code keys do not see."""
    from fmbench.plugins.registry import load_registry

    registry = load_registry(tuple(plugins or ()))
    entry, code = registry.entry(kind, name), registry.code(kind, name)
    if as_json:
        show_json({**describe(entry), "code": describe_code(code)})
        return
    say(f"{entry.kind} {entry.name}", "bold")
    say(entry.summary)
    say(f"registered by {entry.owner} as {entry.target}")
    if entry.reference:
        say(f"reference: {entry.reference}")
    if entry.parameters:
        rows = [(p.name, p.type, "required" if p.required else p.default, p.description) for p in entry.parameters]
        show_table(("parameter", "type", "default", "meaning"), rows)
    else:
        say("It has no parameters.")
    _tell_code(code)


def describe(entry: ListedComponent) -> dict[str, Any]:
    """Return a component as data."""
    parameters = [
        {"name": p.name, "type": p.type, "required": p.required, "default": p.default, "description": p.description}
        for p in entry.parameters
    ]
    fields = ("kind", "name", "owner", "target", "summary", "reference")
    return {**{field: str(getattr(entry, field)) for field in fields}, "parameters": parameters}


def _tell_code(code: Code) -> None:
    """Print what counts in keys, and what does not."""
    counted = [module.name for module in code.modules]
    counted += [f"{module.name} ({module.path})" for module in code.elsewhere]
    counted += [str(file) for file in code.files]
    counted += [f"the files that parameter {name!r} names" for name in code.content]
    say(f"In its key count: {', '.join(counted)}.")
    if code.unseen:
        say("What its code does here changes no key, so that scores that are stored stay when it changes:", "yellow")
        show_table(("line", "code", "instead"), [(f"{u.file}:{u.line}", u.code, u.remedy) for u in code.unseen])


def describe_code(code: Code) -> dict[str, Any]:
    """Return what of a component counts in keys, and what does not, as data."""
    return {
        "modules": {module.name: str(module.path) for module in (*code.modules, *code.elsewhere)},
        "files": [str(file) for file in code.files],
        "content": list(code.content),
        "unseen": [vars(line) for line in code.unseen],
    }
