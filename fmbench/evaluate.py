"""Evaluation: trained cells in, samples, measured NFE and metrics in the store out."""

from __future__ import annotations

import math
import time
import traceback
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any, Protocol

import torch
from safetensors.torch import save as safetensors_bytes
from torch import Tensor

from fmbench import global_random, hardware
from fmbench.assembly import Workshop
from fmbench.cells import ComponentSpec, EvaluationCell, TrainingCell, seed_for
from fmbench.contracts import Evidence, Metric, Path, Solver, Velocity
from fmbench.errors import CellFailure, Diverged, OutOfMemory, ProcessChanged, StoreError, UserError
from fmbench.evaluation_batch import best_batch
from fmbench.grid_times import fault_of, solver_times
from fmbench.mistakes import described, lines_of, to_blame
from fmbench.references import ReferenceCell
from fmbench.solver_blocks import why_in_blocks
from fmbench.trained import NOISE_BLOCK, Trained, seed_noise
from fmbench.untouched import marks, versions, while_untouched

PREVIEW_BYTES = 2**16
PREVIEW_LEAST = 64
MOST_NAMED = 3
"""Values of a metric that the reason for its failure names."""
MOST_OF_A_TRACEBACK = 20_000
Sampling = EvaluationCell | ReferenceCell
"""What says how samples are drawn: solver, grid, steps and number of samples."""


class Model(Protocol):
    """What samples are drawn from: a trained cell, or the exact velocity."""

    workshop: Workshop

    @property
    def cell(self) -> TrainingCell | ReferenceCell:
        """The cell, whose seed and dataset say which source samples and which noise are drawn."""

    def source(self, first: int, n: int) -> Tensor:
        """Return source samples number `first`, ..., `first + n - 1`."""

    def labels(self, first: int, n: int) -> Tensor | None:
        """Return the labels that they are to become, None where there are none."""


class CountedVelocity(Velocity, Protocol):
    """A velocity that counts its calls times their batch."""

    calls: int


@torch.no_grad()
def measure_training(trained: Trained, metrics: Sequence[ComponentSpec]) -> None:
    """Compute training-scope metrics of a trained cell and leave them in the store."""
    folder = trained.workshop.store.folder("training", trained.cell.key)
    evidence = trained.evidence(trained.velocity())
    folder.add_metrics(compute_metrics(metrics, trained.cell, evidence, trained.workshop))


@torch.no_grad()
def evaluate(
    trained: Trained, cell: EvaluationCell, metrics: Sequence[ComponentSpec], drawn: Drawn | None = None
) -> None:
    """Draw the samples of a cell, unless they are there, compute the metrics, and leave both in the store.

    Raises Diverged when a sample is not finite.
    """
    workshop = trained.workshop
    folder = workshop.store.folder("evaluation", cell.key)
    larger = larger_batch(trained, cell) if drawn is None else 0
    velocity = trained.velocity(cell.guidance, cell.weights)
    started = time.perf_counter()
    if drawn is None:
        sharing = trained.sharing(velocity, cell.guidance, cell.weights)
        with workshop.unchanged(f"solver {cell.solver}"):
            drawn = draw_samples(trained, cell, sharing, larger)
    samples, labels = drawn.samples, drawn.labels
    hardware.synchronise(workshop.device)
    seconds = drawn.seconds or time.perf_counter() - started
    check_finite(samples)
    check_nfe(cell, drawn.nfe)

    evidence = trained.evidence(velocity)
    evidence.samples, evidence.labels, evidence.nfe = samples, labels, drawn.nfe
    kept = kept_samples(workshop, samples)
    preview = {"samples": samples[:kept].cpu().contiguous()}
    if labels is not None:
        preview["labels"] = labels[:kept].cpu()
    payload = safetensors_bytes(preview)
    folder.add_metrics(compute_metrics(metrics, trained.cell, evidence, workshop))
    folder.write("samples.safetensors", payload)
    per_batch = drawn.nfe_of_batches
    facts = {"nfe": evidence.nfe, "nfe_min": min(per_batch), "nfe_max": max(per_batch), "seconds": seconds}
    folder.finish({"facts": {**facts, "precision": trained.parts.precision}}, ("samples.safetensors",))


def check_finite(samples: Tensor) -> None:
    """Raise Diverged when a sample is not finite."""
    if not bool(torch.isfinite(samples).all()):
        bad = int((~torch.isfinite(samples.flatten(1)).all(1)).sum())
        raise Diverged(f"{bad} of {len(samples)} samples are not finite")


def check_nfe(cell: Sampling, measured: float) -> None:
    """Raise CellFailure when a solver called the network more or less often than it declares."""
    if cell.nfe is not None and measured != cell.nfe:
        raise CellFailure(
            f"solver {cell.solver} called the network {measured:g} times a sample; "
            f"by its nfe_per_step and nfe_offset it should be {cell.nfe}"
        )


