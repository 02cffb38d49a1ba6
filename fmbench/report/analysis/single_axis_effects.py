"""What one choice does where all else stays equal: an axis's components against its reference, by solver and NFE."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from fmbench.io.printable_text import count
from fmbench.report.analysis.baseline import gaps_from_baseline, is_baseline
from fmbench.report.result_table import ROW_AXES, SOLVER_AXIS, ResultTable, Row, varying
from fmbench.results.records import TRAINING_AXES, MetricFacts


def effects(result_table: ResultTable, baseline: Mapping[str, Any] | None) -> list[tuple[str, str]]:
    """Return `(axis, sentences)` for each training axis that varies; none where nothing can be told apart from chance.

    The reference is the baseline's component, or the first of the plan where the baseline does not name one.
    """
    facts, rows = result_table.headline, result_table.rows()
    if facts is None or not facts.better:
        return []
    lines = []
    for axis in varying(rows):
        if axis >= len(TRAINING_AXES):
            continue
        wanted = {k: v for k, v in (baseline or {}).items() if k == ROW_AXES[axis]}
        reference = next((row for row in rows if wanted and is_baseline(result_table, row, wanted)), rows[0])[axis]
        others = [label for label in dict.fromkeys(row[axis] for row in rows) if label != reference]
        said = [_effect(result_table, facts, rows, axis, label, reference) for label in others]
        if any(said):
            lines.append((ROW_AXES[axis], " ".join(filter(None, said))))
    return lines


def _effect(
    result_table: ResultTable, facts: MetricFacts, rows: Sequence[Row], axis: int, label: str, reference: str
) -> str:
    """Count the joint verdicts on one component; by solver too, where it is better with some and worse with others."""
    verdicts: dict[str, Counter[str]] = {}
    pairs = {row: (*row[:axis], reference, *row[axis + 1 :]) for row in rows if row[axis] == label}
    for (row, _), found in gaps_from_baseline(result_table, pairs, facts).items():
        if found is not None and found.absolute.known:
            verdicts.setdefault(row[SOLVER_AXIS], Counter())[found.verdict] += 1
    total = sum(verdicts.values(), Counter[str]())
    if not total:
        return ""
    text = (
        f"{label} against {reference}, all else equal: better in {total['better']}, worse in {total['worse']}, not "
        f"distinguishable in {total['not distinguishable']} of {count(total.total(), 'comparison')}."
    )
    if total["better"] and total["worse"] and len(verdicts) > 1:
        by_solver = ", ".join(f"{solver} {c['better']}:{c['worse']}" for solver, c in verdicts.items())
        text += f" Better:worse by solver: {by_solver}."
    return text
