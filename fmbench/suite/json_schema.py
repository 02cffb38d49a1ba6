"""The JSON Schema of suite files, for editors."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from fmbench.suite.field_types import KIND_MARK, only
from fmbench.suite.models import Suite

KINDS = (
    *("dataset", "path", "coupling", "t_distribution", "objective", "network", "model", "solver", "grid", "guidance"),
    "metric",
)

LEFT_OUT = ("training", "models", "model_seeds")
"""What a suite may go without, and if it has it, must not be empty."""


def suite_schema(component_schemas: Mapping[str, Mapping[str, Mapping[str, Any]]] | None = None) -> dict[str, Any]:
    """Return the JSON Schema (draft 2020-12) of a suite file.

    `component_schemas` maps a kind to the JSON Schemas of its components' parameters by name; a kind that is not among
    them takes any name and parameters.
    """
    schemas = component_schemas or {}
    schema: dict[str, Any] = _with_references(Suite.model_json_schema())
    schema["$schema"] = "https://json-schema.org/draft/2020-12/schema"
    schema["title"] = "fmbench suite"
    for name in LEFT_OUT:
        del schema["properties"][name]["default"]  # which is what stands for nothing, and none that a file may have
    schema["anyOf"] = [{"required": [name]} for name in ("training", "models", "samples")]
    schema.setdefault("$defs", {}).update({kind: _component(kind, schemas.get(kind)) for kind in KINDS})
    return schema


def _with_references(schema: Any) -> Any:
    """Return a schema with `{KIND_MARK: kind}` replaced by a reference: pydantic knows no definitions but its own."""
    if isinstance(schema, list):
        return [_with_references(part) for part in schema]
    if not isinstance(schema, dict):
        return schema
    if KIND_MARK in schema:
        return {"$ref": f"#/$defs/{schema[KIND_MARK]}"}
    return {key: _with_references(part) for key, part in schema.items()}


def _component(kind: str, parameters: Mapping[str, Mapping[str, Any]] | None) -> dict[str, Any]:
    """Return the schema of one component of a kind: its name, or `{name: {parameters}}`."""
    if parameters is None:
        anything = {"type": "object", "minProperties": 1, "maxProperties": 1}
        return {"description": f"A {kind}.", "anyOf": [{"type": "string"}, anything]}
    bare = [name for name, schema in parameters.items() if not schema.get("required")]
    forms: list[dict[str, Any]] = [{"enum": bare}] if bare else []
    for name, schema in parameters.items():
        held = dict(schema) if schema.get("required") else {"anyOf": [dict(schema), {"type": "null"}]}
        forms.append(only({name: held}))
    return {"description": f"A {kind}.", "anyOf": forms}
