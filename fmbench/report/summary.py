"""The statistics of a report: intervals over seeds, differences seed by seed, and what may be said of them.

Everything here is about a handful of seeds. An interval is Student's t: mean +- t(0.975, n - 1) s / sqrt(n), which
assumes that the seeds' values are independent and roughly normal; with one value there is no interval, and none is
invented.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np

CONFIDENCE = 0.95
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
    from scipy.special import stdtrit  # type: ignore[import-untyped, unused-ignore]

    n = len(values)
    if n == 0:
        return Interval(math.nan, math.nan, 0)
    mean = float(np.mean(values))
    if n == 1:
        return Interval(mean, math.nan, 1)
    t = float(stdtrit(n - 1, 0.5 + CONFIDENCE / 2))
    return Interval(mean, t * float(np.std(values, ddof=1)) / math.sqrt(n), n)


@dataclass(frozen=True)
class Difference:
    """Values minus reference values, seed by seed.

    `absolute` is in the metric's unit; `percent` is the same over the reference's mean (NaN where that is zero).
    `verdict` is one of VERDICTS.
    """

    absolute: Interval
    percent: Interval
    verdict: str


def difference(values: Mapping[int, float], reference: Mapping[int, float], better: str) -> Difference:
    """Compare values by seed with a reference by seed, over the seeds of both. `better` is "lower" or "higher"."""
    seeds = [seed for seed in values if seed in reference]
    absolute = interval([values[seed] - reference[seed] for seed in seeds])
    base = abs(float(np.mean([reference[seed] for seed in seeds]))) if seeds else 0.0
    scale = 100.0 / base if base > 0 else math.nan
    percent = Interval(absolute.mean * scale, absolute.half * scale, absolute.n)
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
