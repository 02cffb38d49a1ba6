"""Parameters of components: what they may be, in words, and whether given values are that.

Values are checked as JSON, strictly: 3 will do for a float, but "3" for no number, and true for no integer.
"""

from __future__ import annotations

import json
import re
import types
import typing
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

from fmbench.errors import ComponentError, PluginError, did_you_mean
from fmbench.plugins.source import Argument

if TYPE_CHECKING:
    from pydantic import TypeAdapter, ValidationError

_WORDS = {
    int: "integer",
    float: "number",
    str: "text",
    bool: "true or false",
    type(None): "null",
    list: "list",
    tuple: "list",
    dict: "mapping",
    Any: "any value",
}

_BOUNDS = {"ge": ">= {}", "gt": "> {}", "le": "<= {}", "lt": "< {}", "multiple_of": "a multiple of {}"}
_LENGTHS = {"min_length": "at least {}", "max_length": "at most {}"}

LARGEST = 2**63 - 1
"""The largest whole number that tables, databases and other readers of JSON take."""
_NO_TEXT = re.compile("[\0\ud800-\udfff]")


@dataclass(frozen=True)
class Parameter:
    """A parameter as it is shown: `type` in words ("number >= 0"), and the default, None where it is required."""

    name: str
    type: str
    default: Any
    required: bool
    description: str


