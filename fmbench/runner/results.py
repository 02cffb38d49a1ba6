"""Results for Python and notebooks: a frame, a selection by axes, a table and a figure."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fmbench.errors import UserError, did_you_mean
from fmbench.io.printable_text import visible
from fmbench.results.records import COLUMNS, TRAINING_AXES, Records
from fmbench.runner.session import Options, open_session

if TYPE_CHECKING:
    import pandas as pd

    from fmbench.report.notebook import ScoreFigure
    from fmbench.report.tables.table import Table

AXES = (*TRAINING_AXES, "seed", "solver", "grid", "weights", "guidance", "nfe", "at_step", "status")
"""What `select` takes."""
COLUMN_OF = {"nfe": "nfe_budget"}
Wanted = str | int | float | Collection[str | int | float]


@dataclass(frozen=True, repr=False)
class Results:
    """The results of a suite, of all its evaluations or of some of them. A notebook shows them as a table.

    `records` is what the store holds of them, None where they were read from the folder of a report; then `read` are
    the rows of its records.csv. `report` is the page.
    """

    records: Records | None = None
    report: Path | None = None
    read: pd.DataFrame | None = None

    @property
    def name(self) -> str:
        """The suite's name."""
        return self.records.suite if self.records is not None else self.report.parent.name if self.report else ""

    @property
    def not_comparable(self) -> str:
        """Why the scores stand beside no others, "" where they do: those of a quick run do not."""
        if self.records is not None:
            return self.records.not_comparable
        said = self.to_frame().get("not_comparable")
        return "" if said is None else " ".join(said.dropna().unique())

    @cached_property
    def metrics(self) -> list[str]:
        """The names of the metrics that have values, the one that leads first."""
        frame = self.to_frame()
        names = [
            str(name) for name in frame.columns if name not in (*COLUMNS, *AXES, "training_seconds", "not_comparable")
        ]
        names = [name for name in names if frame[name].dtype.kind in "fi" and frame[name].notna().any()]
        if self.records is not None:
            leading = [facts.name for facts in self.records.metrics if facts.scope == "evaluation"]
            names.sort(key=lambda name: name not in leading)
        return names

    def to_frame(self) -> pd.DataFrame:
        """Return one row an evaluation cell, with the columns of records.csv: axes, nfe, status, key, metrics."""
        if self.records is not None:
            return self.records.frame()
        assert self.read is not None
        return self.read.copy()

    def select(self, **axes: Wanted) -> Results:
        """Return the results of some values of some axes: `select(path="cosine", nfe=[4, 8])`.

        A component is meant by its label, or by its name with any parameters. Raises UserError for an axis that there
        is not, and for a value that no result has.
        """
        frame = self.to_frame()
        kept = frame["seed"].notna()
        for axis, wanted in axes.items():
            if axis not in AXES or COLUMN_OF.get(axis, axis) not in frame:
                here = [each for each in AXES if COLUMN_OF.get(each, each) in frame]
                raise UserError(f"there is no axis {axis!r}.{did_you_mean(axis, here)} Axes: {', '.join(here)}.")
            column = frame[COLUMN_OF.get(axis, axis)]
            several = [wanted] if isinstance(wanted, str | int | float) else list(wanted)
            for each in several:
                if not any(_means(each, value) for value in column.unique()):
                    held = ", ".join(dict.fromkeys(map(_shown, column.dropna().unique())))
                    raise UserError(f"no result has the {axis} {each!r}. There are: {held}.")
            kept &= column.map(lambda value, several=several: any(_means(each, value) for each in several))
        if self.records is None:
            return Results(None, self.report, frame[kept].reset_index(drop=True))
        pairs = zip(self.records.evaluations, kept, strict=True)
        evaluations = [record for record, is_kept in pairs if is_kept]
        keys = {record.cell.training.key for record in evaluations}
        trainings = [record for record in self.records.trainings if record.cell.key in keys]
        return Results(replace(self.records, evaluations=evaluations, trainings=trainings), self.report)

    def tables(self, metric: str | None = None) -> list[Table]:
        """Return a table a dataset: a metric by NFE, the leading one where none is named, the best rows first.

        Of results that were read from a report's folder no best is marked: records.csv does not say what may be
        compared. Raises UserError for a metric without values.
        """
        from fmbench.report.notebook import scores_of_frame, table_of_scores
        from fmbench.report.tables.headline_table import headline_tables

        if self.records is not None:
            return headline_tables(self.records, None if metric is None else self._metric(metric))
        name = self._metric(metric)
        return [table_of_scores(dataset, name, s) for dataset, s in scores_of_frame(self.to_frame(), name).items()]

    def figure(self, metric: str | None = None) -> ScoreFigure:
        """Return a figure of a metric over the NFE, a panel a dataset: means and 95% intervals over the seeds, of the
        best rows where there are many. Raises UserError for a metric without values.
        """
        from fmbench.report.notebook import ScorePanel, figure_of, scores_of_frame
        from fmbench.report.tables.headline_table import best_first, tables_of_results
        from fmbench.report.tables.table import metric_title

        if self.records is None:
            name = self._metric(metric)
            read = scores_of_frame(self.to_frame(), name).items()
            return figure_of([ScorePanel(each, name, list(dict.fromkeys(row for row, _ in s)), s) for each, s in read])
        wanted, panels = None if metric is None else self._metric(metric), []
        for table in tables_of_results(self.records):
            facts = table.headline if wanted is None else next((f for f in table.metrics if f.name == wanted), None)
            if facts is not None:
                found = {(row, nfe): table.values(row, nfe, facts) for row, nfe in table.cells}
                scores = {key: values for key, values in found.items() if values is not None}
                panels.append(ScorePanel(table.dataset, metric_title(facts), best_first(table, table.rows()), scores))
        return figure_of(panels)

    def _metric(self, name: str | None) -> str:
        if name is None and self.metrics:
            return self.metrics[0]
        if name not in self.metrics:
            hint = did_you_mean(name or "", self.metrics)
            raise UserError(f"no result has the metric {name!r}.{hint} There are: {', '.join(self.metrics) or 'none'}.")
        return name

    def _repr_html_(self) -> str:
        from fmbench.report.notebook import html_of

        return html_of(self.tables() if self.metrics else [], self.not_comparable)

    def __repr__(self) -> str:
        rows = self.to_frame()
        mark = f"; {self.not_comparable}" if self.not_comparable else ""
        done = int((rows["status"] == "ok").sum())
        return visible(
            f"{self.name}: {done} of {len(rows)} evaluations, metrics {', '.join(self.metrics) or 'none'}{mark}"
        )


