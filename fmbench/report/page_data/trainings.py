"""What the page says of trainings: their metrics, losses, metrics over t, and scores over the training."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fmbench.report.analysis.comparability import split_by_identity
from fmbench.report.analysis.floor_and_oracle import floor_of, is_own_floor
from fmbench.report.analysis.loss_history import mean_history
from fmbench.report.analysis.metric_series import all_series
from fmbench.report.analysis.training_course import training_courses
from fmbench.report.page_data.axes import AxisCodes
from fmbench.report.page_data.columns import MEAN_DIGITS, NO_GROUP, PERCENT_DIGITS, Places, metric_columns
from fmbench.report.page_data.dataset import DatasetRows, Metrics, cells_data
from fmbench.report.page_data.json_text import number, numbers
from fmbench.report.page_data.reasons import Reasons
from fmbench.report.result_table import Row, Values, gather
from fmbench.results.records import MetricFacts, Records, TrainingRecord
from fmbench.stats.paired_seeds import interval

MOST_POINTS = 60
"""Points of a loss curve."""


def trainings_data(
    found: DatasetRows, records: Records, axes: AxisCodes, metrics: Metrics, runs: Mapping[str, str], reasons: Reasons
) -> dict[str, Any]:
    """Return everything that is said of the trainings of one dataset. `records` hold those of all steps."""
    table, rows = found.result_table, found.trainings
    groups = [table.trainings[row] for row in rows]
    places = Places(rows, [None] * len(rows), groups, found.seeds, {})
    every = table.scope("training")
    columns = [
        {
            "metric": metrics[facts.name],
            **metric_columns(
                places, facts, [gather(group, facts, {}) for group in groups], floor_of(table, facts)[0], reasons
            ),
            "spread": None,
            "against": None,
        }
        for facts in every
        if facts.name in metrics and not is_own_floor(facts, every)
    ]
    return {
        "axes": axes.columns(rows)[: axes.training],
        **cells_data(groups, found.seeds, runs),
        "metrics": columns,
        "loss": _losses(groups),
        "over_t": _over_t(found, records),
        "course": _course(found, records, metrics),
    }


def _losses(groups: Sequence[Sequence[TrainingRecord]]) -> dict[str, Any] | None:
    """Return the loss of each training combination: mean, lowest and highest seed."""
    histories = {n: kept for n, group in enumerate(groups) if (kept := mean_history(group)) is not None}
    if not histories:
        return None
    thinned = [_thinned(history) for history in histories.values()]
    return {
        "training": list(histories),
        "step": [[int(step) for step in history[0]] for history in thinned],
        **{
            name: [numbers(map(float, history[place]), PERCENT_DIGITS + 1) for history in thinned]
            for place, name in ((1, "mean"), (2, "low"), (3, "high"))
        },
    }


def _thinned(history: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return at most so many points of a history, first and last among them."""
    n = history.shape[1]
    return history if n <= MOST_POINTS else history[:, np.linspace(0, n - 1, MOST_POINTS).round().astype(int)]


def _over_t(found: DatasetRows, records: Records) -> list[dict[str, Any]]:
    """Return each metric that has a value for each part of something: a line a training combination."""
    lines = []
    for series in all_series(records.metrics):
        values = {
            n: [gather(found.result_table.trainings[row], facts, found.result_table.failed) for facts in series.parts]
            for n, row in enumerate(found.trainings)
        }
        values = {n: parts for n, parts in values.items() if any(v.by_seed for v in parts)}
        if not values:
            continue
        said = [[interval(list(v.by_seed.values())) for v in parts] for parts in values.values()]
        groups, texts = _comparable({found.trainings[n]: parts for n, parts in values.items()})
        lines.append(
            {
                "name": series.facts.name,
                "title": series.facts.name + (f" [{series.facts.unit}]" if series.facts.unit else ""),
                "better": series.facts.better,
                "over": series.parts[0].over,
                "training": list(values),
                "group": groups,
                "groups": texts,
                "mean": [[number(i.mean, MEAN_DIGITS) for i in line] for line in said],
                "low": [[number(i.low, MEAN_DIGITS) for i in line] for line in said],
                "high": [[number(i.high, MEAN_DIGITS) for i in line] for line in said],
            }
        )
    return lines


def _comparable(values: Mapping[Row, Sequence[Values]]) -> tuple[list[int], list[str]]:
    """Return the group of each row within which its values are comparable, and what groups are called."""
    joined = {row: Values(identities=tuple(i for v in parts for i in v.identities)) for row, parts in values.items()}
    parts, _ = split_by_identity(joined)
    texts = [suffix.strip(" ()") for suffix, _ in parts]
    group = [next((n for n, (_, part) in enumerate(parts) if part[row] is not None), NO_GROUP) for row in values]
    return group, texts


def _course(found: DatasetRows, records: Records, metrics: Metrics) -> dict[str, Any] | None:
    """Return the headline metric after each step that was evaluated, where several were."""
    facts: MetricFacts | None = found.result_table.headline
    if facts is None or facts.name not in metrics:
        return None
    courses = training_courses(records, found.result_table, facts)
    number_of = {row: n for n, row in enumerate(found.rows)}
    training = {row: n for n, row in enumerate(found.trainings)}
    lines = []
    for course in courses:
        scores = [point.score for point in course.points]
        known = [point.seconds for point in course.points]
        lines.append(
            {
                "training": training.get(found.rows[number_of[course.row]][: len(found.trainings[0])]),
                "row": number_of[course.row],
                "nfe": course.nfe,
                "step": [point.step for point in course.points],
                "seconds": numbers(known, MEAN_DIGITS),
                "mean": [number(i.mean, MEAN_DIGITS) for i in scores],
                "low": [number(i.low, MEAN_DIGITS) for i in scores],
                "high": [number(i.high, MEAN_DIGITS) for i in scores],
            }
        )
    return {"metric": metrics[facts.name], "lines": lines} if lines else None
