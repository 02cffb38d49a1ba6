"""One metric of one configuration on both sides: its values by seed, and their difference or why there is none."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace

from fmbench.compare.compared_results import ComparedResults
from fmbench.compare.comparison import RowComparison
from fmbench.compare.pairing import RowPair, why_not
from fmbench.results.records import MetricFacts
from fmbench.results.snapshot import CellValues
from fmbench.stats.joint_verdicts import p_of
from fmbench.stats.paired_seeds import difference, interval
from fmbench.stats.welch import unpaired

LARGEST = 1e100
"""The largest value that is compared: squares of larger ones are no floats."""


def compare_row(
    pair: RowPair, facts: MetricFacts, sides: tuple[ComparedResults, ComparedResults], despite: Collection[str]
) -> RowComparison:
    """Return a metric of one configuration, without a verdict."""
    values = [_values(side, facts.name) for side in pair.rows]
    row = RowComparison(
        (pair.before, pair.after), interval(list(values[0].values())), interval(list(values[1].values()))
    )
    common = sorted(values[0].keys() & values[1].keys())
    if not values[0] or not values[1]:
        return replace(row, reason=_lost(pair, facts.name, "A" if not values[0] else "B"))
    if reason := why_not(facts, sides, _identities(pair, facts.name, values, common, despite)):
        return replace(row, reason=reason)
    if len(common) < 2 and min(map(len, values)) >= 2:
        apart = unpaired(list(values[1].values()), list(values[0].values()))
        return replace(row, gap=apart.gap, p=apart.p, paired=False, reason="seeds do not pair: Welch's t")
    if not common:
        return replace(row, reason="no seed in common, and one side has only one")
    gap = difference(values[1], values[0], facts.better)
    extra = sorted(values[0].keys() ^ values[1].keys())
    said = f"seed {', '.join(map(str, extra))} on one side alone" if extra else ""
    pairs = {seed: (values[0][seed], values[1][seed]) for seed in common}
    p = p_of(gap.absolute) if gap.absolute.known else None
    return replace(row, gap=gap.absolute, percent=gap.percent, p=p, reason=said, by_seed=pairs)


def _values(rows: Mapping[int, CellValues], name: str) -> dict[int, float]:
    """Return a metric's values by seed that can be compared."""
    found = {seed: row.values[name] for seed, row in sorted(rows.items()) if name in row.values}
    return {seed: value for seed, value in found.items() if math.isfinite(value) and abs(value) <= LARGEST}


def _identities(
    pair: RowPair, name: str, values: Sequence[Mapping[int, float]], common: Sequence[int], despite: Collection[str]
) -> list[tuple[dict[str, object], dict[str, object]]]:
    """Return pairs of identities: seed by seed, or of all seeds with each other where none is common."""
    seeds = [(s, s) for s in common] or [(a, b) for a in values[0] for b in values[1]]
    sides = [
        {s: {k: v for k, v in row.identities.get(name, {}).items() if k not in despite} for s, row in rows.items()}
        for rows in pair.rows
    ]
    return [(sides[0][a], sides[1][b]) for a, b in seeds]


def _lost(pair: RowPair, name: str, side: str) -> str:
    rows = pair.rows[0 if side == "A" else 1].values()
    statuses = dict.fromkeys(row.status for row in rows if row.status != "ok")
    return f"no value in {side}" + (f" ({', '.join(statuses)})" if statuses else "")
