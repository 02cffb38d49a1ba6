"""What the networks for images share: the shape that they need, time as a channel, and padding."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import torch
from torch.nn import functional as F

if TYPE_CHECKING:
    from torch import Tensor


def image_shape(name: str, shape: tuple[int, ...]) -> tuple[int, int, int]:
    """Return `(channels, height, width)`. Raises ValueError for anything but images; `name` is the network's."""
    if len(shape) != 3:
        raise ValueError(f"{name} needs images (channels, height, width); found shape {shape}. Take mlp.")
    channels, height, width = shape
    return channels, height, width


def with_time(x: Tensor, t: Tensor) -> Tensor:
    """Append the time to images as one more channel, the same at every pixel: `(batch, channels + 1, h, w)`."""
    return torch.cat([x, t[:, None, None, None].expand(-1, 1, *x.shape[2:])], dim=1)


def round_up(size: int, factor: int) -> int:
    """Return the least multiple of `factor` that is not below `size`."""
    return math.ceil(size / factor) * factor


def pad(x: Tensor, height: int, width: int) -> Tensor:
    """Append rows and columns of zeros, the grey between the two ends of [-1, 1]; the caller crops the result.

    That takes images `(batch, channels, h, w)` to `(batch, channels, height, width)`.
    """
    if x.shape[-2:] == (height, width):
        return x
    return F.pad(x, (0, width - x.shape[-1], 0, height - x.shape[-2]))
