"""Metrics with a value for each part of something, such as the loss by t."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from fmbench.results.records import MetricFacts


@dataclass(frozen=True)
class MetricCurve:
    """A metric over something: the facts of its first value, and of the parts in order."""

    facts: MetricFacts
    parts: Sequence[MetricFacts]


def all_series(metrics: Sequence[MetricFacts]) -> list[MetricCurve]:
    """Return the training-scope metrics that have a value for each part of something."""
    whole = [facts for facts in metrics if not facts.over and facts.scope == "training"]
    parts = {facts: [each for each in metrics if each.over and each.label == facts.label] for facts in whole}
    return [MetricCurve(facts, found) for facts, found in parts.items() if found]
