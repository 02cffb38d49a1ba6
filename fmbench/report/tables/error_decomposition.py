"""The table of the error decomposition."""

from __future__ import annotations

from fmbench.report.analysis.error_decomposition import error_decompositions
from fmbench.report.number_format import style_for
from fmbench.report.result_table import ROW_AXES, ResultTable, varying
from fmbench.report.tables.table import Entry, Table, TableLine
from fmbench.results.records import ReferenceRecord
from fmbench.stats.paired_seeds import Interval


def error_decomposition_table(result_table: ResultTable) -> Table | None:
    """Return the table of the parts: a line an evaluation row and NFE."""
    found, floor = error_decompositions(result_table)
    if not found or result_table.headline is None or floor is None:
        return None
    axes = varying(row for row, _ in found)
    columns = {
        result_table.headline.name: [s.total for s in found.values()],
        floor.label: [s.floor for s in found.values()],
        "solver": [s.solver for s in found.values()],
        "network": [s.network for s in found.values()],
    }
    numbers = style_for([each for column in columns.values() for each in column])
    lines = []
    for number, (row, nfe) in enumerate(found):
        labels = (*(row[i] or "–" for i in axes), "adaptive" if nfe is None else str(nfe))
        entries = [column[number] for column in columns.values()]
        lines.append(TableLine(labels, tuple(_entry(each, numbers(each.mean), numbers(each.half)) for each in entries)))
    notes: tuple[str, ...] = (
        f"{result_table.headline.name} = {floor.label} + solver + network, seed by seed; "
        "± is the 95% interval (Student's t).",
        "solver: what the exact velocity leaves with this solver, path and NFE beyond what real data score. network: "
        "what the trained network adds to that. A negative part means that errors cancel, or that there is none.",
    )
    lost = [r for r in result_table.references if r.cell.section == "oracle" and r.status not in ("ok", "missing")]
    notes = (*notes, *(dict.fromkeys(f"No oracle with {_sampler(r)}: {r.error}." for r in lost)))
    heads = (*(ROW_AXES[i] for i in axes), "NFE")
    title = f"{result_table.dataset}: {result_table.headline.name}, from the network or from the solver?"
    return Table(title, heads, tuple(columns), tuple(lines), notes, minor=True)


def _sampler(record: ReferenceRecord) -> str:
    """Say path, solver, grid and NFE of an oracle."""
    cell = record.cell
    said = [str(spec) for spec in (cell.path, cell.solver, cell.grid) if spec]
    return ", ".join([*said, *([f"NFE {cell.nfe}"] if cell.nfe is not None else [])])


def _entry(value: Interval, mean: str, half: str) -> Entry:
    return Entry(mean, f"± {half}" if value.known else "")