def _means(wanted: object, value: object) -> bool:
    """Whether a wanted value means one that a result has."""
    if isinstance(value, str):
        text, label = "".join(str(wanted).split()), "".join(value.split())
        return text in (label, label.partition("(")[0])
    return bool(wanted == value)


def _shown(value: object) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)


def load_results(place: str | Path, options: Options | None = None) -> Results:
    """Return the results of a suite as the store holds them, or those of a report by its folder; run nothing.

    Example:
        >>> results = fmbench.load_results("suites/smoke.yaml")  # doctest: +SKIP
        >>> results.select(path="cosine", nfe=4).to_frame()  # doctest: +SKIP

    Args:
        place: a suite file, or the folder of a report.
        options: where the store is, and what was changed of the suite. Of a report's folder it says nothing.

    Raises:
        UserError: there is no suite and no report, or the suite is at fault.
    """
    folder = Path(place)
    if folder.is_dir():
        return _of_folder(folder)
    session = open_session(place, replace(options or Options(), computes=False))
    page = session.report_folder / "index.html"
    records = session.records(session.results_index(anywhere=True))
    return Results(records, page if page.exists() else None)


def _of_folder(folder: Path) -> Results:
    import pandas as pd

    file = folder / "records.csv"
    if not file.is_file():
        raise UserError(f"{folder} holds no records.csv, so it is no report. Give a report's folder, or a suite.")
    try:
        frame = pd.read_csv(file, dtype=_texts(), keep_default_na=True)
    except (ValueError, pd.errors.ParserError) as error:
        raise UserError(
            f"{file} cannot be read as a table: {error}. `fmbench report SUITE` writes it again."
        ) from error
    if lacking := [name for name in ("seed", "nfe_budget", "status", "key") if name not in frame]:
        raise UserError(f"{file} lacks the columns {', '.join(lacking)}, so it is no report's.")
    return Results(None, folder / "index.html", frame)


def _texts() -> Mapping[str, Any]:
    """Return the columns whose values are texts, whatever they look like."""
    return dict.fromkeys((*TRAINING_AXES, "solver", "grid", "weights", "status", "error", "key"), str)
