"""The verdicts of a comparison: those on rows hold jointly, and so do those on metrics over all rows."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import replace

from fmbench.compare.comparison import MetricComparison, Overall, RowComparison
from fmbench.stats.joint_verdicts import adjusted, is_identical, joint_verdict, p_of, seeds_said
from fmbench.stats.paired_seeds import Interval, Percent, interval


def judged(found: Iterable[MetricComparison]) -> tuple[list[MetricComparison], int]:
    """Return the metrics with their verdicts, and how many of those on rows hold jointly."""
    found = list(found)
    p = {
        (i, j): row.p
        for i, each in enumerate(found)
        if each.judged
        for j, row in enumerate(each.rows)
        if row.p is not None and not row.is_identical
    }
    joint = adjusted(p)
    overalls = {i: _overall(each) for i, each in enumerate(found) if each.judged}
    known = {
        i: each[0].p for i, each in overalls.items() if each and each[0].p is not None and not is_identical(each[1])
    }
    joint_overall = adjusted(known)
    with_verdicts = []
    for i, each in enumerate(found):
        rows = [_with_verdict(each, row, joint.get((i, j)), len(p)) for j, row in enumerate(each.rows)]
        overall = overalls.get(i)
        said = overall and _overall_verdict(*overall, each.facts.better, joint_overall.get(i), len(known))
        with_verdicts.append(replace(each, rows=rows, overall=said or None))
    return with_verdicts, len(p)


def _with_verdict(each: MetricComparison, row: RowComparison, joint: float | None, together: int) -> RowComparison:
    if not each.judged or row.gap is None:
        return row
    verdict = joint_verdict(row.gap, 1.0 if row.is_identical else joint, each.facts.better)
    told = verdict in ("better", "worse")
    return replace(
        row, verdict=verdict, p=joint, needed="" if told or not row.paired else seeds_said(row.gap, together)
    )


def _overall(each: MetricComparison) -> tuple[Overall, Interval] | None:
    """Return the mean over rows by seed, without a verdict, and that of its logarithms.

    None where it would say nothing that a row does not: of fewer than two rows, or where a value is not positive.
    """
    rows = [row.by_seed for row in each.rows if row.by_seed]
    seeds = sorted(set.intersection(*map(set, rows))) if len(rows) > 1 else []
    if not seeds or any(min(row[seed]) <= 0 for row in rows for seed in seeds):
        return None
    by_seed = [math.fsum(math.log(row[seed][1] / row[seed][0]) for row in rows) / len(rows) for seed in seeds]
    gap = interval(by_seed)
    mean, low, high = (100 * math.expm1(min(value, 700.0)) for value in (gap.mean, gap.low, gap.high))
    return Overall(Percent(mean, low, high, gap.n), len(rows), p_of(gap) if gap.known else None, "", ""), gap


def _overall_verdict(overall: Overall, gap: Interval, better: str, joint: float | None, together: int) -> Overall:
    verdict = joint_verdict(gap, 1.0 if is_identical(gap) else joint, better)
    needed = "" if verdict in ("better", "worse") else seeds_said(gap, together)
    return replace(overall, verdict=verdict, p=joint, needed=needed)
