"""What is the best of a column, and what cannot be told from it."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from typing import NamedTuple, TypeVar

from fmbench.report.result_table import Values
from fmbench.stats.paired_seeds import interval, ranked, verdict

Place = TypeVar("Place", bound=Hashable)


class Marks(NamedTuple):
    """The places with the best mean of a column, what the seeds cannot tell from it, and what was compared with it."""

    best: frozenset[Hashable] = frozenset()
    near: frozenset[Hashable] = frozenset()
    compared: int = 0


def marks(values: Mapping[Place, Values], better: str) -> Marks:
    """Return what is marked in a column.

    What has the same values as the best is the best, too. Each other place is compared with it by itself, seed by seed.
    Only what finished every seed takes part. Nothing is marked where all means are equal, and nowhere where the metric
    has no direction.
    """
    whole = {place: v.by_seed for place, v in values.items() if v.complete}
    means = {place: interval(list(by_seed.values())).mean for place, by_seed in whole.items()}
    if not better or len(set(means.values())) < 2:
        return Marks()
    best = whole[ranked(means, better)[0]]
    others = {place: by_seed for place, by_seed in whole.items() if by_seed != best}
    near = frozenset(place for place, by_seed in others.items() if is_near(by_seed, best, better))
    return Marks(frozenset(whole.keys() - others.keys()), near, len(others))


def is_near(by_seed: Mapping[int, float], best: Mapping[int, float], better: str) -> bool:
    """Tell whether the seeds that two places share cannot tell one of them from the best."""
    gap = interval([value - best[seed] for seed, value in by_seed.items() if seed in best])
    return verdict(gap, better) != "worse"
