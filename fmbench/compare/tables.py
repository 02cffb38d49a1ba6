"""The tables of a comparison, as texts: the terminal, Markdown and the page show the same ones."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from fmbench.compare.comparison import MetricComparison, Overall, ResultsComparison, RowComparison
from fmbench.io.printable_text import count
from fmbench.report.number_format import MINUS, Style, bounded, percent_style, percents, style_for
from fmbench.report.result_table import SAID
from fmbench.results.snapshot import AXES, CellGroup, grouped
from fmbench.stats.paired_seeds import Interval, Percent

NUMBERS = ("A", "B", "change", "configurations")
"""The columns that hold numbers."""
ORDER = ("worse", "better", "not distinguishable", "cannot tell", "")


@dataclass(frozen=True)
class Line:
    """One line of a table, and the verdict that colours it."""

    cells: tuple[str, ...]
    tone: str = ""


@dataclass(frozen=True)
class TextTable:
    """A table of texts; `note` says how to read it."""

    title: str
    heads: tuple[str, ...]
    lines: tuple[Line, ...]
    note: str = ""

    @property
    def are_numbers(self) -> tuple[bool, ...]:
        """Which columns hold numbers."""
        return tuple(head in NUMBERS for head in self.heads)


def changed_table(comparison: ResultsComparison) -> TextTable | None:
    """Return the rows that got worse or better, the largest changes first; None where there are none."""
    found = [*comparison.with_verdict("worse"), *comparison.with_verdict("better")]
    rows = sorted(found, key=lambda pair: (ORDER.index(pair[1].verdict), -_size(pair[1])))
    note = _joint(comparison.judged_together)
    return _of_rows(comparison, "What changed", rows, "verdict", note)


def untold_table(comparison: ResultsComparison, most: int = 5) -> TextTable | None:
    """Return the rows that the fewest seeds more would tell; None where there are none, or no spread is known."""
    rows = [pair for pair in comparison.with_verdict("not distinguishable") if pair[1].needed.startswith("about")]
    rows.sort(key=lambda pair: (int(pair[1].needed.split()[1]), -_size(pair[1])))
    note = (
        "About how many seeds would tell a difference of the size that is observed in 9 of 10 cases, as one of so many "
        "verdicts; few seeds know their spread, and so this number, only roughly."
    )
    return _of_rows(comparison, "Not told, and what would tell", rows[:most], "would tell", note)


def _of_rows(
    comparison: ResultsComparison,
    title: str,
    rows: Sequence[tuple[MetricComparison, RowComparison]],
    last: str,
    note: str,
) -> TextTable | None:
    varying = _varying(row for each in comparison.metrics for row in each.rows)
    lines = [
        Line((each.facts.name, _said(row, varying), *_numbers(each, row), row.needed or row.verdict), row.verdict)
        for each, row in rows
    ]
    heads = ("metric", "configuration", "A", "B", "change", last)
    return TextTable(title, heads, tuple(lines), note) if lines else None


def overall_table(comparison: ResultsComparison) -> TextTable | None:
    """Return each judged metric over all of its configurations; None where no metric has several."""
    found = [(each, each.overall) for each in comparison.metrics if each.overall]
    if not found:
        return None
    lines = [
        Line((_titled(each), str(overall.rows), percent_said(overall.percent), _verdict(overall)), overall.verdict)
        for each, overall in found
    ]
    note = "The mean over configurations of the logarithm of B / A, seed by seed, in percent with its 95% interval."
    return TextTable(
        "Over all configurations", ("metric", "configurations", "change", "verdict"), tuple(lines),
        f"{note} {_joint(len(found))}" if len(found) > 1 else note,
    )  # fmt: skip


def metric_table(each: MetricComparison) -> TextTable:
    """Return the configurations of a metric that are compared and not identical."""
    known = [row for row in each.rows if row.gap is not None]
    rows = [row for row in known if not row.is_identical]
    varying = _varying(known)
    heads = tuple(_head(AXES[each.section][i]) for i in varying) or ("dataset",)
    lines = [
        Line(
            (*_labels(row, varying), *_numbers(each, row), *((_said_of(row), row.needed) if each.judged else ())),
            row.verdict,
        )
        for row in rows
    ]
    ends = ("verdict", "seeds that would tell") if each.judged else ()
    return TextTable(_titled(each), (*heads, "A", "B", "change", *ends), tuple(lines), _note(each))


def _note(each: MetricComparison) -> str:
    seeds = sorted({row.gap.n for row in each.rows if row.gap is not None})
    many = " or ".join(map(str, seeds))
    read = f"Mean and half-width of the 95% interval over seeds; change: B less A, seed by seed (n = {many})."
    alike = sum(row.is_identical for row in each.rows)
    left = f"{count(alike, 'configuration')} not shown: identical on both sides to the last bit." if alike else ""
    return " ".join(filter(None, (read, f"{each.why.capitalize()}." if each.why else "", left)))


def _titled(each: MetricComparison) -> str:
    unit = f" [{each.facts.unit}]" if each.facts.unit else ""
    return f"{each.facts.name}{unit}" + (f", {each.facts.better} is better" if each.facts.better else "")


def _varying(rows: Iterable[RowComparison]) -> list[int]:
    """Return the positions of the axes on which rows differ, or A and B do."""
    groups = [group for row in rows for group in row.groups]
    width = min(map(len, groups), default=0)
    found = [i for i in range(width) if len({group[i] for group in groups}) > 1]
    longest = max(map(len, groups), default=0)
    return found + [i for i in range(width, longest) if len({g[i] for g in groups if len(g) > i}) > 1]


def _labels(row: RowComparison, varying: Sequence[int]) -> tuple[str, ...]:
    return tuple(_label(row.groups, i) for i in varying) or (row.groups[0][0],)


def _label(groups: tuple[CellGroup, CellGroup], i: int) -> str:
    before, after = (group[i] if i < len(group) else "" for group in groups)
    return (after or "–") if before == after else f"{before or '–'} → {after or '–'}"


def _said(row: RowComparison, varying: Sequence[int]) -> str:
    """Return a configuration in words, by the axes that vary."""
    said = []
    for i in varying:
        if i < len(row.groups[1]) and (row.groups[0][i] or row.groups[1][i]):
            axis, label = AXES["evaluation"][i], _label(row.groups, i)
            said.append(f"NFE {label}" if axis == "nfe" else SAID.get(axis, "{}").format(label))
    return ", ".join(said) or row.groups[1][0]


def _head(axis: str) -> str:
    return "NFE" if axis == "nfe" else axis


def _numbers(each: MetricComparison, row: RowComparison) -> tuple[str, str, str]:
    numbers = style_for([row.before, row.after])
    return _mean(row.before, numbers), _mean(row.after, numbers), change(row)


def _mean(value: Interval, numbers: Style) -> str:
    half = f" ± {numbers(value.half)}" if value.known and value.half > 0 else ""
    return f"{numbers(value.mean)}{half}"


def change(row: RowComparison) -> str:
    """Say how much larger B is: in percent of A's mean, or in the metric's unit where percents mean nothing."""
    if row.is_identical:
        return "none"
    if row.percent is not None and math.isfinite(row.percent.mean):
        return _signed(bounded(row.percent, percent_style(row.percent), 1.0, "%"))
    return "" if row.gap is None else _signed(bounded(row.gap, style_for([row.gap]), 1.0))


def percent_said(value: Percent) -> str:
    """Say a change in percent with its interval and sign."""
    return _signed(percents(value))


def _signed(text: str) -> str:
    return text if text.startswith((MINUS, "0%")) else f"+{text}"


def _joint(number: int) -> str:
    """Say what verdicts mean together."""
    return (
        f"What is told by {count(number, 'comparison')} holds jointly: the chance that any of it is wrong is at most "
        "5% (Holm). Each interval by itself is 95%."
    )


def _said_of(row: RowComparison) -> str:
    """Return a row's verdict, and how else it must be read."""
    return f"{row.verdict} ({row.reason})" if row.reason else row.verdict


def _verdict(overall: Overall) -> str:
    if overall.percent.low == overall.percent.high == 0:
        return "identical"
    return f"{overall.verdict}; {overall.needed} would tell" if overall.needed else overall.verdict


def _size(row: RowComparison) -> float:
    if row.percent is not None and math.isfinite(row.percent.mean):
        return abs(row.percent.mean)
    return 0.0


def refused_lines(comparison: ResultsComparison) -> list[str]:
    """Say which metrics are not compared, of how many configurations, and why: each reason once."""
    said = grouped(
        (reason, f"{each.facts.name} of {count(number, 'configuration')}")
        for each in comparison.metrics
        for reason, number in each.refused.items()
    )
    return [f"{', '.join(names)}: {reason}." for reason, names in said.items()]


def short_tables(comparison: ResultsComparison) -> list[TextTable]:
    """Return the tables that say in short what the comparison comes to."""
    found = overall_table(comparison), changed_table(comparison), untold_table(comparison)
    return [table for table in found if table is not None]
