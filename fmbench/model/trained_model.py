"""A trained cell: its weights from the store, its velocity field, and the source samples that it is asked to move."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
from typing import Any, cast

import torch
from torch import Generator, Tensor, nn

from fmbench.cells.cells import TrainingCell, Weights, weights_and_step
from fmbench.cells.component_spec import ComponentSpec
from fmbench.cells.guidance import GuidanceChoice
from fmbench.cells.reference_cell import ReferenceCell
from fmbench.cells.seeds import seed_for
from fmbench.components.contracts import Evidence, Guidance, OwnSpace, TrainingFacts
from fmbench.components.dataset_checks import Split
from fmbench.errors import CellFailure, DamagedFile
from fmbench.isolation import global_random
from fmbench.model.build import Components, assemble, in_pieces, make_module
from fmbench.model.context import WorkerContext
from fmbench.model.own_space import NotAtData, NoVelocityAtData, state_shape
from fmbench.model.snapshots import snapshot_weights
from fmbench.model.stored_tensors import stored_tensors
from fmbench.model.velocity import ModelVelocity
from fmbench.model.velocity_cache import SharedCalls, SharingVelocity
from fmbench.plugins.guidance import guidance_spec

NOISE_BLOCK = 256
"""Source samples are drawn in blocks of this many, each with a seed of its own, so that no batch size changes them.

