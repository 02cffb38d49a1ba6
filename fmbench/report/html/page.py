"""The page of a report: one HTML file with data, scripts and style inside, that needs nothing else to be read."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from fmbench.report.figures.theme import Picture
from fmbench.report.html.static_chart import static_chart
from fmbench.report.html.templates import template_environment
from fmbench.report.number_format import moment
from fmbench.report.page_data.json_text import json_text
from fmbench.report.page_data.payload import RunAddresses, page_data
from fmbench.report.page_data.ranks import row_ranks
from fmbench.report.page_data.samples import samples_data
from fmbench.report.result_table import ResultTable, varying
from fmbench.report.tables.table import Table, TableLine
from fmbench.report.text.headline import Summary
from fmbench.results.records import Records

HERE = Path(__file__).parent
VENDOR = ("d3.min.js", "plot.umd.min.js")
"""What scripts are drawn with, in the order in which they need each other; a licence lies beside each."""
LAST = "main.js"
"""The script that starts the others, which only define what they do."""

LEAST, MOST = 1_000_000, 2_000_000
FEW, MANY = 300, 2_000
"""A page of few cells has at most LEAST bytes, one of many at most MOST, and one between the two in proportion."""
MOST_LINES = 20
"""Lines of a table on the page without scripts."""
MARGIN = 10_000
"""Bytes that are left free for what is counted only roughly."""


@dataclass(frozen=True)
class Section:
    """What the page shows of one dataset: `tables` without scripts, `notes` above the results."""

    result_table: ResultTable
    tables: Sequence[Table]
    pictures: Sequence[Picture] = ()
    notes: Sequence[str] = ()


@dataclass(frozen=True)
class Contents:
    """Everything on the page. `records` hold all steps of trainings; `links` say where MLflow's runs are."""

    records: Records
    command: str
    in_short: Summary
    sections: Sequence[Section]
    speed: Sequence[Table] = ()
    failures: Table | None = None
    pictures: Sequence[Picture] = ()
    links: RunAddresses | None = None


def render(contents: Contents) -> str:
    """Return the page. All text is escaped: names, labels and errors come from suites and plugins."""
    sections, data = contents.sections, data_of(contents)
    result_tables = [section.result_table for section in sections]
    payload, fixed = json_text(data), {"style": _text("style.css"), "scripts": scripts(), "vendor": vendor()}
    static = [_static(number, section, data) for number, section in enumerate(sections)]

    more, template = _more(contents, data), _template()

    def page(samples: str) -> str:
        given = {"data": data, "payload": payload, "samples": samples, "static": static, "more": more, **fixed}
        return str(template.render(given))

    room = budget(len(contents.records.evaluations)) - len(page("").encode(errors="replace")) - MARGIN
    return page(json_text(samples_data(contents.records, data, result_tables, max(room, 0))))


def data_of(contents: Contents) -> dict[str, Any]:
    """Return the page's payload."""
    result_tables = [section.result_table for section in contents.sections]
    notes, files = [section.notes for section in contents.sections], _files(contents.records)
    return page_data(contents.records, result_tables, contents.in_short, notes, files, contents.links)


def budget(cells: int) -> int:
    """Return the most bytes that a page of so many evaluations should have."""
    share = (cells - FEW) / (MANY - FEW)
    return round(LEAST + (MOST - LEAST) * max(share, 0.0))


def scripts() -> str:
    """Return the page's own scripts as one text: by name, and last what starts the others."""
    files = sorted((HERE / "scripts").glob("*.js"), key=lambda file: (file.name == LAST, file.name))
    return "\n".join(file.read_text(encoding="utf-8") for file in files)


def vendor() -> list[str]:
    """Return the libraries that scripts draw with, each after the notice of its licence."""
    return [_notice(name) + _text(f"vendor/{name}") for name in VENDOR if (HERE / "vendor" / name).is_file()]


def _notice(name: str) -> str:
    licence = _text(f"vendor/{name.partition('.')[0]}.LICENSE").replace("*/", "* /")
    return f"/*!\n{name}\n\n{licence.strip()}\n*/\n"


def _text(name: str) -> str:
    return (HERE / name).read_text(encoding="utf-8")


def _template() -> Any:
    environment = template_environment(HERE)
    environment.filters |= {"moment": moment}
    return environment.get_template("page.html")


def _files(records: Records) -> list[tuple[str, str]]:
    """Return the files beside the page, and what is in each."""
    found = [("records.csv", "every value of every seed")]
    found += [("references.csv", "real data and exact velocities")] if records.references else []
    found += [("validation.csv", "the scores by which settings are chosen")] if records.validation else []
    found += [("results.json", "the results for `fmbench compare` and `fmbench publish`")]
    return [*found, ("table.md", "the tables as Markdown"), ("table.tex", "the tables as LaTeX")]


def _static(number: int, section: Section, data: Mapping[str, Any]) -> dict[str, Any]:
    """Return what stands on the page without scripts, and in print: a chart, and the table of the best rows."""
    from markupsafe import Markup

    dataset = data["datasets"][number]
    return {
        "dataset": section.result_table.dataset,
        "svg": Markup(static_chart(data, dataset, number)),
        "tables": [best_lines(table, section.result_table, data, dataset) for table in section.tables[:1]],
    }


def _more(contents: Contents, data: Mapping[str, Any]) -> list[Table]:
    """Return the tables of which scripts draw nothing, of long ones the first lines."""
    titles = {
        f"{dataset['name']}: {data['metrics'][columns['metric']]['title']}{end}"
        for dataset in data["datasets"]
        for columns in dataset["metrics"]
        for end in ("", ", by NFE")
    }
    tables = [table for section in contents.sections for table in section.tables[1:]]
    return [cut(table) for table in (*tables, *contents.speed) if table.title not in titles]


def best_lines(table: Table, result_table: ResultTable, data: Mapping[str, Any], dataset: Mapping[str, Any]) -> Table:
    """Return the table by NFE with the lines of its best rows alone, in their order."""
    axes = varying(result_table.rows())
    ranks = row_ranks(data, dataset)
    of_labels = {
        tuple(row[i] or "–" for i in axes): rank for row, rank in zip(result_table.rows(), ranks, strict=False)
    }
    order = sorted(table.lines, key=lambda line: of_labels.get(line.labels, -1.0))
    kept = {id(line) for line in order[:MOST_LINES]}
    return _with_lines(table, [line for line in table.lines if id(line) in kept], "best")


def cut(table: Table) -> Table:
    """Return a table with its first lines alone."""
    return _with_lines(table, table.lines[:MOST_LINES], "first")


def _with_lines(table: Table, lines: Sequence[TableLine], which: str) -> Table:
    if len(lines) == len(table.lines):
        return table
    note = f"These are the {which} {len(lines)} of {len(table.lines)} lines; table.md has all of them."
    return replace(table, lines=tuple(lines), notes=(note, *table.notes))