@dataclass(frozen=True)
class Drawn:
    """Samples `(n, *shape)`, their labels, and what each batch took: its size and the network calls times that.

    `seconds` is the cell's share of the time, where it was drawn together with others.
    """

    samples: Tensor
    labels: Tensor | None
    sizes: list[int]
    calls: list[int]
    seconds: float = 0.0

    @property
    def nfe(self) -> float:
        """Network calls a sample."""
        return sum(self.calls) / len(self.samples)

    @property
    def nfe_of_batches(self) -> list[float]:
        """Network calls a sample, of each batch."""
        return [count / size for count, size in zip(self.calls, self.sizes, strict=True)]


def draw_samples(model: Model, cell: Sampling, velocity: CountedVelocity, larger: int = 0) -> Drawn:
    """Draw the samples of a cell: a block, and the others in batches of up to `larger`, if that changes only rounding.

    An adaptive solver controls the error of a batch as a whole, and one that draws noise draws other noise in another
    batch: these integrate blocks of NOISE_BLOCK, whatever else, each with noise of its own.
    """
    integrate = sampler(model, cell, velocity)
    n, size = int(cell.settings["samples"]), NOISE_BLOCK
    larger = larger // NOISE_BLOCK * NOISE_BLOCK if _may_be_larger(model, cell, velocity.path, larger) else 0
    samples: list[Tensor] = []
    sizes: list[int] = []
    calls: list[int] = []
    while (first := sum(sizes)) < n:
        seed_noise(velocity.generator, model.cell, first)
        before, noise, count = velocity.calls, _noise(model, velocity), min(size, n - first)
        drawn = integrate(model.source(first, count), model.labels(first, count))
        if not global_random.alike(noise, _noise(model, velocity)):
            larger = 0
            if count > NOISE_BLOCK:  # noise for which no block before has shown a need
                velocity.calls, size = before, NOISE_BLOCK
                continue
        samples.append(drawn)
        sizes.append(count)
        calls.append(velocity.calls - before)
        size = max(larger, NOISE_BLOCK)
    return Drawn(torch.cat(samples), model.labels(0, n), sizes, calls)


def _noise(model: Model, velocity: Velocity) -> global_random.State:
    """Return the states of all generators from which a solver may draw."""
    return {"solver": velocity.generator.get_state(), **global_random.state(model.workshop.device)}


def _may_be_larger(model: Model, cell: Sampling, path: Path, larger: int) -> bool:
    """Whether batches of `larger` are more than a block, there is more than a block to draw, and the solver may."""
    if larger < 2 * NOISE_BLOCK or int(cell.settings["samples"]) <= 2 * NOISE_BLOCK:
        return False
    shape = model.workshop.build(model.cell.dataset).shape
    return not why_in_blocks(*solver_and_times(model, cell), path, shape)


def usual_batch(model: Model) -> int:
    """Return the batch in which solvers are run that may be run in any."""
    usual = NOISE_BLOCK if model.workshop.device == "cpu" else 4 * NOISE_BLOCK
    return max(NOISE_BLOCK, model.workshop.evaluation_batch or usual)


def larger_batch(trained: Trained, cell: EvaluationCell) -> int:
    """Return the batch that the suite says, else the one that was found to be the quickest; 0 for what is not used."""
    rest = int(cell.settings["samples"]) - NOISE_BLOCK
    if trained.workshop.evaluation_batch or rest < 2 * NOISE_BLOCK:
        return trained.workshop.evaluation_batch or 0
    return best_batch(trained, NOISE_BLOCK, rest)


def sampler(model: Model, cell: Sampling, velocity: CountedVelocity) -> Callable[[Tensor, Tensor | None], Tensor]:
    """Return the function from source samples and labels to data: the cell's solver on its grid."""
    solver, times = solver_and_times(model, cell)

    def integrate(x_0: Tensor, y: Tensor | None) -> Tensor:
        velocity.y = y
        x_1 = solver.integrate(velocity, x_0, times)
        if not isinstance(x_1, Tensor) or x_1.shape != x_0.shape or x_1.dtype != x_0.dtype:
            found = f"{x_1.dtype} {tuple(x_1.shape)}" if isinstance(x_1, Tensor) else type(x_1).__name__
            raise CellFailure(f"solver {cell.solver} must return {x_0.dtype} {tuple(x_0.shape)}; it returned {found}")
        return x_1

    return integrate


def solver_and_times(model: Model, cell: Sampling) -> tuple[Solver, Tensor]:
    """Return a cell's solver, and the times of its grid: 0 and 1 where it has none."""
    assert cell.solver is not None  # a floor is not sampled from
    times = torch.tensor([0.0, 1.0])
    if cell.grid is not None and cell.steps is not None:
        times = solver_times(model.workshop.build(cell.grid), cell.steps)
        if fault := fault_of(times):
            raise CellFailure(f"grid {cell.grid}: {fault}. Take fewer steps.")
    return model.workshop.build(cell.solver), times.to(model.workshop.device)


