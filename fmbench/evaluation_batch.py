"""How many samples to draw at once: a short measured probe. What it finds changes how long that takes, and no key.

Source samples do not depend on how they are batched, and a network treats each example by itself; so samples agree
between batch sizes, but for rounding. Solvers of which that is not so keep to blocks (see `solver_blocks`).
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from pathlib import Path

import torch

from fmbench import hardware, probing
from fmbench.cells import canonical, digest
from fmbench.trained import Trained

REPEATS = 3
"""Calls that are measured of each size, after one to warm up. The quickest counts."""
GAIN = 0.95
"""A larger batch is taken when a sample takes less than this part of what it took in the best so far."""
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
    return int(probing.found(batch_file(trained, most), FORM, lambda: asdict(probe(trained, usual, most)))["size"])


def batch_file(trained: Trained, most: int) -> Path:
    """Return the sealed file of what was found, on this machine, for networks like that of a cell."""
    cell, workshop = trained.cell, trained.workshop
    machine = probing.machine(workshop.device, workshop.threads, workshop.jobs)
    network = (cell.dataset.digest, cell.network.digest, trained.parts.precision, str(trained.parts.classes))
    return workshop.cache / f"batch-{digest('evaluation batch', canonical([*network, *machine, most]))}.json"


@torch.no_grad()
def probe(trained: Trained, usual: int, most: int) -> EvaluationBatch:
    """Measure batches of `usual`, twice, four times, ... as many samples, up to `most`, as long as that is faster."""
    workshop = trained.workshop
    seconds: dict[str, float] = {}
    size = larger = usual
    while larger <= max(usual, most):
        hardware.reset_peak_memory(workshop.device)
        before, free = hardware.peak_memory(workshop.device), hardware.free_memory(workshop.device)
        try:
            seconds[str(larger)] = _seconds(trained, larger)
        except (torch.OutOfMemoryError, MemoryError):
            if larger == usual:
                raise
            return EvaluationBatch(size, "a larger batch does not fit into the memory", seconds)
        if larger > usual and seconds[str(larger)] > GAIN * seconds[str(size)]:
            return EvaluationBatch(size, "a larger batch is not faster", seconds)
        size, larger = larger, 2 * larger
        if 2 * (hardware.peak_memory(workshop.device) - before) * workshop.jobs > MEMORY * free:
            return EvaluationBatch(size, "a larger batch would take too much memory", seconds)
    return EvaluationBatch(size, "there are no more samples", seconds)


def _seconds(trained: Trained, size: int) -> float:
    """Return the seconds that a call of the network takes, divided by its samples."""
    workshop, velocity = trained.workshop, trained.velocity()
    x, velocity.y = trained.source(0, size), trained.labels(0, size)
    t = x.new_full((size,), 0.5)
    taken = [probing.seconds(lambda: velocity(x, t), workshop.device, workshop.threads) for _ in range(1 + REPEATS)]
    return min(taken[1:]) / size
