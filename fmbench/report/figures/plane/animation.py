"""The flow in motion: an animated GIF of particles that the trained fields carry from noise to samples."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from fmbench.report.figures.plane.snapshots import FlowSnapshot, box, panel_rows, quiet, shape_of_panel, titles, union
from fmbench.report.figures.plane.trajectories import arrows, blend, directions, usual_speed
from fmbench.report.figures.theme import INK, Picture, new_figure, new_panels, themed
from fmbench.report.output_folder import Folder
from fmbench.report.result_table import ResultTable, Row

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from PIL.Image import Image

PARTICLES = 250
FRAME_MS, REST_MS = 90, 1800
"""How long a frame stays, and how long the first and the last stay, so that the eye can rest on noise and samples."""
ARROW, FRAME = "#a3a9b3", "#e1e4e8"
HUES = 5
"""Colours of a particle on its way; the animation has few in all, because that is what keeps it small."""
MOST_BYTES = 400_000
"""A larger animation goes on with every other frame."""

Pixels = NDArray[np.uint8]


def with_animation(
    picture: Picture, result_table: ResultTable, shown: Mapping[Row, FlowSnapshot], folder: Folder, name: str
) -> Picture:
    """Write `<name>.gif`, and return the picture with it."""
    data = animate(result_table, shown)
    folder.write(f"{name}.gif", data)
    caption = f"{picture.caption} Below, the same in motion: {PARTICLES} particles on their way from noise to samples."
    return replace(picture, caption=caption, gif=f"{name}.gif", animation=data)


def animate(result_table: ResultTable, shown: Mapping[Row, FlowSnapshot]) -> bytes:
    """Return a GIF of the particles and the field, a panel a training combination, all at the same time t."""
    frames = _frames(result_table, shown)
    while len(data := _gif(frames)) > MOST_BYTES and len(frames) >= 4:
        frames = [*frames[:-1:2], frames[-1]]
    return data


def _frames(result_table: ResultTable, shown: Mapping[Row, FlowSnapshot]) -> list[Pixels]:
    """Return the pictures `(height, width, 3)`, one a stored time: what does not move is drawn once."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    times = next(iter(shown.values())).times
    with themed():
        figure, moving = _stage(result_table, shown)
        agg: Any = FigureCanvasAgg(figure)
        agg.draw()
        still = agg.copy_from_bbox(figure.bbox)
        frames = []
        for t in times:
            agg.restore_region(still)
            _move(moving, float(t))
            for artist in [moving.clock, *moving.fields, *moving.dots]:
                artist.draw(agg.get_renderer())
            frames.append(np.asarray(agg.buffer_rgba())[..., :3].copy())
    return frames


class _Moving:
    """The artists that change from frame to frame."""

    def __init__(self, clock: Any, flow_snapshots: Sequence[FlowSnapshot], unit: float) -> None:
        self.clock, self.flow_snapshots, self.unit = clock, flow_snapshots, unit
        self.fields: list[Any] = []
        self.dots: list[Any] = []


def _stage(result_table: ResultTable, shown: Mapping[Row, FlowSnapshot]) -> tuple[Figure, _Moving]:
    across, down = panel_rows(shown)
    frame, said = union([box(flow_snapshot) for flow_snapshot in shown.values()]), titles(result_table, list(shown))
    figure = new_figure(1.65 * across + 0.15, (shape_of_panel(frame, 1.6) + 0.3) * down + 0.3)
    clock = figure.suptitle("t = 0.00", x=0.01, ha="left", fontsize=9, animated=True)
    moving = _Moving(clock, list(shown.values()), usual_speed(shown))
    created = new_panels(figure, len(shown), across)
    for axes, (row, flow_snapshot) in zip(created, shown.items(), strict=True):
        axes.set_title(said[row], color=INK)
        if (field := arrows(axes, flow_snapshot, 0.0, moving.unit)) is not None:
            field.set_animated(True)
            moving.fields.append(field)
        moving.dots.append(axes.scatter([], [], s=5, linewidth=0, zorder=4, animated=True))
        quiet(axes, *frame)
    return figure, moving


def _move(moving: _Moving, t: float) -> None:
    moving.clock.set_text(f"t = {t:.2f}")
    fields = iter(moving.fields)
    for dots, flow_snapshot in zip(moving.dots, moving.flow_snapshots, strict=True):
        dots.set_offsets(flow_snapshot.points(t)[:PARTICLES])
        dots.set_facecolor(blend(t))
        if flow_snapshot.field is not None:
            vectors, colours = directions(flow_snapshot, flow_snapshot.field, t, moving.unit)
            field = next(fields)
            field.set_UVC(*vectors)
            field.set_facecolor([ARROW if colour == INK else "none" for colour in colours])


def _palette() -> Image:
    """Return a picture with the colours of the animation: those that are drawn, and each halfway to white."""
    from matplotlib.colors import to_rgb
    from PIL import Image

    drawn = [to_rgb(INK), to_rgb(ARROW), *(blend(step / (HUES - 1)) for step in range(HUES))]
    tints = [(1 + np.array(colour)) / 2 for colour in drawn]
    levels = np.round(255 * np.array([(1.0, 1.0, 1.0), to_rgb(FRAME), *drawn, *tints])).astype(int)
    palette = Image.new("P", (1, 1))
    palette.putpalette(levels.ravel().tolist())
    return palette


def _gif(frames: Sequence[Pixels]) -> bytes:
    """Return frames as a GIF that repeats."""
    from PIL import Image

    palette = _palette()
    first, *others = (Image.fromarray(frame).quantize(palette=palette, dither=Image.Dither.NONE) for frame in frames)
    file = io.BytesIO()
    durations = [REST_MS // 2, *[FRAME_MS] * (len(frames) - 2), REST_MS]
    first.save(file, format="GIF", save_all=True, append_images=others, duration=durations, loop=0, optimize=False)
    return file.getvalue()
