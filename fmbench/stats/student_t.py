"""Student's t: how wide the 95% interval of a mean is. Reports, the regression check and the history all use it."""

from __future__ import annotations

from functools import lru_cache

CONFIDENCE = 0.95


def half_width(error: float, df: float) -> float:
    """Return the half-width of the 95% interval of a mean with a standard error and its degrees of freedom.

    Without an error there is no width, whatever the degrees of freedom.
    """
    return 0.0 if error == 0 else quantile(df, 0.5 + CONFIDENCE / 2) * error


@lru_cache(maxsize=10_000)
def quantile(df: float, probability: float) -> float:
    """Return a quantile of Student's t; infinite degrees of freedom give the normal distribution's."""
    from scipy.special import stdtrit  # type: ignore[import-untyped, unused-ignore]

    return float(stdtrit(min(df, 1e9), probability))
