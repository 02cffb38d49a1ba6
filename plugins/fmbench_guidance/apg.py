"""Adaptive projected guidance."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, cast

import torch
from annotated_types import Ge

from fmbench import Guidance, expand

if TYPE_CHECKING:
    from torch import Tensor

    from fmbench import AffinePath, NetworkCalls


class AdaptiveProjectedGuidance(Guidance):
    """Classifier-free guidance without its part along the predicted data, D_y + (w - 1)(orthogonal + eta parallel).

    D are predictions of x_1 given x_t. What is split is D_y - D_none, plus `momentum` times what it was before, made no
    longer than `norm_threshold`. The velocity is that of the guided prediction; at t=1, where x_t is x_1, threshold and
    momentum count for nothing.

    Args:
        weight: the weight w; 1 is none.
        eta: the share of the part parallel to D_y that is kept; 1, without threshold and momentum, is classifier-free
            guidance.
        norm_threshold: the largest norm of an example's difference; 0 for any.
        momentum: the factor of the running average; it is negative in the paper.

    Source: Sadat, Hilliges and Weber 2024 (Eliminating Oversaturation and Artifacts of High Guidance Scales in
    Diffusion Models, arXiv:2410.02416), section 4 and algorithm 1.
    """

    reference = "Sadat, Hilliges and Weber 2024, Eliminating Oversaturation (arXiv:2410.02416), algorithm 1"
    requires = ("affine", "labels", "no_label")
    by_parameter = {"momentum": {0.0: {"stateful": False}, ...: {"stateful": True}}}  # noqa: RUF012

    def __init__(
        self,
        *,
        weight: float,
        eta: float = 0.0,
        norm_threshold: Annotated[float, Ge(0)] = 0.0,
        momentum: float = 0.0,
    ) -> None:
        self.weight, self.eta = weight, eta
        self.norm_threshold, self.momentum = norm_threshold, momentum

    def velocity(self, calls: NetworkCalls, x: Tensor, t: Tensor) -> Tensor:
        """Return dx/dt at `x` `(batch, *shape)` and `t` `(batch,)`, of the shape of `x`."""
        conditional, without = calls.conditional(x, t), calls.unconditional(x, t)
        path = cast("AffinePath", calls.path)
        alpha_t, sigma_t, d_alpha_t, d_sigma_t = (expand(c, x) for c in path.coefficients(t))
        # D = (sigma v - d_sigma x)/rate, so that differences of D are `unit` times those of v; a path that stands still
        # says nothing of x_1.
        rate = sigma_t * d_alpha_t - d_sigma_t * alpha_t
        unit = torch.where(rate > 0, sigma_t / rate, torch.zeros_like(rate))
        difference = conditional - without
        if self.momentum:
            carried = self.momentum * calls.memory.get("average", torch.zeros_like(x))
            calls.memory["average"] = unit * difference + carried
            difference = difference + torch.where(unit > 0, carried / unit, torch.zeros_like(x))
        if self.norm_threshold:
            norm = (unit * difference).flatten(1).norm(dim=1)
            difference = expand((self.norm_threshold / norm).clamp(max=1), x) * difference
        predicted = sigma_t * conditional - d_sigma_t * x
        along = torch.nn.functional.normalize(predicted.flatten(1), dim=1).reshape(x.shape)
        parallel = expand((difference * along).flatten(1).sum(1), x) * along
        return conditional + (self.weight - 1) * (difference + (self.eta - 1) * parallel)
