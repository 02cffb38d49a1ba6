"""All figures of one dataset of points in the plane: densities, trajectories, the velocity field and its motion."""

from __future__ import annotations

from pathlib import Path

from fmbench.report.analysis.curves import Curves, training_rows
from fmbench.report.figures.plane.animation import with_motion
from fmbench.report.figures.plane.densities import densities
from fmbench.report.figures.plane.snapshots import chosen, portraits
from fmbench.report.figures.plane.trajectories import trajectories, velocity_field
from fmbench.report.figures.sample_grids import sampled, shape_of
from fmbench.report.figures.theme import Picture
from fmbench.report.number_format import count
from fmbench.report.output_folder import Folder
from fmbench.report.result_table import Board

MOST_PANELS, MOST_FIELDS = 8, 4
"""Training combinations in a figure of densities or trajectories, and in one of velocity fields."""


def point_figures(
    board: Board, curves: Curves | None, real: Path | None, folder: Folder, suffix: str
) -> tuple[list[Picture], str]:
    """Draw what can be drawn; nothing for other data. The note says what is missing ("" where nothing is)."""
    known, rows = portraits(board), training_rows(board)
    sample = next((shape for record in sampled(board) if (shape := shape_of(record.samples))), None)
    if not known and sample != (2,):
        return [], ""
    shown, left = chosen(board, curves, rows, MOST_PANELS)
    drawn = [densities(board, shown, left, known, real, folder, f"densities{suffix}")]
    if known:
        labelled = " Every particle follows a class label, all classes in turn." if _takes_labels(board) else ""
        shown, left = chosen(board, curves, list(known), MOST_PANELS)
        few = {row: known[row] for row in shown}
        drawn.append(trajectories(board, few, labelled + left, folder, f"trajectories{suffix}"))
        shown, left = chosen(board, curves, list(known), MOST_FIELDS)
        few = {row: known[row] for row in shown}
        labelled += " Arrows are the field for no label." if labelled else ""
        field = velocity_field(board, few, labelled + left, folder, f"velocity{suffix}")
        drawn.append(field and with_motion(field, board, few, folder, f"flow{suffix}"))
    note = ""
    if lacking := len(rows) - len(known):
        note = (
            f"No trajectories of {lacking} of {count(len(rows), 'training combination')}: the store holds no portrait."
        )
    return [picture for picture in drawn if picture is not None], note


def _takes_labels(board: Board) -> bool:
    """Whether networks of this dataset were trained with class labels."""
    cells = (record.cell for records in board.trainings.values() for record in records)
    return any(cell.settings.values.get("class_conditional") for cell in cells)
