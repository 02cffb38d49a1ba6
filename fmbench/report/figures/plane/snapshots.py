"""Points in the plane: flow snapshots of trained cells as figures read them, and what their figures share."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from textwrap import fill
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from fmbench.io.printable_text import count
from fmbench.report.analysis.curves import Curves, best_trainings, training_rows
from fmbench.report.drawable import FURTHEST
from fmbench.report.figures.theme import COLOURS
from fmbench.report.result_table import ResultTable, Row, varying, words

if TYPE_CHECKING:
    from matplotlib.axes import Axes

Array = NDArray[np.floating]
SOURCE, END = COLOURS[1], COLOURS[0]
"""The colours of noise and of what has become of it."""
ACROSS = 4
"""Panels beside each other."""
TITLE_WIDTH = 26
"""Letters in a line of a panel's title."""
HIGHEST = 60.0
"""The largest log-density that is drawn, in nats."""
KERNEL = 0.02
"""The standard deviation of a point in a smoothed density, as a part of the frame's longer side."""


@dataclass(frozen=True)
class Field:
    """A velocity field on a grid of `x (w,)` and `y (h,)`: `vectors (F, h, w, 2)` at ascending `times (F,)`."""

    times: Array
    x: Array
    y: Array
    vectors: Array

    def at(self, t: float) -> Array:
        """Return the velocity at t, `(h, w, 2)`, between those at two times where it must be.

        What cannot be drawn is 0.
        """
        after = int(np.clip(np.searchsorted(self.times, t), 1, len(self.times) - 1))
        start, end = self.times[after - 1 : after + 1]
        share = float(np.clip((t - start) / (end - start), 0, 1))
        around = self.vectors[after - 1 : after + 1]
        before, behind = np.where(np.abs(around) <= FURTHEST, around, 0.0)
        between: Array = (1 - share) * before + share * behind
        return between


@dataclass(frozen=True)
class Density:
    """A density on a grid, `values (h, w)` at `x (w,)` and `y (h,)`; `exact`, or smoothed from points."""

    x: Array
    y: Array
    values: Array
    exact: bool

    @property
    def low(self) -> Array:
        """The lower left corner."""
        return np.array([self.x[0], self.y[0]])

    @property
    def high(self) -> Array:
        """The upper right corner."""
        return np.array([self.x[-1], self.y[-1]])


@dataclass(frozen=True)
class FlowSnapshot:
    """What `fmbench.evaluation.flow_snapshots` wrote: trajectories `paths (T, n, 2)` at `times (T,)` from 0 to 1, and
    more.
    """

    times: Array
    paths: Array
    field: Field | None = None
    data: Density | None = None

    @property
    def finite(self) -> Array:
        """The trajectories that stay finite, and within what can be drawn, `(T, n, 2)`."""
        return self.paths[:, (np.abs(self.paths) <= FURTHEST).all(axis=(0, 2))]

    def points(self, t: float) -> Array:
        """Return the particles at the time next to t, `(n, 2)`."""
        found: Array = self.finite[int(np.abs(self.times - t).argmin())]
        return found


def load_flow_snapshot(path: Path | None) -> FlowSnapshot | None:
    """Return the flow snapshot in a file; None where the file is missing, damaged or not a flow snapshot."""
    from safetensors import SafetensorError
    from safetensors.numpy import load_file

    if path is None or not path.is_file():
        return None
    try:
        found = load_file(path)
        field = Field(found["field_times"], found["x"], found["y"], found["field"]) if "field" in found else None
        data = None
        if "log_density" in found:
            values = np.nan_to_num(np.exp(np.minimum(found["log_density"].astype(np.float64), HIGHEST)))
            data = Density(found["density_x"], found["density_y"], values, exact=True)
        return FlowSnapshot(found["times"], found["paths"], field, data)
    except (OSError, SafetensorError, KeyError):
        return None  # the figure says so in its place


def flow_snapshots(result_table: ResultTable) -> dict[Row, FlowSnapshot]:
    """Return the flow snapshot of each training combination that has one, in the plan's order."""
    loaded = {
        row: next(filter(None, (load_flow_snapshot(record.flow_snapshot) for record in records)), None)
        for row, records in result_table.trainings.items()
    }
    return {row: flow_snapshot for row, flow_snapshot in loaded.items() if flow_snapshot is not None}


