"""Verdicts that stand side by side, and how many seeds would tell what the seeds at hand do not.

Of twenty differences of nothing one is beyond its own 95% interval. So the verdicts of one table hold jointly: they are
Holm's (`fmbench.stats.multiple_testing`) over the paired t-tests of all its comparisons, and the chance that any of
them is wrong is at most FALSE_ALARMS. The intervals that are shown stay those of each difference by itself.
"""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Mapping
from dataclasses import replace
from typing import TypeVar

from fmbench.stats.multiple_testing import FALSE_ALARMS, POWER, holm
from fmbench.stats.paired_seeds import Difference, Interval, verdict
from fmbench.stats.student_t import CONFIDENCE, quantile

Key = TypeVar("Key")
MOST_SEEDS = 50
"""More seeds than this are not counted out: nobody trains so many to learn of one difference."""
LARGEST = 1e6
"""The largest effect, in standard deviations, that scipy's noncentral t distribution can take."""


def jointly(differences: Mapping[Key, Difference | None], better: str) -> dict[Key, Difference | None]:
    """Return the differences of one table with the verdicts that hold jointly; `better` is "lower" or "higher"."""
    p = joint_p({key: each.absolute for key, each in differences.items() if each is not None})
    return {
        key: each and replace(each, verdict=joint_verdict(each.absolute, p.get(key), better))
        for key, each in differences.items()
    }


def joint_verdict(gap: Interval, p: float | None, better: str) -> str:
    """Return the verdict on one of many differences by its adjusted p-value, None where no spread is known."""
    if p is None or not better:
        return "cannot tell"
    return "not distinguishable" if p > FALSE_ALARMS else verdict(Interval(gap.mean, 0.0, gap.n), better)


def joint_p(gaps: Mapping[Key, Interval]) -> dict[Key, float]:
    """Return Holm's adjusted p-value of each mean difference that has an interval.

    Differences that are nothing in every seed (cells that are the same to the last bit) are 1 and count as no
    comparison: there is nothing that chance could do to them.
    """
    known = {key: gap for key, gap in gaps.items() if gap.known}
    return {
        **dict.fromkeys(known, 1.0),
        **adjusted({key: p_of(gap) for key, gap in known.items() if not is_identical(gap)}),
    }


def adjusted(p: Mapping[Key, float]) -> dict[Key, float]:
    """Return Holm's adjusted p-values of comparisons that are judged together."""
    return dict(zip(p, holm(list(p.values()), [1.0] * len(p)), strict=True)) if p else {}


def comparisons(gaps: Mapping[Key, Interval]) -> int:
    """Return how many differences are judged together."""
    return sum(gap.known and not is_identical(gap) for gap in gaps.values())


def is_identical(gap: Interval) -> bool:
    """Tell whether a difference is nothing in every seed."""
    return gap.mean == 0 and gap.half == 0


def p_of(gap: Interval) -> float:
    """Return the two-sided p-value of Student's t of a mean with its 95% interval; `gap` has at least two values."""
    from scipy.special import stdtr

    if gap.half == 0:
        return 1.0 if gap.mean == 0 else 0.0
    t = abs(gap.mean) / gap.half * quantile(gap.n - 1, 0.5 + CONFIDENCE / 2)
    return float(2 * stdtr(gap.n - 1, -t))


def seeds_needed(gap: Interval, judged_together: int = 1) -> int | None:
    """Return about how many seeds would tell a difference of the size that is observed, or None for more than
    MOST_SEEDS.

    It is the least n at which Student's t by seed, with the spread that is observed, finds such a difference with the
    chance POWER, at the level FALSE_ALARMS / `judged_together`. `gap` is not nothing, and has at least two values.
    """
    if gap.half == 0:
        return gap.n
    effect = abs(gap.mean) / (gap.half / quantile(gap.n - 1, 0.5 + CONFIDENCE / 2) * math.sqrt(gap.n))
    level = FALSE_ALARMS / max(judged_together, 1)
    numbers = range(2, MOST_SEEDS + 1)
    place = bisect_left(numbers, True, key=lambda n: power(effect, n, level) >= POWER)
    return numbers[place] if place < len(numbers) else None


def power(effect: float, n: int, level: float) -> float:
    """Return the chance that a two-sided paired t-test of `n` seeds finds a mean of `effect` standard deviations."""
    from scipy.special import nctdtr, ndtr

    critical, shift = quantile(n - 1, 1 - level / 2), min(effect, LARGEST) * math.sqrt(n)
    missed = float(nctdtr(n - 1, shift, critical))  # the other side's part is below level / 2, and smaller still
    if math.isnan(missed):  # scipy gives up on some chances too small to matter
        missed = float(ndtr(critical - shift))
    return 1 - missed


def seeds_said(gap: Interval, judged_together: int = 1) -> str:
    """Say how many seeds would tell a difference that was not told; "" where there is none to tell."""
    if not gap.known:
        return "two seeds or more"
    if is_identical(gap):
        return ""
    if (needed := seeds_needed(gap, judged_together)) is None:
        return f"more than {MOST_SEEDS} seeds"
    return f"about {max(needed, gap.n + 1)} seeds"
