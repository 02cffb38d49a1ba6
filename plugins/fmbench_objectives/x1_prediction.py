"""Data prediction: the network's output is x_1."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

from annotated_types import Gt, Le

from fmbench import Objective
from fmbench_objectives._affine import coefficients, divide

if TYPE_CHECKING:
    from torch import Tensor

    from fmbench import Path, PathSample


class X1Prediction(Objective):
    """Mean squared error between the network's output and the data x_1; the output means E[x_1 | x_t].

    The velocity is d_alpha x_1 + d_sigma x_0 with x_0 = (x - alpha x_1)/sigma. Where sigma vanishes, at the data, x_t
    says nothing of x_0 and the quotient is noise: below `clip` it fades to 0, the mean of a centred source, which is
    the limit of E[x_0 | x_t].

    Args:
        clip: the sigma_t below which the estimate of x_0 fades.

    Source: Lipman et al. 2024 (arXiv:2412.06264), section 4.8.1 and table 1; Salimans and Ho 2022 (arXiv:2202.00512).
    """

    reference = "Lipman et al. 2024, Flow Matching Guide and Code (arXiv:2412.06264), section 4.8.1"
    requires = ("affine",)

    def __init__(self, *, clip: Annotated[float, Gt(0), Le(0.5)] = 1e-3) -> None:
        self.clip = clip

    def loss(self, output: Tensor, sample: PathSample) -> Tensor:
        """Return |output - x_1|^2 of each example, averaged over its dimensions: `(batch,)`."""
        return (output - sample.x_1).square().flatten(1).mean(1)

    def velocity(self, output: Tensor, x: Tensor, t: Tensor, path: Path) -> Tensor:
        """Return d_alpha x_1 + d_sigma x_0, of the shape of `x`. Raises TypeError for a path that is not affine."""
        alpha_t, sigma_t, d_alpha_t, d_sigma_t = coefficients(path, t, x)
        return d_alpha_t * output + d_sigma_t * divide(x - alpha_t * output, sigma_t, self.clip)
