"""Two further figures: all combinations at a glance, a panel an NFE; and the loss curves of training."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from textwrap import fill
from typing import TYPE_CHECKING

import numpy as np

from fmbench.records import TrainingRecord
from fmbench.report.boards import ROW_AXES, Board, Row, varying, words
from fmbench.report.curves import N_TRAINING, T_AXIS, Curves, training_rows
from fmbench.report.figures import HOLLOW, SOLVER_AXIS, TITLE_WIDTH, Styles, legend, name_above, reach, spread_note
from fmbench.report.files import Folder
from fmbench.report.theme import INK, Picture, log_axis, looks, new_figure, save, themed, wants_log

if TYPE_CHECKING:
    from matplotlib.axes import Axes

MAX_PANELS_ACROSS = 4


def at_a_glance(board: Board, curves: Curves, styles: Styles, folder: Folder, name: str) -> Picture | None:
    """Draw every combination by NFE: a panel a budget, a line of dots a training combination, a colour a solver."""
    rows = training_rows(board)
    budgets = sorted({p.nfe for row, points in curves.rows.items() if row not in curves.adaptive for p in points})
    if not budgets or len(rows) < 2:
        return None
    said = varying(rows)
    across = min(len(budgets), MAX_PANELS_ACROSS)
    down = -(-len(budgets) // across)
    with themed():
        figure = new_figure(1.95 * across + 2.2, down * (0.3 * len(rows) + 0.55) + 0.75)
        created = figure.subplots(down, across, sharey=True, squeeze=False).flatten()
        for axes in created[len(budgets) :]:
            axes.set_axis_off()
        for axes, nfe in zip(created, budgets, strict=False):
            _dots(axes, curves, rows, nfe, styles)
            axes.set_title(f"NFE {nfe:g}")
        created[0].set_yticks(range(len(rows)), [fill(words(row, said), TITLE_WIDTH) for row in rows])
        created[0].set_ylim(len(rows) - 0.5, -0.5)
        direction = f" ({curves.facts.better} is better)" if curves.facts.better else ""
        figure.supxlabel(f"{curves.facts.name}{direction}; each panel has its own scale", fontsize=9)
        fixed = {row: points for row, points in curves.rows.items() if row not in curves.adaptive}
        legend(figure, replace(curves, rows=fixed, floor=None), styles)
        caption = (
            "Training combinations side by side at equal NFE: a row a combination, a dot a solver. "
            f"{spread_note(curves.points).replace('vertical', 'horizontal')} Every panel has its own scale."
        )
        return save(figure, folder, name, f"{board.dataset}: all combinations at equal NFE", caption)


def _dots(axes: Axes, curves: Curves, rows: Sequence[Row], nfe: float, styles: Styles) -> None:
    solvers = list(dict.fromkeys(row[SOLVER_AXIS:] for row in curves.rows))
    scores = []
    for row, points in curves.rows.items():
        for point in points if row not in curves.adaptive else ():
            if point.nfe != nfe:
                continue
            # Solvers are set a little apart, so that equal values do not hide each other.
            shift = (solvers.index(row[SOLVER_AXIS:]) + 0.5) / len(solvers) - 0.5
            half = point.score.half if point.score.known else 0.0
            style = {**styles[row[SOLVER_AXIS]].line, "linestyle": "none"}
            y = rows.index(row[:N_TRAINING]) + 0.66 * shift
            style |= {} if point.complete else HOLLOW
            style["zorder"] = 3
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


def losses(board: Board, folder: Folder, name: str) -> Picture | None:
    """Draw training losses: a panel a t-distribution (their losses are not comparable), a line a combination."""
    histories = {
        row: found for row, records in board.trainings.items() if (found := _mean_history(records)) is not None
    }
    if not histories:
        return None
    across = list(dict.fromkeys(row[T_AXIS] for row in histories))
    axes_said = [i for i in varying(histories) if i != T_AXIS]
    styles = looks(words(row, axes_said) for row in histories)
    from matplotlib.lines import Line2D

    width = min(len(across), 3)
    with themed():
        figure = new_figure(max(5.4, 3.1 * width + 0.6), 2.5 * -(-len(across) // width) + 0.8)
        created = figure.subplots(-(-len(across) // width), width, squeeze=False).flatten()
        for axes in created[len(across) :]:
            axes.set_axis_off()
        for axes, label in zip(created, across, strict=False):
            axes.set_title(f"{ROW_AXES[T_AXIS]} {label}")
            axes.grid(True, axis="y")
            _loss_lines(axes, {r: h for r, h in histories.items() if r[T_AXIS] == label}, axes_said, styles)
        if axes_said:
            handles = [Line2D([], [], color=k.colour, linestyle=k.dashes, label=label) for label, k in styles.items()]
            name_above(figure, handles)
        figure.supxlabel("training step", fontsize=9)
        figure.supylabel("training loss", fontsize=9)
        caption = (
            "Training loss, mean over seeds; the band runs from the lowest to the highest seed. Training losses "
            "under different t-distributions weigh the times differently and are not comparable with each other, "
            "which is why each has a panel and a scale of its own; nor do losses of different paths say which "
            "samples are better."
        )
        return save(figure, folder, name, f"{board.dataset}: training loss", caption)


def _mean_history(records: Sequence[TrainingRecord]) -> np.ndarray | None:
    """Return `(4, entries)`: step, and mean, lowest and highest loss over the seeds, at the steps that all have."""
    finished = [dict(r.history) for r in records if r.status == "ok" and len(r.history)]
    finished = finished or [dict(r.history) for r in records if len(r.history)]
    if not finished:
        return None
    steps = sorted(set(finished[0]).intersection(*finished[1:]))
    values = np.array([[history[step] for step in steps] for history in finished], dtype=float)
    keep = np.isfinite(values).all(axis=0)
    if not keep.any():
        return None
    values = values[:, keep]
    return np.stack([np.array(steps, dtype=float)[keep], values.mean(0), values.min(0), values.max(0)])


def _loss_lines(axes: Axes, histories: Mapping[Row, np.ndarray], said: Sequence[int], styles: Styles) -> None:
    """Draw one panel. The first tenth of training, where losses fall from far above, does not set the scale."""
    tails, lows = [], []
    for row, (step, mean, low, high) in histories.items():
        look = styles[words(row, said)]
        axes.fill_between(step, low, high, color=look.colour, alpha=0.15, linewidth=0)
        axes.plot(step, mean, color=look.colour, linestyle=look.dashes, linewidth=1.4)
        tails.append(float(mean[min(len(mean) - 1, math.ceil(0.1 * len(mean)))]))
        lows.append(float(low.min()))
    if lows and min(lows) > 0:
        top = 1.25 * max(*tails, min(lows))
        log_axis(axes, "y", min(lows), top)
        axes.set_ylim(min(lows) / 1.05, top)
