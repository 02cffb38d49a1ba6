"""Which weights of a training a suite names: ema, raw, best, or an average made afterwards; and of which step."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import GetCoreSchemaHandler, GetJsonSchemaHandler
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema, PydanticCustomError, core_schema

from fmbench.cells.snapshots import post_hoc_length, post_hoc_weights
from fmbench.errors import did_you_mean
from fmbench.suite.field_types import MOST, RULE, fault, only
from fmbench.suite.positions import shown

PLAIN = ("ema", "raw", "best")
POST_HOC = "post_hoc_ema"
SHORTEST, LONGEST = 0.02, 0.25
"""Averages made afterwards come near to those kept all the way between these lengths (see `model/post_hoc_ema.py`)."""
END = "end"
"""The last step of a training, as `at_steps` names it."""


class WeightsType:
    """One of PLAIN, or `{post_hoc_ema: {length: 0.1}}`; read as one word, by which cells name it."""

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.no_info_plain_validator_function(self._read)

    def __get_pydantic_json_schema__(self, schema: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        length = {"type": "number", "minimum": SHORTEST, "maximum": LONGEST}
        return {"anyOf": [{"enum": list(PLAIN)}, only({POST_HOC: only({"length": length})})]}

    def _read(self, value: Any) -> str:
        if isinstance(value, str):
            if value in PLAIN:
                return str(value)
            if (length := post_hoc_length(value)) is not None:
                return _average(length)
        if isinstance(value, Mapping) and list(value) == [POST_HOC]:
            given = value[POST_HOC]
            if isinstance(given, Mapping) and list(given) == ["length"]:
                return _average(given["length"])
            raise fault(f"{POST_HOC} has one parameter, {{length: 0.1}} say; found {shown(given)}.", POST_HOC)
        forms = f"weights are one of {', '.join(PLAIN)}, or {{{POST_HOC}: {{length: 0.1}}}}"
        if value == POST_HOC:
            raise fault(f"{forms}; found {POST_HOC} without its length.")
        near = did_you_mean(value, PLAIN) if isinstance(value, str) else ""
        raise fault(f"{forms}; found {shown(value)}.{near}")


class StepType:
    """A step of a training: a whole number, or `end`."""

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.no_info_plain_validator_function(self._read)

    def __get_pydantic_json_schema__(self, schema: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        return {"anyOf": [{"type": "integer", "minimum": 1, "maximum": MOST}, {"const": END}]}

    def _read(self, value: Any) -> int | str:
        if isinstance(value, int) and not isinstance(value, bool) and 1 <= value <= MOST:
            return int(value)
        if isinstance(value, str) and value == END:
            return END
        raise PydanticCustomError(RULE, "{rule}", {"rule": "a step of the training, 1 or more, or end"})


def _average(length: Any) -> str:
    is_number = isinstance(length, int | float) and not isinstance(length, bool)
    if not is_number or not SHORTEST <= length <= LONGEST:
        words = f"a number from {SHORTEST} to {LONGEST}, the width of the average as a part of the training"
        raise fault(f"the length of {POST_HOC} is {words}; found {shown(length)}.")
    return post_hoc_weights(length)


Weights = Annotated[str, WeightsType()]
AtStep = Annotated[int | str, StepType()]
