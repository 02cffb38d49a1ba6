"""The samplers behind alarms about time."""

from __future__ import annotations

from fmbench.cells import EvaluationCell
from fmbench.records import Records
from fmbench.regression.outcome import Outcome
from fmbench.regression.snapshot import evaluation_groups, named


def alarmed_samplers(records: Records, outcome: Outcome) -> list[EvaluationCell]:
    """Return the evaluations whose sampler seems slower, alone or with the others of a component."""
    alarms = [c.axes.items() for c in outcome.comparisons if c.is_time and c.verdict == "worse"]
    groups = evaluation_groups(records) if alarms else []
    return [cell for cell, group in groups if any(axes <= named("evaluation", group).items() for axes in alarms)]
