"""What a training keeps on its way, where that is wanted: weights of some steps, averages, and the best weights."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Any

from safetensors.torch import save as safetensors_bytes
from torch import Tensor

from fmbench.cells.cells import TrainingCell
from fmbench.cells.snapshots import BEST, BEST_POINTS, WeightsSnapshot, points
from fmbench.errors import Diverged
from fmbench.model.context import WorkerContext
from fmbench.store.snapshots import keep_snapshot
from fmbench.training.state import TrainingState
from fmbench.training.validation import Validation


class Snapshots:
    """Takes the snapshots of a fleet's members, after the steps in `steps`: none, unless a suite wants some.

    `check` raises ProcessChanged where a component has changed the process, whose weights are then not kept.
    """

    def __init__(self, state: TrainingState, context: WorkerContext, check: Callable[[], None]) -> None:
        self._context, self._check = context, check
        self._validation = {
            state.cells[member].key: Validation(state.cells[member], state.components[member], context)
            for member in state.best
        }
        self._scored = frozenset(points(state.cells[0].settings["steps"], BEST_POINTS)) if state.best else frozenset()
        self.steps = self._scored | {each.step for cell in state.cells for each in cell.snapshots}

    def take(self, state: TrainingState) -> dict[int, Diverged]:
        """Take what is to be taken after `state.step`; return the members of which a weight is not finite."""
        self._check()
        diverged = {}
        for member, cell in enumerate(state.cells):
            try:
                self._take(state, member, cell)
            except Diverged as failure:
                diverged[member] = failure
        return diverged

    def _take(self, state: TrainingState, member: int, cell: TrainingCell) -> None:
        if member in state.best and state.step in self._scored:
            self._score(state, member)
        for snapshot in (each for each in cell.snapshots if each.step == state.step):
            weights, facts = self._kept(state, member, snapshot)
            keep_snapshot(self._context.store, cell.key, snapshot, safetensors_bytes(weights), facts)

    def _kept(
        self, state: TrainingState, member: int, snapshot: WeightsSnapshot
    ) -> tuple[dict[str, Tensor], Mapping[str, Any]]:
        """Return the tensors of a snapshot, and its facts."""
        if snapshot.kind == BEST:
            best = state.best[member]
            return best.weights, best.facts()
        facts = {"steps": state.step, "seconds": state.seconds[member]}
        return (state.weights(member) if snapshot.kind == "step" else state.averages(member)), facts

    def _score(self, state: TrainingState, member: int) -> None:
        """Hold a member's averaged weights against validation data, and keep them where they are the best so far."""
        began, best, cell = time.perf_counter(), state.best[member], state.cells[member]
        weights = {n.removeprefix("ema."): v for n, v in state.weights(member).items() if n.startswith("ema.")}
        if best.note(state.step, self._validation[cell.key].loss(weights)):
            best.weights = {f"{BEST}.{name}": value for name, value in weights.items()}
            best.step, best.training_seconds = state.step, state.seconds[member]
        best.validation_seconds += time.perf_counter() - began
