"""The batches of a training: data in the order of the seed, source, pairing, t and the path's sample."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from itertools import repeat
from typing import Any

import torch
from torch import Generator, Tensor

from fmbench.assembly import Parts, Workshop
from fmbench.cells import TrainingCell, seed_for

ROLES = ("training_noise", "t", "coupling", "label_dropout")

Paired = tuple[Tensor, Tensor, Tensor | None]
"""A batch as the coupling paired it: `x_0`, `x_1` and labels."""


@dataclass(frozen=True, slots=True)
class Batch:
    """What a step draws before a t-distribution and a path have a say: `u` are the uniforms that become t, `(batch,)`.

    `y` is what the network is given: None unless it is class-conditional, and the label `classes` ("no label") where
    label dropout took the label away.
    """

    x_0: Tensor
    x_1: Tensor
    u: Tensor
    y: Tensor | None


class Draws:
    """Draws the batches of a cell, one after the other, each kind of randomness from its role's generator.

    Cells that share seed and dataset see the same data, source and uniforms, whatever their coupling pools; those that
    share the coupling, too, see the same batches, so that a fleet draws them once.
    """

    def __init__(self, cell: TrainingCell, parts: Parts, workshop: Workshop) -> None:
        self._parts = parts
        self._x, self._y = workshop.data(cell.dataset, "train")
        self._batch: int = cell.settings["batch_size"]
        self._label_dropout: float = cell.settings["label_dropout"]
        self._order = DataOrder(cell, len(self._x), workshop.device)
        self._generators = {role: workshop.generator(cell, role) for role in ROLES}
        self._paired: list[Paired] = []

    def batch(self, step: int) -> Batch:
        """Return the batch of a step, each step once and in order."""
        if not self._paired:
            self._paired = self._pair(range(step, step + self._parts.coupling.pool))
        x_0, x_1, labels = self._paired.pop(0)
        n, device = len(x_1), x_1.device
        u = torch.rand(n, generator=self._generators["t"], device=device).clamp_(min=2.0**-25)
        y = None
        if self._parts.classes and labels is not None:
            dropped = torch.rand(n, generator=self._generators["label_dropout"], device=device)
            y = torch.where(dropped < self._label_dropout, self._parts.classes, labels)
        return Batch(x_0, x_1, u, y)

    def _pair(self, steps: range) -> list[Paired]:
        """Return the batches of some steps, paired together."""
        rows = torch.cat([self._order.rows(step) for step in steps])
        noise = self._generators["training_noise"]
        x_0 = torch.cat([self._parts.dataset.source(self._batch, noise) for _ in steps])
        labels = None if self._y is None else self._y[rows]
        paired = self._parts.coupling.pair(x_0, self._x[rows], labels, self._generators["coupling"])
        if len(steps) == 1:
            return [paired]
        x_0, x_1, labels = paired
        deal = partial(torch.split, split_size_or_sections=self._batch)
        return list(zip(deal(x_0), deal(x_1), repeat(None) if labels is None else deal(labels), strict=False))

    def dump(self) -> dict[str, Any]:
        """Return what a checkpoint must hold, for `torch.save`."""
        generators = {role: generator.get_state() for role, generator in self._generators.items()}
        return {"generators": generators, "paired": [list(batch) for batch in self._paired]}

    def load(self, content: dict[str, Any]) -> None:
        """Take the state from what `dump` returned for the same cell."""
        for role, generator in self._generators.items():
            generator.set_state(content["generators"][role])
        device = self._x.device
        self._paired = [
            (x_0.to(device), x_1.to(device), None if y is None else y.to(device)) for x_0, x_1, y in content["paired"]
        ]


def shared_draws(cells: Sequence[TrainingCell], parts: Sequence[Parts], workshop: Workshop) -> list[Draws]:
    """Return the draws of each cell; cells of one seed, coupling and teacher have the same object."""
    keys = [(c.seed, c.coupling.digest, "" if c.teacher is None else c.teacher.key) for c in cells]
    found: dict[tuple[int, str, str], Draws] = {}
    for key, cell, own in zip(keys, cells, parts, strict=True):
        if key not in found:
            found[key] = Draws(cell, own, workshop)
    return [found[key] for key in keys]


class DataOrder:
    """Which rows of the data each step sees: a shuffled pass over all of them, then another, ...

    The order depends on the seed and the dataset alone, and any step can be asked for, so resuming needs no state.
    """

    def __init__(self, cell: TrainingCell, size: int, device: str) -> None:
        self._cell, self._size, self._device = cell, size, device
        self._batch = cell.settings["batch_size"]
        self._passes: dict[int, Tensor] = {}

    def rows(self, step: int) -> Tensor:
        """Return the row numbers of a step, int64 `(batch_size,)`, on the device."""
        first, last = step * self._batch, (step + 1) * self._batch
        needed = range(first // self._size, (last - 1) // self._size + 1)
        self._passes = {number: self._pass(number) for number in needed}
        start = first - needed[0] * self._size
        if len(needed) == 1:
            return self._passes[needed[0]][start : start + self._batch]
        return torch.cat(list(self._passes.values()))[start : start + self._batch]

    def _pass(self, number: int) -> Tensor:
        if number not in self._passes:
            seed = seed_for(self._cell.seed, f"data_order/{number}", self._cell.dataset.text)
            order = torch.randperm(self._size, generator=Generator().manual_seed(seed))
            self._passes[number] = order.to(self._device)
        return self._passes[number]
