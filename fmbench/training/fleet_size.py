"""How many cells a fleet should have: a short measured probe. What it finds changes how long training takes, no key."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import count
from statistics import median

from fmbench.cells.cells import TrainingCell
from fmbench.model.batched.compatibility import batching_obstacle
from fmbench.model.batched.networks import Networks
from fmbench.model.build import Components, assemble, make_module
from fmbench.model.context import WorkerContext
from fmbench.model.dummy_inputs import examples_a_call, network_inputs
from fmbench.runtime import autotune, memory
from fmbench.training.ema import MovingAverage
from fmbench.training.optimizers import make_optimizer

WARM_UP, FEWEST, MOST, LONG = 2, 5, 20, 0.05
"""Steps before a size is measured; then so many rounds, or more until they took so many seconds. Medians count."""
GAIN = 0.9
"""A larger fleet is faster when a step of a member clearly takes less than this part of what it takes in the best."""
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


def tune_fleet_size(cell: TrainingCell, members: int, context: WorkerContext) -> FleetSize:
    """Measure fleets of 1, 4, 16, ... cells like this one, up to `members`, as long as the time of a member falls."""
    if alone := batching_obstacle([cell], context):
        return FleetSize(1, alone, True, members)
    parts = assemble(cell, context)
    size, best = 1, _step(cell, parts, 1, context)
    seconds = _medians(_measure({1: best}, cell, context))
    began = time.perf_counter()  # the first steps import what torch imports when it is used: any training pays that
    budget = SHARE * seconds["1"] * cell.settings["steps"] * members
    while size < min(members, LARGEST):
        memory.reset_peak_memory(context.device)
        before, free = memory.peak_memory(context.device), memory.free_memory(context.device)
        larger = FACTOR * size
        step = _step(cell, parts, larger, context)
        taken = _measure({size: best, larger: step}, cell, context)
        seconds |= _medians(taken)
        if not autotune.is_faster(taken[larger], taken[size], GAIN):
            return FleetSize(size, "a larger fleet is not clearly faster", True, members, seconds)
        size, best = larger, step
        if FACTOR * (memory.peak_memory(context.device) - before) * memory.sharing(context.jobs) > MEMORY * free:
            return FleetSize(size, "a larger fleet would take too much memory", True, members, seconds)
        if time.perf_counter() - began > budget:
            return FleetSize(size, "probing on would take too long", False, members, seconds)
    why = "there are no more cells" if size < LARGEST else "fleets are not larger"
    return FleetSize(size, why, size >= LARGEST, members, seconds)


def _medians(taken: Mapping[int, Sequence[float]]) -> dict[str, float]:
    return {str(size): median(seconds) for size, seconds in taken.items()}


def _measure(
    steps: Mapping[int, Callable[[], None]], cell: TrainingCell, context: WorkerContext
) -> dict[int, list[float]]:
    """Return the seconds a step and member of fleets, by their sizes, round by round."""
    ways = {str(size): step for size, step in steps.items()}
    taken = autotune.interleaved(ways, context.device, context.threads, rounds=FEWEST, most=MOST, long=LONG)
    parts_of_a_batch = int(cell.settings.values.get("accumulate", 1))
    return {size: [seconds * parts_of_a_batch / size for seconds in taken[str(size)]] for size in steps}


def _step(cell: TrainingCell, parts: Components, members: int, context: WorkerContext) -> Callable[[], None]:
    """Return what makes a step of training of a fleet, warmed up."""
    networks = Networks([make_module(cell, parts, context.device).train() for _ in range(members)])
    optimizer = make_optimizer(cell.settings["optimizer"], networks.parameters)
    average = MovingAverage(networks.parameters, cell.settings["ema"])
    inputs = network_inputs(parts, members * examples_a_call(cell), context.device)
    made = count()

    def step() -> None:
        with parts.autocast(context.device)():
            output = networks(*inputs)
        optimizer.zero_grad(set_to_none=True)
        output.to(inputs[0].dtype).square().mean().backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        average.update(next(made))

    for _ in range(WARM_UP):
        step()
    return step
