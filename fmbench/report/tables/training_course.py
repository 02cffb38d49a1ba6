"""The table of a score over the training: a row a training combination, a column a step."""

from __future__ import annotations

from collections.abc import Sequence

from fmbench.report.analysis.training_course import TrainingCourse
from fmbench.report.result_table import Row, Values
from fmbench.report.tables.table import Column, Command, Table, assemble, metric_title
from fmbench.results.records import MetricFacts


def training_course_table(
    courses: Sequence[TrainingCourse], facts: MetricFacts, dataset: str, command: Command
) -> Table | None:
    """Return the table; None where no training was evaluated at several steps."""
    if not courses:
        return None
    steps = sorted({point.step for course in courses for point in course.points})
    rows = [course.row for course in courses]
    columns = []
    for step in steps:
        values: dict[Row, Values | None] = dict.fromkeys(rows)
        values |= {course.row: point.values for course in courses for point in course.points if point.step == step}
        columns.append(Column(f"step {step:,}", values, facts))
    budgets = list(dict.fromkeys("its own NFE" if course.nfe is None else f"NFE {course.nfe}" for course in courses))
    notes = [
        "Each row is sampled in the way that scores best after its last step"
        + (f", at {budgets[0]}." if len(budgets) == 1 else f", at {' or '.join(budgets)}.")
    ]
    return assemble(f"{dataset}: {metric_title(facts)}, over the training", rows, columns, command, notes)
