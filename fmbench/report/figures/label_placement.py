"""Labels beside the points of a figure that overlap neither each other nor the points, and stay inside the axes."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from fmbench.report.figures.theme import INK, MUTED

if TYPE_CHECKING:
    from matplotlib.axes import Axes

DISTANCES = (6, 10, 16, 24, 34, 46, 60, 76, 94)
"""How far from its point a label may stand, in points of 1/72 inch: the first that fits is taken."""
LEADER = 12
"""From this distance on a line leads from the point to its label."""
CLEAR = 4.0
"""What is kept free around a point."""
DIRECTIONS = ((0.7, -0.7), (0.0, -1.0), (-0.7, -0.7), (1.0, -0.15), (-1.0, -0.15), (0.95, -0.4), (-0.95, -0.4))
"""Where a label may stand, seen from its point, on the side below; the other side follows when none of these fits."""

HIDDEN = 4
"""One thing hidden by a label counts as so many places further down the list."""
LETTERS: dict[str, Any] = {"fontsize": 7.5, "linespacing": 1.05, "color": INK}

Points = Sequence[tuple[float, float]]
Box = NDArray[np.float64]
"""Left, bottom, right, top, in pixels."""


@dataclass(frozen=True)
class Labelled:
    """A point in data coordinates, and what is to be written beside it."""

    x: float
    y: float
    text: str


def place_labels(
    axes: Axes, wanted: Sequence[Labelled], points: Points, lines: Sequence[Points], side: int
) -> list[Labelled]:
    """Write a label beside each point, in order; return those that there is no room for, which are not written.

    The figure must have its final layout. `points` and `lines` (corners) should stay in sight where that can be had,
    `side` is -1 where the labels should stand below their points, 1 above.
    """
    if not wanted:
        return []
    scale = axes.figure.dpi / 72
    own = axes.transData.transform([(point.x, point.y) for point in wanted])
    sight = np.concatenate([own, *(_pixels(axes, [point]) for point in points), *(_pixels(axes, x) for x in lines)])
    page = _Page(np.array(axes.get_window_extent().extents), own, sight, scale)
    left = []
    for point, at in zip(wanted, own, strict=True):
        box = page.put(at, _extent(axes, point.text), side)
        if box is None:
            left.append(point)
        else:
            _write(axes, point, at, box, scale)
    return left


def _pixels(axes: Axes, corners: Points) -> NDArray[np.float64]:
    """Return points along a line in pixels, a few pixels apart."""
    at = axes.transData.transform(corners)
    parts = [at[:1]]
    for start, end in pairwise(at):
        parts.append(np.linspace(start, end, 2 + int(min(np.hypot(*(end - start)) / 5, 400))))
    return np.concatenate(parts)


class _Page:
    """What is free in the axes while labels are put down one by one; everything is in pixels."""

    def __init__(self, frame: Box, own: NDArray[np.float64], sight: NDArray[np.float64], scale: float) -> None:
        self.frame, self.own, self.sight, self.scale = frame, own, sight, scale
        self.boxes: list[Box] = []
        self.leader_lines: list[NDArray[np.float64]] = []

    def put(self, at: NDArray[np.float64], extent: tuple[float, float], side: int) -> Box | None:
        """Choose the box of the next label; None where there is none."""
        best, least = None, math.inf
        for number, box in enumerate(_boxes(at, extent, side, self.scale)):
            if number >= least:
                break  # what comes later is further away, and can only be worse
            hidden = number + HIDDEN * int(_inside(self.sight, box).sum())
            if hidden < least and self.free(box, at):
                best, least = box, hidden
        if best is not None:
            self.boxes.append(best)
            self.leader_lines.append(_leader_line(at, best))
        return best

    def free(self, box: Box, at: NDArray[np.float64]) -> bool:
        """Whether a label may stand in a box: inside the axes, and on no labelled point, label or leader."""
        if (box[:2] < self.frame[:2] + 1).any() or (box[2:] > self.frame[2:] - 1).any():
            return False
        clear = CLEAR * self.scale
        if _inside(self.own, box + np.array([-clear, -clear, clear, clear])).any():
            return False
        padded = box + np.array([-2, -1, 2, 1])
        if any((padded[:2] < other[2:]).all() and (padded[2:] > other[:2]).all() for other in self.boxes):
            return False
        line = _leader_line(at, box)
        crossed = any(_inside(line, other).any() for other in self.boxes)
        return not crossed and not any(_inside(leader, padded).any() for leader in self.leader_lines)


def _extent(axes: Axes, text: str) -> tuple[float, float]:
    """Return width and height of a text in pixels."""
    probe = axes.text(0, 0, text, transform=axes.transAxes, **LETTERS)
    extent = probe.get_window_extent()
    probe.remove()
    return float(extent.width), float(extent.height)


def _boxes(at: NDArray[np.float64], extent: tuple[float, float], side: int, scale: float) -> Iterator[Box]:
    """Yield where a label may stand, the nearest first: its edge or corner at a distance from the point."""
    width, height = extent
    for flip in (-side, side):  # DIRECTIONS are for the side below
        for distance in DISTANCES:
            for along, up in DIRECTIONS:
                x, y = at + np.array([along, up * flip]) * distance * scale
                left = x - width * (0.5 - 0.5 * np.sign(along))
                bottom = y - height * (0.5 - 0.5 * np.sign(up * flip))
                yield np.array([left, bottom, left + width, bottom + height])


def _inside(points: NDArray[np.float64], box: Box) -> Any:
    return np.logical_and(points >= box[:2], points <= box[2:]).all(axis=1)


def _leader_line(at: NDArray[np.float64], box: Box) -> NDArray[np.float64]:
    """Return points on the line from a point to the nearest of its label's box, ends left out."""
    end = np.clip(at, box[:2], box[2:])
    return at + np.linspace(0.05, 0.95, 24)[:, None] * (end - at)


def _write(axes: Axes, point: Labelled, at: NDArray[np.float64], box: Box, scale: float) -> None:
    """Write a label into its box, with a line from its point where that is far."""
    from matplotlib.patheffects import withStroke

    end = np.clip(at, box[:2], box[2:])
    if np.hypot(*(end - at)) > LEADER * scale:
        line = axes.transData.inverted().transform([at, end])
        axes.plot(*line.T, color=MUTED, linewidth=0.5, zorder=2.5, scalex=False, scaley=False)
    halo = [withStroke(linewidth=2.0, foreground="white")]
    left, bottom = axes.transData.inverted().transform(box[:2])
    axes.text(left, bottom, point.text, ha="left", va="bottom", zorder=6, path_effects=halo, **LETTERS)
