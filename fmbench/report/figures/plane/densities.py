"""The density of samples in the plane beside that of the data, at the lowest NFE and at a good one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from fmbench.report.figures.plane.snapshots import (
    ACROSS,
    Array,
    Density,
    FlowSnapshot,
    enclosing,
    kernel_width,
    quiet,
    shape_of_panel,
    smoothed,
    titles,
)
from fmbench.report.figures.plane.trajectories import mass_map
from fmbench.report.figures.sample_grids import frame_of, load_samples, records_with_samples, widest_solver
from fmbench.report.figures.theme import COLOURS, INK, MUTED, Picture, new_figure, save, themed
from fmbench.report.output_folder import Folder
from fmbench.report.result_table import ResultTable, Row
from fmbench.stats.paired_seeds import interval, ranked

if TYPE_CHECKING:
    from matplotlib.axes import Axes

MOST_POINTS = 10_000
GRID = 101
MASSES = (0.5, 0.95)
"""The parts of the data that the lines enclose."""
LINE = COLOURS[1]
HEADROOM = 1.4
"""The darkest blue, in the highest densities of the data: samples may be denser than data ever are."""


def densities(
    result_table: ResultTable,
    rows: Sequence[Row],
    left: str,
    flow_snapshots: Mapping[Row, FlowSnapshot],
    real: Path | None,
    folder: Folder,
    name: str,
) -> Picture | None:
    """Draw the density of the samples of some training combinations: a column each, the data's own at the left.

    `left` says what other combinations there are. None where there is nothing to compare.
    """
    truth = true_density(list(flow_snapshots.values()), load_samples(real, MOST_POINTS))
    if truth is None or not rows or not records_with_samples(result_table):
        return None
    sampler, said = widest_solver(result_table), titles(result_table, rows)
    columns = [clouds(result_table, row, sampler) for row in rows]
    depth, across, down = max(map(len, columns)), min(len(rows), ACROSS), -(-len(rows) // ACROSS)
    height, width = shape_of_panel((truth.low, truth.high), 1.95), kernel_width(truth.low, truth.high)
    with themed():
        figure = new_figure(2.0 * (across + 1) + 0.2, (height + 0.25) * depth * down + 0.3 * down)
        created = figure.subplots(depth * down, across + 1, squeeze=False)
        for axes in created.flatten():
            axes.set_axis_off()
        _panel(created[0, 0], truth, truth.values, "data")
        for number, (row, column) in enumerate(zip(rows, columns, strict=True)):
            for line, (title, points) in enumerate(column):
                axes = created[number // across * depth + line, number % across + 1]
                above = [said[row]] if line == 0 and said[row] else []
                found = points if isinstance(points, str) else smoothed(points, truth.x, truth.y, width)
                _panel(axes, truth, found, "\n".join([*above, title]))
        caption = _caption(truth, sampler[0], depth) + left
        return save(figure, folder, name, f"{result_table.dataset}: densities", caption)


def true_density(flow_snapshots: Sequence[FlowSnapshot], real: Array | None) -> Density | None:
    """Return the exact density where a flow snapshot has it, else that of real data; None where there is neither."""
    exact = next((flow_snapshot.data for flow_snapshot in flow_snapshots if flow_snapshot.data is not None), None)
    if exact is not None or real is None:
        return exact
    low, high = frame_of([], real)
    x, y = np.linspace(low[0], high[0], GRID), np.linspace(low[1], high[1], GRID)
    return Density(x, y, smoothed(real, x, y, kernel_width(low, high)), exact=False)


def clouds(result_table: ResultTable, row: Row, sampler: Row) -> list[tuple[str, Array | str]]:
    """Return titles, and samples or why there are none: at the lowest NFE and the best other, or an adaptive one."""
    found: list[tuple[str, Array | str]] = []
    for nfe in _budgets(result_table, (*row, *sampler)):
        records = result_table.cells.get(((*row, *sampler), nfe), ())
        record = next((r for r in records if r.status == "ok" and r.samples is not None), None)
        points = load_samples(record.samples, MOST_POINTS) if record else None
        name = sampler[0] if nfe is None else f"NFE {nfe}"
        why = "no samples" if record or not records else records[0].status
        found.append((name, why if points is None else points))
    return found


def _budgets(result_table: ResultTable, row: Row) -> list[int | None]:
    """Return the lowest NFE of a row, and of the others the best by the headline metric, else the highest."""
    budgets = [nfe for nfe in result_table.budgets if (row, nfe) in result_table.cells]
    if len(budgets) < 2:
        return [*budgets] or [None]
    facts = result_table.headline
    values = {nfe: result_table.values(row, nfe, facts) for nfe in budgets[1:]} if facts else {}
    means = {nfe: interval(list(v.by_seed.values())).mean for nfe, v in values.items() if v and v.complete}
    return [budgets[0], ranked(means, facts.better)[0] if facts and means else budgets[-1]]


def _panel(axes: Axes, truth: Density, density: Array | str, title: str) -> None:
    """Fill a panel with a density, on the data's scale, under the lines that enclose the data."""
    axes.set_axis_on()
    axes.set_title(title, color=INK)
    if isinstance(density, str):
        axes.text(0.5, 0.5, density, transform=axes.transAxes, ha="center", color=MUTED)
    else:
        extent = (*truth.low[:1], *truth.high[:1], *truth.low[1:], *truth.high[1:])
        top = HEADROOM * float(truth.values.max())
        axes.imshow(density, cmap=mass_map(), vmin=0, vmax=top, extent=extent, origin="lower", interpolation="bilinear")
        if levels := enclosing(truth.values, MASSES):
            axes.contour(truth.x, truth.y, truth.values, levels=levels, colors=LINE, linewidths=0.8)
    quiet(axes, truth.low, truth.high)


def _caption(truth: Density, solver: str, depth: int) -> str:
    within = " and ".join(f"{mass:.0%}" for mass in MASSES)
    lines = f"enclose {within}" if len(enclosing(truth.values, MASSES)) == len(MASSES) else "are the edge"
    data = "of the data's exact density" if truth.exact else "of the data"
    text = (
        "Where samples lie (blue, the darker the denser) and where they should: the orange lines, the same in every "
        f"panel, {lines} {data}. Samples are those of {solver}, of the first seed"
    )
    text += ", above at the lowest NFE, below at the best of the others" if depth > 1 else ""
    smooth = "Samples are" if truth.exact else "Data and samples alike are"
    return f"{text}. {smooth} smoothed a little, and one scale of blue serves all panels."
