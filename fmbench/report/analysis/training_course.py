"""How a score came about over the training: the values of each step that was evaluated, and the time it took."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Any

from fmbench.report.analysis.comparability import mixture
from fmbench.report.analysis.curves import N_TRAINING
from fmbench.report.result_table import Names, ResultTable, Row, Values, gather
from fmbench.results.records import EvaluationRecord, MetricFacts, Records
from fmbench.stats.paired_seeds import Interval, interval, ranked

Sampler = tuple[Row, int | None]
"""An evaluation row, and its NFE."""


@dataclass(frozen=True)
class CoursePoint:
    """The values of one step; `seconds` is the mean training time until then, None where that is not known."""

    step: int
    seconds: float | None
    values: Values

    @property
    def score(self) -> Interval:
        """Mean and interval over the seeds."""
        return interval(list(self.values.by_seed.values()))


@dataclass(frozen=True)
class TrainingCourse:
    """The points of one training combination, steps ascending, under one way of sampling."""

    row: Row
    nfe: int | None
    points: Sequence[CoursePoint]


def training_courses(records: Records, result_table: ResultTable, facts: MetricFacts) -> list[TrainingCourse]:
    """Return a course for each training combination of which several steps were evaluated, in the plan's order.

    Of several ways of sampling it is that with the best complete mean after the last step. There is none of a metric
    whose values are not comparable with each other.
    """
    names = Names(records)
    groups: dict[Row, dict[Sampler, dict[int, list[EvaluationRecord]]]] = {}
    for record in records.evaluations:
        row = names.row(record.cell)
        if record.training_steps is not None and row[0] == result_table.dataset:
            steps = groups.setdefault(row[:N_TRAINING], {}).setdefault((row, record.cell.nfe), {})
            steps.setdefault(record.training_steps, []).append(record)
    courses = [course for own in groups.values() if (course := _best(own, result_table, facts)) is not None]
    return [] if mixture(_identities(courses)) else courses


def _best(
    samplers: dict[Sampler, dict[int, list[EvaluationRecord]]], result_table: ResultTable, facts: MetricFacts
) -> TrainingCourse | None:
    """Return the course of the sampler that is best in the end; None where no sampler has several points."""
    courses = {sampler: _course(sampler, steps, result_table, facts) for sampler, steps in samplers.items()}
    known = {sampler: course for sampler, course in courses.items() if len(course.points) > 1}
    last = max((course.points[-1].step for course in known.values()), default=0)
    ends = {s: c.points[-1] for s, c in known.items() if c.points[-1].step == last}
    whole = {sampler: end.score.mean for sampler, end in ends.items() if end.values.complete} or {
        sampler: end.score.mean for sampler, end in ends.items()
    }
    return known[ranked(whole, facts.better)[0]] if whole else None


def _course(
    sampler: Sampler, steps: dict[int, list[EvaluationRecord]], result_table: ResultTable, facts: MetricFacts
) -> TrainingCourse:
    points = []
    for step in sorted(steps):
        values = gather(steps[step], facts, result_table.failed)
        seconds = [r.training_seconds for r in steps[step] if r.training_seconds is not None]
        if values.by_seed:
            known = [each for each in seconds if math.isfinite(each) and each > 0]
            points.append(CoursePoint(step, fmean(known) if known else None, values))
    return TrainingCourse(*sampler, points)


def _identities(courses: Iterable[TrainingCourse]) -> list[Mapping[str, Any]]:
    return [identity for course in courses for point in course.points for identity in point.values.identities]
