"""All data of a report's page but its samples: see docs/report_page.md for what each field means."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from fmbench.report.analysis.axis_importance import CHANCE, INTERACTIONS, attribute
from fmbench.report.analysis.curves import time_metric
from fmbench.report.analysis.floor_and_oracle import OWN_FLOOR
from fmbench.report.analysis.ranking import RankingAtNFE, combination, rankings
from fmbench.report.commands import Commands
from fmbench.report.number_format import moment, style_for
from fmbench.report.page_data import words
from fmbench.report.page_data.axes import AxisCodes, axes_data, axis_codes
from fmbench.report.page_data.columns import MEAN_DIGITS, PERCENT_DIGITS
from fmbench.report.page_data.dataset import (
    DatasetRows,
    Metrics,
    cells_data,
    dataset_rows,
    entries_data,
    metrics_data,
    rows_data,
    timing_data,
)
from fmbench.report.page_data.json_text import number, numbers
from fmbench.report.page_data.reasons import Reasons
from fmbench.report.page_data.trainings import trainings_data
from fmbench.report.result_table import ROW_AXES, ResultTable, varying
from fmbench.report.tables.table import metric_title
from fmbench.report.text.headline import Summary
from fmbench.results.records import MetricFacts, Records
from fmbench.stats.paired_seeds import VERDICTS, interval
from fmbench.stats.student_t import CONFIDENCE, quantile
from fmbench.store.sampler_timings import SPREAD

SCHEMA = 1
LEAST_DF, MOST_DENSITIES = 30, 60


@dataclass(frozen=True)
class RunAddresses:
    """Where MLflow's runs are: `runs` by the key of a cell, `link` an address with "{run}" in the run's place."""

    link: str = ""
    runs: Mapping[str, str] = field(default_factory=dict)
    note: str = ""


def page_data(
    records: Records,
    result_tables: Sequence[ResultTable],
    short: Summary,
    notes: Sequence[Sequence[str]],
    files: Sequence[tuple[str, str]] = (),
    links: RunAddresses | None = None,
) -> dict[str, Any]:
    """Return the payload. `result_tables` are of the last steps of `records`; `notes` stand above each."""
    commands = Commands(records.command, list(result_tables))
    axes, reasons = axis_codes(result_tables), Reasons()
    metrics = _shown_metrics(records)
    number_of = {facts.name: n for n, facts in enumerate(metrics)}
    arranged = [dataset_rows(result_table) for result_table in result_tables]
    several = len(arranged) > 1
    datasets = [
        _dataset(each, records, axes, number_of, commands, short, own, links, reasons, several=several)
        for each, own in zip(arranged, notes, strict=True)
    ]
    most_seeds = max((len(each.seeds) for each in arranged), default=1)
    return {
        "schema": SCHEMA,
        "report": _report(records, commands, files),
        "in_short": {"lines": list(short.lines), "details": list(short.details)},
        "badges": words.badges(records, [dataset["timing"] for dataset in datasets]),
        "verdicts": list(VERDICTS),
        "reasons": reasons.texts,
        "t": [
            None,
            *(number(quantile(df, 0.5 + CONFIDENCE / 2), 10) for df in range(1, max(LEAST_DF, most_seeds) + 1)),
        ],
        "axes": axes_data(axes, commands),
        "metrics": [_metric(facts) for facts in metrics],
        "datasets": datasets,
        "tracking": links and {"link": links.link, "note": links.note},
        "failures": words.failures_data(records),
        "left_out": words.left_out_data(records),
        "t_densities": _densities(records.t_densities),
        "citations": words.citations(records),
        "glossary": words.glossary(metrics, [ROW_AXES[position] for position in axes.positions]),
        "provenance": {
            "settings": words.page_settings(records.settings),
            "environment": list(words.flat(records.environment)),
            "data": list(records.data.items()),
        },
    }


def _report(records: Records, commands: Commands, files: Sequence[tuple[str, str]]) -> dict[str, Any]:
    found = words.counts(records)
    return {
        "suite": records.suite,
        "question": records.description,
        "variant": records.variant,
        "finished": records.finished,
        "finished_said": moment(records.finished),
        "hardware": records.hardware,
        "counts": found,
        "counts_said": words.counts_said(found),
        "command": commands.command,
        "files": list(files),
    }


def _shown_metrics(records: Records) -> list[MetricFacts]:
    """Return the metrics that stand for themselves: no parts of a series, no spreads, no floors."""
    names = {facts.name for facts in records.metrics}
    return [
        facts
        for facts in records.metrics
        if not facts.over
        and not any(facts.name.endswith(end) and facts.name.removesuffix(end) in names for end in (SPREAD, OWN_FLOOR))
    ]


def _metric(facts: MetricFacts) -> dict[str, Any]:
    return {
        "name": facts.name,
        "title": metric_title(facts),
        "better": facts.better,
        "unit": facts.unit,
        "scope": facts.scope,
        "time": facts.is_time,
        "cost": facts.is_cost,
        "explanation": words.explanation(facts),
    }


def _dataset(
    found: DatasetRows, records: Records, axes: AxisCodes, metrics: Metrics, commands: Commands, short: Summary,
    notes: Sequence[str], links: RunAddresses | None, reasons: Reasons, *, several: bool,
) -> dict[str, Any]:  # fmt: skip
    table, runs = found.result_table, links.runs if links else {}
    headline, clock = table.headline, time_metric(table)
    about = f"Answer, {table.dataset}" if several else "Answer"
    return {
        "name": table.dataset,
        "filter": commands.filter_of(ROW_AXES.index("dataset"), table.dataset),
        "headline": metrics.get(headline.name) if headline else None,
        "clock": metrics.get(clock.name) if clock else None,
        "notes": list(notes),
        "sentence": next((text for subject, text in short.lines if subject == about), ""),
        "nfe": table.budgets,
        "seeds": list(found.seeds),
        "varying": axes.numbers_of(varying(found.rows or found.trainings)),
        "rows": rows_data(found, axes, records.baseline),
        "entries": entries_data(found),
        "cells": cells_data(found.records, found.seeds, runs),
        "metrics": metrics_data(found, metrics, records.baseline, reasons),
        "timing": timing_data(found, reasons),
        "winners": _winners(found),
        "importance": _importance(table),
        "trainings": trainings_data(found, records, axes, metrics, runs, reasons),
    }


def _winners(found: DatasetRows) -> list[dict[str, Any]]:
    """Return the best row at each NFE, and what cannot be told from it."""
    number_of = {row: n for n, row in enumerate(found.rows)}
    return [_winner(found, place, number_of) for place in rankings(found.result_table)]


def _winner(found: DatasetRows, place: RankingAtNFE, number_of: Mapping[Any, int]) -> dict[str, Any]:
    best = place.first[0] if place.first else None
    said = interval(list(place.values[best].by_seed.values()) if best else [])
    style = style_for([said])
    return {
        "nfe": found.result_table.budgets.index(place.nfe),
        "row": number_of[best] if best else None,
        "name": combination(found.result_table, best) if best else "",
        "said": style(said.mean) + (f" ± {style(said.half)}" if said.known else "") if best else "",
        "mean": number(said.mean, MEAN_DIGITS),
        "low": number(said.low, MEAN_DIGITS),
        "high": number(said.high, MEAN_DIGITS),
        "n": said.n,
        "same": [number_of[row] for row in place.first[1:]],
        "near": [number_of[row] for row in place.near],
        "of": len(place.order),
        "why": place.why,
    }


def _importance(result_table: ResultTable) -> dict[str, Any] | None:
    """Return how much of the headline metric's spread each axis explains at equal NFE; None where that is not known."""
    shares = attribute(result_table)
    if shares is None:
        return None
    together, chance = (number(float(share), PERCENT_DIGITS) for share in shares.overall.mean(axis=0)[-2:])
    return {
        "metric": shares.metric,
        "shares": [
            dict(zip(("name", "share", "low", "high"), (name, *numbers((i.mean, i.low, i.high), PERCENT_DIGITS)),
                     strict=True))
            for name, i in shares.ranked
        ],
        "interactions": together,
        "interactions_said": INTERACTIONS,
        "chance": chance,
        "chance_said": CHANCE,
    }  # fmt: skip


def _densities(found: Mapping[str, Sequence[float]]) -> dict[str, Any] | None:
    """Return the density of each t-distribution, at the middles of equal parts of [0, 1]."""
    if not found:
        return None
    return {"labels": list(found), "values": [_coarser(list(values)) for values in found.values()]}


def _coarser(values: list[float]) -> list[Any]:
    """Return means over equal parts, as many as divide the number of values and are not too many."""
    n = len(values)
    parts = next((p for p in range(min(n, MOST_DENSITIES), 0, -1) if n % p == 0), n)
    width = n // parts if parts else 1
    return [number(sum(values[i * width : (i + 1) * width]) / width, PERCENT_DIGITS) for i in range(parts)]
