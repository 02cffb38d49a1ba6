"""Writing a report: what is in it, and in which order."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from fmbench.report.analysis.curves import time_metric
from fmbench.report.analysis.own_best import own_bests
from fmbench.report.analysis.pareto_front import find_fronts
from fmbench.report.analysis.timing_noise import steadiness
from fmbench.report.analysis.training_course import training_courses
from fmbench.report.commands import Commands
from fmbench.report.drawable import drawable
from fmbench.report.html import page
from fmbench.report.output_folder import README, RESULTS, Folder, slug
from fmbench.report.page_data.payload import RunAddresses
from fmbench.report.readme import readme
from fmbench.report.result_table import ResultTable, make_result_tables
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
from fmbench.results.snapshot import snapshot
from fmbench.results.snapshot_file import snapshot_text

if TYPE_CHECKING:
    from pandas import DataFrame


def write_report(records: Records, folder: Path, figures: bool = False, runs: RunAddresses | None = None) -> Path:
    """Write the report into `folder` and return the path of its page, index.html, with links to MLflow's `runs`.

    Beside it lie records.csv, results.json (which `fmbench compare` and `fmbench publish` read), references.csv (floors
    and oracles), validation.csv (the scores by which settings are chosen, where they are), table.md, table.tex,
    README.md (for hosts that show no HTML: the answer, figures and one table a dataset) and, with `figures`, these as
    PNG and SVG, and animations as GIF.
    Every file is replaced whole; figures of the report that was there before, and are not in this one, go. A README.md
    that fmbench did not write stays. Raises StoreError where the folder cannot be written.
    """
    target = Folder(Path(folder))
    former = target.former_figures()
    target.write("records.csv", csv(records))
    if records.references:
        target.write("references.csv", references_csv(records))
    contents = replace(make_contents(records), links=runs)
    target.write(RESULTS, results_json(records, contents.in_short.lines))
    if records.validation:
        target.write("validation.csv", validation_csv(records, [each.result_table for each in contents.sections]))
    contents = _with_figures(contents, target) if figures else contents
    _write_texts(contents, target)
    index = target.write("index.html", page.render(contents))
    target.remove(former - target.written)
    return index


def make_contents(records: Records) -> page.Contents:
    """Return what a report says: its words and tables, without figures."""
    every = drawable(records)
    last = every.last_steps
    result_tables = make_result_tables(last)
    command = Commands(last.command, result_tables)
    sections = [_section(every, result_table, command.row) for result_table in result_tables]
    speed, failures = _speed(last, result_tables), standard_tables.of_failures(every)
    return page.Contents(every, command.command, in_short(every, result_tables), sections, speed, failures)


def all_tables(contents: page.Contents) -> list[Table]:
    """Return every table of a report, in its order."""
    tables = [table for section in contents.sections for table in section.tables]
    return [*tables, *contents.speed, *([contents.failures] if contents.failures else [])]


def _write_texts(contents: page.Contents, target: Folder) -> None:
    """Write table.md, table.tex and README.md."""
    said = contents.records, all_tables(contents), contents.command, contents.in_short.lines
    target.write("table.md", markdown_and_latex.markdown(*said))
    target.write("table.tex", markdown_and_latex.tex(*said))
    if target.may_write_readme():
        leading = [section.tables[0] for section in contents.sections if section.tables]
        pictures = [picture for section in contents.sections for picture in section.pictures]
        pictures += contents.pictures
        target.write(README, readme(contents.records, leading, contents.command, contents.in_short.lines, pictures))


def csv(records: Records) -> str:
    """Return records.csv: one row an evaluation cell in the plan's order, floats with all their digits."""
    return _csv(records.frame())


def results_json(records: Records, answer: Sequence[tuple[str, str]]) -> bytes:
    """Return results.json: each value with its identity, and the first lines of the report."""
    found = snapshot(records)
    said = [f"{about}: {text}" if about else text for about, text in answer]
    return snapshot_text(replace(found, made={**found.made, "answer": said}))


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
    slugs = [slug(result_table.dataset) or "dataset" for result_table in result_tables]
    twice = Counter(slugs)
    return [f"_{slug}" if twice[slug] == 1 else f"_{slug}_{number}" for number, slug in enumerate(slugs, start=1)]


def _section(every: Records, result_table: ResultTable, command: Command) -> page.Section:
    """Make the tables of one dataset, from the last step that was evaluated; `every` holds the others, too."""
    fronts, headline, own_best = find_fronts(result_table), result_table.headline, own_bests(result_table)
    others = [facts for facts in result_table.scope("evaluation") if facts != headline]
    tables = [
        standard_tables.by_nfe(result_table, headline, command) if headline is not None else None,
        own_best_table(result_table, own_best, every.baseline, command),
        front_table(fronts, result_table.dataset, command),
        against_baseline(result_table, every.baseline, command) if every.baseline else None,
        standard_tables.of_adaptive(result_table, command),
        standard_tables.of_unsaid(result_table, command),
        error_decomposition_table(result_table),
        standard_tables.of_training(result_table, command),
        of_attribution(result_table),
        all_settings_table(result_table, own_best),
        *(standard_tables.by_nfe(result_table, facts, command, minor=True) for facts in others),
    ]
    notes = []
    clock = time_metric(result_table)
    if clock is not None and (note := steadiness(result_table, clock).note()):
        notes.append(note)
    if headline is not None:
        courses = training_courses(every, result_table, headline)
        if (course := training_course_table(courses, headline, result_table.dataset, command)) is not None:
            tables.append(course)
            notes.append("Tables and figures are of the last step that was evaluated, but for those over the training.")
    return page.Section(result_table, [table for table in tables if table is not None], [], notes)


def _with_figures(contents: page.Contents, target: Folder) -> page.Contents:
    """Draw the figures into the report's folder, and add them to what it says."""
    from fmbench.report.figures.all_figures import draw_figures  # matplotlib's, which takes long to import

    result_tables = [section.result_table for section in contents.sections]
    drawn = draw_figures(contents.records, result_tables, suffixes(result_tables), target)
    sections = [
        replace(section, pictures=pictures, notes=[*section.notes, *notes])
        for section, (pictures, notes) in zip(contents.sections, drawn.of_datasets, strict=True)
    ]
    return replace(contents, sections=sections, pictures=drawn.of_suite)


def _speed(records: Records, result_tables: Sequence[ResultTable]) -> list[Table]:
    """Return the tables of what sampling and training cost."""
    tables: list[Table | None] = []
    for result_table in result_tables:
        for facts in result_table.scope("sampler"):
            tables += standard_tables.of_sampling(result_table, facts, minor=facts != time_metric(result_table))
    tables.append(standard_tables.of_machines(records))
    return [table for table in tables if table is not None]
