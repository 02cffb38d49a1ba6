"""From values in [-1, 1] to the 8-bit levels that feature extractors see."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from torch import Tensor

NAME = "floor(x*127.5+128) clipped to 0..255"


def quantise(x: Tensor) -> Tensor:
    """Return the uint8 levels of `x` in [-1, 1]: the level k whose value k/127.5 - 1 is nearest, clipped to 0..255.

    x*127.5+128 is the level plus one half, so dropping its fraction rounds the level. (Rounding it instead would move
    every second level by one.)
    """
    return (x * 127.5 + 128).clip(0, 255).to(torch.uint8)
