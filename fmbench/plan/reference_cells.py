"""Which floors and oracles a plan calls for; see `fmbench.cells.reference_cell`."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from functools import lru_cache
from itertools import chain
from typing import TYPE_CHECKING

from fmbench.cells.cells import EvaluationCell, TrainingCell
from fmbench.cells.component_spec import ComponentSpec, Settings
from fmbench.cells.reference_cell import ReferenceCell
from fmbench.plan.compatibility import OF_SAMPLES
from fmbench.plan.evaluations import CellSamplings, Sampling, Samplings
from fmbench.plan.plan import Plan
from fmbench.plan.result_code import result_code_fingerprint

if TYPE_CHECKING:
    from fmbench.plugins.registry import Registry

KNOWN_FLOW = frozenset({"mixture", "gaussian", "normal_source", "independent"})
"""What a training cell must provide for its marginal velocity to be known."""

OracleOf = tuple[str, str, int]
"""What training cells share whose oracles are the same: dataset, path and seed."""
Walk = tuple[str, str, int | None, int | None]
"""What samplings share whose oracles are the same: solver, grid, NFE and steps."""


class Oracles(CellSamplings[ReferenceCell]):
    """The oracles of a plan: one stands for all training cells of its place, and for all samplings that walk alike."""

    def __init__(self, groups: Iterable[tuple[TrainingCell, Samplings]], code: str) -> None:
        super().__init__(groups)
        self._code = code

    def made(self, training: TrainingCell, sampling: Sampling | EvaluationCell) -> ReferenceCell:
        """Return the oracle of a training cell and a sampling."""
        walked = (training.path, sampling.solver, sampling.grid, sampling.nfe, sampling.steps)
        settings = _samples_of(int(sampling.settings["samples"]))
        return ReferenceCell("oracle", training.dataset, training.seed, settings, self._code, *walked)


class References:
    """The floors and oracles of a plan, each once, and what is measured on them.

    A suite has them unless it says otherwise (`evaluation.floor`, `evaluation.oracle`); it has none where no metric of
    its own is of samples alone. Like a plan's evaluations, oracles are made while they are walked.
    """

    def __init__(self, plan: Plan, registry: Registry) -> None:
        self._plan = plan
        self._rules = [rule for rule in plan.rules if OF_SAMPLES in registry.attribute(rule.spec, "provides")]
        wanted = plan.suite.evaluation
        self._codes = result_code_fingerprint("noise floor"), result_code_fingerprint("oracle")
        self.floors = self._floors() if wanted.floor and self._rules else ()
        self.oracles = Oracles(self._walks() if wanted.oracle and self._rules else (), self._codes[1])

    @property
    def cells(self) -> Iterator[ReferenceCell]:
        """The floors, then the oracles."""
        return chain(self.floors, self.oracles)

    def metrics(self, cell: ReferenceCell) -> tuple[ComponentSpec, ...]:
        """Return the metrics of a reference cell, in the suite's order; an oracle's samples have no labels."""
        wanted = self._plan.metrics_for(cell.dataset, "evaluation")
        rules = [rule for rule in self._rules if cell.section == "floor" or "labels" not in rule.requires]
        return tuple(rule.spec for rule in rules if rule.spec in wanted)

    def oracle_key(self, cell: EvaluationCell) -> str:
        """Return the key of the oracle that an evaluation is read against; "" where it has none."""
        if not self.oracles or cell.guidance != 1.0 or not self._is_known(cell.training):
            return ""
        return self.oracles.made(cell.training, cell).key

    def _floors(self) -> tuple[ReferenceCell, ...]:
        """Return a floor for each dataset and seed."""
        found: dict[tuple[str, int], ReferenceCell] = {}
        for training, samplings in self._plan.evaluations.groups:
            dataset, seed = training.dataset, training.seed
            if (dataset.digest, seed) not in found:
                settings = _samples_of(int(samplings[0].settings["samples"]))
                found[dataset.digest, seed] = ReferenceCell("floor", dataset, seed, settings, self._codes[0])
        return tuple(found.values())

    def _walks(self) -> list[tuple[TrainingCell, Samplings]]:
        """Return training cells with the samplings whose oracles no earlier one of them has; all oracles, each once."""
        covered: dict[OracleOf, tuple[int, ...]] = {}
        fresh: dict[tuple[int, ...], Samplings] = {}
        walks = []
        for training, samplings in self._plan.evaluations.groups:
            place = (training.dataset.digest, training.path.digest, training.seed)
            before = covered.get(place, ())
            # Training cells share the tuples of their samplings, so that the identity of one stands for it.
            if id(samplings) in before or not self._is_known(training):
                continue
            covered[place] = (*before, id(samplings))
            if covered[place] not in fresh:
                fresh[covered[place]] = _without(samplings, [fresh[before[: n + 1]] for n in range(len(before))])
            walks.append((training, fresh[covered[place]]))
        return walks

    def _is_known(self, training: TrainingCell) -> bool:
        """Tell whether the marginal velocity of a training cell's flow is known."""
        return self._plan.capabilities(tuple(spec.digest for spec in training.components)) >= KNOWN_FLOW


@lru_cache
def _samples_of(n: int) -> Settings:
    """Return the settings of evaluations that count for floors and oracles: how many samples are drawn once."""
    return Settings({"samples": n})


def _without(samplings: Samplings, others: Sequence[Samplings]) -> Samplings:
    """Return one sampling for each oracle that none of the others has."""
    known = {_walk(sampling) for each in others for sampling in each}
    found: dict[Walk, Sampling] = {}
    for sampling in samplings:
        if sampling.guidance == 1.0:
            found.setdefault(_walk(sampling), sampling)
    return tuple(sampling for walk, sampling in found.items() if walk not in known)


def _walk(sampling: Sampling) -> Walk:
    return (sampling.solver.digest, sampling.grid.digest if sampling.grid else "", sampling.nfe, sampling.steps)
