"""Who leads at each NFE, and what cannot be told from the leader."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from fmbench.report.analysis.comparability import split_by_identity
from fmbench.report.analysis.marks import is_near
from fmbench.report.result_table import ResultTable, Row, Values, labels_said, varying
from fmbench.results.records import TRAINING_AXES, MetricFacts
from fmbench.stats.paired_seeds import interval, ranked


@dataclass(frozen=True)
class RankingAtNFE:
    """The rows at one NFE.

    `order` holds the rows that finished every seed, from best to worst mean; `first` the best and those with the very
    same values; `near` those that the seeds cannot tell from it, each by itself, though their values differ. All are
    empty where there is no best, and `why` says why not.
    """

    nfe: int
    values: Mapping[Row, Values]
    order: Sequence[Row] = ()
    first: Sequence[Row] = ()
    near: Sequence[Row] = ()
    why: str = ""

    @property
    def seeds(self) -> int:
        """The number of seeds of the best."""
        return len(self.values[self.first[0]].by_seed) if self.first else 0

    @property
    def is_told(self) -> bool:
        """Whether the seeds tell the best from every other row."""
        return bool(self.first) and not self.near and len(self.order) > len(self.first)

    @property
    def is_tie(self) -> bool:
        """Whether the seeds do not tell the best from the next, or there are several that are all the same."""
        return bool(self.near) or len(self.first) == len(self.order) > 1

    @property
    def rivals(self) -> list[Row]:
        """The rows near the best, of each other training combination the first; of one training combination, all."""
        if len({trained(row) for row in self.order}) < 2:
            return list(self.near)
        others = {trained(row): row for row in reversed(self.near)}
        return [row for row in self.near if others[trained(row)] == row and trained(row) != trained(self.first[0])]

    @property
    def undecided(self) -> bool:
        """Whether each other training combination (each other row, of one training) is as good as the best."""
        equals = [*self.rivals, *self.first]
        everybody = {trained(row) for row in self.order}
        if len(everybody) < 2:
            return len(equals) == len(self.order)
        return everybody == {trained(row) for row in equals}


def rankings(result_table: ResultTable) -> list[RankingAtNFE]:
    """Return the rows of each NFE budget by the headline metric; none where it has no direction."""
    if result_table.headline is None or not result_table.headline.better:
        return []
    better = result_table.headline.better
    places = [_place(result_table, nfe, result_table.headline) for nfe in result_table.budgets]
    return [replace(place, near=_near(place, better)) for place in places]


def _near(place: RankingAtNFE, better: str) -> list[Row]:
    others = [row for row in place.order if row not in place.first]
    best = place.values[place.first[0]].by_seed if others else {}
    return [row for row in others if is_near(place.values[row].by_seed, best, better)]


def _place(result_table: ResultTable, nfe: int, facts: MetricFacts) -> RankingAtNFE:
    values = {row: v for row in result_table.rows() if (v := result_table.values(row, nfe, facts)) is not None}
    parts, note = split_by_identity(values)
    if len(parts) != 1:
        why = note.removeprefix("left out, because ").split(" (–")[0] or "no combination has a value"
        return RankingAtNFE(nfe, values, why=why)
    means = {row: interval(list(v.by_seed.values())).mean for row, v in values.items() if v.complete}
    if not means:
        return RankingAtNFE(nfe, values, why="no combination finished every seed")
    order = ranked(means, facts.better)
    best = values[order[0]].by_seed
    first = [row for row in order if values[row].by_seed == best]
    return RankingAtNFE(nfe, values, order, first)


def best_rows(places: Sequence[RankingAtNFE]) -> list[Row]:
    """Return the best row of each place; of those with the very same values, that which is so most often."""
    often = [row for place in places for row in place.first]
    return [max(place.first, key=often.count) for place in places]


def combination(result_table: ResultTable, row: Row) -> str:
    """Say a row by the axes that vary, as in "linear + uniform with heun"; where none does, by its dataset."""
    trained, sampled = trained_as(result_table, row), sampled_as(result_table, row)
    if trained and result_table.made_elsewhere(row):
        return f"{trained}, {sampled}" if sampled else trained
    return f"{trained} with {sampled}" if trained and sampled else trained or sampled or row[0]


def trained_as(result_table: ResultTable, row: Row) -> str:
    """Say a row's training combination, as in "linear + uniform"; "" where no training axis varies."""
    axes = [i for i in varying(result_table.rows()) if i < len(TRAINING_AXES)]
    return " + ".join(labels_said(row, axes))


def sampled_as(result_table: ResultTable, row: Row) -> str:
    """Say how a row draws its samples, as in "heun" or "heun, guidance 2"; "" where no such axis varies."""
    axes = [i for i in varying(result_table.rows()) if i >= len(TRAINING_AXES)]
    return ", ".join(labels_said(row, axes))


def trained(row: Row) -> Row:
    """Return a row's training combination."""
    return row[: len(TRAINING_AXES)]


def enumeration(parts: Sequence[str], last: str = "and") -> str:
    """Return "a", "a and b", "a, b and c"."""
    return f"{', '.join(parts[:-1])} {last} {parts[-1]}" if len(parts) > 1 else "".join(parts)


def at_nfe(budgets: Sequence[int]) -> str:
    """Return "NFE 1, 2 and 4"."""
    return f"NFE {enumeration([str(nfe) for nfe in budgets])}"
