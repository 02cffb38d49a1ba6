"""A trained cell as what is taken away: its weights, a traced program, and examples by which the program is checked.

Of an evaluation the program is the whole sampler, from source samples to data: network, objective, guidance, solver and
grid. Of a training it is the velocity.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from fmbench.cells.cells import EvaluationCell, TrainingCell, Weights
from fmbench.cells.seeds import seed_for
from fmbench.components.contracts import Dataset
from fmbench.errors import CellFailure, DamagedFile, UserError
from fmbench.evaluation.sampling import check_finite, noise_role, sampler
from fmbench.isolation import global_random
from fmbench.model.context import WorkerContext
from fmbench.model.stored_tensors import stored_tensors
from fmbench.model.traced_program import TracedProgram, trace
from fmbench.model.trained_model import NOISE_BLOCK, Trained, load_trained, seed_noise
from fmbench.model.velocity import ModelVelocity
from fmbench.model.velocity_module import velocity_module

TOLERANCE = 1e-5
"""By how much what the program computes may differ from what fmbench computes."""
OTHER_SAMPLES = 1e-2
"""By how much samples that are the same but for rounding differ at most, in the store and now."""
EXAMPLES = 64
TRACED_BATCH = 16
MOST_SEEDS = 64


@dataclass
class Winner:
    """What is taken away of a cell.

    `kind` is "sampler" or "velocity", `program` what it computes, `weights` the network's tensors. `examples` hold
    source samples "x_0" `(n, *shape)`, "labels" where there are any, and "x_1", the samples that fmbench draws of them;
    of a velocity "t" and "velocity". "conditions" are the labels of all of the benchmark's samples. `block_seeds` are
    the seeds of the benchmark's own noise, a block each, where the source is the standard normal. `differs` is the
    largest difference between examples and program, and `from_stored` that between the examples and the cell's samples
    in the store.
    """

    cell: TrainingCell | EvaluationCell
    trained: Trained
    kind: str
    program: TracedProgram
    weights: dict[str, Tensor]
    examples: dict[str, Tensor]
    block_seeds: list[int]
    differs: float
    from_stored: float | None = None


class SamplerModule(nn.Module):
    """The sampler of an evaluation cell as a module, called with source samples and, where there are any, labels."""

    def __init__(self, trained: Trained, cell: EvaluationCell, velocity: ModelVelocity) -> None:
        super().__init__()
        self.network = trained.module
        self.weaker = velocity.weaker_model.module if velocity.weaker_model is not None else None
        self._velocity, self._integrate = velocity, sampler(trained, cell, velocity)

    def forward(self, *inputs: Tensor) -> Tensor:
        """Return data `(batch, *shape)` for `x_0` and labels, each of the same batch."""
        try:
            return self._integrate(inputs[0], inputs[1] if len(inputs) > 1 else None)
        finally:  # what a trace leaves there is no number
            self._velocity.calls = 0
            self._velocity.y = None


def winner_of(cell: TrainingCell | EvaluationCell, context: WorkerContext, weights: Weights = "ema") -> Winner:
    """Trace what is taken away of a cell, and check it. `weights` are those of a training: "ema" or "raw".

    Raises UserError where the cell cannot be taken away, or the program computes something else than fmbench.
    """
    training = cell if isinstance(cell, TrainingCell) else cell.training
    try:
        trained = load_trained(training, context)
        if isinstance(cell, TrainingCell):
            return _velocity_of(trained, weights)
        return _sampler_of(trained, cell)
    except DamagedFile as error:
        raise UserError(f"{error}; run the suite that it belongs to again") from error
    except CellFailure as error:
        raise UserError(f"{cell} cannot be taken away: {error}") from error


@torch.no_grad()
def _sampler_of(trained: Trained, cell: EvaluationCell) -> Winner:
    if cell.grid is None:
        raise UserError(f"solver {cell.solver} chooses its steps by what it finds. {_instead(cell)}")
    velocity = trained.velocity(cell.guidance, cell.weights_name, cell.weaker)
    x_0, labels, x_1 = _examples(trained, cell, velocity)
    module = SamplerModule(trained, cell, velocity).eval()
    inputs = (x_0,) if labels is None else (x_0, labels)
    try:
        program = trace(module, tuple(value[:TRACED_BATCH] for value in inputs))
    except CellFailure as error:
        raise UserError(f"the sampler of {cell.solver} cannot be taken away: {error}. {_instead(cell)}") from error
    found = program(*inputs)
    role = noise_role(cell, "evaluation")
    blocks = min(-(-int(cell.settings["samples"]) // NOISE_BLOCK), MOST_SEEDS)
    examples = {"x_0": x_0, "x_1": x_1, **_labels(trained, labels, blocks)}
    winner = Winner(
        cell,
        trained,
        "sampler",
        program,
        _weights(trained),
        examples,
        _block_seeds(trained, role, blocks),
        _checked(found, x_1),
    )
    winner.from_stored = _from_stored(trained, cell, x_1)
    return winner


@torch.no_grad()
def _velocity_of(trained: Trained, weights: Weights) -> Winner:
    velocity = trained.velocity(1.0, weights)
    module = velocity_module(trained)
    x_0, labels = trained.source(0, EXAMPLES), trained.labels(0, EXAMPLES)
    t = torch.linspace(0, 1, EXAMPLES)
    velocity.y = labels
    expected = velocity(x_0, t)
    inputs = (x_0, t) if labels is None else (x_0, t, labels)
    program = trace(_Called(module), tuple(value[:TRACED_BATCH] for value in inputs))
    examples = {"x_0": x_0, "t": t, "velocity": expected, **_labels(trained, labels, 1)}
    seeds = _block_seeds(trained, "evaluation_noise", MOST_SEEDS)
    differs = _checked(program(*inputs), expected)
    return Winner(trained.cell, trained, "velocity", program, _weights(trained), examples, seeds, differs)


class _Called(nn.Module):
    """A module called with several inputs, as programs are."""

    def __init__(self, module: nn.Module) -> None:
        super().__init__()
        self.module = module

    def forward(self, *inputs: Tensor) -> Tensor:
        output: Tensor = self.module(*inputs)
        return output


def _examples(trained: Trained, cell: EvaluationCell, velocity: ModelVelocity) -> tuple[Tensor, Tensor | None, Tensor]:
    """Return source samples, labels, and what fmbench makes of them now. Raises UserError where that draws noise."""
    role = noise_role(cell, "evaluation")
    x_0, labels = trained.source(0, EXAMPLES, role), trained.labels(0, EXAMPLES)
    seed_noise(velocity.generator, trained.cell, 0, noise_role(cell, "solver"))
    before = (velocity.generator.get_state(), global_random.state())
    x_1 = sampler(trained, cell, velocity)(x_0, labels)
    after = (velocity.generator.get_state(), global_random.state())
    if not torch.equal(before[0], after[0]) or not global_random.alike(before[1], after[1]):
        raise UserError(f"solver {cell.solver} draws noise of its own. {_instead(cell)}")
    check_finite(x_1)
    return x_0, labels, x_1


def _instead(cell: EvaluationCell) -> str:
    return (
        "A program of fixed steps cannot do so. Take the network alone, with Euler, Heun and RK4 beside it: "
        f"`fmbench export {cell.training.key}`."
    )


def _checked(found: Tensor, expected: Tensor) -> float:
    """Return the largest difference of the program's result from fmbench's. Raises CellFailure where it is large."""
    differs = float((found - expected).abs().max())
    scale = max(1.0, float(expected.abs().max()))
    if not differs <= TOLERANCE * scale:
        raise CellFailure(
            f"the traced program differs from fmbench by {differs:.1e}, more than {TOLERANCE * scale:.0e}"
        )
    return differs


def _from_stored(trained: Trained, cell: EvaluationCell, x_1: Tensor) -> float:
    """Return by how much samples drawn now differ from those of the store. Raises UserError where they are others."""
    stored = stored_tensors(trained.context.store.folder("evaluation", cell.key), "samples.safetensors")["samples"]
    n = min(len(stored), len(x_1))
    differs = float((stored[:n] - x_1[:n]).abs().max())
    scale = max(1.0, float(stored.abs().max()))
    facts = (trained.context.store.folder("evaluation", cell.key).recorded() or {}).get("facts", {})
    if differs > OTHER_SAMPLES * scale and facts.get("precision") == trained.parts.precision == "float32":
        raise UserError(
            f"what is drawn now differs from the samples of {cell.key} by {differs:.1e}: its code is not what it was. "
            "Run its suite again, and export the new key."
        )
    return differs


def _labels(trained: Trained, labels: Tensor | None, blocks: int) -> dict[str, Tensor]:
    """Return the labels of the examples and, as "conditions", those of all of the benchmark's noise; {} without any."""
    conditions = trained.labels(0, blocks * NOISE_BLOCK)
    return {} if labels is None or conditions is None else {"labels": labels, "conditions": conditions.clone()}


def _weights(trained: Trained) -> dict[str, Tensor]:
    return {name: value.detach().cpu().clone().contiguous() for name, value in trained.module.state_dict().items()}


def _block_seeds(trained: Trained, role: str, blocks: int) -> list[int]:
    """Return the seeds of the benchmark's noise; none where the source is no standard normal."""
    cell, dataset = trained.cell, trained.parts.dataset
    if type(dataset).source is not Dataset.source and trained.state_shape is None:
        return []
    return [seed_for(cell.seed, f"{role}/{number}", cell.dataset.text) for number in range(blocks)]
