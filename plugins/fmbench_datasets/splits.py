"""How the datasets of this package that come as one set of examples are split."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import torch

if TYPE_CHECKING:
    from torch import Tensor

TEST_SHARE = 5
"""One example in five is a test example."""


def stratified(labels: Tensor, split: Literal["train", "test"]) -> Tensor:
    """Return the positions `(m,)` of a split in which every class has its share, the classes taking turns.

    `labels` is int64 `(n,)`. Every fifth example in the order (label, position) is a test example, so the split needs
    no random numbers.
    """
    order = torch.argsort(labels, stable=True)
    test = torch.zeros(len(labels), dtype=torch.bool)
    test[order[::TEST_SHARE]] = True
    kept = torch.nonzero(test if split == "test" else ~test).flatten()
    return kept[in_turn(labels[kept])]


def in_turn(labels: Tensor) -> Tensor:
    """Return the order `(n,)` in which the classes of `labels` `(n,)` take turns, each keeping its own order.

    So the first examples of a split, which figures show, are not all of one class.
    """
    order = torch.argsort(labels, stable=True)
    counts = torch.bincount(labels)
    within = torch.empty_like(labels)
    within[order] = torch.arange(len(labels)) - (counts.cumsum(0) - counts)[labels[order]]
    return torch.argsort(within * len(counts) + labels)
