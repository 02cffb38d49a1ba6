"""Velocity matching under the pseudo-Huber loss and the perceptual distance LPIPS."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Literal

import torch
from annotated_types import Ge, Gt

from fmbench import Objective, expand
from fmbench_objectives._huber import pseudo_huber
from fmbench_objectives._lpips import lpips

if TYPE_CHECKING:
    from torch import Tensor

    from fmbench import Path, PathSample

LEAST = 1e-4
"""What 1-t counts as at least where LPIPS is divided by it."""


class LPIPSHuber(Objective):
    """t x pseudo-Huber(output, dx_t) + LPIPS(x_t + (1-t) output, x_1): the loss of 2-rectified flow++.

    The output is the velocity; on the linear path x_t + (1-t) output is the data that it predicts. The authors' time
    runs from data to noise: their weight 1-t of the Huber term is t here. As in their code, that term is pseudo_huber's
    with `scale: d` (the paper has sqrt_d), and pictures are enlarged to 224 x 224 for LPIPS. LPIPS is as torch-fidelity
    computes it; the authors' VGG16 averages where this one takes maxima.

    Args:
        vgg: VGG16's weights, the file vgg16-397923af.pth of https://download.pytorch.org/models.
        weights: LPIPS's own, the file weights-vgg16-lpips.pth of torch-fidelity's release v0.2.0 on GitHub.
        size: height and width in pixels at which VGG16 is shown pictures; time and memory grow with its square.
        by_time: whether LPIPS is divided by 1-t, as for the authors' CIFAR-10, which counts late times more.
        c: where the Huber term turns from quadratic to linear, above 0, in units that `scale` says.
        scale: what c is multiplied by and the Huber term divided by, d being the dimension: d as in the authors' code,
            or sqrt_d as in the papers (see pseudo_huber).

    Source: Lee et al. 2024 (arXiv:2405.20320), section 4.2, and train.py of their repository sangyun884/rfpp.
    """

    reference = "Lee et al. 2024, Improving the Training of Rectified Flows (arXiv:2405.20320), section 4.2"
    requires = ("images", "straight")
    content = ("vgg", "weights")

    def __init__(
        self,
        *,
        vgg: str,
        weights: str,
        size: Annotated[int, Ge(16)] = 224,
        by_time: bool = False,
        c: Annotated[float, Gt(0)] = 0.00054,
        scale: Literal["sqrt_d", "d"] = "d",
    ) -> None:
        lpips(vgg, weights, torch.device("cpu"))  # what is missing or broken is said before anything is trained
        self.vgg = vgg
        self.weights = weights
        self.size = size
        self.by_time = by_time
        self.c = c
        self.scale = scale

    def loss(self, output: Tensor, sample: PathSample) -> Tensor:
        """Return the loss of each example: `(batch,)`. Raises ValueError for other than grey or colour pictures."""
        if output.ndim != 4 or output.shape[1] not in (1, 3):
            raise ValueError(f"LPIPS judges pictures of 1 or 3 channels; found shape {tuple(output.shape[1:])}.")
        huber = pseudo_huber(output - sample.dx_t, self.c, self.scale)
        left = 1 - sample.t
        predicted = sample.x_t + expand(left, output) * output
        distance: Tensor = lpips(self.vgg, self.weights, output.device)(predicted, sample.x_1, self.size)
        if self.by_time:
            distance = distance / left.clamp(min=LEAST)
        return sample.t * huber + distance

    def velocity(self, output: Tensor, x: Tensor, t: Tensor, path: Path) -> Tensor:
        """Return the output itself, of the shape of `x`."""
        return output
