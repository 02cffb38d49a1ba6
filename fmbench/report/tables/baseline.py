"""The table of differences from the suite's baseline."""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping, Sequence
from typing import Any

from fmbench.report.analysis.baseline import gaps_from_baseline, references
from fmbench.report.number_format import MINUS, percent_style, style_for
from fmbench.report.result_table import ROW_AXES, ResultTable, varying
from fmbench.report.tables.table import Command, Entry, Table, TableLine, joint_note
from fmbench.results.records import MetricFacts
from fmbench.stats.joint_verdicts import comparisons, seeds_said
from fmbench.stats.paired_seeds import Difference


def against_baseline(result_table: ResultTable, wanted: Mapping[str, Any], command: Command) -> Table | None:
    """Return the table of differences of the headline metric from the baseline, or None without a headline."""
    facts, rows = result_table.headline, result_table.rows()
    if facts is None or not rows:
        return None
    title = f"{result_table.dataset}: {facts.name} against the baseline"
    said = ", ".join(f"{axis} {_written(value)}" for axis, value in wanted.items() if axis in ROW_AXES)
    pairs = references(result_table, wanted)
    if not pairs:
        return Table(title, ("row",), (), (), (f"The baseline ({said}) has no counterpart among these cells.",))
    axes = varying(rows)
    gaps = gaps_from_baseline(result_table, pairs, facts)
    known = [each for each in gaps.values() if each is not None and each.absolute.known]
    usual = statistics.multimode(sorted(each.absolute.n for each in known))[-1] if known else 0
    judged = comparisons({place: each.absolute for place, each in gaps.items() if each is not None})
    lines = []
    for row in pairs:
        found = tuple(difference_entry(gaps[row, nfe], usual, judged) for nfe in result_table.budgets)
        lines.append(TableLine(tuple(row[i] or "–" for i in axes), found, command(row)))
    heads = tuple(ROW_AXES[i] for i in axes)
    notes = _notes(said, facts, known, usual, judged)
    if any(map(result_table.made_elsewhere, pairs.values())):
        notes.append(
            "The baseline was made elsewhere, so every row is compared with it at its NFE, whatever the solver; its "
            "repeats share no noise with the seeds that they are paired with."
        )
    if unused := [axis for axis in wanted if axis not in ROW_AXES]:
        notes.append(
            f"The baseline's {' and '.join(unused)} are not used: rows are compared seed by seed at equal NFE."
        )
    return Table(title, heads, tuple(f"NFE {nfe}" for nfe in result_table.budgets), tuple(lines), tuple(notes))


def _notes(said: str, facts: MetricFacts, known: Sequence[Difference], usual: int, judged: int) -> list[str]:
    """Say how the differences are to be read; `known` are those with an interval, most of them over `usual` seeds, and
    `judged` of them are not identical.
    """
    notes = [
        f"Baseline: {said}, with the same solver and whatever else a row names. Difference from it in percent of its "
        f"mean, paired by seed; {facts.better} is better."
    ]
    if not known:
        return [*notes, "cannot tell: without two seeds in common, nothing can be said about spread."]
    notes.append(
        f"In brackets the 95% interval over n = {usual} seeds, unless an entry says otherwise: Student's t of the "
        "differences by seed, in percent by Fieller's method, because the baseline's mean is uncertain too."
    )
    if not all(math.isfinite(found.percent.mean) for found in known):
        notes.append(
            "Entries without % are in the metric's own unit: the baseline's mean cannot be told from zero there."
        )
    notes.append(
        "n.d.: not distinguishable, and about how many seeds would tell a difference of the size that is observed. "
        "cannot tell: fewer than two seeds in common."
    )
    notes += [note] if (note := joint_note(judged)) else []
    return notes


def difference_entry(found: Difference | None, usual: int = 0, judged_together: int = 1) -> Entry:
    """Return the entry of a difference: in percent, or in the metric's unit where percents mean nothing.

    `usual` is the number of seeds that is said once for the whole table; 0 where each entry says its own. An entry that
    is not told says how many seeds would tell it as one of so many that are `judged_together`.
    """
    if found is None:
        return Entry("–")
    said = {"not distinguishable": "n.d."}.get(found.verdict, found.verdict)
    if found.verdict == "not distinguishable" and (needed := seeds_said(found.absolute, judged_together)):
        said += f", {needed}"
    if found.absolute.n not in (1, usual):
        said += f", n = {found.absolute.n}"
    relative = math.isfinite(found.percent.mean)
    shown = found.percent if relative else found.absolute
    numbers = percent_style(found.percent) if relative else style_for([found.absolute])
    unit = " %" if relative else ""
    value = numbers(shown.mean)
    value = value if value.startswith(MINUS) else f"+{value}"
    if not shown.known:
        return Entry(value + unit, "", said, tone=found.verdict)
    return Entry(value, f"[{numbers(shown.low)}, {numbers(shown.high)}]{unit}", said, tone=found.verdict)


def _written(value: Any) -> str:
    """Return a baseline's value as a person writes it."""
    if isinstance(value, Mapping):
        return "; ".join(f"{name} {dict(parameters)}" if parameters else name for name, parameters in value.items())
    if isinstance(value, Sequence) and not isinstance(value, str):
        return " / ".join(map(_written, value))
    return str(value)
