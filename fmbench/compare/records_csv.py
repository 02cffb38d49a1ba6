"""A records.csv as results: reports of earlier versions hold no results.json.

Of its values neither the identity nor the direction is known; the other side, or `--better`, says the direction, and
which of them are a training's.
"""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Mapping

from fmbench.cells.cells import named_weights
from fmbench.errors import UserError
from fmbench.results.records import COLUMNS, COMPONENT_AXES, MetricFacts
from fmbench.results.snapshot import AXES, CellGroup, CellValues, SeededGroup, Snapshot, training_of

NEEDED = {*COMPONENT_AXES, "seed", "solver", "status"}
OTHER_COLUMNS = ("at_step", "training_seconds", "sampler_hardware", "not_comparable")
"""Columns of some reports that are no metrics."""


def snapshot_of_csv(content: bytes, name: str) -> Snapshot:
    """Return what a records.csv holds. Raises UserError where it is none."""
    try:
        reader = csv.DictReader(io.StringIO(content.decode()), strict=True)
        lines = list(reader)
    except (UnicodeDecodeError, csv.Error) as error:
        raise UserError(f"{name} is damaged: it is no table of comma-separated values ({error}).") from error
    columns = list(reader.fieldnames or ())
    if lacking := sorted(NEEDED - set(columns)):
        raise UserError(f"{name} is no records.csv of fmbench: it has no column {', '.join(lacking)}.")
    metrics = [c for c in columns if c not in (*COLUMNS, *AXES["evaluation"], *OTHER_COLUMNS) and "(" not in c]
    last = max((_number(line.get("at_step") or "") for line in lines), key=_size, default="")
    trainings: dict[SeededGroup, CellValues] = {}
    rows: dict[SeededGroup, CellValues] = {}
    for number, line in enumerate(lines, start=2):
        try:
            values = {metric: float(line[metric]) for metric in metrics if line[metric]}
            place = _group(line, last), int(line["seed"])
        except (ValueError, TypeError) as error:
            raise UserError(f"{name} is damaged in line {number}: {error}.") from error
        rows[place] = CellValues(line["status"], line.get("error") or "", values)
        trainings.setdefault((training_of(place[0]), place[1]), rows[place])
    facts = {metric: MetricFacts(metric, "", "", "evaluation", metric) for metric in metrics}
    return Snapshot("records.csv", facts, trainings, rows)


def _group(line: Mapping[str, str], last: str) -> CellGroup:
    """Return the labels of a line; the weights of the last step, which is called `last`, are not named by it."""
    labels = {axis: line.get(axis) or "" for axis in AXES["evaluation"]}
    labels["nfe"] = _number(line.get("nfe_budget") or "")
    labels["guidance"] = _number(labels["guidance"])
    if (step := _number(line.get("at_step") or "")) != last:
        labels["weights"] = named_weights(labels["weights"], int(step))
    return tuple(labels[axis] for axis in AXES["evaluation"])


def _size(text: str) -> float:
    return float(text) if text else -1.0


def _number(text: str) -> str:
    """Return a number as labels have it: 4 for 4.0; another text stays as it is."""
    try:
        value = float(text)
    except ValueError:
        return text
    return f"{value:g}" if math.isfinite(value) else text