class Signature:
    """The parameters of one component; `owner` names it in messages: "path 'lipman'".

    Those of `preset` have its values for defaults. Raises PluginError where one is unknown or its value wrong.
    """

    def __init__(self, arguments: Sequence[Argument], owner: str, preset: Mapping[str, Any] | None = None) -> None:
        self._arguments = {argument.name: argument for argument in arguments}
        self._owner = owner
        for name, value in (preset or {}).items():
            try:
                if name not in self._arguments:
                    raise ComponentError(self._unknown(name))
                value = self._json(name, value)
            except ComponentError as error:
                raise PluginError(f"{owner} is registered with a preset that does not fit: {error}") from error
            self._arguments[name] = replace(self._arguments[name], default=value, required=False)

    @cached_property
    def parameters(self) -> tuple[Parameter, ...]:
        """The parameters, in the order of the constructor."""
        return tuple(
            Parameter(each.name, in_words(each.annotation), each.default, each.required, each.description)
            for each in self._arguments.values()
        )

    def check(self, given: Mapping[str, Any]) -> dict[str, Any]:
        """Return all parameters as JSON values, defaults filled in. Raises ComponentError where a given one is wrong.

        The error's `parameter` is the name of the one at fault.
        """
        for name in given:
            if name not in self._arguments:
                raise ComponentError(self._unknown(name), parameter=str(name))
        for name, argument in self._arguments.items():
            if argument.required and name not in given:
                message = f"{self._owner} needs the parameter {name!r} ({in_words(argument.annotation)})"
                raise ComponentError(message, parameter=name)
        return {
            name: self._json(name, given[name]) if name in given else self._defaults[name] for name in self._arguments
        }

    def without_defaults(self, parameters: Mapping[str, Any], names: Collection[str]) -> dict[str, Any]:
        """Return checked parameters without those of `names` that have their defaults."""
        usual = {name: self._defaults[name] for name in names if name in self._defaults}
        return {name: v for name, v in parameters.items() if name not in usual or v != usual[name]}

    def completed(self, parameters: Mapping[str, Any]) -> dict[str, Any]:
        """Return checked parameters, in their order, with those that are left out at their defaults."""
        full = {**self._defaults, **parameters}
        return {name: full[name] for name in self._arguments if name in full}

    def values(self, parameters: Mapping[str, Any]) -> dict[str, Any]:
        """Return checked JSON values as the constructor's annotations want them: a tuple for a list, say."""
        return {name: self._validated(name, value) for name, value in parameters.items()}

    def label(self, name: str, parameters: Mapping[str, Any], spread: str = "") -> str:
        """Return the component's name, with those checked parameters that differ from their defaults.

        Of the parameter `spread`, a mapping of components and numbers, the entries stand in its place.
        """
        said: dict[str, str] = {}
        for each, text in self.changed(parameters).items():
            value = parameters[each]
            if each == spread and isinstance(value, dict):
                said |= {key: _component(inside) for key, inside in value.items()}
            else:
                said[each] = text
        return f"{name}({', '.join(f'{each}={text}' for each, text in said.items())})" if said else name

    def changed(self, parameters: Mapping[str, Any]) -> dict[str, str]:
        """Return by name, as a label shows them, those checked parameters that differ from their defaults."""
        usual = self._defaults
        return {name: _short(v) for name, v in parameters.items() if name not in usual or v != usual[name]}

    def schema(self) -> dict[str, Any]:
        """Return the JSON Schema of the parameters."""
        properties: dict[str, Any] = {}
        definitions: dict[str, Any] = {}
        for name, argument in self._arguments.items():
            schema = self._adapters[name].json_schema()
            definitions.update(schema.pop("$defs", {}))
            if argument.description:
                schema["description"] = argument.description
            if not argument.required:
                schema["default"] = self._defaults[name]
            properties[name] = schema
        required = [name for name, argument in self._arguments.items() if argument.required]
        whole: dict[str, Any] = {"type": "object", "properties": properties, "additionalProperties": False}
        if required:
            whole["required"] = required
        if definitions:
            whole["$defs"] = definitions
        return whole

    @cached_property
    def _adapters(self) -> dict[str, TypeAdapter[Any]]:
        from pydantic import PydanticUserError, TypeAdapter

        adapters = {}
        for name, argument in self._arguments.items():
            try:
                adapters[name] = TypeAdapter[Any](argument.annotation)
            except PydanticUserError as error:
                reason = str(error).partition("\n")[0]
                raise PluginError(f"{self._owner}: the annotation of {name!r} cannot be checked: {reason}") from error
        return adapters

    @cached_property
    def _defaults(self) -> dict[str, Any]:
        """The defaults as JSON values. A default that its own annotation forbids is the plugin's fault."""
        defaults = {}
        for name, argument in self._arguments.items():
            if argument.required:
                continue
            try:
                value = self._adapters[name].dump_python(argument.default, mode="json", warnings=False)
                defaults[name] = self._json(name, value)
            except (ComponentError, ValueError) as error:
                raise PluginError(
                    f"{self._owner}: the default of {name!r} does not fit its annotation: {error}"
                ) from error
        return defaults

    def _json(self, name: str, value: Any) -> Any:
        """Return a value as the JSON value that is hashed: 1 for a float becomes 1.0."""
        return self._adapters[name].dump_python(self._validated(name, value), mode="json", warnings=False)

    def _validated(self, name: str, value: Any) -> Any:
        from pydantic import ValidationError

        try:
            if wrong := _unkeepable(value):
                raise ValueError(wrong)
            text = json.dumps(value, allow_nan=False)
        except (TypeError, ValueError, RecursionError) as error:
            raise ComponentError(self._wrong(name, value, f" ({error})"), parameter=name) from error
        try:
            return self._adapters[name].validate_json(text, strict=True)
        except ValidationError as error:
            raise ComponentError(self._wrong(name, value, _detail(error, value)), parameter=name) from error

    def _wrong(self, name: str, value: Any, detail: str) -> str:
        allowed = in_words(self._arguments[name].annotation)
        return f"parameter {name!r} of {self._owner} must be {allowed}; found {_found(value)}{detail}"

    def _unknown(self, name: Any) -> str:
        if not self._arguments:
            return f"{self._owner} has no parameter {name!r}; it takes none"
        names = ", ".join(self._arguments)
        return f"{self._owner} has no parameter {name!r}.{did_you_mean(str(name), self._arguments)} It takes: {names}"


