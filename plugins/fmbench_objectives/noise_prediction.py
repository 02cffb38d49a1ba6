"""Noise prediction: the network's output is x_0."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

from annotated_types import Gt, Le

from fmbench import Objective
from fmbench_objectives._affine import coefficients, divide

if TYPE_CHECKING:
    from torch import Tensor

    from fmbench import Path, PathSample


class NoisePrediction(Objective):
    """Mean squared error between the network's output and the source x_0: the parametrisation of diffusion models.

    The velocity is d_alpha x_1 + d_sigma x_0 with x_1 = (x - sigma x_0)/alpha. Where alpha vanishes, at the source, x_t
    says nothing of x_1 and the quotient is noise: below `clip` it fades to 0, the mean of centred data, which is the
    limit of E[x_1 | x_t]. The vp path's alpha stays above 0.006, out of reach of the default.

    Args:
        clip: the alpha_t below which the estimate of x_1 fades.

    Source: Ho et al. 2020 (DDPM, arXiv:2006.11239), eq. 14; Lipman et al. 2024 (arXiv:2412.06264), section 4.8.1.
    """

    reference = "Ho et al. 2020, Denoising Diffusion Probabilistic Models (arXiv:2006.11239), eq. 14"
    requires = ("affine",)

    def __init__(self, *, clip: Annotated[float, Gt(0), Le(0.5)] = 1e-3) -> None:
        self.clip = clip

    def loss(self, output: Tensor, sample: PathSample) -> Tensor:
        """Return |output - x_0|^2 of each example, averaged over its dimensions: `(batch,)`."""
        return (output - sample.x_0).square().flatten(1).mean(1)

    def velocity(self, output: Tensor, x: Tensor, t: Tensor, path: Path) -> Tensor:
        """Return d_alpha x_1 + d_sigma x_0, of the shape of `x`. Raises TypeError for a path that is not affine."""
        alpha_t, sigma_t, d_alpha_t, d_sigma_t = coefficients(path, t, x)
        return d_alpha_t * divide(x - sigma_t * output, alpha_t, self.clip) + d_sigma_t * output
