"""Evaluation: trained cells in, samples, measured NFE and metrics in the store out."""

from __future__ import annotations

import time
from collections.abc import Sequence
from functools import partial
from typing import Any

import torch

from fmbench.cells.cells import EvaluationCell
from fmbench.cells.component_spec import ComponentSpec
from fmbench.components import contracts
from fmbench.evaluation.kept_samples import preview
from fmbench.evaluation.metrics import compute_metrics
from fmbench.evaluation.noise_draws import add_noise_spread
from fmbench.evaluation.sampling import (
    Drawn,
    check_finite,
    check_nfe,
    draw_samples,
    larger_batch,
    noise_role,
    sampler,
    what_samples,
)
from fmbench.model.trained_model import Trained
from fmbench.model.velocity import ModelVelocity
from fmbench.runtime.device import device_type, synchronise
from fmbench.runtime.environment import measured_on


@torch.no_grad()
def evaluate(
    trained: Trained, cell: EvaluationCell, metrics: Sequence[ComponentSpec], drawn: Drawn | None = None
) -> None:
    """Draw the samples of a cell, unless they are there, compute the metrics, and leave both in the store.

    Raises Diverged when a sample is not finite.
    """
    context = trained.context
    folder = context.store.folder("evaluation", cell.key)
    larger = larger_batch(trained, cell) if drawn is None else 0
    velocity = trained.velocity(cell.guidance, cell.weights_name, cell.weaker)
    started = time.perf_counter()
    if drawn is None:
        shared = trained.sharing(velocity, cell.guidance, cell.weights_name) if _may_share(cell, velocity) else velocity
        with context.unchanged(what_samples(cell), cell.solver):
            drawn = draw_samples(trained, cell, shared, larger)
    samples, labels = drawn.samples, drawn.labels
    synchronise(context.device)
    seconds = drawn.seconds or time.perf_counter() - started
    check_finite(samples)
    check_nfe(cell, drawn.nfe)

    evidence = trained.evidence(velocity)
    evidence.samples, evidence.labels, evidence.nfe = samples, labels, drawn.nfe
    if not drawn.drew_noise and not velocity.is_stateful:
        evidence.source = partial(trained.source, 0, role=noise_role(cell, "evaluation"))
        evidence.solve = sampler(trained, cell, velocity)
    evidence.remembered = {} if cell.on_validation else trained.remembered(cell.guidance, cell.weights_name)
    payload = preview(context, samples, labels)
    on = contracts.VALIDATION if cell.on_validation else ""
    computed = compute_metrics(metrics, trained.cell, evidence, context, on)
    folder.add_metrics(add_noise_spread(computed, metrics, trained, cell, evidence, velocity))
    folder.write("samples.safetensors", payload)
    per_batch = drawn.nfe_of_batches
    facts = {"nfe": evidence.nfe, "nfe_min": min(per_batch), "nfe_max": max(per_batch), "seconds": seconds}
    folder.finish({"facts": {**facts, **computed_with(trained, drawn)}}, ("samples.safetensors",))


def computed_with(trained: Trained, drawn: Drawn) -> dict[str, Any]:
    """Return what an evaluation's last digits depend on besides its key, for the record."""
    context = trained.context
    return {
        "precision": trained.parts.precision,
        "device": device_type(context.device),
        "threads": context.threads,
        "batch": max(drawn.sizes),
        "fleet": drawn.members,
        **measured_on(context.device),
    }


def _may_share(cell: EvaluationCell, velocity: ModelVelocity) -> bool:
    """Whether the calls of a cell's solver may be another's, and others' its own: alike calls must give the same.

    Somebody else's code may compute under something that it changes meanwhile, and a guidance may remember. On
    validation data samples are made of noise of their own, of which no call is another's.
    """
    own = cell.solver.is_own and (not isinstance(cell.guidance, ComponentSpec) or cell.guidance.is_own)
    return own and not velocity.is_stateful and not cell.on_validation