def kept_samples(workshop: Workshop, samples: Tensor) -> int:
    """Return how many samples are kept for figures: what the suite says, else 64 KiB of them, and at least 64."""
    return workshop.keep_samples or max(PREVIEW_LEAST, PREVIEW_BYTES // (4 * samples[0].numel()))


def compute_metrics(
    specs: Sequence[ComponentSpec], cell: TrainingCell, evidence: Evidence, workshop: Workshop
) -> dict[str, dict[str, Any]]:
    """Return what `recorded` does of metrics that look at evidence."""
    samples = (evidence.samples, evidence.labels)

    def score(spec: ComponentSpec) -> dict[str, Any]:
        return compute_metric(spec, cell, replace(evidence), workshop)

    return recorded(specs, cell, workshop, while_untouched(samples, score))


def recorded(
    specs: Sequence[ComponentSpec],
    cell: TrainingCell | ReferenceCell,
    workshop: Workshop,
    score: Callable[[ComponentSpec], dict[str, Any]],
) -> dict[str, dict[str, Any]]:
    """Return, by the metric's digest, its values, its identity and the seconds that it took.

    A metric that fails has no values but a status and an error, and takes nothing away from the others. After one that
    changed what others are computed with, which `workshop.spoilt` says, the rest are missing: they are for another
    process.
    """
    computed: dict[str, dict[str, Any]] = {}
    for spec in specs:
        global_random.seed(seed_for(cell.seed, f"metric/{spec.text}", cell.dataset.text))
        started = time.perf_counter()
        try:
            with workshop.unchanged("it"):
                found = score(spec)
        except (StoreError, KeyboardInterrupt):
            raise
        except BaseException as error:
            failure = explain(error)
            if isinstance(error, ProcessChanged):
                workshop.spoilt = f"metric {spec}: {failure}"
            found = {"values": {}, "identity": {}, "status": failure.status, "error": f"metric {spec}: {failure}"}
            found["traceback"] = traceback.format_exc()[-MOST_OF_A_TRACEBACK:]
        computed[spec.digest] = {"name": spec.name, **found, "seconds": time.perf_counter() - started}
        if workshop.spoilt:
            break
    return computed


def compute_metric(spec: ComponentSpec, cell: TrainingCell, evidence: Evidence, workshop: Workshop) -> dict[str, Any]:
    """Return the values and the identity of one metric. Raises CellFailure for values that break the contract."""
    metric: Metric = workshop.build(spec)
    identity: dict[str, Any] = {"metric": str(spec), "version": metric.version}
    identity |= {kind: getattr(cell, kind).text for kind in metric.within}
    weights = list(evidence.module.state_dict().values())
    before = versions(weights)
    with intact(evidence, workshop):
        values = check_values(spec, metric.compute(evidence))
        identity |= {"device": hardware.device_type(evidence.device), "precision": evidence.training.precision}
        identity |= metric.identity(evidence)
    if versions(weights) != before:
        raise ProcessChanged("it changes in place the network's weights, which others are given: copy them first")
    if metric.scope == "sampler":
        identity |= hardware.measured_on(workshop.device)
    return {"values": values, "identity": identity}


@contextmanager
def intact(evidence: Evidence, workshop: Workshop, *others: Tensor | None) -> Iterator[None]:
    """Raise CellFailure where the metric that is computed inside changes samples, real data or others in place.

    Real data that were changed are loaded anew.
    """
    workshop.drop_spoilt()  # by somebody else
    given = (evidence.samples, evidence.labels, *others)
    before = marks(given)
    try:
        yield
    finally:
        spoilt = workshop.drop_spoilt() or marks(given) != before
    if spoilt:
        raise CellFailure("it changes in place the samples or the real data, which others are given: copy them first")


def check_values(spec: ComponentSpec, computed: Mapping[str, float]) -> dict[str, float]:
    """Return a metric's values as numbers. Raises CellFailure for values that break the contract."""
    values = {name: float(value) for name, value in computed.items()}
    strangers = [name for name in values if name != spec.name and not name.startswith(f"{spec.name}_")]
    if strangers or next(iter(values), None) != spec.name:
        raise CellFailure(f"it must return {spec.name!r} first, and others as {spec.name}_...; found {list(values)}")
    if infinite := [f"{name} = {value}" for name, value in values.items() if not math.isfinite(value)]:
        more = f" and {len(infinite) - MOST_NAMED} more" if len(infinite) > MOST_NAMED else ""
        raise CellFailure(f"its value is not finite: {', '.join(infinite[:MOST_NAMED])}{more}")
    return values


def explain(error: BaseException, components: Iterable[tuple[str, object]] = ()) -> CellFailure:
    """Return the failure that a row shows for any exception of a cell or a metric.

    It names the line of the user's own code, and the one of `components` that this line is of (`mistakes.to_blame`).
    """
    if isinstance(error, CellFailure):
        return error
    if isinstance(error, UserError):
        return CellFailure(str(error))
    text, blamed = described(error), to_blame(lines_of(error), components)
    text = f"{blamed}: {text}" if blamed else text
    signs = ("not enough memory", "can't allocate memory", "Cannot allocate memory")
    if isinstance(error, torch.OutOfMemoryError | MemoryError) or any(sign in text for sign in signs):
        return OutOfMemory(text)
    return CellFailure(text)
