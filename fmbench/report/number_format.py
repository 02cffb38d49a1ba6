"""How numbers are printed: as many decimals as the column needs, and the same for all of it."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

from fmbench.stats.paired_seeds import Interval, Percent

MINUS = "−"
MOST_DECIMALS, NO_WIDTH, NOTHING = 4, 0.01, 1e-6
"""Of percents: the most decimals, what is no width of an interval, and what is zero but for rounding."""


@dataclass(frozen=True)
class Style:
    """Decimals after the point; None writes three significant digits with an exponent where needed."""

    decimals: int | None

    def __call__(self, value: float) -> str:
        """Return a number as text, with a true minus sign; what is rounded to zero has none."""
        if not math.isfinite(value):
            return "not finite"
        text = f"{value:.3g}" if self.decimals is None else f"{value:,.{self.decimals}f}"
        return (text.lstrip("-") if not text.strip("-0.,") else text).replace("-", MINUS)


def style_for(intervals: Iterable[Interval]) -> Style:
    """Choose decimals that give the smallest mean three digits, or the median interval two, whichever is more."""
    intervals = [i for i in intervals if i.n]
    means = [abs(i.mean) for i in intervals if i.mean]
    halves = sorted(i.half for i in intervals if i.known and i.half > 0)
    if not means:
        return Style(0)
    if max(means) >= 1e9 or min(means) < 1e-6:
        return Style(None)
    needed = 3 - _digits(min(means))
    if halves:
        needed = max(needed, 2 - _digits(halves[len(halves) // 2]))
    whole = all(float(i.mean).is_integer() for i in intervals)
    return Style(0 if whole and not halves else min(max(needed, 0), 6))


def _digits(value: float) -> int:
    """Return the number of digits before the point: 3 for 123.4, 0 for 0.4, -1 for 0.04."""
    return math.floor(math.log10(value)) + 1


def percent_style(value: Percent) -> Style:
    """Choose the fewest decimals with which the bounds look neither like zero nor alike unless they are."""
    bounds = [value.low, value.high] if value.known else [value.mean]

    def enough(decimals: int) -> bool:
        shown = [round(each, decimals) for each in bounds]
        zero = any(abs(each) > NOTHING and not rounded for each, rounded in zip(bounds, shown, strict=True))
        return not zero and (shown[0] != shown[-1] or abs(bounds[0] - bounds[-1]) < NO_WIDTH)

    return Style(next((decimals for decimals in range(MOST_DECIMALS) if enough(decimals)), MOST_DECIMALS))


def percents(value: Percent, sign: float = 1.0) -> str:
    """Say a percentage and its interval, times a sign: "27% [12, 42]"."""
    return bounded(value, percent_style(value), sign, "%")


def bounded(value: Percent | Interval, numbers: Style, sign: float, unit: str = "") -> str:
    """Say a number with its unit, and its interval where that is known, times a sign."""
    low, high = sorted((sign * value.low, sign * value.high))
    spread = f" [{numbers(low)}, {numbers(high)}]" if value.known else ""
    return f"{numbers(sign * value.mean)}{unit}{spread}"


def moment(text: str) -> str:
    """Return an ISO time as a person reads it, to the minute; another text stays as it is."""
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        return text
    zone = f" {found.tzname()}" if found.tzname() else ""
    return f"{found:%Y-%m-%d %H:%M}{zone}" if "T" in text else text
