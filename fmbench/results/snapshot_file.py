"""A snapshot as a file: JSON that a person can read and diff, and that says when it was damaged.

A baseline of `fmbench check` is one, and so is the results.json of each report.

```
{
 "checksum": ...,                 of everything else, as canonical JSON
 "code": {kind: {label: fingerprint}},   not in older ones, of which it is not known
 "components": {kind: {label: parameters}},
 "evaluations": [{"axes": {...}, "identities": {metric: short name}, "seeds": {seed: {...}}}],
 "format": 1,
 "identities": {short name: identity},
 "made": {"command": ..., "date": ..., "environment": {...}, "description": ..., "metrics": [names in order], ...},
 "metrics": {name: facts},
 "settings": {"training": {...}, "evaluation": {...}},
 "suite": ...,
 "trainings": [as "evaluations"]
}
```

Keys are sorted and each seed of a cell is one line. Cells are named by their axes: keys change with the code, and the
code is what is checked. The checksum is of the content, not of the bytes, so other line ends or another layout are no
damage.
"""

from __future__ import annotations

import hashlib
import json
import math
import re
from collections.abc import Iterable, Mapping
from dataclasses import asdict, fields
from typing import Any

from fmbench.cells.keys import canonical, digest
from fmbench.errors import FAILURE_STATUSES, UserError
from fmbench.io.json_forms import NUMBER, OBJECT, TEXT, WHOLE, Each, Either, Fields, Plain, Rows, one_of, parsed
from fmbench.results.records import MetricFacts
from fmbench.results.snapshot import AXES, CellValues, Section, SeededGroup, Snapshot, named

FORMAT = 1
SHORT = 8
NOT_FINITE = {"NaN": math.nan, "Infinity": math.inf, "-Infinity": -math.inf}
LINE = 100
STATUSES = ("ok", *FAILURE_STATUSES, "missing")

METRIC_FACTS = Fields(
    {**dict.fromkeys(("name", "unit", "scope", "label"), TEXT), "better": one_of(("lower", "higher", ""))},
    {"version": WHOLE, "over": TEXT},
)
_ROW = Fields({"status": one_of(STATUSES), "values": Each(Either(NUMBER, one_of(NOT_FINITE)))}, {"error": TEXT})
_SEED = Plain("a whole number", lambda value: re.fullmatch(r"-?[0-9]{1,19}", value) is not None)
_CELLS = Rows(Fields({"axes": Each(TEXT), "identities": Each(TEXT), "seeds": Each(_ROW, _SEED)}))
FORM = Fields(
    {
        "suite": TEXT,
        "made": Fields(
            optional={
                **dict.fromkeys(("command", "date", "description", "variant"), TEXT),
                "environment": OBJECT,
                "metrics": Rows(TEXT),
                "answer": Rows(TEXT),
            }
        ),
        "settings": Each(OBJECT),
        "components": Each(Each(OBJECT)),
        "metrics": Each(METRIC_FACTS),
        "trainings": _CELLS,
        "evaluations": _CELLS,
        "identities": Each(OBJECT),
    },
    {"code": Each(Each(TEXT))},
)
"""What such a file must look like besides its format and checksum."""


def snapshot_text(night: Snapshot) -> bytes:
    """Return the content of a snapshot's file."""
    identities: dict[str, Mapping[str, Any]] = {}
    body: dict[str, Any] = {
        "format": FORMAT,
        "suite": night.suite,
        "made": night.made,
        "settings": night.settings,
        "components": night.components,
        "code": night.code,
        "metrics": {name: asdict(facts) for name, facts in night.metrics.items()},
        "trainings": _cells("training", night.trainings, identities),
        "evaluations": _cells("evaluation", night.evaluations, identities),
        "identities": identities,
    }
    body["checksum"] = checksum(body)
    return (_text(body) + "\n").encode("utf-8", "backslashreplace")


def snapshot_of(content: bytes, path: str, kind: str, anew: str) -> Snapshot:
    """Return the snapshot that a file's content is; `kind` is what the file should be: "baseline", say.

    Raises UserError where it is damaged, or none; the message ends with `anew`, how to make another.
    """
    name = f"the {kind} {path}"
    try:
        body = parsed(content)
    except ValueError as error:
        raise UserError(f"{name} is damaged: it is not JSON ({error}); {anew}.") from error
    if not isinstance(body, dict) or "format" not in body:
        raise UserError(f"{path} is not a {kind} of fmbench: it has no format; {anew}.")
    if body["format"] != FORMAT:
        raise UserError(
            f"{name} has format {body['format']!r}, and this fmbench reads {FORMAT}: use the fmbench that wrote it; "
            f"{anew}."
        )
    if "checksum" not in body:
        raise UserError(f"{name} is damaged: it has no checksum, which each has; {anew}.")
    try:
        if body.pop("checksum") != checksum(body):
            raise UserError(
                f"{name} does not have the checksum on record: it is damaged or was edited by hand. Restore it (git "
                f"has it, where it was committed); {anew}."
            )
        return _snapshot(body)
    except (KeyError, ValueError) as error:
        what = f"it lacks {error}" if isinstance(error, KeyError) else str(error)
        raise UserError(f"{name} is damaged: {what}; {anew}.") from error


