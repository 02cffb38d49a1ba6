"""The times that solvers get: a grid's, in the dtype of the state, in which they have to stay apart."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor

    from fmbench.components.contracts import Grid


def solver_times(grid: Grid, steps: int) -> Tensor:
    """Return a grid's times for `steps` steps as solvers get them: float32 `(steps + 1,)`, the dtype of the state."""
    import torch

    return grid.times(steps).to(torch.float32)


def fault_of(times: Tensor) -> str:
    """Return which of `times` `(steps + 1,)`, as solvers get them, is not above the one before; empty where all are."""
    stuck = (~(times.diff() > 0)).nonzero().flatten().tolist()  # also where one is NaN
    if not stuck:
        return ""
    # As many digits as float32 has: times that differ in float64 alone look alike.
    before, after = (f"{float(times[stuck[0] + i]):.9g}" for i in (0, 1))
    name = str(times.dtype).removeprefix("torch.")
    return (
        f"the times of {len(times) - 1} steps do not increase in {name}, in which solvers get them: "
        f"time {stuck[0] + 1} is {after} after {before}"
    )
