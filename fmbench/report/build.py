"""Writing a report: what is in it, and in which order."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from fmbench.io.printable_text import count
from fmbench.report.analysis.curves import Curves, best_trainings, make_curves, time_metric, training_rows
from fmbench.report.analysis.own_best import own_bests
from fmbench.report.analysis.pareto_front import Fronts, find_fronts
from fmbench.report.analysis.training_course import training_courses
from fmbench.report.commands import Commands
from fmbench.report.drawable import LARGEST, drawable, lost_values
from fmbench.report.figures import at_a_glance, loss_curves, sample_grids, score_curves
from fmbench.report.figures.error_decomposition import error_decomposition_figure
from fmbench.report.figures.metric_over_t import all_series, curves_over
from fmbench.report.figures.pareto_front import pareto
from fmbench.report.figures.plane.all_plane_figures import point_figures
from fmbench.report.figures.score_curves import Styles
from fmbench.report.figures.t_densities import t_densities
from fmbench.report.figures.theme import Picture, looks
from fmbench.report.figures.training_course import over_training
from fmbench.report.html import page
from fmbench.report.output_folder import Folder
from fmbench.report.result_table import SOLVER_AXIS, ResultTable, make_result_tables
from fmbench.report.tables import markdown_and_latex, standard_tables
from fmbench.report.tables.axis_importance import of_attribution
from fmbench.report.tables.baseline import against_baseline
from fmbench.report.tables.error_decomposition import error_decomposition_table
from fmbench.report.tables.own_best import all_settings_table, own_best_table
from fmbench.report.tables.pareto_front import front_table
from fmbench.report.tables.table import Command, Table
from fmbench.report.tables.training_course import training_course_table
from fmbench.report.text.headline import in_short
from fmbench.results.records import Records

if TYPE_CHECKING:
    from pandas import DataFrame

MOST_PANELS = 24
"""Training combinations in one figure; of more, the best are shown."""


def write_report(records: Records, folder: Path) -> Path:
    """Write the report into `folder` and return the path of its page, index.html.

    Beside it lie records.csv, references.csv (floors and oracles), validation.csv (the scores by which settings are
    chosen, where they are), table.md, table.tex and the figures.
    Every file is replaced whole; figures of the report that was there before, and are not in this one, go. Raises
    StoreError where the folder cannot be written.
    """
    target = Folder(Path(folder))
    former = target.former_figures()
    target.write("records.csv", csv(records))
    if records.references:
        target.write("references.csv", references_csv(records))
    every = drawable(records)
    records = every.last_steps
    result_tables = make_result_tables(records)
    if records.validation:
        target.write("validation.csv", validation_csv(records, result_tables))
    commands = Commands(records.command, result_tables)
    styles = looks(row[SOLVER_AXIS] for result_table in result_tables for row, _ in result_table.cells)
    sections = []
    for result_table, suffix in zip(result_tables, suffixes(result_tables), strict=True):
        section = _section(records, result_table, commands.row, styles, target, suffix)
        sections.append(_with_course(section, every, result_table, commands.row, target, suffix))
    speed, failures = _speed(records, result_tables), standard_tables.of_failures(every)
    tables = [table for section in sections for table in section.tables] + speed + ([failures] if failures else [])
    short = in_short(every, result_tables)
    target.write("table.md", markdown_and_latex.markdown(records, tables, commands.command, short.lines))
    target.write("table.tex", markdown_and_latex.tex(records, tables, commands.command, short.lines))
    shared = t_densities(records.t_densities, target, "t_densities")
    pictures = [shared] if shared is not None else []
    content = page.render(page.Contents(every, commands.command, short, sections, speed, failures, pictures))
    index = target.write("index.html", content)
    target.remove(former - target.written)
    return index


def csv(records: Records) -> str:
    """Return records.csv: one row an evaluation cell in the plan's order, floats with all their digits."""
    return _csv(records.frame())


def references_csv(records: Records) -> str:
    """Return references.csv: one row a floor or oracle."""
    import pandas as pd

    return _csv(pd.DataFrame([record.row() for record in records.references]))


def validation_csv(records: Records, result_tables: Sequence[ResultTable]) -> str:
    """Return validation.csv: one row an evaluation on validation data, and whether it is of a best setting."""
    import pandas as pd

    found = [each for each in map(own_bests, result_tables) if each is not None]
    chosen = {key for each in found for group in each.groups if group.best for key in group.best.keys}
    rows = [{**record.row(), "chosen": record.cell.key in chosen} for record in records.validation]
    return _csv(pd.DataFrame(rows).drop(columns="nfe"))


