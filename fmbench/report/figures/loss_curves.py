"""The loss curves of training."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from fmbench.report.analysis.curves import T_AXIS
from fmbench.report.analysis.loss_history import mean_history
from fmbench.report.figures.score_curves import (
    Styles,
    name_above,
)
from fmbench.report.figures.theme import Picture, log_axis, looks, new_figure, new_panels, save, themed
from fmbench.report.output_folder import Folder
from fmbench.report.result_table import ROW_AXES, ResultTable, Row, varying, words

if TYPE_CHECKING:
    from matplotlib.axes import Axes


def losses(result_table: ResultTable, folder: Folder, name: str) -> Picture | None:
    """Draw training losses: a panel a t-distribution (their losses are not comparable), a line a combination."""
    every = {row: mean_history(records) for row, records in result_table.trainings.items()}
    histories = {row: found for row, found in every.items() if found is not None}
    if not histories:
        return None
    across = list(dict.fromkeys(row[T_AXIS] for row in histories))
    axes_said = [i for i in varying(histories) if i != T_AXIS]
    styles = looks(words(row, axes_said) for row in histories)
    from matplotlib.lines import Line2D

    width = min(len(across), 3)
    with themed():
        figure = new_figure(max(5.4, 3.1 * width + 0.6), 2.5 * -(-len(across) // width) + 0.8)
        for axes, label in zip(new_panels(figure, len(across), width), across, strict=True):
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
        return save(figure, folder, name, f"{result_table.dataset}: training loss", caption)


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
