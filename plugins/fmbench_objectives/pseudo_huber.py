"""Velocity matching under the pseudo-Huber loss."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import torch
from annotated_types import Gt

from fmbench import Objective

if TYPE_CHECKING:
    from torch import Tensor

    from fmbench import Path, PathSample


class PseudoHuber(Objective):
    """sqrt(|output - dx_t|^2 / d + c^2) - c: quadratic for small errors, linear for large ones, d being the dimension.

    The papers' loss with their c sqrt(d), over sqrt(d), so that it does not grow with the dimension. Its minimiser is a
    kind of median of the conditional velocities instead of their mean: it is the marginal velocity only where they
    hardly differ, as they do for rectified pairs.

    Args:
        c: where the loss turns from quadratic to linear, as root mean square error over dimensions, above 0.

    Source: Song and Dhariwal 2024 (arXiv:2310.14189), eq. 7 and c = 0.00054 sqrt(d); Lee et al. 2024
    (arXiv:2405.20320), section 4.2.
    """

    reference = "Lee et al. 2024, Improving the Training of Rectified Flows (arXiv:2405.20320), section 4.2"

    def __init__(self, *, c: Annotated[float, Gt(0)] = 0.00054) -> None:
        self.c = c

    def loss(self, output: Tensor, sample: PathSample) -> Tensor:
        """Return the loss of each example: `(batch,)`."""
        square = (output - sample.dx_t).square().flatten(1).mean(1)
        return square / (torch.sqrt(square + self.c**2) + self.c)  # the difference of roots, without cancellation

    def velocity(self, output: Tensor, x: Tensor, t: Tensor, path: Path) -> Tensor:
        """Return the output itself, of the shape of `x`."""
        return output
