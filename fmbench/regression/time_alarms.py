"""The samplers and the trainings behind alarms about time."""

from __future__ import annotations

from collections.abc import ItemsView

from fmbench.cells.cells import EvaluationCell, TrainingCell
from fmbench.regression.outcome import Outcome
from fmbench.results.records import Records
from fmbench.results.snapshot import evaluation_groups, named, training_groups


def alarmed_samplers(records: Records, outcome: Outcome) -> list[EvaluationCell]:
    """Return the evaluations whose sampler seems slower, alone or with the others of a component."""
    alarms = _alarms(outcome, "sampler")
    groups = evaluation_groups(records) if alarms else []
    return [cell for cell, group in groups if any(axes <= named("evaluation", group).items() for axes in alarms)]


def alarmed_trainings(records: Records, outcome: Outcome) -> list[TrainingCell]:
    """Return the trainings that seem slower: all of a network on a dataset, which share their fleets' times."""
    alarms = _alarms(outcome, "training")
    groups = training_groups(records) if alarms else []
    return [cell for cell, group in groups if any(axes <= named("training", group).items() for axes in alarms)]


def _alarms(outcome: Outcome, scope: str) -> list[ItemsView[str, str]]:
    found = (c for c in outcome.comparisons if c.is_time and c.verdict == "worse" and c.scope == scope)
    return [comparison.axes.items() for comparison in found]
