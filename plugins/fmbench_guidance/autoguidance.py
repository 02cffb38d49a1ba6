"""Autoguidance: away from what a weaker model does."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch

from fmbench import Guidance

if TYPE_CHECKING:
    from torch import Tensor

    from fmbench import NetworkCalls


class Autoguidance(Guidance):
    """Guidance by a weaker model of the same data, v_weaker + w (v - v_weaker); it needs no labels.

    The weaker model is this training cell with other components and settings, `{network: {mlp: {width: 16}}, steps:
    200}` say, and is trained once. It has the same seed, and the same labels where there are any. An
    evaluation costs two calls, one of each network, and one where the weight is 1 (no guidance) or 0.

    Args:
        weight: the weight w.
        model: how the weaker model's training differs from this cell's: `{kind: component}`, and keys of `training`.

    Source: Karras et al. 2024 (Guiding a Diffusion Model with a Bad Version of Itself, arXiv:2406.02507), section 4.
    """

    reference = (
        "Karras et al. 2024, Guiding a Diffusion Model with a Bad Version of Itself (arXiv:2406.02507), section 4"
    )
    requires = ("trained",)
    weaker = "model"
    by_parameter = {"weight": {0.0: {"network_calls": 1}, 1.0: {"network_calls": 1}}}  # noqa: RUF012

    def __init__(self, *, weight: float, model: dict[str, Any]) -> None:
        self.weight = weight

    def velocity(self, calls: NetworkCalls, x: Tensor, t: Tensor) -> Tensor:
        """Return dx/dt at `x` `(batch, *shape)` and `t` `(batch,)`, of the shape of `x`."""
        if self.weight == 1:
            return calls.conditional(x, t)
        weaker = calls.weaker(x, t)
        return weaker if self.weight == 0 else torch.lerp(weaker, calls.conditional(x, t), self.weight)
