"""A plan as data."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Literal

from fmbench.cells.cells import EvaluationCell, TrainingCell
from fmbench.cells.component_spec import ComponentSpec
from fmbench.plan.evaluations import Evaluations
from fmbench.plan.given_models import GIVEN, LABELS, NO_LABEL, TRAINED
from fmbench.plan.given_samples import LABELLED, MADE_ELSEWHERE
from fmbench.suite import Suite

NETWORK = "network"
"""What all cells provide but samples that were made elsewhere: what is measured on a network needs it."""
Scope = Literal["training", "evaluation", "sampler"]
"""What a metric is computed for; see `fmbench.Metric`."""


@dataclass(frozen=True)
class LeftOut:
    """Cells of the product that the plan does not hold.

    `cell` says what they have in common (`solver=heun nfe=1`), `reason` why they are left out, and `count` how many
    cells of which `unit` that concerns; for a metric, how many training cells go without it.
    """

    cell: str
    reason: str
    count: int = 1
    unit: Literal["training", "evaluation", "metric"] = "evaluation"

    def __str__(self) -> str:
        return f"{self.cell}: {self.reason}"


@dataclass(frozen=True)
class MetricRule:
    """A metric of the suite: what it is computed for, and the capabilities that it needs of a training cell."""

    spec: ComponentSpec
    scope: Scope
    requires: frozenset[str]


@dataclass(frozen=True)
class Tuning:
    """The axes of settings of which each training combination takes its own best, and the metric that chooses."""

    axes: tuple[str, ...]
    metric: MetricRule


@dataclass(frozen=True)
class Plan:
    """All cells of a suite, each once, training cells in the suite's order and each one's evaluations together.

    Evaluations are made while they are walked, so that a plan can hold a million of them.

    Teachers of couplings are among the training cells, each before its students; those that the suite does not ask for
    have no evaluations.

    `metrics` are those that apply to some cell, in the suite's order. `rules` and `provides` (capabilities by a
    component's digest, and what the suite's settings grant) are what `metrics_for` goes by. `tuning` says which
    settings are chosen on validation data: the evaluations there are among the others, each the last of its training.
    """

    suite: Suite
    trainings: tuple[TrainingCell, ...]
    evaluations: Evaluations
    left_out: tuple[LeftOut, ...]
    metrics: tuple[ComponentSpec, ...]
    rules: tuple[MetricRule, ...] = field(default=(), repr=False)
    provides: Mapping[str, frozenset[str]] = field(default_factory=dict, repr=False)
    granted: frozenset[str] = frozenset()
    tuning: Tuning | None = None

    def metrics_for(self, cell: TrainingCell | ComponentSpec, scope: Scope) -> tuple[ComponentSpec, ...]:
        """Return the metrics of a scope that apply to a training cell, in the suite's order.

        A dataset in its place stands for all training cells on it: a metric that applies to one of them is returned.
        """
        asked = (cell.digest if isinstance(cell, ComponentSpec) else _components(cell), scope)
        if asked not in self._applicable:
            given = self._on[cell.digest] if isinstance(cell, ComponentSpec) else {_components(cell)}
            capabilities = [self.capabilities(components) for components in given]
            rules = [rule for rule in self.rules if rule.scope == scope]
            met = (rule.spec for rule in rules if any(rule.requires <= provided for provided in capabilities))
            self._applicable[asked] = tuple(met)
        return self._applicable[asked]

    def evaluations_of(self, training: TrainingCell) -> list[EvaluationCell]:
        """Return the evaluations of a training cell, in the plan's order; none for a cell that is not in the plan."""
        return list(self.evaluations.of(training))

    def is_evaluated(self, training: TrainingCell) -> bool:
        """Tell whether a training cell has evaluations: one that only teaches has none."""
        return bool(self.evaluations.of(training))

    def capabilities(self, components: tuple[str, ...]) -> frozenset[str]:
        """Return what components provide together, by their digests."""
        return with_granted(frozenset().union(*(self.provides[digest] for digest in components)), self.granted)

    @cached_property
    def _on(self) -> dict[str, set[tuple[str, ...]]]:
        """The distinct components of the training cells on each dataset."""
        groups: dict[str, set[tuple[str, ...]]] = {}
        for cell in self.trainings:
            groups.setdefault(cell.dataset.digest, set()).add(_components(cell))
        return groups

    @cached_property
    def _applicable(self) -> dict[tuple[str | tuple[str, ...], Scope], tuple[ComponentSpec, ...]]:
        return {}


def with_granted(provided: frozenset[str], granted: frozenset[str]) -> frozenset[str]:
    """Return what a training cell provides, given what its components do: "network", "trained", what settings grant.

    A model that existed before has neither of the last two: it says itself whether it takes labels, and without them it
    needs none. Samples that were made elsewhere have none of them: they have labels or not.
    """
    if MADE_ELSEWHERE in provided:
        return provided | {LABELS} if LABELLED in provided else provided
    if GIVEN not in provided:
        return provided | granted | {NETWORK, TRAINED}
    return provided | ({NETWORK} if LABELS in provided else {NETWORK, NO_LABEL})


def _components(cell: TrainingCell) -> tuple[str, ...]:
    return tuple(spec.digest for spec in cell.components)
