"""A suite's results as plain data: what a report and a baseline keep in a file, and what is compared with it."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, TypeVar

from fmbench.cells.cells import EvaluationCell, TrainingCell
from fmbench.cells.component_spec import ComponentSpec
from fmbench.cells.guidance import guidance_label
from fmbench.cells.keys import canonical
from fmbench.cells.setting_axes import SETTING_AXES
from fmbench.results.records import SAMPLER_AXES, TRAINING_AXES, EvaluationRecord, MetricFacts, Records, TrainingRecord

K = TypeVar("K")
V = TypeVar("V")

AXES = {"training": TRAINING_AXES, "evaluation": (*TRAINING_AXES, *SAMPLER_AXES, "nfe")}
"""What a group is named by, in each section: labels, never keys, since keys change with the code."""

Section = Literal["training", "evaluation"]
SECTIONS: tuple[Section, ...] = ("training", "evaluation")
CellGroup = tuple[str, ...]
"""A cell without its seed: labels in the order of AXES."""
SeededGroup = tuple[CellGroup, int]
"""A cell: its group and its seed."""
Repeated = Mapping[CellGroup, frozenset[int]]
"""Trainings that repeat to the last bit, with their seeds."""

NFE = MetricFacts("nfe", "lower", "", "evaluation", "nfe")
"""The measured NFE of adaptive solvers, which is a result and not a setting."""


@dataclass(frozen=True)
class CellValues:
    """A cell's status (see `fmbench.results.records`), and its values and their identities by metric."""

    status: str
    error: str = ""
    values: Mapping[str, float] = field(default_factory=dict)
    identities: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)


@dataclass(frozen=True)
class Snapshot:
    """The results of one suite on one day.

    `metrics` are by name, in the suite's order. `settings` hold, by section, what training and evaluation were set to;
    `components` the parameters of each component, by kind and label. `code` are fingerprints, by kind and label: of the
    components and metrics, and of the core's modules that train ("training code") and evaluate ("evaluation code");
    empty where they are not known. `made` says how it came about: command, date, environment, what the suite says of
    itself (description), what was changed of it (variant), and, in a report, the sentences at its head (answer).
    """

    suite: str
    metrics: Mapping[str, MetricFacts]
    trainings: Mapping[SeededGroup, CellValues]
    evaluations: Mapping[SeededGroup, CellValues]
    settings: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    components: Mapping[str, Mapping[str, Mapping[str, Any]]] = field(default_factory=dict)
    made: Mapping[str, Any] = field(default_factory=dict)
    code: Mapping[str, Mapping[str, str]] = field(default_factory=dict)

    def rows(self, section: Section) -> Mapping[SeededGroup, CellValues]:
        """Return the cells of a section."""
        return self.trainings if section == "training" else self.evaluations

    @property
    def hardware(self) -> str:
        """The hardware in one line, as far as it is known."""
        return str(self.made.get("environment", {}).get("hardware", "unknown hardware"))


def snapshot(records: Records) -> Snapshot:
    """Return the records as a snapshot. A training's metrics stand with the training only."""
    trainings, evaluations = _compared_trainings(records), records.evaluations
    metrics = {facts.name: facts for facts in records.metrics}
    specs = list(_specs(records))
    names = _unique_labels(specs)
    if any(record.cell.nfe is None for record in evaluations):
        metrics.setdefault(NFE.name, NFE)
    scopes = {name: facts.scope for name, facts in metrics.items()}
    return Snapshot(
        suite=records.suite,
        metrics=metrics,
        trainings={training_place(r.cell, names): _row(r, scopes, {"training"}) for r in trainings},
        evaluations={_evaluation_place(r.cell, names): _evaluation_row(r, scopes) for r in evaluations},
        settings={
            "training": _settings(r.cell.settings.values for r in trainings),
            "evaluation": _settings(r.cell.settings.values for r in evaluations),
        },
        components=_by_label(specs, names, lambda spec: dict(spec.parameters)),
        made={
            "command": records.command,
            "date": records.finished,
            "environment": dict(records.environment),
            "description": records.description,
            "variant": records.variant,
            "metrics": list(metrics),
        },
        code={
            **_by_label((spec for spec in specs if spec.fingerprint), names, lambda spec: spec.fingerprint),
            **{kind: dict(found) for kind, found in records.code.items()},
        },
    )


def named(section: Section, group: CellGroup) -> dict[str, str]:
    """Return a group's labels by axis, without blanks: what an adaptive solver has not, and settings with one value."""
    return {axis: label for axis, label in zip(AXES[section], group, strict=True) if label != ""}


def grouped(pairs: Iterable[tuple[K, V]]) -> dict[K, list[V]]:
    """Return the values of each key, both in the order in which they come."""
    found: dict[K, list[V]] = {}
    for key, value in pairs:
        found.setdefault(key, []).append(value)
    return found


