"""The table that is shown first, in a terminal and a notebook: the best rows of the metric that leads a report."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from fmbench.report.analysis.baseline import is_baseline
from fmbench.report.analysis.ranking import rankings
from fmbench.report.drawable import drawable
from fmbench.report.result_table import ResultTable, Row, make_result_tables
from fmbench.report.tables.standard_tables import by_nfe, of_adaptive, of_unsaid
from fmbench.report.tables.table import Entry, Table, TableLine
from fmbench.results.records import Records

MOST_LINES = 40
"""Rows that are kept for the terminal."""
REAL = "real data"
"""What the line is of what real data score in place of samples."""


def headline_tables(records: Records, metric: str | None = None) -> list[Table]:
    """Return a table a dataset: a metric, the leading one where none is named, by NFE, the best rows first, then what
    real data score.

    First come the rows that lead at an NFE, then the others by their mean rank. Where no solver has a fixed NFE, it is
    the table of those that have none. A row of the suite's baseline has "baseline" for its command, for here nobody
    reproduces a row.
    """
    tables = (_headline_table(each, records.baseline, metric) for each in tables_of_results(records))
    return [table for table in tables if table is not None]


def tables_of_results(records: Records) -> list[ResultTable]:
    """Return the result tables whose best rows are shown: of each training's last step that is evaluated."""
    return make_result_tables(drawable(records).last_steps)


def _headline_table(result_table: ResultTable, baseline: Mapping[str, Any] | None, metric: str | None) -> Table | None:
    rows: list[Row] = []

    def note(row: Row) -> str:
        rows.append(row)
        return "baseline" if baseline and is_baseline(result_table, row, baseline) else ""

    named = (facts for facts in result_table.metrics if facts.name == metric)
    facts = result_table.headline if metric is None else next(named, None)
    table = by_nfe(result_table, facts, note) if facts is not None else None
    if table is None:
        return of_adaptive(result_table, note) or of_unsaid(result_table, note)
    real, lines = table.lines[: -len(rows)], dict(zip(rows, table.lines[-len(rows) :], strict=True))
    ordered: list[TableLine] = [lines[row] for row in best_first(result_table, rows)]
    return replace(table, lines=(*ordered, *(replace(line, command=REAL) for line in real)))


def best_first(result_table: ResultTable, rows: Sequence[Row]) -> list[Row]:
    """Return rows in the order of what they score: those that lead at an NFE, then by their mean rank."""
    found = rankings(result_table)
    ranks: dict[Row, list[float]] = {row: [] for row in rows}
    for place in found:
        for number, row in enumerate(place.order):
            ranks.setdefault(row, []).append(number / len(place.order))

    def mean_rank(row: Row) -> float:
        own = ranks.get(row)
        return sum(own) / len(own) if own else 1.0

    leads = dict.fromkeys(min(place.first, key=mean_rank) for place in found if place.first)
    return [*leads, *sorted((row for row in rows if row not in leads), key=mean_rank)]


def as_data(table: Table) -> dict[str, Any]:
    """Return a table as data: title, heads, columns, notes, how many `rows` it has, and the first lines of them.

    A line has labels, entries (value, spread, note, mark) and what it is: "baseline", "real data" or "".
    """
    real = [line for line in table.lines if line.command == REAL]
    rows = [line for line in table.lines if line.command != REAL]
    said = [
        {"labels": list(line.labels), "entries": [_entry(each) for each in line.entries], "is": line.command}
        for line in (*rows[:MOST_LINES], *real)
    ]
    names = {"title": table.title, "heads": list(table.heads), "columns": list(table.columns)}
    return {**names, "notes": list(table.notes), "rows": len(rows), "lines": said}


def _entry(entry: Entry) -> list[str]:
    return [entry.value, entry.spread, entry.note, "best" if entry.best else "tied" if entry.tied else ""]
