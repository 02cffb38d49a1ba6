"""The run that sums a suite up: how much of it is done, the best number at each NFE, and the report as artifacts."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from statistics import fmean

from fmbench.cells.guidance import guidance_label
from fmbench.cells.keys import digest
from fmbench.io.markdown import escape_markdown, fence
from fmbench.io.printable_text import visible
from fmbench.io.regular_files import size_and_sum
from fmbench.results.records import EvaluationRecord, MetricFacts, Records
from fmbench.tracking.cell_runs import Common
from fmbench.tracking.configuration_runs import planned_configurations
from fmbench.tracking.run_content import (
    NOTE,
    VARIANT,
    WHOLE_SUITE,
    MetricPoint,
    Part,
    RunContent,
    mark_of,
)
from fmbench.tracking.run_params import NAME_LENGTH, TAG_LENGTH, cut, metric_name
from fmbench.tracking.views import views

REST = "\n\nThe other tables and the report are among the artifacts."


def summary_content(
    records: Records, contents: Sequence[RunContent], common: Common, report: Path | None
) -> RunContent:
    """Return the summary run of the suite, or of a variant of it, which has one of its own.

    It changes when any of `contents` does. `report` is the report's folder or its page.
    """
    folder = report.parent if report is not None and report.is_file() else report
    values, winners = headline(records)
    key = digest("summary run", records.suite, *([records.variant] if records.variant else []))
    tags = {
        **common.tags("summary", key),
        VARIANT: cut(records.variant, TAG_LENGTH) or WHOLE_SUITE,
        **winners,
        "fmbench.command": cut(records.command, TAG_LENGTH),
        "fmbench.content_of_runs": digest(*sorted(mark_of(content.marks) for content in contents)),
        **({"fmbench.report": digest_of(folder)} if folder is not None else {}),
    }
    part = Part(key, "ok", values=tuple(values))
    return RunContent(
        kind="summary",
        cell=key,
        name=cut(f"summary ({records.variant})" if records.variant else "summary", NAME_LENGTH),
        tags=tags,
        notes={**common.notes, NOTE: note(records, folder)},
        parts={key: part},
        folder=folder,
        keeps=planned_configurations(contents, records),
        views=views(records, contents),
        views_give_way=bool(records.variant),
        documents={"suite.json": dict(records.settings), "environment.json": dict(records.environment)},
    )


def digest_of(folder: Path) -> str:
    """Return one digest of the files in a folder."""
    files = sorted(file for file in folder.rglob("*") if file.is_file())
    return digest(*(visible(f"{file.relative_to(folder)} {size_and_sum(file)[1]}") for file in files))


def headline(records: Records) -> tuple[list[MetricPoint], dict[str, str]]:
    """Return the summary's metrics, and tags that name who is best: the lowest or highest mean over seeds at an NFE."""
    counts = {
        "training_runs": sum(r.cell.samples is None for r in records.trainings),
        "evaluation_cells": len(records.evaluations),
        "failed_cells": len(records.failed),
    }
    values = [MetricPoint(name, float(count), 0, name) for name, count in counts.items()]
    winners: dict[str, str] = {}
    several = len({str(r.cell.training.dataset) for r in records.evaluations}) > 1
    for facts in records.metrics:
        if facts.scope == "training" or facts.better not in {"lower", "higher"}:
            continue
        for (dataset, nfe), (value, words) in best(records.last_steps.evaluations, facts).items():
            name = metric_name(f"best_{facts.name}" + (f"/{dataset}" if several else ""))
            values.append(MetricPoint(name, value, nfe, f"{name}_nfe{nfe}"))
            winners[f"fmbench.{name}_nfe{nfe}"] = cut(words, TAG_LENGTH)
    return values, dict(list(winners.items())[:60])


def best(records: Iterable[EvaluationRecord], facts: MetricFacts) -> Mapping[tuple[str, int], tuple[float, str]]:
    """Return `{(dataset, nfe): (mean over seeds, configuration in words)}`; one with a seed missing cannot win."""
    found: dict[tuple[str, int], tuple[float, str]] = {}
    sign = 1.0 if facts.better == "lower" else -1.0
    for dataset, nfe, words, values in _configurations(records, facts.name):
        mean = fmean(values)
        if (dataset, nfe) not in found or sign * mean < sign * found[dataset, nfe][0]:
            found[dataset, nfe] = (mean, words)
    return found


def _configurations(records: Iterable[EvaluationRecord], metric: str) -> Iterator[tuple[str, int, str, list[float]]]:
    """Yield dataset, NFE, words and the values of all seeds; a configuration must have a finite one for every seed."""
    groups: dict[tuple[str, int, str], list[float | None]] = {}
    for record in records:
        cell, nfe = record.cell, record.cell.nfe
        if nfe is not None:
            own = [*cell.training.components[1:], cell.solver, *([cell.grid] if cell.grid else [])]
            words = " ".join([*map(str, own), f"weights={cell.weights} guidance={guidance_label(cell.guidance)}"])
            value = record.metrics.get(metric)
            groups.setdefault((str(cell.training.dataset), nfe, words), []).append(value)
    for (dataset, nfe, words), values in groups.items():
        finite = [v for v in values if v is not None and abs(v) < float("inf")]
        if len(finite) == len(values):
            yield dataset, nfe, words, finite


def note(records: Records, folder: Path | None) -> str:
    """Return the text that MLflow shows on top of the summary: description, the report's first lines, which hold the
    answer, the command, and those of its tables that fit.
    """
    table = folder / "table.md" if folder is not None else None
    text = table.read_text(encoding="utf-8") if table is not None and table.is_file() else ""
    head, *sections = re.split(r"\n(?=## )", text)
    if not head.startswith("# "):  # the report's own heading and description stand in its place
        head = f"{escape_markdown(records.description)}\n\n{fence(records.command)}\n\n{head}"
    found, left = head.strip(), [section.strip() for section in sections if section.strip()]
    while left and len(found) + len(left[0]) + 2 <= TAG_LENGTH - len(REST):
        found = f"{found}\n\n{left.pop(0)}"
    return cut(found, TAG_LENGTH - len(REST)) + (REST if left or not text else "")
