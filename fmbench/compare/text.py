"""The sentences of a comparison."""

from __future__ import annotations

from fmbench.compare.comparison import MetricComparison, ResultsComparison
from fmbench.compare.tables import percent_said
from fmbench.io.printable_text import count
from fmbench.stats.paired_seeds import VERDICTS


def headline(comparison: ResultsComparison) -> str:
    """Return what the comparison comes to, in a sentence or two."""
    judged = [each for each in comparison.metrics if each.judged]
    if not judged:
        return "Nothing is judged: the metrics that both sides have are shown, and have no verdict."
    first = judged[0]
    overall = _overall(first)
    counts = ", ".join(f"{number} {what}" for what, number in tally(comparison).items() if number)
    names = ", ".join(each.facts.name for each in judged)
    lost = f" {count(len(comparison.lost), 'configuration')} of A's failed in B." if comparison.lost else ""
    return f"{overall}B against A ({names}): {counts}.{lost}"


def _overall(each: MetricComparison) -> str:
    """Say how a metric changed over all configurations; "" where it has no such number."""
    if each.overall is None:
        return ""
    where = f"over {count(each.overall.rows, 'configuration')}"
    if each.overall.percent.mean == 0 and each.overall.percent.low == 0:
        return f"{each.facts.name} is the same {where}. "
    return f"{each.facts.name} {percent_said(each.overall.percent)} {where} ({each.overall.verdict}). "


def tally(comparison: ResultsComparison) -> dict[str, int]:
    """Return how many rows of judged metrics have which verdict; identical ones are counted apart."""
    rows = [row for each in comparison.metrics if each.judged for row in each.rows if row.gap is not None]
    identical = sum(row.is_identical for row in rows)
    found = {verdict: sum(row.verdict == verdict and not row.is_identical for row in rows) for verdict in VERDICTS}
    return {**found, "identical": identical}


def summary(comparison: ResultsComparison) -> list[str]:
    """Return what a reader must know besides the tables: lost cells, one-sided rows, differences, notes."""
    lines = [f"Failed in B, ok in A: {text}." for text in comparison.lost]
    for side, only in (("A", comparison.only_before), ("B", comparison.only_after)):
        for section, names in only.items():
            if names:
                what = count(len(names), f"{section}", f"{section}s")
                lines.append(f"Only in {side}: {what}, such as {names[0]}.")
    return lines + [f"Note: {text}" for text in comparison.notes]
