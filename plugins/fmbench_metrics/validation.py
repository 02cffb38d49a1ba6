"""What the metrics that judge the velocity field share: the loss on held-out data draw by draw, examples, labels."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import torch

from fmbench_metrics.memory import cached_on, content_hash

if TYPE_CHECKING:
    from torch import Generator, Tensor

    from fmbench import Evidence, Velocity

DRAWS = 4096
BATCH = 512


@torch.no_grad()
def validation_losses(evidence: Evidence) -> tuple[Tensor, Tensor]:
    """Return t and the objective's loss there, `(n,)` each, under uniform t, fixed noise and the averaged weights.

    The test split is gone through as often as 4,096 draws need; t is stratified over them.
    """
    data, labels = evidence.real("test")
    generator, own_noise = evidence.generator("validation"), evidence.generator("validation_path")
    n = draws(data)
    t = stratified(n, generator).to(data)
    rows = torch.arange(n, device=data.device) % len(data)
    losses = []
    for chosen, t_batch in zip(torch.split(rows, BATCH), torch.split(t, BATCH), strict=True):
        x_0 = evidence.dataset.source(len(chosen), generator).to(data)
        sample = evidence.path.sample(x_0, data[chosen], t_batch, own_noise)
        sample.y = labels[chosen] if evidence.is_conditional and labels is not None else None
        arguments = () if sample.y is None else (sample.y,)
        output = evidence.module(sample.x_t, sample.t, *arguments)
        losses.append(evidence.objective.loss(output.float(), sample))
    return t, torch.cat(losses)


def draws(data: Tensor) -> int:
    """Return the number of draws: the test split `(n, *shape)` as often as 4,096 draws need."""
    return len(data) * -(-DRAWS // len(data))


def stratified(n: int, generator: Generator) -> Tensor:
    """Draw t `(n,)`, one in each n-th of [0, 1], in random order."""
    strata = torch.randperm(n, generator=generator, device=generator.device)
    return (strata + torch.rand(n, generator=generator, device=generator.device)) / n


def examples(evidence: Evidence, points: int, generator: Generator) -> tuple[Tensor, Tensor | None]:
    """Return `points` examples of the test split in random order, or all where there are fewer, and their labels.

    The labels are None where the network takes none.
    """
    data, labels = evidence.real("test")
    rows = torch.randperm(len(data), generator=generator, device=generator.device)[:points].to(data.device)
    return data[rows], labels[rows] if evidence.is_conditional and labels is not None else None


@contextmanager
def labelled(velocity: Velocity, y: Tensor | None) -> Iterator[Velocity]:
    """Let a velocity be that of the labels `y`, `(batch,)` or None, for a while."""
    before = velocity.y
    velocity.y = y
    try:
        yield velocity
    finally:
        velocity.y = before


def reference(evidence: Evidence) -> Mapping[str, Any]:
    """Return the part of an identity that says on which held-out data a value was taken, and given what."""
    data = evidence.real("test")[0]
    return {
        "reference": cached_on(data, "content", lambda: content_hash(data)),
        "reference_split": "test",
        "reference_n": len(data),
    }