def chosen(result_table: ResultTable, curves: Curves | None, rows: Sequence[Row], most: int) -> tuple[list[Row], str]:
    """Return up to `most` of some training rows, the best where that is known, and words about those left out."""
    if len(rows) <= most:
        return list(rows), ""
    named = "the best" if curves is not None and curves.rows else "the first"
    best = best_trainings(result_table.only(rows), curves, most) if curves is not None else list(rows)[:most]
    return best, f" Shown are {named} {len(best)} of {count(len(rows), 'training combination')}."


def titles(result_table: ResultTable, rows: Sequence[Row]) -> dict[Row, str]:
    """Return what stands above the panel of each training row."""
    said = varying(training_rows(result_table))
    return {row: fill(words(row, said), TITLE_WIDTH) if said else "" for row in rows}


def smoothed(points: Array, x: Array, y: Array, width: float) -> Array:
    """Return the density of points `(n, 2)` on a grid, `(h, w)`: each point a Gaussian with this standard deviation.

    Points that are not finite are nowhere, and count.
    """
    total, points = max(len(points), 1), points[np.isfinite(points).all(axis=1)].astype(np.float64)
    across = np.exp(-0.5 * ((x[:, None] - points[:, 0]) / width) ** 2)
    down = np.exp(-0.5 * ((y[:, None] - points[:, 1]) / width) ** 2)
    density: Array = down @ across.T / (total * 2 * np.pi * width**2)
    return density


def kernel_width(low: Sequence[float] | Array, high: Sequence[float] | Array) -> float:
    """Return the width of `smoothed` in a frame."""
    return KERNEL * max(float(b) - float(a) for a, b in zip(low, high, strict=True))


def enclosing(density: Array, masses: Sequence[float]) -> list[float]:
    """Return the levels, ascending, whose contours enclose these parts of a density on an even grid.

    A density that is even where it is not zero has one level, at its edge; one that is even everywhere has none.
    """
    ordered = np.sort(density, axis=None)[::-1]
    within = np.cumsum(ordered) / max(float(ordered.sum()), 1e-300)
    places = [min(int(np.searchsorted(within, mass)), len(ordered) - 1) for mass in masses]
    levels = {float(ordered[place]) if ordered[place] < ordered[0] else float(ordered[0]) / 2 for place in places}
    return sorted(level for level in levels if ordered[-1] < level < ordered[0])


def quiet(axes: Axes, low: Sequence[float] | Array, high: Sequence[float] | Array) -> None:
    """Make a panel a plain frame of the plane, with equal scales and no ticks."""
    axes.set(xlim=(low[0], high[0]), ylim=(low[1], high[1]), xticks=[], yticks=[], aspect="equal")
    axes.spines[:].set(visible=True, color="#e1e4e8")


def union(frames: Sequence[tuple[Array, Array]]) -> tuple[Array, Array]:
    """Return the corners of the box that holds all boxes."""
    return np.min([low for low, _ in frames], axis=0), np.max([high for _, high in frames], axis=0)


def box(flow_snapshot: FlowSnapshot) -> tuple[Array, Array]:
    """Return the corners of the part of the plane that a flow snapshot covers, source and data."""
    if (field := flow_snapshot.field) is not None:
        return np.array([field.x[0], field.y[0]]), np.array([field.x[-1], field.y[-1]])
    return bulk(flow_snapshot.finite.reshape(-1, 2), 0.5)


def bulk(points: Array, left_out: float) -> tuple[Array, Array]:
    """Return the corners of the frame of finite points `(n, 2)`, without so many percent of them on each side."""
    if not len(points):
        return np.full(2, -1.0), np.full(2, 1.0)
    points = points.astype(np.float64)
    margin = 0.5 + 1e-6 * np.abs(points).max(0)
    return np.percentile(points, left_out, axis=0) - margin, np.percentile(points, 100 - left_out, axis=0) + margin


def shape_of_panel(frame: tuple[Array, Array], width: float) -> float:
    """Return the height of a panel of some width that shows a frame."""
    low, high = frame
    return width * float(np.clip((high[1] - low[1]) / (high[0] - low[0]), 0.35, 2.0))


def panel_rows(snapshots_shown: Mapping[Row, FlowSnapshot]) -> tuple[int, int]:
    """Return how many panels stand across and down."""
    across = min(len(snapshots_shown), ACROSS)
    return across, -(-len(snapshots_shown) // across)
