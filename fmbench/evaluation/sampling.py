"""Drawing samples of a trained cell by a solver on a grid, and counting its network calls."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from fmbench.cells.cells import EvaluationCell, TrainingCell
from fmbench.cells.guidance import guidance_label
from fmbench.cells.reference_cell import ReferenceCell
from fmbench.components.contracts import VALIDATION, ProbabilityPath, Solver, Velocity
from fmbench.components.solver_times import fault_of, solver_times
from fmbench.errors import CellFailure, Diverged
from fmbench.evaluation.batch_size import best_batch
from fmbench.evaluation.sample_batches import why_in_blocks
from fmbench.isolation import global_random
from fmbench.model.context import WorkerContext
from fmbench.model.trained_model import NOISE_BLOCK, Trained, guidance_component, seed_noise

SampledCell = EvaluationCell | ReferenceCell
"""What says how samples are drawn: solver, grid, steps and number of samples."""


class SampledModel(Protocol):
    """What samples are drawn from: a trained cell, or the exact velocity."""

    context: WorkerContext

    @property
    def cell(self) -> TrainingCell | ReferenceCell:
        """The cell, whose seed and dataset say which source samples and which noise are drawn."""

    def source(self, first: int, n: int, role: str = ...) -> Tensor:
        """Return source samples number `first`, ..., `first + n - 1` of a role."""

    def labels(self, first: int, n: int) -> Tensor | None:
        """Return the labels that they are to become, None where there are none."""

    def decode(self, x: Tensor) -> Tensor:
        """Return what the solver ended at as data `(n, *shape)`: as it is, unless the model has a space of its own."""


class CountedVelocity(Velocity, Protocol):
    """A velocity that counts its calls times their batch."""

    calls: int


def check_finite(samples: Tensor) -> None:
    """Raise Diverged when one of `samples` `(n, *shape)` is not finite."""
    if not bool(torch.isfinite(samples).all()):
        bad = int((~torch.isfinite(samples.flatten(1)).all(1)).sum())
        raise Diverged(f"{bad} of {len(samples)} samples are not finite")


def what_samples(cell: SampledCell) -> str:
    """Return the names of what is called while a cell is sampled, to say who did something there."""
    if not isinstance(cell, EvaluationCell) or cell.guidance == 1:
        return f"solver {cell.solver}"
    return f"solver {cell.solver} or guidance {guidance_label(cell.guidance)}"


def check_nfe(cell: SampledCell, measured: float) -> None:
    """Raise CellFailure when a solver called the network more or less often than it declares."""
    if cell.nfe is not None and measured != cell.nfe:
        guided = isinstance(cell, EvaluationCell) and cell.guidance != 1
        raise CellFailure(
            f"solver {cell.solver} called the network {measured:g} times a sample; by its nfe_per_step and nfe_offset"
            f"{', and the network_calls of the guidance,' if guided else ''} it should be {cell.nfe}"
        )


@dataclass(frozen=True)
class Drawn:
    """Samples `(n, *shape)`, their labels, and what each batch took: its size and the network calls times that.

    `seconds` is the cell's share of the time, where it was drawn together with others: `members` in all. `drew_noise`
    says whether the solver drew random numbers, so that the source samples do not decide the samples.
    """

    samples: Tensor
    labels: Tensor | None
    sizes: list[int]
    calls: list[int]
    seconds: float = 0.0
    drew_noise: bool = False
    members: int = 1

    @property
    def nfe(self) -> float:
        """Network calls a sample."""
        return sum(self.calls) / len(self.samples)

    @property
    def nfe_of_batches(self) -> list[float]:
        """Network calls a sample, of each batch."""
        return [count / size for count, size in zip(self.calls, self.sizes, strict=True)]


def draw_samples(
    model: SampledModel, cell: SampledCell, velocity: CountedVelocity, larger: int = 0, start: int = 0
) -> Drawn:
    """Draw the samples of a cell: a block, and the others in batches of up to `larger`, if that changes only rounding.

    They are what source sample number `start` and the ones after it become, where `start` is the first of a block. An
    adaptive solver controls the error of a batch as a whole, and one that draws noise draws other noise in another
    batch: these integrate blocks of NOISE_BLOCK, whatever else, each with noise of its own.
    """
    integrate = sampler(model, cell, velocity)
    n, size = int(cell.settings["samples"]), NOISE_BLOCK
    larger = larger // NOISE_BLOCK * NOISE_BLOCK if _may_be_larger(model, cell, velocity.path, larger) else 0
    samples: list[Tensor] = []
    sizes: list[int] = []
    calls: list[int] = []
    drew_noise = False
    while (done := sum(sizes)) < n:
        first = start + done
        seed_noise(velocity.generator, model.cell, first, noise_role(cell, "solver"))
        before, noise, count = velocity.calls, _noise(model, velocity), min(size, n - done)
        x_0 = model.source(first, count, noise_role(cell, "evaluation"))
        drawn = integrate(x_0, model.labels(first, count))
        if not global_random.alike(noise, _noise(model, velocity)):
            larger, drew_noise = 0, True
            if count > NOISE_BLOCK:  # noise for which no block before has shown a need
                velocity.calls, size = before, NOISE_BLOCK
                continue
        samples.append(drawn)
        sizes.append(count)
        calls.append(velocity.calls - before)
        size = max(larger, NOISE_BLOCK)
    return Drawn(torch.cat(samples), model.labels(start, n), sizes, calls, drew_noise=drew_noise)


def noise_role(cell: SampledCell, role: str) -> str:
    """Return the role of the noise from which a cell's samples are made: settings are chosen by noise of their own."""
    return f"{'validation_' if cell.settings.values.get('split') == VALIDATION else ''}{role}_noise"


