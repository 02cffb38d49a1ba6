"""The loss of a training on validation data: by it the best weights are chosen, and by nothing else."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import AbstractContextManager
from functools import partial
from itertools import repeat

import torch
from torch import Tensor

from fmbench.cells.cells import TrainingCell
from fmbench.cells.seeds import seed_for
from fmbench.components.contracts import PathSample
from fmbench.isolation import global_random
from fmbench.model.build import Components, in_pieces, make_module
from fmbench.model.context import WorkerContext

EXAMPLES = 1024
"""Validation examples that are looked at, at most: the first."""


class Validation:
    """The mean loss of a cell's own objective on validation data, for weights of its network.

    Examples, noise and uniforms are the same at every step and for all cells of a seed; the uniforms, one in the middle
    of each of as many parts as there are examples, become times by the cell's own t-distribution, and its own coupling
    pairs noise with data.
    """

    def __init__(self, cell: TrainingCell, parts: Components, context: WorkerContext) -> None:
        self._cell, self._parts, self._context = cell, parts, context
        self._module = make_module(cell, parts, context.device).eval().requires_grad_(False)
        with self._own_random():
            self._sample = self._drawn()

    def _own_random(self) -> AbstractContextManager[None]:
        seed = seed_for(self._cell.seed, "validation", self._cell.dataset.text)
        return global_random.seeded(seed, self._context.device)

    def _drawn(self) -> PathSample:
        """Draw what the loss is of."""
        parts, role = self._parts, partial(self._context.generator, self._cell)
        x_1, labels = (
            None if each is None else each[:EXAMPLES] for each in self._context.data(self._cell.dataset, "validation")
        )
        assert x_1 is not None
        n, noise, coupling = len(x_1), role("validation_noise"), role("validation_coupling")
        most = self._cell.settings["batch_size"] * parts.coupling.pool
        pieces = zip(
            torch.split(x_1, most), repeat(None) if labels is None else torch.split(labels, most), strict=False
        )
        pairs = [parts.coupling.pair(parts.dataset.source(len(x), noise), x, y, coupling) for x, y in pieces]
        x_0, x_1 = torch.cat([pair[0] for pair in pairs]), torch.cat([pair[1] for pair in pairs])
        order = torch.randperm(n, generator=role("validation_t"), device=x_1.device)
        t = parts.t_distribution.quantile((order + 0.5) / n)
        sample = parts.path.sample(x_0, x_1, t, role("validation_path_noise"))
        if parts.is_conditional:
            sample.y = torch.cat([pair[2] for pair in pairs if pair[2] is not None])
        return sample

    @torch.no_grad()
    def loss(self, state: Mapping[str, Tensor]) -> float:
        """Return the mean loss for the state of the cell's network, `{name: (*shape)}`."""
        sample, parts = self._sample, self._parts
        self._module.load_state_dict(dict(state))
        inputs = [sample.x_t, sample.t, *([] if sample.y is None else [sample.y])]
        with self._own_random(), parts.autocast(self._context.device)():
            output = in_pieces(self._module, inputs, self._cell.settings["batch_size"])
        return float(parts.objective.loss(output.to(sample.x_t.dtype), sample).double().mean())
