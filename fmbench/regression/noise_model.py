"""The noise of differences: what they would scatter by from seed to seed if nothing but luck had changed.

Two cases, told apart by what repeats bit for bit. Where a training came out *anew*, the seeds' spread of both nights is
the noise. Where it is the *same* training as in the baseline (some value that depends on its weights is equal to the
last bit), only what comes after it can have changed: its own luck is in both nights and cancels, and the noise is what
the paired differences scatter by, or the seeds' spread where that is less: a fault that is larger for one seed than
for another makes the differences scatter, and must not hide behind that. It is the usual case on one machine, and the
one in which a fault of a solver stands out.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from fmbench.regression.paired_values import PairedValues
from fmbench.results.snapshot import CellGroup, grouped
from fmbench.stats import variance
from fmbench.stats.variance import Noise, mean_of

ENOUGH, CLEARLY_LESS = 4.0, 0.15
"""Trainings that came out anew still follow the baseline's where their differences scatter by less than this part of
what the seeds' spread makes expect, and have at least so many degrees of freedom: with a change in how weights are
averaged, say."""


def noise_of_cells(series: Sequence[PairedValues]) -> dict[CellGroup, Noise]:
    """Return each cell's variance of a difference, moderated among the cells of a dataset."""
    found: dict[CellGroup, Noise] = {}
    for dataset in dict.fromkeys(each.group[0] for each in series):
        pool = [each for each in series if each.group[0] == dataset]
        paired = [each for each in pool if each.same and not each.identical]
        found |= _spread_of_nights(pool)
        for group, noise in _spread_of_differences(paired).items():
            found[group] = _less(noise, found[group])
    return found


def _spread_of_nights(pool: Sequence[PairedValues]) -> dict[CellGroup, Noise]:
    nights = [[variance.between_seeds(each.residuals[night].values()) for each in pool] for night in (0, 1)]
    before, after = (variance.moderated(raw, witnesses(pool)) for raw in nights)
    return {
        each.group: variance.noise_of_difference(then, now, len(each.after) - 1.0)
        for each, then, now in zip(pool, before, after, strict=True)
    }


def _spread_of_differences(pool: Sequence[PairedValues]) -> dict[CellGroup, Noise]:
    raw = [variance.between_seeds(each.differences.values()) for each in pool]
    noises = variance.moderated(raw, witnesses(pool))
    return {each.group: noise for each, noise in zip(pool, noises, strict=True)}


def witnesses(series: Iterable[PairedValues]) -> float:
    """Return the degrees of freedom of the trainings that the series come from."""
    most: dict[CellGroup, int] = {}
    for each in series:
        most[each.training] = max(most.get(each.training, 0), len(each.before) - 1)
    return variance.independent(len(most)) * max(most.values(), default=0)


def noise_of_means(sets: Iterable[Sequence[PairedValues]], moderate: bool) -> list[Noise]:
    """Return the variance, for one seed, of the mean difference of each set.

    `moderate` says that the sets have no training in common, so that they are independent and teach each other.
    """
    members = list(sets)
    same = [all(each.same for each in one) for one in members]
    noises = [_of_differences(one, pair) for one, pair in zip(members, same, strict=True)]
    if not moderate:
        return noises
    for kind in (True, False):
        chosen = [i for i, paired in enumerate(same) if paired == kind]
        most = witnesses(each for i in chosen for each in members[i])
        for i, noise in zip(chosen, variance.moderated([noises[i] for i in chosen], most), strict=True):
            noises[i] = noise
    return noises


def _of_differences(members: Sequence[PairedValues], same: bool) -> Noise:
    """Return the noise of a mean difference: the seeds' spread, or that of the paired differences where it is less.

    Differences of trainings that came out anew are trusted only where there are so many (ENOUGH) that their own spread
    is well known.
    """
    before, after = (_parts([(each, each.residuals[night]) for each in members]) for night in (0, 1))
    unpaired = variance.shared_by_seed(
        *(variance.noise_of_difference(then, now, now.df) for then, now in zip(before, after, strict=True))
    )
    independent, clustered = _parts([(each, each.differences) for each in members])
    paired = variance.shared_by_seed(independent, clustered)
    if same:
        return _less(paired, unpaired)
    return paired if independent.df >= ENOUGH and paired.variance < CLEARLY_LESS * unpaired.variance else unpaired


def _parts(members: Sequence[tuple[PairedValues, Mapping[int, float]]]) -> tuple[Noise, Noise]:
    """Return the variance of the mean for one seed: with trainings as independent units, and with seeds as units."""
    trainings = grouped((series.training, values) for series, values in members)
    by_training = [by_seed(values) for values in trainings.values()]
    noise = variance.of_mean(by_training, [len(values) for values in trainings.values()])
    if len(trainings) == 1:
        return noise, noise
    return noise, variance.between_seeds(by_seed(values for _, values in members))


def _less(one: Noise, other: Noise) -> Noise:
    return one if one.variance <= other.variance else other


def by_seed(found: Iterable[Mapping[int, float]]) -> list[float]:
    """Return the means over what is there, seed by seed."""
    return [mean_of(values) for values in grouped(pair for each in found for pair in each.items()).values()]
