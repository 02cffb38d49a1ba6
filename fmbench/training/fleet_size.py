"""How many cells a fleet should have: a rule on what a call of the network costs, which is counted and not measured.

So the same cells train in the same fleets whenever and wherever they are composed, and give the same bits. The size
changes how long training takes, and results to rounding; no key.

On one thread of an AMD EPYC a step of a member takes, in microseconds:

| network, batch | alone | in a fleet of 4 | 16 | 64 | the rule |
|---|---|---|---|---|---|
| mlp 2x64, 128 | 268 | 121 | 69 | 63 | 64 |
| mlp 3x64, 256 | 424 | 255 | 200 | 215 | 16 |
| mlp 3x128, 256 | 855 | 677 | 645 | 726 | 8 |
| mlp 4x256, 512 | 6583 | 6476 | 6945 | 9458 | alone |
| small_unet of 8 channels, 32 | 1705 | 774 | 498 | 484 | 64 |
| small_unet of 16 channels, 128 | 3624 | 3266 | 2940 | 3263 | 8 |
| small_unet of 24 channels, 128 | 5715 | 5763 | 5654 | 6269 | alone |
| dit 2x64, 64 | 14552 | 13520 | 14524 | 22782 | alone |
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from fmbench.cells.cells import TrainingCell
from fmbench.model.batched.compatibility import batching_obstacle
from fmbench.model.build import assemble, make_module
from fmbench.model.context import WorkerContext
from fmbench.model.dummy_inputs import examples_a_call, network_inputs
from fmbench.model.network_cost import NetworkCost, count_cost
from fmbench.runtime import memory
from fmbench.runtime.device import device_type
from fmbench.runtime.environment import cpu_count

A_STEP, AN_OPERATION = 150e-6, 9e-6
"""Seconds that a step costs beside its arithmetic, and more for each operation of the network: a fleet pays them once
for all members."""
AN_ELEMENT, A_FLOP = 1.5e-9, 24e-12
"""Seconds of arithmetic of a step, backwards too, for each number that the network writes and each floating-point
operation of its products: on one core, and on a GPU so many times less."""
GPU_IS_FASTER = 300.0
WORTH_IT = 1 / 3
"""Cells train alone where what a fleet shares is a smaller part of the arithmetic: stacking has a price, too."""
LEFT = 0.05
"""In a fleet of the right size, what is shared is this part of the arithmetic of its members."""
LARGEST = 256
"""Members that a fleet has at most: each holds a lock, and so an open file."""
COPIES, KEPT = 6, 3
"""Numbers that training keeps for each parameter (itself, gradient, optimizer, averages), and for each that the network
writes."""
MEMORY = 0.25
"""A fleet may take this part of the GPU's memory, or of the machine's, shared by as many processes as it has cores."""


@dataclass(frozen=True)
class FleetSize:
    """How many members a fleet should have, and why no more."""

    size: int
    why: str


def choose_fleet_size(cell: TrainingCell, context: WorkerContext) -> FleetSize:
    """Return how many cells like this one should train as one fleet."""
    if alone := batching_obstacle([cell], context):
        return FleetSize(1, alone)
    parts = assemble(cell, context)
    inputs = network_inputs(parts, examples_a_call(cell), context.device)
    with parts.autocast(context.device)():
        cost = count_cost(make_module(cell, parts, context.device).train(), inputs, context.device)
    is_gpu = device_type(context.device) == "cuda"
    processes = memory.sharing(1) if is_gpu else cpu_count()
    room = int(MEMORY * memory.total_memory(context.device) / processes / bytes_of(cost))
    size = size_by_cost(cost, is_gpu=is_gpu)
    if size > max(room, 1):
        return FleetSize(max(room, 1), "a larger fleet might take too much memory")
    return FleetSize(size, "a larger fleet would hardly be faster" if size > 1 else "a fleet would hardly be faster")


def size_by_cost(cost: NetworkCost, *, is_gpu: bool) -> int:
    """Return the power of two by which what a step costs beside its arithmetic is divided enough; 1 is alone."""
    shared = A_STEP + AN_OPERATION * cost.operations
    arithmetic = (AN_ELEMENT * cost.elements + A_FLOP * cost.flops) / (GPU_IS_FASTER if is_gpu else 1)
    if shared < WORTH_IT * arithmetic:
        return 1
    return int(min(LARGEST, 2 ** round(math.log2(shared / (LEFT * max(arithmetic, 1e-9))))))


def bytes_of(cost: NetworkCost) -> int:
    """Return about how many bytes a member of a fleet takes while it is trained."""
    return 4 * (COPIES * cost.parameters + KEPT * cost.elements)
