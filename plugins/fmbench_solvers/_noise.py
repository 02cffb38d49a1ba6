"""What the solvers that draw noise share: the draw itself."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from torch import Tensor

    from fmbench import Velocity


def add_noise(x: Tensor, std: float, velocity: Velocity) -> Tensor:
    """Return x + std z, both `(batch, *shape)`, with z drawn from `velocity.generator`; `x` itself is changed."""
    noise = torch.randn(x.shape, generator=velocity.generator, device=x.device, dtype=x.dtype)
    return x.add_(noise, alpha=std)
