"""What a unit is given while it is computed: shares of a GPU, cores and memory. It is in no key."""

from __future__ import annotations

import re
from typing import Annotated, Any

from pydantic import Field, GetCoreSchemaHandler, GetJsonSchemaHandler
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema, PydanticCustomError, core_schema

from fmbench.suite.field_types import RULE, NotNegative, Positive, Rule
from fmbench.suite.strict_model import StrictModel

UNITS = {"": 1, "B": 1, "kB": 10**3, "MB": 10**6, "GB": 10**9, "TB": 10**12}
UNITS |= {"KiB": 2**10, "MiB": 2**20, "GiB": 2**30, "TiB": 2**40}
MOST_BYTES = 2**60
_SIZE = re.compile(r"([0-9]{1,20}(?:\.[0-9]{1,9})?) ?([A-Za-z]{0,3})")


class BytesType:
    """A number of bytes, or a text such as "4GB" or "512 MiB"; read as bytes."""

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.no_info_plain_validator_function(self._read)

    def __get_pydantic_json_schema__(self, schema: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        units = "|".join(unit for unit in UNITS if unit)
        text = {"type": "string", "pattern": rf"^[0-9]{{1,20}}(\.[0-9]{{1,9}})? ?({units})?$"}
        return {"anyOf": [{"type": "integer", "minimum": 1, "maximum": MOST_BYTES}, text, {"type": "null"}]}

    def _read(self, value: Any) -> int | None:
        if value is None:
            return None
        size = value if isinstance(value, int) and not isinstance(value, bool) else 0
        if isinstance(value, str) and (match := _SIZE.fullmatch(value)) and match[2] in UNITS:
            size = round(float(match[1]) * UNITS[match[2]])
        if not 1 <= size <= MOST_BYTES:
            raise PydanticCustomError(RULE, "{rule}", {"rule": "a size, 4GB or 512MiB say, or a number of bytes"})
        return size


class Resources(StrictModel):
    """What one worker is given. A share of a GPU says how many workers take turns on one, and limits none of them."""

    gpu: Annotated[NotNegative | None, Rule("a number, 0 or more")] = Field(
        None, description="GPUs a worker; a share such as 0.25 lets four workers use one, and keeps no memory apart."
    )
    cpu: Annotated[Positive | None, Rule("a number above 0")] = Field(
        None, description="Cores a worker, which are its threads; below 1 it has one thread."
    )
    memory: Annotated[int | None, BytesType()] = Field(
        None, description="Memory a worker, 4GB or 512MiB say: what a cluster sets aside, or ends it for exceeding."
    )

    @property
    def named(self) -> tuple[tuple[str, float], ...]:
        """What the suite names, in order; nothing for what it leaves to fmbench."""
        return tuple((name, value) for name, value in self if value is not None)
