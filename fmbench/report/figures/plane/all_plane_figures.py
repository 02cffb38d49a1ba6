"""All figures of one dataset of points in the plane: densities, trajectories, the velocity field and its motion."""

from __future__ import annotations

from pathlib import Path

from fmbench.io.printable_text import count
from fmbench.report.analysis.curves import Curves, training_rows
from fmbench.report.figures.plane.animation import with_animation
from fmbench.report.figures.plane.densities import densities
from fmbench.report.figures.plane.snapshots import chosen, flow_snapshots
from fmbench.report.figures.plane.trajectories import trajectories, velocity_field
from fmbench.report.figures.sample_grids import records_with_samples, shape_of
from fmbench.report.figures.theme import Picture
from fmbench.report.output_folder import Folder
from fmbench.report.result_table import ResultTable

MOST_PANELS, MOST_FIELDS = 8, 4
"""Training combinations in a figure of densities or trajectories, and in one of velocity fields."""


def point_figures(
    result_table: ResultTable, curves: Curves | None, real: Path | None, folder: Folder, suffix: str
) -> tuple[list[Picture], str]:
    """Draw what can be drawn; nothing for other data. The note says what is missing ("" where nothing is)."""
    known, rows = flow_snapshots(result_table), training_rows(result_table)
    sample = next((shape for record in records_with_samples(result_table) if (shape := shape_of(record.samples))), None)
    if not known and sample != (2,):
        return [], ""
    shown, left = chosen(result_table, curves, rows, MOST_PANELS)
    drawn = [densities(result_table, shown, left, known, real, folder, f"densities{suffix}")]
    if known:
        labelled = (
            " Every particle follows a condition of its own, as samples do." if _is_conditional(result_table) else ""
        )
        shown, left = chosen(result_table, curves, list(known), MOST_PANELS)
        few = {row: known[row] for row in shown}
        drawn.append(trajectories(result_table, few, labelled + left, folder, f"trajectories{suffix}"))
        shown, left = chosen(result_table, curves, list(known), MOST_FIELDS)
        few = {row: known[row] for row in shown}
        labelled += " Arrows are the field for no condition." if labelled else ""
        field = velocity_field(result_table, few, labelled + left, folder, f"velocity{suffix}")
        drawn.append(field and with_animation(field, result_table, few, folder, f"flow{suffix}"))
    note = ""
    if lacking := len(rows) - len(known):
        many = count(len(rows), "training combination")
        note = f"No trajectories of {lacking} of {many}: the store holds no flow snapshot of them."
    return [picture for picture in drawn if picture is not None], note


def _is_conditional(result_table: ResultTable) -> bool:
    """Whether networks of this dataset were told conditions."""
    cells = (record.cell for records in result_table.trainings.values() for record in records)
    return any(cell.settings.values.get("class_conditional") for cell in cells)
