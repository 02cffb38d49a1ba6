"""Steps in one line: where its level changed for good, told from the scatter of nights or from that of seeds.

**By nights**, where nights differ: the noise is the scatter of neighbouring nights, and the places are those that
minimise squared deviations plus a penalty for each step (Killick, Fearnhead and Eckley 2012, Optimal detection of
changepoints with a linear computational cost, as `ruptures.KernelCPD` computes it; with a linear kernel the cost is
the squared deviation). The penalty is the square of Student's t that a single test would need, with TESTS tests a night
for all the places that a step could be at; t, because the noise is estimated as well. A level lasts LASTING nights or
more: a night or two that stand out alone are set aside. The newest one or two nights are compared with the level
before them, with the same t; such a step is new, and the next nights may show that it was none.

**By seeds**, where nights repeat each other bit for bit: whatever changes then was changed, and the question is whether
it is more than other luck. Each change is the mean of the seeds' differences, with their scatter as noise. A night or
two that are undone are set aside here, too.

Noises are variances with degrees of freedom, so that lines can learn from each other (`fmbench.stats.variance`).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray

from fmbench.history.trend_lines import Floats
from fmbench.stats.student_t import half_width, quantile
from fmbench.stats.variance import Noise, between_seeds

LASTING = 3
ENOUGH = 8
"""Nights that differ, from which their scatter can be estimated."""
TESTS = 0.4
"""Independent tests a night that a search over all places is worth; tests/benchmarks/simulate_history.py."""
DF = 0.65
"""Degrees of freedom of `scatter` a difference; measured for 9 to 300 nights of normal noise, in the same script."""
WINSOR = 2.5
NORMAL = NormalDist()
OUTLIER = 5.0
WINDOW = 2
"""Nights on either side whose median a night is held against; so a level of LASTING nights is never set aside."""


@dataclass(frozen=True)
class ChangePoint:
    """A step between the places `at - 1` and `at` of a piece: its size, its standard error, its degrees of freedom.

    `old` and `new` are the places of both levels. All is on the scale of the line's changes.
    """

    at: int
    size: float
    error: float
    df: float
    old: slice
    new: slice

    @property
    def half(self) -> float:
        """The half-width of the 95% interval."""
        return half_width(self.error, self.df)


@dataclass(frozen=True)
class Piece:
    """Steps and places set aside of one piece of a line."""

    changes: Sequence[ChangePoint] = ()
    outliers: Sequence[int] = ()


def scatter(level: Floats) -> Noise:
    """Return the variance of nights `(nights,)` that differ, from differences of neighbours that no step enlarges much.

    Squares are cut off at WINSOR times the median's; for normal noise the mean of what is left is known.
    """
    distances = np.abs(np.diff(level)) / math.sqrt(2)
    most = WINSOR * float(np.median(distances)) / NORMAL.inv_cdf(0.75)
    tail = 2 * NORMAL.cdf(-WINSOR)
    kept = 1 - tail - 2 * WINSOR * NORMAL.pdf(WINSOR) + tail * WINSOR**2
    return Noise(float(np.mean(np.minimum(distances, most) ** 2)) / kept, DF * len(distances))


def by_nights(level: Floats, noise: Noise, alpha: float) -> Piece:
    """Return the steps of nights `(nights,)`, any of which has the chance `alpha` where there is none."""
    import ruptures

    n, sigma = len(level), math.sqrt(noise.variance)
    t = quantile(noise.df, 1 - min(alpha / (2 * max(TESTS * n, 1.0)), 0.25))
    middles = _medians(level)
    aside = np.abs(level - middles) > OUTLIER * sigma
    quiet = np.where(aside, middles, level)
    search = ruptures.KernelCPD(kernel="linear", min_size=LASTING).fit((quiet - quiet.mean())[:, None] / sigma)
    places = [0, *map(int, search.predict(pen=t**2))]
    if newest := _newest(level, quiet, places[-2], sigma, t):
        places.insert(-1, newest)
        quiet[newest:], aside[newest:] = level[newest:], False
    parts = [slice(a, b) for a, b in pairwise(places)]
    return Piece(
        [_between(quiet, old, new, noise) for old, new in pairwise(parts)],
        [int(i) for i in np.flatnonzero(aside)],
    )


def _newest(level: Floats, quiet: Floats, last: int, sigma: float, t: float) -> int | None:
    """Return where a step in the newest nights begins that are too few for a level; None where there is none."""
    found: dict[float, int] = {}
    for few in range(1, LASTING):
        start = len(level) - few
        before = quiet[last:start]
        if len(before) >= LASTING:
            error = sigma * math.sqrt(1 / few + 1 / len(before))
            found[abs(float(level[start:].mean() - before.mean())) / error] = start
    largest = max(found, default=0.0)
    return found[largest] if largest > t else None


def _between(level: Floats, old: slice, new: slice, noise: Noise) -> ChangePoint:
    before, after = level[old], level[new]
    error = math.sqrt(noise.variance * (1 / len(before) + 1 / len(after)))
    return ChangePoint(new.start, float(after.mean() - before.mean()), error, noise.df, old, new)


def _medians(level: Floats) -> Floats:
    """Return the median of each night and its neighbours on either side; at the ends that of the outermost ones."""
    windows = np.lib.stride_tricks.sliding_window_view(level, 2 * WINDOW + 1)
    return np.pad(np.median(windows, axis=1), WINDOW, mode="edge")


@dataclass(frozen=True)
class Turn:
    """A place `at` where seeds changed that had repeated: their differences; `run` are the places that repeat then."""

    at: int
    before: slice
    run: slice
    differences: Floats
    back: float
    """What the next turn leaves of the level before this one, as a mean difference; NaN at the last turn."""

    @property
    def noise(self) -> Noise:
        """The variance of a seed's difference."""
        return between_seeds(list(self.differences))


def turns(seeds: Floats, repeated: NDArray[np.bool_]) -> list[Turn]:
    """Return the turns of a piece `(nights, seeds)`; `repeated` says which nights repeat the one before."""
    starts = [i for i in range(len(seeds)) if i == 0 or not repeated[i]]
    found = []
    for before, run in pairwise(slice(a, b) for a, b in pairwise([*starts, len(seeds)])):
        old = seeds[before.start]
        differences, back = seeds[run.start] - old, math.nan
        if run.stop < len(seeds) and np.isfinite(left := seeds[run.stop] - old).any():
            back = float(np.nanmean(left))
        found.append(Turn(run.start, before, run, differences[np.isfinite(differences)], back))
    return found


def by_seeds(found: Sequence[Turn], noises: Sequence[Noise], alpha: float) -> Piece:
    """Return those turns that are steps, any of which has the chance `alpha` where all is luck. `noises` are theirs."""
    changes, outliers = [], []
    undone = -1
    for turn, noise in zip(found, noises, strict=True):
        if noise.df <= 0 or turn.at == undone:
            continue
        error = math.sqrt(noise.variance / len(turn.differences))
        size = float(turn.differences.mean())
        least = quantile(noise.df, 1 - alpha / (2 * len(found))) * error
        if abs(size) <= least:
            continue
        if turn.run.stop - turn.run.start < LASTING and abs(turn.back) <= least:
            outliers += list(range(turn.run.start, turn.run.stop))
            undone = turn.run.stop
            continue
        changes.append(ChangePoint(turn.at, size, error, noise.df, turn.before, turn.run))
    return Piece(changes, outliers)
