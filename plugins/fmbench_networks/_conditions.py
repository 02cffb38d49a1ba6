"""What the networks share of conditions: the embedding of labels or vectors, and what stands for none."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import nn
from torch.nn import functional as F

if TYPE_CHECKING:
    from torch import Tensor


class VectorEmbedding(nn.Module):
    """A perceptron of one hidden layer over a vector; a vector with NaN in it is none, and has an embedding of its own.

    Called with float `(batch, condition_width)`, it returns `(batch, outputs)`. Raises ValueError for another width.
    """

    def __init__(self, condition_width: int, outputs: int) -> None:
        super().__init__()
        self.hidden = nn.Linear(condition_width, outputs)
        self.out = nn.Linear(outputs, outputs)
        self.none = nn.Parameter(torch.zeros(outputs))

    def forward(self, y: Tensor) -> Tensor:
        if y.shape[1:] != (self.hidden.in_features,):
            raise ValueError(
                f"the network was built for condition vectors of {self.hidden.in_features} numbers; found a tensor of "
                f"shape {tuple(y.shape)}"
            )
        is_none = torch.isnan(y).any(dim=1, keepdim=True)
        given = torch.where(is_none, 0.0, y)  # before the layers, through which a NaN would come into all gradients
        embedded: Tensor = self.out(F.silu(self.hidden(given.to(self.none.dtype))))
        return torch.where(is_none, self.none.to(embedded.dtype), embedded)


def condition_embedding(classes: int, condition_width: int, outputs: int) -> nn.Embedding | VectorEmbedding | None:
    """Return what embeds labels or vectors as `(batch, outputs)`; None where there are neither."""
    if condition_width:
        return VectorEmbedding(condition_width, outputs)
    return nn.Embedding(classes + 1, outputs) if classes else None


def conditions(y: Tensor | None, t: Tensor, classes: int, condition_width: int = 0) -> Tensor:
    """Return the conditions; where none are given, those that say so: the label `classes`, or rows of NaN.

    `t` is `(batch,)`. Labels are int64 `(batch,)`, vectors `(batch, condition_width)`.
    """
    if y is not None:
        return y
    if condition_width:
        return t.new_full((len(t), condition_width), torch.nan)
    return torch.full_like(t, classes, dtype=torch.int64)
