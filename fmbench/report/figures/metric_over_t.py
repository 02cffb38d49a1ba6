"""Metrics with a value for each part of [0, 1], such as the loss by t: one curve a training combination."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from fmbench.io.printable_text import count
from fmbench.report.analysis.comparability import split_by_identity
from fmbench.report.analysis.curves import Curves
from fmbench.report.analysis.metric_series import MetricCurve
from fmbench.report.figures.plane.snapshots import chosen
from fmbench.report.figures.score_curves import directed, name_above
from fmbench.report.figures.theme import Look, Picture, log_axis, looks, new_figure, new_panels, save, themed, wants_log
from fmbench.report.output_folder import Folder
from fmbench.report.result_table import ResultTable, Row, Values, gather, varying, words
from fmbench.stats.paired_seeds import Interval, interval

if TYPE_CHECKING:
    from matplotlib.axes import Axes

MOST_LINES = 8
"""Training combinations in one figure: as many as there are colours."""


def curves_over(
    result_table: ResultTable, scores: Curves | None, series: MetricCurve, folder: Folder, name: str
) -> tuple[Picture | None, str]:
    """Draw a series: a panel for each group of comparable values, a line a training combination.

    Returns the picture, None where there are no values, and a note where values cannot be drawn together.
    """
    values = {
        row: [gather(records, facts, result_table.failed) for facts in series.parts]
        for row, records in result_table.trainings.items()
    }
    values = {row: found for row, found in values.items() if any(v.by_seed for v in found)}
    rows, left = chosen(result_table, scores, list(values), MOST_LINES)
    parts, note = split_by_identity({row: _joined(values[row]) for row in rows})
    if not rows or not parts:
        return None, f"No figure of {series.facts.name}: {note}." if rows else ""
    said = varying(rows)
    styles = looks(words(row, said) for row in rows)
    over, width = series.parts[0].over, min(len(parts), 3)
    from matplotlib.lines import Line2D

    with themed():
        figure = new_figure(max(5.4, 3.3 * width + 0.6), 2.6 * -(-len(parts) // width) + 0.8)
        created = new_panels(figure, len(parts), width, sharex=True)
        for axes, (suffix, part) in zip(created, parts, strict=True):
            axes.set_title(suffix.strip(" ()"))
            _lines(axes, {row: values[row] for row in rows if part[row] is not None}, said, styles)
        if len(rows) > 1:
            name_above(figure, [Line2D([], [], color=k.colour, linestyle=k.dashes, label=n) for n, k in styles.items()])
        figure.supxlabel(f"{over} (0 is noise, 1 is data)" if over == "t" else over, fontsize=9)
        figure.supylabel(directed(series.facts), fontsize=9)
        caption = _caption(series, values, len(parts)) + left
        return save(figure, folder, name, f"{result_table.dataset}: {series.facts.name}", caption), ""


def _joined(parts: Sequence[Values]) -> Values:
    """Return the identities of all values of a row as those of one entry."""
    return Values(identities=tuple(identity for values in parts for identity in values.identities))


def _lines(axes: Axes, values: Mapping[Row, Sequence[Values]], said: Sequence[int], styles: Mapping[str, Look]) -> None:
    """Draw the mean over seeds of each part at its middle, and its interval as a band."""
    drawn: list[Interval] = []
    for row, parts in values.items():
        look = styles[words(row, said)]
        scores = [interval(list(v.by_seed.values())) for v in parts]
        at = [(number + 0.5) / len(scores) for number, score in enumerate(scores) if score.n]
        scores = [score for score in scores if score.n]
        drawn += scores
        means = np.array([score.mean for score in scores])
        half = np.array([score.half if score.known else 0.0 for score in scores])
        axes.fill_between(at, means - half, means + half, color=look.colour, alpha=0.15, linewidth=0)
        axes.plot(at, means, **{**look.line, "markersize": 3.5})
    axes.grid(True, axis="y")
    axes.set_xlim(0, 1)
    if wants_log(levels := [score.mean for score in drawn]):
        log_axis(axes, "y", min(levels), max(levels))


def _caption(series: MetricCurve, values: Mapping[Row, Sequence[Values]], panels: int) -> str:
    known = any(len(v.by_seed) > 1 for parts in values.values() for v in parts)
    spread = "mean over seeds, the band its 95% interval (Student's t)" if known else "one seed, so no interval"
    over = series.parts[0].over
    text = (
        f"{series.facts.name} in {count(len(series.parts), 'equal part')} of {over}, a dot at the middle of each; "
        f"{spread}. It shows at which {over} a training combination is good and at which it is not."
    )
    axes = " Values of different panels are not comparable with each other, which is why each has a scale of its own."
    return text + (axes if panels > 1 else "")
