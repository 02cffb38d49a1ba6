"""Evidence for testing metrics, from a dataset and samples, without training anything."""

from __future__ import annotations

import shutil
import tempfile
import weakref
from dataclasses import replace
from functools import lru_cache, partial
from pathlib import Path

import torch
from torch import Generator, Tensor, nn

from fmbench.cells.seeds import seed_for
from fmbench.components.contracts import Dataset, Evidence, Objective, ProbabilityPath, TDistribution, TrainingFacts
from fmbench.testing.dummy_components import CountedField, EvenT, StraightPath, TinyNetwork, VelocityOutput

FACTS = TrainingFacts(
    seconds=2.5,
    steps=100,
    peak_memory=2**27,
    parameters=6,
    device="cpu",
    precision="float32",
    threads=1,
    jobs=1,
    hardware="a processor, 2 cores",
    torch="2.0",
)
"""What is claimed of the training of the tiny network."""


def make_evidence(
    dataset: Dataset,
    samples: Tensor | None = None,
    *,
    labels: Tensor | None = None,
    path: ProbabilityPath | None = None,
    objective: Objective | None = None,
    t_distribution: TDistribution | None = None,
    module: nn.Module | None = None,
    seed: int = 0,
    cache: Path | None = None,
) -> Evidence:
    """Return evidence of every scope: `samples` (the training data unless given) of `dataset`, and a tiny network.

    The network is one affine map; the path is straight, t uniform, and the output the velocity, unless others are
    given. Without `cache` a temporary folder is used, which goes when the evidence does.
    """
    module = (module or TinyNetwork(dataset.shape)).eval().requires_grad_(False)
    objective = objective or VelocityOutput()
    velocity = field_of(module, path or StraightPath(), objective, generator_of(seed, "solver_noise"))
    real = lru_cache(maxsize=2)(dataset.load)
    folder = cache or Path(tempfile.mkdtemp(prefix="fmbench-"))
    evidence = Evidence(
        dataset=dataset,
        path=velocity.path,
        objective=objective,
        t_distribution=t_distribution or EvenT(),
        module=module,
        velocity=velocity,
        training=replace(FACTS, parameters=sum(parameter.numel() for parameter in module.parameters())),
        seed=seed,
        device="cpu",
        cache=folder,
        real=real,
        generator=partial(generator_of, seed),
        samples=real("train")[0] if samples is None else samples,
        labels=labels,
        nfe=8.0,
        draw=partial(one_euler_step, dataset, velocity, seed),
        source=partial(first_of_source, dataset, seed),
        solve=partial(one_step, velocity),
    )
    if cache is None:
        weakref.finalize(evidence, shutil.rmtree, folder, ignore_errors=True)
    return evidence


def generator_of(seed: int, role: str) -> Generator:
    """Return the generator of a role."""
    return Generator().manual_seed(seed_for(seed, role))


def field_of(module: nn.Module, path: ProbabilityPath, objective: Objective, noise: Generator) -> CountedField:
    """Return the velocity field that an objective makes of a network, given the labels in its `y`."""

    def velocity(x: Tensor, t: Tensor) -> Tensor:
        output = module(x, t) if field.y is None else module(x, t, field.y)
        return objective.velocity(output, x, t, path)

    field = CountedField(velocity, path, noise)
    return field


def first_of_source(dataset: Dataset, seed: int, n: int) -> Tensor:
    """Return source samples `(n, *shape)` of a seed."""
    return dataset.source(n, generator_of(seed, "evaluation_noise"))


def one_euler_step(dataset: Dataset, velocity: CountedField, seed: int, n: int) -> Tensor:
    """Return `n` samples by one step from t=0 to t=1."""
    return one_step(velocity, dataset.source(n, Generator().manual_seed(seed)), None)


def one_step(velocity: CountedField, x_0: Tensor, y: Tensor | None) -> Tensor:
    """Return where one step from t=0 to t=1 takes `x_0` `(batch, *shape)` with labels `y` `(batch,)`."""
    velocity.y = y
    return x_0 + velocity(x_0, torch.zeros(len(x_0)))
