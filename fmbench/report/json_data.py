"""A report as data, for programs: what `fmbench report --json` prints."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from fmbench.report.build import all_tables, make_contents
from fmbench.report.tables.table import Entry, Table
from fmbench.results.failures import groups_of
from fmbench.results.records import Records


def report_as_data(records: Records) -> dict[str, Any]:
    """Return the answer, the tables and the records of a report, as JSON holds them: what is not finite is null.

    `records` are the rows of records.csv, `references` those of references.csv.
    """
    contents = make_contents(records)
    about = {name: getattr(records, name) for name in ("suite", "description", "variant", "command", "finished")}
    return {
        **about,
        "environment": dict(records.environment),
        "answer": [{"about": name, "text": text} for name, text in contents.in_short.lines],
        "details": [{"about": name, "text": text} for name, text in contents.in_short.details],
        "tables": [_table(table) for table in all_tables(contents)],
        "metrics": [_finite(asdict(facts)) for facts in records.metrics],
        "records": [_finite(record.row()) for record in records.evaluations],
        "references": [_finite(record.row()) for record in records.references],
        "failures": [group.as_data() for group in groups_of(records)],
        "left_out": [{"cell": cell, "reason": reason} for cell, reason in records.left_out],
    }


def _table(table: Table) -> dict[str, Any]:
    lines = [
        {"labels": list(line.labels), "entries": [_entry(entry) for entry in line.entries], "command": line.command}
        for line in table.lines
    ]
    heads = {"title": table.title, "heads": list(table.heads), "columns": list(table.columns)}
    return {**heads, "lines": lines, "notes": list(table.notes)}


def _entry(entry: Entry) -> dict[str, str]:
    """Return what an entry says, without what it does not."""
    mark = "best" if entry.best else "tied" if entry.tied else ""
    said = {"value": entry.value, "spread": entry.spread, "note": entry.note, "verdict": entry.tone, "mark": mark}
    return {name: text for name, text in said.items() if text}


def _finite(row: Mapping[str, Any]) -> dict[str, Any]:
    return {k: None if isinstance(v, float) and not math.isfinite(v) else v for k, v in row.items()}
