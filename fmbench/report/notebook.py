"""What a notebook shows of results: tables as HTML, and a figure of one score over the NFE."""

from __future__ import annotations

import io
import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape
from typing import TYPE_CHECKING

from matplotlib.figure import Figure

from fmbench.io.printable_text import visible
from fmbench.report.result_table import ROW_AXES, Row, Values, varying, words
from fmbench.report.tables.headline_table import REAL
from fmbench.report.tables.table import Column, Entry, Table, assemble
from fmbench.results.records import MetricFacts
from fmbench.stats.paired_seeds import interval

if TYPE_CHECKING:
    from pandas import DataFrame

MOST_CURVES = 8
"""Rows in one figure: more cannot be told apart."""
MOST_ROWS = 20
"""Rows of a table that a notebook shows."""
WIDE = 20
"""From this ratio of the largest score to the smallest on the scale is logarithmic."""
ADAPTIVE = "adaptive"
Scores = Mapping[tuple[Row, int | None], Values]
"""The values of a metric by row and NFE budget, None for solvers that choose their own steps."""


@dataclass(frozen=True)
class ScorePanel:
    """What a figure shows of one dataset: rows, the best first, and their scores."""

    dataset: str
    title: str
    rows: Sequence[Row]
    scores: Scores


class ScoreFigure(Figure):
    """A figure that a notebook shows by itself; `savefig` writes it to a file."""

    def _repr_png_(self) -> bytes:
        picture = io.BytesIO()
        self.savefig(picture, format="png", dpi=110, bbox_inches="tight")
        return picture.getvalue()


def scores_of_frame(frame: DataFrame, metric: str) -> dict[str, Scores]:
    """Return the values of a column of records.csv by dataset."""
    found: dict[str, dict[tuple[Row, int | None], Values]] = {}
    axes = [axis for axis in ROW_AXES if axis in frame]
    labels = frame[axes].astype(object).where(frame[axes].notna(), "")
    for key, part in frame.groupby([*(labels[axis] for axis in axes), frame["nfe_budget"]], dropna=False, sort=False):
        assert isinstance(key, tuple)
        named = dict(zip(axes, map(str, key), strict=False))
        row = tuple(named.get(axis, "") for axis in ROW_AXES)
        nfe = str(key[-1])
        budget = None if nfe in ("nan", "<NA>") else int(nfe.partition(".")[0])
        pairs = zip(part["seed"], part["status"], part[metric], strict=True)
        by_seed, lost = {}, Counter[str]()
        for seed, status, value in pairs:
            if status == "ok" and math.isfinite(value):
                by_seed[int(seed)] = float(value)
            else:
                lost[str(status)] += 1
        found.setdefault(row[0], {})[row, budget] = Values(by_seed, lost)
    return dict(found)


def table_of_scores(dataset: str, metric: str, scores: Scores) -> Table:
    """Return a table of scores of which it is not known what may be compared: nothing is marked as best."""
    rows = list(dict.fromkeys(row for row, _ in scores))
    facts = MetricFacts(metric, "", "", "evaluation", metric)
    budgets = sorted({nfe for _, nfe in scores if nfe is not None})
    columns = [
        Column(f"NFE {nfe}", {row: scores.get((row, nfe)) for row in rows}, facts, marks=False) for nfe in budgets
    ]
    if any(nfe is None for _, nfe in scores):
        columns.append(Column(ADAPTIVE, {row: scores.get((row, None)) for row in rows}, facts, marks=False))
    return assemble(f"{dataset}: {metric}, by NFE", rows, columns, lambda row: "")


def html_of(tables: Sequence[Table], note: str = "") -> str:
    """Return tables as HTML, the first rows of each, with what stands beneath them; every text is escaped."""
    parts = [f"<p><strong>{_text(note)}</strong></p>"] if note else []
    for table in tables:
        head = "".join(f"<th>{_text(name)}</th>" for name in (*table.heads, *table.columns))
        real = [line for line in table.lines if line.command == REAL]
        rows = [line for line in table.lines if line.command != REAL]
        body = "".join(
            "<tr>"
            + "".join(f"<td>{_text(label)}</td>" for label in line.labels)
            + "".join(map(_cell, line.entries))
            + "</tr>"
            for line in (*rows[:MOST_ROWS], *real)
        )
        more = [f"{MOST_ROWS} of {len(rows)} rows."] if len(rows) > MOST_ROWS else []
        notes = "<br>".join(_text(text) for text in (*more, *table.notes))
        rows_of = f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"
        parts.append(f"<p>{_text(table.title)}</p>{rows_of}<p><small>{notes}</small></p>")
    return "".join(parts)


def _cell(entry: Entry) -> str:
    text = _text(" ".join(filter(None, (entry.value, entry.spread, entry.note))))
    if entry.best:
        return f"<td><strong>{text}</strong></td>"
    return f"<td>{text}{' †' if entry.tied else ''}</td>"


def _text(text: str) -> str:
    return escape(visible(text))


def figure_of(datasets: Sequence[ScorePanel]) -> ScoreFigure:
    """Draw a panel a dataset: each row's mean over the NFE with its 95% interval; of many rows, the first."""
    figure = ScoreFigure(figsize=(6.4 * max(1, len(datasets)), 4), layout="constrained")
    panels = figure.subplots(1, max(1, len(datasets)), squeeze=False)[0]
    for curves, axes in zip(datasets, panels, strict=False):
        places = varying(curves.rows)
        shown = [row for row in curves.rows if any((row, nfe) in curves.scores for nfe in _budgets(curves.scores))]
        for number, row in enumerate(shown[:MOST_CURVES]):
            known = {n: v for n in _budgets(curves.scores) if (v := curves.scores.get((row, n))) and v.by_seed}
            means = [interval(list(values.by_seed.values())) for values in known.values()]
            shift = 1 + 0.012 * (number - len(shown[:MOST_CURVES]) / 2)  # so that intervals stand beside one another
            halves = [each.half if each.known else 0 for each in means]
            x = [nfe * shift for nfe in known]
            label = words(row, places).replace("$", r"\$")
            axes.errorbar(x, [each.mean for each in means], halves, label=label, marker="o", markersize=3, capsize=2)
        more = f" ({MOST_CURVES} of {len(shown)} rows)" if len(shown) > MOST_CURVES else ""
        axes.set(
            title=f"{curves.dataset}{more}".replace("$", r"\$"), xlabel="NFE", ylabel=curves.title.replace("$", r"\$")
        )
        axes.set_xscale("log", base=2)
        every = [value for values in curves.scores.values() for value in values.by_seed.values()]
        if every and min(every) > 0 and max(every) > WIDE * min(every):
            axes.set_yscale("log")
        axes.set_xticks(_budgets(curves.scores), [str(nfe) for nfe in _budgets(curves.scores)])
        if shown:
            axes.legend(fontsize="small")
    return figure


def _budgets(scores: Scores) -> list[int]:
    return sorted({nfe for _, nfe in scores if nfe is not None})
