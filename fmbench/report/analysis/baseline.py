"""Differences from the suite's baseline, seed by seed at equal solver and equal NFE."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from fmbench.cells.component_spec import ComponentSpec
from fmbench.cells.setting_axes import SETTING_AXES
from fmbench.report.analysis.comparability import mixture
from fmbench.report.result_table import ROW_AXES, ResultTable, Row, Values
from fmbench.results.records import MetricFacts
from fmbench.stats.joint_verdicts import jointly
from fmbench.stats.paired_seeds import Difference, difference


def references(result_table: ResultTable, wanted: Mapping[str, Any]) -> dict[Row, Row]:
    """Map each fixed-step row to the row that it is compared with: the same one, with the baseline's components.

    Samples that were made elsewhere are of no solver: where they are the baseline, every row is compared with them.
    Rows of the baseline itself, and rows whose counterpart the suite does not have, are not in the result.
    """
    rows = result_table.rows()
    base = [row for row in rows if is_baseline(result_table, row, wanted)]
    others = [i for i, axis in enumerate(ROW_AXES) if axis not in wanted]
    by_rest = {tuple(row[i] for i in others): row for row in reversed(base)}  # of several, the first
    elsewhere = next((row for row in base if result_table.made_elsewhere(row)), None)
    found = {row: by_rest.get(tuple(row[i] for i in others), elsewhere) for row in rows if row not in base}
    return {row: reference for row, reference in found.items() if reference is not None}


def of_baseline(result_table: ResultTable, rows: Iterable[Row], wanted: Mapping[str, Any]) -> list[Row]:
    """Return those rows that are of the baseline, in their order."""
    return [row for row in rows if is_baseline(result_table, row, wanted)]


def is_baseline(result_table: ResultTable, row: Row, wanted: Mapping[str, Any]) -> bool:
    """Tell whether a row is of the baseline: of a training row, only the training axes are asked."""
    return all(_is(result_table, row, axis, wanted[axis]) for axis in ROW_AXES[: len(row)] if axis in wanted)


def _is(result_table: ResultTable, row: Row, axis: str, wanted: Any) -> bool:
    """Tell whether a row's component is what a baseline names: a name, a label, `{name: {parameters}}`, or a list."""
    label = row[ROW_AXES.index(axis)]
    if isinstance(wanted, Sequence) and not isinstance(wanted, str):
        return any(_is(result_table, row, axis, one) for one in wanted)
    if isinstance(wanted, int | float):
        return label == f"{float(wanted):g}"
    if axis == "weights":
        return bool(label == wanted)
    spec = result_table.spec(axis, label)
    if spec is None:  # of a setting that has one value in the suite, the plan has seen that it is the one named
        return axis in SETTING_AXES and not any(varied == axis for varied, _ in result_table.specs)
    if isinstance(wanted, Mapping):
        return any(name == spec.name and _has(spec, parameters or {}) for name, parameters in wanted.items())
    return wanted in (spec.name, label, str(spec))


def _has(spec: ComponentSpec, parameters: Mapping[str, Any]) -> bool:
    return all(name in spec.parameters and spec.parameters[name] == value for name, value in parameters.items())


def gaps_from_baseline(
    result_table: ResultTable, pairs: Mapping[Row, Row], facts: MetricFacts
) -> dict[tuple[Row, int], Difference | None]:
    """Return the difference of each row from its reference at each NFE budget, with verdicts that hold jointly."""
    gaps = {
        (row, nfe): gap_of_rows(result_table, row, reference, nfe, facts)
        for row, reference in pairs.items()
        for nfe in result_table.budgets
    }
    return jointly(gaps, facts.better)


def gap_of_rows(result_table: ResultTable, row: Row, other: Row, nfe: int, facts: MetricFacts) -> Difference | None:
    """Return the difference of two rows at one NFE, as `gap` does."""
    return gap(result_table.values(row, nfe, facts), result_table.values(other, nfe, facts), facts.better)


def gap(values: Values | None, reference: Values | None, better: str) -> Difference | None:
    """Return the difference of two entries, or None where one has no value or they are not comparable."""
    if not values or not reference or not values.by_seed or not reference.by_seed:
        return None
    if mixture((*values.identities, *reference.identities)):
        return None
    found = difference(values.by_seed, reference.by_seed, better)
    return found if found.absolute.n else None
