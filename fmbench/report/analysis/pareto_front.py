"""Pareto fronts: the entries of a result table that no other one beats at the same cost or a lower one."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

from fmbench.io.printable_text import some
from fmbench.report.analysis.curves import make_curves
from fmbench.report.result_table import ResultTable, Row, Values, varying, words
from fmbench.results.records import EvaluationRecord, MetricFacts
from fmbench.stats.paired_seeds import Interval, difference, interval
from fmbench.store.sampler_timings import SPREAD


@dataclass(frozen=True)
class Candidate:
    """A row at an NFE budget (None for an adaptive solver): its scores by seed and what a sample costs.

    `nfe` is the measured mean, `time` that of one sample and `unrest` the distance between the quartiles of its
    repeats, both NaN where they are not known or not comparable. `complete` says that no seed is lost.
    """

    row: Row
    budget: int | None
    by_seed: Mapping[int, float]
    score: Interval
    complete: bool
    nfe: float
    time: float = math.nan
    unrest: float = math.nan


Cost = Callable[[Candidate], float]
Tie = tuple[Candidate, ...]
"""Candidates with the same cost and the same mean score."""


@dataclass(frozen=True)
class Front:
    """The front of one cost, from its cheapest place on, and the dominated candidates that may belong to it."""

    places: tuple[Tie, ...] = ()
    rivals: tuple[Candidate, ...] = ()


@dataclass(frozen=True)
class Fronts:
    """Both fronts of a result table's headline metric, over all its candidates; `clock` is None where there are no
    times.
    """

    facts: MetricFacts
    clock: MetricFacts | None
    candidates: tuple[Candidate, ...]
    by_nfe: Front
    by_time: Front

    @cached_property
    def axes(self) -> list[int]:
        """The axes on which rows differ, which is what words about them name."""
        return varying(dict.fromkeys(candidate.row for candidate in self.candidates))

    @cached_property
    def short(self) -> Mapping[tuple[int, str], str]:
        """Labels without their parameters, by axis, where these tell no two components of the axis apart."""
        found: dict[tuple[int, str], str] = {}
        for axis in self.axes:
            labels = {candidate.row[axis] for candidate in self.candidates}
            names = {label: label.partition("(")[0] for label in labels}
            if len(set(names.values())) == len(labels):
                found |= {(axis, label): name for label, name in names.items()}
        return found

    @cached_property
    def places(self) -> list[Tie]:
        """What stands on a front, the cheapest first; a place that is on both is there once."""
        every = {(c[0].row, c[0].budget): c for c in (*self.by_time.places, *self.by_nfe.places)}
        return sorted(every.values(), key=lambda place: (place[0].nfe, _last(place[0].time)))


def same_as(place: Tie, short: Mapping[tuple[int, str], str], most: int = 2) -> str:
    """Say which other rows have the same cost and score, by what sets them apart; "" where there is none.

    `short` are the labels to use instead of the full ones, by axis.
    """
    axes = varying(candidate.row for candidate in place)
    return "; ".join(some([words(shortened(candidate.row, short), axes) for candidate in place[1:]], most))


def shortened(row: Row, short: Mapping[tuple[int, str], str]) -> Row:
    """Return a row with short labels where there are any."""
    return tuple(short.get((axis, label), label) for axis, label in enumerate(row))


def nfe_of(candidate: Candidate) -> float:
    """Return the measured NFE."""
    return candidate.nfe


def time_of(candidate: Candidate) -> float:
    """Return the time of one sample, NaN where it is not known."""
    return candidate.time


def find_fronts(result_table: ResultTable) -> Fronts | None:
    """Return the fronts of a result table's headline metric.

    None where it has no direction, where no entry is complete, or where scores of several identities would share a
    front. Times of several machines share none: then there is no clock.
    """
    facts = result_table.headline
    if facts is None or not facts.better:
        return None
    curves, mixed = make_curves(result_table, facts)
    if mixed:
        return None
    unsteady = curves.steady.unsteady if curves.steady else {}
    found = tuple(candidates(result_table, facts, curves.clock, unsteady))
    # Of what is the same on one front, that comes first which costs least on the other.
    quick = sorted(found, key=lambda c: _last(c.time))
    by_nfe = find_front(quick, nfe_of, facts.better)
    if not by_nfe.places:
        return None
    by_time = find_front(sorted(found, key=nfe_of), time_of, facts.better)
    return Fronts(facts, curves.clock if by_time.places else None, found, by_nfe, by_time)


def candidates(
    result_table: ResultTable,
    facts: MetricFacts,
    clock: MetricFacts | None,
    unsteady: Collection[tuple[Row, int | None]] = (),
) -> Iterable[Candidate]:
    """Yield the entries that have a score, in the plan's order; those that lost a seed say so.

    Those of `unsteady` rows and budgets have no time.
    """
    for (row, budget), records in result_table.cells.items():
        values = result_table.values(row, budget, facts) or Values()
        nfe = _mean(record.nfe for record in records if record.status == "ok")
        nfe = float(budget) if math.isnan(nfe) and budget is not None else nfe
        if not values.by_seed or math.isnan(nfe):
            continue
        timed = clock is not None and (row, budget) not in unsteady
        time = _metric(records, clock.name) if clock and timed else math.nan
        unrest = _metric(records, clock.name + SPREAD) if clock and timed else math.nan
        score = interval(list(values.by_seed.values()))
        yield Candidate(row, budget, values.by_seed, score, values.complete, nfe, time, unrest)


def _metric(records: Iterable[EvaluationRecord], name: str) -> float:
    return _mean(record.metrics.get(name) for record in records if record.status == "ok")


def _mean(values: Iterable[float | None]) -> float:
    """Return the mean of what is known, NaN where nothing is."""
    known = [value for value in values if value is not None and math.isfinite(value)]
    # Seeds share a measurement, whose mean must not make a row cheaper than another by a rounding error.
    return known[0] if len(set(known)) == 1 else interval(known).mean


def _last(cost: float) -> float:
    """Return a cost to sort by: one that is not known comes last."""
    return math.inf if math.isnan(cost) else cost


def find_front(candidates: Sequence[Candidate], cost: Cost, better: str) -> Front:
    """Return the Pareto front of mean scores: no other candidate is as good and as cheap, and better in one of both.

    Only complete candidates of a known cost take part. `better` is "lower" or "higher". A dominated candidate is a
    rival where no place of the front at its cost or a lower one is distinguishably better, seed by seed, or has the
    very same values; where no candidate has an interval nothing is known of that, and there are no rivals.
    """
    sign = 1.0 if better == "lower" else -1.0
    priced = [(price, c) for c in candidates if c.complete and not math.isnan(price := cost(c))]
    priced.sort(key=lambda each: (each[0], sign * each[1].score.mean))
    places: list[tuple[float, list[Candidate]]] = []
    rivals: list[Candidate] = []
    known = any(c.score.known for _, c in priced)
    for price, candidate in priced:
        level = sign * candidate.score.mean
        last = sign * places[-1][1][0].score.mean if places else math.inf
        if level < last:
            places.append((price, [candidate]))
        elif level == last and price == places[-1][0]:
            places[-1][1].append(candidate)
        elif known and not _beaten(candidate, [place[0] for _, place in places], better):
            rivals.append(candidate)
    return Front(tuple(tuple(place) for _, place in places), tuple(rivals))


def _beaten(candidate: Candidate, leaders: Sequence[Candidate], better: str) -> bool:
    """Whether a leader is better for certain; the best is asked first, as it most often is."""
    return any(
        candidate.by_seed == leader.by_seed or difference(candidate.by_seed, leader.by_seed, better).verdict == "worse"
        for leader in reversed(leaders)
    )
