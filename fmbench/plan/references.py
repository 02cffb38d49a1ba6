"""Which floors and oracles a plan calls for; see `fmbench.references`."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from fmbench.cells import ComponentSpec, EvaluationCell
from fmbench.plan.code import FLOOR_CODE, ORACLE_CODE
from fmbench.plan.model import Plan
from fmbench.references import ReferenceCell, Section
from fmbench.source import code_fingerprint

if TYPE_CHECKING:
    from fmbench.registry import Registry

OF_SAMPLES = "samples_only"
"""What a metric provides whose score is of samples and labels alone, so that real data have one too."""
KNOWN_FLOW = frozenset({"mixture", "gaussian", "normal_source", "independent"})
"""What a training cell must provide for its marginal velocity to be known."""


Place = tuple[str | int | float | None, ...]


class References:
    """The floors and oracles of a plan, each once, and what is measured on them.

    A suite has them unless it says otherwise (`evaluation.floor`, `evaluation.oracle`); it has none where no metric of
    its own is of samples alone.
    """

    def __init__(self, plan: Plan, registry: Registry) -> None:
        self._plan = plan
        self._rules = [rule for rule in plan.rules if OF_SAMPLES in registry.attribute(rule.spec, "provides")]
        wanted = plan.suite.evaluation
        self.floors = _distinct(self.floor(cell) for cell in self._one_each("floor")) if wanted.floor else ()
        oracles = (
            {_place(cell, "oracle"): self.oracle(cell) for cell in self._one_each("oracle")} if wanted.oracle else {}
        )
        self.oracles = _distinct(oracles.values())
        self._oracle_keys = {place: oracle.key for place, oracle in oracles.items() if oracle is not None}

    @property
    def cells(self) -> tuple[ReferenceCell, ...]:
        """The floors, then the oracles."""
        return (*self.floors, *self.oracles)

    def metrics(self, cell: ReferenceCell) -> tuple[ComponentSpec, ...]:
        """Return the metrics of a reference cell, in the suite's order; an oracle's samples have no labels."""
        wanted = self._plan.metrics_for(cell.dataset, "evaluation")
        rules = [rule for rule in self._rules if cell.section == "floor" or "labels" not in rule.requires]
        return tuple(rule.spec for rule in rules if rule.spec in wanted)

    def floor(self, cell: EvaluationCell) -> ReferenceCell:
        """Return the floor that an evaluation is read against."""
        training = cell.training
        return ReferenceCell("floor", training.dataset, training.seed, cell.settings, code_fingerprint(*FLOOR_CODE))

    def oracle_key(self, cell: EvaluationCell) -> str:
        """Return the key of the oracle that an evaluation is read against; "" where it has none."""
        return self._oracle_keys.get(_place(cell, "oracle"), "")

    def oracle(self, cell: EvaluationCell) -> ReferenceCell | None:
        """Return the oracle that an evaluation is read against; None where the marginal velocity is not known."""
        training = cell.training
        provided = self._plan.capabilities(tuple(spec.digest for spec in training.components))
        if not provided >= KNOWN_FLOW or cell.guidance != 1.0:
            return None
        sampling = (training.path, cell.solver, cell.grid, cell.nfe, cell.steps)
        code = code_fingerprint(*ORACLE_CODE)
        return ReferenceCell("oracle", training.dataset, training.seed, cell.settings, code, *sampling)

    def _one_each(self, section: Section) -> list[EvaluationCell]:
        """Return one evaluation for each reference cell that there may be: plans have far more evaluations."""
        found: dict[Place, EvaluationCell] = {}
        for cell in self._plan.evaluations if self._rules else ():
            found.setdefault(_place(cell, section), cell)
        return list(found.values())


def _place(cell: EvaluationCell, section: Section) -> Place:
    """Return what decides which floor or oracle an evaluation has."""
    training = cell.training
    if section == "floor":
        return (training.dataset.digest, training.seed)
    grid = cell.grid.digest if cell.grid else ""
    components = (training.dataset.digest, training.path.digest, training.coupling.digest, cell.solver.digest, grid)
    return (*components, training.seed, cell.nfe, cell.steps, cell.guidance)


def _distinct(cells: Iterable[ReferenceCell | None]) -> tuple[ReferenceCell, ...]:
    return tuple({cell.key: cell for cell in cells if cell is not None}.values())
