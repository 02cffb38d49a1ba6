"""The keyword parameters of a component's constructor, from its source or from the function itself."""

from __future__ import annotations

import ast
import inspect
import textwrap
import typing
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from fmbench.errors import PluginError
from fmbench.plugins.source.module_imports import Module
from fmbench.plugins.source.name_resolution import Unreadable, annotation, literal


@dataclass(frozen=True)
class Argument:
    """A keyword parameter of a constructor; `annotation` is evaluated: `Annotated[float, Ge(ge=0)]`, say."""

    name: str
    annotation: Any
    default: Any
    required: bool
    description: str = ""


@dataclass
class Method:
    """Stands for a method."""

    module: Module
    node: ast.FunctionDef | ast.AsyncFunctionDef

    @property
    def __isabstractmethod__(self) -> bool:
        return any(ast.unparse(each).endswith("abstractmethod") for each in self.node.decorator_list)


def arguments_of_source(init: Method, descriptions: Mapping[str, str]) -> Iterator[Argument]:
    """Yield the arguments of an `__init__` as its source has them. Raises Unreadable where only running it can tell."""
    if init.node.decorator_list:
        raise Unreadable
    arguments = init.node.args
    plain = arguments.args if arguments.posonlyargs else arguments.args[1:]
    defaults: list[ast.expr | None] = [None] * len(plain)
    defaults += arguments.defaults
    defaults = defaults[len(defaults) - len(plain) :]
    pairs = [*zip(plain, defaults, strict=True), *zip(arguments.kwonlyargs, arguments.kw_defaults, strict=True)]
    for argument, default in pairs:
        kind = Any if argument.annotation is None else annotation(init.module, argument.annotation)
        value = None if default is None else literal(init.module, default)
        yield Argument(argument.arg, kind, value, default is None, descriptions.get(argument.arg, ""))


def arguments_of_function(init: Any, descriptions: Mapping[str, str], target: str) -> Iterator[Argument]:
    """Yield the arguments of an imported `__init__`; `target` is what a PluginError says is at fault."""
    if not inspect.isfunction(init):
        return
    try:
        hints = typing.get_type_hints(init, include_extras=True)
    except Exception as error:
        raise PluginError(f"{target}: an annotation of __init__ cannot be evaluated: {error}") from error
    for name, parameter in list(inspect.signature(init).parameters.items())[1:]:
        if parameter.kind in (parameter.POSITIONAL_OR_KEYWORD, parameter.KEYWORD_ONLY):
            required = parameter.default is parameter.empty
            default = None if required else parameter.default
            yield Argument(name, hints.get(name, Any), default, required, descriptions.get(name, ""))


def described_arguments(view: type) -> dict[str, str]:
    """Return the texts of the `Args:` sections of a class, of its constructor, and of its bases, the nearest first."""
    found: dict[str, str] = {}
    for each in view.__mro__:
        if each.__module__ not in ("builtins", "abc", "fmbench.components.contracts"):
            init = vars(each).get("__init__")
            text = ast.get_docstring(init.node) if isinstance(init, Method) else getattr(init, "__doc__", None)
            for docstring in (text, each.__doc__):
                found = {**_args_section(docstring or ""), **found}
    return found


def _args_section(docstring: str) -> dict[str, str]:
    """Return the entries `name: text` below `Args:`, their lines joined."""
    _, found, rest = inspect.cleandoc(docstring).partition("Args:\n")
    entries: dict[str, str] = {}
    names: list[str] = []
    if not found:
        return entries
    lines = rest.split("\n")
    section = []
    for line in lines:
        if line and not line.startswith(" "):
            break
        section.append(line)
    for line in textwrap.dedent("\n".join(section)).split("\n"):
        if line.startswith(" ") or not line:
            for name in names:
                entries[name] = f"{entries[name]} {line.strip()}".strip()
        else:
            head, _, text = line.partition(":")
            names = [name.partition("(")[0].strip() for name in head.split(",")]
            entries.update(dict.fromkeys(names, text.strip()))
    return entries