Solvers that draw noise or look at their batch integrate these blocks, on every machine; their noise has a seed a block.
"""

OF_LAST_STEP = ("ema", "raw")
"""The weights that a training leaves under its own key."""


@dataclass
class Trained:
    """A trained cell, ready to be evaluated. `module` has the averaged weights until others are asked for."""

    cell: TrainingCell
    parts: Components
    module: nn.Module
    facts: TrainingFacts
    context: WorkerContext
    saved: dict[str, Tensor] = field(repr=False)
    _holds: str = ""
    _snapshot: dict[str, Tensor] = field(default_factory=dict, repr=False)
    _arranged: list[object] = field(init=False, repr=False)
    _shared: dict[tuple[GuidanceChoice, Weights], SharedCalls] = field(default_factory=dict, repr=False)
    _remembered: dict[tuple[GuidanceChoice, Weights], dict[str, Any]] = field(default_factory=dict, repr=False)
    _weaker: dict[str, Trained] = field(default_factory=dict, repr=False)

    def __post_init__(self) -> None:
        self._arranged = _arrangement(self.module)

    def velocity(
        self, guidance: GuidanceChoice = 1.0, weights: Weights = "ema", weaker: TrainingCell | None = None
    ) -> ModelVelocity:
        """Return the velocity field of the network with these weights (see `named_weights`), under guidance.

        `weaker` is the weaker model that the guidance asks for: its last weights are taken, raw ones with raw ones and
        else the averaged. There is one network: a velocity with other weights ends the use of those before it. Raises
        CellFailure where the store has no such weights, or not the weaker model.
        """
        if self._holds != weights:
            self._snapshot = {}
            if weights not in OF_LAST_STEP:
                self._snapshot = snapshot_weights(self.cell, weights, self._of_last_step("raw"), self.context)
            self.module.load_state_dict(self._snapshot or self._of_last_step(weights))
            self._holds = weights
            self._shared.clear()  # of each of a training's many steps they would stay
            self._remembered.clear()
        generator = self.context.generator(self.cell, "solver_noise")
        most, device = self.context.evaluation_batch, self.context.device
        component = guidance_component(guidance, self.context)
        of_weaker = "raw" if weights_and_step(weights)[0] == "raw" else "ema"
        other = None if weaker is None else self._weaker_model(weaker).velocity(1.0, of_weaker)
        return ModelVelocity(self.module, self.parts, component, device, generator, most, weaker_model=other)

    def _weaker_model(self, cell: TrainingCell) -> Trained:
        if cell.key not in self._weaker:
            self._weaker[cell.key] = load_named(cell, self.context, "its weaker model")
        return self._weaker[cell.key]

    def _of_last_step(self, weights: Weights) -> dict[str, Tensor]:
        """Return the network's state with weights of the last step; nothing where they are others."""
        prefix = f"{weights}."
        return {n.removeprefix(prefix): value for n, value in self.saved.items() if n.startswith(prefix)}

    def is_intact(self) -> bool:
        """Whether the network still has exactly the weights that it was given, and modes, hooks and methods."""
        now, given = self.module.state_dict(), self._snapshot or self._of_last_step(self._holds)
        alike = all(_bits(now[name]).equal(_bits(value)) for name, value in given.items() if name in now)
        weaker = all(model.is_intact() for model in self._weaker.values())
        return weaker and alike and _arrangement(self.module) == self._arranged

    def sharing(self, velocity: ModelVelocity, guidance: GuidanceChoice, weights: Weights) -> SharingVelocity:
        """Return a velocity that makes no call which another of this guidance and these weights has made."""
        return SharingVelocity(velocity, self._shared.setdefault((guidance, weights), SharedCalls()))

    def remembered(self, guidance: GuidanceChoice, weights: Weights) -> dict[str, Any]:
        """Return what metrics keep of the velocity of this guidance and these weights (see `Evidence`)."""
        return self._remembered.setdefault((guidance, weights), {})

    def forget(self) -> None:
        """Free the memory of the calls that velocities share, of what metrics keep of them, and of weaker models."""
        self._weaker.clear()
        self._shared.clear()
        self._remembered.clear()

    def evidence(self, velocity: ModelVelocity) -> Evidence:
        """Return the evidence that every scope shares."""
        own_space = self.state_shape is not None
        return Evidence(
            dataset=self.parts.dataset,
            path=self.parts.path,
            objective=self.parts.objective,
            t_distribution=self.parts.t_distribution,
            module=NotAtData(self.module) if own_space else self.module,
            velocity=NoVelocityAtData(velocity) if own_space else velocity,
            own_space=OwnSpace(velocity, self.decode) if own_space else None,
            training=self.facts,
            seed=self.cell.seed,
            device=self.context.device,
            classes=self.parts.classes,
            condition_width=self.parts.condition_width,
            cache=self.context.cache,
            real=partial(self.context.data, self.cell.dataset),
            generator=partial(self.context.generator, self.cell),
        )

    def source(self, first: int, n: int, role: str = "evaluation_noise") -> Tensor:
        """Return source samples number `first`, ..., `first + n - 1` of the cell's seed: the same for all its cells."""
        shape = self.state_shape
        return source_samples(self.context, self.cell.dataset, self.cell.seed, first, n, role, shape)

    @property
    def state_shape(self) -> tuple[int, ...] | None:
        """The shape of one state, where the network has a space of its own; None where that is the dataset's."""
        return state_shape(self.module)

    def decode(self, x: Tensor) -> Tensor:
        """Return what a solver ended at, `(n, *state_shape)`, as data `(n, *shape)`."""
        if self.state_shape is None:
            return x
        decode = cast("Callable[..., Tensor]", self.module.decode)
        found = in_pieces(decode, (x,), self.context.evaluation_batch or NOISE_BLOCK)
        wanted = (len(x), *self.parts.dataset.shape)
        if tuple(found.shape) != wanted:
            rule = f"model {self.cell.network} must decode {tuple(x.shape)} to data {wanted}"
            raise CellFailure(f"{rule}, as {self.cell.dataset} has; it returned {tuple(found.shape)}")
        return found

    def labels(self, first: int, n: int, split: Split = "test") -> Tensor | None:
        """Return the conditions that samples number `first`, ..., `first + n - 1` are drawn for.

        Labels are the classes in turn, each as often as in the training data. Vectors are those of a split in the
        random order of the cell's seed and, where they are used up, in another. None where the network takes none.
        """
        if not self.parts.is_conditional:
            return None
        _, y = self.context.data(self.cell.dataset, "train" if self.parts.classes else split)
        assert y is not None
        if self.parts.classes:
            return in_turn(torch.bincount(y, minlength=self.parts.classes), first + n)[first:]
        return y[shuffled_rows(self.cell, len(y), first, n).to(y.device)]


HOOKS = ("_forward_hooks", "_forward_pre_hooks", "_backward_hooks", "_backward_pre_hooks")
"""Where torch keeps what is called with a module."""


def _arrangement(module: nn.Module) -> list[object]:
    """Return what decides, besides weights, what a network computes and anybody can change: modes, hooks, methods."""
    return [
        (type(each), each.training, *(len(getattr(each, name)) for name in HOOKS), vars(each).get("forward"))
        for each in module.modules()
    ]


