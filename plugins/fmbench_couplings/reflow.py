"""The coupling of rectified flow: source points, and where a trained flow takes them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Annotated, Any

import torch
from annotated_types import Ge

from fmbench import Coupling

if TYPE_CHECKING:
    from torch import Generator, Tensor

    from fmbench import Velocity

BATCH = 256


class Reflow(Coupling):
    """Pairs (x_0, the teacher's x_1): trajectories of a flow trained on them cross less, and are straighter.

    A fixed set of pairs is made once, with torchdiffeq's rk4, and shared by all cells with this teacher; a batch draws
    from it. The teacher is this training cell with other components, trained first; `teacher: {coupling: reflow}` is
    another round.

    Args:
        teacher: how the teacher differs from this cell, `{kind: component}`; its coupling must be another.
        pairs: how many pairs are made.
        steps: steps of rk4 to make them, four calls of the teacher each; they are short at both ends, where some paths'
            velocities grow without bound.

    Source: Liu et al. 2023 (Flow Straight and Fast, arXiv:2209.03003), algorithm 1.
    """

    reference = "Liu et al. 2023, Flow Straight and Fast (arXiv:2209.03003), algorithm 1"
    permutes = False
    teacher = "teacher"

    def __init__(
        self,
        *,
        teacher: dict[str, Any] = {"coupling": "independent"},  # noqa: B006  (a literal, which nobody changes)
        pairs: Annotated[int, Ge(1)] = 10_000,
        steps: Annotated[int, Ge(1)] = 12,
    ) -> None:
        self.pairs = pairs
        self.steps = steps
        self._x_0: Tensor | None = None
        self._x_1: Tensor | None = None
        self._y: Tensor | None = None

    def fit(self, teacher: Velocity, source: Callable[[int], tuple[Tensor, Tensor | None]]) -> Mapping[str, Tensor]:
        """Return "x_0" and "x_1" `(pairs, *shape)`, and "y" `(pairs,)` where the teacher takes labels."""
        from torchdiffeq import odeint

        batches: list[tuple[Tensor, Tensor, Tensor | None]] = []
        for first in range(0, self.pairs, BATCH):
            x_0, y = source(min(BATCH, self.pairs - first))
            teacher.y = y
            times = _times(self.steps).to(x_0)
            x_1 = odeint(lambda t, x: teacher(x, t.expand(len(x))), x_0, times, method="rk4")[-1]
            batches.append((x_0, x_1, y))
        columns = zip(("x_0", "x_1", "y"), zip(*batches, strict=True), strict=True)
        return {name: torch.cat(column) for name, column in columns if column[0] is not None}

    def with_fit(self, fitted: Mapping[str, Tensor]) -> Reflow:
        """Return the coupling that draws from these pairs.

        "x_0" and "x_1" are `(pairs, *shape)`, and "y", where there are labels, `(pairs,)`.
        """
        taught = Reflow(pairs=self.pairs, steps=self.steps)
        taught._x_0, taught._x_1, taught._y = fitted["x_0"], fitted["x_1"], fitted.get("y")
        return taught

    def pair(
        self, x_0: Tensor, x_1: Tensor, y: Tensor | None, generator: Generator
    ) -> tuple[Tensor, Tensor, Tensor | None]:
        """Return as many pairs of the teacher, drawn with replacement; what was given is not used.

        `x_0` and `x_1` are `(batch, *shape)`. Labels `(batch,)` are those that the teacher was asked for; without them,
        None. Raises RuntimeError before `with_fit`.
        """
        if self._x_0 is None or self._x_1 is None:
            raise RuntimeError("coupling reflow must learn from its teacher before it pairs")
        rows = torch.randint(len(self._x_0), (len(x_0),), generator=generator, device=generator.device)
        return self._x_0[rows], self._x_1[rows], None if self._y is None else self._y[rows]


def _times(steps: int) -> Tensor:
    """Return t = sin^2(pi s/2) for evenly spaced s, float64 `(steps + 1,)`, from exactly 0 to exactly 1."""
    times = torch.sin(torch.linspace(0, torch.pi / 2, steps + 1, dtype=torch.float64)).square()
    times[-1] = 1.0
    return times
