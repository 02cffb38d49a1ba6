"""How many samples to draw at once: a rule on what a call of the network costs, which is counted and not measured.

So the same cell is sampled in the same batches whenever and wherever it is evaluated. Source samples do not depend on
how they are batched, and a network treats each example by itself; so samples agree between batch sizes, but for
rounding: no key holds the size. Solvers of which that is not so keep to blocks (see `sample_batches`).

On one thread of an AMD EPYC a call takes, in nanoseconds a sample:

| network | 256 samples | 512 | 1024 | 2048 | 4096 | the rule |
|---|---|---|---|---|---|---|
| mlp 2x16 | 275 | 148 | 87 | 55 | 40 | 4096 |
| mlp 3x64 | 564 | 391 | 307 | 263 | 239 | 4096 |
| small_unet of 8 channels | 6443 | 4818 | 4376 | 3791 | 3722 | 2048 |
| small_unet of 24 channels | 13706 | 12001 | 11333 | 11002 | | 1024 |
"""

from __future__ import annotations

from fmbench.model.dummy_inputs import network_inputs
from fmbench.model.network_cost import count_cost
from fmbench.model.trained_model import Trained
from fmbench.runtime.device import device_type

EXAMPLES = 4
"""So many examples tell what a call costs."""
ELEMENTS, ELEMENTS_ON_GPU = 2**24, 2**29
"""Numbers that a call may write: more hardly pays, for what a call costs beside its arithmetic is little then."""
LARGEST = 4096


def best_batch(trained: Trained, usual: int, most: int) -> int:
    """Return the batch size for cells like this one, at most `most`: `usual`, or twice, four times, ... as many."""
    limit = ELEMENTS_ON_GPU if device_type(trained.context.device) == "cuda" else ELEMENTS
    size, elements = usual, elements_of(trained)
    while 2 * size <= min(most, LARGEST) and 2 * size * elements <= limit:
        size *= 2
    return size


def elements_of(trained: Trained) -> float:
    """Return how many numbers a call of a cell's network writes for each example; counted once a process."""
    cell, context, parts = trained.cell, trained.context, trained.parts
    asked = (cell.dataset, cell.network, parts.precision, parts.classes, parts.condition_width)
    if asked not in context.counted:
        x, *others = network_inputs(parts, EXAMPLES, context.device)
        if trained.state_shape is not None:
            x = x.new_zeros(EXAMPLES, *trained.state_shape)
        with parts.autocast(context.device)():
            context.counted[asked] = count_cost(trained.module, [x, *others], context.device).elements / EXAMPLES
    return context.counted[asked]
