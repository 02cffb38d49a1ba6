"""How the datasets of this package are split, and how generated ones are drawn."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import torch

if TYPE_CHECKING:
    from collections.abc import Callable

    from torch import Generator, Tensor

TEST_SHARE = 5
"""One example in five is a test example."""

TRAIN_SEED, TEST_SEED = 20_210, 20_211


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


def drawn(draw: Callable[[int, Generator], Tensor], size: int, split: Literal["train", "test"]) -> Tensor:
    """Return float32 points `(n, 2)` of a generated dataset: `size` for training, a quarter of it for testing.

    The splits are independent draws, each from a generator of its own with a fixed seed. `draw(n, generator)` works in
    float64.
    """
    train = draw(size, torch.Generator().manual_seed(TRAIN_SEED)).float()
    if split == "train":
        return train
    generator = torch.Generator().manual_seed(TEST_SEED)
    test = draw(max(1, size // 4), generator).float()
    # In float32 a few draws of a curve coincide; two float32 numbers make one int64, by which rows are compared.
    while (shared := torch.isin(test.view(torch.int64), train.view(torch.int64)).flatten()).any():
        test[shared] = draw(int(shared.sum()), generator).float()
    return test
