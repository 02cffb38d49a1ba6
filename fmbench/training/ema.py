"""Averages of the weights: the exponential moving average, and those of which others are made afterwards."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from fmbench.cells.ema_decay import Averaging
from fmbench.model.post_hoc_ema import decay, exponent


class MovingAverage:
    """Exponential moving average of parameters, on their device, as `ema` of a cell's settings says (see `Averaging`).

    With decay 0 nothing is kept: the average is the parameters themselves.
    """

    def __init__(self, parameters: Sequence[Tensor], setting: float | Mapping[str, Any]) -> None:
        self.averaging = Averaging.of(setting)
        self.parameters: list[Tensor] = [p for p in parameters if p.requires_grad]
        kept = self.parameters if self.averaging.decay else []
        self.average: list[Tensor] = [p.detach().clone() for p in kept]

    @torch.no_grad()
    def update(self, step: int) -> None:
        """Fold the parameters in, after optimizer step number `step` (from 0)."""
        if self.average:
            torch._foreach_lerp_(self.average, self.parameters, 1 - self.averaging.at(step))


class PowerAverage:
    """Average of parameters that weighs step s by about s^gamma: over a part `length` of any number of steps.

    Source: Karras et al. 2312.02696, section 3.1.
    """

    def __init__(self, parameters: Sequence[Tensor], length: float) -> None:
        self.gamma = exponent(length)
        self.parameters: list[Tensor] = [p for p in parameters if p.requires_grad]
        self.average: list[Tensor] = [p.detach().clone() for p in self.parameters]

    @torch.no_grad()
    def update(self, step: int) -> None:
        """Fold the parameters in, after optimizer step number `step` (from 0)."""
        torch._foreach_lerp_(self.average, self.parameters, 1 - decay(step, self.gamma))
