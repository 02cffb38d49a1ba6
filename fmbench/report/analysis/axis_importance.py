"""Which axis matters how much: the part of the headline metric's spread that each axis explains, at equal NFE.

The metric is taken as its logarithm where all values are positive, so that a path which halves the score does as much
at NFE 1 as at NFE 8. NFE is no axis here: it would drown the others, and nobody chooses a path by it. Shares are taken
at each NFE by itself, and their mean over NFE sums them up.

Each seed is a whole table, a value a row, taken about the table's mean: luck that a seed gives to all rows alike counts
for nothing, as in all differences here. What a set of axes explains of it is the sum of squares of its main effects.
An axis's share is what it adds to the axes before it, averaged over all orders of the axes (Lindeman, Merenda and Gold
1980, Introduction to bivariate and multivariate analysis; the Shapley value of R^2), so that designs with holes are
shared out fairly. Of the 15 axes few vary in one suite, so all sets of those are computed. What the rows' means explain
beyond all main effects is what the axes do together, and what is left does not repeat from seed to seed: chance.

Chance would explain something too: an axis of 5 labels fits 4 degrees of freedom of pure noise. From each sum of
squares goes what noise adds to it in the mean, sum_s |P r_s|^2 / (n - 1), with P the projection onto the axes and r_s
what seed s differs by from the mean over seeds. No more is assumed of the noise than that seeds are independent: all
evaluations of a training may share its luck. A share of nothing is therefore about 0, and may be slightly negative.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any

import numpy as np

from fmbench.report.analysis.comparability import split_by_identity
from fmbench.report.number_format import Style
from fmbench.report.result_table import ROW_AXES, ResultTable, Row, Values, varying
from fmbench.results.records import MetricFacts
from fmbench.stats.paired_seeds import Interval, interval

Floats = np.ndarray[Any, np.dtype[np.float64]]
INTERACTIONS, CHANCE = "what they do together", "seeds"
NOTHING = 1e-20
"""A spread of this part of the values' size is rounding."""
VAGUE = 0.9
"""The interval of a share that is wider than this says nothing."""


@dataclass(frozen=True)
class Shares:
    """What explains a metric's spread.

    `names` are the axes that vary, two that always change together as one ("path and objective"). `by_nfe` holds arrays
    `(seeds, len(names) + 2)`: the shares of the axes, of what they do together, and of chance, which sum to 1. `notes`
    say what was left out.
    """

    metric: str
    names: tuple[str, ...]
    by_nfe: Mapping[int, Floats]
    notes: tuple[str, ...] = ()

    @property
    def overall(self) -> Floats:
        """The mean over NFE, `(seeds, len(names) + 2)`."""
        mean: Floats = np.mean(list(self.by_nfe.values()), axis=0)
        return mean

    @property
    def ranked(self) -> list[tuple[str, Interval]]:
        """The axes with the interval of their share over NFE, the largest first."""
        shares = {name: interval(list(self.overall[:, i])) for i, name in enumerate(self.names)}
        return sorted(shares.items(), key=lambda item: -item[1].mean)

    def more(self, one: str, other: str) -> bool:
        """Tell whether one axis explains more than another: the interval of the seeds' differences leaves out zero."""
        i, j = self.names.index(one), self.names.index(other)
        return interval(list(self.overall[:, i] - self.overall[:, j])).low > 0


def attribute(result_table: ResultTable) -> Shares | None:
    """Return what explains the spread of the headline metric; None where there is nothing to explain it with.

    That is so without two seeds, without an axis that varies, or where no NFE has comparable values that differ.
    """
    facts = result_table.headline
    if facts is None:
        return None
    tables, notes = _whole_tables(result_table, facts)
    axes = _together(list(dict.fromkeys(row for table in tables.values() for row in table)))
    seeds = {len(values) for table in tables.values() for values in table.values()}
    if not axes or max(seeds, default=0) < 2:
        return None
    logs = all(np.all(values > 0) for table in tables.values() for values in table.values())
    by_nfe = {}
    for nfe, table in tables.items():
        values = np.array(list(table.values())).T
        labels = [[tuple(row[i] for i in axis) for row in table] for axis in axes]
        shares = decompose(labels, np.log(values) if logs else values)
        if shares is None:
            notes.append(f"NFE {nfe} is left out: there are no two rows whose values differ.")
        else:
            by_nfe[nfe] = shares
    names = tuple(" and ".join(ROW_AXES[i].replace("_", "-") for i in axis) for axis in axes)
    return Shares(("log " if logs else "") + facts.name, names, by_nfe, tuple(notes)) if by_nfe else None


