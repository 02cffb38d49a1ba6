"""One dataset of the page: rows, entries (a row at an NFE), cells, and every metric over the entries."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from fmbench.report.analysis.baseline import gap, is_baseline, references
from fmbench.report.analysis.curves import time_metric
from fmbench.report.analysis.floor_and_oracle import floor_of
from fmbench.report.analysis.timing_noise import EvaluationPoint, steadiness
from fmbench.report.page_data.axes import AxisCodes
from fmbench.report.page_data.columns import MEAN_DIGITS, PERCENT_DIGITS, Places, metric_columns, seed_of
from fmbench.report.page_data.json_text import number, numbers
from fmbench.report.page_data.reasons import Reasons
from fmbench.report.result_table import ResultTable, Row, Values
from fmbench.results.records import TRAINING_AXES, EvaluationRecord, MetricFacts
from fmbench.stats.joint_verdicts import jointly
from fmbench.stats.paired_seeds import VERDICTS
from fmbench.store.sampler_timings import SPREAD

Metrics = Mapping[str, int]
"""The number of each metric, by its name."""


@dataclass(frozen=True)
class DatasetRows:
    """The rows of one dataset in the order of the page, with their trainings and entries."""

    result_table: ResultTable
    rows: Sequence[Row]
    trainings: Sequence[Row]
    entries: Sequence[EvaluationPoint]
    seeds: Sequence[int]

    @property
    def records(self) -> list[Sequence[EvaluationRecord]]:
        """The records of each entry."""
        return [self.result_table.cells[entry] for entry in self.entries]

    @property
    def places(self) -> Places:
        """The entries as places at which metrics are measured."""
        rows, budgets = [row for row, _ in self.entries], [nfe for _, nfe in self.entries]
        return Places(rows, budgets, self.records, self.seeds, self.result_table.failed)


def dataset_rows(result_table: ResultTable) -> DatasetRows:
    """Arrange the rows of a dataset: those with an NFE, adaptive solvers, samples of which nobody says the NFE."""
    rows = [*dict.fromkeys([*result_table.rows(), *result_table.rows(adaptive=True), *result_table.unsaid])]
    budgets: list[int | None] = [*result_table.budgets, None]
    entries = [(row, nfe) for row in rows for nfe in budgets if (row, nfe) in result_table.cells]
    seeds = {seed_of(record) for group in result_table.cells.values() for record in group}
    seeds |= {seed_of(record) for group in result_table.trainings.values() for record in group}
    return DatasetRows(result_table, rows, list(result_table.trainings), entries, sorted(seeds))


def rows_data(found: DatasetRows, axes: AxisCodes, baseline: Mapping[str, Any] | None) -> dict[str, Any]:
    """Return the places of rows on the axes, their trainings, and which row each is compared with."""
    table = found.result_table
    number_of = {row: n for n, row in enumerate(found.rows)}
    training = {row: n for n, row in enumerate(found.trainings)}
    pairs = references(table, baseline) if baseline else {}
    adaptive = table.rows(adaptive=True)
    return {
        "axes": axes.columns(found.rows),
        "training": [training.get(row[: len(TRAINING_AXES)]) for row in found.rows],
        "baseline": [n for n, row in enumerate(found.rows) if baseline and is_baseline(table, row, baseline)],
        "against": [number_of[pairs[row]] if row in pairs else None for row in found.rows],
        "adaptive": [number_of[row] for row in adaptive],
        "elsewhere": [n for n, row in enumerate(found.rows) if table.made_elsewhere(row)],
    }


def entries_data(found: DatasetRows) -> dict[str, Any]:
    """Return the row, the budget and the measured calls of each entry."""
    number_of = {row: n for n, row in enumerate(found.rows)}
    budget = {nfe: n for n, nfe in enumerate(found.result_table.budgets)}
    return {
        "row": [number_of[row] for row, _ in found.entries],
        "nfe": [None if nfe is None else budget[nfe] for _, nfe in found.entries],
        "calls": [number(_calls(records), MEAN_DIGITS) for records in found.records],
    }


def _calls(records: Sequence[EvaluationRecord]) -> float | None:
    known = [r.nfe for r in records if r.nfe is not None and math.isfinite(r.nfe)]
    return math.fsum(known) / len(known) if known else None


def by_seed(records: Sequence[Sequence[Any]], seeds: Sequence[int], value: Any) -> list[list[Any]]:
    """Return what a function gives for the record of each place, a list a seed; None where there is no record."""
    of_place = [{seed_of(record): value(record) for record in group} for group in records]
    return [[known.get(seed) for known in of_place] for seed in seeds]


def cells_data(records: Sequence[Sequence[Any]], seeds: Sequence[int], runs: Mapping[str, str]) -> dict[str, Any]:
    """Return the key of every cell, and the MLflow run of those that have one."""
    known = runs and any(record.cell.key in runs for group in records for record in group)
    return {
        "key": by_seed(records, seeds, lambda record: record.cell.key),
        "run": by_seed(records, seeds, lambda record: runs.get(record.cell.key)) if known else None,
    }


def metrics_data(
    found: DatasetRows, metrics: Metrics, baseline: Mapping[str, Any] | None, reasons: Reasons
) -> list[dict[str, Any]]:
    """Return the columns of each metric that entries have, the headline metric first."""
    table, places = found.result_table, found.places
    pairs = references(table, baseline) if baseline else {}
    every = [*table.scope("evaluation"), *table.scope("sampler")]
    columns = []
    for facts in sorted(every, key=lambda facts: facts != table.headline):
        if facts.name not in metrics:
            continue
        values = [table.values(row, nfe, facts) for row, nfe in found.entries]
        floor = floor_of(table, facts)[0] if facts.scope == "evaluation" else None
        compared = pairs and facts.better and facts.scope == "evaluation"
        columns.append(
            {
                "metric": metrics[facts.name],
                **metric_columns(places, facts, values, floor, reasons),
                "spread": _spread(found, facts),
                "against": _against(found, values, pairs, facts) if compared else None,
            }
        )
    return columns


def _spread(found: DatasetRows, facts: MetricFacts) -> list[Any] | None:
    """Return how far the middle half of a time's repeats spreads; None where no entry says so."""
    name = facts.name + SPREAD
    first = [next((r.metrics[name] for r in group if name in r.metrics), None) for group in found.records]
    return numbers(first, PERCENT_DIGITS) if any(value is not None for value in first) else None


