"""Which of many differences are beyond chance, when all of them are looked at."""

from __future__ import annotations

import math
from collections.abc import Sequence

FALSE_ALARMS = 0.05

POWER = 0.9


def p_worse(effect: float, error: float, df: float) -> float:
    """Return the chance of a mean as far up as `effect` where there is none; `error` is its standard error."""
    from scipy.special import stdtr

    if effect == 0:
        return 1.0
    if error == 0 or not math.isfinite(effect):
        return 0.0 if effect > 0 else 1.0
    return float(stdtr(min(df, 1e9), -effect / error))


def holm(p: Sequence[float], weights: Sequence[float]) -> list[float]:
    """Return adjusted p-values: to reject those up to alpha keeps the chance of any false rejection at alpha.

    Holm 1979, section 4: in the order of p / weight, each is judged at its weight's share of what is left.
    """
    ratios = [each / weight for each, weight in zip(p, weights, strict=True)]
    order = sorted(range(len(ratios)), key=lambda i: ratios[i])
    left, least = math.fsum(weights), 0.0
    adjusted = [1.0] * len(ratios)
    for i in order:
        least = max(least, min(1.0, ratios[i] * left))
        adjusted[i] = least
        left -= weights[i]
    return adjusted
