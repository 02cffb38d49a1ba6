"""How the datasets of this package that come as one set of examples are split."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Literal

import torch
from annotated_types import Ge, Lt

if TYPE_CHECKING:
    from torch import Tensor

TEST_SHARE = 5
"""One example in five is a test example."""
Split = Literal["train", "test", "validation"]
HeldOut = Annotated[float, Ge(0), Lt(1)]
"""The share of the training examples that is the validation split, and no longer trained on."""


def stratified(labels: Tensor, split: Split, validation: float = 0.0) -> Tensor:
    """Return the positions `(m,)` of a split in which every class has its share, the classes taking turns.

    `labels` is int64 `(n,)`. Every fifth example in the order (label, position) is a test example, so the split needs
    no random numbers; `validation` is the share of the others that is held out.
    """
    order = torch.argsort(labels, stable=True)
    test = torch.zeros(len(labels), dtype=torch.bool)
    test[order[::TEST_SHARE]] = True
    kept = torch.nonzero(test if split == "test" else ~test).flatten()
    if split != "test" and validation:
        held = held_out(labels[kept], validation)
        kept = kept[held if split == "validation" else ~held]
    return kept[in_turn(labels[kept])]


def held_out(labels: Tensor, share: float) -> Tensor:
    """Return which training examples are validation examples, bool `(n,)`: a share of each class, rounded down.

    `labels` is int64 `(n,)`. The examples of a class are chosen evenly spread over their order, without random numbers.
    """
    order = torch.argsort(labels, stable=True)
    counts = torch.bincount(labels)
    rank = torch.arange(len(labels)) - (counts.cumsum(0) - counts)[labels[order]]
    chosen = torch.empty(len(labels), dtype=torch.bool)
    chosen[order] = ((rank + 1).double() * share).floor() > (rank.double() * share).floor()
    return chosen


def training_part(x: Tensor, y: Tensor, split: Split, validation: float) -> tuple[Tensor, Tensor]:
    """Return what of the training examples `(n, *shape)`, with labels `(n,)`, is trained on or, if that is the split,
    held out as validation examples.
    """
    if not validation:
        return x, y
    held = held_out(y, validation)
    kept = held if split == "validation" else ~held
    return x[kept], y[kept]


def in_turn(labels: Tensor) -> Tensor:
    """Return the order `(n,)` in which the classes of `labels` `(n,)` take turns, each keeping its own order.

    So the first examples of a split, which figures show, are not all of one class.
    """
    order = torch.argsort(labels, stable=True)
    counts = torch.bincount(labels)
    within = torch.empty_like(labels)
    within[order] = torch.arange(len(labels)) - (counts.cumsum(0) - counts)[labels[order]]
    return torch.argsort(within * len(counts) + labels)
