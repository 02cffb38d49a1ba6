"""The figure of the error decomposition: bars for the network's part and the solver's."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from textwrap import fill
from typing import TYPE_CHECKING

from fmbench.report.analysis.curves import N_TRAINING
from fmbench.report.analysis.error_decomposition import PARTS, ErrorDecomposition, error_decompositions
from fmbench.report.analysis.floor_and_oracle import Floor
from fmbench.report.figures.score_curves import TITLE_WIDTH, name_above
from fmbench.report.figures.theme import FAINT, INK, Picture, new_figure, new_panels, save, themed
from fmbench.report.output_folder import Folder
from fmbench.report.result_table import ResultTable, Row, varying, words
from fmbench.results.records import MetricFacts

if TYPE_CHECKING:
    from matplotlib.axes import Axes


COLOURS = dict(zip(PARTS, (FAINT, "#56B4E9", "#D55E00"), strict=True))

MOST_PANELS, MOST_ACROSS, MOST_BARS = 12, 4, 24


def error_decomposition_figure(result_table: ResultTable, folder: Folder, name: str) -> Picture | None:
    """Draw stacked bars: a panel a training combination, a bar a solver and NFE."""
    found, floor = error_decompositions(result_table)
    if not found or result_table.headline is None or floor is None:
        return None
    from matplotlib.patches import Patch

    trainings = list(dict.fromkeys(row[:N_TRAINING] for row, _ in found))[:MOST_PANELS]
    samplers = list(dict.fromkeys((row[N_TRAINING:], nfe) for row, nfe in found))[:MOST_BARS]
    beyond = [i - N_TRAINING for i in varying(row for row, _ in found) if i >= N_TRAINING]
    labels = [_bar_label(row, nfe, beyond) for row, nfe in samplers]
    width = min(len(trainings), MOST_ACROSS)
    down = -(-len(trainings) // width)
    with themed():
        figure = new_figure(2.0 * width + 0.075 * max(map(len, labels)) + 0.4, down * (0.2 * len(labels) + 0.55) + 0.6)
        plots = new_panels(figure, len(trainings), width, sharex=True, sharey=True)
        for axes, training in zip(plots, trainings, strict=True):
            axes.set_title(fill(words(training, varying(trainings)), TITLE_WIDTH))
            _bars(axes, [found.get(((*training, *row), nfe)) for row, nfe in samplers])
        plots[0].set_yticks(range(len(labels)), labels)
        plots[0].set_ylim(len(labels) - 0.4, -0.6)
        plots[0].set_xlim(left=0)
        figure.supxlabel(result_table.headline.name, fontsize=9)
        name_above(figure, [Patch(color=COLOURS[part], label=part) for part in PARTS])
        cut = len(trainings) < len({row[:N_TRAINING] for row, _ in found}) or len(samplers) == MOST_BARS
        caption = _caption(result_table.headline, found, floor, cut)
        return save(figure, folder, name, f"{result_table.dataset}: network or solver?", caption)


def _bars(axes: Axes, found: Sequence[ErrorDecomposition | None]) -> None:
    """Draw the bars of one training: total, and over it what the oracle and real data score."""
    for at, split in enumerate(found):
        if split is None:
            continue
        half = split.total.half if split.total.known else 0.0
        parts = (split.total.mean, min(split.oracle.mean, split.total.mean), min(split.floor.mean, split.total.mean))
        for value, part in zip(parts, reversed(PARTS), strict=True):
            axes.barh(at, value, 0.75, color=COLOURS[part])
        axes.errorbar(split.total.mean, at, xerr=half, color=INK, elinewidth=0.8)
        axes.plot([split.oracle.mean] * 2, [at - 0.42, at + 0.42], color=INK, linewidth=1.6)
    axes.grid(True, axis="x")
    axes.set_axisbelow(True)


def _bar_label(sampler: Row, nfe: int | None, said: Sequence[int]) -> str:
    """Return what a sampler is called: what of it varies, and its NFE."""
    named = ", ".join(sampler[i] for i in said if sampler[i])
    return " ".join(filter(None, (named, "" if nfe is None else f"NFE {nfe}"))) or "adaptive"


def _caption(
    facts: MetricFacts, found: Mapping[tuple[Row, int | None], ErrorDecomposition], floor: Floor, cut: bool
) -> str:
    text = (
        f"{facts.name} in three parts: what {floor.label} score, what the solver adds when the velocity is exact "
        "(the black line is the exact velocity's score), and what the network adds. Where the black line lies beyond "
        "the bar, the network's error and the solver's cancel."
    )
    if any(split.total.known for split in found.values()):
        text += " Bars are means over seeds, with the 95% interval of the total (Student's t)."
    if cut:
        text += f" Shown are at most {MOST_PANELS} training combinations and {MOST_BARS} samplers; the table has all."
    return text
