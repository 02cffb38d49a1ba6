"""All combinations at a glance: a panel an NFE, a line of dots a training combination."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from textwrap import fill
from typing import TYPE_CHECKING, Any

from fmbench.report.analysis.curves import N_TRAINING, Curves, training_rows
from fmbench.report.figures.score_curves import (
    HOLLOW,
    TITLE_WIDTH,
    Styles,
    directed,
    legend,
    reach,
    spread_note,
)
from fmbench.report.figures.theme import INK, Picture, log_axis, new_figure, new_panels, save, themed, wants_log
from fmbench.report.output_folder import Folder
from fmbench.report.result_table import SOLVER_AXIS, ResultTable, Row, varying, words

if TYPE_CHECKING:
    from matplotlib.axes import Axes

MAX_PANELS_ACROSS = 4
DOT: dict[str, Any] = {"linestyle": "none", "zorder": 3}


def at_a_glance(result_table: ResultTable, curves: Curves, styles: Styles, folder: Folder, name: str) -> Picture | None:
    """Draw every combination by NFE: a panel a budget, a line of dots a training combination, a colour a solver."""
    rows = training_rows(result_table)
    budgets = sorted({point.nfe for points in curves.fixed.values() for point in points})
    if not budgets or len(rows) < 2:
        return None
    said = varying(rows)
    across = min(len(budgets), MAX_PANELS_ACROSS)
    down = -(-len(budgets) // across)
    with themed():
        figure = new_figure(1.95 * across + 2.2, down * (0.3 * len(rows) + 0.55) + 0.75)
        created = new_panels(figure, len(budgets), across, sharey=True)
        for axes, nfe in zip(created, budgets, strict=True):
            _dots(axes, curves, rows, nfe, styles)
            axes.set_title(f"NFE {nfe:g}")
        created[0].set_yticks(range(len(rows)), [fill(words(row, said), TITLE_WIDTH) for row in rows])
        created[0].set_ylim(len(rows) - 0.5, -0.5)
        figure.supxlabel(f"{directed(curves.facts)}; each panel has its own scale", fontsize=9)
        legend(figure, replace(curves, rows=curves.fixed, floor=None), styles)
        caption = (
            "Training combinations side by side at equal NFE: a row a combination, a dot a solver. "
            f"{spread_note(curves.points).replace('vertical', 'horizontal')} Every panel has its own scale."
        )
        return save(figure, folder, name, f"{result_table.dataset}: all combinations at equal NFE", caption)


def _dots(axes: Axes, curves: Curves, rows: Sequence[Row], nfe: float, styles: Styles) -> None:
    solvers = list(dict.fromkeys(row[SOLVER_AXIS:] for row in curves.rows))
    scores = []
    for row, points in curves.fixed.items():
        for point in (each for each in points if each.nfe == nfe):
            # Solvers are set a little apart, so that equal values do not hide each other.
            shift = (solvers.index(row[SOLVER_AXIS:]) + 0.5) / len(solvers) - 0.5
            half = point.score.half if point.score.known else 0.0
            y = rows.index(row[:N_TRAINING]) + 0.66 * shift
            style = {**styles[row[SOLVER_AXIS]].line, **({} if point.complete else HOLLOW), **DOT}
            axes.errorbar([point.score.mean], [y], xerr=[half], elinewidth=1.0, capsize=0, **style)
            scores.append(point.score)
    for i in range(1, len(rows), 2):
        axes.axhspan(i - 0.5, i + 0.5, color="#f4f5f7", linewidth=0, zorder=0)
    axes.grid(True, axis="x")
    axes.tick_params(axis="y", length=0, labelcolor=INK)
    means = [score.mean for score in scores]
    if wants_log(means):
        log_axis(axes, "x", min(means), max(means))
        axes.set_xlim(*reach(scores))
