"""How many cells a fleet should have: a short measured probe. What it finds changes how long training takes, no key."""

from __future__ import annotations

import time
from dataclasses import dataclass, field

from fmbench import hardware, probing
from fmbench.assembly import Parts, Workshop, assemble, make_module
from fmbench.cells import TrainingCell
from fmbench.fleet import Networks, why_alone
from fmbench.optimizers import MovingAverage, make_optimizer
from fmbench.probing import examples_a_call, network_inputs

WARM_UP, FEWEST, MOST, LONG = 2, 3, 20, 0.05
"""Steps before a size is measured; then so many, until they took so many seconds together. The quickest counts."""
GAIN = 0.9
"""A larger fleet is faster when a step of a member takes less than this part of what it took in the best so far."""
FACTOR = 4
"""Each size that is tried is so many times the one before: a fleet of two hardly repays what stacking costs."""
LARGEST = 256
"""Members that a fleet has at most: each holds a lock, and so an open file."""
SHARE = 0.05
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
    """Measure fleets of 1, 4, 16, ... cells like this one, up to `members`, as long as the time of a member falls."""
    if alone := why_alone([cell], workshop):
        return FleetSize(1, alone, True, members)
    parts = assemble(cell, workshop)
    size, seconds = 1, {"1": _seconds(cell, parts, 1, workshop)}
    began = time.perf_counter()  # the first steps import what torch imports when it is used: any training pays that
    budget = SHARE * seconds["1"] * cell.settings["steps"] * members
    while size < min(members, LARGEST):
        hardware.reset_peak_memory(workshop.device)
        before, free = hardware.peak_memory(workshop.device), hardware.free_memory(workshop.device)
        larger = FACTOR * size
        seconds[str(larger)] = _seconds(cell, parts, larger, workshop)
        if seconds[str(larger)] > GAIN * seconds[str(size)]:
            return FleetSize(size, "a larger fleet is not faster", True, members, seconds)
        size = larger
        if FACTOR * (hardware.peak_memory(workshop.device) - before) * workshop.jobs > MEMORY * free:
            return FleetSize(size, "a larger fleet would take too much memory", True, members, seconds)
        if time.perf_counter() - began > budget:
            return FleetSize(size, "probing on would take too long", False, members, seconds)
    why = "there are no more cells" if size < LARGEST else "fleets are not larger"
    return FleetSize(size, why, size >= LARGEST, members, seconds)


def _seconds(cell: TrainingCell, parts: Parts, members: int, workshop: Workshop) -> float:
    """Return the seconds that a step of training takes, divided by the members."""
    networks = Networks([make_module(cell, parts, workshop.device).train() for _ in range(members)])
    optimizer = make_optimizer(cell.settings["optimizer"], networks.parameters)
    average = MovingAverage(networks.parameters, cell.settings["ema"])
    inputs = network_inputs(parts, members * examples_a_call(cell), workshop.device)
    taken: list[float] = []

    def step() -> None:
        with parts.autocast(workshop.device)():
            output = networks(*inputs)
        optimizer.zero_grad(set_to_none=True)
        output.to(inputs[0].dtype).square().mean().backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        average.update(len(taken))

    while len(taken) < WARM_UP + FEWEST or (len(taken) < MOST and sum(taken[WARM_UP:]) < LONG):
        taken.append(probing.seconds(step, workshop.device, workshop.threads))
    parts_of_a_batch = int(cell.settings.values.get("accumulate", 1))
    return min(taken[WARM_UP:]) * parts_of_a_batch / members
