"""Sample figures: what NFE does to the same noise, solver by solver and training by training; real data beside it."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from textwrap import fill
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from fmbench.report.analysis.baseline import is_baseline
from fmbench.report.analysis.curves import N_TRAINING, panels, training_rows
from fmbench.report.drawable import FURTHEST
from fmbench.report.figures.plane.snapshots import bulk, quiet
from fmbench.report.figures.score_curves import TITLE_WIDTH
from fmbench.report.figures.theme import COLOURS, INK, MUTED, Picture, new_figure, save, themed
from fmbench.report.output_folder import Folder
from fmbench.report.result_table import SOLVER_AXIS, ResultTable, Row, varying, words
from fmbench.results.image_grid import grid_of_images, shrunk
from fmbench.results.records import EvaluationRecord

if TYPE_CHECKING:
    from matplotlib.axes import Axes

Samples = NDArray[np.floating]
GridLine = tuple[str, Samples | str]
NOISES = 10
"""Columns of a block of images: samples that start from the same noise in every line."""
POINTS = 1500
"""Points of a scatter panel."""
PIXELS = 700_000
"""The most pixels of samples in one figure, so that a report stays small."""


@dataclass(frozen=True)
class SampleGrid:
    """Samples of one row of the suite, a line an NFE ascending; a line without samples says why.

    `elsewhere` says that they were made elsewhere, from noise of their own.
    """

    title: str
    lines: Sequence[GridLine]
    elsewhere: bool = False


@dataclass(frozen=True)
class Scene:
    """What all sample figures of a dataset share: the shape of one sample, the seed that is shown, and real data."""

    shape: tuple[int, ...]
    seed: int
    real: Samples | None


def sample_figures(
    result_table: ResultTable, real: Path | None, baseline: Mapping[str, Any] | None, folder: Folder, suffix: str
) -> tuple[list[Picture], str]:
    """Draw the samples of one training by all solvers, and those of all trainings by one solver, for one seed.

    Returns the pictures, and a note on what could not be drawn ("" when all could).
    """
    shown = next((r for r in records_with_samples(result_table) if shape_of(r.samples)), None)
    if shown is None:
        return [], "There are no samples to show."
    shape, seed = shape_of(shown.samples) or (), shown.cell.training.seed
    if not (_is_image(shape) or shape == (2,)):
        return [], f"Samples of shape {shape} have no picture here."
    trainings = training_rows(result_table)
    rows = [*result_table.rows(), *result_table.rows(adaptive=True), *result_table.unsaid]
    chosen = next((row for row in trainings if baseline and is_baseline(result_table, row, baseline)), trainings[0])
    solver = widest_solver(result_table)
    limit = NOISES if _is_image(shape) else POINTS
    scene = Scene(shape, seed, load_samples(real, limit * 8))
    sampled = [i for i in varying(rows) if i >= SOLVER_AXIS] or [SOLVER_AXIS]
    mine = [row for row in rows if row[:N_TRAINING] == chosen]
    of_solvers = [_block(result_table, row, seed, words(row, sampled), limit) for row in mine]
    said = varying(trainings)
    order = [row for line in panels(trainings) for row in line if row is not None and len(trainings) > 1]
    # What was made elsewhere is of no solver of the suite's: it stands for itself.
    samplers = {row: next((each for each in rows if each[:N_TRAINING] == row), (*row, *solver)) for row in order}
    of_trainings = [
        _block(
            result_table, each if result_table.made_elsewhere(row) else (*row, *solver), seed, words(row, said), limit
        )
        for row, each in samplers.items()
    ]
    plans = [
        (f"samples_by_solver{suffix}", f"samples by NFE, {words(chosen, said)}", of_solvers, 3),
        (f"samples_by_training{suffix}", f"samples by NFE, {solver[0]}", of_trainings, len(panels(trainings)[0])),
    ]
    draw = _draw_images if _is_image(shape) else _draw_points
    return [
        draw(blocks, scene, folder, name, f"{result_table.dataset}: {title}", across)
        for name, title, blocks, across in plans
        if any(not isinstance(samples, str) for block in blocks for _, samples in block.lines)
    ], ""


def records_with_samples(result_table: ResultTable) -> list[EvaluationRecord]:
    """Return the records that have samples, in the plan's order."""
    return [r for records in result_table.cells.values() for r in records if r.status == "ok" and r.samples is not None]


def widest_solver(result_table: ResultTable) -> Row:
    """Return the solver, grid and guidance with the most budgets and records; the first in the plan among equals."""
    cells = result_table.cells.items()
    counts = Counter(row[SOLVER_AXIS:] for (row, _), records in cells for r in records if r.samples)
    return max(counts, key=lambda sampler: counts[sampler])


