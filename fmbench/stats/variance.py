"""Variances between seeds with their degrees of freedom: of one night, of a difference of two, of a mean, moderated.

**A difference of two nights.** The mean of n paired differences has the variance 2 V / n, with V the variance between
seeds; where pairing cancels some of it, less, so this errs on the quiet side. V comes from both nights, each about its
own mean and relative to it; tonight's counts at most NOISIER times the baseline's, so that a fault cannot hide behind
the spread that it causes itself (where one seed of three comes out ten times worse, a t-test on the three differences
sees nothing).

**Moderation.** Three seeds give V few degrees of freedom, with which nothing short of a catastrophe is beyond doubt.
Hence V of each single cell is moderated (Smyth 2004, Linear models and empirical Bayes methods for assessing
differential expression, sections 3 and 6.2): shrunken towards the V of like cells, by as much as these agree with each
other. The prior's degrees of freedom are at most those of the trainings that it was learnt from, since the evaluations
of one training share its weights and are no independent witnesses.

**A mean over cells.** The unit is the training, never the evaluation: the values are averaged within a training first,
and V is that of a mean over independent trainings (`of_mean`), or one shrunken towards that of the seeds' means where
it is larger (`shared_by_seed`: all cells of a seed share their draws). As how many independent trainings they count
follows from SHARED.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence
from dataclasses import dataclass

SHARED = 0.3
TRUST = 1.0
NOISIER = 25.0


@dataclass(frozen=True)
class Noise:
    """A variance and its degrees of freedom (infinite where it is known)."""

    variance: float
    df: float


def mean_of(values: Collection[float]) -> float:
    """Return the mean."""
    return math.fsum(values) / len(values)


def variance_of(values: Collection[float]) -> float:
    """Return the variance with n - 1; NaN with fewer than two values."""
    if len(values) < 2:
        return math.nan
    mean = mean_of(values)
    return math.fsum((value - mean) ** 2 for value in values) / (len(values) - 1)


def between_seeds(values: Collection[float]) -> Noise:
    """Return the variance of values `(seeds,)`; NaN with fewer than two."""
    return Noise(variance_of(values), max(len(values) - 1.0, 0.0))


def of_mean(by_training: Sequence[Collection[float]], weights: Sequence[float]) -> Noise:
    """Return the variance, for one seed, of a weighted mean over trainings that are independent of each other.

    `by_training` holds each training's values over its seeds. The degrees of freedom are Satterthwaite's (1946, An
    approximate distribution of estimates of variance components), with the variances of those that vary at all taken as
    equal, and fewer for what trainings of a seed share (`independent`).
    """
    noises = [between_seeds(values) for values in by_training]
    total = math.fsum(weights)
    squares = [(weight / total) ** 2 for weight in weights]
    variance = math.fsum(square * noise.variance for square, noise in zip(squares, noises, strict=True))
    moving = [square for square, noise in zip(squares, noises, strict=True) if noise.variance > 0] or squares
    many = math.fsum(moving) ** 2 / math.fsum(square**2 for square in moving)
    return Noise(variance, min(noise.df for noise in noises) * independent(many))


def independent(trainings: float) -> float:
    """Return as how many independent trainings so many count, where a part SHARED of their variance is one seed's."""
    return trainings / (1 + (trainings - 1) * SHARED)


def shared_by_seed(independent: Noise, clustered: Noise) -> Noise:
    """Return the variance of a mean whose trainings may share luck by seed.

    `independent` takes them for independent, and `clustered` sees only the means of the seeds, of which there are few.
    The second is shrunken towards the first, which counts for TRUST degrees of freedom; the larger one is right.
    """
    if clustered.df <= 0:
        return independent
    df = TRUST + clustered.df
    variance = (TRUST * independent.variance + clustered.df * clustered.variance) / df
    return independent if variance <= independent.variance else Noise(variance, min(df, independent.df))


def noise_of_difference(before: Noise, after: Noise, own: float) -> Noise:
    """Return the noise of a difference between two nights; tonight's counts at most NOISIER times the baseline's.

    `own` are the degrees of freedom that tonight adds; with none, the baseline's is taken for both.
    """
    if own <= 0:
        return Noise(2 * before.variance, before.df)
    most = NOISIER * before.variance if before.variance > 0 else math.inf
    variance = before.variance + min(after.variance, most)
    return Noise(variance, before.df + own)


def moderated(noises: Sequence[Noise], most: float) -> list[Noise]:
    """Shrink variances towards each other, by as much as they agree; `most` limits the prior's degrees of freedom.

    Variances of zero (a count, say, which no seed changes) stay zero and teach the others nothing.
    """
    d_0, s2_0 = prior([noise for noise in noises if noise.df > 0 and noise.variance > 0])
    d_0 = min(d_0, most)
    if d_0 <= 0:
        return list(noises)
    return [
        Noise((d_0 * s2_0 + noise.df * noise.variance) / (d_0 + noise.df), d_0 + noise.df)
        if noise.df > 0 and noise.variance > 0
        else noise
        for noise in noises
    ]


def prior(noises: Sequence[Noise]) -> tuple[float, float]:
    """Return degrees of freedom and variance of the prior of variances: Smyth 2004, section 6.2, by moments of log s^2.

    With fewer than three there is no prior: `(0, nan)`.
    """
    from scipy.special import digamma, polygamma  # type: ignore[import-untyped, unused-ignore]

    if len(noises) < 3:
        return 0.0, math.nan
    halves = [noise.df / 2 for noise in noises]
    known = {half: (math.log(half) - float(digamma(half)), float(polygamma(1, half))) for half in set(halves)}
    e = [math.log(noise.variance) + known[half][0] for noise, half in zip(noises, halves, strict=True)]
    mean = mean_of(e)
    excess = variance_of(e) - mean_of([known[half][1] for half in halves])
    if excess <= 0:
        return math.inf, math.exp(mean)
    half_d_0 = inverse_trigamma(excess)
    return 2 * half_d_0, math.exp(mean + float(digamma(half_d_0)) - math.log(half_d_0))


def inverse_trigamma(y: float) -> float:
    """Return x with trigamma(x) = y > 0, by Newton's method on 1 / trigamma (Smyth 2004, appendix)."""
    from scipy.special import polygamma

    if y > 1e7:
        return 1 / math.sqrt(y)
    if y < 1e-6:
        return 1 / y
    x = 0.5 + 1 / y
    for _ in range(50):
        trigamma = float(polygamma(1, x))
        step = trigamma * (1 - trigamma / y) / float(polygamma(2, x))
        x += step
        if -step / x < 1e-10:
            break
    return x