def _whole_tables(result_table: ResultTable, facts: MetricFacts) -> tuple[dict[int, dict[Row, Floats]], list[str]]:
    """Return the values `(seeds,)` of the rows of each NFE that have every seed, and what was left out.

    The seeds are those that most rows have.
    """
    found: dict[int, dict[Row, Values]] = {}
    notes = []
    for nfe in result_table.budgets:
        rows = [row for row in result_table.rows() if not result_table.made_elsewhere(row)]
        values = {row: v for row in rows if (v := result_table.values(row, nfe, facts)) is not None}
        if not values:
            continue
        if len(split_by_identity(values)[0]) == 1:
            found[nfe] = values
        else:
            notes.append(f"NFE {nfe} is left out: its values are not comparable with each other.")
    counts = Counter(tuple(sorted(v.by_seed)) for values in found.values() for v in values.values() if v.complete)
    seeds = max(counts, key=lambda each: (counts[each], each), default=())
    tables = {}
    for nfe, values in found.items():
        kept = {row: v.by_seed for row, v in values.items() if v.complete and sorted(v.by_seed) == list(seeds)}
        if not kept:
            notes.append(f"NFE {nfe} is left out: every row lost a seed.")
            continue
        tables[nfe] = {row: np.array([by_seed[seed] for seed in seeds]) for row, by_seed in kept.items()}
        if len(kept) < len(values):
            notes.append(f"NFE {nfe}: without {len(values) - len(kept)} of {len(values)} rows, which lost a seed.")
    if result_table.rows(adaptive=True):
        notes.append("Without adaptive solvers, which choose their NFE themselves.")
    return tables, notes


def _together(rows: Sequence[Row]) -> list[tuple[int, ...]]:
    """Return the axes that vary, in groups that always change together, which nothing can tell apart."""
    groups: list[list[int]] = []
    for axis in varying(rows):
        for group in groups:
            pairs = {(row[group[0]], row[axis]) for row in rows}
            if len(pairs) == len({pair[0] for pair in pairs}) == len({pair[1] for pair in pairs}):
                group.append(axis)
                break
        else:
            groups.append([axis])
    return [tuple(group) for group in groups]


def decompose(labels: Sequence[Sequence[Any]], values: Floats) -> Floats | None:
    """Return shares `(seeds, axes + 2)` of values `(seeds, rows)` by labels `(axes, rows)`; None where nothing varies.

    The last two columns are what the axes do together, and chance. Each seed's shares sum to 1. Two seeds at least.
    """
    tables = values - values.mean(axis=1, keepdims=True)
    total = np.sum(tables**2, axis=1)
    if not total.mean() > NOTHING * np.sum(values**2, axis=1).mean():
        return None
    rest = tables - tables.mean(axis=0)
    columns = [_columns(axis) for axis in labels]

    def explained(axes: tuple[int, ...]) -> Floats:
        """Return the sum of squares that a set of axes explains in each seed's table, less what noise adds to it."""
        basis = _basis([columns[i] for i in axes], values.shape[1])
        return _squares(basis, tables) - np.sum(_squares(basis, rest)) / (len(values) - 1)

    n = len(labels)
    worth = {axes: explained(axes) for size in range(n + 1) for axes in combinations(range(n), size)}
    shares = [np.zeros(len(values)) for _ in range(n)]
    for axes in worth:
        for i in axes:
            before = tuple(j for j in axes if j != i)
            orders = math.factorial(len(before)) * math.factorial(n - len(axes)) / math.factorial(n)
            shares[i] = shares[i] + orders * (worth[axes] - worth[before])
    chance = np.full(len(values), np.sum(rest**2) / (len(values) - 1))
    together = total - chance - worth[tuple(range(n))]
    sums = np.array([*shares, together, chance]).T
    ratio = sums.mean(axis=0) / total.mean()
    # The interval of a ratio of two means over seeds is that of these values, whose mean it is (the delta method).
    found: Floats = ratio + (sums - total[:, None] * ratio) / total.mean()
    return found


def _columns(labels: Sequence[Any]) -> Floats:
    """Return the main effect of an axis as columns `(rows, labels)`, each of mean 0."""
    column = np.array([[label == each for each in dict.fromkeys(labels)] for label in labels], dtype=np.float64)
    centred: Floats = column - column.mean(axis=0)
    return centred


def _basis(columns: Sequence[Floats], rows: int) -> Floats:
    """Return orthonormal columns that span the given ones, `(rows, rank)`."""
    if not columns:
        return np.zeros((rows, 0))
    left, sizes, _ = np.linalg.svd(np.concatenate(columns, axis=1), full_matrices=False)
    basis: Floats = left[:, sizes > 1e-9 * max(1.0, float(sizes[0]))]
    return basis


def _squares(basis: Floats, tables: Floats) -> Floats:
    squares: Floats = np.sum((tables @ basis) ** 2, axis=1)
    return squares


def is_vague(share: Interval) -> bool:
    """Tell whether the interval of a share spans nearly all that a share can be, so that its mean says nothing."""
    return _cut(share.high) - _cut(share.low) > VAGUE


def percents_within(share: Interval) -> tuple[str, str]:
    """Return the bounds of a share in percent, cut off at 0 and 100."""
    return within(share.low), within(share.high)


def within(share: float) -> str:
    """Return a share in percent, cut off at 0 and 100."""
    return Style(0)(100 * _cut(share))


def _cut(share: float) -> float:
    return min(max(float(share), 0.0), 1.0)
