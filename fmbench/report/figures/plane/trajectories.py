"""Figures of the flow in the plane: where particles go, and the velocity field that carries them."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np

from fmbench.report.figures.plane.snapshots import (
    END,
    SOURCE,
    Array,
    Field,
    FlowSnapshot,
    box,
    kernel_width,
    panel_rows,
    quiet,
    shape_of_panel,
    smoothed,
    titles,
    union,
)
from fmbench.report.figures.theme import INK, MUTED, Picture, new_figure, new_panels, save, themed
from fmbench.report.output_folder import Folder
from fmbench.report.result_table import ResultTable, Row

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.colors import Colormap
    from matplotlib.quiver import Quiver

PATHS = 200
PIECES = 6
"""A trajectory is drawn in so many pieces, each of one colour."""
TIMES = (0.0, 0.25, 0.5, 0.75, 1.0)
REACH = 1.5
"""The length of an arrow of usual speed, in steps of the grid; no arrow is longer than twice that."""
SHADES = 16
"""Colours of a density: few, so that its shape shows, and that files stay small."""
FAINT_ARROW = "#c9cdd4"
EMPTY = 0.01
"""Where the particles are this part as dense as at their densest, the field is drawn faintly: nothing flows there."""


def trajectories(
    result_table: ResultTable, shown: Mapping[Row, FlowSnapshot], note: str, folder: Folder, name: str
) -> Picture:
    """Draw the paths of the same noise through each trained field: a panel a training combination."""
    across, down = panel_rows(shown)
    frame, said = union([box(flow_snapshot) for flow_snapshot in shown.values()]), titles(result_table, list(shown))
    with themed():
        height = shape_of_panel(frame, 2.45)
        figure = new_figure(2.5 * across + 0.2, (height + 0.3) * down + 0.1)
        created = new_panels(figure, len(shown), across)
        for axes, (row, flow_snapshot) in zip(created, shown.items(), strict=True):
            axes.set_title(said[row])
            _paths(axes, flow_snapshot.finite[:, :PATHS], flow_snapshot.times)
            quiet(axes, *frame)
        caption = (
            f"The way of {PATHS} particles from noise (orange, t = 0) to samples (blue, t = 1), followed in fine "
            "steps; a panel a training combination, the same noise in each. Straight paths are what a few steps of a "
            "solver can follow; in a bend a coarse solver leaves the road. Points outside the frame are not shown."
        )
        return save(figure, folder, name, f"{result_table.dataset}: trajectories", caption + note)


def blend(share: float) -> tuple[float, float, float]:
    """Return the colour of a particle on its way: the source's at 0, the end's at 1."""
    from matplotlib.colors import to_rgb

    start, end = np.array(to_rgb(SOURCE)), np.array(to_rgb(END))
    red, green, blue = (float(level) for level in (1 - share) * start + share * end)
    return red, green, blue


def _paths(axes: Axes, paths: Array, times: Array) -> None:
    """Draw trajectories `(T, n, 2)` as thin lines with their ends as dots."""
    from matplotlib.collections import LineCollection

    if not paths.shape[1]:
        axes.text(0.5, 0.5, "not finite", transform=axes.transAxes, ha="center", color=MUTED)
        return
    cuts = np.linspace(0, len(times) - 1, PIECES + 1).round().astype(int)
    for start, end in pairwise(cuts):
        lines = list(paths[start : end + 1].transpose(1, 0, 2))
        colour = blend(float(times[start] + times[end]) / 2)
        drawn = LineCollection(lines, colors=[colour], linewidths=0.6, alpha=0.55, rasterized=True)
        axes.add_collection(drawn, autolim=False)
        drawn.set_in_layout(False)
    for points, end_colour in ((paths[0], SOURCE), (paths[-1], END)):
        dots = axes.scatter(points[:, 0], points[:, 1], s=4.5, color=end_colour, linewidth=0, zorder=3, rasterized=True)
        dots.set_in_layout(False)


def velocity_field(
    result_table: ResultTable, shown: Mapping[Row, FlowSnapshot], note: str, folder: Folder, name: str
) -> Picture | None:
    """Draw the velocity field over the particles' density: a line a training combination, a column a time."""
    if not any(flow_snapshot.field is not None for flow_snapshot in shown.values()):
        return None
    frame, said = union([box(flow_snapshot) for flow_snapshot in shown.values()]), titles(result_table, list(shown))
    unit = usual_speed(shown)
    with themed():
        height = shape_of_panel(frame, 1.7)
        figure = new_figure(1.75 * len(TIMES) + 1.4, (height + 0.1) * len(shown) + 0.4)
        created = figure.subplots(len(shown), len(TIMES), squeeze=False)
        for number, (line, (row, flow_snapshot)) in enumerate(zip(created, shown.items(), strict=True)):
            line[0].set_ylabel(said[row].replace(", ", ",\n"), rotation=0, ha="right", va="center")
            for axes, t in zip(line, TIMES, strict=True):
                _mass(axes, flow_snapshot, t, frame)
                arrows(axes, flow_snapshot, t, unit)
                quiet(axes, *frame)
                axes.set_title(f"t = {t:g}" if number == 0 else "", color=INK)
        caption = (
            "What the network has learnt: the velocity at points of the plane (arrows), from noise at the left to data "
            "at the right, over the density of the particles that flow (blue); a line a training combination. Arrows "
            "have one scale in the whole figure, and are faint where no particle is: there the network was hardly ever "
            "asked, and what it says does not matter."
        )
        return save(figure, folder, name, f"{result_table.dataset}: velocity field", caption + note)


