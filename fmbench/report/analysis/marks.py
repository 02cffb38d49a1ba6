"""Which entries of a table are the best of their column, and which cannot be told from it."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from typing import TypeVar

from fmbench.report.result_table import Values
from fmbench.stats.paired_seeds import Interval, interval, ranked, verdict

Place = TypeVar("Place", bound=Hashable)


def best_and_near(
    columns: Sequence[Mapping[Place, Values]], better: str, *, several: bool
) -> tuple[frozenset[Place], frozenset[Place]]:
    """Return the places with the best mean of their column, and those that the seeds cannot tell from it.

    What has the same values as the best is the best, too. Each is compared with the best by itself, seed by seed. Only
    what finished every seed takes part. In a column nothing is marked where all means are equal, and nowhere where the
    metric has no direction; without `several` seeds nothing can be near.
    """
    first: set[Place] = set()
    gaps: dict[Place, Interval] = {}
    for values in columns if better else ():
        whole = {place: v.by_seed for place, v in values.items() if v.complete}
        means = {place: interval(list(by_seed.values())).mean for place, by_seed in whole.items()}
        if len(set(means.values())) < 2:
            continue
        best = whole[ranked(means, better)[0]]
        first |= {place for place, by_seed in whole.items() if by_seed == best}
        gaps |= {place: _gap(by_seed, best) for place, by_seed in whole.items() if by_seed != best}
    if not several:
        return frozenset(first), frozenset()
    return frozenset(first), frozenset(place for place, gap in gaps.items() if verdict(gap, better) != "worse")


def _gap(by_seed: Mapping[int, float], best: Mapping[int, float]) -> Interval:
    return interval([value - best[seed] for seed, value in by_seed.items() if seed in best])