def _bits(tensor: Tensor) -> Tensor:
    return tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8)


def source_samples(
    context: WorkerContext,
    dataset: ComponentSpec,
    seed: int,
    first: int,
    n: int,
    role: str,
    shape: tuple[int, ...] | None = None,
) -> Tensor:
    """Return source samples number `first`, ..., `first + n - 1` of a seed and a role, `(n, *shape)`.

    They are the dataset's, or the standard normal of a shape that is given.
    """

    def blocks() -> Iterator[Tensor]:
        for number in range(first // NOISE_BLOCK, -(-(first + n) // NOISE_BLOCK)):
            block = seed_for(seed, f"{role}/{number}", dataset.text)
            generator = Generator(context.device).manual_seed(block)
            if shape is None:
                yield context.build(dataset).source(NOISE_BLOCK, generator)
            else:
                yield torch.randn((NOISE_BLOCK, *shape), generator=generator, device=context.device)

    offset = first % NOISE_BLOCK
    return torch.cat(list(blocks()))[offset : offset + n].contiguous()


def seed_noise(
    generator: Generator, cell: TrainingCell | ReferenceCell, first: int, role: str = "solver_noise"
) -> None:
    """Make a generator that of the noise which a solver draws for the block that begins with sample number `first`.

    The global random generators, from which a solver may draw, too, begin each block in a state of its own as well.
    """
    number = seed_for(cell.seed, f"{role}/{first // NOISE_BLOCK}", cell.dataset.text)
    generator.manual_seed(number)
    global_random.seed(number)


def in_turn(counts: Tensor, n: int) -> Tensor:
    """Return `n` labels, int64 `(n,)`: the classes take turns, and each comes as often as its share of `counts`.

    The first labels are the same whatever n is.
    """
    shares = counts.double() / counts.sum()
    # When the first, second, ... example of a class is due, counted in examples of all classes.
    due = [(torch.arange(int(n * share) + 2, device=counts.device) + 0.5) / share for share in shares]
    classes = torch.arange(len(due), device=counts.device)
    labels = torch.repeat_interleave(classes, counts.new_tensor(list(map(len, due))))
    return labels[torch.argsort(torch.cat(due), stable=True)[:n]]


def shuffled_rows(cell: TrainingCell, size: int, first: int, n: int) -> Tensor:
    """Return numbers `first`, ..., `first + n - 1` of a shuffled pass over `size` rows, then another, ..., `(n,)`.

    The passes follow from the cell's seed and dataset.
    """
    passes = range(first // size, -(-(first + n) // size))
    seeds = (seed_for(cell.seed, f"conditions/{number}", cell.dataset.text) for number in passes)
    rows = torch.cat([torch.randperm(size, generator=Generator().manual_seed(seed)) for seed in seeds])
    return rows[first % size :][:n]


def guidance_component(guidance: GuidanceChoice, context: WorkerContext) -> Guidance | None:
    """Return the component of a guidance; None where it is the network's velocity given the labels, as it is."""
    spec = guidance_spec(guidance, context.registry)
    return None if spec is None else context.build(spec)


def load_named(cell: TrainingCell, context: WorkerContext, role: str) -> Trained:
    """Load a trained cell that another names, in a `role`: "its teacher". Raises CellFailure where it is not there."""
    folder = context.store.folder("training", cell.key)
    try:
        if folder.result() is None:
            why = (folder.failure() or {}).get("error", "it was never trained")
            raise CellFailure(f"{role} {cell.key} is not there: {why}")
        return load_trained(cell, context)
    except DamagedFile as error:
        folder.discard()
        raise CellFailure(f"{role} is damaged: {error}; `fmbench retry` trains it again") from error


def load_trained(cell: TrainingCell, context: WorkerContext) -> Trained:
    """Load a trained cell with its averaged weights. Raises DamagedFile when they are not what was written."""
    folder = context.store.folder("training", cell.key)
    parts = assemble(cell, context)
    module = make_module(cell, parts, context.device).eval().requires_grad_(False)
    saved = stored_tensors(folder, "weights.safetensors")
    recorded = (folder.result() or {})["facts"]
    facts = TrainingFacts(**{name: recorded[name] for name in TrainingFacts.__dataclass_fields__ if name in recorded})
    trained = Trained(cell, parts, module, facts, context, saved)
    trained.velocity()
    return trained
