"""Sample figures: what NFE does to the same noise, solver by solver and training by training; real data beside it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from fmbench.pictures import grid_of_images
from fmbench.records import EvaluationRecord
from fmbench.report.baseline import is_baseline
from fmbench.report.boards import ROW_AXES, Board, Row, varying, words
from fmbench.report.curves import N_TRAINING, panels, training_rows
from fmbench.report.files import Folder
from fmbench.report.theme import COLOURS, FAINT, INK, MUTED, Picture, new_figure, save, themed

if TYPE_CHECKING:
    from matplotlib.axes import Axes

Samples = NDArray[np.floating]
NOISES = 10
"""Columns of a block of images: samples that start from the same noise in every line."""
POINTS = 1500
"""Points of a scatter panel."""
PIXELS = 900_000
"""The most pixels of samples that one figure holds, so that a report stays small."""


@dataclass(frozen=True)
class Block:
    """The samples of one row of the suite, by NFE ascending (None, the adaptive solvers', last); None where there are none."""

    title: str
    lines: Sequence[tuple[str, Samples | None]]


def sample_figures(
    board: Board, real: Path | None, baseline: Mapping[str, Any] | None, folder: Folder, suffix: str
) -> tuple[list[Picture], str]:
    """Draw the samples of one training by all solvers, and of all trainings by one solver, for the first seed.

    Returns the pictures, and a note on what could not be drawn ("" when all could).
    """
    seed = first_seed(board)
    truth = load_samples(real)
    shapes = {r.samples and load_shape(r.samples) for r in _shown_records(board, seed)} - {None}
    shape = next(iter(shapes), None)
    if shape is None:
        return [], "There are no samples to show."
    if not (_is_image(shape) or shape == (2,)):
        return [], f"Samples of shape {shape} have no picture here."
    trainings = training_rows(board)
    said = varying(trainings)
    chosen = next((row for row in trainings if is_baseline(board, row, baseline or {})), trainings[0])
    pictures = []
    by_solver = [row for row in _rows(board) if row[:N_TRAINING] == chosen]
    blocks = [_block(board, row, seed, words(row[N_TRAINING - 1 :], [])) for row in by_solver]
    return pictures, ""
