"""How many samples to draw at once: a short measured probe. What it finds changes how long that takes, and no key.

Source samples do not depend on how they are batched, and a network treats each example by itself; so samples agree
between batch sizes, but for rounding. Solvers of which that is not so keep to blocks (see `sample_batches`).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from statistics import median

import torch

from fmbench.cells.keys import canonical, digest
from fmbench.model.trained_model import Trained
from fmbench.model.velocity import ModelVelocity
from fmbench.runtime import autotune, memory

GAIN = 0.95
"""A larger batch is taken when a sample clearly takes less than this part of what it takes in the best so far."""
FORM = {"size": int}
"""What must be on record."""
MEMORY = 0.25
"""A call may take this part of the free memory, shared by all processes."""


@dataclass(frozen=True)
class EvaluationBatch:
    """How many samples to draw at once, and why no more; `seconds` a sample and call were measured for each size."""

    size: int
    why: str
    seconds: dict[str, float] = field(default_factory=dict)


def best_batch(trained: Trained, usual: int, most: int) -> int:
    """Return the batch size for cells like this one, at most `most`: what is on record, else what a probe finds."""
    return int(
        autotune.cached_or_measured(
            batch_file(trained, most), FORM, lambda: asdict(tune_batch_size(trained, usual, most))
        )["size"]
    )


def batch_file(trained: Trained, most: int) -> Path:
    """Return the sealed file of what was found, on this machine, for networks like that of a cell."""
    cell, context = trained.cell, trained.context
    machine = autotune.machine(context.device, context.threads, context.jobs)
    width, classes = trained.parts.condition_width, trained.parts.classes
    conditions = f"vectors of {width}" if width else str(classes)
    network = (cell.dataset.digest, cell.network.digest, trained.parts.precision, conditions)
    return context.cache / f"batch-{digest('evaluation batch', canonical([*network, *machine, most]))}.json"


@torch.no_grad()
def tune_batch_size(trained: Trained, usual: int, most: int) -> EvaluationBatch:
    """Measure batches of `usual`, twice, four times, ... as many samples, up to `most`, as long as that is faster."""
    context = trained.context
    seconds: dict[str, float] = {}
    size = larger = usual
    while larger <= max(usual, most):
        memory.reset_peak_memory(context.device)
        before, free = memory.peak_memory(context.device), memory.free_memory(context.device)
        try:
            taken = _seconds(trained, list(dict.fromkeys((size, larger))))
        except (torch.OutOfMemoryError, MemoryError):
            if larger == usual:
                raise
            return EvaluationBatch(size, "a larger batch does not fit into the memory", seconds)
        seconds |= {str(batch): median(times) for batch, times in taken.items()}
        if larger > usual and not autotune.is_faster(taken[larger], taken[size], GAIN):
            return EvaluationBatch(size, "a larger batch is not clearly faster", seconds)
        size, larger = larger, 2 * larger
        if 2 * (memory.peak_memory(context.device) - before) * memory.sharing(context.jobs) > MEMORY * free:
            return EvaluationBatch(size, "a larger batch would take too much memory", seconds)
    return EvaluationBatch(size, "there are no more samples", seconds)


def _seconds(trained: Trained, sizes: Sequence[int]) -> dict[int, list[float]]:
    """Return the seconds a sample that calls of the network take with batches of some sizes, round by round."""
    context, velocity = trained.context, trained.velocity()
    ways = {str(size): _call(trained, velocity, size) for size in sizes}
    for call in ways.values():
        call()
    taken = autotune.interleaved_calls(ways, context.device, context.threads)
    return {size: [seconds / size for seconds in taken[str(size)]] for size in sizes}


def _call(trained: Trained, velocity: ModelVelocity, size: int) -> Callable[[], object]:
    x, y = trained.source(0, size), trained.labels(0, size)
    t = x.new_full((size,), 0.5)

    def call() -> object:
        velocity.y = y
        return velocity(x, t)

    return call
