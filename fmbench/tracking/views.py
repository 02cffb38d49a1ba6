"""The views that fmbench names on a suite's experiment: scores against NFE by solver and by each axis, and a table.

Each is of one dataset, so that no chart averages over datasets, and shows the runs of configurations, so that its lines
are means over seeds. MLflow's page draws the first 100 runs of what it finds: where a dataset has more configurations,
there is a view for each value of a further axis.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import islice

from fmbench.cells.keys import digest
from fmbench.results.records import MetricFacts, Records
from fmbench.tracking.run_content import CURRENT, DATASET, KIND, SUPERSEDED, VARIANT, RunContent
from fmbench.tracking.run_params import metric_name
from fmbench.tracking.view_state import LOADED, View, column, curve, equals, pictures

MOST_CHARTS = 8
MOST_VIEWS = 24
"""MLflow's page lets nobody save a view of their own where there are 40."""

WIDE = 10.0
"""Largest over smallest value from which a chart has a logarithmic axis."""

SHOWN = equals("tags", SUPERSEDED, CURRENT)
"""Runs of code that has changed since, and runs that were made twice, are no part of an average."""

SAID = {"t_distribution": "t-distribution", "at_step": "training step"}


def views(records: Records, contents: Iterable[RunContent]) -> list[View]:
    """Return the views of a suite, or of a variant of it, the first one first. `contents` are of its runs."""
    configurations: dict[str, list[RunContent]] = {}
    for content in contents:
        if content.kind == "configuration":
            configurations.setdefault(content.tags[DATASET], []).append(content)
    compared = [m for m in records.metrics if m.scope != "training" and m.better in {"lower", "higher"}][:MOST_CHARTS]
    if not compared or not configurations:
        return []
    several = len(configurations) > 1
    most = max(2, MOST_VIEWS // len(configurations))
    found: list[View] = []
    for dataset, members in configurations.items():
        before = f"{dataset}: " if several else ""
        found += islice(_of_dataset(records, members, compared, before), most - 1)
        found += _samples(records, dataset, before)
    return found


def _of_dataset(
    records: Records, members: Sequence[RunContent], compared: Sequence[MetricFacts], before: str
) -> Iterator[View]:
    """Yield the views of one dataset: by solver, the table, and by the other axes on which it has several values."""
    varying = varying_labels(members)
    axes = ["solver", *(axis for axis in varying if axis != "solver")]
    for number, axis in enumerate(axes):
        yield from _by_axis(records, members, compared, before, axis, varying)
        if number == 0:
            yield _table(records, members, compared, before, varying)


def varying_labels(members: Iterable[RunContent]) -> dict[str, list[str]]:
    """Return the values of each axis on which configurations differ."""
    found: dict[str, dict[str, None]] = {}
    for member in members:
        for axis, label in member.axes.items():
            found.setdefault(axis, {})[label] = None
    return {axis: list(labels) for axis, labels in found.items() if len(labels) > 1}


def _by_axis(
    records: Records,
    members: Sequence[RunContent],
    compared: Sequence[MetricFacts],
    before: str,
    axis: str,
    varying: Mapping[str, Sequence[str]],
) -> Iterator[View]:
    """Yield what shows every metric against NFE by one axis, in as many views as the page needs to draw all runs."""
    head = metric_name(compared[0].name)
    for said, conditions, some in _split(members, axis, varying):
        name = f"{before}{head} against NFE, by {SAID.get(axis, axis)}{said}"
        lines = len({member.axes.get(axis) for member in some})
        title = "Mean over seed"
        if len(some) > lines:
            others = ", ".join(["seed", *(SAID.get(each, each) for each in varying_labels(some) if each != axis)])
            title = f"Mean over {others}"
        charts = [curve(metric_name(m.name), logarithmic=_spans(some, metric_name(m.name))) for m in compared]
        yield View(
            _key(name), name, _search(records, members, conditions), *_order(members, compared[0]), title, charts,
            group=axis, columns=_columns(members, compared, varying),
        )  # fmt: skip


def _split(
    members: Sequence[RunContent], axis: str, varying: Mapping[str, Sequence[str]]
) -> Iterator[tuple[str, list[str], Sequence[RunContent]]]:
    """Yield words, conditions and configurations of parts small enough for MLflow's page to draw whole.

    They are told apart by the values of other axes. What cannot be told apart any further says that it is cut.
    """
    if len(members) <= LOADED:
        yield "", [], members
        return
    others = [each for each in varying if each != axis]
    if not others:
        yield f" (the best {LOADED} of {len(members)})", [], members
        return
    by = max(others, key=lambda each: len(varying[each]))
    for label in varying[by]:
        some = [member for member in members if member.axes.get(by) == label]
        for said, conditions, fewer in _split(some, axis, varying_labels(some)):
            yield f" ({by} {label}){said}", [equals("params", by, label), *conditions], fewer


def _table(
    records: Records,
    members: Sequence[RunContent],
    compared: Sequence[MetricFacts],
    before: str,
    varying: Mapping[str, Sequence[str]],
) -> View:
    """Return the table of all configurations, the best first, with a line each in its charts."""
    cut = f" (the best {LOADED} of {len(members)}; the page loads more)" if len(members) > LOADED else ""
    name = f"{before}table of scores{cut}"
    charts = [curve(metric_name(m.name), logarithmic=_spans(members, metric_name(m.name))) for m in compared]
    return View(
        _key(name), name, _search(records, members, []), *_order(members, compared[0]),
        "Mean over seed", charts,
        columns=_columns(members, compared, varying), wide=True, as_charts=False,
    )  # fmt: skip


def _samples(records: Records, dataset: str, before: str) -> Iterator[View]:
    """Yield the view of one training's samples side by side, with a slider for the NFE."""
    cells = [
        record.cell
        for record in records.evaluations
        if record.samples is not None and str(record.cell.training.dataset) == dataset
    ]
    if cells:
        training, step = cells[0].training, max(cell.nfe or 0 for cell in cells)
        search = f"{equals('tags', 'fmbench.training', training.key)} AND {SHOWN}"
        name, order = f"{before}samples by solver (seed {training.seed})", "tags.`mlflow.runName`"
        yield View(_key(name), name, search, order, True, "One training", [pictures(step)], wide=True)


def _search(records: Records, members: Sequence[RunContent], conditions: Sequence[str]) -> str:
    """Return the filter of the configurations of one dataset that count."""
    tags = members[0].tags
    known = [(KIND, "configuration"), (DATASET, tags[DATASET]), (VARIANT, tags[VARIANT])]
    return " AND ".join([*(equals("tags", name, value) for name, value in known), SHOWN, *conditions])


def _columns(
    members: Sequence[RunContent], compared: Sequence[MetricFacts], varying: Mapping[str, Sequence[str]]
) -> list[str]:
    """Return the table's columns: the axes with several values, and the first metrics at each NFE."""
    scores = [name for facts in compared[:2] for name in _copies(members, facts)]
    names = [column("params", axis) for axis in varying] + [column("metrics", name) for name in scores]
    return [*names, column("attributes", "Dataset")]


def _copies(members: Sequence[RunContent], facts: MetricFacts) -> list[str]:
    """Return under which names a metric's means stand in tables, by NFE."""
    name = metric_name(facts.name)
    points = (v for member in members for part in member.parts.values() for v in part.values if v.name == name)
    steps = {point.step: point.table for point in points if point.table}
    return [steps[step] for step in sorted(steps)]


def _order(members: Sequence[RunContent], facts: MetricFacts) -> tuple[str, bool]:
    """Return the order that has the best first, at the largest NFE."""
    copies = _copies(members, facts)
    return (column("metrics", copies[-1]) if copies else "tags.`mlflow.runName`"), facts.better == "lower"


def _spans(members: Iterable[RunContent], name: str) -> bool:
    """Tell whether a metric spans so much that only a logarithmic axis shows where its lines part."""
    points = (v for member in members for part in member.parts.values() for v in part.values if v.name == name)
    values = [point.value for point in points if math.isfinite(point.value)]
    return bool(values) and min(values) > 0 and max(values) / min(values) > WIDE


def _key(name: str) -> str:
    """Return the key of a view, which stays the same as long as its name does."""
    return f"fmbench-{re.sub(r'[^a-z0-9]+', '-', name.lower()).strip('-')[:60]}-{digest('view', name)[:6]}"