def _is_image(shape: Sequence[int]) -> bool:
    return len(shape) == 3 and shape[0] in (1, 3)


def load_samples(path: Path | None, n: int) -> Samples | None:
    """Return the first `n` samples of a file, `(n, *shape)`; None where the file is missing, damaged or empty."""
    from safetensors import SafetensorError, safe_open

    if path is None or not path.is_file():
        return None
    try:
        with safe_open(path, "numpy") as file:
            stored = file.get_slice("samples")
            found: Samples = stored[: min(n, stored.get_shape()[0])]
    except (OSError, SafetensorError):
        return None  # the figure says so in its place
    if found.ndim == 2:  # points; of a picture's levels those beyond [-1, 1] are drawn as the nearest
        found = np.where(np.abs(found) <= FURTHEST, found, np.nan)
    return found if len(found) else None


def shape_of(path: Path | None) -> tuple[int, ...] | None:
    """Return the shape of one sample of a file."""
    found = load_samples(path, 1)
    return None if found is None else tuple(found.shape[1:])


def _block(result_table: ResultTable, row: Row, seed: int, title: str, n: int) -> SampleGrid:
    """Load one row's samples of a seed: a line for every budget of the suite, or the one line of an adaptive solver.

    Samples that were made elsewhere have the lines of their own NFE, and their first repeat where none is of the seed.
    """
    elsewhere = result_table.made_elsewhere(row)
    budgets: list[int | None] = [*result_table.budgets] if (row, None) not in result_table.cells else [None]
    if elsewhere:
        budgets = [nfe for each, nfe in result_table.cells if each == row]
        title = f"{title}, {row[SOLVER_AXIS]}" if row[SOLVER_AXIS] not in title else title
    lines: list[GridLine] = []
    for nfe in budgets:
        records = result_table.cells.get((row, nfe), ())
        first = next(iter(records), None) if elsewhere else None
        record = next((r for r in records if r.cell.training.seed == seed), first)
        measured = record.nfe if record and record.nfe is not None else math.nan
        label = f"{nfe}" if nfe is not None else f"{measured:.0f}" if math.isfinite(measured) else "?"
        if record is None or record.status != "ok":
            lines.append((label, record.status if record else "–"))
            continue
        found = load_samples(record.samples, n)
        lines.append((label, "no samples on disk" if found is None else found))
    return SampleGrid(title, lines, elsewhere)


