"""The kinds of value that a suite file holds, as annotations of pydantic models: rules in words, axes, components.

Each says what it wants in its own words, so that no message of pydantic's reaches a user.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Annotated, Any, TypeVar

from pydantic import BaseModel, Field, GetCoreSchemaHandler, GetJsonSchemaHandler, ValidationError
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema, PydanticCustomError, core_schema

from fmbench.errors import did_you_mean, missing_space
from fmbench.suite.positions import Location, Position, PositionedMapping, Text, plain, short, shown

KIND_MARK = "x-fmbench-kind"
"""Stands in a JSON Schema for the components of a kind, until `suite_schema` puts them in."""

FAULT, RULE = "fault", "rule"
"""Types of error: a whole message, or the second half of `KEY must be ...; found ...`."""


def fault(text: str, *at: str | int) -> PydanticCustomError:
    """Return an error with its whole message; `at` leads from the value being checked to the part at fault."""
    return PydanticCustomError(FAULT, "{text}", {"text": text, "at": at})


@dataclass(frozen=True)
class ComponentRef:
    """A component as the suite names it: `name` or `{name: {parameters}}`, and where it is written."""

    name: str
    parameters: Mapping[str, Any] = field(default_factory=dict, hash=False)
    where: Position = field(default=Position(), compare=False, repr=False)
    parameter_places: Mapping[str, Position] = field(default_factory=dict, compare=False, repr=False)

    def place(self, parameter: str | None = None) -> Position:
        """Return where the component is written, or one of its parameters."""
        return self.parameter_places.get(parameter, self.where) if parameter else self.where

    def written(self) -> Any:
        """Return the component as a suite file writes it."""
        return {self.name: dict(self.parameters)} if self.parameters else self.name

    def __str__(self) -> str:
        inside = ", ".join(f"{k}={shown(v)}" for k, v in self.parameters.items())
        return f"{self.name}({inside})" if inside else self.name


class Rule:
    """What a value must be, in words; `most` is the largest whole number that makes sense."""

    def __init__(self, words: str, most: int | None = None) -> None:
        self.words = words
        self.most = most

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.no_info_wrap_validator_function(self._check, handler(source))

    def __get_pydantic_json_schema__(self, schema: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        found = handler(schema)
        return found if self.most is None else {**found, "maximum": self.most}

    def _check(self, value: Any, handler: Any) -> Any:
        # Before the value is handed on: what is inside knows the rule without "or null".
        if self.most is not None and isinstance(value, int) and value > self.most:
            raise PydanticCustomError(RULE, "{rule}", {"rule": f"at most {self.most:,}"})
        try:
            return handler(value)
        except ValidationError:
            raise PydanticCustomError(RULE, "{rule}", {"rule": self.words}) from None


class OneOf:
    """One of a few words."""

    def __init__(self, what: str, *choices: str) -> None:
        self.what = what
        self.choices = choices

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.no_info_plain_validator_function(self._check)

    def __get_pydantic_json_schema__(self, schema: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        return {"enum": list(self.choices)}

    def _check(self, value: Any) -> str:
        if not isinstance(value, str) or value not in self.choices:
            near = did_you_mean(value, self.choices) if isinstance(value, str) else ""
            raise fault(f"{self.what} is one of {', '.join(self.choices)}; found {shown(value)}.{near}")
        return str(value)


class Listed:
    """A list, where one value stands for a list of one. `least` is 0 where it may be empty."""

    def __init__(self, least: int) -> None:
        self.least = least

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.no_info_before_validator_function(self._list, handler(source))

    def __get_pydantic_json_schema__(self, schema: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        array = handler(schema)
        if self.least:
            return {"anyOf": [array["items"], {**array, "minItems": 1}]}
        return {"anyOf": [array["items"], array, {"type": "null"}]}

    def _list(self, value: Any) -> tuple[Any, ...]:
        items = () if value is None else tuple(value) if isinstance(value, list | tuple) else (value,)
        if len(items) < self.least:
            raise fault("the list is empty; it needs one value or more.")
        return items


class OneOrMore(Listed):
    """A list of one value or more that is written as the value where it is one: a setting that may be an axis."""

    def __init__(self) -> None:
        super().__init__(least=1)

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        written = core_schema.wrap_serializer_function_ser_schema(self._write)
        return core_schema.no_info_before_validator_function(self._list, handler(source), serialization=written)

    def _list(self, value: Any) -> tuple[Any, ...]:
        return (None,) if value is None else super()._list(value)  # one value, and wrong

    def _write(self, value: Any, handler: Any) -> Any:
        items = list(handler(value))
        return items[0] if len(items) == 1 else items


T = TypeVar("T")
Axis = Annotated[tuple[T, ...], Listed(1)]
"""One value or more of which the plan makes a product."""
Setting = Annotated[tuple[T, ...], OneOrMore()]
"""One value of a training setting, or a list of values of which the plan makes a product too."""
Entries = Annotated[tuple[T, ...], Listed(0)]
"""Any number of entries."""


def name_and_settings(value: Any, what: str) -> tuple[str, Mapping[str, Any]]:
    """Split `name` or `{name: {settings}}`. Raises a fault where the value is neither."""
    form = f"{what} is written as its name or as {{name: {{parameters}}}}"
    if isinstance(value, str):
        if not value:
            raise fault(f"{form}; found an empty name.")
        return str(value), {}
    if not isinstance(value, Mapping) or not value:
        raise fault(f"{form}; found {shown(value)}.")
    if len(value) > 1:
        names = short(", ".join(map(str, value)))
        raise fault(f"{form}; found {len(value)} keys side by side: {names}. Indent parameters below the name.")
    ((name, settings),) = value.items()
    if settings is None:
        settings = {}
    if not isinstance(settings, Mapping):
        hint = missing_space(settings) if isinstance(settings, str) else ""
        form = f"the parameters of {short(name)} are a mapping, {{parameter: value}}"
        raise fault(f"{form}; found {shown(settings)}.{hint}", name)
    return str(name), settings


class ComponentType:
    """A `ComponentRef` of a kind; where cells are selected, of `others`, too, or what the suite itself gave a name."""

    def __init__(self, kind: str, *others: str) -> None:
        self.kind = kind
        self.others = others

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        written = core_schema.plain_serializer_function_ser_schema(ComponentRef.written)
        return core_schema.no_info_plain_validator_function(self.read, serialization=written)

    def __get_pydantic_json_schema__(self, schema: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        if not self.others:
            return {KIND_MARK: self.kind}
        kinds = [{KIND_MARK: kind} for kind in (self.kind, *self.others)]
        return {"anyOf": [*kinds, {"type": "string", "minLength": 1}]}

    def read(self, value: Any) -> ComponentRef:
        """Return what is written as a name or `{name: {parameters}}`. Raises a fault where it is neither."""
        if isinstance(value, ComponentRef):
            return value
        name, parameters = name_and_settings(value, f"a {self.kind}")
        where = value.place if isinstance(value, Text | PositionedMapping) else Position()
        places = parameters.key_places if isinstance(parameters, PositionedMapping) else {}
        return ComponentRef(name, plain(parameters), where, dict(places))


class NumberOrComponent:
    """A component of a kind, where a finite number is the short form of one of them with one parameter.

    `short_for` is that component's name and parameter. What is written at length and is that is read as the number.
    """

    def __init__(self, kind: str, *, short_for: tuple[str, str]) -> None:
        self.component = ComponentType(kind)
        self.name, self.parameter = short_for
        number = f"a finite number (the {self.parameter} of {self.name})"
        self.rule = f"{number}, a {kind}'s name or {{name: {{parameters}}}}"

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        written = core_schema.plain_serializer_function_ser_schema(_written_choice)
        return core_schema.no_info_plain_validator_function(self._read, serialization=written)

    def __get_pydantic_json_schema__(self, schema: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        return {"anyOf": [{"type": "number"}, {KIND_MARK: self.component.kind}]}

    def _read(self, value: Any) -> float | ComponentRef:
        if _is_finite(value):
            return float(value)
        if not isinstance(value, str | Mapping | ComponentRef) or not value:
            raise PydanticCustomError(RULE, "{rule}", {"rule": self.rule})
        found = self.component.read(value)
        number = found.parameters.get(self.parameter)
        is_short = found.name == self.name and len(found.parameters) == 1 and _is_finite(number)
        return float(number) if is_short and number is not None else found


def _is_finite(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _written_choice(value: float | ComponentRef) -> Any:
    return value.written() if isinstance(value, ComponentRef) else value


def only(properties: dict[str, Any]) -> JsonSchemaValue:
    """Return the JSON Schema of a mapping with exactly these keys."""
    return {"type": "object", "properties": properties, "required": [*properties], "additionalProperties": False}


class Choice:
    """One of a few models by their field `name`, written as `name` or `{name: {settings}}`."""

    def __init__(self, what: str, *names: str) -> None:
        self.what = what
        self.names = names

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        written = core_schema.wrap_serializer_function_ser_schema(self._write)
        return core_schema.no_info_before_validator_function(self._read, handler(source), serialization=written)

    def __get_pydantic_json_schema__(self, schema: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        forms: list[JsonSchemaValue] = []
        for reference in handler(schema)["oneOf"]:
            model = dict(handler.resolve_ref_schema(reference))
            settings = {k: v for k, v in model["properties"].items() if k != "name"}
            required = [k for k in model.get("required", []) if k != "name"]
            name = model["properties"]["name"]["const"]
            forms.append(only({name: {**model, "properties": settings, "required": required}}))
            if not required:
                forms.append({"const": name})
        return {"anyOf": forms}

    def _read(self, value: Any) -> Any:
        if isinstance(value, Mapping | str):
            name, settings = name_and_settings(value, self.what)
            if name not in self.names:
                near = did_you_mean(name, self.names)
                raise fault(f"{self.what} is one of {', '.join(self.names)}; found {shown(name)}.{near}")
            if "name" in settings:
                raise fault(f"unknown key 'name' in {name}.", name, "name")
            return {"name": name, **settings}
        if isinstance(value, Sequence) or value is None or isinstance(value, bool | int | float):
            name_and_settings(value, self.what)
        return value

    def _write(self, value: Any, handler: Any) -> Any:
        settings = dict(handler(value))
        name = settings.pop("name")
        return {name: settings}


class Shortened(BaseModel):
    """A model that is written as the value of its first field alone where that says it all."""

    def written(self) -> Any:
        """Return the model as a suite file writes it: a value, or a mapping."""
        (first, *_), values = type(self).model_fields, self.model_dump(mode="json")
        usual = type(self)(**{first: values[first]})
        return values[first] if self == usual else values


class ShorthandType:
    """A `Shortened` model, read from a mapping or from its first field's value, which must be what `words` say."""

    def __init__(self, words: str) -> None:
        self.words = words

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        self.first = next(iter(source.model_fields))
        written = core_schema.plain_serializer_function_ser_schema(lambda model: model.written())
        return core_schema.no_info_wrap_validator_function(self._read, handler(source), serialization=written)

    def __get_pydantic_json_schema__(self, schema: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        model = handler(schema)
        properties = handler.resolve_ref_schema(model)["properties"]
        return {"anyOf": [{k: v for k, v in properties[self.first].items() if k != "default"}, model]}

    def _read(self, value: Any, handler: Any) -> Any:
        if isinstance(value, Mapping | Shortened):
            return handler(value)
        try:
            return handler({self.first: value})
        except ValidationError:
            raise PydanticCustomError(RULE, "{rule}", {"rule": self.words}) from None


def location_of(error: Mapping[str, Any]) -> Location:
    """Return the way to the value that one error of pydantic's is about."""
    return (*error["loc"], *error.get("ctx", {}).get("at", ()))


MOST = 10**9
"""The largest number of anything that is counted: steps, samples, calls."""
Whole = Annotated[int, Field(strict=True, ge=1), Rule("a whole number, 1 or more", MOST)]
Count = Annotated[int, Field(strict=True, ge=0), Rule("a whole number, 0 or more", MOST)]
Seed = Annotated[int, Field(strict=True, ge=0), Rule("a whole number, 0 or more", 2**63 - 1)]
"""A name rather than a number: as large as tables and databases take."""
Positive = Annotated[float, Field(strict=True, gt=0, allow_inf_nan=False), Rule("a number above 0")]
NotNegative = Annotated[float, Field(strict=True, ge=0, allow_inf_nan=False), Rule("a number, 0 or more")]
Fraction = Annotated[float, Field(strict=True, ge=0, lt=1), Rule("a number from 0 to below 1")]
Share = Annotated[float, Field(strict=True, ge=0, le=1), Rule("a number from 0 to 1")]
Flag = Annotated[bool, Field(strict=True), Rule("true or false")]
TextLine = Annotated[str, Field(strict=True), Rule("text")]
Name = Annotated[
    str,
    Field(strict=True, pattern=r"^[A-Za-z0-9_-]+$", max_length=100),
    Rule("letters, digits, _ and - (it names folders and experiments), at most 100 of them"),
]
