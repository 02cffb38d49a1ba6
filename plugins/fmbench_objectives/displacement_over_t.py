"""The target (x_1 - x_0)/t that some tutorials print, to show what it costs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

from annotated_types import Gt

from fmbench import Objective, expand

if TYPE_CHECKING:
    from torch import Tensor

    from fmbench import Path, PathSample


class DisplacementOverT(Objective):
    """Mean squared error between the output and (x_1 - x_0)/t: a recipe in print that is *not* flow matching.

    The linear path's velocity is x_1 - x_0. Over t, the target's second moment diverges at t -> 0, so that a batch's
    loss is that of its smallest t, and what the network learns is 1/t times too fast. The output is integrated as
    it is, as the recipe does. It is here so that a suite can show the difference.

    Args:
        clip: t counts as at least this, above 0; the smaller, the nearer to print and the wilder the loss.

    Source: printed in tutorials on flow matching for MNIST; see docs/measurements.md.
    """

    reference = "Printed in tutorials; not flow matching: fmbench's docs/measurements.md"

    def __init__(self, *, clip: Annotated[float, Gt(0)] = 1e-3) -> None:
        self.clip = clip

    def loss(self, output: Tensor, sample: PathSample) -> Tensor:
        """Return |output - (x_1 - x_0)/t|^2 of each example, averaged over its dimensions: `(batch,)`."""
        target = (sample.x_1 - sample.x_0) / expand(sample.t.clamp(min=self.clip), sample.x_0)
        return (output - target).square().flatten(1).mean(1)

    def velocity(self, output: Tensor, x: Tensor, t: Tensor, path: Path) -> Tensor:
        """Return the output itself, of the shape of `x`."""
        return output
