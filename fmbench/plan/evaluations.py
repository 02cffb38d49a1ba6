"""The evaluations of a plan as a sequence that is made while it is walked: each training cell with each sampling."""

from __future__ import annotations

from abc import abstractmethod
from bisect import bisect_right
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import accumulate
from typing import TypeVar, overload

from fmbench.cells.cells import (
    EvaluationCell,
    TrainingCell,
    Weights,
    evaluation_keys,
    guidance_text,
    named_weights,
    sampling_digest,
)
from fmbench.cells.component_spec import ComponentSpec, Settings
from fmbench.cells.guidance import GuidanceChoice


@dataclass(frozen=True)
class Sampling:
    """How a training cell is evaluated: an evaluation cell without its training cell, so that many can share it.

    One whose guidance is by a weaker model is one training cell's own.
    """

    solver: ComponentSpec
    grid: ComponentSpec | None
    nfe: int | None
    steps: int | None
    guidance: GuidanceChoice
    weights: Weights
    settings: Settings
    code: str = ""
    weaker: TrainingCell | None = None
    at_step: int | None = None

    @cached_property
    def digest(self) -> str:
        """What the keys of its evaluations are made of, besides those of the training cells."""
        grid = self.grid.digest if self.grid else ""
        weights = named_weights(self.weights, self.at_step)
        asked = (self.nfe, self.steps, guidance_text(self.guidance, self.weaker), weights)
        return sampling_digest(self.solver.digest, grid, *asked, self.settings.text, self.code)

    def of(self, training: TrainingCell) -> EvaluationCell:
        """Return the evaluation of a training cell."""
        asked = (self.nfe, self.steps, self.guidance, self.weights)
        own = (self.settings, self.code, self.weaker, self.at_step)
        return EvaluationCell(training, self.solver, self.grid, *asked, *own)


Samplings = tuple[Sampling, ...]
"""Those of one training cell, in order; training cells that have the same ones share the tuple."""


Item = TypeVar("Item", covariant=True)


class CellSamplings(Sequence[Item]):
    """Something for each sampling of each training cell, in order, made while it is walked.

    A million of them take no more room than what they are made of. `groups` are training cells, each with samplings.
    """

    def __init__(self, groups: Iterable[tuple[TrainingCell, Samplings]] = ()) -> None:
        self.groups = tuple((training, samplings) for training, samplings in groups if samplings)
        self._ends = list(accumulate(len(samplings) for _, samplings in self.groups))

    @abstractmethod
    def made(self, training: TrainingCell, sampling: Sampling) -> Item:
        """Return what stands at the place of a training cell and a sampling."""

    def __len__(self) -> int:
        return self._ends[-1] if self._ends else 0

    def __iter__(self) -> Iterator[Item]:
        return (self.made(training, sampling) for training, samplings in self.groups for sampling in samplings)

    @overload
    def __getitem__(self, index: int) -> Item: ...
    @overload
    def __getitem__(self, index: slice) -> list[Item]: ...
    def __getitem__(self, index: int | slice) -> Item | list[Item]:
        """Return what stands at a place, or a list of what stands in a slice."""
        if isinstance(index, slice):
            return [self[place] for place in range(*index.indices(len(self)))]
        place = range(len(self))[index]
        number = bisect_right(self._ends, place)
        training, samplings = self.groups[number]
        return self.made(training, samplings[place - self._ends[number]])


class Evaluations(CellSamplings[EvaluationCell]):
    """The evaluation cells of a plan, training by training."""

    def made(self, training: TrainingCell, sampling: Sampling) -> EvaluationCell:
        """Return the evaluation cell."""
        return sampling.of(training)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Evaluations) and self.groups == other.groups

    def __hash__(self) -> int:
        return hash(self.groups)

    def of(self, training: TrainingCell) -> Evaluations:
        """Return those of one training cell; none for one that has none here."""
        return Evaluations([(training, self._samplings.get(training.key, ()))])

    def keys(self) -> Iterator[str]:
        """Yield the key of every cell, without making the cells."""
        for training, samplings in self.groups:
            yield from evaluation_keys(training.key, (sampling.digest for sampling in samplings))

    @cached_property
    def _samplings(self) -> dict[str, Samplings]:
        return {training.key: samplings for training, samplings in self.groups}
