"""The exact velocity of the training set."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, cast

from annotated_types import Ge

from fmbench import Model

if TYPE_CHECKING:
    from torch import Tensor, nn

    from fmbench import AffinePath, Dataset, ProbabilityPath


class EmpiricalOracle(Model):
    """What a network of unlimited size would learn from this training set: it returns the training points themselves.

    E[x_1 | x_t = x] = sum_i w_i x_i, w = softmax(-|x - alpha_t x_i|^2 / (2 sigma_t^2)), over the training points x_i,
    on a path x_t = alpha_t x_1 + sigma_t x_0 with standard normal x_0. It is an oracle for data whose distribution is
    not known, and what a perfect memoriser scores.

    Args:
        path: the affine path on which it is exact.
        points: how many training points it knows; null for all.

    Source: Bertrand et al. 2025 (On the closed-form of flow matching, arXiv:2506.03719), eq. 6.
    """

    reference = "Bertrand et al. 2025, On the closed-form of flow matching (arXiv:2506.03719)"
    requires = ("affine", "normal_source")
    predicts = "x_1"

    def __init__(self, *, path: dict[str, Any] | str = "linear", points: Annotated[int, Ge(1)] | None = None) -> None:
        self.path = path
        self.points = points

    def build(self, dataset: Dataset, path: ProbabilityPath, network: Any) -> nn.Module:
        """Return the posterior mean of the training points, as a module without weights."""
        data = dataset.load("train")[0][: self.points]
        return _posterior_mean(data, cast("AffinePath", path))


def _posterior_mean(data: Tensor, path: AffinePath) -> nn.Module:
    import torch
    from torch import nn

    class PosteriorMean(nn.Module):
        """E[x_1 | x_t = x] where x_1 is one of the training points, each as likely."""

        def __init__(self) -> None:
            super().__init__()
            self.register_buffer("points", data.flatten(1), persistent=False)

        def forward(self, x: Tensor, t: Tensor) -> Tensor:
            """Return the mean `(batch, *shape)` at `x` `(batch, *shape)` and `t` `(batch,)`."""
            alpha, sigma, _, _ = (each[:, None].double() for each in path.coefficients(t))
            points, flat = self.points.double(), x.flatten(1).double()
            weights = torch.softmax(-_squared(flat, alpha, points) / (2 * sigma.square()).clamp_min(1e-30), 1)
            return (weights @ points).to(x.dtype).reshape(x.shape)

    return PosteriorMean()


def _squared(x: Tensor, alpha: Tensor, points: Tensor) -> Tensor:
    """Return |x - alpha x_i|^2 less what is the same for all points, `(batch, n)`."""
    return alpha.square() * points.square().sum(1) - 2 * alpha * (x @ points.T)
