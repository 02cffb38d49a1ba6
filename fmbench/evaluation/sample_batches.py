"""Whether samples of a solver may be drawn in another batch: not where it draws noise, or looks at its batch.

Such a solver always integrates the blocks in which source samples are drawn, so that neither the machine nor the
memory that a suite allows decides what it sees.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Generator, Tensor

from fmbench.components import contracts
from fmbench.isolation import global_random

EXAMPLES = 6
TOLERANCE = 1e-6
"""Of results in float64: rounding stays far below it."""


class _Field:
    """A smooth velocity that treats each example by itself and costs next to nothing."""

    def __init__(self, path: contracts.ProbabilityPath) -> None:
        self.path = path
        self.generator = Generator().manual_seed(0)
        self.y: Tensor | None = None

    def __call__(self, x: Tensor, t: Tensor) -> Tensor:
        return torch.cos(3 * x + contracts.expand(t, x))


def why_in_blocks(
    solver: contracts.Solver, times: Tensor, path: contracts.ProbabilityPath, shape: Sequence[int]
) -> str:
    """Return why a solver keeps to blocks of one size; "" where an example's result is the same in any batch.

    That is tried at `times` `(steps + 1,)`, in float64, on a field of its own, whose examples `(batch, *shape)` are
    integrated at once and in two parts. A solver that fails at it keeps to blocks, too; the cell then says what is
    wrong with it, if anything is.
    """
    if solver.adaptive:
        return "an adaptive solver chooses its steps for a batch as a whole"
    field = _Field(path)
    x_0 = torch.randn(EXAMPLES, *shape, dtype=torch.float64, generator=Generator().manual_seed(1))
    times = times.to("cpu", torch.float64)
    with global_random.seeded(0):
        noise = {"solver": field.generator.get_state(), **global_random.state()}
        try:
            whole = solver.integrate(field, x_0.clone(), times)
            parts = [solver.integrate(field, part.clone(), times) for part in (x_0[:2], x_0[2:])]
            alike = torch.allclose(whole, torch.cat(parts), rtol=TOLERANCE, atol=TOLERANCE)
        except Exception as error:
            return f"the solver cannot be tried: {error}"
        drew = not global_random.alike(noise, {"solver": field.generator.get_state(), **global_random.state()})
    if drew:
        return "the solver draws noise, which is each cell's own"
    return "" if alike else "what the solver makes of an example depends on the others of its batch"
