"""The statistics of a report: intervals over seeds, differences seed by seed, and what may be said of them.

Everything here is about a handful of seeds. An interval is Student's t: mean +- t(0.975, n - 1) s / sqrt(n), which
assumes that the seeds' values are independent and roughly normal; with one value there is no interval, and none is
invented. A difference in percent divides by a mean that is uncertain too, so its interval is Fieller's (`relative`).

tests/benchmarks/simulate_intervals.py measures how often they hold the truth.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np

from fmbench.stats.student_t import half_width

Candidate = TypeVar("Candidate")
VERDICTS = ("better", "worse", "not distinguishable", "cannot tell")


@dataclass(frozen=True)
class Interval:
    """Mean of `n` values and the half-width of its 95% interval; `half` is NaN with fewer than two values."""

    mean: float
    half: float
    n: int

    @property
    def low(self) -> float:
        """The lower end."""
        return self.mean - self.half

    @property
    def high(self) -> float:
        """The upper end."""
        return self.mean + self.half

    @property
    def known(self) -> bool:
        """Whether anything can be said about spread."""
        return math.isfinite(self.half)


def interval(values: Sequence[float]) -> Interval:
    """Return the mean of finite values and its 95% t-interval."""
    n = len(values)
    if n == 0:
        return Interval(math.nan, math.nan, 0)
    mean = float(np.mean(values))
    if n == 1:
        return Interval(mean, math.nan, 1)
    return Interval(mean, half_width(float(np.std(values, ddof=1)) / math.sqrt(n), n - 1), n)


@dataclass(frozen=True)
class Percent:
    """A difference in percent of the reference's mean and its 95% interval, which need not be symmetric.

    All NaN where the reference's mean cannot be told from zero, `low` and `high` with fewer than two values.
    """

    mean: float
    low: float
    high: float
    n: int

    @property
    def known(self) -> bool:
        """Whether anything can be said about spread."""
        return math.isfinite(self.low)


def relative(values: Sequence[float], reference: Sequence[float]) -> Percent:
    """Return the mean of values less the mean of paired reference values, in percent of the size of the latter.

    The interval is Fieller's (1954, Some problems in interval estimation): all ratios phi for which the t-interval of
    the mean of `difference - phi * reference` holds zero. So it leaves out zero exactly where the t-interval of the
    difference does; and it is bounded, and given, only where the reference's own t-interval leaves out zero.
    """
    n = len(reference)
    scale = abs(float(np.mean(reference))) if n else 0.0
    nothing = Percent(math.nan, math.nan, math.nan, n)
    if not scale > 0:
        return nothing
    base = np.asarray(reference, dtype=np.float64) / scale
    gaps = np.asarray(values, dtype=np.float64) / scale - base
    base *= np.sign(base.mean())
    mean = float(gaps.mean())
    if n == 1:
        return Percent(100 * mean, math.nan, math.nan, 1)
    variance = np.cov(gaps, base) * half_width(1.0, n - 1) ** 2 / n
    a, b, c = 1 - variance[1, 1], mean - variance[0, 1], mean**2 - variance[0, 0]
    if a <= 0:
        return nothing
    width = math.sqrt(max(b**2 - a * c, 0.0))
    return Percent(100 * mean, 100 * (b - width) / a, 100 * (b + width) / a, n)


@dataclass(frozen=True)
class Difference:
    """Values minus reference values, seed by seed: in the metric's unit, and in percent of the reference's mean.

    `verdict` is one of VERDICTS.
    """

    absolute: Interval
    percent: Percent
    verdict: str


def difference(values: Mapping[int, float], reference: Mapping[int, float], better: str) -> Difference:
    """Compare values by seed with a reference by seed, over the seeds of both. `better` is "lower" or "higher"."""
    seeds = [seed for seed in values if seed in reference]
    absolute = interval([values[seed] - reference[seed] for seed in seeds])
    percent = relative([values[seed] for seed in seeds], [reference[seed] for seed in seeds])
    return Difference(absolute, percent, verdict(absolute, better))


def verdict(gap: Interval, better: str) -> str:
    """Say what an interval of differences shows: better or worse only where it excludes zero.

    `better` is "lower" or "higher"; a metric without a direction is never better or worse.
    """
    if not gap.known or not better:
        return "cannot tell"
    if gap.low <= 0.0 <= gap.high:
        return "not distinguishable"
    return "better" if (gap.mean < 0) == (better == "lower") else "worse"


def ranked(candidates: Mapping[Candidate, float], better: str) -> list[Candidate]:
    """Return the candidates from best to worst by mean; equal means keep their order."""
    sign = 1.0 if better == "lower" else -1.0
    return sorted(candidates, key=lambda candidate: sign * candidates[candidate])