def _csv(frame: DataFrame) -> str:
    frame["nfe_budget"] = frame["nfe_budget"].astype("Int64")
    return str(frame.to_csv(index=False, lineterminator="\n"))


def suffixes(result_tables: Sequence[ResultTable]) -> list[str]:
    """Return what is appended to the names of each dataset's files: nothing where there is one dataset."""
    if len(result_tables) < 2:
        return ["" for _ in result_tables]
    slugs = [_slug(result_table.dataset) or "dataset" for result_table in result_tables]
    twice = Counter(slugs)
    return [f"_{slug}" if twice[slug] == 1 else f"_{slug}_{number}" for number, slug in enumerate(slugs, start=1)]


def _slug(text: str) -> str:
    return re.sub(r"[^a-z0-9]+", "_", text.lower()).strip("_")[:40]


def _section(
    records: Records, result_table: ResultTable, command: Command, styles: Styles, target: Folder, suffix: str
) -> page.Section:
    """Make the tables and pictures of one dataset."""
    fronts, headline, own_best = find_fronts(result_table), result_table.headline, own_bests(result_table)
    others = [facts for facts in result_table.scope("evaluation") if facts != headline]
    tables = [
        standard_tables.by_nfe(result_table, headline, command) if headline is not None else None,
        own_best_table(result_table, own_best, records.baseline, command),
        front_table(fronts, result_table.dataset, command),
        against_baseline(result_table, records.baseline, command) if records.baseline else None,
        standard_tables.of_adaptive(result_table, command),
        standard_tables.of_unsaid(result_table, command),
        error_decomposition_table(result_table),
        standard_tables.of_training(result_table, command),
        of_attribution(result_table),
        all_settings_table(result_table, own_best),
        *(standard_tables.by_nfe(result_table, facts, command, minor=True) for facts in others),
    ]
    pictures, notes = _pictures(records, result_table, fronts, styles, target, suffix)
    return page.Section(result_table, [table for table in tables if table is not None], pictures, notes)


def _with_course(
    section: page.Section, every: Records, result_table: ResultTable, command: Command, target: Folder, suffix: str
) -> page.Section:
    """Add how scores came about over the training, where several steps of it were evaluated."""
    if (facts := result_table.headline) is None:
        return section
    courses = training_courses(every, result_table, facts)
    table = training_course_table(courses, facts, result_table.dataset, command)
    picture = over_training(courses, facts, result_table.dataset, target, f"score_over_training{suffix}")
    if table is None or picture is None:
        return section
    note = "Tables and figures are of the last step that was evaluated, but for those over the training."
    return replace(
        section,
        tables=[*section.tables, table],
        pictures=[*section.pictures, picture],
        notes=[*section.notes, note],
    )


def _pictures(
    records: Records, result_table: ResultTable, fronts: Fronts | None, styles: Styles, target: Folder, suffix: str
) -> tuple[list[Picture], list[str]]:
    """Draw the figures of one dataset; the notes say what could not be drawn."""
    drawn: list[Picture | None] = []
    notes = []
    curves: Curves | None = None
    if (facts := result_table.headline) is not None:
        if lost := lost_values([record for group in result_table.cells.values() for record in group], facts):
            notes.append(
                f"Figures leave out {count(lost, 'value')} of {facts.name}: not finite, or beyond {LARGEST:g}."
            )
        curves, mixed = make_curves(result_table, facts)
        notes += [note] if curves.steady and (note := curves.steady.note()) else []
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
    drawn.append(pareto(fronts, styles, target, f"pareto{suffix}", result_table.dataset))
    real = records.real.get(result_table.dataset)
    shown, note = sample_grids.sample_figures(result_table, real, records.baseline, target, suffix)
    notes += [note] if note else []
    flows, note = point_figures(result_table, curves, real, target, suffix)
    notes += [note] if note else []
    drawn += [*shown, *flows, loss_curves.losses(result_table, target, f"losses{suffix}")]
    for each in all_series(records.metrics):
        picture, note = curves_over(result_table, curves, each, target, f"{_slug(each.facts.name)}{suffix}")
        drawn.append(picture)
        notes += [note] if note else []
    return [picture for picture in drawn if picture is not None], notes


def _speed(records: Records, result_tables: Sequence[ResultTable]) -> list[Table]:
    """Return the tables of what sampling and training cost."""
    tables: list[Table | None] = []
    for result_table in result_tables:
        for facts in result_table.scope("sampler"):
            tables += standard_tables.of_sampling(result_table, facts, minor=facts != time_metric(result_table))
    tables.append(standard_tables.of_machines(records))
    return [table for table in tables if table is not None]