def _unkeepable(value: Any) -> str:
    """Say what of a value no file, table or other reader of JSON could keep; "" where all can be kept."""
    if isinstance(value, int) and not -LARGEST <= value <= LARGEST:
        return f"whole numbers go to {LARGEST:,} only"
    if isinstance(value, str) and _NO_TEXT.search(value):
        return "text is Unicode without NUL"
    inside = (
        [*value, *value.values()] if isinstance(value, Mapping) else value if isinstance(value, list | tuple) else ()
    )
    return next(filter(None, map(_unkeepable, inside)), "")


def in_words(annotation: Any) -> str:
    """Say what an annotation allows: `Annotated[float, Ge(0)]` is "number >= 0"."""
    origin, inner = typing.get_origin(annotation), typing.get_args(annotation)
    if origin is typing.Annotated:
        bounds = [text for each in inner[1:] for text in _bounds(each)]
        return " ".join([in_words(inner[0]), " and ".join(bounds)]).strip()
    if origin is typing.Literal:
        return " or ".join(json.dumps(each) if isinstance(each, str | int | None) else str(each) for each in inner)
    if origin in (typing.Union, types.UnionType):
        return " or ".join(map(in_words, inner))
    if origin is tuple and inner[-1] is not Ellipsis:
        return f"list [{', '.join(map(in_words, inner))}]"
    if isinstance(origin, type) and issubclass(origin, Mapping):
        return f"mapping of {in_words(inner[0])} to {in_words(inner[1])}"
    if isinstance(origin, type) and issubclass(origin, Collection):
        return f"list of {in_words(inner[0])}"
    return _WORDS.get(annotation) or str(getattr(annotation, "__name__", annotation))


def _bounds(constraint: Any) -> list[str]:
    """Say what one constraint of annotated_types, or a pydantic Field with several, allows."""
    inner = getattr(constraint, "metadata", None)
    if isinstance(inner, list | tuple):
        return [text for each in inner for text in _bounds(each)]
    texts = []
    for table, noun in ((_BOUNDS, ""), (_LENGTHS, " long")):
        for field, text in table.items():
            bound = getattr(constraint, field, None)
            if bound is not None:
                texts.append(text.format(bound) + noun)
    return texts


def _detail(error: ValidationError, value: Any) -> str:
    """Say what pydantic knows beyond the words of the annotation: which item is wrong, or a validator's own message."""
    first = error.errors(include_url=False)[0]
    if first["type"] in ("value_error", "assertion_error"):
        return f" ({first['msg']})"
    if isinstance(value, str) and _is_number(value):
        return ": it is text; write a number without quotes, with a dot before an exponent (1.0e-3)"
    where = [part for part in first["loc"] if isinstance(part, int)]
    return f" (item {where[0] + 1} is wrong)" if where and isinstance(value, list | tuple) else ""


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _found(value: Any) -> str:
    try:
        text = json.dumps(value)
    except (TypeError, ValueError, RecursionError):
        text = f"something of type {type(value).__name__}"
    return text if len(text) <= 80 else f"{text[:77]}..."


def _component(written: Any) -> str:
    """Show what may be written as a component, `{mlp: {width: 16}}` as mlp(width=16)."""
    if isinstance(written, dict) and len(written) == 1:
        ((name, parameters),) = written.items()
        if isinstance(parameters, dict):
            return f"{name}({', '.join(f'{each}={_short(value)}' for each, value in parameters.items())})"
    return _short(written)


def _short(value: Any) -> str:
    """Show a JSON value in a label: floats by :g unless that would lose digits, text without quotes."""
    if isinstance(value, float):
        return f"{value:g}" if float(f"{value:g}") == value else repr(value)
    if isinstance(value, list):
        return f"[{', '.join(map(_short, value))}]"
    if isinstance(value, dict):
        return f"{{{', '.join(f'{name}: {_short(each)}' for name, each in value.items())}}}"
    return value if isinstance(value, str) else json.dumps(value)
