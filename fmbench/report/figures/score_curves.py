"""Line figures: the headline metric against NFE and against time, a panel a training combination."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from textwrap import fill
from typing import TYPE_CHECKING, Any

from fmbench.report.analysis.curves import N_TRAINING, Curves, Point, panels, training_rows
from fmbench.report.figures.theme import (
    DASHES,
    FAINT,
    INK,
    MUTED,
    Look,
    Picture,
    log_axis,
    looks,
    new_figure,
    nfe_axis,
    save,
    themed,
    wants_log,
)
from fmbench.report.output_folder import Folder
from fmbench.report.result_table import SOLVER_AXIS, ResultTable, Row, varying, words
from fmbench.results.records import MetricFacts
from fmbench.stats.paired_seeds import Interval, interval

if TYPE_CHECKING:
    from matplotlib.artist import Artist
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

TITLE_WIDTH = 40
"""Letters in a line of a panel's title."""
HOLLOW: dict[str, Any] = {"linestyle": "none", "markerfacecolor": "white", "zorder": 4}
FLOOR_LINE: dict[str, Any] = {"color": MUTED, "linestyle": ":", "linewidth": 1.2}
LEGEND_WIDTH = 56
"""Letters in a line of a legend."""
LEGEND_LINE = 0.24
"""Inches that a line of a legend takes."""
ROOM_FOR_LINES = 3
"""Lines of a legend that a figure has room for as it is."""
LONGEST_BESIDE = 26
"""Letters of an axis's name that one panel is high enough for."""
Styles = Mapping[str, Look]


def by_nfe(result_table: ResultTable, curves: Curves, styles: Styles, folder: Folder, name: str) -> Picture | None:
    """Draw the metric against NFE: one panel a training combination, one line a solver."""
    if not curves.points:
        return None
    best = curves.best_by_nfe() if len(training_rows(result_table)) > 1 else []
    with themed():
        figure, plots = _small_multiples(result_table, curves, styles)
        for row, axes in plots.items():
            if len(best) > 1:
                axes.plot(*zip(*best, strict=True), color=FAINT, linewidth=5, solid_capstyle="round", zorder=1)
            _lines(axes, curves, row, styles, lambda point: point.nfe)
        nfe_axis(next(iter(plots.values())), sorted({point.nfe for point in curves.points}))
        figure.supxlabel("NFE (network calls per sample)", fontsize=9)
        caption = f"One panel a training combination, one line a solver. {spread_note(curves.points)}"
        if len(best) > 1:
            caption += (
                " The wide grey line is the best mean of all combinations at each NFE, the same in every panel: "
                "where a line lies on it, nothing in this suite does better."
            )
        if curves.adaptive:
            caption += " An adaptive solver is a single point at the NFE that was measured."
        return save(figure, folder, name, f"{result_table.dataset}: {curves.facts.name} by NFE", caption)


def by_time(result_table: ResultTable, curves: Curves, styles: Styles, folder: Folder, name: str) -> Picture | None:
    """Draw the metric against the time of a sample: one panel a training combination, one line a solver."""
    times = [point.time for point in curves.points if point.time]
    if not times or curves.clock is None:
        return None
    with themed():
        figure, plots = _small_multiples(result_table, curves, styles)
        for row, axes in plots.items():
            _lines(axes, curves, row, styles, lambda point: point.time)
        log_axis(next(iter(plots.values())), "x", min(times), max(times))
        figure.supxlabel(f"{curves.clock.name} [{curves.clock.unit}]", fontsize=9)
        machines = list(result_table.by_hardware())
        of_several = f" Times of {machines[0]}; those of other hardware stand in the tables." if machines[1:] else ""
        corner = {"lower": " Lower left is better and faster.", "higher": " Upper left is better and faster."}
        caption = (
            "The same scores against measured time: one line a solver, its points the NFE budgets in order. Times "
            "carry the unrest of the machine they were measured on, so small distances sideways mean nothing. "
            f"{spread_note(curves.points)}{corner.get(curves.facts.better, '')}{of_several}"
        )
        return save(figure, folder, name, f"{result_table.dataset}: {curves.facts.name} by time", caption)


