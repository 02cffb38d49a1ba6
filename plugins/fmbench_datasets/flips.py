"""Horizontal flips of training pictures."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from torch import Tensor


def with_mirror_images(x: Tensor, y: Tensor | None) -> tuple[Tensor, Tensor | None]:
    """Return pictures `(n, channels, height, width)`, then their mirror images, `(2 n, ...)`, and the labels of both.

    A picture drawn from these is one of `x` that is flipped with probability 1/2. Training passes over them without
    replacement, so two passes over `x` show each picture once as it is and once flipped.
    """
    return torch.cat([x, x.flip(-1)]), None if y is None else torch.cat([y, y])
