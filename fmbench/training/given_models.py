"""Models that exist already: taken into the store in place of a training, and looked at before anything is scored."""

from __future__ import annotations

import math
import time
import warnings

import torch
from torch import Tensor, nn

from fmbench.cells.cells import TrainingCell
from fmbench.components.contracts import TrainingFacts
from fmbench.errors import CellFailure
from fmbench.model.build import Components, assemble, make_module
from fmbench.model.context import WorkerContext
from fmbench.model.trained_model import Trained
from fmbench.runtime import environment, memory
from fmbench.runtime.device import device_type
from fmbench.store.fleet_records import finish_together
from fmbench.training.keep import keep

LOOKED_AT = 256
LEAST_LOOKED_AT = 16
NUMBERS = 2**18
"""Samples that are drawn to see whether a model is run in its direction: fewer where they hold more numbers."""
STEPS = 32
"""Steps of Euler's method, for the same."""


@torch.no_grad()
def take(cell: TrainingCell, context: WorkerContext) -> None:
    """Leave a model's weights and facts in the store, as a training would leave its own.

    Warns where the model seems to be run backwards (`direction_fault`). Raises CellFailure where its output is not
    finite or of another shape than its input.
    """
    started = time.perf_counter()
    memory.reset_peak_memory(context.device)
    components = assemble(cell, context)
    module = make_module(cell, components, context.device).eval().requires_grad_(False)
    weights = {f"ema.{name}": value.detach().cpu().clone() for name, value in module.state_dict().items()}
    facts = _facts(module, components, context, time.perf_counter() - started)
    if fault := direction_fault(Trained(cell, components, module, facts, context, weights)):
        warnings.warn(f"{cell.network} on {cell.dataset}: {fault}", UserWarning, stacklevel=1)
    finish_together(context.store.root, [keep(cell, weights, [], facts, context)])


def _facts(module: nn.Module, components: Components, context: WorkerContext, seconds: float) -> TrainingFacts:
    here = environment.measured_on(context.device)
    return TrainingFacts(
        seconds=seconds,
        steps=0,
        peak_memory=memory.peak_memory(context.device),
        parameters=sum(parameter.numel() for parameter in module.parameters()),
        device=device_type(context.device),
        precision=components.precision,
        threads=context.threads,
        jobs=context.jobs,
        hardware=here["hardware"],
        torch=here["torch"],
    )


def direction_fault(model: Trained) -> str:
    """Return what is wrong where the samples of a model are further from the data than its source; "" where not.

    Source samples are moved by 32 steps of Euler's method, and the energy distances of start and end to training data
    are compared. A model whose convention of time is not the declared one moves away from them.
    """
    n = min(LOOKED_AT, max(LEAST_LOOKED_AT, NUMBERS // math.prod(model.parts.dataset.shape)))
    x, data = model.source(0, n), model.context.data(model.cell.dataset, "train")[0][:LOOKED_AT]
    start, velocity = x, model.velocity()
    velocity.y = model.labels(0, n)
    for step in range(STEPS):
        t = torch.full((len(x),), step / STEPS, device=x.device, dtype=x.dtype)
        try:
            moved = velocity(x, t)
        except Exception as error:  # whatever code of anybody's raises
            why = f"{type(error).__name__}: {error}"
            inputs = f"x {tuple(x.shape)} and t ({len(x)},)" + (
                " and no labels, since it declares none" if velocity.y is None else f" and y ({len(x)},)"
            )
            raise CellFailure(f"model {model.cell.network} must take {inputs}, and return a tensor: {why}") from error
        if not moved.isfinite().all():
            raise CellFailure(f"the output of model {model.cell.network} is not finite at t={step / STEPS:g}")
        if moved.shape != x.shape:
            shapes = f"{tuple(moved.shape)} for {tuple(x.shape)}"
            raise CellFailure(f"model {model.cell.network} must return the shape of x; it returned {shapes}")
        x = x + moved / STEPS
    before, after = (energy_distance(model.decode(each), data) for each in (start, x))
    if after < before:
        return ""
    return (
        "check time, time_scale, predicts and path: it seems to be run backwards, for its samples are further from the "
        f"data than its noise is (energy distance {after:.3g}; {before:.3g} before)"
    )


def energy_distance(x: Tensor, y: Tensor) -> float:
    """Return the energy distance of two samples `(n, *shape)` and `(m, *shape)`; infinite where one is not finite.

    Source: Szekely & Rizzo 2013, Energy statistics, eq. 6 (the square is returned).
    """
    one, other = x.flatten(1).double(), y.flatten(1).double()
    if not one.isfinite().all():
        return float("inf")
    return float(2 * torch.cdist(one, other).mean() - torch.cdist(one, one).mean() - torch.cdist(other, other).mean())
