"""What the objectives that predict one end of a path share."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fmbench import AffinePath, expand

if TYPE_CHECKING:
    from torch import Tensor

    from fmbench import Path


def coefficients(path: Path, t: Tensor, like: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Return `alpha_t, sigma_t` and their derivatives, shaped to multiply `like`. Raises TypeError for other paths."""
    if not isinstance(path, AffinePath):
        raise TypeError(f"an affine path is needed to convert a prediction to a velocity; found {type(path).__name__}")
    alpha_t, sigma_t, d_alpha_t, d_sigma_t = (expand(c, like) for c in path.coefficients(t))
    return alpha_t, sigma_t, d_alpha_t, d_sigma_t


def divide(rest: Tensor, weight: Tensor, clip: float) -> Tensor:
    """Return rest/weight where weight >= clip, and below it rest weight/clip^2, which fades to 0 with the weight.

    `rest` is `(batch, *shape)`, as is the result, and `weight` `(batch, 1, ..., 1)`.
    """
    return rest * weight / weight.clamp(min=clip).square()
