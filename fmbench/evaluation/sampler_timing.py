"""What a sampler costs: measured alone on the machine, with what else the machine did meanwhile, and what it computed.

Samplers that make the same calls and return the same share one time: Adams-Bashforth with one step is Euler's method,
and timed apart one of them would look quicker than the other.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Sequence

import psutil
import torch
from torch import Tensor

from fmbench.cells.cells import EvaluationCell
from fmbench.cells.component_spec import ComponentSpec
from fmbench.cells.keys import digest
from fmbench.evaluation.metrics import compute_metrics
from fmbench.evaluation.sampling import sampler, what_samples
from fmbench.model.trained_model import Trained
from fmbench.model.velocity import ModelVelocity
from fmbench.runtime import environment
from fmbench.runtime.device import synchronise
from fmbench.store.sampler_timings import joined

SAMPLES = 16
"""So many samples tell whether two samplers make the same calls."""


@torch.no_grad()
def measure_sampler(
    trained: Trained, cell: EvaluationCell, metrics: Sequence[ComponentSpec], key: str, *, again: bool = False
) -> None:
    """Measure what a sampler costs. The caller sees to it that nothing else runs on the device.

    With `again`, what is measured already stays beside it (see `fmbench.store.sampler_timings.joined`).
    """
    velocity = trained.velocity(cell.guidance, cell.weights_name, cell.weaker)
    velocity.most = None  # a sampler is timed at the metric's own batch
    integrate = sampler(trained, cell, velocity)

    def draw(n: int) -> Tensor:
        batch = integrate(trained.source(0, n), trained.labels(0, n))
        synchronise(trained.context.device)
        return batch

    context = trained.context
    folder = context.store.folder("sampler", key)
    with context.unchanged(what_samples(cell), cell.solver):
        calls = calls_of(trained, cell)
    evidence = trained.evidence(velocity)
    evidence.draw = draw
    others = OtherPrograms()
    found = compute_metrics(metrics, trained.cell, evidence, context)
    folder.add_metrics(joined(folder.metrics(), found) if again else found)
    facts = {
        "threads": context.threads,
        "precision": trained.parts.precision,
        **environment.measured_on(context.device),
    }
    folder.finish({"facts": {**facts, "calls": calls, "other_programs": others.cores()}}, ())


class OtherPrograms:
    """Counts the cores that other programs keep busy from now on."""

    def __init__(self) -> None:
        self._since = self._now()

    def cores(self) -> float:
        """Return how many cores were busy with something else than this process, in the mean until now."""
        wall, busy, own = (now - then for now, then in zip(self._now(), self._since, strict=True))
        return round(max(0.0, busy - own) / wall, 2) if wall > 0 else 0.0

    def _now(self) -> tuple[float, float, float]:
        times = psutil.cpu_times()
        # Linux counts the time of guests as the user's, too
        idle = ("idle", "iowait", "guest", "guest_nice")
        busy = sum(seconds for name, seconds in times._asdict().items() if name not in idle)
        return time.perf_counter(), busy, time.process_time()


class RecordedVelocity:
    """A velocity field that hashes every call of it."""

    def __init__(self, velocity: ModelVelocity) -> None:
        self.path = velocity.path
        self.generator = velocity.generator
        self.calls = 0
        self._velocity = velocity
        self._hash = hashlib.sha256()

    @property
    def y(self) -> Tensor | None:
        """The labels that the next calls are for, None where there are none."""
        return self._velocity.y

    @y.setter
    def y(self, labels: Tensor | None) -> None:
        self._velocity.y = labels

    def __call__(self, x: Tensor, t: Tensor) -> Tensor:
        self.calls += len(x)
        self.add(x)
        self.add(t)
        return self._velocity(x, t)

    def add(self, tensor: Tensor) -> None:
        """Hash a tensor's shape, dtype and values."""
        self._hash.update(f"{tensor.dtype} {tuple(tensor.shape)}".encode())
        self._hash.update(tensor.double().cpu().numpy().tobytes())

    @property
    def digest(self) -> str:
        """The hash of all that was added."""
        return self._hash.hexdigest()


def calls_of(trained: Trained, cell: EvaluationCell) -> str:
    """Return a digest of every call that a cell's sampler makes, and of what it returns.

    Samplers of one network share it only where they do the same, to the last bit.
    """
    velocity = trained.velocity(cell.guidance, cell.weights_name, cell.weaker)
    velocity.most = None
    recorded = RecordedVelocity(velocity)
    recorded.add(sampler(trained, cell, recorded)(trained.source(0, SAMPLES), trained.labels(0, SAMPLES)))
    training = cell.training
    about = (training.dataset, training.network, training.objective)
    return digest("calls", *(spec.digest for spec in about), cell.guidance_text, recorded.digest)
