"""Which cells may join a fleet, and what keeps the others alone."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import Generator, Tensor

from fmbench.cells.cells import TrainingCell
from fmbench.components.conditions import some_conditions
from fmbench.isolation import global_random
from fmbench.model.batched.networks import Networks
from fmbench.model.build import Components, assemble, make_module
from fmbench.model.context import WorkerContext
from fmbench.model.dummy_inputs import network_inputs

log = logging.getLogger(__name__)

EXAMPLES = 4
"""So many examples tell whether networks compute the same together as one by one."""


def batching_obstacle(cells: Sequence[TrainingCell], context: WorkerContext) -> str:
    """Return why cells of one `fleet_key` must be trained one by one; "" where they may be one fleet.

    They are tried on a few examples: what draws from torch's global generator or changes itself while it is called
    must be alone, and so must a network that torch cannot map over stacked parameters.
    """
    parts = [assemble(cell, context) for cell in cells]
    kinds = {
        (cell.coupling.digest, cell.path.digest, cell.t_distribution.digest, cell.objective.digest): own
        for cell, own in zip(cells, parts, strict=True)
    }
    # Of another seed, so that what a module drew when it was built, and holds beside its parameters, is found out.
    first = cells[0]
    other = next((cell for cell in cells if cell.seed != first.seed), replace(first, seed=first.seed + 1))
    modules = [make_module(cell, parts[0], context.device).train() for cell in (first, other)]
    held = {name for module in modules for name, _ in (*module.named_parameters(), *module.named_buffers())}
    if not set(modules[0].state_dict()) <= held:
        return "its state holds more than parameters and buffers of their own"
    random = global_random.state(context.device)
    inputs = network_inputs(parts[0], EXAMPLES, context.device)
    before = [{name: value.clone() for name, value in module.named_buffers()} for module in modules]
    try:
        with torch.no_grad(), parts[0].autocast(context.device)():
            apart = [module(*inputs) for module in modules]
            together = Networks(modules)(*(torch.cat([value, value]) for value in inputs))
        for each in kinds.values():
            _try_loss(each, apart[0].float(), context.device)
    except Exception as error:  # whatever torch or a plugin raises: alone, the cell fails by itself or goes well
        return f"it cannot be mapped: {str(error).partition(chr(10))[0]}"
    after = [dict(module.named_buffers()) for module in modules]
    pairs = zip(before, after, strict=True)
    if not all(torch.equal(value, now[name]) for old, now in pairs for name, value in old.items()):
        return "it changes a buffer while it is called"
    if not global_random.alike(random, global_random.state(context.device)):
        return "it draws from a global generator"
    tolerance = 0.05 if parts[0].precision == "bf16" else 1e-3
    if not torch.allclose(together, torch.cat(apart), rtol=tolerance, atol=tolerance):
        return "it computes something else together with others than alone"
    return ""


def _try_loss(parts: Components, output: Tensor, device: str) -> None:
    """Pair, draw a sample and compute its loss, so that a look at the global generator tells whether they use it."""
    generator = Generator(device).manual_seed(0)
    x_0, x_1 = (parts.dataset.source(EXAMPLES, generator) for _ in range(2))
    _try_pairing(parts, x_0, x_1, generator)
    t = parts.t_distribution.quantile(torch.linspace(0.1, 0.9, EXAMPLES, device=device))
    with torch.no_grad():
        parts.objective.loss(output, parts.path.sample(x_0, x_1, t, generator))


def _try_pairing(parts: Components, x_0: Tensor, x_1: Tensor, generator: Generator) -> None:
    """Pair a few examples. A coupling with a teacher is not tried, for it has not learnt yet."""
    if parts.coupling.teacher:
        return
    y = some_conditions(len(x_1), parts.dataset.classes, parts.dataset.condition_width, x_1.device)
    try:
        parts.coupling.pair(x_0.clone(), x_1.clone(), y, generator)
    except Exception as error:  # a coupling may ask for more than so few examples that are no data
        log.info("%s was not tried: %s", type(parts.coupling).__name__, error)