def usual_batch(model: SampledModel) -> int:
    """Return the batch in which solvers are run that may be run in any."""
    usual = NOISE_BLOCK if model.context.device == "cpu" else 4 * NOISE_BLOCK
    return max(NOISE_BLOCK, model.context.evaluation_batch or usual)


def larger_batch(trained: Trained, cell: EvaluationCell) -> int:
    """Return the batch that the suite says, else the one that was found to be the quickest; 0 for what is not used."""
    rest = int(cell.settings["samples"]) - NOISE_BLOCK
    if trained.context.evaluation_batch or rest < 2 * NOISE_BLOCK:
        return trained.context.evaluation_batch or 0
    return best_batch(trained, NOISE_BLOCK, rest)


def sampler(
    model: SampledModel, cell: SampledCell, velocity: CountedVelocity
) -> Callable[[Tensor, Tensor | None], Tensor]:
    """Return the function from source samples and labels to data: the cell's solver on its grid."""
    solver, times = solver_and_times(model, cell)

    def integrate(x_0: Tensor, y: Tensor | None) -> Tensor:
        velocity.y = y
        x_1 = solver.integrate(velocity, x_0, times)
        if not isinstance(x_1, Tensor) or x_1.shape != x_0.shape or x_1.dtype != x_0.dtype:
            found = f"{x_1.dtype} {tuple(x_1.shape)}" if isinstance(x_1, Tensor) else type(x_1).__name__
            raise CellFailure(f"solver {cell.solver} must return {x_0.dtype} {tuple(x_0.shape)}; it returned {found}")
        return model.decode(x_1)

    return integrate


def _noise(model: SampledModel, velocity: Velocity) -> global_random.State:
    """Return the states of all generators from which a solver may draw."""
    return {"solver": velocity.generator.get_state(), **global_random.state(model.context.device)}


def _may_be_larger(model: SampledModel, cell: SampledCell, path: ProbabilityPath, larger: int) -> bool:
    """Whether batches of `larger` are more than a block, there is more than a block to draw, and they may be drawn."""
    if larger < 2 * NOISE_BLOCK or int(cell.settings["samples"]) <= 2 * NOISE_BLOCK:
        return False
    dataset = model.cell.dataset
    guidance = cell.guidance if isinstance(cell, EvaluationCell) else 1.0
    asked = (cell.solver, cell.grid, cell.steps, guidance, model.cell.path, dataset)
    known = model.context.keeps_to_blocks
    if asked not in known:
        shape = model.context.build(dataset).shape
        component = guidance_component(guidance, model.context)
        known[asked] = why_in_blocks(*solver_and_times(model, cell), path, shape, component)
    return not known[asked]


def solver_and_times(model: SampledModel, cell: SampledCell) -> tuple[Solver, Tensor]:
    """Return a cell's solver, and the times of its grid: 0 and 1 where it has none."""
    assert cell.solver is not None  # a floor is not sampled from
    times = torch.tensor([0.0, 1.0])
    if cell.grid is not None and cell.steps is not None:
        times = solver_times(model.context.build(cell.grid), cell.steps)
        if fault := fault_of(times):
            raise CellFailure(f"grid {cell.grid}: {fault}. Take fewer steps.")
    return model.context.build(cell.solver), times.to(model.context.device)
