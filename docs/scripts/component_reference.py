"""The reference of components: Markdown of what the registry and the docstrings say. Nothing is imported for it."""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterable

from formulas import with_formulas

from fmbench.components.contracts import CONTRACTS, KINDS
from fmbench.plugins.parameters import Parameter
from fmbench.plugins.registry import ListedComponent, Registry, load_registry
from fmbench.plugins.source import ClassSource

ARXIV = re.compile(r"arXiv:(\d{4}\.\d{4,5})")
DECLARED = {
    "solver": {"nfe_per_step": "evaluations a step: {}", "order": "order: {}"},
    "metric": {"better": "{} is better", "unit": "unit: {}"},
}
"""Class attributes that a page shows, by kind."""

SECTION = re.compile(r"\n\n(?:Args|Source|Raises|Returns|Attributes):", re.MULTILINE)


def pages() -> dict[str, str]:
    """Return a page for each kind, by its name in the site."""
    registry = load_registry()
    return {f"reference/{kind}.md": page(registry, kind) for kind in KINDS}


def contents() -> str:
    """Return the list of kinds with the names of their components, each a link."""
    registry = load_registry()
    lines = []
    for kind in KINDS:
        names = ", ".join(f"[{name}]({kind}.md#{name})" for name in registry.names(kind))
        lines.append(f"## [{title(kind)}]({kind}.md)\n\n{summary(CONTRACTS[kind].__doc__)}\n\n{names}\n")
    return "\n".join(lines)


def page(registry: Registry, kind: str) -> str:
    """Return the page of a kind: what it promises, then each component."""
    parts = [f"# {title(kind)}", prose(CONTRACTS[kind].__doc__)]
    parts += [section(entry) for entry in registry.entries(kind)]
    return "\n\n".join(parts) + "\n"


def title(kind: str) -> str:
    """Return the plural of a kind, as a heading."""
    return {"guidance": "Guidance", "t_distribution": "t-distributions"}.get(kind, f"{kind.capitalize()}s")


def section(entry: ListedComponent) -> str:
    """Return what there is to say of a component."""
    parts = [f"## {entry.name} {{ #{entry.name} }}", prose(docstring(entry))]
    if facts := attributes(entry):
        parts.append(facts)
    if entry.parameters:
        rows = ((f"`{p.name}`", p.type, _default(p), with_formulas(p.description)) for p in entry.parameters)
        parts.append(table(("parameter", "type", "default", "meaning"), rows))
    if entry.reference:
        parts.append(f"Source: {linked(entry.reference)}")
    return "\n\n".join(parts)


def _default(parameter: Parameter) -> str:
    """Return a parameter's default as a suite writes it."""
    return "required" if parameter.required else f"`{'null' if parameter.default is None else parameter.default}`"


def docstring(entry: ListedComponent) -> str:
    """Return the docstring of a component's class, read from its source."""
    return ClassSource(entry.target, own=True).view.__doc__ or entry.summary


def attributes(entry: ListedComponent) -> str:
    """Return what a solver or metric declares of itself."""
    source = ClassSource(entry.target, own=True)
    found = [(said, source.attribute(name)) for name, said in DECLARED.get(entry.kind, {}).items()]
    words = [said.format(value) for said, value in found if value not in (None, "")]
    return f"*{'; '.join(words)}.*" if words else ""


def summary(text: str | None) -> str:
    """Return the first line of a docstring."""
    return with_formulas((text or "").strip().partition("\n")[0])


def prose(text: str | None) -> str:
    """Return the paragraphs of a docstring before its sections, formulas set."""
    return with_formulas(SECTION.split(inspect.cleandoc(text or ""))[0])


def linked(reference: str) -> str:
    """Return a reference with its arXiv numbers as links."""
    return ARXIV.sub(r"[arXiv:\1](https://arxiv.org/abs/\1)", with_formulas(reference))


def table(head: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    """Return a Markdown table."""
    names = list(head)
    return "\n".join(f"| {' | '.join(map(_cell, line))} |" for line in (names, ["---"] * len(names), *rows))


def _cell(text: str) -> str:
    return str(text).replace("|", "\\|").replace("\n", " ")
