"""The lines beneath the answer: the best at each NFE with what cannot be told from it, and what each choice does."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from fmbench.io.printable_text import count
from fmbench.report.analysis.baseline import gaps_from_baseline, references
from fmbench.report.analysis.ranking import RankingAtNFE, combination
from fmbench.report.analysis.single_axis_effects import effects
from fmbench.report.number_format import style_for
from fmbench.report.result_table import ResultTable, Row
from fmbench.report.text.answer import size
from fmbench.stats.paired_seeds import Difference, interval

MOST_NAMES = 3
Gaps = Mapping[tuple[Row, int], Difference | None]
"""Differences from the baseline by row and NFE, with verdicts that hold jointly."""


def details(
    result_table: ResultTable, rankings: Sequence[RankingAtNFE], baseline: Mapping[str, Any] | None
) -> list[tuple[str, str]]:
    """Return lines of `(what it is about, sentences)` on one dataset."""
    pairs = references(result_table, baseline) if baseline else {}
    facts = result_table.headline
    gaps = gaps_from_baseline(result_table, pairs, facts) if facts is not None else {}
    best = [(f"NFE {place.nfe}", _best(result_table, place, pairs, gaps)) for place in rankings]
    return best + effects(result_table, baseline)


def _best(result_table: ResultTable, place: RankingAtNFE, pairs: Mapping[Row, Row], gaps: Gaps) -> str:
    """Say which row is best at one NFE, what can be told from it, and by how much it beats the baseline."""
    facts = result_table.headline
    if facts is None or not place.first:
        return f"No best: {place.why}."
    best, same = place.first[0], place.first[1:]
    mean = interval(list(place.values[best].by_seed.values()))
    numbers = style_for([mean])
    spread = f" ± {numbers(mean.half)}" if mean.known else ""
    text = f"{'Lowest' if facts.better == 'lower' else 'Highest'} {facts.name} is {numbers(mean.mean)}{spread} "
    text += f"({count(mean.n, 'seed')}), by {combination(result_table, best)}"
    others = "; ".join(combination(result_table, row) for row in same)
    text += f" and, with the very same values, {others}." if same else "."
    if len(place.order) > len(place.first):
        text += " " + _rivals(result_table, place)
    if best in pairs:
        found = gaps[best, place.nfe]
        said = f"{size(found)}, {found.verdict}" if found else "they are not comparable"
        solver = "" if result_table.made_elsewhere(pairs[best]) else " with the same solver"
        text += f" Against the baseline{solver}, seed by seed: {said}."
    elif pairs:
        text += " It belongs to the baseline."
    return text


def _rivals(result_table: ResultTable, place: RankingAtNFE) -> str:
    """Say how many rows cannot be told from the best, and which comes next."""
    others = [row for row in place.order if row not in place.first]
    if place.seeds < 2:
        return f"Next is {combination(result_table, others[0])}; whether they differ cannot be told."
    if not place.near:
        many = "the only other" if len(others) == 1 else f"all {len(others)} others"
        return f"Distinguishable from {many}; next is {combination(result_table, others[0])}."
    near = f"{len(place.near)} of {count(len(others), 'other')} ({named(result_table, place)})"
    return f"A tie: {near} {'is' if len(place.near) == 1 else 'are'} not distinguishable from it, seed by seed."


def named(result_table: ResultTable, place: RankingAtNFE, most: int = MOST_NAMES) -> str:
    """Name what is near the best: the first `most`, and how many more."""
    said = "; ".join(combination(result_table, row) for row in place.near[:most])
    return said + (f"; and {len(place.near) - most} more" if len(place.near) > most else "")
