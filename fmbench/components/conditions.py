"""Conditions: what a network is told of an example besides state and time. They are labels or vectors.

Labels are int64 `(batch,)`, values 0..classes, where `classes` itself means "no label". Vectors are float32
`(batch, condition_width)`, and a row of NaN means "no vector".
"""

from __future__ import annotations

import torch
from torch import Tensor


def no_condition(y: Tensor, classes: int) -> Tensor:
    """Return the conditions that say "none" in the place of `y`, `(batch,)` or `(batch, condition_width)`.

    They are the label `classes`, or rows of NaN.
    """
    return torch.full_like(y, torch.nan if y.is_floating_point() else classes)


def some_conditions(n: int, classes: int, condition_width: int, device: str | torch.device = "cpu") -> Tensor | None:
    """Return n conditions that are nobody's, to try something with; None where there are neither classes nor columns.

    Labels go in turn; the numbers of vectors run from -1 to 1.
    """
    if condition_width:
        return torch.linspace(-1, 1, n * condition_width, device=device).reshape(n, condition_width)
    return torch.arange(n, device=device) % classes if classes else None
