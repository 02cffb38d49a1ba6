"""A comparison as JSON."""

from __future__ import annotations

import math
from typing import Any

from fmbench.compare.compared_results import ComparedResults
from fmbench.compare.comparison import MetricComparison, Overall, ResultsComparison, RowComparison
from fmbench.compare.text import headline, tally
from fmbench.results.snapshot import named
from fmbench.stats.paired_seeds import Interval, Percent

VERSION = 1


def as_data(comparison: ResultsComparison) -> dict[str, Any]:
    """Return all of a comparison as a JSON value; what is not finite is null."""
    return {
        "schema": VERSION,
        "headline": headline(comparison),
        "verdicts": tally(comparison),
        "got_worse": comparison.got_worse,
        "judged_together": comparison.judged_together,
        "a": _side(comparison.before),
        "b": _side(comparison.after),
        "metrics": [_metric(each) for each in comparison.metrics],
        "only_in_a": {section: list(names) for section, names in comparison.only_before.items()},
        "only_in_b": {section: list(names) for section, names in comparison.only_after.items()},
        "failed_in_b": list(comparison.lost),
        "differing": list(comparison.differing),
        "notes": list(comparison.notes),
    }


def _side(side: ComparedResults) -> dict[str, Any]:
    made = side.snapshot.made
    return {
        "name": side.name,
        "suite": side.snapshot.suite,
        "variant": made.get("variant", ""),
        "date": made.get("date", ""),
        "hardware": side.snapshot.hardware if side.known else "",
        "commit": made.get("environment", {}).get("git_commit", ""),
        "identities_known": side.known,
    }


def _metric(each: MetricComparison) -> dict[str, Any]:
    return {
        "metric": each.facts.name,
        "better": each.facts.better,
        "unit": each.facts.unit,
        "judged": each.judged,
        "why": each.why,
        "overall": None if each.overall is None else _overall(each.overall),
        "rows": [_row(each, row) for row in each.rows],
    }


def _overall(overall: Overall) -> dict[str, Any]:
    return {
        "percent": _interval(overall.percent),
        "configurations": overall.rows,
        "p": _number(overall.p),
        "verdict": overall.verdict,
        "seeds_that_would_tell": overall.needed,
    }


def _row(each: MetricComparison, row: RowComparison) -> dict[str, Any]:
    return {
        "a_labels": named(each.section, row.groups[0]),
        "b_labels": named(each.section, row.groups[1]),
        "a": _interval(row.before),
        "b": _interval(row.after),
        "difference": None if row.gap is None else _interval(row.gap),
        "percent": None if row.percent is None else _interval(row.percent),
        "p": _number(row.p),
        "paired": row.paired,
        "identical": row.is_identical,
        "verdict": row.verdict,
        "seeds_that_would_tell": row.needed,
        "reason": row.reason,
    }


def _interval(value: Interval | Percent) -> dict[str, Any]:
    return {"mean": _number(value.mean), "low": _number(value.low), "high": _number(value.high), "n": value.n}


def _number(value: float | None) -> float | None:
    return value if value is not None and math.isfinite(value) else None
