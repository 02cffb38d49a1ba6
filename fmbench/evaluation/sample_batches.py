"""Whether samples may be drawn in another batch: not where the solver draws noise, or it or the guidance looks at it.

Such a solver always integrates the blocks in which source samples are drawn, so that neither the machine nor the memory
that a suite allows decides what it sees.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Generator, Tensor

from fmbench.components import contracts
from fmbench.components.free_velocity import FreeVelocity
from fmbench.isolation import global_random

EXAMPLES = 6
TOLERANCE = 1e-6
"""Of results in float64: rounding stays far below it."""


def why_in_blocks(
    solver: contracts.Solver,
    times: Tensor,
    path: contracts.ProbabilityPath,
    shape: Sequence[int],
    guidance: contracts.Guidance | None = None,
) -> str:
    """Return why a solver keeps to blocks of one size; "" where an example's result is the same in any batch.

    That is tried at `times` `(steps + 1,)`, in float64, on a field of its own, whose examples `(batch, *shape)` are
    integrated at once and in two parts. A solver that fails at it keeps to blocks, too; the cell then says what is
    wrong with it, if anything is.
    """
    if solver.adaptive:
        return "an adaptive solver chooses its steps for a batch as a whole"
    field = FreeVelocity(path, guidance)

    def integrate(x_0: Tensor) -> Tensor:
        field.y = None
        return solver.integrate(field, x_0.clone(), times)

    x_0 = torch.randn(EXAMPLES, *shape, dtype=torch.float64, generator=Generator().manual_seed(1))
    times = times.to("cpu", torch.float64)
    with global_random.seeded(0):
        noise = {"solver": field.generator.get_state(), **global_random.state()}
        try:
            whole, parts = integrate(x_0), [integrate(x_0[:2]), integrate(x_0[2:])]
            alike = torch.allclose(whole, torch.cat(parts), rtol=TOLERANCE, atol=TOLERANCE)
        except Exception as error:
            return f"the solver cannot be tried: {error}"
        drew = not global_random.alike(noise, {"solver": field.generator.get_state(), **global_random.state()})
    if drew:
        return "the solver draws noise, which is each cell's own"
    return "" if alike else "what solver and guidance make of an example depends on the others of its batch"
