"""The batches of a training: data in the order of the seed, source, pairing, t and the path's sample."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Generator, Tensor

from fmbench.cells.cells import TrainingCell
from fmbench.components.conditions import no_condition
from fmbench.model.build import Components
from fmbench.model.context import WorkerContext
from fmbench.training.pairing import PairedBatches


@dataclass(frozen=True, slots=True)
class Batch:
    """What a step draws before a t-distribution and a path have a say: `u` are the uniforms that become t, `(batch,)`.

    `y` is what the network is given: None unless it is told conditions, and the one that means "none" where label
    dropout took an example's away.
    """

    x_0: Tensor
    x_1: Tensor
    u: Tensor
    y: Tensor | None


class BatchSampler:
    """Draws the batches of a cell, one after the other, each kind of randomness from its role's generator.

    Cells that share seed and dataset see the same data, source and uniforms, whatever their coupling pools; those that
    share the coupling, too, see the same batches, so that a fleet draws them once.
    """

    def __init__(self, cell: TrainingCell, parts: Components, context: WorkerContext) -> None:
        self._parts = parts
        self._label_dropout: float = cell.settings["label_dropout"]
        self._uniforms = stratified if cell.settings.values.get("stratified_t") else independent
        self._generators = {role: context.generator(cell, role) for role in ("t", "label_dropout")}
        self._paired_batches = PairedBatches(cell, parts, context)

    def batch(self, step: int) -> Batch:
        """Return the batch of a step, each step once and in order."""
        x_0, x_1, labels = self._paired_batches.take(step)
        n, device = len(x_1), x_1.device
        u = self._uniforms(n, self._generators["t"])
        y = None
        if self._parts.is_conditional and labels is not None:
            dropped = torch.rand(n, generator=self._generators["label_dropout"], device=device) < self._label_dropout
            none = no_condition(labels, self._parts.classes)
            y = torch.where(dropped.reshape(-1, *[1] * (labels.ndim - 1)), none, labels)
        return Batch(x_0, x_1, u, y)

    def dump(self) -> dict[str, Any]:
        """Return what a checkpoint must hold, for `torch.save`: from it the next step's batch is drawn again."""
        content = self._paired_batches.dump()
        own = {role: generator.get_state() for role, generator in self._generators.items()}
        return {**content, "generators": {**content["generators"], **own}}

    def load(self, content: dict[str, Any]) -> None:
        """Take the state from what `dump` returned for the same cell."""
        for role, generator in self._generators.items():
            generator.set_state(content["generators"][role])
        self._paired_batches.load(content)


def independent(n: int, generator: Generator) -> Tensor:
    """Return independent uniforms `(n,)`, above 0 and below 1."""
    return torch.rand(n, generator=generator, device=generator.device).clamp_(min=2.0**-25)


def stratified(n: int, generator: Generator) -> Tensor:
    """Return uniforms `(n,)` of which one lies in each of n equal parts of (0, 1), in random order.

    Each by itself is uniform; the mean of a function of them varies less than over independent ones.
    Source: Kingma et al. 2107.00630, appendix I.1 (there all parts share one draw; here each has its own).
    """
    edge = n * 2.0**-23  # float32 rounds by less than that, so that each stays in its part
    within = torch.rand(n, generator=generator, device=generator.device).clamp_(edge, 1 - edge)
    order = torch.randperm(n, generator=generator, device=generator.device)
    return (order + within) / n


def shared_samplers(
    cells: Sequence[TrainingCell], parts: Sequence[Components], context: WorkerContext
) -> list[BatchSampler]:
    """Return the draws of each cell; cells of one seed, coupling and teacher have the same object."""
    keys = [(c.seed, c.coupling.digest, "" if c.teacher is None else c.teacher.key) for c in cells]
    found: dict[tuple[int, str, str], BatchSampler] = {}
    for key, cell, own in zip(keys, cells, parts, strict=True):
        if key not in found:
            found[key] = BatchSampler(cell, own, context)
    return [found[key] for key in keys]
