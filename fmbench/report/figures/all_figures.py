"""All figures of a report, as files: drawn where somebody asks for them, since the page draws from data."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from fmbench.io.printable_text import count
from fmbench.report.analysis.curves import Curves, best_trainings, make_curves, training_rows
from fmbench.report.analysis.metric_series import all_series
from fmbench.report.analysis.pareto_front import find_fronts
from fmbench.report.analysis.training_course import training_courses
from fmbench.report.drawable import LARGEST, lost_values
from fmbench.report.figures import at_a_glance, loss_curves, sample_grids, score_curves
from fmbench.report.figures.error_decomposition import error_decomposition_figure
from fmbench.report.figures.metric_over_t import curves_over
from fmbench.report.figures.pareto_front import pareto
from fmbench.report.figures.plane.all_plane_figures import point_figures
from fmbench.report.figures.score_curves import Styles
from fmbench.report.figures.t_densities import t_densities
from fmbench.report.figures.theme import Picture, looks
from fmbench.report.figures.training_course import over_training
from fmbench.report.output_folder import Folder, slug
from fmbench.report.result_table import SOLVER_AXIS, ResultTable
from fmbench.results.records import Records

MOST_PANELS = 24
"""Training combinations in one figure; of more, the best are shown."""


@dataclass(frozen=True)
class DrawnFigures:
    """The figures of each dataset, in their order, with notes on what could not be drawn; and those of the suite."""

    of_datasets: Sequence[tuple[Sequence[Picture], Sequence[str]]]
    of_suite: Sequence[Picture]


def draw_figures(
    records: Records,
    result_tables: Sequence[ResultTable],
    suffixes: Sequence[str],
    target: Folder,
) -> DrawnFigures:
    """Write the figures of all datasets into a folder, as PNG and SVG, animations as GIF.

    `records` hold every step that was evaluated, `result_tables` the last alone. A dataset's `suffixes` end the names
    of its files."""
    styles = looks(row[SOLVER_AXIS] for result_table in result_tables for row, _ in result_table.cells)
    named = zip(result_tables, suffixes, strict=True)
    drawn = [_of_dataset(records, result_table, styles, target, suffix) for result_table, suffix in named]
    shared = t_densities(records.t_densities, target, "t_densities")
    return DrawnFigures(drawn, [shared] if shared is not None else [])


def _of_dataset(
    records: Records, result_table: ResultTable, styles: Styles, target: Folder, suffix: str
) -> tuple[list[Picture], list[str]]:
    """Draw the figures of one dataset; the notes say what could not be drawn."""
    drawn: list[Picture | None] = []
    notes = []
    curves: Curves | None = None
    whole, dataset = result_table, result_table.dataset
    if (facts := result_table.headline) is not None:
        if lost := lost_values([record for group in result_table.cells.values() for record in group], facts):
            notes.append(
                f"Figures leave out {count(lost, 'value')} of {facts.name}: not finite, or beyond {LARGEST:g}."
            )
        curves, mixed = make_curves(result_table, facts)
        chosen = best_trainings(result_table, curves, MOST_PANELS)
        every = training_rows(result_table)
        if len(chosen) < len(every):
            notes.append(
                f"Figures show {len(chosen)} of {len(every)} training combinations, the best; tables hold all."
            )
            result_table = result_table.only(chosen)
            curves, _ = make_curves(result_table, facts)
        if mixed:
            notes.append(f"No figures of {facts.name}: its values are not comparable with each other, {mixed}.")
            curves = None
        else:
            drawn += [
                at_a_glance.at_a_glance(result_table, curves, styles, target, f"score_at_a_glance{suffix}"),
                score_curves.by_nfe(result_table, curves, styles, target, f"score_by_nfe{suffix}"),
                score_curves.by_time(result_table, curves, styles, target, f"score_by_time{suffix}"),
            ]
    drawn.append(error_decomposition_figure(result_table, target, f"network_or_solver{suffix}"))
    drawn.append(pareto(find_fronts(whole), styles, target, f"pareto{suffix}", dataset))
    real = records.real.get(dataset)
    shown, note = sample_grids.sample_figures(result_table, real, records.baseline, target, suffix)
    notes += [note] if note else []
    flows, note = point_figures(result_table, curves, real, target, suffix)
    notes += [note] if note else []
    drawn += [*shown, *flows, loss_curves.losses(result_table, target, f"losses{suffix}")]
    for each in all_series(records.metrics):
        picture, note = curves_over(result_table, curves, each, target, f"{slug(each.facts.name)}{suffix}")
        drawn.append(picture)
        notes += [note] if note else []
    if facts is not None:
        courses = training_courses(records, whole, facts)
        drawn.append(over_training(courses, facts, dataset, target, f"score_over_training{suffix}"))
    return [picture for picture in drawn if picture is not None], notes
