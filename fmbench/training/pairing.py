"""Source and data as a coupling pairs them, step by step: at their step, or ahead of it in other threads."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass
from functools import partial
from itertools import repeat
from typing import Any

import torch
from torch import Tensor

from fmbench.cells.cells import TrainingCell
from fmbench.model.build import Components
from fmbench.model.context import WorkerContext
from fmbench.training.data_loader import data_loader

ROLES = ("training_noise", "coupling")

Paired = tuple[Tensor, Tensor, Tensor | None]
"""A batch as the coupling paired it: `x_0`, `x_1` and labels."""


@dataclass(frozen=True)
class _Ahead:
    """Batches that are being paired together; from `before`, the generators' states, they are drawn again."""

    paired: Future[list[Paired]]
    before: dict[str, Tensor]


class PairedBatches:
    """The paired batches of a cell, each once and in order.

    Where pairing takes a relevant part of a step, threads of the worker context work some steps ahead. All that is
    drawn before pairing is drawn in this thread and in order. A coupling that draws, too, has its generator to itself:
    its next pairing begins when the one before has ended. So nothing is another number than without threads.
    """

    def __init__(self, cell: TrainingCell, parts: Components, context: WorkerContext) -> None:
        self._coupling, self._source = parts.coupling, parts.dataset.source
        self._data_loader = data_loader(cell, context)
        self._device = context.device
        self._batch: int = cell.settings["batch_size"]
        self._steps: int = cell.settings["steps"]
        self._generators = {role: context.generator(cell, role) for role in ROLES}
        self._threads = context.prefetch_pool
        self._depth = 1 if parts.coupling.draws else self._threads.size + 1
        self._left: list[Paired] = []
        self._ahead: deque[_Ahead] = deque()

    def take(self, step: int) -> Paired:
        """Return the pairs of a step. Raises what the coupling raises, at the step that needs its pairs."""
        if not self._left:
            pays = self._threads.pays
            self._left = self._taken_ahead(step) if pays else self._paired_now(step, pays is None)
        return self._left.pop(0)

    def _paired_now(self, step: int, watched: bool) -> list[Paired]:
        """Pair in this thread; while it is watched, say how long that took."""
        if self._ahead:  # the threads ended before their work was taken
            self._draw_again()
        pair = self._drawn(step)
        if not watched:
            return pair()
        began, random = time.perf_counter(), torch.get_rng_state()
        paired = pair()
        self._threads.note(step, began, not torch.equal(random, torch.get_rng_state()))
        return paired

    def _taken_ahead(self, step: int) -> list[Paired]:
        """Return what was paired ahead for a step, and have the next be paired."""
        pool = self._coupling.pool
        if not self._ahead:
            self._begin(step)
        paired = self._ahead.popleft().paired.result()
        following = step + pool * (1 + len(self._ahead))
        while len(self._ahead) < self._depth and following < self._steps:
            self._begin(following)
            following += pool
        return paired

    def _begin(self, step: int) -> None:
        """Have a thread pair the batches of a step."""
        before = self._states()
        self._ahead.append(_Ahead(self._threads.submit(self._drawn(step)), before))

    def _states(self) -> dict[str, Tensor]:
        return {role: generator.get_state() for role, generator in self._generators.items()}

    def _drawn(self, step: int) -> Callable[[], list[Paired]]:
        """Draw what is paired together, from a step on, and return what pairs it."""
        steps = range(step, step + self._coupling.pool)
        noise = self._generators["training_noise"]
        sources = [self._source(self._batch, noise) for _ in steps]
        x_0 = sources[0] if len(sources) == 1 else torch.cat(sources)
        return partial(self._pair, x_0, *self._data_loader.take(steps))

    def _pair(self, x_0: Tensor, x_1: Tensor, labels: Tensor | None) -> list[Paired]:
        """Return the batches of some steps, paired together."""
        paired = self._coupling.pair(x_0, x_1, labels, self._generators["coupling"])
        if self._coupling.pool == 1:
            return [paired]
        x_0, x_1, labels = paired
        deal = partial(torch.split, split_size_or_sections=self._batch)
        return list(zip(deal(x_0), deal(x_1), repeat(None) if labels is None else deal(labels), strict=False))

    def _draw_again(self) -> None:
        """Go back to before what was paired ahead, and forget it."""
        for role, state in self._ahead[0].before.items():
            self._generators[role].set_state(state)
        self._ahead.clear()

    def dump(self) -> dict[str, Any]:
        """Return what a checkpoint must hold, for `torch.save`; what was paired ahead is drawn again."""
        states = self._ahead[0].before if self._ahead else self._states()
        return {"generators": dict(states), "paired": [list(batch) for batch in self._left]}

    def load(self, content: dict[str, Any]) -> None:
        """Take the state from what `dump` returned for the same cell."""
        for ahead in self._ahead:
            if not ahead.paired.cancel():
                ahead.paired.exception()  # it has the generator until it ends
        self._ahead.clear()
        for role, generator in self._generators.items():
            generator.set_state(content["generators"][role])
        device = self._device
        self._left = [
            (x_0.to(device), x_1.to(device), None if y is None else y.to(device)) for x_0, x_1, y in content["paired"]
        ]