def training_of(group: CellGroup) -> CellGroup:
    """Return the training part of a group."""
    return group[: len(TRAINING_AXES)]


def said(axes: Mapping[str, str]) -> str:
    """Return axes as a person reads them: `solver heun, NFE 4`."""
    return ", ".join(f"{'NFE' if axis == 'nfe' else axis} {label}" for axis, label in axes.items())


def training_place(cell: TrainingCell, names: Mapping[tuple[str, str], str]) -> SeededGroup:
    """Return the place of a training cell."""
    settings = {spec.kind: names[spec.kind, spec.text] for spec in cell.varied}
    components = (names[spec.kind, spec.text] for spec in cell.components)
    return (*components, *(settings.get(axis, "") for axis in SETTING_AXES)), cell.seed


def evaluation_groups(records: Records) -> list[tuple[EvaluationCell, CellGroup]]:
    """Return the evaluations that succeeded, with the groups that a snapshot has them in."""
    names = _unique_labels(list(_specs(records)))
    return [(r.cell, _evaluation_place(r.cell, names)[0]) for r in records.evaluations if r.status == "ok"]


def training_groups(records: Records) -> list[tuple[TrainingCell, CellGroup]]:
    """Return the trainings that succeeded, with the groups that a snapshot has them in."""
    names = _unique_labels(list(_specs(records)))
    trainings = _compared_trainings(records)
    return [(r.cell, training_place(r.cell, names)[0]) for r in trainings if r.status == "ok"]


def _evaluation_place(cell: EvaluationCell, names: Mapping[tuple[str, str], str]) -> SeededGroup:
    group, seed = training_place(cell.training, names)
    solver = names["solver", cell.solver.text]
    grid = names["grid", cell.grid.text] if cell.grid else ""
    budget = "" if cell.nfe is None else str(cell.nfe)
    guidance = cell.guidance
    said = names["guidance", guidance.text] if isinstance(guidance, ComponentSpec) else guidance_label(guidance)
    return (*group, solver, grid, cell.weights_name, said, budget), seed


def _compared_trainings(records: Records) -> list[TrainingRecord]:
    """Return the trainings without weaker models, which may have the components of another."""
    weaker = records.weaker_models
    return [record for record in records.trainings if record.cell.key not in weaker]


def _row(record: TrainingRecord | EvaluationRecord, scopes: Mapping[str, str], wanted: set[str]) -> CellValues:
    values = {name: _as_float(value) for name, value in record.metrics.items() if scopes.get(name) in wanted}
    identities = {name: dict(record.identities.get(name, {})) for name in values}
    return CellValues(record.status, record.error, values, identities)


def _as_float(value: float) -> float:
    """Return a value as a float; a whole number beyond all floats is infinite, and so compared with nothing."""
    try:
        return float(value)
    except OverflowError:
        return math.inf if value > 0 else -math.inf


def _evaluation_row(record: EvaluationRecord, scopes: Mapping[str, str]) -> CellValues:
    row = _row(record, scopes, {"evaluation", "sampler"})
    if record.cell.nfe is not None or record.nfe is None:
        return row
    identities = {NFE.name: {"metric": "nfe"}, **row.identities}
    return CellValues(row.status, row.error, {NFE.name: _as_float(record.nfe), **row.values}, identities)


def _specs(records: Records) -> Iterable[ComponentSpec]:
    cells = [r.cell for r in records.trainings] + [r.cell.training for r in records.evaluations]
    for cell in cells:
        yield from (*cell.components, *cell.varied)
    for record in records.evaluations:
        yield from record.cell.components


def _unique_labels(specs: Iterable[ComponentSpec]) -> dict[tuple[str, str], str]:
    """Map (kind, text) to a label; components that would share one show their parameters."""
    distinct = {(spec.kind, spec.text): spec for spec in specs}
    taken = Counter((spec.kind, str(spec)) for spec in distinct.values())
    return {
        key: str(spec) if taken[spec.kind, str(spec)] == 1 else f"{spec} {canonical(dict(spec.parameters))}"
        for key, spec in distinct.items()
    }


def _by_label(
    specs: Iterable[ComponentSpec], names: Mapping[tuple[str, str], str], told: Callable[[ComponentSpec], V]
) -> dict[str, dict[str, V]]:
    """Return what is `told` of each component, by kind and label."""
    found: dict[str, dict[str, V]] = {}
    for spec in specs:
        found.setdefault(spec.kind, {})[names[spec.kind, spec.text]] = told(spec)
    return found


def _settings(all_values: Iterable[Mapping[str, Any]]) -> dict[str, Any]:
    """Return each setting's value; where cells differ, all values, sorted."""
    found: dict[str, dict[str, Any]] = {}
    for values in all_values:
        for name, value in values.items():
            found.setdefault(name, {})[canonical(value)] = value
    return {
        name: next(iter(values.values())) if len(values) == 1 else {"any of": [values[text] for text in sorted(values)]}
        for name, values in found.items()
    }
