"""A share of an array's rows as a split of its own, with equal rows on the same side."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from torch import Tensor

TEST_SEED, VALIDATION_SEED = 20_212, 20_214


def row_hashes(x: Tensor) -> list[bytes]:
    """Return a hash of the bytes of each row of `x`, float32 `(n, *shape)`."""
    return [hashlib.blake2b(row.data, digest_size=16).digest() for row in x.flatten(1).contiguous().numpy()]


def is_chosen_row(x: Tensor, y: Tensor | None, share: float, seed: int = TEST_SEED) -> Tensor:
    """Return which rows of `x` `(n, *shape)` are held out, bool `(n,)`: a share of each class, by a fixed seed.

    `y` are labels, int64 `(n,)`, or None. Rows that are equal come into the same split, so a share may be missed by as
    many as a row has equals; a class keeps at least one row to train.
    """
    seen: dict[bytes, int] = {}
    value = torch.tensor([seen.setdefault(row, len(seen)) for row in row_hashes(x)])  # (n,), which distinct row it is
    count = torch.bincount(value)
    label = torch.zeros_like(count)
    if y is not None:
        label[value.flip(0)] = y.flip(0)  # of the first of the rows that are equal
    chosen = torch.zeros(len(count), dtype=torch.bool)
    generator = torch.Generator().manual_seed(seed)
    for each in label.unique():
        members = (label == each).nonzero().flatten()
        members = members[torch.randperm(len(members), generator=generator)]
        rows = count[members].cumsum(0)
        chosen[members[rows <= min(round(share * int(rows[-1])), int(rows[-1]) - 1)]] = True
    return chosen[value]
