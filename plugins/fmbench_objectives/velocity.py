"""Velocity matching: the network's output is the velocity."""

from __future__ import annotations

from typing import TYPE_CHECKING

from torch.nn import functional as F

from fmbench import Objective

if TYPE_CHECKING:
    from torch import Tensor

    from fmbench import Path, PathSample


class VelocityMatching(Objective):
    """Mean squared error between the network's output and the conditional velocity dx_t.

    Source: Lipman et al. 2023 (arXiv:2210.02747), eq. 9, the conditional flow-matching loss.
    """

    reference = "Lipman et al. 2023, Flow Matching for Generative Modeling (arXiv:2210.02747), eq. 9"

    def loss(self, output: Tensor, sample: PathSample) -> Tensor:
        """Return |output - dx_t|^2 of each example, averaged over its dimensions: `(batch,)`."""
        return F.mse_loss(output, sample.dx_t, reduction="none").flatten(1).mean(1)

    def velocity(self, output: Tensor, x: Tensor, t: Tensor, path: Path) -> Tensor:
        """Return the output itself, of the shape of `x`."""
        return output
