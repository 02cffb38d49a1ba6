"""What the page says in words beside its numbers: badges, glossary, failures, what was left out, sources."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from fmbench.cells.ema_decay import averages_said
from fmbench.io.printable_text import count
from fmbench.results.failures import failures_of, grouped
from fmbench.results.precision_and_device import mixed
from fmbench.results.records import MetricFacts, Records

MOST_CELLS = 8
"""Cells of a group of failures, or of what was left out, that are named."""
FEW_SEEDS = 5

FRECHET = (
    "The Fréchet distance compares generated with real pictures: both are seen through a trained classifier, and what "
    "is measured is how far the means and covariances of its features lie apart; 0 would be identical. "
)
METRICS = (
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

TERMS = (
    (
        "flow matching",
        "A network is trained to say in which direction noise must move to become data. A solver then follows it from "
        "noise to data.",
    ),
    (
        "training combination",
        "The choice of probability path, coupling, distribution of training times (t-distribution), objective and "
        "network.",
    ),
    (
        "NFE",
        "The number of function evaluations: how often the network is called to make one sample. It is what sampling "
        "costs, and it is counted, not taken from the number of steps; a solver that calls the network twice a step "
        "gets half the steps.",
    ),
    (
        "seed",
        "A training is repeated with several seeds, where the suite names several, and all combinations of one seed "
        "see the same data order, initial weights and noise. So differences are taken seed by seed.",
    ),
    (
        "±",
        "The half-width of the mean's 95% interval over seeds (Student's t): were the whole experiment repeated many "
        "times, 19 of 20 such intervals would hold the true mean.",
    ),
    (
        "†",
        "Not distinguishable from the best of its column: the seed-by-seed difference may be chance, by a paired "
        "t-test of its own. That does not mean equal.",
    ),
    ("path", "How noise and data are mixed on the way from t = 0 (noise) to t = 1 (data)."),
    ("coupling", "Which noise is paired with which example in training."),
    ("t_distribution", "How often training looks at each time t."),
    ("objective", "What the network is asked to predict, from which its velocity follows."),
    ("network", "What is trained, or a model that was given."),
    ("solver", "What follows the velocity from noise to data, in steps that cost network calls."),
    ("grid", "Where on [0, 1] the solver's steps lie."),
    ("weights", "Which weights of a training are used: their moving average (ema), or as a step left them (raw)."),
    ("guidance", "How strongly sampling is steered towards a class; 1 is not at all."),
)


def explanation(facts: MetricFacts) -> str:
    """Return what a reader must know of a metric: its direction and unit, and what it is where that is known."""
    way = f"{facts.better.capitalize()} is better" if facts.better else "It has no direction"
    unit = f", in {facts.unit}" if facts.unit else ""
    text = next((words for pattern, words in METRICS if re.search(pattern, facts.name)), "")
    return f"{way}{unit}. {text}".strip()


def glossary(metrics: Sequence[MetricFacts], axes: Sequence[str]) -> list[tuple[str, str]]:
    """Return `(term, explanation)`: of flow matching, of the axes that rows have, and of the metrics."""
    from_axes = {name for name, _ in TERMS if name.islower() and " " not in name} - {"seed"}
    terms = [(name, text) for name, text in TERMS if name not in from_axes or name in axes]
    return [*terms, *((facts.name, explanation(facts)) for facts in metrics)]


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


def counts(records: Records) -> dict[str, int]:
    """Return how many cells there are of each kind."""
    return {
        "trainings": sum(r.cell.samples is None for r in records.trainings),
        "evaluations": len(records.evaluations),
        "failed": len(records.failed),
        "left_out": len(records.left_out),
    }


def counts_said(found: Mapping[str, int]) -> str:
    """Say how many cells there are."""
    shown = {name: n for name, n in found.items() if n or name in ("trainings", "evaluations")}
    return ", ".join(f"{n:,} {name.replace('_', ' ')}" for name, n in shown.items())


def badges(records: Records, timing: Sequence[Mapping[str, Any]]) -> list[dict[str, str]]:
    """Return what a reader must know before believing anything: few seeds, noisy times, failures and the like."""
    found = []
    own = [r.cell.seed for r in records.trainings if r.cell.samples is None]
    seeds = len(set(own or [r.cell.training.seed for r in records.evaluations]))
    if seeds == 1:
        found.append(("seeds", "one seed", "Nothing can be said about spread; another seed might reverse everything."))
    elif 0 < seeds < FEW_SEEDS:
        found.append(("seeds", f"{seeds} seeds", f"{seeds} seeds are few: small differences are missed."))
    if noisy := [each["note"] for each in timing if each["note"]]:
        found.append(("timing", "noisy timing", noisy[0]))
    if failed := len(records.failed):
        lost = "They have no result, or lack a value; they count for nothing and are never averaged over."
        found.append(("failures", f"{failed} failed", f"{count(failed, 'cell')} failed. {lost}"))
    if said := mixed(records):
        found.append(("precision", "mixed machines", f"{said[0][0].upper()}{said[0][1:]}."))
    if why := records.not_comparable:
        found.append(("variant", "not comparable", f"{why[0].upper()}{why[1:].rstrip('.')}."))
    if records.variant:
        found.append(("variant", "changed suite", f"The suite was changed: {records.variant}."))
    return [{"kind": kind, "text": text, "detail": detail} for kind, text, detail in found]


def failures_data(records: Records) -> list[dict[str, Any]]:
    """Return what failed, by its cause."""
    return [
        {
            "section": group.first.section,
            "status": group.first.status,
            "error": group.first.error,
            "component": group.component,
            "place": group.place,
            "mistake": group.mistake,
            "said": group.said,
            "count": group.count,
            "cells": [str(each.cell) for each in group.members[:MOST_CELLS]],
            "keys": [each.cell.key for each in group.members[:MOST_CELLS]],
        }
        for group in grouped(failures_of(records))
    ]


def left_out_data(records: Records) -> list[dict[str, Any]]:
    """Return what the plan left out, by its reason."""
    by_reason: dict[str, list[str]] = {}
    for cell, reason in records.left_out:
        by_reason.setdefault(reason, []).append(cell)
    return [{"reason": reason, "count": len(cells), "cells": cells[:MOST_CELLS]} for reason, cells in by_reason.items()]


def citations(records: Records) -> list[dict[str, str]]:
    """Return the components and metrics that were used, with their sources."""
    return [
        {"kind": kind, "name": name, "summary": summary, "reference": reference}
        for (kind, name), (summary, reference) in records.sources.items()
    ]
