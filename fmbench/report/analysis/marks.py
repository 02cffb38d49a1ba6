"""Which entries of a column are the best, and which cannot be told from it."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from typing import TypeVar

from fmbench.report.result_table import Values
from fmbench.stats.paired_seeds import interval, ranked, verdict

Place = TypeVar("Place", bound=Hashable)


def best_and_near(
    values: Mapping[Place, Values | None], better: str, *, several: bool
) -> tuple[frozenset[Place], frozenset[Place]]:
    """Return the places of the best mean and of what has the same values, and those that the seeds cannot tell from it.

    Only what finished every seed takes part. Nothing is marked where all means are equal or the metric has no
    direction; without `several` seeds nothing can be near.
    """
    nothing: frozenset[Place] = frozenset()
    whole = {place: v for place, v in values.items() if v is not None and v.complete}
    means = {place: interval(list(v.by_seed.values())).mean for place, v in whole.items()}
    if not better or len(set(means.values())) < 2:
        return nothing, nothing
    best = whole[ranked(means, better)[0]].by_seed
    first = frozenset(place for place, v in whole.items() if v.by_seed == best)
    if not several:
        return first, nothing
    rest = ((place, v.by_seed) for place, v in whole.items() if place not in first)
    return first, frozenset(place for place, by_seed in rest if _near(by_seed, best, better))


def _near(by_seed: Mapping[int, float], best: Mapping[int, float], better: str) -> bool:
    gap = interval([value - best[seed] for seed, value in by_seed.items() if seed in best])
    return verdict(gap, better) in ("not distinguishable", "cannot tell")