def _against(
    found: DatasetRows, values: Sequence[Values | None], pairs: Mapping[Row, Row], facts: MetricFacts
) -> dict[str, Any]:
    """Return how each entry differs from the baseline's counterpart at its NFE, with verdicts that hold jointly."""
    of_entry = dict(zip(found.entries, values, strict=True))
    singly = {
        (row, nfe): gap(mine, of_entry.get((pairs[row], nfe)), facts.better)
        for (row, nfe), mine in of_entry.items()
        if row in pairs
    }
    gaps = [*map(jointly(singly, facts.better).get, found.entries)]
    return {
        "percent": [g and number(g.percent.mean, PERCENT_DIGITS) for g in gaps],
        "low": [g and number(g.percent.low, PERCENT_DIGITS) for g in gaps],
        "high": [g and number(g.percent.high, PERCENT_DIGITS) for g in gaps],
        "verdict": [None if g is None else VERDICTS.index(g.verdict) for g in gaps],
    }


def timing_data(found: DatasetRows, reasons: Reasons) -> dict[str, Any]:
    """Return whether times are shown, and which of them do not count."""
    clock = time_metric(found.result_table)
    if clock is None:
        return {"shown": False, "reason": "No time was measured.", "note": "", "unsteady": []}
    steady = steadiness(found.result_table, clock)
    number_of = {entry: n for n, entry in enumerate(found.entries)}
    unsteady = [[number_of[entry], reasons.number(why)] for entry, why in steady.unsteady.items()]
    note = steady.note()
    return {"shown": not steady.hidden, "reason": note if steady.hidden else "", "note": note,
            "unsteady": sorted(unsteady)}  # fmt: skip