def usual_speed(shown: Mapping[Row, FlowSnapshot]) -> float:
    """Return the speed that most particles stay under, over all times and combinations; 1 where there is no field."""
    speeds = [
        np.linalg.norm(np.diff(flow_snapshot.finite, axis=0), axis=2) / np.diff(flow_snapshot.times)[:, None]
        for flow_snapshot in shown.values()
    ]
    pooled = np.concatenate([found.ravel() for found in speeds])
    return max(float(np.percentile(pooled, 90)), 1e-6) if len(pooled) else 1.0


def mass_map() -> Colormap:
    """Return the colours of densities: white for none."""
    from matplotlib.colors import LinearSegmentedColormap

    shades = ["#ffffff", "#d3e5f3", "#7db4dc", END, "#00314f"]
    return LinearSegmentedColormap.from_list("mass", shades, SHADES)


def _mass(axes: Axes, flow_snapshot: FlowSnapshot, t: float, frame: tuple[Array, Array]) -> None:
    """Fill a panel with the density of the particles at t, each time with its own scale."""
    low, high = frame
    x, y = np.linspace(low[0], high[0], 80), np.linspace(low[1], high[1], 80)
    density = smoothed(flow_snapshot.points(t), x, y, 1.5 * kernel_width(low, high))
    extent = (float(low[0]), float(high[0]), float(low[1]), float(high[1]))
    top = 1.8 * max(float(density.max()), 1e-12)  # kept pale, so that arrows stand out
    axes.imshow(density, cmap=mass_map(), vmin=0, vmax=top, extent=extent, origin="lower", interpolation="bilinear")


def arrows(axes: Axes, flow_snapshot: FlowSnapshot, t: float, unit: float) -> Quiver | None:
    """Draw the velocity at t, and return the arrows; None where the flow snapshot has no field."""
    field = flow_snapshot.field
    if field is None:
        return None
    vectors, colours = directions(flow_snapshot, field, t, unit)
    scale = unit / (REACH * float(field.x[1] - field.x[0]))
    drawn = axes.quiver(
        *np.meshgrid(field.x, field.y), *vectors, color=colours, angles="xy", scale_units="xy", scale=scale, zorder=3,
        width=0.006, headwidth=3.6, headlength=4, headaxislength=3.6, minlength=0.5, rasterized=True,
    )  # fmt: skip
    drawn.set_in_layout(False)
    return drawn


def directions(
    flow_snapshot: FlowSnapshot, field: Field, t: float, unit: float
) -> tuple[tuple[Array, Array], list[str]]:
    """Return the two components of the vectors to draw at t, long ones cut, and the colour of each."""
    vectors = field.at(t)
    speed = np.linalg.norm(vectors, axis=2, keepdims=True)
    vectors = vectors * np.minimum(1.0, 2 * unit / np.maximum(speed, 1e-12))
    density = smoothed(flow_snapshot.points(t), field.x, field.y, 1.5 * kernel_width(*box(flow_snapshot)))
    colours = np.where(density > EMPTY * density.max(), INK, FAINT_ARROW).ravel()
    return (vectors[..., 0], vectors[..., 1]), [str(colour) for colour in colours]
