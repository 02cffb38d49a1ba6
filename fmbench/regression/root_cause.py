"""Which of many worse comparisons is the fault, and which only show it from another side."""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence
from dataclasses import replace

from fmbench.regression.hypothesis_tests import Test
from fmbench.regression.outcome import Comparison, Verdict
from fmbench.regression.paired_values import is_relative
from fmbench.results.snapshot import CellGroup
from fmbench.stats.variance import mean_of

Labels = frozenset[tuple[str, str]]
"""Axes with labels on them, of which all cells with these labels are meant; none: the whole suite."""


def find_culprits(
    tests: Sequence[Test], found: Sequence[Comparison], suspects: Collection[Labels] = ()
) -> tuple[list[Comparison], list[Comparison]]:
    """Return the comparisons, those explained by another one marked, and the culprits, the largest first.

    Per metric, by pursuit: of all that is worse, the one that accounts for most of the sum of squares of the cells'
    differences (its size times its mean squared) is a culprit; its mean is taken off its cells; what is then no longer
    worse by the least effect is explained by it; and so on with the rest. Suspects are those of which something else
    than the size of differences says that the change is theirs: where they are worse they come first. Scores come
    before times.
    """
    return _explain(tests, found, "worse", suspects)


def improved(tests: Sequence[Test], found: Sequence[Comparison], suspects: Collection[Labels] = ()) -> list[Comparison]:
    """Return the scores that are better and follow from nothing else, found as `find_culprits` finds culprits.

    Times are none: they get shorter when a neighbour falls silent, and are not measured again for that.
    """
    return [comparison for comparison in _explain(tests, found, "better", suspects)[1] if not comparison.is_time]


def _explain(
    tests: Sequence[Test], found: Sequence[Comparison], verdict: Verdict, suspects: Collection[Labels]
) -> tuple[list[Comparison], list[Comparison]]:
    marked = list(found)
    culprits: list[tuple[bool, bool, float, Comparison]] = []
    for metric in dict.fromkeys(test.metric for test in tests):
        mine = [i for i, test in enumerate(tests) if test.metric == metric]
        trusted = () if is_relative(metric) else suspects
        for share, i, explained in _pursue([tests[j] for j in mine], [found[j] for j in mine], verdict, trusted):
            culprit = mine[i]
            culprits.append((is_relative(metric), not _is_of(tests[culprit], trusted), -share, found[culprit]))
            for j in explained:
                marked[mine[j]] = replace(found[mine[j]], explained_by=found[culprit].what)
    return marked, [culprit for *_, culprit in sorted(culprits, key=lambda each: each[:3])]


def _is_of(test: Test, suspects: Collection[Labels]) -> bool:
    """Tell whether a test is over exactly the cells of one suspect."""
    return test.level == "component" and frozenset(test.axes.items()) in suspects


def _pursue(
    tests: Sequence[Test], found: Sequence[Comparison], verdict: Verdict, suspects: Collection[Labels]
) -> list[tuple[float, int, list[int]]]:
    """Return `(sum of squares, culprit, what it explains)`, by index."""
    sign = 1.0 if verdict == "worse" else -1.0
    left: dict[CellGroup, float] = {
        next(iter(test.parts)): sign * test.effect
        for test in tests
        if test.level == "cell" and math.isfinite(test.effect)
    }
    open_ = [i for i, comparison in enumerate(found) if comparison.verdict == verdict]
    chain = []
    while open_:
        means = {i: mean_of([left.get(part, 0.0) for part in tests[i].parts]) for i in open_}
        shares = {i: len(tests[i].parts) * means[i] * abs(means[i]) for i in open_}
        culprit = max([i for i in open_ if _is_of(tests[i], suspects)] or open_, key=lambda i: shares[i])
        for part in tests[culprit].parts:
            left[part] = left.get(part, 0.0) - means[culprit]
        rest = [i for i in open_ if i != culprit]
        explained = [i for i in rest if mean_of([left.get(part, 0.0) for part in tests[i].parts]) < tests[i].least]
        chain.append((shares[culprit], culprit, explained))
        open_ = [i for i in rest if i not in explained]
    return chain
