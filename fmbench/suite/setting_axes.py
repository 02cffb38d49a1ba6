"""Values of the axes of settings: as the suite writes them, and as specs, so that all that knows axes knows these."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel, GetCoreSchemaHandler, GetJsonSchemaHandler
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema, core_schema

from fmbench.cells.component_spec import ComponentSpec
from fmbench.cells.setting_axes import NAMED
from fmbench.suite.field_types import ComponentRef, Shortened, fault, name_and_settings
from fmbench.suite.positions import Position, PositionedMapping, Text, plain, shown

NUMBER = re.compile(r"-?[0-9]+(\.[0-9]+)?(e[-+]?[0-9]+)?")


def setting_spec(axis: str, value: BaseModel | int) -> ComponentSpec:
    """Return a value of an axis of settings as a spec of that kind: a name, and the parameters of an optimizer, say.

    Its label says what differs from the defaults: `adamw(lr=0.001)`. Numbers are their own names.
    """
    if not isinstance(value, BaseModel):
        return ComponentSpec(axis, number_text(value), label=number_text(value))
    if isinstance(value, Shortened):
        written = value.written()
        rest = {k: v for k, v in written.items() if k != "decay"} if isinstance(written, Mapping) else {}
        name = number_text(written["decay"] if rest else written)
        return ComponentSpec(axis, name, rest, label=_label(name, rest))
    parameters = value.model_dump(mode="json")
    name = parameters.pop("name")
    usual = {name: field.get_default() for name, field in type(value).model_fields.items() if not field.is_required()}
    said = {k: v for k, v in parameters.items() if k not in usual or v != plain(usual[k])}
    return ComponentSpec(axis, name, parameters, label=_label(name, said))


def number_text(value: float) -> str:
    """Return a number as labels show it, with all its digits."""
    return f"{value:g}" if float(f"{value:g}") == value and not isinstance(value, int) else repr(value)


def _label(name: str, parameters: Mapping[str, Any]) -> str:
    if not parameters:
        return name
    said = {k: number_text(v) if isinstance(v, float) else shown(v) for k, v in parameters.items()}
    return f"{name}({', '.join(f'{k}={v}' for k, v in said.items())})"


class SettingType:
    """A `ComponentRef` of an axis of settings, as `exclude`, `include` and `baseline` name one.

    What has a name may be named alone, or with some of its parameters; a number is its own name.
    """

    def __init__(self, axis: str, *names: str) -> None:
        self.axis, self.names = axis, names

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        written = core_schema.plain_serializer_function_ser_schema(lambda ref: written_setting(self.axis, ref))
        return core_schema.no_info_plain_validator_function(self._read, serialization=written)

    def __get_pydantic_json_schema__(self, schema: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        named = {"type": "object", "minProperties": 1, "maxProperties": 1, "propertyNames": {"enum": [*self.names]}}
        if self.axis in NAMED:
            return {"anyOf": [{"enum": [*self.names]}, named]}
        return {"anyOf": [{"type": "number"}, {"type": "object"}]} if self.axis == "ema" else {"type": "integer"}

    def _read(self, value: Any) -> ComponentRef:
        if isinstance(value, ComponentRef):
            return value
        where = value.place if isinstance(value, Text | PositionedMapping) else Position()
        if self.axis in NAMED:
            article = "an" if self.axis[0] in "aeiou" else "a"
            name, parameters = name_and_settings(value, f"{article} {self.axis}")
            return ComponentRef(name, plain(parameters), where)
        parameters = plain(value) if isinstance(value, Mapping) and self.axis == "ema" else {}
        number = parameters.pop("decay", 0.999) if parameters else value
        if isinstance(number, bool) or not isinstance(number, int | float):
            raise fault(f"{self.axis} is a number; found {shown(value)}.")
        if parameters.get("warmup") is True:
            del parameters["warmup"]
        return ComponentRef(number_text(number), parameters, where)


def written_setting(axis: str, ref: ComponentRef) -> Any:
    """Return what a suite file writes for a value of an axis of settings."""
    if axis in NAMED:
        return ref.written()
    number: float = float(ref.name) if "." in ref.name or "e" in ref.name else int(ref.name)
    return {"decay": number, **ref.parameters} if ref.parameters else number
