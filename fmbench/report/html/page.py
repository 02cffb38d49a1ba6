"""The page of a report: one HTML file with its pictures inside, that needs nothing else to be read."""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fmbench.cells.ema_decay import averages_said
from fmbench.report.figures.theme import Picture
from fmbench.report.number_format import moment
from fmbench.report.result_table import ResultTable
from fmbench.report.tables.table import Table
from fmbench.report.text.headline import Summary
from fmbench.results.records import Records

HERE = Path(__file__).parent

FRECHET = (
    "The Fréchet distance compares generated with real pictures: both are seen through a trained classifier, and what "
    "is measured is how far the means and covariances of its features lie apart; 0 would be identical. "
)
GLOSSARY = (
    (
        r"^fid$",
        FRECHET + "Values depend on the number of samples and on the reference: compare them with published ones only "
        "where all settings agree.",
    ),
    (
        r"^fid_",
        FRECHET + "This one has a small classifier of its own, not the Inception network of the literature: compare "
        "values within this report, never with published FIDs.",
    ),
    (
        r"^kid.*_std$",
        "The spread of the kernel distance over random subsets of the samples: how precisely one value is measured.",
    ),
    (
        r"^kid",
        "The kernel distance asks the same question as the Fréchet distance with another statistic, whose expectation "
        "does not depend on the number of samples. It may be slightly negative when two sets cannot be told apart. "
        "What holds for comparing FIDs with published ones holds for it too.",
    ),
    (
        r"^loss_by_t",
        "The validation loss in equal parts of t, from noise (0) to data (1); tables show its mean, a figure the "
        "parts. Like the validation loss it compares t-distributions, not paths.",
    ),
    (
        r"sliced_wasserstein",
        "The sliced Wasserstein distance projects two clouds of points on many directions and measures how far mass "
        "must move along each. It is never quite 0 for a finite number of points, even between two sets of real data.",
    ),
)
"""Explanations for readers, by a pattern in the metric's name; metrics without one get their direction and unit."""


@dataclass(frozen=True)
class Section:
    """What the page shows of one dataset."""

    result_table: ResultTable
    tables: Sequence[Table]
    pictures: Sequence[Picture]
    notes: Sequence[str]


@dataclass(frozen=True)
class Contents:
    """Everything on the page, ready to be printed. `pictures` are those of the whole suite."""

    records: Records
    command: str
    in_short: Summary
    sections: Sequence[Section]
    speed: Sequence[Table]
    failures: Table | None
    pictures: Sequence[Picture] = ()


def render(contents: Contents) -> str:
    """Return the page. All text is escaped: names, labels and errors come from suites and plugins."""
    import jinja2

    loader = jinja2.FileSystemLoader(HERE)
    environment = jinja2.Environment(
        loader=loader, autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters |= {"data_uri": _data_uri, "moment": moment}
    records = contents.records
    return environment.get_template("page.html").render(
        contents=contents,
        records=records,
        style=(HERE / "style.css").read_text(encoding="utf-8"),
        headlines=list(dict.fromkeys(s.result_table.headline for s in contents.sections if s.result_table.headline)),
        explained=explanations(contents.sections),
        settings=page_settings(records.settings),
        environment=list(flat(records.environment)),
        counts=_counts(records),
    )


def explanations(sections: Sequence[Section]) -> list[tuple[str, str]]:
    """Return `(metric, explanation)` for the headline metrics, and for the others that the glossary knows."""
    found = []
    headlines = dict.fromkeys(s.result_table.headline for s in sections if s.result_table.headline)
    others = dict.fromkeys(facts for s in sections for facts in s.result_table.scope("evaluation"))
    for facts in headlines | others:
        text = next((words for pattern, words in GLOSSARY if re.search(pattern, facts.name)), "")
        if not text and facts not in headlines:
            continue
        way = f"{facts.better.capitalize()} is better" if facts.better else "It has no direction"
        unit = f", in {facts.unit}" if facts.unit else ""
        found.append((facts.name, f"{way}{unit}. {text}".strip()))
    return found


def flat(values: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, str]]:
    """Return nested values as `(dotted name, text)`, empty ones left out."""
    for name, value in values.items():
        if isinstance(value, Mapping):
            yield from flat(value, f"{prefix}{name}.")
        elif value not in (None, "", [], ()):
            said = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)
            yield f"{prefix}{name}", said


def page_settings(settings: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Return a suite's settings as texts, and what its average of the weights comes to."""
    found = list(flat(settings))
    training = settings.get("training", {})
    if "ema" in training and "steps" in training:
        found.append(("average of the weights", averages_said(training["ema"], training["steps"])))
    return found


def _counts(records: Records) -> str:
    """Say how many cells there are."""
    parts = {
        "trainings": sum(r.cell.samples is None for r in records.trainings),
        "evaluations": len(records.evaluations),
    }
    lost = {"failed": len(records.failed), "left out": len(records.left_out)}
    parts |= {noun: n for noun, n in lost.items() if n}
    return ", ".join(f"{n:,} {noun}" for noun, n in parts.items())


def _data_uri(data: bytes, form: str = "png") -> str:
    return f"data:image/{form};base64," + base64.b64encode(data).decode()
