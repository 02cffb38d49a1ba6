"""The pseudo-Huber loss, with either of the two published scales of its c."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import torch

if TYPE_CHECKING:
    from torch import Tensor

Scale = Literal["sqrt_d", "d"]
"""What c is multiplied by, d being the dimension of an example, and the loss divided by."""


def pseudo_huber(error: Tensor, c: float, scale: Scale) -> Tensor:
    """Return (sqrt(|error|^2 + (c s)^2) - c s)/s of each example, `(batch,)`, with s = sqrt(d) or d.

    `error` is `(batch, *shape)`.
    """
    error = error.flatten(1)
    square = error.square().mean(1)
    if scale == "d":
        square = square / error.shape[1]
    return square / (torch.sqrt(square + c**2) + c)  # the difference of roots, without cancellation
