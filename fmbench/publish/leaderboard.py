"""The leaderboard of a suite: its configurations over all reports, by what can be compared alone."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from fmbench.cells.keys import canonical
from fmbench.compare.tables import Line, TextTable
from fmbench.publish.reports import PublishedReport
from fmbench.report.number_format import Style, style_for
from fmbench.report.result_table import labels_said
from fmbench.results.records import MetricFacts
from fmbench.results.snapshot import CellGroup, grouped
from fmbench.stats.paired_seeds import Interval, interval

LAST_AXIS = -1
"""The position of the NFE in a group's labels."""
LARGEST = 1e100
"""The largest value that is shown: squares of larger ones are no floats."""
MOST = 100
"""Lines of a table; the reports have the rest."""


@dataclass(frozen=True)
class _Entry:
    """One metric of a configuration in one report: the mean over seeds, what it is comparable by, and how many seeds
    have no value.
    """

    report: PublishedReport
    group: CellGroup
    score: Interval
    identity: str
    lost: int


def leaderboards(reports: Sequence[PublishedReport]) -> list[TextTable]:
    """Return the tables of a suite, a dataset and an identity each, and those of times, a machine each."""
    facts = next((f for r in reports for f in r.results.snapshot.metrics.values() if _leads(f)), None)
    tables = [] if facts is None else _tables(reports, facts, "machine")
    clock = next((f for r in reports for f in r.results.snapshot.metrics.values() if _is_clock(f)), None)
    return tables + ([] if clock is None else _tables(reports, clock, "report"))


def _leads(facts: MetricFacts) -> bool:
    return facts.scope == "evaluation" and bool(facts.better) and not facts.over and not facts.is_cost


def _is_clock(facts: MetricFacts) -> bool:
    return facts.scope == "sampler" and facts.is_time and bool(facts.better) and not facts.over


def _tables(reports: Sequence[PublishedReport], facts: MetricFacts, by: str) -> list[TextTable]:
    entries = [entry for report in reports for entry in _entries(report, facts)]
    split = grouped(((entry.group[0], entry.identity), entry) for entry in entries)
    several = {dataset for dataset, _ in split if sum(d == dataset for d, _ in split) > 1}
    tables = []
    for (dataset, _), found in split.items():
        where = "; ".join(dict.fromkeys(each.report.said if by == "machine" else each.report.machine for each in found))
        suffix = f" ({where})" if dataset in several or by == "report" else ""
        unit = f" [{facts.unit}]" if facts.unit else ""
        title = f"{dataset}: {facts.name}{unit}, {facts.better} is better{suffix}"
        tables.append(_table(title, found, facts, dataset in several))
    return tables


def _entries(report: PublishedReport, facts: MetricFacts) -> Iterable[_Entry]:
    """Yield a report's entries of a metric. Seeds that were measured differently stand apart, by their identity."""
    cost = facts.is_cost or facts.scope == "sampler"
    machine = report.machine if cost else ""  # an older identity does not name it
    rows = report.results.snapshot.evaluations.items()
    cells = (
        ((group, canonical([dict(row.identities.get(facts.name, {})), machine])), row.values[facts.name])
        for (group, _), row in rows
        if abs(row.values.get(facts.name, math.inf)) <= LARGEST
    )
    seeds = Counter(group for group, _ in report.results.snapshot.evaluations)
    found = grouped(cells)
    known = Counter(group for (group, _), values in found.items() for _ in values)
    for (group, identity), values in found.items():
        yield _Entry(report, group, interval(values), identity, seeds[group] - known[group])


def _table(title: str, entries: Sequence[_Entry], facts: MetricFacts, apart: bool) -> TextTable:
    """Return configurations of all reports, the best mean first, with a column an NFE."""
    budgets = sorted({e.group[LAST_AXIS] for e in entries}, key=lambda nfe: (not nfe.isdigit(), nfe.zfill(9)))
    groups = [entry.group for entry in entries]
    varying = [i for i in range(1, len(groups[0]) - 1) if len({group[i] for group in groups}) > 1]
    lines = grouped(((entry.report.slug, entry.group[:LAST_AXIS]), entry) for entry in entries)
    sign = 1.0 if facts.better == "lower" else -1.0
    order = sorted(lines.values(), key=lambda line: min((e.lost > 0, sign * e.score.mean) for e in line))
    best = _best(entries, sign)
    numbers = style_for(entry.score for entry in entries)
    shown = []
    for line in order[:MOST]:
        by_nfe: Mapping[str, _Entry] = {entry.group[LAST_AXIS]: entry for entry in line}
        name = ", ".join(labels_said(line[0].group, varying)) or line[0].group[0]
        cells = [
            "–" if nfe not in by_nfe else _said(by_nfe[nfe], numbers, by_nfe[nfe] is best.get(nfe)) for nfe in budgets
        ]
        shown.append(Line((name, line[0].report.said, *cells)))
    note = "Mean and half-width of the 95% interval over seeds; ★: the best mean of a column, which another may tie."
    if any(entry.lost for entry in entries):
        note += " n: how many seeds have a value, where some have none; such a mean is never the best."
    if apart:
        note += " Values that are not comparable (other samples, data, precision or machine) have a table each."
    if len(order) > MOST:
        note += f" {len(order) - MOST} more are in the reports."
    heads = ("configuration", "from", *(f"NFE {nfe}" if nfe else "adaptive" for nfe in budgets))
    return TextTable(title, heads, tuple(shown), note)


def _best(entries: Sequence[_Entry], sign: float) -> dict[str, _Entry]:
    """Return the best mean of each NFE; who lost a seed is never the best, as in a report."""
    by_nfe = grouped((entry.group[LAST_AXIS], entry) for entry in entries if not entry.lost)
    return {nfe: min(found, key=lambda entry: sign * entry.score.mean) for nfe, found in by_nfe.items()}


def _said(entry: _Entry, numbers: Style, best: bool) -> str:
    score = entry.score
    text = numbers(score.mean)
    text += f" ± {numbers(score.half)}" if score.known and score.half > 0 else ""
    text += f" (n = {score.n})" if entry.lost else ""
    return f"★ {text}" if best else text
