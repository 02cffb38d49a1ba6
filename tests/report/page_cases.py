"""What Python says is best, and near it, in a part of a page's data: what the page computes under a filter."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from scipy import stats

Filter = Mapping[str, Sequence[str]]
"""Labels that are kept, by axis; axes without any are kept whole."""


def visible(data: Mapping[str, Any], dataset: Mapping[str, Any], kept: Filter) -> list[int]:
    """Return the entries whose rows have one of the labels that are kept."""
    rows = dataset["rows"]["axes"]
    named = {axis["name"]: (axis["values"], column) for axis, column in zip(data["axes"], rows, strict=True)}

    def shown(row: int) -> bool:
        return all(named[axis][0][named[axis][1][row]] in labels for axis, labels in kept.items())

    return [entry for entry, row in enumerate(dataset["entries"]["row"]) if shown(row)]


def expected_marks(
    data: Mapping[str, Any], dataset: Mapping[str, Any], columns: Mapping[str, Any], kept: Filter
) -> dict[int, int]:
    """Return 1 for the best of each NFE among the visible entries, 2 for what cannot be told from it, 0 for others.

    Written anew, by scipy: a paired t-test each against the best of its NFE and group.
    """
    better = data["metrics"][columns["metric"]]["better"]
    entries = visible(data, dataset, kept)
    marks = dict.fromkeys(entries, 0)
    p: dict[int, float] = {}
    for members in _by_column(dataset, columns, entries):
        values = {entry: _values(columns, entry) for entry in members if _complete(columns, entry)}
        means = {entry: math.fsum(v.values()) / len(v) for entry, v in values.items()}
        if not better or len(set(means.values())) < 2:
            continue
        best = (min if better == "lower" else max)(means, key=lambda entry: means[entry])
        for entry, mine in values.items():
            if mine == values[best]:
                marks[entry] = 1
            else:
                p[entry] = _p(mine, values[best])
    if columns["ties"]:
        marks |= {entry: 2 for entry, each in p.items() if math.isnan(each) or each > 0.05}
    return marks


def _by_column(dataset: Mapping[str, Any], columns: Mapping[str, Any], entries: Sequence[int]) -> list[list[int]]:
    groups: dict[Any, list[int]] = {}
    for entry in entries:
        group = columns["group"][entry] if columns["group"] else 0
        if group >= 0:
            groups.setdefault((dataset["entries"]["nfe"][entry], group), []).append(entry)
    return list(groups.values())


def _values(columns: Mapping[str, Any], entry: int) -> dict[int, float]:
    return {seed: v[entry] for seed, v in enumerate(columns["values"]) if v[entry] is not None}


def _complete(columns: Mapping[str, Any], entry: int) -> bool:
    return columns["n"][entry] > 0 and not (columns["lost"] and columns["lost"][entry])


def _p(values: Mapping[int, float], best: Mapping[int, float]) -> float:
    seeds = [seed for seed in values if seed in best]
    gaps = [values[seed] - best[seed] for seed in seeds]
    if len(gaps) < 2:
        return math.nan
    if len(set(gaps)) == 1:
        return 0.0 if gaps[0] else 1.0
    return float(stats.ttest_1samp(gaps, 0.0).pvalue)


FILTERS: tuple[Filter, ...] = (
    {},
    {"path": ["cosine"]},
    {"solver": ["euler", "heun"]},
    {"path": ["linear"], "solver": ["heun"]},
)
