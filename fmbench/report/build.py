"""Writing a report: what is in it, and in which order."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path

from fmbench.report.analysis.curves import Curves, best_trainings, make_curves, time_metric, training_rows
from fmbench.report.analysis.pareto_front import Fronts, find_fronts
from fmbench.report.commands import Commands
from fmbench.report.drawable import LARGEST, drawable, lost_values
from fmbench.report.figures import at_a_glance, loss_curves, sample_grids, score_curves
from fmbench.report.figures.error_decomposition import split_figure
from fmbench.report.figures.metric_over_t import all_series, curves_over
from fmbench.report.figures.pareto_front import pareto
from fmbench.report.figures.plane.all_plane_figures import point_figures
from fmbench.report.figures.t_densities import t_densities
from fmbench.report.figures.theme import Look, Picture, looks
from fmbench.report.html import page
from fmbench.report.number_format import count
from fmbench.report.output_folder import Folder
from fmbench.report.result_table import Board, make_boards
from fmbench.report.tables import markdown_and_latex, standard_tables
from fmbench.report.tables.axis_importance import of_attribution
from fmbench.report.tables.baseline import against_baseline
from fmbench.report.tables.error_decomposition import split_table
from fmbench.report.tables.pareto_front import front_table
from fmbench.report.tables.table import Table
from fmbench.report.text.headline import in_short
from fmbench.results.records import Records

MOST_PANELS = 24
"""Training combinations in one figure; of more, the best are shown."""


def write_report(records: Records, folder: Path) -> Path:
    """Write the report into `folder` and return the path of its page, index.html.

    Beside it lie records.csv, references.csv (floors and oracles), table.md, table.tex and the figures.
    Every file is replaced whole; figures of the report that was there before, and are not in this one, go. Raises
    StoreError where the folder cannot be written.
    """
    target = Folder(Path(folder))
    former = target.former_figures()
    target.write("records.csv", csv(records))
    if records.references:
        target.write("references.csv", references_csv(records))
    records = drawable(records)
    boards = make_boards(records)
    commands = Commands(records.command, boards)
    styles = looks(row[score_curves.SOLVER_AXIS] for board in boards for row, _ in board.cells)
    sections = [
        _section(records, board, commands, styles, target, suffix)
        for board, suffix in zip(boards, suffixes(boards), strict=True)
    ]
    speed, failures = _speed(records, boards), standard_tables.of_failures(records)
    tables = [table for section in sections for table in section.tables] + speed + ([failures] if failures else [])
    short = in_short(records, boards)
    target.write("table.md", markdown_and_latex.markdown(records, tables, commands.command, short.lines))
    target.write("table.tex", markdown_and_latex.tex(records, tables, commands.command, short.lines))
    shared = t_densities(records.t_densities, target, "t_densities")
    pictures = [shared] if shared is not None else []
    content = page.render(page.Contents(records, commands.command, short, sections, speed, failures, pictures))
    index = target.write("index.html", content)
    target.remove(former - target.written)
    return index


def csv(records: Records) -> str:
    """Return records.csv: one row an evaluation cell in the plan's order, floats with all their digits."""
    frame = records.frame()
    frame["nfe_budget"] = frame["nfe_budget"].astype("Int64")
    content: str = frame.to_csv(index=False, lineterminator="\n")
    return content


def references_csv(records: Records) -> str:
    """Return references.csv: one row a floor or oracle."""
    import pandas as pd

    frame = pd.DataFrame([record.row() for record in records.references])
    frame["nfe_budget"] = frame["nfe_budget"].astype("Int64")
    content: str = frame.to_csv(index=False, lineterminator="\n")
    return content


def suffixes(boards: Sequence[Board]) -> list[str]:
    """Return what is appended to the names of each dataset's files: nothing where there is one dataset."""
    if len(boards) < 2:
        return ["" for _ in boards]
    slugs = [_slug(board.dataset) or "dataset" for board in boards]
    twice = Counter(slugs)
    return [f"_{slug}" if twice[slug] == 1 else f"_{slug}_{number}" for number, slug in enumerate(slugs, start=1)]


