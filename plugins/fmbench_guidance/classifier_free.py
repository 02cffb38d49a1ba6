"""Classifier-free guidance."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from fmbench import Guidance

if TYPE_CHECKING:
    from torch import Tensor

    from fmbench import NetworkCalls


class ClassifierFree(Guidance):
    """Classifier-free guidance, v_none + w (v_y - v_none); a suite may write the weight alone.

    It costs two calls an evaluation, and one where the weight is 1 (no guidance) or 0 (no label).

    Args:
        weight: the weight w.

    Source: Ho and Salimans 2022 (Classifier-Free Diffusion Guidance, arXiv:2207.12598), eq. 6, with w shifted by one.
    """

    reference = "Ho and Salimans 2022, Classifier-Free Diffusion Guidance (arXiv:2207.12598), eq. 6"
    requires = ("labels", "no_label")
    by_parameter = {"weight": {0.0: {"network_calls": 1}, 1.0: {"network_calls": 1}}}  # noqa: RUF012

    def __init__(self, *, weight: float) -> None:
        self.weight = weight

    def velocity(self, calls: NetworkCalls, x: Tensor, t: Tensor) -> Tensor:
        """Return dx/dt at `x` `(batch, *shape)` and `t` `(batch,)`, of the shape of `x`."""
        if self.weight == 1:
            return calls.conditional(x, t)
        without = calls.unconditional(x, t)
        return without if self.weight == 0 else torch.lerp(without, calls.conditional(x, t), self.weight)
