"""What the line figures show: points by row, panels by training combination."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from fmbench.report.analysis.comparability import mixture
from fmbench.report.analysis.floor_and_oracle import Floor, floor_of
from fmbench.report.analysis.timing_noise import Steadiness, steadiness
from fmbench.report.result_table import ResultTable, Row, Values, varying
from fmbench.results.records import TRAINING_AXES, MetricFacts
from fmbench.stats.paired_seeds import Interval, interval, ranked

T_AXIS = TRAINING_AXES.index("t_distribution")
N_TRAINING = len(TRAINING_AXES)


@dataclass(frozen=True)
class Point:
    """One entry as a figure shows it; `time` is that of one sample, None where it was not measured."""

    nfe: float
    score: Interval
    time: float | None
    complete: bool


@dataclass(frozen=True)
class Curves:
    """The points of each evaluation row, NFE ascending; `adaptive` are the rows of solvers that choose their steps.

    `floor` is what real data score, where there is such a thing. `clock` is the metric of `Point.time`, None where
    there are no times or they do not count; `steady` says which do not.
    """

    facts: MetricFacts
    clock: MetricFacts | None
    rows: Mapping[Row, Sequence[Point]]
    adaptive: frozenset[Row]
    floor: Floor | None = None
    steady: Steadiness | None = None

    @property
    def points(self) -> list[Point]:
        """All points."""
        return [point for points in self.rows.values() for point in points]

    @property
    def fixed(self) -> dict[Row, Sequence[Point]]:
        """The rows of solvers whose steps are set."""
        return {row: points for row, points in self.rows.items() if row not in self.adaptive}

    def best_by_nfe(self) -> list[tuple[float, float]]:
        """Return the best complete mean at each NFE of the fixed-step solvers."""
        pick = min if self.facts.better == "lower" else max
        complete = [point for points in self.fixed.values() for point in points if point.complete]
        budgets = sorted({point.nfe for point in complete})
        return [(nfe, pick(p.score.mean for p in complete if p.nfe == nfe)) for nfe in budgets]


def make_curves(result_table: ResultTable, facts: MetricFacts) -> tuple[Curves, str]:
    """Return a metric's curves, and what differs where its values must not be drawn together ("" when all is well)."""
    clock = time_metric(result_table)
    rows: dict[Row, list[Point]] = {}
    identities: list[Mapping[str, object]] = []
    timed = [result_table.values(row, nfe, clock) or Values() for row, nfe in result_table.cells] if clock else []
    if mixture(identity for values in timed for identity in values.identities):
        clock = None  # times of different machines never share an axis; the table of times says what differs
    steady = steadiness(result_table, clock) if clock else None
    if steady and steady.hidden:
        clock = None
    for (row, nfe), records in result_table.cells.items():
        values = result_table.values(row, nfe, facts) or Values()
        measured = [r.nfe for r in records if r.nfe is not None and r.status == "ok"]
        if not values.by_seed or (nfe is None and not measured):
            continue
        counts = clock is not None and steady is not None and (row, nfe) not in steady.unsteady
        times = list((result_table.values(row, nfe, clock) or Values()).by_seed.values()) if clock and counts else []
        at = interval(measured).mean if nfe is None else float(nfe)
        time = interval(times).mean if times else None
        rows.setdefault(row, []).append(Point(at, interval(list(values.by_seed.values())), time, values.complete))
        identities += values.identities
    adaptive = frozenset(result_table.rows(adaptive=True))
    ordered = {row: sorted(points, key=lambda point: point.nfe) for row, points in rows.items()}
    return Curves(facts, clock, ordered, adaptive, floor_of(result_table, facts)[0], steady), mixture(identities)


def time_metric(result_table: ResultTable) -> MetricFacts | None:
    """Return the metric that says how long sampling takes: the first of scope "sampler" in a unit of time."""
    return next((facts for facts in result_table.scope("sampler") if facts.is_time), None)


def training_rows(result_table: ResultTable) -> list[Row]:
    """Return the training combinations, in the plan's order."""
    return list(dict.fromkeys([*result_table.trainings, *(row[:N_TRAINING] for row, _ in result_table.cells)]))


def best_trainings(result_table: ResultTable, curves: Curves, most: int) -> list[Row]:
    """Return up to `most` training combinations, in the plan's order: those that come first at some NFE, by rank."""
    rows = training_rows(result_table)
    if len(rows) <= most:
        return rows
    by_nfe: dict[float, dict[Row, list[float]]] = {}
    for row, points in curves.rows.items():
        for point in points:
            by_nfe.setdefault(point.nfe, {}).setdefault(row[:N_TRAINING], []).append(point.score.mean)
    pick = max if curves.facts.better == "higher" else min
    ranks = dict.fromkeys(rows, len(rows))
    for found in by_nfe.values():
        order = ranked({row: pick(scores) for row, scores in found.items()}, curves.facts.better)
        ranks.update({row: min(ranks[row], rank) for rank, row in enumerate(order)})
    chosen = set(sorted(rows, key=lambda row: ranks[row])[:most])
    return [row for row in rows if row in chosen]


def panels(rows: Sequence[Row], widest: int = 4) -> list[list[Row | None]]:
    """Arrange training rows in a grid: t-distributions across where they vary, everything else down."""
    axes = varying(rows)
    if T_AXIS in axes and len(axes) > 1 and len({row[T_AXIS] for row in rows}) <= widest:
        across = list(dict.fromkeys(row[T_AXIS] for row in rows))
        place = {(_rest(row), row[T_AXIS]): row for row in rows}
        return [[place.get((rest, t)) for t in across] for rest in dict.fromkeys(map(_rest, rows))]
    width = min(len(rows), widest)
    padded: list[Row | None] = [*rows, *[None] * (-len(rows) % width)]
    return [padded[i : i + width] for i in range(0, len(padded), width)]


def _rest(row: Row) -> Row:
    """Return a training row without its t-distribution."""
    return tuple(label for i, label in enumerate(row) if i != T_AXIS)
