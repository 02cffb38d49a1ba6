"""Which entries are worth their cost: the score against NFE and against time, with the Pareto front marked."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from textwrap import fill
from typing import TYPE_CHECKING, Any

from fmbench.report.analysis.pareto_front import (
    Candidate,
    Cost,
    Front,
    Fronts,
    Tie,
    nfe_of,
    same_as,
    shortened,
    time_of,
)
from fmbench.report.figures.label_placement import Labelled, place_labels
from fmbench.report.figures.score_curves import Styles, directed, name_above, reach
from fmbench.report.figures.theme import INK, MUTED, Picture, log_axis, new_figure, nfe_axis, save, themed, wants_log
from fmbench.report.output_folder import Folder
from fmbench.report.result_table import SOLVER_AXIS, Row, words
from fmbench.report.tables.pareto_front import caption
from fmbench.stats.paired_seeds import Interval

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

PALE = "#c5cad3"
LABEL_WIDTH, LABEL_LINES, MOST_LABELS = 26, 3, 7
"""Letters in a line of a label, its lines, and labels in a panel; beyond that points have numbers and a key below."""
MOST_NUMBERS = 30
"""Numbers in a figure; on longer fronts by time every second point has one, or every third and so on."""
KEY_WIDTHS = {3: 48, 2: 75, 1: 150}
"""Letters of an entry of the key, by the number of its columns."""
ROOM = 0.13
"""The part of the axes that is kept free for labels, on the better side of the points."""
HOLLOW_DOT: dict[str, Any] = {"markerfacecolor": "white", "markeredgewidth": 0.9}
Numbers = Mapping[tuple[Row, int | None], int]


@dataclass(frozen=True)
class Panel:
    """One front and the cost it is drawn over; `says_nfe` tells that labels name the NFE, as that axis does not."""

    front: Front
    cost: Cost
    title: str
    says_nfe: bool


def pareto(fronts: Fronts | None, styles: Styles, folder: Folder, name: str, dataset: str) -> Picture | None:
    """Draw the score against NFE, and against time where it is known, with the front of each marked.

    Points of the fronts are labelled with what varies; where there is no room for that, with numbers, and a key below.
    """
    if fronts is None:
        return None
    with themed():
        numbers = _numbers(fronts)
        named = all(_few_and_short(panel, fronts) for panel in _panels(fronts))
        figure, left = _drawn(fronts, styles, {} if named else numbers)
        if named and left:
            figure, left = _drawn(fronts, styles, numbers)
        title = f"{dataset}: {fronts.facts.name} against what it costs"
        return save(figure, folder, name, title, caption(fronts, left))


def _numbers(fronts: Fronts) -> Numbers:
    """Number the points, the cheapest first: all on the front by NFE, and those by time that there is room for."""
    apart = -(-len(fronts.places) // MOST_NUMBERS)
    always = {(place[0].row, place[0].budget) for place in fronts.by_nfe.places}
    keys = [(place[0].row, place[0].budget) for place in fronts.places]
    chosen = [key for i, key in enumerate(keys) if i % apart == 0 or key in always]
    return {key: number for number, key in enumerate(chosen, start=1)}


def _panels(fronts: Fronts) -> list[Panel]:
    """Return what is drawn side by side."""
    found = [Panel(fronts.by_nfe, nfe_of, "NFE (network calls per sample)", says_nfe=False)]
    if fronts.clock is not None:
        found.append(Panel(fronts.by_time, time_of, f"{fronts.clock.name} [{fronts.clock.unit}]", says_nfe=True))
    return found


def _drawn(fronts: Fronts, styles: Styles, numbers: Numbers) -> tuple[Figure, int]:
    """Return the figure, and how many of its points there was no room to label; without `numbers` labels are words."""
    shown = _panels(fronts)
    width = 4.7 * len(shown) + 0.6
    lines = _key(fronts, numbers, width / 10)
    height = 0.16 * len(lines)
    figure = new_figure(width, 4.3 + height)
    grid = figure.add_gridspec(2 if lines else 1, len(shown), height_ratios=[4.0, height] if lines else None)
    created: list[Axes] = []
    for number, panel in enumerate(shown):
        axes = figure.add_subplot(grid[0, number], sharey=created[0] if created else None)
        axes.grid(True, axis="y")
        axes.tick_params(labelleft=number == 0)
        axes.set_xlabel(panel.title)
        created.append(axes)
        _cost_axis(axes, panel, fronts)
        _points(axes, panel, fronts, styles)
    _score_axis(created[0], fronts)
    name_above(figure, _handles(fronts, shown, styles))
    if lines:
        _write_key(figure.add_subplot(grid[1, :]), lines)
    if (layout := figure.get_layout_engine()) is not None:
        layout.execute(figure)  # only after this is it known where things are
    figure.set_layout_engine("none")
    left = sum(_label(axes, panel, fronts, numbers) for axes, panel in zip(created, shown, strict=True))
    return figure, left


def _cost_axis(axes: Axes, panel: Panel, fronts: Fronts) -> None:
    costs = sorted({cost for c in fronts.candidates if not math.isnan(cost := panel.cost(c))})
    low, high = costs[0], costs[-1]
    if not panel.says_nfe:
        nfe_axis(axes, costs)
        axes.set_xlim(low / 1.3, high * 1.3)
    elif wants_log(costs):
        log_axis(axes, "x", low, high)
        axes.set_xlim(low / 1.3, high * 1.3)
    else:
        margin = 0.12 * (high - low) or 0.3 * abs(high) or 1.0
        axes.set_xlim(low - margin, high + margin)


def _score_axis(axes: Axes, fronts: Fronts) -> None:
    """Show all means and the intervals of the fronts, with room for labels on the better side."""
    facts, means = fronts.facts, [c.score.mean for c in fronts.candidates]
    scores = [Interval(mean, math.nan, 1) for mean in means] + [place[0].score for place in fronts.places]
    below, above = (ROOM, 0.0) if facts.better == "lower" else (0.0, ROOM)
    if wants_log(means):
        low, high = reach(scores)
        decades = math.log(high / low) / (1 - ROOM)
        low, high = low * math.exp(-below * decades), high * math.exp(above * decades)
        log_axis(axes, "y", low, high)
    else:
        low = min([*means, *(s.low for s in scores if s.known)])
        high = max([*means, *(s.high for s in scores if s.known)])
        margin = 0.06 * (high - low) or 0.1 * abs(high) or 1.0
        low, high = low - margin, high + margin
        span = (high - low) / (1 - ROOM)
        low, high = low - below * span, high + above * span
    axes.set_ylim(low, high)
    axes.set_ylabel(directed(facts))


def _points(axes: Axes, panel: Panel, fronts: Fronts, styles: Styles) -> None:
    """Draw all points faintly, then the front as steps, its rivals hollow, and its own points with their intervals."""
    others = _others(panel, fronts)
    for complete, marker in ((True, "."), (False, "x")):
        some = [(panel.cost(c), c.score.mean) for c in others if c.complete == complete]
        if some:
            axes.plot(*zip(*some, strict=True), marker, color=PALE, markersize=4.5, markeredgewidth=0.9, zorder=1)
    axes.plot(*zip(*_steps(axes, panel), strict=True), color=MUTED, linewidth=1.1, zorder=2)
    for solver, rivals in _by_solver(panel).items():
        style = {**_dot(styles, solver), "markersize": 4.0, **HOLLOW_DOT}
        axes.plot(*zip(*rivals, strict=True), **style, zorder=3)
    for place in panel.front.places:
        first, cost = place[0], panel.cost(place[0])
        half = first.score.half if first.score.known else 0.0
        sideways = first.unrest / 2 if panel.says_nfe and first.unrest > 0 else 0.0
        reached = [[min(sideways, 0.9 * abs(cost))], [sideways]]
        style = {**_dot(styles, first.row[SOLVER_AXIS]), "markersize": 5.5, "elinewidth": 1.0, "capsize": 0}
        axes.errorbar([cost], [first.score.mean], yerr=[half], xerr=reached, zorder=4, **style)


def _others(panel: Panel, fronts: Fronts) -> list[Candidate]:
    """Return the candidates of a known cost that are neither on the front nor rivals."""
    strong = {(c.row, c.budget) for c in (*panel.front.rivals, *(c for place in panel.front.places for c in place))}
    return [c for c in fronts.candidates if (c.row, c.budget) not in strong and not math.isnan(panel.cost(c))]


def _by_solver(panel: Panel) -> dict[str, list[tuple[float, float]]]:
    """Return where rivals are drawn: at equal NFE a little to the right, as they would hide behind the front."""
    solvers = list(dict.fromkeys(rival.row[SOLVER_AXIS] for rival in panel.front.rivals))
    step = 0.0 if panel.says_nfe else min(0.075, 0.3 / max(len(solvers), 1))
    found: dict[str, list[tuple[float, float]]] = {solver: [] for solver in solvers}
    for rival in panel.front.rivals:
        solver = rival.row[SOLVER_AXIS]
        aside = 2 ** (step * (solvers.index(solver) + 1))
        found[solver].append((panel.cost(rival) * aside, rival.score.mean))
    return found


def _dot(styles: Styles, solver: str) -> dict[str, Any]:
    return {**styles[solver].line, "linestyle": "none"}


def _steps(axes: Axes, panel: Panel) -> list[tuple[float, float]]:
    """Return the corners of a front: at each cost the best mean that it buys, on to the end of the axis."""
    corners: list[tuple[float, float]] = []
    for place in panel.front.places:
        at, mean = panel.cost(place[0]), place[0].score.mean
        corners += [(at, corners[-1][1]), (at, mean)] if corners else [(at, mean)]
    return [*corners, (axes.get_xlim()[1], corners[-1][1])]


def _handles(fronts: Fronts, shown: Sequence[Panel], styles: Styles) -> list[Any]:
    """Return the legend: the solvers in strong colours, and what the other points are."""
    from matplotlib.lines import Line2D

    strong = [place[0] for place in fronts.places] + [rival for panel in shown for rival in panel.front.rivals]
    solvers = dict.fromkeys(c.row[SOLVER_AXIS] for c in strong)
    handles = [Line2D([], [], label=solver, **_dot(styles, solver)) for solver in solvers]
    handles.append(Line2D([], [], color=MUTED, linewidth=1.1, label="Pareto front"))
    plain: dict[str, Any] = {"linestyle": "none", "markersize": 4.5}
    if any(panel.front.rivals for panel in shown):
        handles.append(Line2D([], [], label="may be on it", marker="o", color=INK, **plain, **HOLLOW_DOT))
    others = {c.complete for panel in shown for c in _others(panel, fronts)}
    for complete, marker, label in ((True, ".", "others"), (False, "x", "lost a seed")):
        if complete in others:
            handles.append(Line2D([], [], marker=marker, color=PALE, label=label, **plain))
    return handles


def _said(place: Tie, fronts: Fronts) -> str:
    """Say in short words what stands at a place, and which rows are the same."""
    short, same = fronts.short, same_as(place, fronts.short)
    text = words(shortened(place[0].row, short), fronts.axes or [SOLVER_AXIS])
    return text + (f" (same: {same})" if same else "")


def _nfe(candidate: Candidate) -> str:
    return f"NFE\u00a0{candidate.nfe:.4g}"


def _text(place: Tie, panel: Panel, fronts: Fronts) -> str:
    """Return a label in words, its lines broken; it names the NFE where the axis does not."""
    nfe = [_nfe(place[0])] if panel.says_nfe else []
    return fill(", ".join([_said(place, fronts), *nfe]), LABEL_WIDTH)


def _few_and_short(panel: Panel, fronts: Fronts) -> bool:
    """Whether there may be room to say everything on a front in words."""
    texts = [_text(place, panel, fronts) for place in panel.front.places[: MOST_LABELS + 1]]
    return len(texts) <= MOST_LABELS and all(text.count("\n") < LABEL_LINES for text in texts)


def _label(axes: Axes, panel: Panel, fronts: Fronts, numbers: Numbers) -> int:
    """Label the points of a front; return for how many there was no room."""
    wanted, lines = [], [_steps(axes, panel)]
    for place in panel.front.places:
        first, cost = place[0], panel.cost(place[0])
        if not numbers:
            wanted.append(Labelled(cost, first.score.mean, _text(place, panel, fronts)))
        elif number := numbers.get((first.row, first.budget)):
            wanted.append(Labelled(cost, first.score.mean, str(number)))
        if first.score.known:
            lines.append([(cost, max(end, axes.get_ylim()[0])) for end in (first.score.low, first.score.high)])
    points = [(cost, c.score.mean) for c in fronts.candidates if not math.isnan(cost := panel.cost(c))]
    left = place_labels(axes, wanted, points, lines, side=-1 if fronts.facts.better == "lower" else 1)
    return len(left) + len(panel.front.places) - len(wanted)


def _key(fronts: Fronts, numbers: Numbers, part: float) -> list[list[str]]:
    """Return the key as lines of columns; `part` is the width of the figure as a part of the usual one."""
    if not numbers:
        return []
    chosen = {number: place for place in fronts.places if (number := numbers.get((place[0].row, place[0].budget)))}
    said = [f"{number}  {_nfe(place[0])}: {_said(place, fronts)}" for number, place in chosen.items()]
    longest = max(map(len, said))
    columns = next((n for n, width in KEY_WIDTHS.items() if longest <= width * part), 1)
    most = int(KEY_WIDTHS[columns] * part)
    said = [text if len(text) <= most else f"{text[: most - 1]}…" for text in said]
    down = -(-len(said) // columns)
    return [said[i::down] for i in range(down)]


def _write_key(axes: Axes, lines: Sequence[Sequence[str]]) -> None:
    axes.set_axis_off()
    across = max(map(len, lines))
    for i, line in enumerate(lines):
        for j, text in enumerate(line):
            at = j / across, 1 - (i + 0.5) / len(lines)
            axes.text(*at, text, transform=axes.transAxes, va="center", fontsize=7.5, color=INK)