def _snapshot(body: Mapping[str, Any]) -> Snapshot:
    if wrong := FORM.misfit(body):
        raise ValueError(wrong)
    found = Snapshot(
        suite=body["suite"],
        metrics=_in_order(metric_facts(body["metrics"]), body["made"].get("metrics", ())),
        trainings=_rows("training", body["trainings"], body["identities"]),
        evaluations=_rows("evaluation", body["evaluations"], body["identities"]),
        settings=body["settings"],
        components=body["components"],
        made=body["made"],
        code=body.get("code", {}),
    )
    rows = (*found.trainings.values(), *found.evaluations.values())
    if unknown := {name for row in rows for name in row.values} - found.metrics.keys():
        raise ValueError(f"it has values of {', '.join(sorted(unknown))}, and says nothing of such a metric")
    return found


def _in_order(metrics: dict[str, MetricFacts], order: Iterable[str]) -> dict[str, MetricFacts]:
    """Return metrics in the suite's order, which sorted keys have lost; those of older files as they come."""
    return {name: metrics[name] for name in dict.fromkeys([*order, *metrics]) if name in metrics}


def metric_facts(found: Mapping[str, Mapping[str, Any]]) -> dict[str, MetricFacts]:
    """Return the facts of metrics as METRIC_FACTS has them; what a later fmbench adds is left out."""
    known = {field.name for field in fields(MetricFacts)}
    return {name: MetricFacts(**{k: v for k, v in each.items() if k in known}) for name, each in found.items()}


def _cells(
    section: Section, rows: Mapping[SeededGroup, CellValues], identities: dict[str, Mapping[str, Any]]
) -> list[Any]:
    """Return the cells of a section, a group each; `identities` gathers what their metrics' short names stand for."""
    groups: dict[tuple[tuple[str, ...], str], dict[str, Any]] = {}
    for (group, seed), row in sorted(rows.items()):
        short = {name: digest(canonical(identity))[:SHORT] for name, identity in row.identities.items()}
        identities |= {short[name]: identity for name, identity in row.identities.items()}
        cell = groups.setdefault(
            (group, canonical(short)), {"axes": named(section, group), "identities": short, "seeds": {}}
        )
        error = {"error": row.error} if row.error else {}
        values = {name: _finite(value) for name, value in row.values.items()}
        cell["seeds"][str(seed)] = {"status": row.status, "values": values, **error}
    return list(groups.values())


def _rows(section: Section, cells: list[Any], identities: Mapping[str, Any]) -> dict[SeededGroup, CellValues]:
    rows = {}
    for cell in cells:
        group = tuple(str(cell["axes"].get(axis, "")) for axis in AXES[section])
        known = {name: identities[short] for name, short in cell["identities"].items()}
        for seed, row in cell["seeds"].items():
            values = {name: float(NOT_FINITE.get(value, value)) for name, value in row["values"].items()}
            rows[group, int(seed)] = CellValues(row["status"], row.get("error", ""), values, known)
    return rows


def _finite(value: float) -> float | str:
    """Return a value as JSON can hold it: other readers of JSON know no NaN."""
    return value if math.isfinite(value) else json.dumps(value)


def checksum(body: Mapping[str, Any]) -> str:
    """Return the checksum of a file's content without it."""
    return hashlib.sha256(canonical(dict(body)).encode()).hexdigest()


def _text(value: Any, indent: int = 0) -> str:
    """Return indented JSON with sorted keys, in which what fits on a line is on one."""
    line = json.dumps(value, sort_keys=True, ensure_ascii=False)
    if not isinstance(value, dict | list) or not value or len(line) + indent <= LINE or indent >= 4:
        return line
    pad = " " * (indent + 1)
    if isinstance(value, dict):
        keys = sorted(value)
        inner = [f"{json.dumps(key, ensure_ascii=False)}: {_text(value[key], indent + 1)}" for key in keys]
    else:
        inner = [_text(each, indent + 1) for each in value]
    return line[0] + ",".join(f"\n{pad}{each}" for each in inner) + f"\n{' ' * indent}{line[-1]}"
