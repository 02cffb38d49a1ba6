"""Welch's t: the difference of two means whose values do not pair."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from fmbench.stats.paired_seeds import Interval
from fmbench.stats.student_t import half_width
from fmbench.stats.variance import mean_of, variance_of


@dataclass(frozen=True)
class Unpaired:
    """The difference of two means with its 95% interval (n: the smaller number of values), and its p-value."""

    gap: Interval
    p: float


def unpaired(values: Sequence[float], reference: Sequence[float]) -> Unpaired:
    """Return the mean of values less that of reference values, of which there are at least two each.

    Welch 1947, The generalization of "Student's" problem: variances may differ, degrees of freedom by Satterthwaite.
    """
    from scipy.special import stdtr

    parts = [variance_of(each) / len(each) for each in (values, reference)]
    error, mean = math.sqrt(math.fsum(parts)), mean_of(values) - mean_of(reference)
    n = min(len(values), len(reference))
    if error == 0:
        return Unpaired(Interval(mean, 0.0, n), 1.0 if mean == 0 else 0.0)
    shares = [part**2 / (len(each) - 1) for part, each in zip(parts, (values, reference), strict=True)]
    df = math.fsum(parts) ** 2 / math.fsum(shares)
    return Unpaired(Interval(mean, half_width(error, df), n), float(2 * stdtr(df, -abs(mean) / error)))
