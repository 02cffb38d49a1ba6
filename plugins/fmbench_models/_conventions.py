"""Conventions of time: what a network of somebody else's is called with, and which way its velocity points."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import torch
from torch import nn

if TYPE_CHECKING:
    from torch import Tensor

Time = Literal["data_at_one", "data_at_zero"]
"""Where a network has the data: at the end of its time, as fmbench has it, or at its beginning."""
Prediction = Literal["velocity", "x_1", "noise"]
"""What a network's output is: dx/dt along its own time, the data, or the noise."""


class InOurTime(nn.Module):
    """A network that is called in fmbench's time, t=0 for noise and t=1 for data.

    The network itself is called with t, or 1 - t where it has the data at zero, times `scale`. A velocity is dx/ds of
    its own time s in [0, 1], before the scale: where s runs the other way it is turned round.
    """

    def __init__(self, network: nn.Module, time: Time, scale: float, *, turns: bool) -> None:
        super().__init__()
        self.network = network
        self.reversed = time == "data_at_zero"
        self.scale = scale
        self.turns = turns and self.reversed

    def forward(self, x: Tensor, t: Tensor) -> Tensor:
        """Return the network's output at `x` `(batch, *shape)` and fmbench's time `t` `(batch,)`."""
        own = 1 - t if self.reversed else t
        output: Tensor = self.network(x.clone(), own * self.scale)  # what changes x in place changes its own
        if x.requires_grad and torch.is_grad_enabled() and not output.requires_grad:
            raise RuntimeError("the model gives no gradient (no_grad, detach or numpy): no metric of its derivatives")
        return -output if self.turns else output
