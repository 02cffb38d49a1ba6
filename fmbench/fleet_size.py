"""How many cells a fleet should have: a short measured probe. What it finds changes how long training takes, no key."""

from __future__ import annotations

import time
from dataclasses import dataclass, field

import torch
from torch import Generator, Tensor

from fmbench import hardware
from fmbench.assembly import Parts, Workshop, assemble, make_module
from fmbench.cells import TrainingCell
from fmbench.fleet import Networks, why_alone
from fmbench.optimizers import MovingAverage, make_optimizer

WARM_UP, STEPS = 2, 4
"""Steps of each size that are taken before it is measured, and while it is; the quickest counts."""
GAIN = 0.9
"""The probe stops where a step of a member does not take less than this part of what half the fleet took."""
SHARE = 0.03
"""The probe stops when it has taken this part of what training all cells one by one would take."""
MEMORY = 0.5
"""A fleet may take this part of the free memory, shared by all processes."""


@dataclass(frozen=True)
class FleetSize:
    """How many members a fleet should have, and why no more; `seconds` a step and member were measured for each size.

    `asked` is for how many cells the probe looked; it would have gone on with more where `final` is false.
    """

    size: int
    why: str
    final: bool
    asked: int
    seconds: dict[str, float] = field(default_factory=dict)


def probe(cell: TrainingCell, members: int, workshop: Workshop) -> FleetSize:
    """Measure fleets of 1, 2, 4, ... cells like this one, up to `members`, as long as the time of a member falls."""
    if alone := why_alone([cell], workshop):
        return FleetSize(1, alone, True, members)
    parts = assemble(cell, workshop)
    began = time.perf_counter()
    size, seconds = 1, {"1": _seconds(cell, parts, 1, workshop)}
    budget = SHARE * seconds["1"] * cell.settings["steps"] * members
    while size < members:
        hardware.reset_peak_memory(workshop.device)
        before, free = hardware.peak_memory(workshop.device), hardware.free_memory(workshop.device)
        seconds[str(2 * size)] = taken = _seconds(cell, parts, 2 * size, workshop)
        if taken > GAIN * seconds[str(size)]:
            return FleetSize(size, "a larger fleet is not faster", True, members, seconds)
        size *= 2
        if 2 * (hardware.peak_memory(workshop.device) - before) * workshop.jobs > MEMORY * free:
            return FleetSize(size, "a larger fleet would take too much memory", True, members, seconds)
        if time.perf_counter() - began > budget:
            return FleetSize(size, "probing on would take too long", False, members, seconds)
    return FleetSize(size, "there are no more cells", False, members, seconds)


def _seconds(cell: TrainingCell, parts: Parts, members: int, workshop: Workshop) -> float:
    """Return the seconds that a step of training takes, divided by the members."""
    networks = Networks([make_module(cell, parts, workshop.device).train() for _ in range(members)])
    optimizer = make_optimizer(cell.settings["optimizer"], networks.parameters)
    average = MovingAverage(networks.parameters, cell.settings["ema"])
    inputs = _inputs(cell, parts, members, workshop.device)
    quickest = float("inf")
    for step in range(WARM_UP + STEPS):
        hardware.synchronise(workshop.device)
        began = time.perf_counter()
        with parts.autocast(workshop.device)():
            output = networks(*inputs)
        optimizer.zero_grad(set_to_none=True)
        output.to(inputs[0].dtype).square().mean().backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        average.update(step)
        hardware.synchronise(workshop.device)
        if step >= WARM_UP:
            quickest = min(quickest, time.perf_counter() - began)
    return quickest / members


def _inputs(cell: TrainingCell, parts: Parts, members: int, device: str) -> list[Tensor]:
    """Return what the networks are called with, random."""
    generator = Generator(device).manual_seed(0)
    n = cell.settings["batch_size"] * members
    x, t = parts.dataset.source(n, generator), torch.rand(n, generator=generator, device=device)
    return [x, t, torch.arange(n, device=device) % parts.classes] if parts.classes else [x, t]
