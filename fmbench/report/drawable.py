"""Records whose numbers statistics and figures can take, whatever a store holds: no value stops a report.

What is not finite, or so large that a square of it would not be, counts as not finite; what is too small to be told
from zero is zero; an NFE or a time is above zero. records.csv keeps the values as they are.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from fmbench.results.records import EvaluationRecord, MetricFacts, Records, ReferenceRecord, TrainingRecord

LARGEST, SMALLEST = 1e30, 1e-30
"""Between these a number's size is taken as it is: no metric comes near, and neither squares nor axes overflow."""
FURTHEST = 1e18
"""A coordinate or a velocity beyond this counts as not finite: squares of it overflow in float32."""
NOT_FINITE = "its value is not finite"


def number(value: Any) -> float:
    """Return a number that statistics and figures can take, NaN where there is none."""
    try:
        found = float(value)
    except (OverflowError, TypeError, ValueError):
        return math.nan
    if not abs(found) <= LARGEST:
        return math.nan
    return found if abs(found) >= SMALLEST else 0.0


def positive(value: Any) -> float | None:
    """Return a number above zero, None where there is none."""
    found = number(value)
    return found if found > 0 else None


def drawable(records: Records) -> Records:
    """Return records with such numbers; the same objects where nothing is to be changed."""
    times = {facts.name for facts in records.metrics if facts.is_time}
    labels = {facts.name: facts.label for facts in records.metrics}
    return replace(
        records,
        trainings=[_training(record, times) for record in records.trainings],
        evaluations=[_evaluation(record, times) for record in records.evaluations],
        validation=[_evaluation(record, times) for record in records.validation],
        references=[_reference(record, labels) for record in records.references],
        t_densities={label: [number(v) for v in values] for label, values in records.t_densities.items()},
    )


def lost_values(records: Sequence[EvaluationRecord], facts: MetricFacts) -> int:
    """Return how many values of a metric no figure can show."""
    return sum(not math.isfinite(number(r.metrics[facts.name])) for r in records if facts.name in r.metrics)


def _metrics(metrics: Mapping[str, float], times: set[str]) -> Mapping[str, float]:
    """Return metrics as numbers; a time is above zero."""
    found = {name: number(value) for name, value in metrics.items()}
    found |= {name: math.nan for name in times & found.keys() if not found[name] > 0}
    numbers: Mapping[str, Any] = metrics
    same = all(isinstance(numbers[name], float | int) and numbers[name] == value for name, value in found.items())
    return metrics if same else found


def _training(record: TrainingRecord, times: set[str]) -> TrainingRecord:
    metrics, facts = _metrics(record.metrics, times), record.facts
    if "seconds" in facts and facts["seconds"] is not None:
        facts = {**facts, "seconds": positive(facts["seconds"])}
    history = [(step, number(loss)) for step, loss in record.history]
    return replace(record, metrics=metrics, history=history, facts=facts)


def _evaluation(record: EvaluationRecord, times: set[str]) -> EvaluationRecord:
    metrics = _metrics(record.metrics, times)
    nfe = positive(record.nfe)
    elsewhere = tuple(replace(timing, metrics=_metrics(timing.metrics, times)) for timing in record.elsewhere)
    if metrics is record.metrics and nfe == record.nfe and elsewhere == record.elsewhere:
        return record
    return replace(record, metrics=metrics, nfe=nfe, elsewhere=elsewhere)


def _reference(record: ReferenceRecord, labels: Mapping[str, str]) -> ReferenceRecord:
    """Return a reference without the values that are no numbers: what is not there says why."""
    found = {name: number(value) for name, value in record.metrics.items()}
    kept = {name: value for name, value in found.items() if math.isfinite(value)}
    why = {labels.get(name, name): NOT_FINITE for name in found if name not in kept}
    return replace(record, metrics=kept, nfe=positive(record.nfe), left_out={**record.left_out, **why})
