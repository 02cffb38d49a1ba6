"""How the datasets of this package are split, and how generated ones are drawn."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import torch

if TYPE_CHECKING:
    from collections.abc import Callable

    from torch import Generator, Tensor

TEST_SHARE = 5
"""One example in five is a test example."""


def stratified(labels: Tensor, split: Literal["train", "test"]) -> Tensor:
    """Return the positions `(m,)` of a split in which every class has its share, in their original order.

    `labels` is int64 `(n,)`. Every fifth example in the order (label, position) is a test example, so the split needs no
    random numbers.
    """
    order = torch.argsort(labels, stable=True)
    test = torch.zeros(len(labels), dtype=torch.bool)
    test[order[::TEST_SHARE]] = True
    return torch.nonzero(test if split == "test" else ~test).flatten()


def drawn(draw: Callable[[int, Generator], Tensor], size: int, split: Literal["train", "test"]) -> Tensor:
    """Return float32 points `(n, dim)` of a generated dataset: `size` for training, a quarter of it for testing.

    The splits are independent draws, each from a generator of its own with a fixed seed. `draw(n, generator)` works in
    float64.
    """
    seed, n = (20_210, size) if split == "train" else (20_211, max(1, size // 4))
    return draw(n, torch.Generator().manual_seed(seed)).float()