def _slug(text: str) -> str:
    return re.sub(r"[^a-z0-9]+", "_", text.lower()).strip("_")[:40]


def _section(
    records: Records, board: Board, commands: Commands, styles: dict[str, Look], target: Folder, suffix: str
) -> page.Section:
    """Make the tables and pictures of one dataset."""
    tables: list[Table | None] = []
    fronts = find_fronts(board)
    if board.headline is not None:
        tables.append(standard_tables.by_nfe(board, board.headline, commands.row))
    tables.append(front_table(fronts, board.dataset, commands.row))
    if records.baseline:
        tables.append(against_baseline(board, records.baseline, commands.row))
    tables += [
        standard_tables.of_adaptive(board, commands.row),
        split_table(board),
        standard_tables.of_training(board, commands.row),
    ]
    tables.append(of_attribution(board))
    for facts in board.scope("evaluation"):
        if facts != board.headline:
            tables.append(standard_tables.by_nfe(board, facts, commands.row, minor=True))
    pictures, notes = _pictures(records, board, fronts, styles, target, suffix)
    return page.Section(board, [table for table in tables if table is not None], pictures, notes)


def _pictures(
    records: Records, board: Board, fronts: Fronts | None, styles: dict[str, Look], target: Folder, suffix: str
) -> tuple[list[Picture], list[str]]:
    """Draw the figures of one dataset; the notes say what could not be drawn."""
    drawn: list[Picture | None] = []
    notes = []
    curves: Curves | None = None
    if (facts := board.headline) is not None:
        if lost := lost_values([record for group in board.cells.values() for record in group], facts):
            notes.append(
                f"Figures leave out {count(lost, 'value')} of {facts.name}: not finite, or beyond {LARGEST:g}."
            )
        curves, mixed = make_curves(board, facts)
        notes += [note] if curves.steady and (note := curves.steady.note()) else []
        chosen = best_trainings(board, curves, MOST_PANELS)
        every = training_rows(board)
        if len(chosen) < len(every):
            notes.append(
                f"Figures show {len(chosen)} of {len(every)} training combinations, the best; tables hold all."
            )
            board = board.only(chosen)
            curves, _ = make_curves(board, facts)
        if mixed:
            notes.append(f"No figures of {facts.name}: its values are not comparable with each other, {mixed}.")
            curves = None
        else:
            draw: list[tuple[Callable[..., Picture | None], str]]
            draw = [
                (at_a_glance.at_a_glance, "at_a_glance"),
                (score_curves.by_nfe, "by_nfe"),
                (score_curves.by_time, "by_time"),
            ]
            drawn += [make(board, curves, styles, target, f"score_{name}{suffix}") for make, name in draw]
    drawn.append(split_figure(board, target, f"network_or_solver{suffix}"))
    drawn.append(pareto(fronts, styles, target, f"pareto{suffix}", board.dataset))
    shown, note = sample_grids.sample_figures(board, records.real.get(board.dataset), records.baseline, target, suffix)
    notes += [note] if note else []
    flows, note = point_figures(board, curves, records.real.get(board.dataset), target, suffix)
    notes += [note] if note else []
    drawn += [*shown, *flows, loss_curves.losses(board, target, f"losses{suffix}")]
    for each in all_series(records.metrics):
        picture, note = curves_over(board, curves, each, target, f"{_slug(each.facts.name)}{suffix}")
        drawn.append(picture)
        notes += [note] if note else []
    return [picture for picture in drawn if picture is not None], notes


def _speed(records: Records, boards: Sequence[Board]) -> list[Table]:
    """Return the tables of what sampling and training cost."""
    tables: list[Table | None] = []
    for board in boards:
        for facts in board.scope("sampler"):
            tables += standard_tables.of_sampling(board, facts, minor=facts != time_metric(board))
    tables.append(standard_tables.of_machines(records))
    return [table for table in tables if table is not None]