def _draw_images(
    blocks: Sequence[SampleGrid], scene: Scene, folder: Folder, name: str, title: str, across: int
) -> Picture:
    """Draw blocks of images: NFE downwards, the same noise in each column; the last block is real data."""
    depth = max(len(block.lines) for block in blocks)
    noises = max(len(samples) for block in blocks for _, samples in block.lines if not isinstance(samples, str))
    blocks = [*blocks, *_real_block(scene, noises, depth, alone=len(blocks) % across == 0)]
    across = min(across, len(blocks))
    down = -(-len(blocks) // across)
    heights = [max(len(block.lines) for block in blocks[i * across : (i + 1) * across]) for i in range(down)]
    _, height, width = scene.shape
    shrink = max(1, math.ceil(math.sqrt(len(blocks) * depth * noises * height * width / PIXELS)))
    block_width = 3.0 if across <= 3 else 2.6
    line_height = block_width * height / (noises * width)
    with themed():
        figure = new_figure(block_width * across + 0.5, line_height * sum(heights) + 0.42 * down + 0.1)
        created = figure.subplots(down, across, squeeze=False, height_ratios=heights).flatten()
        for axes in created:
            axes.set_axis_off()
        for axes, block in zip(created, blocks, strict=False):
            _image_block(axes, block, scene.shape, noises, shrink)
        caption = (
            f"Samples of seed {scene.seed}. Inside a block NFE grows downwards (numbers at the left), and every column "
            "starts from the same noise, also from block to block: read a column downwards to see what more "
            "evaluations do."
        )
        if any(samples == "–" for block in blocks for _, samples in block.lines if isinstance(samples, str)):
            caption += " –: the suite has no such cell."
        caption += _from_elsewhere(blocks)
        caption += " Real data stands in the last block; it belongs to no noise." if scene.real is not None else ""
        caption += f" Pictures are shown at 1/{shrink} of their size." if shrink > 1 else ""
        return save(figure, folder, name, title, caption, pixels=True)


def _real_block(scene: Scene, noises: int, depth: int, *, alone: bool) -> list[SampleGrid]:
    """Return the block of real data, of one line where it stands alone in its row; nothing where there is none."""
    if scene.real is None:
        return []
    cuts = [scene.real[i * noises : (i + 1) * noises] for i in range(1 if alone else depth)]
    return [SampleGrid("real data", [("", cut) for cut in cuts if len(cut)])]


def _image_block(axes: Axes, block: SampleGrid, shape: tuple[int, ...], noises: int, shrink: int) -> None:
    from matplotlib.patches import Rectangle

    blank = np.full((noises, *shape), 0.9, dtype=np.float32)
    filled = [blank if isinstance(samples, str) else _padded(samples, blank) for _, samples in block.lines]
    pictures = shrunk(np.concatenate(filled), shrink)
    grid = grid_of_images(pictures, noises, pad=1)
    height, width = pictures.shape[2] + 1, grid.shape[1]
    axes.set_axis_on()
    axes.imshow(grid, aspect="equal")
    axes.set_anchor("NW")
    axes.set_title(fill(block.title, TITLE_WIDTH))
    centres = [1 + height * i + pictures.shape[2] / 2 - 0.5 for i in range(len(block.lines))]
    axes.set_yticks(centres, [label for label, _ in block.lines])
    axes.set_xticks([])
    axes.tick_params(length=0, pad=2, labelcolor=INK)
    axes.spines[:].set_visible(False)
    for centre, (_, samples) in zip(centres, block.lines, strict=True):
        if isinstance(samples, str):
            corner = (0.5, centre - height / 2 + 0.5)
            axes.add_patch(Rectangle(corner, width - 2, height - 1, color="white", linewidth=0))
            axes.text(width / 2, centre, samples, ha="center", va="center", color=MUTED, fontsize=7)


def _padded(samples: Samples, blank: Samples) -> Samples:
    return samples if len(samples) == len(blank) else np.concatenate([samples, blank[len(samples) :]])


def _draw_points(
    blocks: Sequence[SampleGrid], scene: Scene, folder: Folder, name: str, title: str, across: int
) -> Picture:
    """Draw scatter panels: a line a block, a column an NFE, samples over real data."""
    depth = max(len(block.lines) for block in blocks)
    clouds = [samples for block in blocks for _, samples in block.lines if not isinstance(samples, str)]
    low, high = frame_of(clouds, scene.real)
    with themed():
        panel_height = 1.75 * float(np.clip((high[1] - low[1]) / (high[0] - low[0]), 0.4, 2.0))
        figure = new_figure(1.75 * depth + 1.6, (panel_height + 0.2) * len(blocks) + 0.3)
        created = figure.subplots(len(blocks), depth, sharex=True, sharey=True, squeeze=False)
        for number, (block, line) in enumerate(zip(blocks, created, strict=True)):
            for axes in line[len(block.lines) :]:
                axes.set_axis_off()
            for axes, (label, samples) in zip(line, block.lines, strict=False):
                if number == 0 or len(block.lines) < depth:
                    axes.set_title(f"NFE {label}", color=INK)
                if isinstance(samples, str):
                    axes.text(0.5, 0.5, samples, transform=axes.transAxes, ha="center", color=MUTED)
                else:
                    _scatter(axes, scene.real, "#b9bdc6")
                    _scatter(axes, samples, COLOURS[0])
                quiet(axes, low, high)
            line[0].set_ylabel(fill(block.title, 24), rotation=0, ha="right", va="center")
        caption = (
            f"Samples of seed {scene.seed} (blue) over real data (grey), from the same noise in every panel: a line a "
            "combination, NFE growing to the right. Points outside the frame of the real data are not shown."
        )
        return save(figure, folder, name, title, caption + _from_elsewhere(blocks))


def _from_elsewhere(blocks: Sequence[SampleGrid]) -> str:
    many = any(block.elsewhere for block in blocks)
    return " What was made elsewhere started from noise of its own." if many else ""


def _scatter(axes: Axes, points: Samples | None, colour: str) -> None:
    if points is not None:
        x, y = points[:POINTS].T
        axes.scatter(x, y, s=1.6, color=colour, alpha=0.6, linewidth=0, rasterized=True)


def frame_of(clouds: Sequence[Samples], truth: Samples | None) -> tuple[Samples, Samples]:
    """Return the corners of the frame: the real data and a margin, or the bulk of the samples where there is none."""
    if truth is not None and np.isfinite(truth).all(axis=1).any():
        truth = truth[np.isfinite(truth).all(axis=1)].astype(np.float64)
        margin = 0.2 * (truth.max(0) - truth.min(0)) + 1e-6 * np.maximum(1.0, np.abs(truth).max(0))
        return truth.min(0) - margin, truth.max(0) + margin
    pooled = np.concatenate([*clouds, np.empty((0, 2))])
    return bulk(pooled[np.isfinite(pooled).all(axis=1)], 1)
