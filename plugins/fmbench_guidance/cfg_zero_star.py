"""CFG-Zero*: classifier-free guidance whose unconditional velocity is scaled, and that waits at the noise."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import torch
from annotated_types import Ge

from fmbench import Guidance, expand

if TYPE_CHECKING:
    from torch import Tensor

    from fmbench import NetworkCalls


class CFGZeroStar(Guidance):
    """Classifier-free guidance with an optimised scale, s v_none + w (v_y - s v_none), s = <v_y, v_none>/|v_none|^2.

    The first evaluations of an integration are 0 and cost nothing, for a network is least sure at the noise; they are
    the first steps of Euler's method, and the first stages of others.

    Args:
        weight: the weight w; 1 is none.
        zero_init: how many evaluations at the start are 0.

    Source: Fan et al. 2025 (CFG-Zero*: Improved Classifier-Free Guidance for Flow Matching Models, arXiv:2503.18886),
    algorithm 1.
    """

    reference = "Fan et al. 2025, CFG-Zero* (arXiv:2503.18886), algorithm 1"
    requires = ("labels", "no_label")
    network_calls = 0
    stateful = True
    by_parameter = {"zero_init": {0: {"network_calls": 2, "stateful": False}}}  # noqa: RUF012

    def __init__(self, *, weight: float, zero_init: Annotated[int, Ge(0)] = 1) -> None:
        self.weight, self.zero_init = weight, zero_init

    def velocity(self, calls: NetworkCalls, x: Tensor, t: Tensor) -> Tensor:
        """Return dx/dt at `x` `(batch, *shape)` and `t` `(batch,)`, of the shape of `x`."""
        if self.zero_init:
            made = calls.memory["made"] = calls.memory.get("made", 0) + 1
            if made <= self.zero_init:
                return torch.zeros_like(x)
        conditional, without = calls.conditional(x, t), calls.unconditional(x, t)
        product, square = ((v * without).flatten(1).sum(1) for v in (conditional, without))
        # Where v_none is 0 it is 0 at any scale.
        scale = torch.where(square > 0, product / square, torch.ones_like(square))
        return torch.lerp(expand(scale, x) * without, conditional, self.weight)
