"""Evidence for testing metrics, from a dataset and samples, without training anything."""

from __future__ import annotations

import shutil
import tempfile
import weakref
from functools import lru_cache
from pathlib import Path as FilePath

import torch
from torch import Generator, Tensor, nn

from fmbench.cells import seed_for
from fmbench.contracts import Dataset, Evidence, Objective, Path, TDistribution, TrainingFacts
from fmbench.testing.parts import CountedField, EvenT, StraightPath, TinyNetwork, VelocityOutput

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
    path: Path | None = None,
    objective: Objective | None = None,
    t_distribution: TDistribution | None = None,
    module: nn.Module | None = None,
    seed: int = 0,
    cache: FilePath | None = None,
) -> Evidence:
    """Return evidence of every scope: `samples` (the training data unless given) of `dataset`, and a tiny network.

    The network is one affine map; the path is straight, t uniform, and the output the velocity, unless others are
    given. Without `cache` a temporary folder is used, which goes when the evidence does.
    """
    path, objective = path or StraightPath(), objective or VelocityOutput()
    module = (module or TinyNetwork(dataset.shape)).eval().requires_grad_(False)
    count = sum(parameter.numel() for parameter in module.parameters())

    def velocity(x: Tensor, t: Tensor) -> Tensor:
        return objective.velocity(module(x, t), x, t, path)

    def draw(n: int) -> Tensor:
        x = dataset.source(n, Generator().manual_seed(seed))
        return x + velocity(x, torch.zeros(n))

    def noise(role: str) -> Generator:
        return Generator().manual_seed(seed_for(seed, role))

    real = lru_cache(maxsize=2)(dataset.load)
    folder = cache or FilePath(tempfile.mkdtemp(prefix="fmbench-"))
    evidence = Evidence(
        dataset=dataset,
        path=path,
        objective=objective,
        t_distribution=t_distribution or EvenT(),
        module=module,
        velocity=CountedField(velocity, path, noise("solver_noise")),
        training=TrainingFacts(**{**FACTS.__dict__, "parameters": count}),
        seed=seed,
        device="cpu",
        cache=folder,
        real=real,
        generator=noise,
        samples=real("train")[0] if samples is None else samples,
        labels=labels,
        nfe=8.0,
        draw=draw,
    )
    if cache is None:
        weakref.finalize(evidence, shutil.rmtree, folder, ignore_errors=True)
    return evidence