def _small_multiples(result_table: ResultTable, curves: Curves, styles: Styles) -> tuple[Figure, dict[Row, Axes]]:
    """Return a figure with one titled panel a training combination, a shared scale and a legend of solvers."""
    rows = training_rows(result_table)
    grid, axes_said = panels(rows), varying(rows)
    figure = new_figure(max(5.4, 2.6 * len(grid[0]) + 0.6), 1.95 * len(grid) + 1.0)
    plots: dict[Row, Axes] = {}
    created = figure.subplots(len(grid), len(grid[0]), sharex=True, sharey=True, squeeze=False)
    drawn = {row[:N_TRAINING] for row in curves.rows}
    for line, line_axes in zip(grid, created, strict=True):
        for row, axes in zip(line, line_axes, strict=True):
            if row is None:
                axes.set_axis_off()
                continue
            axes.set_title(fill(words(row, axes_said), TITLE_WIDTH))
            axes.grid(True, axis="y")
            if row not in drawn:
                why = "NFE not said" if result_table.made_elsewhere(row) else "no value"
                axes.text(0.5, 0.5, why, transform=axes.transAxes, ha="center", color=MUTED)
            plots[row] = axes
    scores = [*(point.score for point in curves.points), *([floor] if (floor := floor_score(curves)) else [])]
    means = [score.mean for score in scores]
    if wants_log(means):
        log_axis(next(iter(plots.values())), "y", min(means), max(means))
        next(iter(plots.values())).set_ylim(*reach(scores))
    for axes in plots.values():
        draw_floor(axes, curves)
    name = directed(curves.facts)
    beside = name.replace(" (", "\n(") if len(grid) == 1 and len(name) > LONGEST_BESIDE else name
    figure.supylabel(beside, fontsize=9, y=legend(figure, curves, styles))
    return figure, plots


def directed(facts: MetricFacts) -> str:
    """Return what an axis of a metric is called: its name, and in which direction it is better."""
    return f"{facts.name} ({facts.better} is better)" if facts.better else facts.name


def floor_score(curves: Curves) -> Interval | None:
    """Return what real data score, where a figure can show it."""
    return interval(list(curves.floor.values.by_seed.values())) if curves.floor else None


def draw_floor(axes: Axes, curves: Curves) -> None:
    """Draw what real data score as a dotted line, its interval as a band."""
    if (score := floor_score(curves)) is None:
        return
    if score.known:
        axes.axhspan(score.low, score.high, color=FAINT, alpha=0.5, linewidth=0, zorder=0)
    axes.axhline(score.mean, **FLOOR_LINE, zorder=1)


def legend(figure: Figure, curves: Curves, styles: Styles) -> float:
    """Name the solvers above a figure, and grids and guidance where these vary; return what `name_above` does."""
    from matplotlib.lines import Line2D

    solvers, variants = solver_and_variant_lines(curves.rows, styles)
    named = {**solvers, **(variants if len(variants) > 1 else {})}
    handles: list[Artist] = [Line2D([], [], label=label, **merged(line)) for label, line in named.items()]
    if curves.floor is not None:
        handles.append(Line2D([], [], label=curves.floor.label, **FLOOR_LINE))
    return name_above(figure, handles)


