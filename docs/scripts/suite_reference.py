"""The reference of the suite file: Markdown of the models that read one, with examples out of suites that are there."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml
from component_reference import table

from fmbench.suite.json_schema import KINDS, suite_schema

ROOT = Path(__file__).parents[2]
SECTIONS = ("Training", "Evaluation", "Selection", "Tune", "SamplesEntry", "Resources", "Ema")
WORDS = {"integer": "whole number", "number": "number", "string": "text", "boolean": "true or false", "null": "null"}
BOUNDS = {"minimum": ">= {}", "exclusiveMinimum": "> {}", "maximum": "<= {}", "exclusiveMaximum": "< {}"}
LARGEST = 1_000_000_000
"""A bound from which on it stands for none, and is not shown."""


def reference() -> str:
    """Return the reference: the keys of a suite, then those of its sections."""
    schema = suite_schema()
    suites = [yaml.safe_load(file.read_text()) for file in sorted((ROOT / "suites").rglob("*.yaml"))]
    parts = [f"## A suite\n\n{_keys(schema, suites)}"]
    for name in SECTIONS:
        section = schema["$defs"][name]
        inside = [found for suite in suites for found in _within(suite, name)]
        parts.append(f"## {heading(name)}\n\n{_summary(section)}\n\n{_keys(section, inside)}")
    return "\n\n".join(parts) + "\n"


def heading(name: str) -> str:
    """Return how a section is called in a suite."""
    keys = {"Selection": "exclude, include, baseline", "SamplesEntry": "an entry of samples"}
    return keys.get(name, name.lower())


def anchor(name: str) -> str:
    """Return the anchor of a section's heading."""
    return heading(name).replace(",", "").replace(" ", "-")


def _within(suite: Mapping[str, Any], name: str) -> list[Mapping[str, Any]]:
    """Return the parts of a suite that a section describes."""
    places = {"Selection": ("baseline", "exclude", "include"), "SamplesEntry": ("samples",)}
    training = suite.get("training") or {}
    found = [training.get("ema")] if name == "Ema" else [suite.get(key) for key in places.get(name, (name.lower(),))]
    parts = [part for each in found for part in (each if isinstance(each, list) else [each])]
    return [part for part in parts if isinstance(part, Mapping)]


def _summary(section: Mapping[str, Any]) -> str:
    return str(section.get("description", "")).replace("\n", " ")


def _keys(section: Mapping[str, Any], examples: list[Mapping[str, Any]]) -> str:
    """Return the table of a section's keys."""
    required = section.get("required", ())
    rows = []
    for key, value in section["properties"].items():
        default = "required" if key in required else _default(value)
        rows.append((f"`{key}`", _said(key, value), kind_of(value), default, _example(key, examples)))
    return table(("key", "meaning", "type", "default", "example"), rows)


def _said(key: str, value: Mapping[str, Any]) -> str:
    """Return what a key means; an axis of a selection and the evaluation have no words of their own."""
    usual = f"Values of the axis {key}." if key in AXES else "How cells are evaluated."
    return str(value.get("description", usual)).replace("<", "&lt;")


AXES = frozenset((*KINDS, "optimizer", "schedule", "steps", "batch_size", "ema", "seed", "weights", "at_step", "nfe"))


def _default(value: Mapping[str, Any]) -> str:
    """Return a default as a suite writes it; of an axis with one value, the value."""
    default = _written(value.get("default"))
    if isinstance(default, list) and len(default) == 1:
        default = default[0]
    return "none" if default in ([], "", None) else f"`{_flow(default)}`"


def _written(value: Any) -> Any:
    """Return a component or setting as a suite writes it: its name, or `{name: {parameters}}`."""
    if isinstance(value, list):
        return [_written(each) for each in value]
    if isinstance(value, dict) and "name" in value:
        parameters = value.get("parameters", {key: each for key, each in value.items() if key != "name"})
        return {value["name"]: parameters} if parameters else value["name"]
    return value


def _example(key: str, examples: list[Mapping[str, Any]]) -> str:
    """Return the shortest value of a key that a suite has, as YAML; values of sections are shown below theirs."""
    found = [_flow(each[key]) for each in examples if key in each]
    shortest = min((text for text in found if len(text) > 1), key=lambda text: (len(text) > 70, -len(text)), default="")
    return f"`{key}: {shortest}`" if 0 < len(shortest) <= 70 else ""


def _flow(value: Any) -> str:
    text = yaml.safe_dump(value, default_flow_style=True, width=10_000, sort_keys=False).strip()
    return text.removesuffix("\n...").replace("`", "'")


def kind_of(value: Mapping[str, Any]) -> str:
    """Return the type of a JSON Schema in words; of an axis, the type of its values."""
    kinds = [kind for kind in dict.fromkeys(_kinds(value)) if kind]
    nothing = kinds.pop() if kinds[-1:] == ["null"] and len(kinds) > 1 else ""
    return " or ".join(kinds) + (", or null" if nothing else "")


def _kinds(value: Mapping[str, Any]) -> Iterator[str]:
    if "$ref" in value:
        name = value["$ref"].rpartition("/")[2]
        yield f"[{name}]({name}.md)" if name in KINDS else f"[{heading(name)}](#{anchor(name)})"
    elif "anyOf" in value or "oneOf" in value:
        yield from _of_alternatives(value.get("anyOf", value.get("oneOf", ())))
    elif "enum" in value:
        yield "an axis" if len(value["enum"]) > len(KINDS) else " or ".join(f"`{each}`" for each in value["enum"])
    elif "const" in value:
        yield f"`{value['const']}`"
    elif value.get("type") == "array":
        yield f"a list of {kind_of(value['items'])}" if value.get("items") else "a list"
    elif value.get("type") == "object":
        yield f"`{_shape(value)}`"
    else:
        bounds = [text.format(value[key]) for key, text in BOUNDS.items() if key in value and abs(value[key]) < LARGEST]
        yield " ".join([WORDS.get(str(value.get("type")), "anything"), " and ".join(bounds)]).strip()


def _of_alternatives(alternatives: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    """Return the types of alternatives; a list of what may also stand alone is said in a word."""
    alone = {kind for each in alternatives if each.get("type") != "array" for kind in _kinds(each)}
    for each in alternatives:
        if each.get("type") == "array" and alone and set(_kinds(each.get("items") or {})) <= alone:
            yield "a list"
        else:
            yield from _kinds(each)


def _shape(value: Mapping[str, Any]) -> str:
    """Return the keys of a mapping: `{adamw: {lr, betas}}`."""
    parts = []
    for key, inside in value.get("properties", {}).items():
        objects = [each for each in (inside, *inside.get("anyOf", ())) if each.get("properties")]
        parts.append(f"{key}: {_shape(objects[0])}" if objects else key)
    return f"{{{', '.join(parts)}}}"