def name_above(figure: Figure, handles: Sequence[Artist]) -> float:
    """Put a legend above all panels, in as many columns as its words leave room for.

    Return how high the middle of the panels is, as a share of the figure's height.
    """
    longest = min(LEGEND_WIDTH, max((len(str(handle.get_label())) for handle in handles), default=1))
    for handle in handles:
        handle.set_label(fill(str(handle.get_label()), LEGEND_WIDTH))
    columns = max(1, min(len(handles), int(figure.get_figwidth() / (0.6 + 0.085 * longest))))
    lines = -(-sum(str(handle.get_label()).count("\n") + 1 for handle in handles) // columns)
    more = LEGEND_LINE * max(0, lines - ROOM_FOR_LINES)
    figure.set_figheight(figure.get_figheight() + more)
    figure.legend(handles=handles, loc="outside upper left", ncols=columns, handlelength=2.2, columnspacing=1.4)
    return float(0.5 - more / 2 / figure.get_figheight())


Lines = Mapping[str, Mapping[str, Any]]
"""How lines are drawn, by a label: keyword arguments for `Axes.plot`."""


def solver_and_variant_lines(rows: Mapping[Row, Sequence[Point]], styles: Styles) -> tuple[Lines, Lines]:
    """Return how solvers are drawn, and what varies besides training and solver: grid and guidance.

    Solvers have colours and variants dashes; but variants have the colours where there are more of them than dashes.
    """
    axes = [i for i in varying(rows) if i > SOLVER_AXIS]
    variants = list(dict.fromkeys(words(row, axes) for row in rows if any(row[i] for i in axes))) if axes else []
    solvers = list(dict.fromkeys(row[SOLVER_AXIS] for row in rows))
    if len(variants) <= len(DASHES):
        return {solver: styles[solver].line for solver in solvers}, _dashed(variants)
    return _dashed(solvers), {label: look.line for label, look in looks(variants).items()}


def merged(*parts: Mapping[str, Any]) -> dict[str, Any]:
    """Return how a line of several labels is drawn: what has the colours, with the dashes of the other."""
    style: dict[str, Any] = {"color": INK}
    for part in sorted(parts, key=len, reverse=True):
        style |= part
    return style


def _dashed(labels: Sequence[str]) -> dict[str, dict[str, Any]]:
    return {label: {"linestyle": DASHES[i % len(DASHES)]} for i, label in enumerate(labels)}


def _lines(axes: Axes, curves: Curves, training: Row, styles: Styles, where: Callable[[Point], float | None]) -> None:
    """Draw the solvers of one training combination; an interval is a vertical bar."""
    solvers, variants = solver_and_variant_lines(curves.rows, styles)
    beyond = [i for i in varying(curves.rows) if i > SOLVER_AXIS]
    mine = {row: points for row, points in curves.rows.items() if row[:N_TRAINING] == training}
    for row, points in mine.items():
        shown = [(at, p) for p in points if (at := where(p))]
        if not shown:
            continue
        style = merged(solvers[row[SOLVER_AXIS]], variants.get(words(row, beyond), {}) if len(variants) > 1 else {})
        x, y = [at for at, _ in shown], [p.score.mean for _, p in shown]
        half = [p.score.half if p.score.known else 0.0 for _, p in shown]
        axes.errorbar(x, y, yerr=half, elinewidth=1.0, capsize=0, zorder=3, **style)
        hollow = [(at, p.score.mean) for at, p in shown if not p.complete]
        if hollow:
            axes.plot(*zip(*hollow, strict=True), **{**style, **HOLLOW})


def reach(scores: Sequence[Interval]) -> tuple[float, float]:
    """Return limits of a logarithmic axis that show all means, and their intervals where these are not very wide."""
    low, high = min(s.mean for s in scores), max(s.mean for s in scores)
    known = [s for s in scores if s.known]
    lowest = min((s.low for s in known if s.low > 0), default=low)
    highest = max((s.high for s in known), default=high)
    return min(low / 1.35, max(lowest / 1.1, low / 2.5)), max(high * 1.35, min(highest * 1.1, high * 2.5))


def spread_note(points: Sequence[Point]) -> str:
    """Say what the points and bars of a figure are."""
    said = "Points are single values: with one seed there is no interval."
    if any(point.score.known for point in points):
        said = "Points are means over seeds, vertical bars 95% intervals (Student's t)."
    lost = any(not point.complete for point in points)
    return said + (" Hollow points lost a seed, and show the mean of the others." if lost else "")
